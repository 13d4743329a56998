//! The cap, and how a run ends.

use std::time::Duration;

use super::{Ran, first, gauge, hits, start, unlimited, without_limits};
use crate::harness::{sim_with, within};

#[tokio::test]
async fn the_cap_is_never_exceeded_and_its_end_is_told() {
    let sim = unlimited().await;
    let url = format!("KEY={}", sim.base_url());
    for dialect in ["anthropic", "chat", "responses"] {
        for cap in ["0.10", "0.60"] {
            sim.reset();
            let args =
                [&url, "--dialect", dialect, "--spend", cap, "--json", "--pace", "0", "--agents", "40"];
            let ran = gauge(&first(&sim).key, &args).await;
            assert_eq!(ran.code, Some(0), "{}", ran.err);
            let report = ran.report();
            let most: f64 = cap.parse().expect("a number");
            let billed = sim.stats().total().cost.as_usd();
            assert!(billed <= most, "{dialect}: {billed} of {most}");
            assert!(
                report["spent_usd"].as_f64().is_some_and(|spent| billed <= spent + 1e-9 && spent <= most)
            );
            assert_eq!(report["stopped"]["budget"]["cap_usd"].as_f64(), Some(most), "{report:#}");
            // It is no use if most of it is left over.
            assert!(cap == "0.10" || billed > most / 2.0, "{dialect}: {billed} of {most}");
        }
    }
}

#[tokio::test]
async fn a_cap_below_one_question_sends_nothing() {
    let sim = unlimited().await;
    let ran = gauge(&first(&sim).key, &[&format!("KEY={}", sim.base_url()), "--spend", "0.001"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.err.contains("one small question may cost $0.0") && ran.err.contains("--spend"),
        "{}",
        ran.err
    );
    assert!(sim.seen().is_empty());
}

#[tokio::test]
async fn without_a_terminal_the_cap_has_to_be_passed() {
    let sim = unlimited().await;
    let ran = gauge(&first(&sim).key, &[&format!("KEY={}", sim.base_url())]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("million tokens") && ran.err.contains("`--spend USD`"), "{}", ran.err);
    assert!(sim.seen().is_empty());
}

#[tokio::test]
async fn an_interrupt_gives_the_report_so_far() {
    let sim = sim_with(|config| {
        without_limits(config);
        config.ttft = Duration::from_millis(20);
    })
    .await;
    let url = format!("KEY={}", sim.base_url());
    let args = [
        &url,
        "--against",
        &url,
        "--json",
        "--spend",
        "50",
        "--agents",
        "10",
        "--probe",
        "2",
        "--pace",
        "0.1",
    ];
    let child = start(&first(&sim).key, &args, &[]);
    let id = child.id().expect("it runs").to_string();
    within("some turns", sim.wait_for(|seen| seen.iter().filter(|seen| seen.done).count() > 20)).await;
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().expect("kill").success());
    let ran = Ran::of(child).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let report = ran.report();
    assert_eq!(report["stopped"], "interrupted", "{report:#}");
    assert!(report["turns"].as_u64().is_some_and(|turns| turns >= 10), "{report:#}");
    assert!(ran.err.contains("not measured: http://"), "{}", ran.err);
}

#[tokio::test]
async fn a_hit_rate_below_what_is_wanted_fails_and_a_report_is_written() {
    let sim = unlimited().await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("report.html");
    let url = format!("KEY={}", sim.base_url());
    let html = file.to_str().expect("text");
    let args = [&url, "--spend", "50", "--agents", "3", "--pace", "0", "--html", html];
    let well = gauge(&first(&sim).key, &[&args[..], &["--fail-below", "50"]].concat()).await;
    assert_eq!(well.code, Some(0), "{}", well.err);
    assert!(well.out.contains("hit rate") && well.out.contains(&sim.base_url()), "{}", well.out);
    let page = std::fs::read_to_string(&file).expect("a report");
    assert!(page.contains("<svg") && page.contains(&sim.base_url()) && !page.contains("<script"));
    let ill = gauge(&first(&sim).key, &[&args[..7], &["--fail-below", "99.9", "--json"]].concat()).await;
    assert_eq!(ill.code, Some(1), "{}", ill.err);
    assert!(hits(&ill.report()) < 99.9);
}

#[tokio::test]
async fn the_key_is_in_no_output() {
    let sim = unlimited().await;
    let url = format!("KEY={}", sim.base_url());
    let well =
        gauge(&first(&sim).key, &[&url, "--spend", "9", "--agents", "1", "--pace", "0", "--json"]).await;
    let ill = gauge("sk-no-such-key", &[&url, "--spend", "9"]).await;
    assert_eq!((well.code, ill.code), (Some(0), Some(2)), "{}{}", well.err, ill.err);
    for (ran, key) in [(&well, first(&sim).key.as_str()), (&ill, "sk-no-such-key")] {
        assert!(!ran.out.contains(key) && !ran.err.contains(key), "{}{}", ran.out, ran.err);
    }
    assert!(ill.err.contains("it does not take the key in KEY"), "{}", ill.err);
}
