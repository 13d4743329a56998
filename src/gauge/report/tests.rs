use super::*;
use crate::gauge::tally::tests::{cold, tally, turn, warm};

#[test]
fn the_promised_members_are_there() {
    let mut tally = tally(Via::Driven);
    (0..4).for_each(|n| tally.note(&turn("a", n, warm(n))));
    let json = serde_json::to_value(tally.finish(None)).unwrap();
    for member in ["hit_rate", "cost_per_1k_turns", "turns", "errors", "status_429", "ttft_p50_s"] {
        assert!(json[member].is_number(), "{member}: {json}");
    }
    assert!(json["hit_rate_by_turn"].as_array().is_some_and(|rates| rates.len() == 4), "{json}");
    assert!(json["diagnosis"][0]["sentence"].is_string(), "{json}");
    assert_eq!(json["stopped"], serde_json::Value::Null);
    assert_eq!(serde_json::to_value(Stopped::Budget { cap_usd: 2.5 }).unwrap()["budget"]["cap_usd"], 2.5);
}

#[test]
fn several_reports_are_rows_of_one_table() {
    let (mut here, mut there) = (tally(Via::Driven), tally(Via::Driven));
    (0..6).for_each(|n| here.note(&turn("a", n, cold(n))));
    (0..6).for_each(|n| there.note(&turn("a", n, warm(n))));
    let there = there.finish(None);
    let here = here.finish(Some(&there));
    let here = Report { stopped: Some(Stopped::Interrupted), ..here };
    let text = text(&[there, here]);
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("hit rate") && lines[0].contains("$/1k turns"), "{text}");
    assert!(lines[1].starts_with("http://localhost:1  ") && lines[1].contains("79.9 %"), "{text}");
    assert!(lines[2].contains(" 0.0 %"), "{text}");
    assert!(text.contains("▁█████") && text.contains("▁▁▁▁▁▁"), "{text}");
    assert!(text.contains("Interrupted: these are the figures so far."), "{text}");
    assert!(lines.iter().all(|line| line.chars().count() <= 160), "{text}");
}

#[test]
fn nothing_is_a_dash() {
    let text = tally(Via::Driven).finish(None).text();
    assert!(text.lines().nth(1).unwrap().contains("  -"), "{text}");
    assert!(!text.contains("NaN"), "{text}");
}
