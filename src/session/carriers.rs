//! Where clients carry an id of their conversation: headers and body fields, strongest first.
//!
//! Source: each client's own code or capture; see the table in `carriers` tests for who sends what.

use http::{HeaderMap, HeaderName};

use crate::{
    dialect::{BodyIds, HardPin, PinKind},
    types::IdSource,
};

/// Longer ids are junk: we would hash what a stranger sends, and print nothing of it.
const LONGEST: usize = 256;

/// Session headers of known clients and gateways that need no second look, strongest first.
///
/// Claude Code; OpenCode; Cline, Roo and Kilo; LiteLLM; Helicone; Portkey; Bifrost; Merge; Grok.
const VENDOR: [&str; 12] = [
    "x-claude-code-session-id",
    "x-session-affinity",
    "x-opencode-session",
    "x-session-id",
    "x-task-id",
    "x-litellm-session-id",
    "x-litellm-trace-id",
    "helicone-session-id",
    "x-portkey-trace-id",
    "x-bf-session-id",
    "x-merge-thread-id",
    "x-grok-conv-id",
];

/// Names too plain to trust from anybody but Codex, newest build first.
const CODEX: [&str; 4] = ["session-id", "thread-id", "session_id", "conversation_id"];

/// A conversation that the client named.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Claim {
    /// The conversation.
    pub(super) id: String,
    /// The sub-agent; empty for the main one.
    pub(super) agent: String,
    /// The conversation and agent that it works for.
    pub(super) parent: Option<(String, String)>,
    /// What said so.
    pub(super) source: IdSource,
}

/// What the client says of its conversation, if anything.
pub(super) fn claim(
    headers: &HeaderMap,
    ids: &BodyIds,
    pins: &[HardPin],
    configured: &[HeaderName],
) -> Option<Claim> {
    let codex = is_codex(headers);
    let (id, source) = from_headers(headers, configured, codex)
        .or_else(|| from_body(ids, pins).map(|id| (id, IdSource::Body)))?;
    let agent = agent(headers, codex);
    let parent = match header(headers, "x-parent-session-id") {
        Some(parent) if parent != id => Some((parent.to_owned(), String::new())),
        _ if !agent.is_empty() => {
            let above = header(headers, "x-claude-code-parent-agent-id").unwrap_or_default();
            Some((id.to_owned(), above.to_owned()))
        }
        _ => None,
    };
    Some(Claim { id: id.to_owned(), agent, parent, source })
}

/// The session in a `baggage` or `traceparent` header: often one a turn, so the last resort.
pub(super) fn trace(headers: &HeaderMap) -> Option<&str> {
    let session = header(headers, "baggage").and_then(|baggage| {
        baggage.split(',').find_map(|member| {
            let (name, value) = member.split(';').next()?.split_once('=')?;
            matches!(name.trim(), "session.id" | "session_id" | "langfuse_session_id")
                .then(|| sane(value))
                .flatten()
        })
    });
    session.or_else(|| {
        // W3C: version "-" 32 hex digits of trace id "-" ...; all zeros is "none".
        let id = header(headers, "traceparent")?.split('-').nth(1)?;
        (id.len() == 32 && id.bytes().all(|c| c.is_ascii_hexdigit()) && id.bytes().any(|c| c != b'0'))
            .then_some(id)
    })
}

/// The client says that it sends this very request once more.
pub(super) fn is_retry(headers: &HeaderMap) -> bool {
    header(headers, "x-stainless-retry-count")
        .and_then(|count| count.parse::<u32>().ok())
        .is_some_and(|n| n > 0)
}

/// This is the first request after the client rewrote its history: the old prefix is dead.
pub(super) fn is_compacted(headers: &HeaderMap) -> bool {
    header(headers, "x-claude-code-context-compacted").is_some_and(|value| !matches!(value, "0" | "false"))
}

