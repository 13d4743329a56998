//! What bodies show: which conversation it is, whether it asks for caching, and where its prompt left the last.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    clock::{Moment, UnixTime},
    dialect::{RequestView, ScanLimits, Signal, read_whole, scan},
    gauge::logs::members::Members,
    metering::Ratios,
    session::{
        Asked, Forensics, Identity, Links, LinksParams, ReplyHasher, SessionParams, Verdict, identify,
    },
    types::{CacheBreak, Dialect, Operation, RequestId, TenantId, Usage},
};

/// Prompts are remembered as hashes, in about so many bytes.
const REMEMBERED: usize = 128 << 20;
/// How a conversation's name that the log knows is handed to the ladder of ids.
const NAMED: HeaderName = HeaderName::from_static("x-session-id");

/// A request of a log, taken apart.
pub(super) struct Turn<'a> {
    pub(super) body: Option<&'a [u8]>,
    pub(super) answer: Option<&'a str>,
    pub(super) dialect: Dialect,
    /// The conversation as the log calls it.
    pub(super) said: Option<&'a str>,
    pub(super) headers: Option<&'a Members<'a>>,
    pub(super) at: Duration,
    pub(super) usage: Option<&'a Usage>,
    pub(super) failed: bool,
}

/// What a body showed.
#[derive(Debug, Default)]
pub(super) struct Shown {
    pub(super) conversation: String,
    pub(super) model: Option<String>,
    pub(super) marked: Option<bool>,
    pub(super) broke: Option<CacheBreak>,
    /// The body could be read, and its prompt has about so many tokens.
    pub(super) prompt: Option<u64>,
}

/// The prompts of all conversations, as hashes.
#[derive(Debug)]
pub(in crate::gauge::logs) struct Prompts {
    links: Links,
    forensics: Forensics,
    tenant: TenantId,
    params: SessionParams,
    /// When the last request was, for those that do not say.
    pub(super) last: Duration,
    /// Requests that do not say when they were.
    pub(in crate::gauge::logs) timeless: u64,
    /// Requests that nothing tells the conversation of, each taken for one of its own.
    pub(in crate::gauge::logs) alone: u64,
}

impl Default for Prompts {
    fn default() -> Self {
        Self {
            links: Links::new(LinksParams::default(), 0),
            forensics: Forensics::new(REMEMBERED),
            tenant: TenantId::from("default"),
            params: SessionParams { headers: vec![NAMED] },
            last: Duration::ZERO,
            timeless: 0,
            alone: 0,
        }
    }
}

impl Prompts {
    /// Reads one request's body beside what its conversation sent before.
    pub(super) fn read(&mut self, turn: &Turn<'_>) -> Shown {
        let operation = match turn.dialect {
            Dialect::Anthropic => Operation::Messages,
            Dialect::OpenAiChat => Operation::ChatCompletions,
            Dialect::OpenAiResponses => Operation::Responses,
        };
        let named = turn.said.map(str::to_owned);
        let scanned =
            turn.body.and_then(|body| Some((body, scan(operation, body, &ScanLimits::default()).ok()?)));
        let Some((body, view)) = scanned else {
            return Shown { conversation: named.unwrap_or_else(|| self.alone()), ..Shown::default() };
        };
        let now = Moment::from_millis(u64::try_from(turn.at.as_millis()).unwrap_or(u64::MAX));
        let headers = headers(turn);
        let model = view.model.value.clone();
        let asked = Asked { headers: &headers, view: &view, body, tenant: &self.tenant, model: &model };
        let mut identity = identify(&asked, &self.params, &self.links, now);
        self.links.learn_request(&identity, now);
        let key = identity.key.map(|key| key.to_string());
        let case = self.forensics.look(&mut identity, &view, body, now);
        let broke = case.filter(|_| !turn.failed).and_then(|case| {
            let verdict = verdict(turn, &view, now);
            self.forensics.close(case, &verdict)
        });
        if let Some(answer) = turn.answer.filter(|answer| identity.wants_links() && answer.starts_with('{')) {
            self.learn(&identity, operation, answer, now);
        }
        Shown {
            conversation: named.or(key).unwrap_or_else(|| self.alone()),
            model: Some(model.to_string()),
            marked: Some(view.markers > 0 || view.auto_marker),
            broke,
            prompt: Some(estimate(&view)),
        }
    }

    fn alone(&mut self) -> String {
        self.alone += 1;
        format!("request {}", self.alone)
    }

    /// What an answer says comes back in the next request's history: so that one is found.
    fn learn(&self, identity: &Identity, operation: Operation, answer: &str, now: Moment) {
        let mut text = ReplyHasher::new();
        read_whole(operation, answer.as_bytes(), &mut |signal| match signal {
            Signal::ToolCall { id } => self.links.learn_tool_call(identity, &id, now),
            Signal::Delta { kind: crate::dialect::DeltaKind::Text, raw } => text.push(raw),
            Signal::Delta { .. }
            | Signal::Started { .. }
            | Signal::Model(_)
            | Signal::Tier(_)
            | Signal::Lifecycle
            | Signal::Usage(_)
            | Signal::Stop(_)
            | Signal::Terminal
            | Signal::Error(_) => {}
        });
        if let Some(hash) = text.finish() {
            self.links.learn_reply(identity, hash, now);
        }
    }
}

/// The session headers of the request, and the log's own name of the conversation in front of them.
fn headers(turn: &Turn<'_>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(logged) = turn.headers {
        for (name, value) in logged.texts().take(200) {
            let name = HeaderName::from_bytes(name.as_bytes()).ok();
            if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
                headers.insert(name, value);
            }
        }
    }
    // Longer names, and such as no header can bear, are hashed.
    if let Some(said) = turn.said {
        let hashed = crate::session::number(said);
        if let Ok(value) = HeaderValue::from_str(&format!("{hashed:016x}")) {
            headers.insert(NAMED, value);
        }
    }
    headers
}

/// Tokens of a prompt, by its bytes.
fn estimate(view: &RequestView) -> u64 {
    let bytes = view.blocks.iter().map(|block| u64::try_from(block.span.len()).unwrap_or(0));
    Ratios::default().input_tokens(bytes.sum())
}

/// How the provider's cache stood after this turn. Where nothing was cached for want of marks or figures, as it
/// would have stood: a prompt that changes would change all the same.
fn verdict(turn: &Turn<'_>, view: &RequestView, now: Moment) -> Verdict {
    let anthropic = turn.dialect == Dialect::Anthropic;
    let used = turn
        .usage
        .filter(|usage| !anthropic || usage.cached_read > 0 || usage.write_5m > 0 || usage.write_1h > 0);
    let total = turn.usage.map_or_else(|| estimate(view), Usage::total_input);
    let would = Usage { write_5m: total, ..Usage::default() };
    let usage = used.copied().unwrap_or(would);
    let life = if usage.write_1h > 0 || !anthropic { 3_600 } else { 300 };
    Verdict {
        request: RequestId::mint(),
        at: UnixTime(turn.at),
        // Whether another account answered is the tally's question.
        cache: 1,
        warm_until: now + Duration::from_secs(life),
        usage,
        reported: used.is_some(),
        automatic: !anthropic,
        strips_attribution: true,
        rates: None,
    }
}
