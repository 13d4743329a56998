//! Whole gateways that share a Redis and a Postgres: the real binary, against the simulated provider.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use warmkey::{
    sim::{Fault, RetryHint, Sim},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Setup, get, sim, sim_with, within},
    servers::{Postgres, Redis},
};

const ANN: &str = "wk-ann-0123456789abcdef012345";
const ADMIN: &str = "admin-token-0123456789abcdef";
const SLICE: u64 = 10_000_000;
const DOLLAR: u64 = 1_000_000_000;

fn setup(sim: &Sim, redis: &Redis, caller: &str) -> Setup {
    let state = format!("[state]\nredis = \"{}\"\nreplicas = 2\n", redis.url());
    Setup::over(sim).caller_with("ann", "acme", ANN, caller).more(&state)
}

/// With Postgres as well, and an admin listener that makes keys.
fn guarded(sim: &Sim, redis: &Redis, postgres: &Postgres) -> Setup {
    let ledger = "[ledger]\npostgres = { env = \"POSTGRES\" }\n";
    let setup = setup(sim, redis, "").server(&format!("admin_token = \"{ADMIN}\""));
    setup.variable("POSTGRES", &postgres.url()).more(ledger)
}

fn ask(gateway: &Gateway, output: u64) -> Ask {
    gateway.ask(Dialect::Anthropic).header("x-api-key", ANN).with(|body| {
        body["messages"] =
            json!([{"role": "user", "content": format!("go on [sim:output_tokens={output}]")}]);
        body["max_tokens"] = json!(4_000);
    })
}

async fn readyz(gateway: &Gateway) -> String {
    let reply = get(&format!("http://{}/readyz", gateway.admin)).await;
    assert_eq!(reply.status, 200, "it serves all the same");
    reply.text()
}

