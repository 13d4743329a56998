//! Fifty agents, twenty turns, eight accounts of three organisations: who is recognised, where they
//! go, and what that is worth beside plain round-robin.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OnceCell, watch},
};
use warmkey::{
    sim::{
        Sim,
        agents::{self, Comparison, Identity, Run, Side, Way, Workload},
    },
    types::Dialect,
};

use crate::harness::{Gateway, Setup, accounts, model, sim_with, within};

/// How the gateway is restarted in mid-run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Restart {
    /// By SIGTERM, with a state file.
    WithState,
    /// By SIGKILL, and nothing is kept.
    Killed,
}

/// Fifty agents of twenty turns, with a tool round in each unless `tools` is 0.
fn workload(dialect: Dialect, identity: Identity, tools: u32) -> Workload {
    let way = Way::Gateway { base_url: String::new(), token: String::new() };
    let plain = Workload::new(way, dialect, model(dialect));
    // As short as can be cached at all: two thousand requests of a debug build add up.
    Workload { identity, tool_rounds: tools, system_bytes: 4_608, output_tokens: 12, ..plain }
}

async fn provider() -> Sim {
    sim_with(|config| {
        config.varied = true;
        config.accounts = accounts().into_iter().map(|account| account.limits(0, 0, 0)).collect();
    })
    .await
}

/// A fleet's run through a gateway, beside plain round-robin, and which key the provider saw for
/// each answer through the gateway.
struct Outcome {
    both: Comparison,
    keys: BTreeMap<String, String>,
}

/// Runs a fleet through a gateway, and again over the keys in turn.
async fn fleet(sim: &Sim, mut workload: Workload) -> Outcome {
    let gateway = Setup::over(sim).start().await;
    workload.way = Way::Gateway { base_url: gateway.url(""), token: String::new() };
    sim.reset();
    let run = within_a_while(agents::run(&workload)).await;
    gateway.assert_all_ready().await;
    beside_round_robin(sim, &workload, run).await
}

/// The same with a restart in mid-run.
async fn restarted(sim: &Sim, mut workload: Workload, how: Restart) -> Outcome {
    let mut setup = Setup::over(sim);
    if how == Restart::WithState {
        let file = setup.dir().join("state.json");
        setup = setup.server(&format!("state_file = {file:?}"));
    }
    let (text, env) = (setup.text(), setup.env());
    let mut old = Gateway::run(&text, setup.dir(), &env).await;
    let front = Front::before(old.data).await;
    workload.way = Way::Gateway { base_url: front.url(), token: String::new() };
    sim.reset();
    let half = workload.agents * workload.turns * (1 + workload.tool_rounds as usize) / 2;
    let renew = async {
        sim.wait_for(|seen| seen.len() >= half).await;
        front.close();
        old.signal(if how == Restart::WithState { "TERM" } else { "KILL" });
        let code = old.ended().await;
        assert_eq!(code, (how == Restart::WithState).then_some(0), "{}", old.log());
        let new = Gateway::run(&text, setup.dir(), &env).await;
        front.open(new.data);
        new
    };
    let (run, new) = within_a_while(async { tokio::join!(agents::run(&workload), renew) }).await;
    new.assert_all_ready().await;
    beside_round_robin(sim, &workload, run).await
}

async fn beside_round_robin(sim: &Sim, workload: &Workload, run: Run) -> Outcome {
    let (gateway, keys) = booked(sim, run).await;
    let opener = workload.identity == Identity::SameOpener;
    let cell = {
        let mut all = ROUND_ROBIN.lock();
        Arc::clone(all.entry((workload.dialect.label(), opener, workload.tool_rounds)).or_default())
    };
    let round_robin = cell.get_or_init(async || {
        sim.reset();
        let account_keys = sim.config().accounts.iter().map(|account| account.key.clone()).collect();
        let way = Way::RoundRobin { base_url: sim.base_url(), keys: account_keys };
        let run = within_a_while(agents::run(&Workload { way, ..workload.clone() })).await;
        booked(sim, run).await.0
    });
    let round_robin = round_robin.await.clone();
    Outcome { both: Comparison { gateway, round_robin }, keys }
}

