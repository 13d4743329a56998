//! Where in a line things stand.

use std::borrow::Cow;

use bytes::Bytes;

use crate::{
    dialect::{Signal, StreamReader},
    gauge::{
        clean,
        logs::members::{Members, usage},
    },
    types::{Dialect, Operation, ReportedUsage, Usage},
};

const BODIES: [&str; 8] = ["request", "body", "request_body", "kwargs", "input", "params", "payload", "json"];
const ANSWERS: [&str; 6] = ["response", "output", "completion", "response_body", "result", "answer"];
const WITHIN: [&str; 3] = ["body", "json", "data"];
const SESSIONS: [&str; 11] = [
    "session_id",
    "sessionId",
    "session",
    "conversation_id",
    "conversationId",
    "thread_id",
    "threadId",
    "litellm_session_id",
    "chat_id",
    "run_id",
    "trace_id",
];
const AGENTS: [&str; 3] = ["agent_id", "agentId", "agent"];
/// A longer stream than this is read no further.
const LONGEST_STREAM: usize = 16 << 20;

/// The parts of a line.
pub(super) struct Shape<'a> {
    pub(super) body: Option<Cow<'a, str>>,
    pub(super) answer: Option<Cow<'a, str>>,
    /// Headers of the request, where they are there.
    pub(super) headers: Option<Members<'a>>,
    /// The line has figures of its own.
    usage: bool,
    failed: bool,
}

impl<'a> Shape<'a> {
    pub(super) fn of(line: &Members<'a>) -> Self {
        let headers = ["request_headers", "headers"].iter().find_map(|name| line.object(name));
        Self {
            body: body(line),
            answer: ANSWERS.iter().find_map(|name| answer(line.raw(name)?)),
            headers: headers.or_else(|| line.object("request")?.object("headers")),
            usage: line.has("usage"),
            failed: line.has("error") || line.has("exception"),
        }
    }

    pub(super) const fn is_request(&self) -> bool {
        let told = self.answer.is_some() || self.usage || self.failed;
        self.body.is_some() || (self.usage && told)
    }

    /// What was spoken, as far as it shows.
    pub(super) fn dialect(&self, line: &Members<'_>, answer: &Answer) -> Dialect {
        let request = line.object("request");
        let path = line
            .first_text(&["url", "path", "endpoint", "api_path"])
            .or_else(|| request.as_ref()?.first_text(&["url", "path"]));
        let path = path.unwrap_or_default();
        if path.contains("/messages") {
            return Dialect::Anthropic;
        } else if path.contains("/chat/completions") {
            return Dialect::OpenAiChat;
        } else if path.contains("/responses") {
            return Dialect::OpenAiResponses;
        }
        if let Some(dialect) = answer.dialect {
            return dialect;
        }
        let body = self.body.as_deref().unwrap_or_default();
        let Some(members) = Members::of(body.as_bytes()) else {
            return Dialect::Anthropic;
        };
        if members.has("input") && !members.has("messages") {
            Dialect::OpenAiResponses
        } else if members.has("system")
            || members.text("model").is_some_and(|model| model.contains("claude"))
            || members.raw("messages").is_some_and(|messages| messages.contains("\"cache_control\""))
        {
            Dialect::Anthropic
        } else {
            Dialect::OpenAiChat
        }
    }
}

/// A request's body: it has `messages`, or a model and an input.
fn is_body(members: &Members<'_>) -> bool {
    members.has("messages") || (members.has("model") && members.has("input"))
}

fn body<'a>(line: &Members<'a>) -> Option<Cow<'a, str>> {
    let own = |line: &Members<'a>| BODIES.iter().find_map(|name| as_body(line.raw(name)?));
    if line.has("messages") {
        return Some(as_line(line));
    }
    let found = own(line).or_else(|| {
        let within = BODIES.iter().filter_map(|name| line.object(name));
        within.filter(|within| !is_body(within)).find_map(|within| own(&within))
    });
    found.or_else(|| is_body(line).then(|| as_line(line)))
}

/// The line is the body, with more beside it. What of it is the prompt, and nothing else, is written anew: a
/// scan is strict about members that it knows.
fn as_line<'a>(line: &Members<'_>) -> Cow<'a, str> {
    let known = ["model", "system", "tools", "messages", "input", "instructions", "thinking", "tool_choice"];
    let members: Vec<String> =
        known.iter().filter_map(|name| Some(format!("\"{name}\":{}", line.raw(name)?))).collect();
    Cow::Owned(format!("{{{}}}", members.join(",")))
}

