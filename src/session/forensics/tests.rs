use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;

use super::{
    compare::{Hints, Relation, Side, Sketched, compare},
    *,
};
use crate::{
    dialect::{ScanLimits, Settings, scan},
    session::{Asked, Links, LinksParams, SessionParams, identify},
    types::{Operation, TenantId},
};

const SONNET: Rates = Rates {
    input: 3_000_000_000,
    cached_read: 300_000_000,
    write_5m: 3_750_000_000,
    write_1h: 6_000_000_000,
    output: 15_000_000_000,
};

const MARKER: &str = r#","cache_control":{"type":"ephemeral"}"#;

/// How a prompt is written in a dialect.
type Written = fn(&Prompt) -> String;

/// An agent's prompt, as it writes it into each dialect.
#[derive(Clone)]
struct Prompt {
    attribution: Option<String>,
    tools: Vec<String>,
    system: Vec<String>,
    /// Blocks, as Anthropic has them; the user speaks first.
    messages: Vec<Vec<String>>,
    /// Members at the top.
    settings: String,
    /// Markers on the last system block, and on the last block of these messages; `None`: the last.
    marked: Option<Vec<usize>>,
}

fn prose(words: &str, bytes: usize) -> String {
    format!("{words} {}", "Prefer small, reviewable changes over large ones. ".repeat(bytes / 50))
}