/// Dialect, whether all begin alike, tool rounds: what round-robin's figures depend on. Whether agents
/// say who they are makes no difference to it.
type Kind = (&'static str, bool, u32);

/// Each kind of fleet goes over the keys in turn once.
static ROUND_ROBIN: Mutex<BTreeMap<Kind, Arc<OnceCell<Side>>>> = Mutex::new(BTreeMap::new());

/// What the provider has in its books for a run, once every answer is over.
async fn booked(sim: &Sim, run: Run) -> (Side, BTreeMap<String, String>) {
    let over = sim.wait_for(|seen| seen.iter().all(|request| request.done));
    let seen = within("every answer is over", over).await;
    let keys = seen.into_iter().map(|request| (request.request_id, request.key)).collect();
    (Side { run, books: sim.stats().total() }, keys)
}

/// A run is two thousand requests and their answers.
async fn within_a_while<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(120), work).await.expect("a run ends")
}

/// What stands before a gateway that is replaced: it keeps new connections waiting meanwhile.
struct Front {
    address: SocketAddr,
    behind: watch::Sender<Option<SocketAddr>>,
}

impl Front {
    async fn before(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (behind, known) = watch::channel(Some(gateway));
        tokio::spawn(async move {
            while let Ok((mut agent, _)) = listener.accept().await {
                let mut known = known.clone();
                tokio::spawn(async move {
                    let there = *known.wait_for(Option::is_some).await.ok()?;
                    let mut gateway = TcpStream::connect(there?).await.ok()?;
                    let _ = (agent.set_nodelay(true), gateway.set_nodelay(true));
                    tokio::io::copy_bidirectional(&mut agent, &mut gateway).await.ok()
                });
            }
        });
        Self { address, behind }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn close(&self) {
        self.behind.send_replace(None);
    }

    fn open(&self, gateway: SocketAddr) {
        self.behind.send_replace(Some(gateway));
    }
}

fn share(run: &Run) -> f64 {
    let (home, later) = run.at_home();
    home as f64 / later as f64
}

/// How often agents went elsewhere than the time before; those that never did are left out.
fn moves(run: &Run) -> BTreeMap<usize, usize> {
    let mut moves = BTreeMap::new();
    for pair in run.exchanges.windows(2) {
        if pair[0].agent == pair[1].agent && pair[0].endpoint != pair[1].endpoint {
            *moves.entry(pair[0].agent).or_default() += 1;
        }
    }
    moves
}

/// The account behind an endpoint's name: `a3` and `o3` are the third.
fn account(sim: &Sim, endpoint: &str) -> usize {
    let n: usize = endpoint.get(1..).and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("`{endpoint}`"));
    assert!(n <= sim.config().accounts.len());
    n - 1
}

fn print(what: &str, both: &Comparison) {
    println!("{what}");
    both.lines().iter().for_each(|line| println!("  {line}"));
}

/// Later requests are where the session is, organisations share the sessions, and what the gateway
/// says is what the provider saw.
fn assert_good(sim: &Sim, what: &str, Outcome { both, keys }: &Outcome) {
    print(what, both);
    let run = &both.gateway.run;
    assert!(share(run) >= 0.99, "{what}: {:?} at home", run.at_home());
    assert_fair(sim, what, run);
    assert_honest(sim, keys, what, run);
    let (ours, theirs) = (&both.gateway.books, &both.round_robin.books);
    assert!(ours.hit_share() > theirs.hit_share() && ours.cost < theirs.cost, "{what}: it is worth nothing");
}

fn assert_fair(sim: &Sim, what: &str, run: &Run) {
    let mut held: BTreeMap<&str, usize> =
        sim.config().accounts.iter().map(|account| (account.organization.as_str(), 0)).collect();
    for home in run.homes() {
        let account = &sim.config().accounts[account(sim, home)];
        *held.entry(&account.organization).or_default() += 1;
    }
    let all: usize = held.values().sum();
    println!("  sessions by organisation: {held:?}");
    // Where the opening is warm already there is room for more of its kind, but of three organisations
    // none is the home of more than half: its outage would be nearly everybody's.
    for (organisation, sessions) in held {
        assert!(sessions <= all / 2 + 2, "{what}: `{organisation}` holds {sessions} of {all} sessions");
    }
}

