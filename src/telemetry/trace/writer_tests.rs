//! What the file looks like, whatever the order in which turns end.

use serde_json::Value;

use super::*;
use crate::telemetry::trace::Traced;

fn done(session: u128, parent: Option<u128>, at: u64, hashes: &[u64]) -> Box<Done> {
    let points = (1..)
        .zip(hashes)
        .map(|(n, &hash)| PrefixPoint {
            hash,
            bytes: n * 100,
            section: Section::User,
            breakpoint: n % 2 == 0,
        })
        .collect();
    let asked = Traced {
        session: Some(SessionKey(session)),
        parent: parent.map(SessionKey),
        caller: "ann".into(),
        model: "m".into(),
        long: false,
        points,
        at: Moment::from_millis(at),
    };
    Box::new(Done { asked, output: 7, over: Moment::from_millis(at + 500) })
}

fn lines(mut writer: Writer<Vec<u8>>) -> Vec<Value> {
    writer.close();
    let text = String::from_utf8(writer.out).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_stand_in_the_order_of_beginnings_and_turns_have_no_gaps() {
    let mut writer = Writer::new(Vec::new(), u64::MAX, 1);
    for number in 0..4 {
        writer.take(Event::Began(number));
    }
    writer.take(Event::Over(3, Some(done(1, None, 4_000, &[1, 2, 9]))));
    writer.take(Event::Over(2, Some(done(2, Some(1), 3_000, &[5]))));
    assert!(writer.out.is_empty(), "an earlier one is not over");
    writer.take(Event::Over(1, None));
    writer.take(Event::Over(0, Some(done(1, None, 1_000, &[1, 2, 3, 4]))));
    let lines = lines(writer);
    let column = |name: &str| lines.iter().map(|line| line[name].clone()).collect::<Vec<_>>();
    assert_eq!(column("at"), [0.0, 2.0, 3.0]);
    assert_eq!(column("agent"), ["a1", "a2", "a1"]);
    assert_eq!(column("session"), ["s1", "s1", "s1"]);
    assert_eq!(column("parent"), [Value::Null, "a1".into(), Value::Null]);
    assert_eq!(column("turn"), [0, 0, 1]);
    assert_eq!(column("keep"), [0, 0, 2]);
    assert_eq!(column("took"), [0.5, 0.5, 0.5]);
    assert_eq!(lines[0]["marks"], serde_json::json!([1, 3]));
    assert_eq!(lines[2]["blocks"].as_array().unwrap().len(), 1);
    // The hash of a prompt as others know it does not stand there.
    assert_ne!(lines[0]["blocks"][0][0], format!("{:016x}", 1));
}

#[test]
fn a_full_file_ends_with_a_whole_line() {
    let mut writer = Writer::new(Vec::new(), 400, 1);
    for number in 0..10 {
        writer.take(Event::Began(number));
        writer.take(Event::Over(number, Some(done(u128::from(number), None, number, &[number]))));
    }
    assert!(writer.out.len() <= 400 && writer.out.ends_with(b"\n"));
    assert!((1..4).contains(&lines(writer).len()));
}

#[test]
fn one_that_never_ends_does_not_hold_up_the_others_for_ever() {
    let mut writer = Writer::new(Vec::new(), u64::MAX, 1);
    writer.take(Event::Began(0));
    for number in 1..=WAITING as u64 {
        writer.take(Event::Began(number));
        writer.take(Event::Over(number, Some(done(1, None, number, &[1]))));
    }
    assert!(writer.waiting.is_empty());
    assert_eq!(lines(writer).len(), WAITING);
}
