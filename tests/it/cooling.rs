//! What a failure cools, for how long, and who is spared.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};
use warmkey::{
    sim::{Door, Fault, RetryHint, Rule, Sim, SimConfig},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Setup, is_error, sim, sim_with};

const QUICK: &str = "[provider.timeouts]
first_byte = \"2s\"
idle = \"2s\"
total = \"10s\"
[provider.cooling]
recheck = \"1s\"
base = \"300ms\"
stay_delay = \"10ms\"
pace = \"0s\"
";

/// Eight accounts of three organisations (1 to 3, 4 to 6, 7 and 8).
async fn start() -> (Sim, Gateway) {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim).provider(QUICK).start().await;
    (sim, gateway)
}

fn no_limits(config: &mut SimConfig) {
    for account in &mut config.accounts {
        (account.rpm, account.itpm, account.otpm) = (0, 0, 0);
    }
}

const fn limited(hint: RetryHint) -> Fault {
    Fault::RateLimited { hint }
}

const LONG: Fault = limited(RetryHint::RetryAfter(40));

/// What the provider saw of calls that generate.
fn tries(sim: &Sim) -> usize {
    sim.seen().iter().filter(|seen| seen.method == "POST").count()
}

/// The key behind an endpoint.
fn key_of(endpoint: &str) -> String {
    format!("key-{}", endpoint.trim_start_matches(['a', 'o']))
}

fn organization_of(endpoint: &str) -> &'static str {
    let n: usize = endpoint.trim_start_matches(['a', 'o']).parse().expect("a number");
    ["one", "two", "three"][(n - 1) / 3]
}

fn states(status: &Value, wanted: &str) -> Vec<String> {
    let endpoints = status["endpoints"].as_array().expect("a list");
    let of = endpoints.iter().filter(|endpoint| endpoint["state"] == wanted);
    of.map(|endpoint| endpoint["name"].as_str().expect("a name").to_owned()).collect()
}

/// The longest time until a class of an endpoint's rate domain opens.
fn opens_in(status: &Value, endpoint: &str) -> f64 {
    let domains = status["domains"].as_array().expect("a list");
    let has_it =
        |domain: &&Value| domain["endpoints"].as_array().is_some_and(|all| all.contains(&json!(endpoint)));
    let domain = domains.iter().find(has_it).expect("its domain");
    let classes = domain["classes"].as_array().expect("a list").iter();
    classes.filter_map(|class| class["open_in_seconds"].as_f64()).fold(0.0, f64::max)
}

async fn all(asks: impl IntoIterator<Item = Ask>) -> Vec<Reply> {
    let mut sent = JoinSet::new();
    for ask in asks {
        sent.spawn(async move { ask.send().await });
    }
    sent.join_all().await
}