/// Joins every answer with the request that the provider saw.
fn assert_honest(sim: &Sim, keys: &BTreeMap<String, String>, what: &str, run: &Run) {
    let mut joined = 0;
    for exchange in run.exchanges.iter().filter(|exchange| exchange.status == 200) {
        let key = keys.get(&exchange.request_id);
        let key = key.unwrap_or_else(|| panic!("{what}: nobody saw {exchange:?}"));
        let said = &sim.config().accounts[account(sim, &exchange.endpoint)].key;
        assert_eq!(said, key, "{what}: {exchange:?}");
        joined += 1;
    }
    assert!(joined * 100 >= run.exchanges.len() * 97, "{what}: only {joined} answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_name_their_session_stay_at_home() {
    let sim = provider().await;
    let outcome = fleet(&sim, workload(Dialect::Anthropic, Identity::Header, 1)).await;
    assert_good(&sim, "anthropic, by header", &outcome);
    assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_without_any_id_stay_at_home_by_their_tool_calls() {
    let sim = provider().await;
    let outcome = fleet(&sim, workload(Dialect::Anthropic, Identity::Anonymous, 1)).await;
    assert_good(&sim, "anthropic, no id", &outcome);
    assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_that_all_begin_alike_are_told_apart() {
    let sim = provider().await;
    let outcome = fleet(&sim, workload(Dialect::Anthropic, Identity::SameOpener, 1)).await;
    assert_good(&sim, "anthropic, no id, same opener", &outcome);
    assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn chats_that_all_begin_alike_are_told_apart_by_their_replies() {
    let sim = provider().await;
    let outcome = fleet(&sim, workload(Dialect::OpenAiChat, Identity::SameOpener, 0)).await;
    assert_good(&sim, "openai-chat without tools, no id, same opener", &outcome);
    assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_stay_at_home_in_the_openai_dialects() {
    let sim = provider().await;
    for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
        for (identity, how) in [(Identity::Header, "by header"), (Identity::Anonymous, "no id")] {
            let outcome = fleet(&sim, workload(dialect, identity, 1)).await;
            assert_good(&sim, &format!("{dialect}, {how}"), &outcome);
            assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_in_mid_run_with_a_state_file_moves_nobody() {
    let sim = provider().await;
    for (identity, how) in [(Identity::Header, "by header"), (Identity::SameOpener, "no id, same opener")] {
        let outcome = restarted(&sim, workload(Dialect::Anthropic, identity, 1), Restart::WithState).await;
        assert_good(&sim, &format!("anthropic, {how}, restarted with state"), &outcome);
        assert_eq!(outcome.both.gateway.run.failures(), Vec::<&agents::Exchange>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_killed_finds_named_sessions_at_home_again() {
    let sim = provider().await;
    let outcome = restarted(&sim, workload(Dialect::Anthropic, Identity::Header, 1), Restart::Killed).await;
    let what = "anthropic, by header, killed";
    print(what, &outcome.both);
    let run = &outcome.both.gateway.run;
    assert_fair(&sim, what, run);
    assert_honest(&sim, &outcome.keys, what, run);
    // A session that is not remembered goes to its first choice. The evening-out of new sessions had
    // put some elsewhere: those move, once, and the rest is as if nothing had happened.
    let moved = moves(run);
    println!("  moved: {} of 50 agents", moved.len());
    assert!(moved.values().all(|times| *times == 1) && moved.len() <= 25, "{what}: {moved:?}");
    // What ran at that moment is lost, and nothing else.
    assert!(outcome.both.gateway.run.failures().len() <= 50);
    // Without any id it is the history that names a session: nobody promises more than that it works.
    let outcome =
        restarted(&sim, workload(Dialect::Anthropic, Identity::SameOpener, 1), Restart::Killed).await;
    print("anthropic, no id, same opener, killed", &outcome.both);
    assert!(outcome.both.gateway.run.failures().len() <= 50);
}