/// Waits until `/readyz` says this, or no longer says it.
async fn until_ready(gateway: &Gateway, text: &str, there: bool) {
    within(text, async {
        while readyz(gateway).await.contains(text) != there {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// What Redis knows of the day's budget: spent, reserved.
fn known(redis: &Redis) -> (u64, u64) {
    let mut keys: Vec<String> = redis.ask(&["KEYS", "{warmkey}:b/key:ann/usd/day/*"]);
    // Who was told that it is nearly used up stands beside it.
    keys.retain(|key| !key.contains("/alert/"));
    let [key] = keys.as_slice() else { panic!("one day: {keys:?}") };
    let (spent, reserved): (Option<u64>, Option<u64>) = redis.ask(&["HMGET", key, "p", "r"]);
    (spent.unwrap_or(0), reserved.unwrap_or(0))
}

fn billed(gateway: &Gateway) -> u64 {
    gateway.ledger_number("SELECT sum(billed) FROM receipts")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_streams_on_two_gateways_stay_within_one_dollar() {
    const STREAMS: u64 = 200;
    let redis = Redis::start();
    let sim = sim_with(|config| {
        config.tokens_per_second = 60.0;
        config.accounts.iter_mut().for_each(|account| *account = account.clone().limits(0, 0, 0));
    })
    .await;
    let budget = "budgets = [{ usd = 1, per = \"day\" }]";
    let gateways = [setup(&sim, &redis, budget).start().await, setup(&sim, &redis, budget).start().await];
    for gateway in &gateways {
        assert_eq!(readyz(gateway).await, "ready\n");
    }
    sim.reset();
    let mut streams = JoinSet::new();
    for n in 0..STREAMS {
        let gateway = &gateways[usize::from(n % 2 == 0)];
        let ask = ask(gateway, 2_000).stream(true);
        streams.spawn(async move { ask.send().await.status.as_u16() });
    }
    let statuses = streams.join_all().await;
    within("every answer is over", sim.wait_for(|seen| seen.iter().all(|request| request.done))).await;
    for gateway in &gateways {
        gateway.receipts(STREAMS / 2).await;
    }
    let spent = sim.stats().total().cost.0;
    let booked: u64 = gateways.iter().map(billed).sum();
    assert!(spent <= DOLLAR + STREAMS * SLICE && booked <= DOLLAR + STREAMS * SLICE, "{spent} and {booked}");
    assert!(spent >= DOLLAR / 2, "it tests nothing: {spent}");
    assert!(statuses.contains(&429), "nobody was denied");
    within("Redis knows what both spent", async {
        while known(&redis) != (booked, 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // A stream is cut where no further slice is to be had, and what it then gives back is anybody's: two
    // hundred that are cut at once leave more than they would one after another. Once that is spent, too,
    // nobody has anything left at either gateway.
    let large = |gateway: &Gateway| {
        let text = format!("{}[sim:output_tokens=10]", "word ".repeat(20_000));
        ask(gateway, 10).with(|body| body["messages"][0]["content"] = json!(text))
    };
    let mut more = 0;
    while large(&gateways[more % 2]).send().await.status == 200 {
        more += 1;
        assert!(more < 20, "a dollar does not pay for this");
    }
    for gateway in &gateways {
        assert_eq!(large(gateway).send().await.status, 429, "the dollar is everybody's");
        gateway.assert_no_panic();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_that_one_gateway_meets_cools_the_account_at_the_other() {
    let redis = Redis::start();
    let sim = sim().await;
    let one = setup(&sim, &redis, "").accounts(1).start().await;
    let two = setup(&sim, &redis, "").accounts(1).start().await;
    two.assert_all_ready().await;
    sim.script(Fault::RateLimited { hint: RetryHint::RetryAfter(40) });
    ask(&one, 10).send().await;
    let status = two
        .until("the other one knows", |status| {
            status["endpoints"].as_array().is_some_and(|all| all.iter().any(|one| one["state"] == "cooling"))
        })
        .await;
    assert_eq!(sim.seen().iter().filter(|seen| seen.method == "POST").count(), 1, "it was told: {status:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_they_serve_on_and_afterwards_nothing_is_missing_or_counted_twice() {
    let mut redis = Redis::start();
    let sim = sim().await;
    let budget = "budgets = [{ usd = 5, per = \"day\" }]";
    let gateway = setup(&sim, &redis, budget).start().await;
    assert_eq!(ask(&gateway, 100).send().await.status, 200);
    redis.kill();
    for _ in 0..5 {
        assert_eq!(ask(&gateway, 100).send().await.status, 200);
    }
    until_ready(&gateway, "not shared", true).await;
    // It comes back without its memory.
    redis.restart();
    until_ready(&gateway, "not shared", false).await;
    for _ in 0..3 {
        assert_eq!(ask(&gateway, 100).send().await.status, 200);
    }
    gateway.receipts(9).await;
    let booked = billed(&gateway);
    within("Redis knows everything", async {
        while known(&redis) != (booked, 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_is_killed_is_charged_and_the_budget_holds() {
    let redis = Redis::start();
    let sim = sim_with(|config| config.tokens_per_second = 30.0).await;
    let budget = "budgets = [{ usd = 1, per = \"day\" }]";
    let one = setup(&sim, &redis, budget).start().await;
    let two = setup(&sim, &redis, budget).start().await;
    let streams: Vec<_> = (0..5).map(|_| ask(&one, 3_000).stream(true)).collect();
    let running = tokio::spawn(async move {
        let mut all = JoinSet::new();
        streams.into_iter().for_each(|ask| {
            all.spawn(async move { ask.try_open().await.map(drop) });
        });
        all.join_all().await.len()
    });
    within("they hold something", async {
        while redis.ask::<Vec<String>>(&["KEYS", "{warmkey}:b/key:ann/*"]).is_empty() || known(&redis).1 == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    one.signal("KILL");
    running.await.unwrap();
    let held = known(&redis).1;
    assert!(held > 0);
    within("the other one charges it", async {
        while known(&redis) != (held, 0) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    two.logged("what a dead gateway held was charged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_made_at_one_gateway_opens_the_other_and_both_write_one_ledger() {
    let (redis, mut postgres) = (Redis::start(), Postgres::start());
    let sim = sim().await;
    let one = guarded(&sim, &redis, &postgres).start().await;
    let two = guarded(&sim, &redis, &postgres).start().await;
    let url = format!("http://{}/api/keys", one.admin);
    let made =
        Ask::new(url, json!({"name": "cy"})).header("authorization", &format!("Bearer {ADMIN}")).send().await;
    assert!(made.status.is_success(), "{}", made.text());
    let token = made.json()["token"].as_str().map(str::to_owned).expect("a token");
    let as_cy = async |gateway: &Gateway| {
        gateway.ask(Dialect::Anthropic).header("x-api-key", &token).send().await.status
    };
    within("it is known there, too", async {
        while as_cy(&two).await != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(as_cy(&one).await, 200);
    within("both are in one ledger", async {
        while postgres.number("SELECT count(*) FROM warmkey.receipts WHERE caller = 'cy'").await != 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    // Postgres goes: keys are good, receipts wait, and it is said.
    postgres.kill();
    assert_eq!(as_cy(&two).await, 200);
    until_ready(&two, "shared ledger is away", true).await;
    postgres.restart();
    until_ready(&two, "shared ledger is away", false).await;
    within("what waited is there", async {
        while postgres.number("SELECT count(*) FROM warmkey.receipts WHERE caller = 'cy'").await != 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
}
