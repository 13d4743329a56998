//! Observe mode: callers keep their own keys, the gateway looks on.

use warmkey::{
    sim::{Fault, RetryHint, Sim},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, path, sim};

/// A gateway without a key of its own: an endpoint a provider, and callers bring what they have.
async fn observing(sim: &Sim) -> Gateway {
    let mut more = String::new();
    for (name, model) in [("anthropic", "claude-sonnet-4-6"), ("openai", "gpt-5.6")] {
        more += &format!(
            "[[provider]]\nname = \"{name}\"\ndialect = \"{name}\"\nbase_url = \"{}\"\ncredentials = \"caller\"\n\
             [[endpoint]]\nname = \"{name}-own\"\nprovider = \"{name}\"\n\
             [[model]]\nname = \"{model}\"\nprovider = \"{name}\"\n",
            sim.base_url()
        );
    }
    let text = format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{more}");
    let dir = tempfile::tempdir().unwrap();
    Gateway::run(&text, dir.path(), &std::collections::BTreeMap::new()).await
}

/// With a caller's own key, in the header of its dialect.
fn own(ask: Ask, dialect: Dialect, key: &str) -> Ask {
    match dialect {
        Dialect::Anthropic => ask.header("x-api-key", key),
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            ask.header("authorization", &format!("Bearer {key}"))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_own_key_goes_through_untouched_and_everything_else_works() {
    let sim = sim().await;
    let gateway = observing(&sim).await;
    assert_eq!(sim.seen().len(), 0, "there is no key to check at start");
    for dialect in Dialect::ALL {
        for (n, stream) in [(1, false), (2, true)] {
            let key = format!("key-{n}");
            let ask = own(gateway.ask(dialect), dialect, &key)
                .session(&format!("own-{n}-{dialect}"))
                .stream(stream);
            let ask =
                ask.header("openai-organization", "org-of-mine").header("openai-project", "proj-of-mine");
            let reply = ask.send().await.assert_ok();
            assert!(reply.endpoint().ends_with("-own"), "{reply:?}");
            assert_eq!(reply.affinity(), "new");
            assert!(!reply.header("x-warmkey-session").is_empty());
            assert_eq!(ask.send().await.assert_ok().affinity(), "hit");
            let seen = sim.seen();
            let last = seen.last().unwrap();
            assert_eq!(last.key, key);
            assert_eq!(last.header("openai-organization"), "org-of-mine");
            assert_eq!(last.header("openai-project"), "proj-of-mine");
            let name = if dialect == Dialect::Anthropic { "x-api-key" } else { "authorization" };
            let count =
                ["x-api-key", "authorization", "api-key"].iter().filter(|name| !last.header(name).is_empty());
            assert_eq!(count.count(), 1, "no key beside the caller's");
            assert!(last.header(name).ends_with(&key));
        }
    }
    gateway.at_rest().await;
    let billed = sim.stats().total();
    let output = gateway.count("tokens_total", &["kind=\"output\""]).await;
    assert_eq!(output, billed.usage.output);
    assert_eq!(gateway.nano_dollars(&[]).await, billed.cost.0);
    assert!(!gateway.log().contains("key-1"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_with_a_callers_own_key_is_its_own() {
    for dialect in Dialect::ALL {
        let sim = sim().await;
        let gateway = observing(&sim).await;
        let ask = |key: &str| own(gateway.ask(dialect), dialect, key);
        let hint = RetryHint::RetryAfter(7);
        for (fault, status) in [
            (Fault::RateLimited { hint }, 429),
            (Fault::KeyRejected, 401),
            (Fault::BillingRejected, 402),
            (Fault::KeyForbidden, 403),
            (Fault::ModelForbidden, 403),
            (Fault::SpendLimitText, 400),
            (Fault::ExceedsLimitAlone, 429),
        ] {
            let what = format!("{dialect}: {fault:?}");
            sim.script(fault.on_key("key-1").times(2));
            let direct = ask("key-1").at(&format!("{}{}", sim.base_url(), path(dialect)));
            let expected = direct.send().await;
            assert_eq!(expected.status.as_u16(), status, "{what}: {}", expected.text());
            let reply = ask("key-1").send().await;
            assert_eq!(reply.status, expected.status, "{what}");
            assert_eq!(reply.json()["error"], expected.json()["error"], "{what}: word by word");
            // A 429 without a time gets one; one that is there stays.
            let after = expected.header("retry-after");
            assert!(after.is_empty() || reply.header("retry-after") == after, "{what}");
            // Somebody else's key is as good as before.
            ask("key-2").send().await.assert_ok();
        }
        ask("nobodys-key").send().await.assert_error(dialect, 401);
        own(gateway.ask(dialect), dialect, "key-3").send().await.assert_ok();
        gateway.assert_all_ready().await;
    }
}
