//! Every decision can be asked for: in headers, in `/status`, in metrics.

use std::time::Duration;

use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, RetryHint},
    types::Dialect,
};

use crate::{
    forensics::body,
    harness::{Ask, Gateway, Reply, Setup, get, path, sim},
};

async fn turn(gateway: &Gateway, dialect: Dialect, session: &str, turn: usize) -> Reply {
    let ask = Ask::new(gateway.url(path(dialect)), body(dialect, turn, "Be brief.")).session(session);
    let reply = ask.stream(turn.is_multiple_of(2)).send().await.assert_ok();
    // What comes next is compared with what was booked.
    gateway.at_rest().await;
    reply
}

/// `x-warmkey-warm`: tokens expected in the cache, and of how many.
fn warm(reply: &Reply) -> (u64, u64) {
    let (warm, of) = reply.header("x-warmkey-warm").split_once('/').expect("two numbers");
    (warm.parse().expect("tokens"), of.parse().expect("tokens"))
}

/// The decisions of the session of `reply`, the latest first.
async fn decisions(gateway: &Gateway, reply: &Reply) -> Vec<Value> {
    let id = reply.header("x-warmkey-session");
    let shown = get(&format!("http://{}/status/sessions/{id}", gateway.admin)).await.assert_ok().json();
    shown["decisions"].as_array().expect("a list").clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_shows_why_its_requests_went_where_they_went() {
    for dialect in Dialect::ALL {
        let sim = sim().await;
        let gateway = Setup::over(&sim).accounts(5).start().await;
        let first = turn(&gateway, dialect, "explained", 0).await;
        assert_eq!((first.affinity(), warm(&first).0), ("new", 0), "{dialect}");
        assert!(warm(&first).1 > 1_500, "{dialect}: {}", first.header("x-warmkey-warm"));
        assert_eq!(first.header("x-warmkey-wait"), "");
        let home = first.endpoint().to_owned();

        // The account is limited for a moment: it is waited for.
        let key = format!("key-{}", &home[1..]);
        sim.script(Fault::RateLimited { hint: RetryHint::RetryAfterMs(400) }.on_key(&key));
        let second = turn(&gateway, dialect, "explained", 1).await;
        assert_eq!((second.endpoint(), second.affinity()), (home.as_str(), "hit"), "{dialect}");
        let waited: f64 = second.header("x-warmkey-wait").strip_suffix('s').unwrap().parse().unwrap();
        assert!((0.3..5.0).contains(&waited), "{dialect}: {waited}");
        let (expected, of) = warm(&second);
        assert!(expected > 1_500 && expected <= of, "{dialect}: {expected} of {of}");

        let shown = decisions(&gateway, &second).await;
        assert_eq!(shown.len(), 2, "{dialect}: {shown:#?}");
        let (latest, before) = (&shown[0], &shown[1]);
        assert_eq!(
            (&latest["endpoint"], &latest["why"], &latest["expected_read"], &latest["attempts"]),
            (&json!(home), &json!("waited"), &json!(expected), &json!(2)),
            "{dialect}"
        );
        assert!(latest["waited_s"].as_f64().unwrap() >= 0.3, "{latest}");
        let read = latest["read"].as_u64().expect("the provider said");
        assert!(read + 1_024 >= expected, "{dialect}: {read} were read");
        assert!(latest["charged_nano_usd"].as_u64().unwrap() > 0);
        assert_eq!((&before["affinity"], &before["expected_read"]), (&json!("new"), &json!(0)));
        let weighed = before["candidates"].as_array().unwrap();
        assert!(weighed.len() >= 5, "all five were weighed: {weighed:#?}");
        let taken: Vec<&Value> = weighed.iter().filter(|one| one["taken"] == true).collect();
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0]["endpoint"], json!(home));
        for one in weighed {
            let term = |name: &str| one[name].as_f64().expect("dollars");
            let sum = term("money_usd") + term("delay_usd") + term("crowding_usd") + term("other_usd");
            assert!((sum - term("total_usd")).abs() < 1e-9, "{one}");
            assert!(term("total_usd") + 1e-5 >= taken[0]["total_usd"].as_f64().unwrap(), "{one}");
        }

        assert_eq!(gateway.count("predictions_total", &["result=\"right\""]).await, 1, "{dialect}");
        assert_eq!(gateway.count("predictions_total", &["result=\"wrong\""]).await, 0, "{dialect}");
        assert_eq!(gateway.count("wait_seconds_count", &[]).await, 1, "{dialect}");
        let status = gateway.status().await;
        assert_eq!(status["predictions"], json!({"made": 1, "wrong": 0}));
        let prefixes = status["warm_prefixes"].as_u64().unwrap();
        assert!(prefixes >= 2, "{prefixes}");
        assert_eq!(gateway.count("warm_prefixes", &[]).await, prefixes);
        gateway.logged(&format!("expected_read={expected}")).await;
        gateway.assert_no_panic();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_wrong_says_so() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).accounts(1).start().await;
    let dialect = Dialect::Anthropic;
    turn(&gateway, dialect, "wrong", 0).await;
    // The provider's day is over before ours: it has forgotten everything, and does not tell.
    sim.advance(Duration::from_secs(3_600));
    let reply = turn(&gateway, dialect, "wrong", 1).await;
    assert!(warm(&reply).0 > 1_500);
    let shown = decisions(&gateway, &reply).await;
    assert_eq!(shown[0]["read"], json!(0), "{:#?}", shown[0]);
    assert_eq!(gateway.count("predictions_total", &["result=\"wrong\""]).await, 1);
    assert_eq!(gateway.status().await["predictions"], json!({"made": 1, "wrong": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_staying_warm_saves_is_told_as_a_number() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    // An eighth of the sessions is followed, by hash.
    for session in 0..24 {
        for n in 0..3 {
            turn(&gateway, Dialect::Anthropic, &format!("saving-{session}"), n).await;
        }
    }
    let savings = gateway.status().await["savings"].clone();
    let dollars = |name: &str| savings[name].as_f64().expect("dollars");
    assert!(dollars("spent_usd") > 0.0, "{savings}");
    assert!(dollars("saved_usd") > 0.0, "nobody was followed: {savings}");
    let difference = dollars("round_robin_usd") - dollars("spent_usd");
    assert!((difference - dollars("saved_usd")).abs() < 1e-9, "{savings}");
    assert!((gateway.metric("saved_usd", &[]).await - dollars("saved_usd")).abs() < 1e-9);
    assert!((gateway.metric("round_robin_usd", &[]).await - dollars("round_robin_usd")).abs() < 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn explanations_can_be_kept_from_clients() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).server("explain = false").start().await;
    let reply = turn(&gateway, Dialect::Anthropic, "silent", 0).await;
    let told: Vec<&str> = reply.headers.keys().map(|name| name.as_str()).collect();
    assert!(told.iter().all(|name| !name.starts_with("x-warmkey-")), "{told:?}");
}