// ---- 429

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_session_waits_a_short_429_out_where_it_is_warm() {
    let sim = sim_with(no_limits).await;
    // By cost a prompt of a few words would rather move than wait a second.
    let pinned = format!("routing = \"pinned\"\n{QUICK}");
    let gateway = Setup::over(&sim).provider(&pinned).start().await;
    for dialect in Dialect::ALL {
        let ask = gateway.ask(dialect).session(dialect.label());
        let home = ask.send().await.assert_ok().endpoint().to_owned();
        sim.script(limited(RetryHint::RetryAfter(1)));
        let began = Instant::now();
        let reply = ask.send().await.assert_ok();
        assert!(began.elapsed() >= Duration::from_secs(1), "it came back too soon");
        assert_eq!((reply.endpoint(), reply.affinity()), (home.as_str(), "hit"));
        assert_eq!(reply.header("x-warmkey-reason"), "waited");
        assert_eq!(ask.send().await.assert_ok().endpoint(), home);
    }
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_429_moves_a_session_once_and_it_does_not_bounce_back() {
    let sim = sim_with(no_limits).await;
    // Nothing is worth waiting for, so that a short time is a long one.
    let gateway = Setup::over(&sim).provider(QUICK).more("[routing]\nwait_max = \"0s\"\n").start().await;
    let ask = gateway.ask(Dialect::Anthropic).session("mover");
    let home = ask.send().await.assert_ok().endpoint().to_owned();
    sim.script(limited(RetryHint::RetryAfter(1)).on_organization(organization_of(&home)));
    let moved = ask.send().await.assert_ok();
    assert_eq!((moved.affinity(), moved.header("x-warmkey-reason")), ("moved", "rate_limited"));
    assert_ne!(organization_of(moved.endpoint()), organization_of(&home));
    gateway.until("the cooldown is over", |status| opens_in(status, &home) == 0.0).await;
    for _ in 0..3 {
        let reply = ask.send().await.assert_ok();
        assert_eq!((reply.endpoint(), reply.affinity()), (moved.endpoint(), "hit"));
    }
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_cools_the_whole_organisation_and_nobody_else() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).provider(QUICK).start().await;
    for (hint, least, most) in [
        (RetryHint::None, 20.0, 30.0),
        (RetryHint::ResetOnly(45), 35.0, 46.0),
        (RetryHint::RetryAfterMs(50_000), 40.0, 50.0),
    ] {
        let ask = gateway.ask(Dialect::Anthropic).session(&format!("{hint:?}").replace(['(', ')'], "-"));
        let home = ask.send().await.assert_ok().endpoint().to_owned();
        sim.script(limited(hint));
        let moved = ask.send().await.assert_ok();
        let status = gateway.at_rest().await;
        let cooling = states(&status, "cooling");
        assert!(cooling.iter().all(|name| organization_of(name) == organization_of(&home)), "{cooling:?}");
        // Both providers are at one host here, so an organisation is one for both.
        assert_eq!(cooling.len(), if organization_of(&home) == "three" { 4 } else { 6 });
        assert!(!cooling.contains(&moved.endpoint().to_owned()));
        let left = opens_in(&status, &home);
        assert!((least..=most).contains(&left), "{hint:?}: {left} s");
        gateway.readmit(&home).await;
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_429s_at_once_are_one_cooldown() {
    let (sim, gateway) = start().await;
    let asks: Vec<Ask> =
        (0..24).map(|n| gateway.ask(Dialect::Anthropic).session(&format!("crowd-{n}"))).collect();
    all(asks.clone()).await.into_iter().for_each(|reply| drop(reply.assert_ok()));
    sim.script(LONG.on_organization("one").always());
    all(asks.clone()).await.into_iter().for_each(|reply| drop(reply.assert_ok()));
    let status = gateway.at_rest().await;
    assert_eq!(states(&status, "cooling"), ["a1", "a2", "a3", "o1", "o2", "o3"]);
    assert!(opens_in(&status, "a1") <= 40.0);
    let before = sim.seen().iter().filter(|seen| seen.organization == "one").count();
    all(asks).await.into_iter().for_each(|reply| drop(reply.assert_ok()));
    let after = sim.seen().iter().filter(|seen| seen.organization == "one").count();
    assert_eq!(before, after, "a cooling organisation was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_two_organisations_refuse_cools_the_first_only() {
    let (sim, gateway) = start().await;
    for dialect in Dialect::ALL {
        let ask = gateway.ask(dialect).session(dialect.label());
        let home = ask.send().await.assert_ok().endpoint().to_owned();
        let before = tries(&sim);
        sim.script(LONG.always());
        let reply = ask.send().await.assert_error(dialect, 429);
        sim.clear_faults();
        assert!(reply.text().contains("would exceed your organization's rate limit"), "{}", reply.text());
        assert_eq!(reply.header("retry-after"), "40");
        assert_eq!(tries(&sim) - before, 2);
        let cooling = states(&gateway.at_rest().await, "cooling");
        assert!(cooling.iter().all(|name| organization_of(name) == organization_of(&home)), "{cooling:?}");
        gateway.readmit(&home).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_larger_than_any_limit_is_the_callers_own_429() {
    let (sim, gateway) = start().await;
    for dialect in Dialect::ALL {
        sim.script(Fault::ExceedsLimitAlone);
        let before = tries(&sim);
        let reply = gateway.ask(dialect).send().await.assert_error(dialect, 429);
        assert!(reply.text().contains("Request too large"), "{}", reply.text());
        assert!((1..=60).contains(&reply.header("retry-after").parse::<u64>().expect("whole seconds")));
        assert_eq!(tries(&sim) - before, 1);
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_of_free_calls_and_embeddings_do_not_cool_messages() {
    let (sim, gateway) = start().await;
    let messages = gateway.ask(Dialect::Anthropic).session("m");
    let home = messages.send().await.assert_ok().endpoint().to_owned();
    sim.script(LONG.on_path("/v1/messages/count_tokens").always());
    sim.script(LONG.on_path("/v1/embeddings").always());
    let mut count =
        messages.clone().with(|body| drop(body.as_object_mut().expect("an object").remove("max_tokens")));
    for _ in 0..3 {
        count = count.to(gateway.url("/v1/messages/count_tokens"));
        assert_eq!(count.send().await.status, 429);
        let embed = Ask::new(gateway.url("/v1/embeddings"), json!({"model": "gpt-5.6", "input": "x"}));
        assert_eq!(embed.send().await.status, 429);
    }
    let reply = messages.send().await.assert_ok();
    assert_eq!((reply.endpoint(), reply.header("x-warmkey-reason")), (home.as_str(), "warm"));
    for n in 0..8 {
        for dialect in Dialect::ALL {
            gateway.ask(dialect).session(&n.to_string()).send().await.assert_ok();
        }
    }
    gateway.at_rest().await;
}

// ---- Hosts that fail

#[tokio::test(flavor = "multi_thread")]
async fn three_failures_in_a_row_take_a_host_out_and_one_trial_brings_it_back() {
    let (sim, gateway) = start().await;
    for dialect in [Dialect::Anthropic, Dialect::OpenAiResponses] {
        let letter = if dialect == Dialect::Anthropic { "a" } else { "o" };
        let one = format!("{letter}1");
        let before = tries(&sim);
        sim.script(Fault::ServerError.always());
        for n in 0..3 {
            // One poisonous request counts once, however often it is tried.
            assert_eq!(states(&gateway.status().await, "failing").len(), 0, "after {n}");
            let reply = gateway.ask(dialect).send().await.assert_error(dialect, 500);
            assert!(reply.text().contains("Internal server error"), "{}", reply.text());
        }
        assert_eq!(tries(&sim) - before, 3 + 3 + 1, "the third request's first try takes it out");
        let status = gateway.at_rest().await;
        let out: Vec<String> = [states(&status, "failing"), states(&status, "probing")].concat();
        assert_eq!(out.len(), 16, "one host, one failure domain: {out:?}");
        assert!(out.contains(&one));

        // A trial that fails takes it out again; one that is held up is the only one.
        gateway.until("a trial is due", |status| states(status, "probing").contains(&one)).await;
        gateway.ask(dialect).send().await.assert_error(dialect, 500);
        assert!(states(&gateway.status().await, "failing").contains(&one));
        sim.clear_faults();
        sim.script(Fault::SlowHeader { delay_ms: Duration::from_millis(700) });
        gateway.until("a trial is due again", |status| states(status, "probing").contains(&one)).await;
        let before = tries(&sim);
        let asks = (0..12).map(|n| gateway.ask(dialect).session(&format!("trial-{n}")));
        let replies = all(asks).await;
        assert_eq!(tries(&sim) - before, 1, "the provider saw more than the trial");
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 1);
        for reply in replies.into_iter().filter(|reply| reply.status != 200) {
            assert!(!reply.header("retry-after").is_empty());
            reply.assert_error(dialect, 503);
        }
        gateway.assert_all_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_refuses_connections_is_left_alone_until_it_is_back() {
    let (sim, gateway) = start().await;
    sim.door(Door::Refuse).await.expect("closed");
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let reply = gateway.ask(dialect).stream(stream).send().await;
            let status = reply.status.as_u16();
            assert!([502, 503].contains(&status), "{}", reply.text());
            reply.assert_error(dialect, status);
        }
    }
    assert_eq!(states(&gateway.at_rest().await, "ready").len(), 0);
    assert_eq!(tries(&sim), 0);
    sim.door(Door::Open).await.expect("open");
    for dialect in Dialect::ALL {
        gateway.until("a trial is due", |status| states(status, "failing").is_empty()).await;
        gateway.ask(dialect).send().await.assert_ok();
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_overloaded_shared_provider_keeps_the_session_and_an_engine_of_ones_own_moves_it() {
    for (overload, moves) in [("stay", false), ("move", true)] {
        let sim = sim_with(no_limits).await;
        let settings = format!("overload = \"{overload}\"\n{QUICK}");
        let gateway = Setup::over(&sim).provider(&settings).start().await;
        for dialect in Dialect::ALL {
            for fault in [Fault::Overloaded, Fault::Unavailable] {
                let ask = gateway.ask(dialect).session(&format!("{}-{fault:?}", dialect.label()));
                let home = ask.send().await.assert_ok().endpoint().to_owned();
                sim.script(fault);
                assert_eq!(ask.send().await.assert_ok().endpoint() != home, moves, "{overload}");
            }
        }
        gateway.assert_all_ready().await;
    }
}

// ---- Keys

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_key_is_quarantined_by_our_own_check_and_comes_back() {
    for (fault, trouble) in [
        (Fault::KeyRejected, "invalid"),
        (Fault::BillingRejected, "billing"),
        (Fault::KeyForbidden, "forbidden"),
        (Fault::SpendLimitEnforced, "spend_cap"),
    ] {
        let sim = sim_with(no_limits).await;
        // A key that our own check has just found good is trusted for a while: none before, and each
        // is used once.
        let setup = Setup::over(&sim).provider(&format!("validate_keys = false\n{QUICK}"));
        let gateway = setup.start().await;
        let mut used = Vec::new();
        for dialect in Dialect::ALL {
            let (ask, home) = loop {
                let ask = gateway.ask(dialect).session(&format!("{}-{}", dialect.label(), fastrand::u64(..)));
                let home = ask.send().await.assert_ok().endpoint().to_owned();
                if !used.contains(&key_of(&home)) {
                    used.push(key_of(&home));
                    break (ask, home);
                }
            };
            sim.script(Rule::from(fault.clone()).on_key(&key_of(&home)).everywhere().always());
            assert_ne!(ask.send().await.assert_ok().endpoint(), home);
            let status = gateway
                .until("the key is quarantined", |status| {
                    Gateway::endpoint_in(status, &home)["state"] == "quarantined"
                })
                .await;
            // OpenAI has one word for both.
            let no_credit = trouble == "billing" && dialect != Dialect::Anthropic;
            let trouble = if no_credit { "spend_cap" } else { trouble };
            assert_eq!(Gateway::endpoint_in(&status, &home)["key_trouble"], trouble);
            assert_eq!(states(&status, "quarantined").len(), 1);
            assert!(gateway.log().contains("key quarantined"));
            sim.clear_faults();
            gateway.until("the key is back", |status| states(status, "quarantined").is_empty()).await;
        }
        gateway.assert_all_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_odd_request_never_takes_a_key_from_others() {
    let (sim, gateway) = start().await;
    for fault in [Fault::KeyRejected, Fault::BillingRejected, Fault::KeyForbidden, Fault::SpendLimitText] {
        for dialect in Dialect::ALL {
            // Whatever key this caller's request is sent with, it is refused.
            sim.script(Rule::from(fault.clone()).on_header("x-session-id", "session-odd").always());
            gateway.ask(dialect).session("odd").send().await.assert_error(dialect, 503);
            gateway.until("the keys are cleared", |status| states(status, "ready").len() == 16).await;
            sim.clear_faults();
        }
    }
    assert!(!gateway.log().contains("key quarantined"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn when_every_key_is_dead_the_client_is_told_503_and_never_401() {
    let (sim, gateway) = start().await;
    sim.script(Fault::KeyRejected.everywhere().always());
    for dialect in Dialect::ALL {
        for _ in 0..6 {
            let reply = gateway.ask(dialect).send().await.assert_error(dialect, 503);
            assert!(!reply.text().contains("api-key"), "{}", reply.text());
        }
    }
    sim.clear_faults();
    gateway.until("all are back", |status| states(status, "ready").len() == 16).await;
    for dialect in Dialect::ALL {
        gateway.ask(dialect).send().await.assert_ok();
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_403_about_a_model_bars_that_model_only() {
    let sim = sim_with(no_limits).await;
    let other = "[[model]]\nname = \"claude-haiku-4-5\"\nprovider = \"anthropic\"\n";
    let gateway = Setup::over(&sim).accounts(1).provider(QUICK).more(other).start().await;
    let ask = gateway.ask(Dialect::Anthropic);
    let haiku = ask.clone().with(|body| body["model"] = json!("claude-haiku-4-5"));
    sim.script(Rule::from(Fault::ModelForbidden).on_model("claude-sonnet-4-6").always());
    ask.send().await.assert_error(Dialect::Anthropic, 503);
    let before = tries(&sim);
    ask.send().await.assert_error(Dialect::Anthropic, 503);
    assert_eq!(tries(&sim), before, "a barred model was asked for again");
    haiku.send().await.assert_ok();
    gateway.assert_all_ready().await;
    sim.clear_faults();
    let mut reply = ask.send().await;
    let began = Instant::now();
    while reply.status != 200 && began.elapsed() < Duration::from_secs(10) {
        gateway.status().await;
        reply = ask.send().await;
    }
    reply.assert_ok();
}

// ---- How often

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_tried_as_often_as_the_settings_say() {
    for most in [1, 3, 5] {
        let sim = sim_with(no_limits).await;
        let setup = Setup::over(&sim).server(&format!("max_attempts = {most}"));
        let gateway = setup.provider(&format!("{QUICK}allowed_fails = 100\n")).start().await;
        for dialect in Dialect::ALL {
            let before = tries(&sim);
            sim.script(Fault::ServerError.times(20));
            let reply = gateway.ask(dialect).send().await.assert_error(dialect, 500);
            assert!(reply.text().contains("Internal server error"), "verbatim: {}", reply.text());
            assert_eq!(tries(&sim) - before, most);
            sim.clear_faults();
        }
        gateway.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fallbacks_have_a_budget() {
    let sim = sim_with(no_limits).await;
    let settings = format!("retry_budget_percent = 0\n{QUICK}allowed_fails = 100\n");
    let gateway = Setup::over(&sim).provider(&settings).start().await;
    let mut served = 0;
    for _ in 0..15 {
        sim.script(Fault::ServerError);
        let reply = gateway.ask(Dialect::Anthropic).send().await;
        served += u32::from(reply.status == 200);
        assert!(reply.status == 200 || reply.status == 500, "{}", reply.text());
    }
    assert_eq!(served, 10, "the floor of the budget is ten in ten seconds");
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_billed_twice_is_replayed_once_at_most() {
    for fault in [Fault::CloseBeforeHeader, Fault::ResetBeforeHeader, Fault::TruncateAfter { events: 1 }] {
        for dialect in Dialect::ALL {
            let sim = sim_with(no_limits).await;
            let setup = Setup::over(&sim).provider(&format!("validate_keys = false\n{QUICK}"));
            let gateway = setup.start().await;
            sim.script(fault.clone().always());
            gateway.ask(dialect).stream(true).send().await.assert_error(dialect, 502);
            gateway.at_rest().await;
            assert_eq!(tries(&sim), 2, "{fault:?} {dialect}");
            let ambiguous = gateway.metric("ambiguous_attempts_total", &[]).await;
            assert_eq!(ambiguous, 2.0, "{fault:?} {dialect}\nM{}M", gateway.metrics().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_usage_option_is_left_out_once_and_for_all() {
    let (sim, gateway) = start().await;
    sim.script(Fault::StreamOptionsUnknown.always());
    for (n, expected) in [(1, 2), (2, 1), (3, 1)] {
        let before = tries(&sim);
        let reply = gateway.ask(Dialect::OpenAiChat).stream(true).send().await.assert_ok();
        reply.assert_complete(Dialect::OpenAiChat);
        assert!(!reply.text().contains("\"usage\":{"));
        assert_eq!(tries(&sim) - before, expected, "request {n}");
    }
    // A client's own option is its own affair.
    let own = gateway
        .ask(Dialect::OpenAiChat)
        .stream(true)
        .with(|body| body["stream_options"] = json!({"include_usage": true}));
    own.send().await.assert_error(Dialect::OpenAiChat, 400);
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_ends_although_heart_beats_go_on() {
    let sim = sim().await;
    let beats = "[server.heartbeat]\nenabled = true\nafter = \"1s\"\nevery = \"1s\"\n";
    let settings = format!("{QUICK}allowed_fails = 100\n");
    let gateway = Arc::new(Setup::over(&sim).server(beats).provider(&settings).start().await);
    let mut sent = JoinSet::new();
    for dialect in Dialect::ALL {
        for fault in [Fault::StallAfter { events: 12 }, Fault::HangBeforeHeader] {
            let id = format!("{}-{}", dialect.label(), fault == Fault::HangBeforeHeader);
            let silent = fault == Fault::HangBeforeHeader;
            sim.script(Rule::from(fault).on_header("x-session-id", &format!("session-{id}")));
            let ask = gateway.ask(dialect).session(&id).stream(true).with(|body| {
                let text = json!("hi [sim:output_tokens=200]");
                match dialect {
                    Dialect::OpenAiResponses => body["input"] = text,
                    Dialect::Anthropic | Dialect::OpenAiChat => body["messages"][0]["content"] = text,
                }
            });
            sent.spawn(async move { (dialect, silent, ask.send().await) });
        }
    }
    for (dialect, silent, reply) in sent.join_all().await {
        assert!(reply.text().contains(": waiting\n\n"), "{}", reply.text());
        if silent {
            // The beat committed a 200, but no content was sent: another account may answer.
            reply.assert_complete(dialect);
        } else {
            assert!(is_error(&reply.assert_ends_in_error(dialect)));
        }
    }
    gateway.assert_all_ready().await;
}