fn as_body(raw: &str) -> Option<Cow<'_, str>> {
    let text = unpacked(raw);
    let members = Members::of(text.as_bytes())?;
    is_body(&members).then_some(text)
}

/// A text that holds JSON, as that JSON.
fn unpacked(raw: &str) -> Cow<'_, str> {
    if raw.starts_with('"') && raw.get(1..2).is_some_and(|first| matches!(first, "{" | "e" | "d")) {
        serde_json::from_str::<String>(raw).map_or(Cow::Borrowed(raw), Cow::Owned)
    } else {
        Cow::Borrowed(raw)
    }
}

/// An answer: an object (or what is wrapped in it), a stream's events, or a list of chunks.
fn answer(raw: &str) -> Option<Cow<'_, str>> {
    let text = unpacked(raw);
    if let Cow::Borrowed(text) = text
        && let Some(members) = Members::of(text.as_bytes())
    {
        let bare = ["usage", "content", "choices", "output"].iter().any(|name| members.has(name));
        let within = WITHIN.iter().find_map(|name| members.raw(name)).filter(|_| !bare);
        return Some(within.map_or(Cow::Borrowed(text), unpacked));
    }
    let plausible = text.starts_with(['{', '[']) || text.starts_with("event:") || text.starts_with("data:");
    plausible.then_some(text)
}

/// What an answer says.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) usage: Option<Usage>,
    pub(super) model: Option<String>,
    pub(super) dialect: Option<Dialect>,
    status: Option<u16>,
    error: Option<Option<String>>,
}

impl Answer {
    pub(super) fn read(line: &Members<'_>, answer: Option<&str>) -> Self {
        let mut read = Self::default();
        match answer {
            Some(text) if text.starts_with('[') => {
                let chunks: Vec<&serde_json::value::RawValue> =
                    serde_json::from_str(text).unwrap_or_default();
                chunks.iter().for_each(|chunk| read.object(chunk.get()));
            }
            Some(text) if text.starts_with('{') => read.object(text),
            Some(text) => read.stream(text),
            None => {}
        }
        read.usage = read.usage.or_else(|| usage(line.raw("usage")?));
        read.dialect = read.dialect.or_else(|| by_names(line));
        read
    }

    fn object(&mut self, text: &str) {
        let Some(members) = Members::of(text.as_bytes()) else { return };
        // The first event of a stream, and the last of a Responses stream, wrap what counts.
        let inner = members.object("message").or_else(|| members.object("response"));
        for members in [Some(members), inner].into_iter().flatten() {
            self.usage = members.raw("usage").and_then(|raw| merged(self.usage, raw)).or(self.usage);
            self.model = self.model.take().or_else(|| members.text("model"));
            let kind = members.first_text(&["object", "type"]).unwrap_or_default();
            let dialect = match kind.as_str() {
                "message" => Some(Dialect::Anthropic),
                "response" => Some(Dialect::OpenAiResponses),
                kind if kind.starts_with("chat.completion") => Some(Dialect::OpenAiChat),
                _ => None,
            };
            self.dialect = self.dialect.or(dialect);
            let status = members.count("status_code").and_then(|status| u16::try_from(status).ok());
            self.status = self.status.or(status);
            if members.has("error") {
                let error = members.object("error");
                self.error = Some(error.and_then(|error| error.first_text(&["type", "code"])));
            }
        }
    }

