//! An account that the operator takes away is gone on every path, and is back on every path.

use std::collections::BTreeSet;

use warmkey::{sim::Sim, types::Dialect};

use crate::{
    harness::{Gateway, Setup, sim, within},
    objects::{ALLOWED, upload},
};

/// By cost, pinned, and passed through.
const PATHS: [&str; 3] = ["/v1/messages", "/v1/chat/completions", "/v1/files"];

/// Puts a new configuration in force.
async fn reload(gateway: &Gateway, text: &str) {
    let ok = ["result=\"ok\""];
    let before = gateway.count("reloads_total", &ok).await;
    std::fs::write(&gateway.config, text).expect("a file");
    gateway.signal("HUP");
    let again = async {
        while gateway.count("reloads_total", &ok).await == before {
            tokio::task::yield_now().await;
        }
    };
    within("the settings are read again", again).await;
}

/// Sixty requests on each path, of sessions of this name; says on which paths something came to a key.
async fn play(sim: &Sim, gateway: &Gateway, name: &str, key: &str) -> BTreeSet<String> {
    sim.reset();
    for n in 0..60 {
        let session = format!("{name}-{n}");
        for dialect in [Dialect::Anthropic, Dialect::OpenAiChat] {
            gateway.ask(dialect).session(&session).send().await.assert_ok();
        }
        upload(gateway).send().await.assert_ok();
    }
    let seen = sim.seen();
    for path in PATHS {
        assert_eq!(seen.iter().filter(|seen| seen.path == path).count(), 60, "{path}");
    }
    let there = seen.into_iter().filter(|seen| seen.key == key && PATHS.contains(&seen.path.as_str()));
    there.map(|seen| seen.path).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_taken_away_is_gone_on_every_path_and_back_on_every_path() {
    let sim = sim().await;
    let setup = Setup::over(&sim).accounts(4).provider(ALLOWED).server("watch = false");
    let openai = "dialect = \"openai\"\n";
    let with = setup.text().replacen(openai, &format!("{openai}routing = \"pinned\"\n"), 1);
    assert!(with.contains("routing = \"pinned\""));
    let gateway = Gateway::run(&with, setup.dir(), &setup.env()).await;
    // Uploads of a tenant all go to one account: that one is taken away.
    let n = upload(&gateway).send().await.assert_ok().endpoint()[1..].to_owned();
    let key = format!("key-{n}");
    let mut without = with.clone();
    for (letter, provider) in [('a', "anthropic"), ('o', "openai")] {
        let section = format!(
            "[[endpoint]]\nname = \"{letter}{n}\"\nprovider = \"{provider}\"\nkey = {{ env = \"KEY_{n}\" }}\n"
        );
        assert!(without.contains(&section), "{without}");
        without = without.replacen(&section, "", 1);
    }
    let everywhere: BTreeSet<String> = PATHS.map(str::to_owned).into();
    assert_eq!(play(&sim, &gateway, "old", &key).await, everywhere);

    reload(&gateway, &without).await;
    let nowhere = BTreeSet::new();
    // Sessions that were at home there, and new ones.
    assert_eq!(play(&sim, &gateway, "old", &key).await, nowhere);
    assert_eq!(play(&sim, &gateway, "new", &key).await, nowhere);

    reload(&gateway, &with).await;
    assert_eq!(play(&sim, &gateway, "newer", &key).await, everywhere);
    gateway.assert_all_ready().await;
    gateway.assert_no_panic();
}
