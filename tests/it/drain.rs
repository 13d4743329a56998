//! The end of a gateway, and its next life: draining, state over restarts, settings read again.

use std::{collections::BTreeMap, path::Path, time::Duration};

use serde_json::{Value, json};
use tokio::{net::TcpStream, sync::watch};
use warmkey::{
    sim::{Account, Fault, SeenRequest, Sim},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Reply, Setup, body, get, path, sim, sim_with, within},
    wire::{Fixed, STREAM, Script, Wire, chunk},
};

/// Far below every other limit of time in these tests, far above what is needed.
const AT_ONCE: Duration = Duration::from_secs(10);

fn long(gateway: &Gateway, dialect: Dialect) -> Ask {
    Ask::new(gateway.url(path(dialect)), body(dialect, "[sim:output_tokens=200]")).stream(true)
}

/// Whether this is the one event that a cut stream ends with.
fn is_error(event: &Value) -> bool {
    event["type"] == "error" || event["error"].is_object()
}

/// Asserts that a stream ended with exactly one error event of its dialect.
#[track_caller]
fn assert_cut(dialect: Dialect, reply: &Reply) {
    assert_eq!(reply.status, 200);
    assert!(!reply.broken, "the body has an end: {}", reply.text());
    let events = reply.events();
    assert_eq!(events.iter().filter(|event| is_error(event)).count(), 1, "{}", reply.text());
    let last = events.last().expect("an event");
    assert!(is_error(last), "{last}");
    match dialect {
        Dialect::Anthropic => {
            assert_eq!(
                (&last["type"], &last["error"]["type"]),
                (&"error".into(), &"overloaded_error".into())
            );
        }
        Dialect::OpenAiChat => {
            assert!(last["error"]["message"].is_string(), "{last}");
            assert!(!reply.text().contains("[DONE]"));
        }
        Dialect::OpenAiResponses => {
            assert!(last["message"].is_string() && last["code"].is_string(), "{last}");
            let numbers: Vec<_> =
                events.iter().filter_map(|event| event["sequence_number"].as_u64()).collect();
            assert!(numbers.is_sorted_by(|a, b| a < b), "numbers go on: {numbers:?}");
        }
    }
}

/// Whether a stream ended as the provider ended it.
#[track_caller]
fn assert_whole(reply: Reply) {
    let reply = reply.assert_ok();
    let events = reply.events();
    assert!(!events.iter().any(is_error), "{}", reply.text());
    let last = events.last().expect("an event");
    let kind = last["type"].as_str().unwrap_or("");
    assert!(last == "[DONE]" || kind == "message_stop" || kind == "response.completed", "{last}");
}

async fn draining(gateway: &Gateway) {
    gateway.signal("TERM");
    gateway.until("it drains", |status| status["draining"] == true).await;
}

