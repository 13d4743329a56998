//! Objects that were not made through the gateway: looked for, then known, or denied in the provider's
//! own words.

use std::collections::BTreeSet;

use http::Method;
use serde_json::json;
use warmkey::{
    sim::{Fault, RetryHint, Sim},
    types::Dialect,
};

use crate::{
    harness::{Ask, Gateway, Setup, sim},
    objects::{bare, id, of, stored},
};

/// A response that was made past the gateway, with the key of account `n`.
async fn made_elsewhere(sim: &Sim, n: usize) -> String {
    let body = json!({"model": "gpt-5.6", "input": "hello", "store": true});
    let ask = Ask::new(format!("{}/v1/responses", sim.base_url()), body);
    id(&of(ask, &format!("key-{n}")).send().await.assert_ok())
}

/// A turn that goes on from a response.
fn goes_on(gateway: &Gateway, from: &str, stream: bool) -> Ask {
    stored(gateway).stream(stream).with(|body| body["previous_response_id"] = json!(from))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_elsewhere_is_looked_for_and_then_known() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for (n, stream) in [(5, false), (2, true), (8, false), (1, true)] {
        let (made, owner) = (made_elsewhere(&sim, n).await, format!("o{n}"));
        let before = sim.seen().len();
        let found = goes_on(&gateway, &made, stream).send().await.assert_ok();
        assert_eq!(found.endpoint(), owner);
        if stream {
            found.assert_complete(Dialect::OpenAiResponses);
        }
        let tries = sim.seen().len() - before;
        assert!((1..=8).contains(&tries), "{tries} tries");
        // From now on it is known.
        for stream in [false, true] {
            let before = sim.seen().len();
            let known = goes_on(&gateway, &made, stream).session("another").send().await.assert_ok();
            assert_eq!((known.endpoint(), known.header("x-warmkey-reason")), (owner.as_str(), "hard_pin"));
            assert_eq!(sim.seen().len() - before, 1);
        }
        let look = bare(&gateway, Method::GET, &format!("/v1/responses/{made}")).send().await.assert_ok();
        assert_eq!(look.endpoint(), owner);
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_knows_is_asked_for_once_everywhere_and_denied_in_the_providers_words() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for stream in [false, true] {
        sim.reset();
        let never = goes_on(&gateway, "resp_never", stream).send().await;
        let never = never.assert_error(Dialect::OpenAiResponses, 400);
        assert_eq!(never.json()["error"]["code"], "previous_response_not_found");
        let asked: Vec<String> = sim.seen().into_iter().map(|seen| seen.key).collect();
        assert_eq!(asked.iter().collect::<BTreeSet<_>>().len(), 8, "everybody: {asked:?}");
        assert_eq!(asked.len(), 8, "and once: {asked:?}");
        let organisation = |key: &String| (key[4..].parse::<usize>().unwrap() - 1) / 3;
        let first: BTreeSet<usize> = asked[..3].iter().map(organisation).collect();
        assert_eq!(first.len(), 3, "other organisations come first: {asked:?}");
        assert_eq!(never.endpoint(), format!("o{}", &asked[7][4..]), "the last word is the last one's");
    }
    // A 404 means the same.
    let unknown = stored(&gateway).with(|body| body["conversation"] = json!("conv_never"));
    unknown.send().await.assert_error(Dialect::OpenAiResponses, 404);
    gateway.at_rest().await;
    assert_eq!(gateway.count("attempts_total", &["outcome=\"refused\""]).await, 24);
    assert_eq!(gateway.count("requests_total", &["outcome=\"refused\""]).await, 3);
    // It is no reason to carry around what something else is wrong with.
    sim.reset();
    sim.script(Fault::Status { status: 400 });
    goes_on(&gateway, "resp_never", false).send().await.assert_error(Dialect::OpenAiResponses, 400);
    assert_eq!(sim.seen().len(), 1);
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn as_long_as_one_account_cannot_be_asked_nothing_is_said_to_be_unknown() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for (fault, status) in
        [(Fault::RateLimited { hint: RetryHint::RetryAfter(300) }, 429), (Fault::ServerError, 500)]
    {
        let made = made_elsewhere(&sim, 4).await;
        sim.script(fault.on_key("key-4").always());
        for stream in [false, true] {
            let reply = goes_on(&gateway, &made, stream).send().await;
            reply.assert_error(Dialect::OpenAiResponses, status);
        }
        sim.clear_faults();
        gateway.readmit("o4").await;
        let found = goes_on(&gateway, &made, false).send().await.assert_ok();
        assert_eq!(found.endpoint(), "o4");
    }
}
