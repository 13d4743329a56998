//! Request logs of SDKs and gateways, as JSON lines: an object with a request's body and its answer.
//!
//! What is looked for, under the first of these names:
//!
//! - the body: the line itself, where it has `messages`; `request`, `body`, `request_body`, `kwargs`, `input`,
//!   `params`, `payload`, `json`, or one of these within the first;
//! - the answer: `response`, `output`, `completion`, `response_body`, `result`, `answer`, or `body`, `json`, `data`
//!   within it; an object, the events of a stream as a text, or a list of chunks;
//! - its usage: in the answer, else `usage` of the line;
//! - its status: `status_code`, `statusCode`, `http_status`, `status`, of the line or the answer; `error`,
//!   `exception`;
//! - when: `startTime`, `start_time`, `timestamp`, `time`, `@timestamp`, `created_at`, and more in
//!   [`TIMES`](super::files::TIMES); RFC 3339 or a number since 1970;
//! - how long: `endTime`, `end_time`, `completed_at`; milliseconds in `duration_ms`, `latency_ms`,
//!   `response_time_ms`; seconds in `duration`, `latency`, `response_time`, `elapsed`; to the first token: `ttft_ms`,
//!   `ttft` (seconds), `completionStartTime`;
//! - the conversation: `session_id`, `sessionId`, `session`, `conversation_id`, `thread_id`, and more in
//!   [`shape`], of the line, its `metadata` or the body's; session headers under `headers` or `request_headers`; else
//!   it is told by the prompts; the agent within it: `agent_id`, `agentId`, `agent`;
//! - the account: `anthropic-organization-id`, `openai-organization` and the like under `response_headers` or the
//!   answer's `headers`; `model_id`, `deployment`, `account`.
//!
//! A body may also be a text that holds JSON. Its dialect is told by `url` or `path`, by the answer, else by what
//! stands in it. With bodies it can be said where prompts change, and whether they ask for caching.

mod prompt;
mod shape;

use std::{sync::Arc, time::Duration};

pub(super) use self::prompt::Prompts;
use self::shape::{Answer, Shape};
use super::{
    Seen,
    members::{Members, time},
    pace::Pace,
};
use crate::{
    gauge::{Observation, Trouble, tally::Extra},
    types::{Dialect, ModelName},
};

const ENDS: [&str; 4] = ["endTime", "end_time", "completed_at", "completedAt"];
const MILLIS: [&str; 4] = ["duration_ms", "latency_ms", "response_time_ms", "elapsed_ms"];
const SECONDS: [&str; 4] = ["duration", "latency", "response_time", "elapsed"];

/// Whether a line is a request.
pub(super) fn knows(line: &Members<'_>) -> bool {
    Shape::of(line).is_request()
}

/// A line as it was seen; `None` when it is no request of a model.
pub(super) fn line(line: &Members<'_>, prompts: &mut Prompts, pace: &mut Pace) -> Option<Seen> {
    let shape = Shape::of(line);
    if !shape.is_request() {
        return None;
    }
    let body = shape.body.as_deref();
    let answer = Answer::read(line, shape.answer.as_deref());
    let dialect = shape.dialect(line, &answer);
    let status = answer.status(line);
    let at = line.first(&super::files::TIMES).and_then(time);
    prompts.timeless += u64::from(at.is_none());
    let at = at.unwrap_or(prompts.last);
    prompts.last = at;
    let total = took(line, at);
    let said = shape::conversation(line, &shape);
    let turn = prompts.read(&prompt::Turn {
        body: body.map(str::as_bytes),
        answer: shape.answer.as_deref(),
        dialect,
        said: said.as_deref(),
        headers: shape.headers.as_ref(),
        at,
        usage: answer.usage.as_ref(),
        failed: status.is_some(),
    });
    let (trouble, status) = match status {
        Some((status, kind)) => {
            let trouble = match status {
                0 => Trouble::Broken(String::new()),
                status => Trouble::Refused { status, kind, message: String::new() },
            };
            (Some(trouble), status)
        }
        None => (None, 200),
    };
    let conversation = turn.conversation;
    let (number, gap) = if trouble.is_none() {
        pace.turn(&conversation, at, at + total.unwrap_or_default())
    } else {
        (0, None)
    };
    let body_model = || turn.model.clone().or_else(|| line.text("model"));
    let model = answer.model.clone().filter(|_| turn.model.is_none()).or_else(body_model);
    let observation = Observation {
        conversation: Arc::from(conversation),
        sub_agent: line.has("parent_session_id") || line.has("agent_id"),
        turn: number,
        at,
        gap,
        dialect,
        model: model.map(|model| ModelName::from(model.as_str())),
        status,
        trouble,
        usage: answer.usage,
        repeated: None,
        marked: turn.marked.filter(|_| dialect == Dialect::Anthropic),
        account: shape::account(line).map(Arc::from),
        first_token: first_token(line, at),
        between: Vec::new(),
        total,
        broke: turn.broke,
    };
    Some(Seen {
        observation,
        extra: Extra { body: turn.prompt.is_some(), prompt: turn.prompt, ..Extra::default() },
    })
}

fn took(line: &Members<'_>, at: Duration) -> Option<Duration> {
    let end = line.first(&ENDS).and_then(time).and_then(|end| end.checked_sub(at));
    end.or_else(|| span(line, &MILLIS, 1e-3)).or_else(|| span(line, &SECONDS, 1.0))
}

fn first_token(line: &Members<'_>, at: Duration) -> Option<Duration> {
    let start = line.first(&["completionStartTime", "completion_start_time"]).and_then(time);
    span(line, &["ttft_ms", "time_to_first_token_ms"], 1e-3)
        .or_else(|| span(line, &["ttft", "ttft_s", "time_to_first_token"], 1.0))
        .or_else(|| start.and_then(|start| start.checked_sub(at)))
}

/// A span of at most a day.
fn span(line: &Members<'_>, names: &[&str], unit: f64) -> Option<Duration> {
    let number = names.iter().find_map(|name| line.number(name))?;
    Duration::try_from_secs_f64(number * unit).ok().filter(|span| span.as_secs() < 86_400)
}