fn from_headers<'a>(
    headers: &'a HeaderMap,
    configured: &[HeaderName],
    codex: bool,
) -> Option<(&'a str, IdSource)> {
    let named = configured.iter().find_map(|name| header(headers, name.as_str()));
    if let Some(id) = named {
        return Some((id, IdSource::ConfiguredHeader));
    }
    header(headers, "x-conversation-id")
        .or_else(|| codex.then(|| CODEX.iter().find_map(|name| header(headers, name))).flatten())
        .or_else(|| VENDOR.iter().find_map(|name| header(headers, name)))
        .or_else(|| generic(headers))
        .map(|id| (id, IdSource::Header))
}

/// Any `x-<vendor>-session-id` whose value looks like an id (LiteLLM's rule). Of several, the first
/// by name, since a header map has no order.
fn generic(headers: &HeaderMap) -> Option<&str> {
    let id_like = |value: &str| {
        value.len() >= 8 && value.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-'))
    };
    headers
        .keys()
        .map(HeaderName::as_str)
        .filter(|name| {
            let vendor = name.strip_prefix("x-").and_then(|rest| rest.strip_suffix("-session-id"));
            vendor.is_some_and(|vendor| !vendor.is_empty() && !vendor.contains("parent"))
        })
        .filter_map(|name| Some((name, header(headers, name).filter(|value| id_like(value))?)))
        .min()
        .map(|(_, value)| value)
}

fn from_body<'a>(ids: &'a BodyIds, pins: &'a [HardPin]) -> Option<&'a str> {
    let field = |value: &'a Option<String>| value.as_deref().and_then(sane);
    ids.user_id
        .as_deref()
        .and_then(user_session)
        .or_else(|| field(&ids.prompt_cache_key))
        .or_else(|| field(&ids.session_id))
        .or_else(|| field(&ids.metadata_session_id))
        .or_else(|| {
            // A conversation kept by the provider names itself.
            pins.iter().find(|pin| pin.kind == PinKind::Conversation).and_then(|pin| sane(&pin.id))
        })
}

/// The session inside Anthropic's `metadata.user_id`: `user_.._session_<uuid>` (older Claude Code) or
/// a JSON object with `session_id` (since 2.1). A user alone is no conversation.
fn user_session(user: &str) -> Option<&str> {
    if !user.trim_start().starts_with('{') {
        return sane(user.rsplit_once("_session_")?.1);
    }
    /// The one member that we read; borrowed, so an id with an escape in it is not read.
    #[derive(serde::Deserialize)]
    struct Session<'a> {
        session_id: Option<&'a str>,
    }
    sane(serde_json::from_str::<Session<'_>>(user).ok()?.session_id?)
}

/// The sub-agent behind a request; each has a prompt of its own.
fn agent(headers: &HeaderMap, codex: bool) -> String {
    if let Some(agent) = header(headers, "x-claude-code-agent-id") {
        return agent.to_owned();
    }
    // Titles and classifiers: a prompt of its own under the main session's id.
    if header(headers, "x-claude-code-request-class") == Some("auxiliary") {
        return "class:auxiliary".to_owned();
    }
    let thread = match (header(headers, "session-id"), header(headers, "thread-id")) {
        (Some(session), Some(thread)) if codex && session != thread => thread,
        _ => "",
    };
    match header(headers, "x-openai-subagent") {
        Some(role) => format!("{role}:{thread}"),
        None => thread.to_owned(),
    }
}

fn is_codex(headers: &HeaderMap) -> bool {
    ["originator", "user-agent"]
        .iter()
        .any(|name| header(headers, name).is_some_and(|value| value.to_ascii_lowercase().contains("codex")))
}

/// The first value of a header, if it is worth reading.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    sane(std::str::from_utf8(headers.get(name)?.as_bytes()).ok()?)
}

/// A trimmed id, unless it is empty, absurdly long, unprintable, or what careless code sends for
/// "nothing".
fn sane(value: &str) -> Option<&str> {
    let value = value.trim();
    let nothing = ["null", "undefined", "none", "nil", "nan", "unknown", "[object Object]"];
    let good = !value.is_empty()
        && value.len() <= LONGEST
        && !value.chars().any(char::is_control)
        && !nothing.iter().any(|word| value.eq_ignore_ascii_case(word));
    good.then_some(value)
}
