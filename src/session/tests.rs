//! Conversations as clients hold them, played against the ladder.

use std::collections::HashSet;

use http::{HeaderMap, HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::{
    clock::{Moment, UnixTime},
    dialect::{Block, BodyIds, HardPin, PinKind, Place, RequestView, Settings, TtlAsked, Value},
    types::{IdSource, ModelName, Operation, PrefixChain, Section, TenantId},
};

const NOW: Moment = Moment::from_millis(3_600_000);

/// A body and its view, built block by block.
struct Talk {
    body: Vec<u8>,
    view: RequestView,
}

impl Talk {
    fn new() -> Self {
        let view = RequestView {
            operation: Operation::Messages,
            model: Value { value: "claude-sonnet-4-6".into(), span: 0..0 },
            stream: true,
            background: false,
            max_output_tokens: None,
            includes_usage: false,
            stream_options: None,
            body_start: 1,
            empty: false,
            blocks: Vec::new(),
            has_history: false,
            tool_result_ids: Vec::new(),
            last_reply: Vec::new(),
            pins: Vec::new(),
            encrypted_content: false,
            ids: BodyIds::default(),
            ttl: TtlAsked::None,
            settings: Settings::default(),
            signed_thinking: false,
            markers: 0,
            auto_marker: false,
            marks: Vec::new(),
            auto_mark: None,
            cache_key: None,
            prewarm: None,
        };
        Self { body: b"{".to_vec(), view }
    }

    /// Tools, system and the first words of a user.
    fn opening(words: &str) -> Self {
        let mut talk = Self::new();
        talk.block(Section::Tools, r#"{"name":"Bash","input_schema":{}}"#, "", false);
        talk.block(Section::System, "\"You are an agent.\"", "", true);
        talk.say(Section::User, words);
        talk
    }

    /// Adds a block: `head`, a marker, and the brace behind it if there is a marker.
    fn block(&mut self, section: Section, head: &str, marker: &str, opens_message: bool) -> &mut Self {
        self.body.extend_from_slice(b" ,");
        let start = self.body.len();
        self.body.extend_from_slice(head.as_bytes());
        let from = self.body.len();
        self.body.extend_from_slice(marker.as_bytes());
        let marker = (!marker.is_empty()).then_some(from..self.body.len());
        if marker.is_some() {
            self.body.push(b'}');
        }
        let span = start..self.body.len();
        self.view.blocks.push(Block {
            section,
            span,
            marker,
            opens_message,
            attribution: false,
            place: Place::Nowhere,
        });
        self
    }

    /// A message of one string.
    fn say(&mut self, section: Section, words: &str) -> &mut Self {
        let text = serde_json::to_string(words).unwrap();
        if section == Section::Assistant {
            self.view.has_history = true;
            let start = self.body.len() + 3;
            self.view.last_reply = std::iter::once(start..start + text.len() - 2).collect();
        }
        self.block(section, &text, "", true)
    }

    /// A tool call of the model and its result.
    fn use_tool(&mut self, id: &str, result: &str) -> &mut Self {
        self.view.has_history = true;
        self.view.last_reply = Vec::new();
        self.block(Section::Assistant, &format!(r#"{{"type":"tool_use","id":"{id}"}}"#), "", true);
        self.view.tool_result_ids = vec![id.to_owned()];
        let result = format!(r#"{{"type":"tool_result","tool_use_id":"{id}","content":"{result}"}}"#);
        self.block(Section::User, &result, "", true)
    }

    fn chain(&self) -> PrefixChain {
        chain(&self.view, &self.body)
    }

    fn asked_by(&self, headers: &[(&str, &str)], tenant: &str, model: &str, links: &Links) -> Identity {
        let headers = header_map(headers);
        let (tenant, model) = (TenantId::from(tenant), ModelName::from(model));
        let asked =
            Asked { headers: &headers, view: &self.view, body: &self.body, tenant: &tenant, model: &model };
        let configured = SessionParams { headers: vec![HeaderName::from_static("x-run")] };
        identify(&asked, &configured, links, NOW)
    }

    fn asked(&self, headers: &[(&str, &str)], links: &Links) -> Identity {
        self.asked_by(headers, "acme", "claude-sonnet-4-6", links)
    }
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    headers.iter().map(pair).collect()
}

fn links() -> Links {
    Links::new(LinksParams::default(), 7)
}

/// Two requests, recognised by what their headers say.
fn same(one: &[(&str, &str)], other: &[(&str, &str)]) -> bool {
    let (links, talk) = (links(), Talk::opening("hello"));
    let (one, other) = (talk.asked(one, &links).key, talk.asked(other, &links).key);
    assert!(one.is_some() && other.is_some());
    one == other
}

fn source(headers: &[(&str, &str)]) -> IdSource {
    Talk::opening("hello").asked(headers, &links()).source
}

// --- the chain ---

#[test]
fn the_chain_is_the_same_for_ever() {
    let mut talk = Talk::opening("Fix the build.");
    talk.use_tool("toolu_01A", "ok").block(
        Section::User,
        r#"{"type":"text","text":"go on""#,
        r#","cache_control":{"type":"ephemeral"}"#,
        false,
    );
    let hashes: Vec<String> =
        talk.chain().points.iter().map(|p| format!("{:016x}/{}", p.hash, p.bytes)).collect();
    assert_eq!(hashes, GOLDEN_CHAIN);
}

/// Computed with another implementation (Python's `xxhash`).
const GOLDEN_CHAIN: [&str; 6] = [
    "601a1742e3bb8da9/33",
    "3b220ae93ef36ee1/52",
    "af73e6cf62d4b15a/68",
    "36929e9988701989/104",
    "5f4102ad1164b63c/167",
    "3bfd20ba3159e27c/197",
];

#[test]
fn two_blocks_are_not_one_and_two_messages_are_not_one() {
    let mut one = Talk::new();
    one.block(Section::User, "[1,2]", "", true);
    let mut two = Talk::new();
    two.block(Section::User, "[1,", "", true).block(Section::User, "2]", "", false);
    let mut messages = Talk::new();
    messages.block(Section::User, "[1,", "", true).block(Section::User, "2]", "", true);
    let mut model = Talk::new();
    model.block(Section::User, "[1,", "", true).block(Section::Assistant, "2]", "", true);
    let ends = [one, two, messages, model].map(|talk| talk.chain().last().unwrap().hash);
    assert_eq!(HashSet::from(ends).len(), 4);
}

#[test]
fn a_breakpoint_on_a_text_changes_nothing_but_the_mark() {
    let mut plain = Talk::new();
    plain.say(Section::User, "héllo");
    let mut marked = Talk::new();
    marked.say(Section::User, "héllo");
    let end = marked.view.blocks[0].span.end;
    marked.view.blocks[0].marker = Some(end..end);
    let (plain, marked) = (plain.chain().points[0], marked.chain().points[0]);
    assert_eq!((plain.hash, plain.bytes), (marked.hash, marked.bytes));
    assert!(marked.breakpoint && !plain.breakpoint);
}

#[test]
fn the_attribution_block_leaves_no_trace() {
    let plain = Talk::opening("hello");
    let mut signed = Talk::new();
    signed.block(Section::Tools, r#"{"name":"Bash","input_schema":{}}"#, "", false);
    signed.block(Section::System, r#"{"text":"x-anthropic-billing-header: cch=12345;"}"#, "", true);
    signed.view.blocks[1].attribution = true;
    signed.block(Section::System, "\"You are an agent.\"", "", true).say(Section::User, "hello");
    assert_eq!(plain.chain(), signed.chain());
}

#[test]
fn spans_outside_the_body_are_empty_and_no_panic() {
    let mut talk = Talk::opening("hello");
    talk.view.blocks[0].span = 5..100_000;
    #[expect(clippy::reversed_empty_ranges, reason = "what a faulty scanner might say")]
    {
        talk.view.blocks[1].span = 9..3;
    }
    talk.view.blocks[2].marker = Some(0..1);
    assert_eq!(talk.chain().points.len(), 3);
}

// --- the ladder ---

#[test]
fn keys_are_the_same_for_ever() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let key = |headers: &[(&str, &str)]| format!("{:032x}", talk.asked(headers, &links).key.unwrap().0);
    assert_eq!(key(&[("x-conversation-id", "c-1")]), GOLDEN_KEYS[0]);
    assert_eq!(
        key(&[("x-claude-code-session-id", "c-1"), ("x-claude-code-agent-id", "a-1")]),
        GOLDEN_KEYS[1]
    );
    // A first turn without an id: its opener, the run's random start, and a number.
    assert_eq!(key(&[]), GOLDEN_KEYS[2]);
}

/// Computed with another implementation (Python's `xxhash`).
const GOLDEN_KEYS: [&str; 3] = [
    "2a33274a2127736e35e1bbcd5c3668a7",
    "1b8d4eec7e0fa55bf9427737a5c02739",
    "a59edabc9f5eeb6b06acf0a91049b1bb",
];

#[test]
fn the_ladder_prefers_the_stronger_sign() {
    assert_eq!(source(&[("x-run", "r-1"), ("x-conversation-id", "c-1")]), IdSource::ConfiguredHeader);
    assert!(same(
        &[("x-conversation-id", "c-1"), ("x-claude-code-session-id", "s-1")],
        &[("x-conversation-id", "c-1"), ("x-claude-code-session-id", "s-2")],
    ));
    assert!(same(
        &[("x-session-affinity", "ses_1"), ("x-foo-session-id", "abcdefgh")],
        &[("x-session-id", "ses_1")],
    ));
    let mut talk = Talk::opening("hello");
    talk.view.ids.prompt_cache_key = Some("p-1".to_owned());
    assert_eq!(talk.asked(&[("x-task-id", "t-1")], &links()).source, IdSource::Header);
    assert_eq!(talk.asked(&[], &links()).source, IdSource::Body);
}

#[test]
fn every_known_header_is_a_sign() {
    for name in [
        "x-claude-code-session-id",
        "x-opencode-session",
        "x-task-id",
        "x-litellm-session-id",
        "x-litellm-trace-id",
        "helicone-session-id",
        "x-portkey-trace-id",
        "x-bf-session-id",
        "x-merge-thread-id",
        "x-grok-conv-id",
    ] {
        assert_eq!(source(&[(name, "one")]), IdSource::Header, "{name}");
        assert!(!same(&[(name, "one")], &[(name, "two")]), "{name}");
    }
}

#[test]
fn plain_names_count_only_from_codex() {
    assert_eq!(source(&[("session-id", "c-1")]), IdSource::Opener);
    assert_eq!(source(&[("session_id", "c-1"), ("user-agent", "codex_cli_rs/0.169")]), IdSource::Header);
    assert_eq!(source(&[("thread-id", "c-1"), ("originator", "codex_exec")]), IdSource::Header);
}

#[test]
fn a_generic_session_header_counts_when_its_value_is_an_id() {
    assert_eq!(source(&[("x-gproxy-session-id", "abcd_1234")]), IdSource::Header);
    assert_eq!(source(&[("x-gproxy-session-id", "short")]), IdSource::Opener);
    assert_eq!(source(&[("x-gproxy-session-id", "not an id")]), IdSource::Opener);
    assert_eq!(source(&[("x-parent-session-id", "abcd_1234")]), IdSource::Opener);
    assert_eq!(source(&[("x--session-id", "abcd_1234")]), IdSource::Opener);
}

#[test]
fn junk_is_no_id() {
    let long = "x".repeat(257);
    for junk in ["", "  ", "null", "undefined", "None", long.as_str()] {
        assert_eq!(source(&[("x-conversation-id", junk)]), IdSource::Opener, "{junk:?}");
    }
}

#[test]
fn both_forms_of_a_user_id_hold_the_session_of_the_header() {
    let links = links();
    let by_header = Talk::opening("hello").asked(&[("x-claude-code-session-id", "0f-uuid")], &links).key;
    for user in [
        "user_ab12_account__session_0f-uuid",
        r#"{"device_id":"d","account_uuid":"","session_id":"0f-uuid"}"#,
    ] {
        let mut talk = Talk::opening("hello");
        talk.view.ids.user_id = Some(user.to_owned());
        let found = talk.asked(&[], &links);
        assert_eq!((found.source, found.key), (IdSource::Body, by_header), "{user}");
    }
    for user in ["user-77", r#"{"device_id":"d"}"#, "{broken", r#"{"session_id":7}"#] {
        let mut talk = Talk::opening("hello");
        talk.view.ids.user_id = Some(user.to_owned());
        assert_eq!(talk.asked(&[], &links).source, IdSource::Opener, "{user}");
    }
}

#[test]
fn a_sub_agent_is_a_session_of_its_own_and_knows_its_parent_whatever_its_model() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let main = talk.asked_by(&[("x-claude-code-session-id", "s-1")], "acme", "opus", &links);
    links.learn_request(&main, NOW);
    let sub = [("x-claude-code-session-id", "s-1"), ("x-claude-code-agent-id", "a-1")];
    let sub = talk.asked_by(&sub, "acme", "haiku", &links);
    assert_ne!(sub.key, main.key);
    assert_eq!(sub.parent, main.key);
    assert_eq!(main.parent, None);
    links.learn_request(&sub, NOW);
    let nested = [
        ("x-claude-code-session-id", "s-1"),
        ("x-claude-code-agent-id", "a-2"),
        ("x-claude-code-parent-agent-id", "a-1"),
    ];
    assert_eq!(talk.asked_by(&nested, "acme", "haiku", &links).parent, sub.key);
}

#[test]
fn other_clients_sub_agents_have_parents_too() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let parent = talk.asked(&[("x-session-id", "ses_main")], &links).key;
    let child = talk.asked(&[("x-session-id", "ses_sub"), ("x-parent-session-id", "ses_main")], &links);
    assert_eq!(child.parent, parent);
    let codex = [("user-agent", "codex_cli_rs/0.169"), ("session-id", "t-1"), ("thread-id", "t-1")];
    let main = talk.asked(&codex, &links);
    let review = talk.asked(&[codex.as_slice(), &[("x-openai-subagent", "review")]].concat(), &links);
    assert_eq!((main.parent, review.parent), (None, main.key));
    assert_ne!(review.key, main.key);
}

#[test]
fn a_side_request_of_claude_code_is_not_the_main_session() {
    let session = ("x-claude-code-session-id", "s-1");
    assert!(!same(&[session], &[session, ("x-claude-code-request-class", "auxiliary")]));
    // Compaction sends the parent's prefix: the same cache, so the same session.
    assert!(same(&[session], &[session, ("x-claude-code-request-class", "compaction")]));
}

#[test]
fn a_compacted_history_is_reported() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let session = ("x-claude-code-session-id", "s-1");
    assert!(talk.asked(&[session, ("x-claude-code-context-compacted", "1")], &links).compacted);
    assert!(!talk.asked(&[session, ("x-claude-code-context-compacted", "false")], &links).compacted);
    assert!(!talk.asked(&[session], &links).compacted);
}

#[test]
fn a_session_is_known_from_its_second_request_on_until_it_is_forgotten() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let first = talk.asked(&[("x-conversation-id", "c-1")], &links);
    assert!(!first.known);
    links.learn_request(&first, NOW);
    assert!(talk.asked(&[("x-conversation-id", "c-1")], &links).known);
    assert!(!talk.asked_by(&[("x-conversation-id", "c-1")], "acme", "other-model", &links).known);
    let old = links.dump(NOW, UnixTime(std::time::Duration::from_secs(10_000)));
    let restarted = Links::new(LinksParams::default(), 8);
    restarted.restore(&old, NOW, UnixTime(std::time::Duration::from_secs(13_601)));
    assert!(!talk.asked(&[("x-conversation-id", "c-1")], &restarted).known);
}

#[test]
fn traces_come_last() {
    let trace = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(source(&[trace]), IdSource::Opener);
    let nothing = Talk::new();
    assert_eq!(nothing.asked(&[trace], &links()).source, IdSource::Trace);
    let baggage = ("baggage", "a=b, session.id=abc;p=1");
    let (one, other) = (nothing.asked(&[baggage, trace], &links()), nothing.asked(&[baggage], &links()));
    assert_eq!(one.key, other.key);
    let none = nothing.asked(&[("traceparent", "00-00000000000000000000000000000000-0-01")], &links());
    assert_eq!((none.source, none.key, none.opener), (IdSource::None, None, 0));
}

#[test]
fn a_conversation_kept_by_the_provider_names_itself() {
    let mut talk = Talk::opening("hello");
    talk.view.pins = vec![HardPin { kind: PinKind::Conversation, id: "conv_1".to_owned() }];
    let (one, other) = (talk.asked(&[], &links()), talk.asked(&[], &links()));
    assert_eq!((one.source, one.key), (IdSource::Body, other.key));
}

#[test]
fn a_request_that_goes_on_from_a_response_belongs_to_its_session() {
    let (links, talk) = (links(), Talk::opening("hello"));
    let first = talk.asked(&[], &links);
    links.learn_tool_call(&first, "resp_0123456789", NOW);
    let mut second = Talk::new();
    second.say(Section::User, "and now?");
    second.view.pins = vec![HardPin { kind: PinKind::Response, id: "resp_0123456789".to_owned() }];
    let second = second.asked(&[], &links);
    assert_eq!((second.source, second.key), (IdSource::ToolId, first.key));
}

// --- without ids ---

/// Fifty agents, twenty turns, not one id, the same opening in all.
#[test]
fn fifty_equal_agents_are_fifty_sessions_by_their_tool_calls() {
    let links = links();
    let mut agents: Vec<(Talk, Identity)> = Vec::new();
    for _ in 0..50 {
        let talk = Talk::opening("Fix the build.");
        let found = talk.asked(&[], &links);
        assert_eq!((found.source, found.known), (IdSource::Opener, false));
        links.learn_request(&found, NOW);
        agents.push((talk, found));
    }
    for turn in 1..20 {
        for (n, (talk, last)) in agents.iter_mut().enumerate() {
            let id = format!("toolu_{turn:02}x{n:02}aaaa");
            links.learn_tool_call(last, &id, NOW);
            talk.use_tool(&id, "the same result");
            let found = talk.asked(&[], &links);
            assert_eq!((found.key, found.source, found.known), (last.key, IdSource::ToolId, true));
            links.learn_request(&found, NOW);
            *last = found;
        }
    }
    let keys: HashSet<_> = agents.iter().map(|(_, found)| found.key).collect();
    assert_eq!(keys.len(), 50);
}

#[test]
fn fifty_equal_chats_are_fifty_sessions_by_what_they_were_answered() {
    let links = links();
    let mut chats = Vec::new();
    for _ in 0..50 {
        let talk = Talk::opening("Tell me a story.");
        let mut found = talk.asked(&[], &links);
        links.learn_request(&found, NOW);
        found.chain.points.clear();
        chats.push((talk, found));
    }
    for turn in 1..20 {
        for (n, (talk, last)) in chats.iter_mut().enumerate() {
            let reply = format!("Once upon a time, in the year {n}, on day {turn}… 😀\n");
            let mut hasher = ReplyHasher::new();
            // The provider streams it escaped and in pieces, the client sends it trimmed.
            let streamed: String = reply.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            streamed.as_bytes().chunks(7).for_each(|piece| hasher.push(piece));
            links.learn_reply(last, hasher.finish().unwrap(), NOW);
            talk.say(Section::Assistant, reply.trim()).say(Section::User, "Go on.");
            let mut found = talk.asked(&[], &links);
            assert_eq!((found.key, found.source), (last.key, IdSource::Prefix));
            links.learn_request(&found, NOW);
            // A waiting stream keeps nothing that grows with its prompt.
            found.chain.points.clear();
            *last = found;
        }
    }
    let keys: HashSet<_> = chats.iter().map(|(_, found)| found.key).collect();
    assert_eq!(keys.len(), 50);
}

#[test]
fn a_chat_whose_reply_was_edited_is_found_by_its_prompt() {
    let links = links();
    let mut talk = Talk::opening("Tell me a story.");
    let first = talk.asked(&[], &links);
    links.learn_request(&first, NOW);
    talk.say(Section::Assistant, "Edited by hand.").say(Section::User, "Go on.");
    assert_eq!(talk.asked(&[], &links).key, first.key);
    // With two sessions of one opener the opener alone no longer tells...
    let twin = Talk::opening("Tell me a story.").asked(&[], &links);
    links.learn_request(&twin, NOW);
    let lost = talk.asked(&[], &links);
    assert_eq!(lost.source, IdSource::Opener);
    // ...but what goes beyond it does.
    links.learn_request(&first_with(&lost, first.key), NOW);
    talk.say(Section::Assistant, "Edited again.").say(Section::User, "And?");
    assert_eq!(talk.asked(&[], &links).key, first.key);
}

fn first_with(identity: &Identity, key: Option<crate::types::SessionKey>) -> Identity {
    Identity { key, ..identity.clone() }
}

#[test]
fn a_later_turn_that_nobody_remembers_has_the_same_key_in_every_turn_and_after_every_restart() {
    let mut talk = Talk::opening("Fix the build.");
    talk.use_tool("toolu_0001", "ok");
    let first = talk.asked(&[], &links());
    talk.use_tool("toolu_0002", "ok");
    let second = talk.asked(&[], &Links::new(LinksParams::default(), 99));
    assert_eq!((first.source, second.key), (IdSource::Opener, first.key));
    // Another agent with the same opener was answered something else.
    let mut other = Talk::opening("Fix the build.");
    other.use_tool("toolu_0009", "ok");
    assert_ne!(other.asked(&[], &links()).key, first.key);
}

#[test]
fn a_restart_with_the_state_file_loses_nobody() {
    let links = links();
    let mut talk = Talk::opening("Fix the build.");
    let first = talk.asked(&[], &links);
    links.learn_request(&first, NOW);
    links.learn_tool_call(&first, "toolu_0001", NOW);
    let unix = UnixTime(std::time::Duration::from_secs(1_800_000_000));
    let file = serde_json::to_string(&links.dump(NOW, unix)).unwrap();
    let restarted = Links::new(LinksParams::default(), 99);
    restarted.restore(&serde_json::from_str(&file).unwrap(), NOW, unix);
    assert_eq!(restarted.len(), links.len());
    talk.use_tool("toolu_0001", "ok");
    assert_eq!(talk.asked(&[], &restarted).key, first.key);
    assert_ne!(Talk::opening("Fix the build.").asked(&[], &restarted).key, first.key);
}

#[test]
fn a_retry_of_a_first_turn_is_the_same_session_and_equal_agents_retries_stay_apart() {
    let (links, talk) = (links(), Talk::opening("Fix the build."));
    let firsts: Vec<Identity> =
        (0..3).map(|_| talk.asked(&[("x-stainless-retry-count", "0")], &links)).collect();
    let retry = |n: &str| talk.asked(&[("x-stainless-retry-count", n)], &links).key;
    let retried: Vec<_> = (0..3).map(|_| retry("1")).collect();
    assert_eq!(retried, firsts.iter().map(|first| first.key).collect::<Vec<_>>());
    // Who was answered does not come back.
    links.learn_tool_call(&firsts[0], "toolu_0001", NOW);
    assert_eq!([retry("2"), retry("2"), retry("3")], [firsts[1].key, firsts[2].key, firsts[1].key]);
}

#[test]
fn ids_that_two_sessions_share_lead_nowhere() {
    let links = links();
    let (one, other) = (Talk::opening("a").asked(&[], &links), Talk::opening("b").asked(&[], &links));
    links.learn_tool_call(&one, "call_00000001", NOW);
    links.learn_tool_call(&other, "call_00000001", NOW);
    links.learn_tool_call(&one, "call_1", NOW);
    for id in ["call_00000001", "call_1"] {
        let mut talk = Talk::opening("c");
        talk.use_tool(id, "ok");
        assert_eq!(talk.asked(&[], &links).source, IdSource::Opener, "{id}");
    }
}

#[test]
fn another_model_is_another_session_of_the_same_conversation() {
    let links = links();
    let mut talk = Talk::opening("Fix the build.");
    let first = talk.asked(&[], &links);
    links.learn_tool_call(&first, "toolu_0001", NOW);
    talk.use_tool("toolu_0001", "ok");
    let switched = || talk.asked_by(&[], "acme", "claude-opus-5", &links);
    assert_ne!(switched().key, first.key);
    assert_eq!((switched().source, switched().key), (IdSource::ToolId, switched().key));
}

#[test]
fn links_of_one_tenant_do_not_exist_for_another() {
    let links = links();
    let mut talk = Talk::opening("Fix the build.");
    let first = talk.asked(&[], &links);
    links.learn_request(&first, NOW);
    links.learn_tool_call(&first, "toolu_0001", NOW);
    talk.use_tool("toolu_0001", "ok");
    let stranger = talk.asked_by(&[], "other", "claude-sonnet-4-6", &links);
    assert_eq!((stranger.source, stranger.known), (IdSource::Opener, false));
}

#[test]
fn links_stay_within_their_bound() {
    let links = Links::new(LinksParams { capacity: 64, ..LinksParams::default() }, 7);
    let found = Talk::opening("Fix the build.").asked(&[], &links);
    (0..10_000).for_each(|n| links.learn_tool_call(&found, &format!("toolu_{n:06}"), NOW));
    assert!(links.len() <= 64);
}

// --- objects ---

#[test]
fn an_object_belongs_to_the_tenant_that_made_it_for_thirty_days() {
    let owners = Owners::new(100);
    let (acme, other) = (TenantId::from("acme"), TenantId::from("other"));
    let (home, away) = ("openai-1".into(), "openai-2".into());
    let day = |n: u64| UnixTime(std::time::Duration::from_secs(1_800_000_000 + n * 86_400));
    assert!(owners.learn(&acme, PinKind::Response, "resp_1", &home, day(0)));
    assert_eq!(owners.find(&acme, PinKind::Response, "resp_1", day(29)), Owner::Ours(home.clone()));
    assert_eq!(owners.find(&other, PinKind::Response, "resp_1", day(29)), Owner::NotYours);
    assert_eq!(owners.find(&acme, PinKind::File, "resp_1", day(29)), Owner::Unknown);
    assert_eq!(owners.find(&acme, PinKind::Response, "resp_1", day(31)), Owner::Unknown);
    // Naming it does not make it theirs.
    assert!(!owners.learn(&other, PinKind::Response, "resp_1", &away, day(1)));
    assert_eq!(owners.find(&acme, PinKind::Response, "resp_1", day(1)), Owner::Ours(home.clone()));

    let file = serde_json::to_string(&owners.dump(day(1))).unwrap();
    assert!(!file.contains("resp_1"));
    let restarted = Owners::new(100);
    restarted.restore(&serde_json::from_str(&file).unwrap(), day(2));
    assert_eq!(restarted.find(&acme, PinKind::Response, "resp_1", day(2)), Owner::Ours(home));
    assert_eq!(restarted.find(&other, PinKind::Response, "resp_1", day(2)), Owner::NotYours);
}

// --- properties ---

proptest! {
    #[test]
    fn where_the_marker_sits_does_not_change_the_hashes(texts in proptest::collection::vec("[a-z ]{0,12}", 1..8), at in any::<prop::sample::Index>(), then in any::<prop::sample::Index>()) {
        let marked = |place: usize| {
            let mut talk = Talk::new();
            for (n, text) in texts.iter().enumerate() {
                let block = format!(r#"{{"type":"text","text":"{text}""#);
                if n == place {
                    talk.block(Section::User, &block, r#", "cache_control": {"type":"ephemeral"}"#, true);
                } else {
                    talk.block(Section::User, &format!("{block}}}"), "", true);
                }
            }
            talk.chain().points.iter().map(|point| (point.hash, point.bytes)).collect::<Vec<_>>()
        };
        prop_assert_eq!(marked(at.index(texts.len())), marked(then.index(texts.len())));
    }

    #[test]
    fn the_chain_of_a_turn_begins_with_the_chain_of_the_turn_before(results in proptest::collection::vec("[a-z]{0,9}", 1..10)) {
        let mut talk = Talk::opening("Fix the build.");
        let mut before = talk.chain().points;
        for (n, result) in results.iter().enumerate() {
            let now = talk.use_tool(&format!("toolu_{n}"), result).chain().points;
            prop_assert!(now.starts_with(&before) && now.len() > before.len());
            before = now;
        }
    }

    #[test]
    fn tenants_never_share_a_key(id in "[ -~]{1,40}", one in "[a-z]{1,8}", other in "[a-z]{1,8}") {
        prop_assume!(one != other);
        let (links, talk) = (links(), Talk::opening("hello"));
        let headers = [("x-conversation-id", id.as_str())];
        let key = |tenant: &str| talk.asked_by(&headers, tenant, "m", &links).key;
        prop_assert_ne!(key(&one), key(&other));
    }

    #[test]
    fn any_header_value_and_any_id_is_survived(value in proptest::collection::vec(any::<u8>(), 0..300), text in ".{0,300}") {
        let Ok(value) = HeaderValue::from_bytes(&value) else { return Ok(()) };
        let mut talk = Talk::opening("hello");
        talk.view.ids = BodyIds { user_id: Some(text.clone()), prompt_cache_key: Some(text.clone()), session_id: Some(text.clone()), metadata_session_id: Some(text.clone()) };
        talk.view.tool_result_ids = vec![text];
        for name in ["x-run", "x-conversation-id", "user-agent", "session-id", "x-foo-session-id", "x-claude-code-agent-id", "x-parent-session-id", "baggage", "traceparent", "x-stainless-retry-count"] {
            let headers: HeaderMap = [(HeaderName::from_static(name), value.clone())].into_iter().collect();
            let (tenant, model) = (TenantId::from("acme"), ModelName::from("m"));
            let asked = Asked { headers: &headers, view: &talk.view, body: &talk.body, tenant: &tenant, model: &model };
            let found = identify(&asked, &SessionParams { headers: vec![HeaderName::from_static("x-run")] }, &links(), NOW);
            prop_assert!(found.key.is_some());
        }
    }

    #[test]
    fn a_reply_has_one_fingerprint_however_it_is_escaped_and_cut(text in "\\PC{1,80}", cuts in proptest::collection::vec(0_usize..600, 0..8)) {
        let print = |raw: &[u8], cuts: &[usize]| {
            let mut hasher = ReplyHasher::new();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| (*cut).min(raw.len())).collect();
            cuts.extend([0, raw.len()]);
            cuts.sort_unstable();
            cuts.windows(2).for_each(|pair| hasher.push(&raw[pair[0]..pair[1]]));
            hasher.finish()
        };
        let plain = serde_json::to_string(&text).unwrap();
        let plain = &plain[1..plain.len() - 1];
        let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        prop_assert_eq!(print(plain.as_bytes(), &[]), print(escaped.as_bytes(), &cuts));
        prop_assert_eq!(print(plain.as_bytes(), &cuts), print(escaped.as_bytes(), &[]));
    }

    #[test]
    fn any_bytes_have_a_fingerprint_or_none(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut hasher = ReplyHasher::new();
        hasher.push(&raw);
        let _ = hasher.finish();
        hasher.push(br"\udc00\ud800");
        prop_assert!(hasher.finish().is_some());
    }
}
