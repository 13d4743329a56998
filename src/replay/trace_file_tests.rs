//! Traces through files, and what is refused.

use super::*;
use crate::replay::{Policy, find};

const FIRST: &str = r#"{"session":"s","agent":"main","turn":0,"at":1,"took":2,"model":"claude-sonnet-4-6","blocks":[["0a",8000,"system"],["0b",400,"user"]],"marks":[0,1],"output":50}"#;

/// A second line, with these replacements.
fn second(changes: &[(&str, &str)]) -> String {
    let mut line = r#"{"session":"s","agent":"main","turn":1,"at":8.5,"model":"claude-sonnet-4-6","keep":2,"blocks":[["0c",200,"assistant"],["0d",4000,"user"]],"marks":[0,1,3],"output":70}"#.to_owned();
    for (from, to) in changes {
        assert!(line.contains(from), "{from}");
        line = line.replace(from, to);
    }
    line
}

fn faults(text: &str) -> String {
    read(text.as_bytes()).expect_err("refused").to_string()
}

#[test]
fn a_sound_trace_is_read_and_pauses_follow_answers() {
    let trace = read(format!("{FIRST}\n\n{}\n", second(&[])).as_bytes()).expect("sound");
    let agent = &trace.agents[0];
    assert_eq!((trace.agents.len(), agent.turns.len(), agent.contexts.len()), (1, 2, 1));
    assert_eq!(agent.turns[1].gap, Duration::from_millis(5_500), "8.5 s less the 3 s of the first answer");
    assert_eq!(
        agent.prompt(&agent.turns[1]).last().map(|p| (p.hash, p.bytes, p.tokens)),
        Some((13, 12_600, 3_150))
    );
    assert_eq!(agent.turns[1].marks.as_slice(), [0, 1, 3]);
}

#[test]
fn each_kind_of_nonsense_is_refused_with_its_line() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("\"at\":8.5", "\"at\":0.5")], "line 2: `at` goes back from 1 to 0.5"),
        (&[("\"at\":8.5", "\"at\":-8.5")], "line 2: `at` is -8.5"),
        (&[("\"at\":8.5", "\"at\":1e300")], "line 2: `at` is 1"),
        (&[("sonnet-4-6", "sonnet-9")], "line 2: unknown model `claude-sonnet-9`"),
        (&[("\"turn\":1", "\"turn\":2")], "line 2: turn 2 of s/main where turn 1 is due"),
        (&[("4000", "-4000")], "line 2: a block of -4000 bytes"),
        (&[("4000", "0")], "line 2: a block of 0 bytes"),
        (&[("\"output\":70", "\"output\":-1")], "line 2: an answer of -1 tokens"),
        (&[("\"keep\":2", "\"keep\":3")], "line 2: `keep` is 3, but the turn before had 2 blocks"),
        (&[("[0,1,3]", "[0,1,4]")], "line 2: a breakpoint on block 4 of 4"),
        (&[("[0,1,3]", "[1,0]")], "line 2: `marks` are not in ascending order"),
        (&[("[0,1,3]", "[0,1,2,3,3]")], "line 2: 5 breakpoints"),
        (&[("0d", "xyz")], "line 2: `xyz` is no hash"),
        (
            &[("\"turn\":1", "\"turn\":1,\"parent\":\"boss\""), ("main", "sub")],
            "line 2: parent `boss` has not",
        ),
        (&[("\"user\"", "\"robot\"")], "line 2: unknown variant `robot`"),
        (&[("}", "")], "line 2: EOF"),
        (&[("\"session\"", "\"secret\":1,\"session\"")], "line 2: unknown field `secret`"),
    ];
    for (changes, expected) in cases {
        let told = faults(&format!("{FIRST}\n{}", second(changes)));
        assert!(told.starts_with(expected), "{changes:?}: {told}");
    }
    assert!(faults("").contains("no turn"));
    assert!(faults("\u{0}").starts_with("line 1:"));
}

#[test]
fn twenty_faults_are_enough() {
    let told = faults(&"nonsense\n".repeat(1_000));
    assert_eq!(told.lines().count(), 20);
}

#[test]
fn a_sub_agent_begins_after_its_parents_turn_and_is_waited_for_only_if_it_was() {
    let sub = |at: f64, took: f64, name: &str| {
        format!(
            r#"{{"session":"s","agent":"{name}","parent":"main","turn":0,"at":{at},"took":{took},"model":"claude-sonnet-4-6","blocks":[["1a",8000,"system"]],"marks":[0],"output":50}}"#
        )
    };
    let text = format!("{FIRST}\n{}\n{}\n{}", sub(3.5, 4.0, "quick"), sub(4.0, 90.0, "slow"), second(&[]));
    let trace = read(text.as_bytes()).expect("sound");
    assert_eq!(trace.agents[0].turns[0].spawns, [1, 2]);
    assert_eq!((trace.agents[1].awaited, trace.agents[2].awaited), (true, false));
    assert_eq!(trace.agents[1].turns[0].gap, Duration::from_millis(500));
    assert_eq!(
        trace.agents[0].turns[1].gap,
        Duration::from_secs(1),
        "from the end of the quick one at 7.5 s"
    );
}

#[test]
fn what_is_written_is_read_again_and_costs_the_same() {
    let scenario = find("solo5").expect("a scenario");
    let model = sim::model("claude-sonnet-4-6").expect("a model");
    let (made, conditions) = (scenario.trace(model, 5), scenario.conditions());
    let first = Policy::Oracle5m.run(&made, &conditions, 5, &|| ());
    let mut file = Vec::new();
    write(&made, &first.times, &mut file).expect("written");
    let again = read(file.as_slice()).expect("sound");
    assert_eq!((again.requests(), again.tokens()), (made.requests(), made.tokens()));
    let second = Policy::Oracle5m.run(&again, &conditions, 5, &|| ());
    let ratio = second.cost.as_usd() / first.cost.as_usd();
    assert!((0.99..1.01).contains(&ratio), "{ratio}");
    let off = second.ended.as_secs_f64() / first.ended.as_secs_f64();
    assert!((0.99..1.01).contains(&off), "{off}");
}