async fn assert_refuses(gateway: &Gateway) {
    let refused = async {
        // The listener closes a moment after the signal has come.
        while TcpStream::connect(gateway.data).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within("new connections are refused", refused).await;
}

/// A stream as the simulated provider writes it, event by event.
async fn recorded(sim: &Sim, dialect: Dialect) -> Vec<String> {
    let url = format!("{}{}", sim.base_url(), path(dialect));
    let key = format!("Bearer {}", sim.config().accounts[0].key);
    let ask = Ask::new(url, body(dialect, "[sim:output_tokens=100]")).stream(true);
    let reply = ask.header("authorization", &key).send().await.assert_ok();
    reply.text().split_inclusive("\n\n").map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_streams_end_whole_or_with_one_error_in_their_dialect() {
    let (sim, fixed) = (sim().await, Fixed::start().await);
    let mut gateway =
        Setup::at(&fixed.base_url(), vec!["fixed".to_owned()]).server("drain = \"2s\"").start().await;
    let word = watch::Sender::new(false);
    let (mut endless, mut ending) = (Vec::new(), Vec::new());
    for n in 0..20 {
        let dialect = Dialect::ALL[n % 3];
        let events = recorded(&sim, dialect).await;
        let first = [vec![STREAM.into()], events[..10].iter().map(|event| chunk(event)).collect()].concat();
        // Ten never end, ten have begun and end when the word is given.
        let rest = events[10..].iter().map(|event| chunk(event)).chain([chunk("")]).collect();
        let ends = n < 10;
        fixed.says(if ends { Script::Word(first, word.subscribe(), rest) } else { Script::Silence(first) });
        let mut stream = gateway.ask(dialect).stream(true).http2(n % 2 == 0).open().await;
        stream.read_until(|text| text.matches("\n\n").count() >= 10).await;
        if ends { ending.push((stream, events.concat())) } else { endless.push((dialect, stream)) }
    }
    assert_eq!(gateway.status().await["requests_in_flight"], 20);
    draining(&gateway).await;
    assert_refuses(&gateway).await;
    let ready = get(&format!("http://{}/readyz", gateway.admin)).await;
    assert_eq!((ready.status.as_u16(), ready.text().trim()), (503, "draining"));
    word.send_replace(true);
    for (stream, whole) in ending {
        assert_eq!(stream.rest().await.assert_ok().text(), whole);
    }
    for (dialect, stream) in endless {
        assert_cut(dialect, &stream.rest().await);
    }
    fixed.was_left(10).await;
    assert_eq!(gateway.ended().await, Some(0), "{}", gateway.log());
    gateway.assert_no_panic();
    let settled = |outcome: &str| gateway.log().matches(&format!("outcome=\"{outcome}\"")).count();
    assert_eq!((settled("ok"), settled("cancelled") + settled("interrupted")), (10, 10), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_half_sent_at_the_deadline_is_not_run_into_the_error() {
    let fixed = Fixed::start().await;
    for dialect in Dialect::ALL {
        let mut gateway =
            Setup::at(&fixed.base_url(), vec!["fixed".to_owned()]).server("drain = \"1s\"").start().await;
        let (whole, half) = match dialect {
            Dialect::Anthropic => (
                "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"x\"}}\n\n",
                "event: content_block_delta\ndata: {\"type\":\"cont",
            ),
            Dialect::OpenAiChat => (
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
                "data: {\"choices\":[{\"index\":0,\"delta\":{\"con",
            ),
            Dialect::OpenAiResponses => (
                "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"delta\":\"x\"}\n\n",
                "event: response.output_text.delta\ndata: {\"type\":\"resp",
            ),
        };
        fixed.says(Script::Silence(vec![STREAM.into(), chunk(whole), chunk(half)]));
        let mut stream = gateway.ask(dialect).stream(true).open().await;
        stream.read_until(|text| text.contains("\n\n")).await;
        draining(&gateway).await;
        assert_cut(dialect, &stream.rest().await);
        assert_eq!(gateway.ended().await, Some(0));
        gateway.assert_no_panic();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_no_answer_yet_at_the_deadline_is_told_to_come_back() {
    let sim = sim().await;
    let mut gateway = Setup::over(&sim).server("drain = \"1s\"").start().await;
    let mut clients = Vec::new();
    for (n, dialect) in Dialect::ALL.into_iter().enumerate() {
        for stream in [false, true] {
            sim.script(Fault::HangBeforeHeader);
            let ask = gateway.ask(dialect).stream(stream).http2(n == 1);
            clients.push((dialect, tokio::spawn(async move { ask.send().await })));
        }
    }
    let all = |seen: &[SeenRequest]| seen.iter().filter(|request| request.method == "POST").count() == 6;
    within("all are under way", sim.wait_for(all)).await;
    draining(&gateway).await;
    for (dialect, client) in clients {
        let reply = client.await.expect("an answer").assert_error(dialect, 503);
        assert_eq!(reply.header("retry-after"), "1");
    }
    assert_eq!(gateway.ended().await, Some(0));
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_gateway_ends_at_once() {
    let sim = sim().await;
    // The usual five minutes, and a connection that is kept alive.
    let mut gateway = Setup::over(&sim).start().await;
    let mut idle = Wire::connect(gateway.data).await;
    idle.say("GET /healthz HTTP/1.1\r\nhost: gateway\r\n\r\n").await;
    assert_eq!(idle.reply().await.status, 200);
    gateway.signal("TERM");
    let ended = tokio::time::timeout(AT_ONCE, gateway.ended()).await;
    assert_eq!(ended.expect("at once"), Some(0), "{}", gateway.log());
    idle.assert_closed().await;
    gateway.assert_no_panic();
}

/// What `Setup::start` would do, over and over in the same folder.
struct Lives {
    dir: tempfile::TempDir,
    text: String,
    env: BTreeMap<String, String>,
}

impl Lives {
    fn over(sim: &Sim, change: impl FnOnce(Setup, &Path) -> Setup) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let accounts = &sim.config().accounts;
        let env = accounts.iter().zip(1..).map(|(account, n)| (format!("KEY_{n}"), account.key.clone()));
        Self { text: change(Setup::over(sim), dir.path()).text(), env: env.collect(), dir }
    }

    async fn next(&self) -> Gateway {
        Gateway::run(&self.text, self.dir.path(), &self.env).await
    }
}

fn with_state(setup: Setup, dir: &Path) -> Setup {
    setup.server(&format!("state_file = \"{}\"", dir.join("state.json").display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_objects_find_home_after_a_restart() {
    let sim = sim().await;
    let lives = Lives::over(&sim, with_state);
    let mut first = lives.next().await;
    let (mut homes, mut made) = (Vec::new(), Vec::new());
    for n in 0..12 {
        let dialect = Dialect::ALL[n % 3];
        let ask = first.ask(dialect).session(&format!("restart-{n}"));
        let reply = ask.send().await.assert_ok();
        homes.push((dialect, n, reply.endpoint().to_owned()));
        if dialect == Dialect::OpenAiResponses {
            let id = reply.json()["id"].as_str().expect("an id").to_owned();
            made.push((id, reply.endpoint().to_owned()));
        }
    }
    // One that home alone would not explain: it was moved.
    let moved = first.ask(Dialect::Anthropic).session("restart-moved");
    sim.script(Fault::ServerError);
    let elsewhere = moved.send().await.assert_ok().endpoint().to_owned();
    homes.push((Dialect::Anthropic, 99, elsewhere));
    first.at_rest().await;
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));

    let second = lives.next().await;
    assert!(second.log().contains("state restored"), "{}", second.log());
    for (dialect, n, home) in homes {
        let id = if n == 99 { "restart-moved".to_owned() } else { format!("restart-{n}") };
        let reply = second.ask(dialect).session(&id).send().await.assert_ok();
        assert_eq!((reply.endpoint(), reply.affinity()), (home.as_str(), "hit"), "{dialect} {id}");
    }
    for (id, owner) in made {
        let ask = second.ask(Dialect::OpenAiResponses);
        let reply = ask.with(|body| body["previous_response_id"] = id.clone().into()).send().await;
        let reply = reply.assert_ok();
        assert_eq!(
            (reply.endpoint(), reply.header("x-warmkey-reason")),
            (owner.as_str(), "hard_pin"),
            "{id}"
        );
        let url = second.url(&format!("/v1/responses/{id}"));
        assert_eq!(get(&url).await.assert_ok().endpoint(), owner);
    }
    second.assert_all_ready().await;
    second.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_state_file_is_reported_and_ignored() {
    let sim = sim().await;
    let lives = Lives::over(&sim, with_state);
    let file = lives.dir.path().join("state.json");
    let mut first = lives.next().await;
    first.ask(Dialect::Anthropic).session("torn").send().await.assert_ok();
    first.at_rest().await;
    first.signal("TERM");
    assert_eq!(first.ended().await, Some(0));
    let whole = std::fs::read(&file).expect("written");
    let text = std::str::from_utf8(&whole).expect("text");
    let older = text.replacen("\"version\":2", "\"version\":1", 1);
    assert_ne!(older, text);
    let nested = "[".repeat(1_000_000);
    let torn: [&[u8]; 7] = [
        &whole[..whole.len() / 2],
        b"",
        b"\0\xff\xfe",
        b"{\"version\":99}",
        older.as_bytes(),
        nested.as_bytes(),
        b"{\"version\":2,\"warm\":{\"saved_at_unix\":-1,\"prefixes\":[]}}",
    ];
    for state in torn {
        std::fs::write(&file, state).expect("a file");
        let mut gateway = lives.next().await;
        assert!(gateway.log().contains("starting cold"), "{}", gateway.log());
        let reply = gateway.ask(Dialect::Anthropic).session("torn").send().await.assert_ok();
        assert_eq!(reply.affinity(), "new");
        gateway.assert_all_ready().await;
        gateway.assert_no_panic();
        gateway.signal("TERM");
        assert_eq!(gateway.ended().await, Some(0));
    }
    // And the last one left a good file behind.
    let gateway = lives.next().await;
    assert!(gateway.log().contains("state restored"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_state_file_is_worth_no_more_than_its_sense() {
    let sim = sim().await;
    let lives = Lives::over(&sim, with_state);
    let (huge, late) = (u64::MAX, u64::from(u32::MAX));
    let session = |id: &str, endpoint: &str| {
        json!({"session": id, "endpoint": endpoint, "model": "x", "warm_ms": huge, "idle_ms": huge, "turns": huge,
            "context_bytes": huge, "output_tokens": huge, "charged_nano_usd": huge})
    };
    let limit = |kind: &str, limit: u64, level: i64| json!({"kind": kind, "limit": limit, "level": level, "told": true});
    let state = json!({
        "version": 2,
        "sessions": {"saved_at_unix": huge, "sessions": [
            session("0", "a1"), session("zz", "a1"), session(&"f".repeat(32), "nobody"), session(&"e".repeat(32), "a1"),
        ]},
        "warm": {"saved_at_unix": huge, "prefixes": [
            ["ffffffffffffffff", "0", huge, late, late], ["", "", 1, 1, 1], ["-1", "g", huge, 0, 0],
        ]},
        "limits": {"saved_at_unix": huge, "domains": [
            {"domain": "x", "endpoints": ["nobody", "a1", "a1"], "classes": [
                {"class": "no such class", "open_in_ms": huge, "ewma": huge, "limits": []},
                {"class": "claude-sonnet-4-6", "open_in_ms": 0, "ewma": huge, "limits": [
                    limit("requests", huge, i64::MIN), limit("tokens", 0, i64::MAX), limit("what", 1, 1),
                ]},
            ]},
        ]},
        "links": {"entries": []}, "owners": {"entries": []},
        "unknown": {"deep": [[[[]]]]},
    });
    std::fs::write(lives.dir.path().join("state.json"), state.to_string()).expect("a file");
    let gateway = lives.next().await;
    let log = gateway.log();
    assert!(log.contains("state restored") || log.contains("starting cold"), "{log}");
    for dialect in Dialect::ALL {
        gateway.ask(dialect).session("hostile").send().await.assert_ok();
    }
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_plain_file_is_not_read_as_one() {
    let sim = sim().await;
    let lives = Lives::over(&sim, |setup, _| setup.server("state_file = \"/dev/zero\""));
    let gateway = lives.next().await;
    assert!(gateway.log().contains("it is no plain file"), "{}", gateway.log());
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
}

/// Tokens of input left in the account of `endpoint`, of how many.
fn input_left(status: &Value, endpoint: &str) -> Option<(i64, i64)> {
    let domain = Gateway::endpoint_in(status, endpoint)["rate_domain"].clone();
    let domains = status["domains"].as_array().expect("a list");
    let domain = domains.iter().find(|one| one["name"] == domain)?;
    let levels = domain["classes"].as_array()?.iter().filter_map(|class| class["headroom"].as_array());
    let input = levels.flatten().find(|level| level["kind"] == "input_tokens")?;
    Some((input["remaining"].as_i64()?, input["limit"].as_i64()?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_was_killed_knows_what_is_warm_and_what_is_left() {
    let accounts =
        || (1..=4).map(|n| Account::new(&format!("key-{n}"), &format!("org-{n}"), &format!("ws-{n}")));
    let sim =
        sim_with(|config| config.accounts = accounts().map(|one| one.limits(1_000, 30_000, 0)).collect())
            .await;
    let lives = Lives::over(&sim, |setup, dir| with_state(setup, dir).server("state_every = \"1s\""));
    let ask = |gateway: &Gateway, n: usize, turn: usize| {
        let body = crate::forensics::body(Dialect::Anthropic, turn, &format!("Agent {n}."));
        Ask::new(gateway.url(path(Dialect::Anthropic)), body).session(&format!("killed-{n}"))
    };
    let mut first = lives.next().await;
    let mut homes = Vec::new();
    for n in 0..24 {
        let reply = ask(&first, n, 0).send().await.assert_ok();
        homes.push(reply.endpoint().to_owned());
    }
    let status = first.at_rest().await;
    let left = |status: &Value| (1..=4).map(|n| input_left(status, &format!("a{n}"))).collect::<Vec<_>>();
    let before = left(&status);
    // Written at least once since: the file of the second before may be half the truth.
    let file = lives.dir.path().join("state.json");
    let whole = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let state: Value = serde_json::from_str(&text).unwrap_or_default();
        state["sessions"]["sessions"].as_array().map_or(0, Vec::len) == 24
    };
    within("everything is saved", async {
        while !whole() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    first.signal("KILL");
    assert_eq!(first.ended().await, None);

    let second = lives.next().await;
    assert!(second.log().contains("state restored"), "{}", second.log());
    for (was, is) in before.iter().zip(left(&second.status().await)) {
        let ((was, limit), Some((is, _))) = (was.expect("told"), is) else {
            panic!("nothing is known of limits: {before:?}\n{}", second.log());
        };
        assert!(was < limit / 2 + limit / 4, "the test must use something up: {was} of {limit}");
        assert!(is < limit * 9 / 10, "{is} of {limit} after the restart, {was} before");
    }
    for (n, home) in homes.iter().enumerate() {
        let reply = ask(&second, n, 1).send().await.assert_ok();
        assert_eq!((reply.endpoint(), reply.affinity()), (home.as_str(), "hit"), "agent {n}");
        let warm = reply.header("x-warmkey-warm").split('/').next().and_then(|warm| warm.parse().ok());
        assert!(warm > Some(1_500_u32), "agent {n}: {}", reply.header("x-warmkey-warm"));
    }
    let status = second.at_rest().await;
    assert_eq!(status["predictions"], json!({"made": 24, "wrong": 0}));
    assert_eq!(sim.stats().total().refused, 0, "no account was flooded");
    second.assert_all_ready().await;
    second.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_takes_effect_with_the_next_request() {
    let sim = sim().await;
    let lives = Lives::over(&sim, |setup, _| setup.server("watch = false"));
    let gateway = lives.next().await;
    // A stream in flight, at an endpoint that will be gone.
    let lockstep = sim.lockstep();
    lockstep.release(10);
    let mut stream = long(&gateway, Dialect::Anthropic).session("reload").open().await;
    stream.read_until(|text| text.matches("\n\n").count() >= 10).await;
    let home = stream.headers["x-warmkey-endpoint"].to_str().expect("text").to_owned();
    let gone = format!("[[endpoint]]\nname = \"{home}\"\n");
    assert!(lives.text.contains(&gone));
    let text = lives.text.replace(&gone, "[[endpoint]]\nname = \"fresh\"\n")
        + "[[model]]\nname = \"new-model\"\nprovider = \"anthropic\"\nupstream = \"claude-sonnet-4-6\"\n";
    let asked = |model: &str| gateway.ask(Dialect::Anthropic).with(|body| body["model"] = model.into());
    asked("new-model").send().await.assert_error(Dialect::Anthropic, 404);
    std::fs::write(&gateway.config, text).expect("a file");
    gateway.signal("HUP");
    gateway.logged("settings reloaded").await;
    asked("new-model").send().await.assert_ok();
    let status = gateway.status().await;
    let names: Vec<_> =
        status["endpoints"].as_array().expect("a list").iter().map(|e| e["name"].clone()).collect();
    assert!(names.contains(&"fresh".into()) && !names.contains(&home.as_str().into()), "{names:?}");
    // The session has lost its endpoint, and goes on at another.
    let moved = gateway.ask(Dialect::Anthropic).session("reload").send().await.assert_ok();
    assert_ne!(moved.endpoint(), home);
    // The stream goes on where it was.
    drop(lockstep);
    assert_whole(stream.rest().await);
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_keeps_the_old_settings_and_names_its_line() {
    let sim = sim().await;
    let lives = Lives::over(&sim, |setup, _| setup.server("watch = false"));
    let gateway = lives.next().await;
    // A key that nobody knows, a broken line, an endpoint of nobody: each names its line.
    for (n, fault) in ["[surver]\n", "[[model]\n", "[[endpoint]]\nname = \"x\"\nprovider = \"nobody\"\n"]
        .into_iter()
        .enumerate()
    {
        std::fs::write(&gateway.config, lives.text.trim_end().to_owned() + "\n" + fault).expect("a file");
        gateway.signal("HUP");
        let refused = || gateway.metric("reloads_total", &["result=\"refused\""]);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let wanted = (n + 1) as f64;
        within("the file is refused", async {
            while refused().await < wanted {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let log = gateway.log();
        let said = &log[log.rfind("settings have faults").expect("said")..];
        let at = lives.text.trim_end().lines().count();
        let named = (at + 1..=at + 3).any(|line| said.contains(&format!(":{line}:")));
        assert!(named, "none of the lines from {at} on is named in:\n{said}");
        gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    }
    // Mended, it is read again.
    std::fs::write(&gateway.config, &lives.text).expect("a file");
    gateway.signal("HUP");
    gateway.logged("settings reloaded").await;
    gateway.ask(Dialect::OpenAiChat).send().await.assert_ok();
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}