    /// A stream as it came over the wire.
    fn stream(&mut self, text: &str) {
        let operation = if text.contains("message_start") {
            Operation::Messages
        } else if text.contains("chat.completion.chunk") {
            Operation::ChatCompletions
        } else {
            Operation::Responses
        };
        self.dialect = Some(operation.dialect());
        let (mut reported, mut failed) = (ReportedUsage::default(), None);
        let mut model = None;
        let mut see = |signal: Signal<'_>| match signal {
            Signal::Usage(usage) => reported.overwrite(&usage),
            Signal::Model(name) => model = Some(name),
            Signal::Error(fault) => failed = Some(fault.kind),
            Signal::Started { .. }
            | Signal::Tier(_)
            | Signal::Lifecycle
            | Signal::Delta { .. }
            | Signal::ToolCall { .. }
            | Signal::Stop(_)
            | Signal::Terminal => {}
        };
        let text = text.as_bytes();
        let text = Bytes::copy_from_slice(text.get(..LONGEST_STREAM).unwrap_or(text));
        let mut reader = StreamReader::new(operation, false);
        reader.push(&text, &mut see);
        let _ = reader.end(&mut see);
        self.usage = (reported != ReportedUsage::default()).then(|| reported.settled());
        self.model = model;
        self.error = failed.map(Some);
    }

    /// The status and type of an error, if it was one; the status is 0 where none is named.
    pub(super) fn status(&self, line: &Members<'_>) -> Option<(u16, Option<String>)> {
        let response = line.object("response");
        let named = ["status_code", "statusCode", "http_status", "status"];
        let of =
            |members: &Members<'_>| named.iter().find_map(|name| u16::try_from(members.count(name)?).ok());
        let status = of(line).or_else(|| of(response.as_ref()?)).or(self.status);
        let fault = line.object("error").or_else(|| line.object("exception"));
        let inner = fault.as_ref().and_then(|fault| fault.object("error"));
        let kind = inner.or(fault).and_then(|fault| fault.first_text(&["type", "code", "error_class"]));
        let in_error = line.object("error").and_then(|error| of(&error));
        let said = line
            .text("status")
            .is_some_and(|status| matches!(status.as_str(), "error" | "failure" | "failed"));
        let failed = said || self.error.is_some() || line.has("error") || line.has("exception");
        match status {
            Some(status) if status >= 400 => {
                Some((status, kind.or_else(|| self.error.clone().flatten()).map(|kind| clean(&kind))))
            }
            Some(_) if self.usage.is_some() => None,
            _ if failed && self.usage.is_none() => {
                let kind = kind.or_else(|| self.error.clone().flatten()).map(|kind| clean(&kind));
                Some((in_error.unwrap_or(0), kind))
            }
            _ => None,
        }
    }
}

/// The dialect whose names the line's own figures have.
fn by_names(line: &Members<'_>) -> Option<Dialect> {
    let usage = line.object("usage")?;
    if usage.has("prompt_tokens") {
        Some(Dialect::OpenAiChat)
    } else if usage.has("input_tokens_details") {
        Some(Dialect::OpenAiResponses)
    } else {
        usage.has("cache_read_input_tokens").then_some(Dialect::Anthropic)
    }
}

/// A later report of a stream's: what it leaves out stays.
fn merged(before: Option<Usage>, raw: &str) -> Option<Usage> {
    let Some(now) = usage(raw) else {
        // The last event may name the output alone.
        let mut before = before?;
        before.output = Members::of(raw.as_bytes())?.count("output_tokens")?;
        return Some(before);
    };
    Some(now)
}

/// The conversation's name, and the agent's behind it.
pub(super) fn conversation(line: &Members<'_>, shape: &Shape<'_>) -> Option<String> {
    let metadata = || line.object("metadata")?.first_text(&SESSIONS);
    let of_body = || {
        let body = Members::of(shape.body.as_deref()?.as_bytes())?;
        body.object("metadata")?.first_text(&SESSIONS)
    };
    let name = line.first_text(&SESSIONS).or_else(metadata).or_else(of_body)?;
    let agent = line.first_text(&AGENTS);
    Some(agent.map_or(name.clone(), |agent| format!("{name}/{agent}")))
}

/// Who answered, as far as headers or a gateway's own words tell.
pub(super) fn account(line: &Members<'_>) -> Option<String> {
    const HEADERS: [&str; 5] = [
        "anthropic-workspace-id",
        "anthropic-organization-id",
        "llm_provider-anthropic-organization-id",
        "openai-organization",
        "x-warmkey-endpoint",
    ];
    const OWN: [&str; 5] = ["model_id", "deployment", "deployment_id", "account", "account_id"];
    let headers = [
        line.object("response_headers"),
        line.object("response").and_then(|response| response.object("headers")),
        line.object("hidden_params").and_then(|hidden| hidden.object("additional_headers")),
        line.object("headers"),
    ];
    let mut named = headers.iter().flatten().filter_map(|headers| {
        let found =
            headers.texts().find(|(name, _)| HEADERS.iter().any(|known| name.eq_ignore_ascii_case(known)));
        found.map(|(_, value)| value)
    });
    let hidden = || line.object("hidden_params")?.first_text(&OWN);
    named.next().or_else(|| line.first_text(&OWN)).or_else(hidden)
}
