//! The same agents at a provider, at warmkey, and at round-robin.

use super::{first, gauge, hits, kinds, nginx::Nginx, unlimited};
use crate::harness::Setup;

const FLEET: &[&str] = &["--json", "--pace", "0", "--agents", "16", "--spend", "100"];

#[tokio::test]
async fn round_robin_is_told_from_a_provider_and_from_a_gateway_that_keeps_conversations() {
    let sim = unlimited().await;
    let gateway = Setup::over(&sim).start().await;
    let direct = format!("KEY={}", sim.base_url());
    let nginx = Nginx::over(&sim).await;
    let mut args = vec![direct, "--against".to_owned(), gateway.url("/v1")];
    args.extend(nginx.iter().flat_map(|nginx| ["--against".to_owned(), nginx.url()]));
    let args: Vec<&str> = args.iter().map(String::as_str).chain(FLEET.iter().copied()).collect();
    let ran = gauge(&first(&sim).key, &args).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);

    let reports = ran.reports();
    assert_eq!(reports.len(), if nginx.is_some() { 3 } else { 2 });
    for report in &reports {
        assert_eq!((&report["errors"], &report["status_429"]), (&0.into(), &0.into()), "{report:#}");
        for member in ["cost_per_1k_turns", "turns", "ttft_p50_s", "hit_rate"] {
            assert!(report[member].is_number(), "{member}: {report:#}");
        }
        assert!(report["hit_rate_by_turn"].as_array().is_some_and(|turns| turns.len() > 5), "{report:#}");
    }
    let (provider, through) = (&reports[0], &reports[1]);
    assert!(hits(provider) > 85.0, "{provider:#}");
    assert!((hits(provider) - hits(through)).abs() < 2.0, "{} and {}", hits(provider), hits(through));
    for report in [provider, through] {
        assert_eq!(kinds(report), ["healthy"], "{report:#}");
        assert_eq!(report["probe"]["pattern"], ".hhhhhhhhhhhhhhh", "{report:#}");
    }
    gateway.assert_no_panic();
    if let Some(spread) = reports.get(2) {
        assert!(hits(spread) < 60.0 && hits(spread) + 20.0 < hits(through), "{spread:#}");
        assert_eq!(kinds(spread).first(), Some(&"several_accounts"), "{spread:#}");
        assert_eq!(spread["probe"]["pattern"], "........hhhhhhhh", "every account pays once: {spread:#}");
        let (warm, paid) = (&spread["warm_cost_per_1k_turns"], &spread["cost_per_1k_turns"]);
        assert!(paid.as_f64() > warm.as_f64().map(|warm| warm * 1.5), "{spread:#}");
    }
}

#[tokio::test]
async fn every_dialect_is_spoken_and_its_tools_are_answered() {
    let sim = unlimited().await;
    let url = format!("KEY={}", sim.base_url());
    for dialect in ["anthropic", "chat", "responses"] {
        sim.reset();
        let args = [&[url.as_str(), "--dialect", dialect, "--no-ids"][..], FLEET].concat();
        let ran = gauge(&first(&sim).key, &args).await;
        assert_eq!(ran.code, Some(0), "{dialect}: {}", ran.err);
        let report = ran.report();
        assert_eq!(
            (&report["errors"], &report["stopped"]),
            (&0.into(), &serde_json::Value::Null),
            "{report:#}"
        );
        assert_eq!(kinds(&report), ["healthy"], "{dialect}: {report:#}");
        // The provider's books and ours are one.
        let books = sim.stats().total();
        assert_eq!(books.refused, 0);
        let (billed, said) = (books.cost.as_usd(), report["spent_usd"].as_f64().expect("a sum"));
        assert!((billed - said).abs() < 1e-6, "{dialect}: billed {billed}, said {said}");
        let sessions = ["x-session-id", "session-id", "x-claude-code-session-id"];
        for request in sim.seen() {
            assert!(
                sessions.iter().all(|name| request.header(name).is_empty()),
                "an id was said: {request:?}"
            );
        }
    }
}