fn text(words: &str) -> String {
    format!(r#"{{"type":"text","text":"{words}"}}"#)
}

fn call(n: usize) -> String {
    format!(
        r#"{{"type":"tool_use","id":"toolu_{n:04}","name":"read","input":{{"path":"src/lib_{n}.rs","limit":{n}}}}}"#
    )
}

fn result(n: usize) -> String {
    let body = prose(&format!("contents of file {n}"), 3_000);
    format!(r#"{{"type":"tool_result","tool_use_id":"toolu_{n:04}","content":"{body}"}}"#)
}

impl Prompt {
    /// Claude Code's: tools of 1.5 KB, two system blocks, a reminder in front of the first question.
    fn new() -> Self {
        let tool = |name: &str| {
            let words = prose(&format!("Runs {name}."), 1_400);
            format!(
                r#"{{"name":"{name}","description":"{words}","input_schema":{{"type":"object","properties":{{"path":{{"type":"string"}},"limit":{{"type":"integer"}}}}}}}}"#
            )
        };
        Self {
            attribution: None,
            tools: ["read", "write", "bash", "grep", "glob", "task"].map(tool).to_vec(),
            system: vec![
                text("You are Claude Code."),
                text(&prose("Be brief. The date is given below.", 9_000)),
            ],
            messages: vec![vec![
                text(&prose("<system-reminder>As you work, mind this.</system-reminder>", 500)),
                text("Find out why the build fails."),
            ]],
            settings: r#","thinking":{"type":"enabled","budget_tokens":1024}"#.to_owned(),
            marked: None,
        }
    }

    /// So many calls of tools later.
    fn after(mut self, turns: usize) -> Self {
        for n in self.messages.len()..self.messages.len() + turns {
            self.messages.push(vec![text("I look."), call(n)]);
            self.messages.push(vec![result(n)]);
        }
        self
    }

    /// With this in front of the large part of its system prompt.
    fn dated(self, clock: &str) -> Self {
        self.with(|p| p.system[1] = text(&prose(clock, 9_000)))
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn anthropic(&self) -> String {
        let mark = |block: &String| format!("{}{MARKER}}}", block.strip_suffix('}').unwrap());
        let mut system: Vec<String> = self.attribution.iter().map(|words| text(words)).collect();
        system.extend(self.system.clone());
        if let Some(last) = system.last_mut() {
            *last = mark(last);
        }
        let last = vec![self.messages.len() - 1];
        let marked = self.marked.as_ref().unwrap_or(&last);
        let messages = self.messages.iter().enumerate().map(|(n, blocks)| {
            let mut blocks = blocks.clone();
            if marked.contains(&n)
                && let Some(last) = blocks.last_mut()
            {
                *last = mark(last);
            }
            let role = ["user", "assistant"][n % 2];
            format!(r#"{{"role":"{role}","content":[{}]}}"#, blocks.join(","))
        });
        let messages: Vec<String> = messages.collect();
        format!(
            r#"{{"model":"claude-sonnet-4-6","max_tokens":32000{},"tools":[{}],"system":[{}],"messages":[{}]}}"#,
            self.settings,
            self.tools.join(","),
            system.join(","),
            messages.join(",")
        )
    }

    fn chat(&self) -> String {
        let tools = self.tools.iter().map(|tool| format!(r#"{{"type":"function","function":{tool}}}"#));
        let mut messages: Vec<String> =
            self.system.iter().map(|block| format!(r#"{{"role":"system","content":[{block}]}}"#)).collect();
        for (n, blocks) in self.messages.iter().enumerate() {
            let texts: Vec<_> = blocks.iter().filter(|block| block.contains("\"text\"")).cloned().collect();
            let calls: Vec<_> = blocks.iter().filter(|block| block.contains("tool_use\"")).cloned().collect();
            for result in blocks.iter().filter(|block| block.contains("tool_result")) {
                let content = result.split_once("\"content\":").unwrap().1;
                messages.push(format!(r#"{{"role":"tool","tool_call_id":"toolu_{n}","content":{content}"#));
            }
            if calls.is_empty() && texts.is_empty() {
                continue;
            }
            let calls = if calls.is_empty() {
                String::new()
            } else {
                format!(r#","tool_calls":[{}]"#, calls.join(","))
            };
            let role = ["user", "assistant"][n % 2];
            messages.push(format!(r#"{{"role":"{role}","content":[{}]{calls}}}"#, texts.join(",")));
        }
        let tools: Vec<String> = tools.collect();
        format!(r#"{{"model":"gpt-5.6","tools":[{}],"messages":[{}]}}"#, tools.join(","), messages.join(","))
    }

    fn responses(&self) -> String {
        let input: Vec<String> = self
            .messages
            .iter()
            .enumerate()
            .map(|(n, blocks)| {
                let blocks = blocks.join(",").replace("\"text\",", "\"input_text\",");
                format!(r#"{{"role":"{}","content":[{blocks}]}}"#, ["user", "assistant"][n % 2])
            })
            .collect();
        let instructions = self.system[1].split_once("\"text\":").unwrap().1.strip_suffix('}').unwrap();
        format!(
            r#"{{"model":"gpt-5.6","tools":[{}],"instructions":{instructions},"input":[{}]}}"#,
            self.tools.join(","),
            input.join(",")
        )
    }
}

/// A session, and a provider that reads what it is told to.
struct Talk {
    forensics: Forensics,
    links: Links,
    headers: HeaderMap,
    operation: Operation,
    now: Moment,
    cache: u64,
    strips: bool,
}

impl Talk {
    fn new(operation: Operation) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("x-claude-code-session-id", HeaderValue::from_static("0b0e3bd4-6c10-4c2e"));
        Self {
            forensics: Forensics::new(1 << 20),
            links: Links::new(LinksParams::default(), 7),
            headers,
            operation,
            now: Moment::from_millis(1_000),
            cache: 1,
            strips: true,
        }
    }

    /// Looks at a turn without an answer.
    fn look(&mut self, body: &str) -> Option<Case> {
        self.now = self.now + Duration::from_secs(20);
        let view = scan(self.operation, body.as_bytes(), &ScanLimits::default()).unwrap();
        let tenant = TenantId::from("default");
        let asked = Asked {
            headers: &self.headers,
            view: &view,
            body: body.as_bytes(),
            tenant: &tenant,
            model: &view.model.value.clone(),
        };
        let mut identity = identify(&asked, &SessionParams::default(), &self.links, self.now);
        self.forensics.look(&mut identity, &view, body.as_bytes(), self.now)
    }

    /// A turn of which the provider read so much from its cache: a share of what was sent.
    fn turn(&mut self, body: &str, read: f64) -> Option<CacheBreak> {
        let case = self.look(body)?;
        let total = body.len() as u64 / 4;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of some tokens")]
        let cached_read = (total as f64 * read) as u64;
        let automatic = self.operation != Operation::Messages;
        let write_5m = if automatic { 0 } else { total - cached_read };
        let usage =
            Usage { cached_read, write_5m, input: total - cached_read - write_5m, ..Usage::default() };
        self.forensics.close(
            case,
            &Verdict {
                request: RequestId::mint(),
                at: UnixTime(Duration::from_secs(1_800_000_000)),
                cache: self.cache,
                warm_until: self.now + Duration::from_secs(300),
                usage,
                reported: true,
                automatic,
                strips_attribution: self.strips,
                rates: Some(SONNET),
            },
        )
    }
}

/// The break between two of Claude Code's turns, of which the second reads that share.
fn between(first: &Prompt, second: &Prompt, read: f64) -> Option<CacheBreak> {
    let mut talk = Talk::new(Operation::Messages);
    assert_eq!(talk.turn(&first.anthropic(), 0.0), None, "a first turn breaks nothing");
    talk.turn(&second.anthropic(), read)
}

#[track_caller]
fn assert_break(found: Option<CacheBreak>, cause: BreakCause, at: &str) -> CacheBreak {
    let found = found.expect("a break");
    assert_eq!((found.cause, found.at.to_string().as_str()), (cause, at), "{found:?}");
    found
}

#[test]
fn a_clock_in_the_system_prompt_is_a_timestamp() {
    let first = Prompt::new().after(6).dated("Now: Mon Nov 30 2026 09:59:58 AM.");
    let second = Prompt::new().after(7).dated("Now: Tue Dec 1 2026 10:00:01 PM.");
    let found = assert_break(between(&first, &second, 0.0), BreakCause::Timestamp, "system[1]");
    let tokens = first.anthropic().len() as u64 / 4;
    assert!((tokens * 9 / 10..=tokens).contains(&found.tokens), "{found:?} of {tokens}");
    // Written for 3.75 a million, read for 0.30.
    assert_eq!(found.cost, Some(NanoUsd(found.tokens * 3_450)));
    let tools: usize = first.tools.iter().map(String::len).sum();
    assert_eq!(found.offset, tools as u64 + "\"You are Claude Code.\"".len() as u64);
}

#[test]
fn a_clock_shows_in_every_dialect() {
    let dialects: [(Operation, Written, &str); 2] = [
        (Operation::ChatCompletions, Prompt::chat, "system[1]"),
        (Operation::Responses, Prompt::responses, "system[0]"),
    ];
    for (operation, body, at) in dialects {
        let mut talk = Talk::new(operation);
        talk.turn(&body(&Prompt::new().after(6).dated("2026-11-30T09:59:58Z")), 0.0);
        let second = body(&Prompt::new().after(7).dated("2026-12-01T10:00:01Z"));
        let found = assert_break(talk.turn(&second, 0.1), BreakCause::Timestamp, at);
        assert_eq!(found.cost, Some(NanoUsd(found.tokens * 2_700)), "writing costs nothing here");
    }
}

#[test]
fn a_date_in_the_first_message_is_a_timestamp_there() {
    let first =
        Prompt::new().after(6).with(|p| p.messages[0][0] = text(&prose("Today's date is 2026-11-21.", 500)));
    let second =
        Prompt::new().after(7).with(|p| p.messages[0][0] = text(&prose("Today's date is 2026-11-22.", 500)));
    assert_break(between(&first, &second, 0.4), BreakCause::Timestamp, "message 0");
}

#[test]
fn shuffled_keys_are_told_from_other_changes() {
    let shuffled = |p: &mut Prompt| {
        p.tools[2] = p.tools[2].replace(
            r#""path":{"type":"string"},"limit":{"type":"integer"}"#,
            r#""limit":{"type":"integer"},"path":{"type":"string"}"#,
        );
    };
    let found = between(&Prompt::new().after(4), &Prompt::new().after(5).with(shuffled), 0.0);
    assert_eq!(assert_break(found, BreakCause::ReorderedKeys, "tools[2]").tools, None);
    // Swift and Go do this to the arguments of calls.
    let shuffled = |p: &mut Prompt| {
        p.messages[3][1] = p.messages[3][1]
            .replace(r#""path":"src/lib_2.rs","limit":2"#, r#""limit":2,"path":"src/lib_2.rs""#);
    };
    let first = Prompt::new().after(6);
    assert!(first.messages[3][1].contains("lib_2"));
    let second = Prompt::new().after(7).with(shuffled);
    assert_break(between(&first, &second, 0.45), BreakCause::ReorderedKeys, "message 3 block 1");
}

#[test]
fn tools_that_come_go_move_or_change_are_named() {
    let first = Prompt::new().after(4);
    let of = |change: fn(&mut Prompt)| between(&first, &Prompt::new().after(5).with(change), 0.0);
    let delta = |added, removed| Some(crate::types::ToolsDelta { added, removed });
    let found = assert_break(
        of(|p| p.tools.insert(3, p.tools[0].replace("read", "mcp__new"))),
        BreakCause::ToolsChanged,
        "tools[3]",
    );
    assert_eq!(found.tools, delta(1, 0));
    let found = assert_break(of(|p| p.tools.truncate(4)), BreakCause::ToolsChanged, "tools[4]");
    assert_eq!(found.tools, delta(0, 2));
    let found = assert_break(of(|p| p.tools.swap(1, 4)), BreakCause::ToolsChanged, "tools[1]");
    assert_eq!((found.tools, found.tools.unwrap().to_string().as_str()), (delta(0, 0), "reordered"));
    let found = assert_break(
        of(|p| p.tools[5] = p.tools[5].replace("Runs task.", "Runs tasks of many kinds.")),
        BreakCause::ToolsChanged,
        "tools[5]",
    );
    assert_eq!(found.tools, delta(1, 1));
}

#[test]
fn another_system_prompt_is_said_to_be_one() {
    let first = Prompt::new().after(4);
    let second = Prompt::new().after(5).with(|p| p.system[1] = text(&prose("Be long in all things.", 9_000)));
    assert_break(between(&first, &second, 0.2), BreakCause::SystemChanged, "system[1]");
    let gone = Prompt::new().after(5).with(|p| drop(p.system.pop()));
    assert_break(between(&first, &gone, 0.2), BreakCause::SystemChanged, "system[1]");
}

#[test]
fn the_attribution_block_breaks_caches_where_nobody_strips_it() {
    let of = |hash: &str, turns| {
        let words = format!("x-anthropic-billing-header: cc_version=2.1; cch={hash};");
        Prompt::new().after(turns).with(|p| p.attribution = Some(words))
    };
    let (first, second) = (of("0a1b2", 5), of("c3d4e", 6));
    let mut talk = Talk::new(Operation::Messages);
    talk.turn(&first.anthropic(), 0.0);
    assert_eq!(talk.turn(&second.anthropic(), 0.0), None, "the provider strips it: no reason to be seen");
    talk = Talk::new(Operation::Messages);
    talk.strips = false;
    talk.turn(&first.anthropic(), 0.0);
    assert_break(talk.turn(&second.anthropic(), 0.3), BreakCause::Attribution, "system[0]");
    // Where it is not the first block, no provider strips it.
    let behind = |hash: &str, turns| {
        let words = text(&format!("x-anthropic-billing-header: cc_version=2.1; cch={hash};"));
        Prompt::new().after(turns).with(|p| p.system.insert(1, words))
    };
    let found = between(&behind("0a1b2", 5), &behind("c3d4e", 6), 0.3);
    assert_break(found, BreakCause::Attribution, "system[1]");
}

#[test]
fn a_rewritten_old_message_is_an_edited_history() {
    let first = Prompt::new().after(8);
    let second = Prompt::new().after(9).with(|p| {
        p.messages[4] = vec![
            r#"{"type":"tool_result","tool_use_id":"toolu_0003","content":"[old tool result cleared]"}"#
                .to_owned(),
        ];
    });
    let found = assert_break(between(&first, &second, 0.5), BreakCause::EditedHistory, "message 4");
    assert!(found.tokens > 3_000, "{found:?}");
}

#[test]
fn a_shrunken_history_is_a_compaction() {
    let first = Prompt::new().after(25);
    // The client drops the older half, and keeps the first question.
    let cut = Prompt::new().after(26).with(|p| drop(p.messages.drain(1..27)));
    let found = assert_break(between(&first, &cut, 0.3), BreakCause::Compaction, "message 1 block 1");
    let paid = cut.anthropic().len() as u64 / 4;
    assert!(found.tokens <= paid, "no more was lost than was paid for: {found:?} of {paid}");
    // Everything gives way to a summary; the history is long enough to be worth one.
    let summed =
        Prompt::new().with(|p| p.messages[0] = vec![text(&prose("Summary of the work so far:", 6_000))]);
    assert_break(between(&first, &summed, 0.4), BreakCause::Compaction, "message 0");
    // Or the client says so, whatever it looks like.
    let mut talk = Talk::new(Operation::Messages);
    talk.turn(&Prompt::new().after(8).anthropic(), 0.0);
    talk.headers.insert("x-claude-code-context-compacted", HeaderValue::from_static("1"));
    let short = Prompt::new().with(|p| p.messages[0] = vec![text(&prose("In short:", 3_000))]);
    assert_break(talk.turn(&short.anthropic(), 0.4), BreakCause::Compaction, "message 0");
}

#[test]
fn settings_of_the_cache_key_are_a_cause_of_their_own() {
    let first = Prompt::new().after(6);
    let effort =
        Prompt::new().after(7).with(|p| p.settings = r#","thinking":{"type":"disabled"}"#.to_owned());
    let found = assert_break(between(&first, &effort, 0.45), BreakCause::SettingsChanged, "settings");
    let head = bytes_of_head(&first);
    assert_eq!(found.offset, head, "tools and system are not touched");
    let speed = Prompt::new().after(7).with(|p| p.settings.push_str(r#","speed":"fast""#));
    assert_eq!(assert_break(between(&first, &speed, 0.0), BreakCause::SettingsChanged, "settings").offset, 0);
}

fn bytes_of_head(prompt: &Prompt) -> u64 {
    let mut talk = Talk::new(Operation::Messages);
    let case = talk.look(&prompt.anthropic()).unwrap();
    let head = prints::messages_at(&case.tail.blocks);
    prints::bytes(&case.tail.blocks[..head])
}

#[test]
fn a_breakpoint_out_of_reach_is_a_missing_marker() {
    // Twelve calls at once: 25 blocks between one last block and the next.
    let first = Prompt::new().after(4);
    let second = first.clone().with(|p| {
        p.messages.push((100..112).map(call).collect());
        p.messages.push((100..112).map(result).collect());
    });
    let found = assert_break(between(&first, &second, 0.15), BreakCause::MarkerMissing, "message 8");
    assert!(found.tokens > 1_000, "{found:?}");
    // A second breakpoint on the previous turn is what helps.
    let helped = second.clone().with(|p| p.marked = Some(vec![8, 10]));
    assert_eq!(between(&first, &helped, 0.15), None);
    // No breakpoint at all.
    let none = first.clone().after(1).with(|p| p.marked = Some(vec![]));
    assert_break(between(&first, &none, 0.5), BreakCause::MarkerMissing, "message 8");
}

#[test]
fn an_ordinary_session_breaks_nothing() {
    let dialects: [(Operation, Written); 3] = [
        (Operation::Messages, Prompt::anthropic),
        (Operation::ChatCompletions, Prompt::chat),
        (Operation::Responses, Prompt::responses),
    ];
    for (operation, body) in dialects {
        let mut talk = Talk::new(operation);
        for turns in 0..20 {
            let body = body(&Prompt::new().after(turns));
            let read = if turns == 0 { 0.0 } else { 0.9 };
            assert_eq!(talk.turn(&body, read), None, "{operation:?} {turns}");
            // Sent again, word by word; and once more without an answer.
            assert_eq!(talk.turn(&body, 0.99), None, "{operation:?} {turns}");
            drop(talk.look(&body));
        }
        assert!(talk.forensics.worst(10).is_empty());
    }
}

#[test]
fn what_was_never_answered_or_has_grown_cold_is_not_lost() {
    let (first, second) = (
        Prompt::new().after(6).dated("It is 10:00.").anthropic(),
        Prompt::new().after(7).dated("It is 11:00.").anthropic(),
    );
    let mut talk = Talk::new(Operation::Messages);
    drop(talk.look(&first));
    assert_eq!(talk.turn(&second, 0.0), None, "the first was not answered");
    talk = Talk::new(Operation::Messages);
    talk.turn(&first, 0.0);
    talk.now = talk.now + Duration::from_secs(301);
    assert_eq!(talk.turn(&second, 0.0), None, "it was cold already");
    talk = Talk::new(Operation::Messages);
    talk.turn(&first, 0.0);
    talk.cache = 2;
    assert_eq!(talk.turn(&second, 0.0), None, "it was warm elsewhere");
}

#[test]
fn side_requests_under_the_same_id_are_no_breaks_and_do_not_hide_them() {
    let mut talk = Talk::new(Operation::Messages);
    let title = |n: usize| {
        Prompt::new()
            .with(|p| {
                p.tools.clear();
                p.system = vec![text(&prose("Write a title in five words.", 3_000))];
                p.messages[0] = vec![text(&prose(&format!("The conversation, part {n}."), 2_000))];
            })
            .anthropic()
    };
    let agent = |task: &str| Prompt::new().with(|p| p.messages[0] = vec![text(&prose(task, 3_000))]);
    talk.turn(&Prompt::new().after(20).anthropic(), 0.0);
    assert_eq!(talk.turn(&title(1), 0.0), None, "a title");
    assert_eq!(talk.turn(&Prompt::new().after(21).anthropic(), 0.95), None, "the main one goes on");
    assert_eq!(talk.turn(&agent("Explore the code.").anthropic(), 0.3), None, "a sub-agent without an id");
    assert_eq!(talk.turn(&agent("Explore the code.").after(1).anthropic(), 0.6), None);
    let broken = Prompt::new().after(22).with(|p| p.tools.swap(0, 1));
    assert_break(talk.turn(&broken.anthropic(), 0.0), BreakCause::ToolsChanged, "tools[0]");
}

#[test]
fn going_back_to_an_earlier_point_costs_nothing_that_was_read() {
    let first = Prompt::new().after(10);
    let fork = Prompt::new().after(5).with(|p| {
        p.messages.push(vec![text("I stop.")]);
        p.messages.push(vec![text(&prose("Try it another way, and mind this:", 4_000))]);
    });
    assert_eq!(between(&first, &fork, 0.9), None, "all that both have was read");
    // One that finds nothing cached at the fork pays for what both have.
    assert_break(between(&first, &fork, 0.2), BreakCause::EditedHistory, "message 11");
    // Both go on.
    let mut talk = Talk::new(Operation::Messages);
    talk.turn(&first.anthropic(), 0.0);
    talk.turn(&fork.anthropic(), 0.9);
    assert_eq!(talk.turn(&Prompt::new().after(11).anthropic(), 0.9), None);
    assert_eq!(talk.turn(&fork.after(1).anthropic(), 0.9), None);
}

#[test]
fn what_the_provider_read_after_all_is_not_lost() {
    let first = Prompt::new().after(6).dated("It is 10:00.");
    let second = Prompt::new().after(7).dated("It is 11:00.");
    assert_eq!(between(&first, &second, 0.95), None);
}

#[test]
fn the_worst_come_first_and_a_session_remembers_its_last() {
    let mut talk = Talk::new(Operation::Messages);
    for n in 0..5 {
        talk.turn(&Prompt::new().after(n).dated(&format!("Now: {n}.")).anthropic(), 0.0);
    }
    talk.headers.insert("x-claude-code-session-id", HeaderValue::from_static("another-session-1"));
    talk.turn(&Prompt::new().after(4).anthropic(), 0.0);
    talk.turn(&Prompt::new().after(5).with(|p| p.tools.swap(0, 1)).anthropic(), 0.0);
    let worst = talk.forensics.worst(10);
    let lines: Vec<_> = worst.iter().map(|line| (line.cause, line.break_at.as_str(), line.times)).collect();
    assert_eq!(lines, [("timestamp", "system[1]", 4), ("tools_changed", "tools[0]", 1)]);
    assert!(worst[0].usd > worst[1].usd, "{worst:?}");
    assert_eq!(talk.forensics.worst(1).len(), 1);
    let id = u64::from_str_radix(&worst[0].session, 16).unwrap();
    let session = talk.forensics.of_session(id, talk.now).unwrap();
    assert_eq!(session.last_break.map(|last| last.break_at).as_deref(), Some("system[1]"));
    assert_eq!(session.prompts.len(), 1);
    assert!(talk.forensics.of_session(id ^ 1, talk.now).is_none());
}

#[test]
fn memory_is_bounded_in_bytes_and_can_be_none() {
    let mut talk = Talk::new(Operation::Messages);
    talk.forensics = Forensics::new(64 << 10);
    let body = Prompt::new().after(40).anthropic();
    for n in 0..300 {
        let id = format!("session-{n:08}");
        talk.headers.insert("x-claude-code-session-id", HeaderValue::from_str(&id).unwrap());
        talk.turn(&body, 0.0);
        assert!(talk.forensics.bytes() <= 64 << 10);
    }
    assert!(talk.forensics.bytes() > 16 << 10);
    talk.forensics = Forensics::new(0);
    assert!(talk.look(&body).is_none());
}

#[test]
fn no_text_of_the_prompt_is_kept() {
    let mut talk = Talk::new(Operation::Messages);
    let canary = "canary-7d1e-of-a-prompt";
    let said = |n: usize| {
        Prompt::new()
            .after(n)
            .with(|p| p.system[1] = text(&prose(&format!("{canary} {n}"), 9_000)))
            .anthropic()
    };
    talk.turn(&said(1), 0.0);
    talk.turn(&said(2), 0.0);
    assert!(!talk.forensics.worst(1).is_empty());
    assert!(!format!("{:?}", talk.forensics).contains("canary"));
}

/// The old text of a block whose date changed comes again behind it: it is shared once.
#[test]
fn a_changed_block_is_shared_once() {
    let block = |hash, length| Print::of(Section::User, hash == 1, false, hash, length, false);
    let prompt = |blocks: &[Print]| Prints { blocks: blocks.to_vec(), ..Prints::default() };
    let (old, new) =
        (prompt(&[block(1, 10), block(2, 100)]), prompt(&[block(1, 10), block(3, 100), block(2, 100)]));
    let sketches = [Sketched { at: 1, sketch: Sketch::of([&b"12"[..], b""]) }];
    let (before, now) =
        (Side { prints: &old, sketches: &sketches }, Side { prints: &new, sketches: &sketches });
    let hints = Hints { compacted: false, explicit: false, tokens: 0, several: false };
    let found = compare(before, now, &hints);
    assert_eq!(found.suspects[0].cause, BreakCause::Timestamp);
    assert_eq!(found.suspects[0].shared, 110);
}

fn any_print() -> impl Strategy<Value = Print> {
    let section =
        proptest::sample::select(vec![Section::Tools, Section::System, Section::User, Section::Assistant]);
    (section, any::<[bool; 3]>(), 0_u32..6, prop_oneof![0_u64..9, any::<u64>()])
        .prop_map(|(section, [a, b, c], hash, length)| Print::of(section, a, b, hash, length, c))
}

fn any_prints() -> impl Strategy<Value = Prints> {
    (proptest::collection::vec(any_print(), 0..50), 0_u32..3, 0_u64..3, 0_u64..3).prop_map(
        |(blocks, attribution, all, messages)| Prints {
            blocks,
            attribution,
            settings: Settings { all, messages },
        },
    )
}

proptest! {
    /// Hashes alone, however absurd: sections in any order, lengths that wrap, sketches of nothing.
    #[test]
    fn no_two_chains_make_the_comparison_panic(
        old in any_prints(), new in any_prints(), keep in 0_usize..50, at in proptest::collection::btree_set(0_u32..60, 0..20),
        compacted in any::<bool>(), explicit in any::<bool>(), several in any::<bool>(), tokens in any::<u64>(),
    ) {
        let mut new = new;
        let blocks: Vec<Print> = old.blocks.iter().take(keep).copied().chain(new.blocks.iter().copied()).collect();
        new.blocks = blocks;
        let sketches: Vec<Sketched> =
            at.iter().map(|&at| Sketched { at, sketch: Sketch::of([&[u8::try_from(at % 3).unwrap()], b""]) }).collect();
        let hints = Hints { compacted, explicit, tokens, several };
        let (before, now) = (Side { prints: &old, sketches: &sketches }, Side { prints: &new, sketches: &sketches });
        let found = compare(before, now, &hints);
        let kept = old.blocks.iter().zip(&new.blocks).take_while(|(a, b)| a.is(**b)).count();
        prop_assert_eq!(found.common, kept);
        let all = prints::bytes(&old.blocks);
        for suspect in &found.suspects {
            prop_assert!(suspect.shared <= all && suspect.offset <= all.max(prints::bytes(&new.blocks)), "{:?}", suspect);
        }
        if old.blocks.len() <= kept && !old.blocks.is_empty() {
            prop_assert_eq!(found.relation, Relation::Extends);
        }
        let same = compare(now, now, &Hints { explicit: false, ..hints });
        prop_assert!(same.suspects.is_empty());
    }
}
