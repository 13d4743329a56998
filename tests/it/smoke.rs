//! A turn in each dialect, plain and streamed.

use warmkey::types::Dialect;

use crate::harness::{Setup, sim};

#[tokio::test(flavor = "multi_thread")]
async fn every_dialect_is_answered_plain_and_streamed() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let reply = gateway.ask(dialect).stream(stream).send().await.assert_ok();
            assert_eq!(reply.affinity(), "new", "{dialect}");
            if stream {
                assert!(!reply.events().is_empty());
            } else {
                assert!(reply.json().is_object());
            }
        }
    }
    gateway.assert_all_ready().await;
    let seen = sim.seen();
    assert_eq!(seen.iter().filter(|request| request.method == "POST").count(), 6);
}
