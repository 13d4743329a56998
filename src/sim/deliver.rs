//! Putting an answer into its dialect and on its way, whole, streamed or in the background.

use std::{io::Write as _, sync::Arc};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};

use super::{
    answer::Answer as Said,
    anthropic, bedrock,
    cache::Look,
    core::Core,
    fault::Fault,
    frame::Frame,
    gemini::{self, Manner},
    handler::{Answer, Call, pouring},
    json::Json,
    legacy,
    line::Cut,
    models::Maker,
    objects::{Object, Segments},
    openai::{self, Links, Shape},
    pour::{Pump, Stop},
    prompt::Ask,
    refusal::Refusal,
};
use crate::{clock::Moment, types::Usage};

/// The dialect of a call, with what only that dialect has.
pub(super) enum Tongue {
    Messages,
    Chat {
        created: u64,
    },
    Completions {
        created: u64,
    },
    Responses(Box<Responding>),
    Converse,
    /// Anthropic's, in AWS's wrapping.
    Invoke,
    Gemini(Manner),
}

pub(super) struct Responding {
    pub(super) shape: Shape,
    pub(super) links: Links,
    /// The conversation up to and with this request.
    pub(super) items: Segments,
}

/// What was asked, and what is given for it.
pub(super) struct Given {
    pub(super) ask: Ask,
    pub(super) said: Said,
    pub(super) usage: Usage,
    pub(super) look: Look,
    pub(super) started: Moment,
}

/// Sends the answer now.
pub(super) fn now(call: Call, given: Given, tongue: Tongue) -> Answer {
    let Given { ask, said, usage, look, started } = given;
    let mut frames = if ask.stream {
        stream(&said, &tongue, &ask, &usage)
    } else {
        let bytes = Bytes::from(whole(&said, &tongue, &ask, &usage).to_string());
        vec![Frame { bytes, output: usage.output }]
    };
    let content_type = content_type(&tongue, ask.stream);
    let stop = stop_of(&call, &mut frames, &said, &tongue, ask.stream);
    let gzip = call.fault == Some(Fault::Gzip);
    if gzip {
        frames = compressed(frames);
    }
    let mut headers = HeaderMap::new();
    call.identify(&mut headers);
    call.core.limit_headers(&call.account, ask.model, None, &mut headers);
    if gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    call.visit.note(|seen| seen.status = 200);
    let core = Arc::clone(&call.core);
    let whose = core.whose(&call.account, ask.model);
    let pump = Pump {
        whose,
        on_last: kept(&call, &said, tongue, &usage),
        core: call.core,
        line: call.line,
        visit: call.visit,
        frames,
        stop,
        on_first: Some(Box::new(move || core.reveal(whose, &look, started))),
        reasoning: usage.reasoning,
        paced: ask.stream,
    };
    let mut answer = pouring(content_type, pump.start());
    answer.headers_mut().extend(headers);
    answer
}

fn content_type(tongue: &Tongue, stream: bool) -> &'static str {
    if !stream {
        return "application/json";
    }
    match tongue {
        Tongue::Gemini(Manner { sse: false, .. }) => "application/json",
        Tongue::Converse | Tongue::Invoke => "application/vnd.amazon.eventstream",
        Tongue::Messages
        | Tongue::Chat { .. }
        | Tongue::Completions { .. }
        | Tongue::Responses(_)
        | Tongue::Gemini(_) => "text/event-stream; charset=utf-8",
    }
}

/// Keeps the answer to be fetched by its id when its time has come; says that it is queued.
pub(super) fn in_background(mut call: Call, given: Given, responding: &Responding) -> Answer {
    let Given { ask, said, usage, look, started } = given;
    let core = Arc::clone(&call.core);
    let whose = core.whose(&call.account, ask.model);
    core.reveal(whose, &look, started);
    core.produced(whose, usage.output);
    call.visit.bill(ask.model, usage);
    let ready = started + core.virtual_time_for(&look.usage, usage.output);
    let body = openai::responses_whole(&said, &responding.shape, &usage);
    let output = openai::output_items(&said, &responding.shape);
    keep(
        &core,
        &call.scope(),
        &said.id,
        Keeping { body, ready, output },
        &responding.links,
        &responding.items,
    );
    let queued = responding.shape.object(&said.id, "queued", &json!([]), None);
    call.say(&queued)
}

fn stream(said: &Said, tongue: &Tongue, ask: &Ask, usage: &Usage) -> Vec<Frame> {
    match tongue {
        Tongue::Messages => anthropic::stream(said, &ask.model_name, usage),
        Tongue::Chat { created } => {
            openai::chat_stream(said, ask.model, &ask.model_name, usage, *created, ask.include_usage)
        }
        Tongue::Completions { created } => legacy::stream(said, ask, usage, *created),
        Tongue::Responses(responding) => openai::responses_stream(said, &responding.shape, usage),
        Tongue::Converse => bedrock::stream(said, usage),
        Tongue::Invoke => bedrock::invoke_stream(said, &ask.model_name, usage),
        Tongue::Gemini(manner) => gemini::stream(said, &ask.model_name, usage, *manner),
    }
}

fn whole(said: &Said, tongue: &Tongue, ask: &Ask, usage: &Usage) -> Value {
    match tongue {
        Tongue::Messages => anthropic::whole(said, &ask.model_name, usage),
        Tongue::Chat { created } => openai::chat_whole(said, ask.model, &ask.model_name, usage, *created),
        Tongue::Completions { created } => legacy::whole(said, ask, usage, *created),
        Tongue::Responses(responding) => openai::responses_whole(said, &responding.shape, usage),
        Tongue::Converse => bedrock::whole(said, usage),
        Tongue::Invoke => anthropic::whole(said, &ask.model_name, usage),
        Tongue::Gemini(manner) => gemini::whole(said, &ask.model_name, usage, *manner),
    }
}

/// Where and how the script ends this answer. A whole answer is halved, so that there is a middle.
fn stop_of(
    call: &Call,
    frames: &mut Vec<Frame>,
    said: &Said,
    tongue: &Tongue,
    stream: bool,
) -> Option<(u64, Stop)> {
    let (mut events, stop) = match call.fault.as_ref()? {
        Fault::StallAfter { events } => (*events, Stop::Stall),
        Fault::ResetAfter { events } => (*events, Stop::Cut(Cut::Reset)),
        Fault::CloseAfter { events } => (*events, Stop::Cut(Cut::Close)),
        Fault::TruncateAfter { events } => (*events, Stop::Truncate),
        Fault::ErrorFirst => (0, Stop::Say(error(call.maker, said, tongue, stream, 0))),
        Fault::ErrorAfter { events } => {
            (*events, Stop::Say(error(call.maker, said, tongue, stream, *events)))
        }
        Fault::BadCrc { events } if stream && call.maker == Maker::Aws => {
            (*events, Stop::Say(bedrock::broken()))
        }
        // They struck already, or change nothing here.
        Fault::BadCrc { .. }
        | Fault::RateLimited { .. }
        | Fault::ExceedsLimitAlone
        | Fault::ServerError
        | Fault::Unavailable
        | Fault::Overloaded
        | Fault::GatewayTimeout
        | Fault::KeyRejected
        | Fault::BillingRejected
        | Fault::KeyForbidden
        | Fault::ModelForbidden
        | Fault::SpendLimitText
        | Fault::WorkspaceSpendLimitText
        | Fault::SpendLimitEnforced
        | Fault::InsufficientQuota
        | Fault::StreamOptionsUnknown
        | Fault::ThinkingForeign
        | Fault::Status { .. }
        | Fault::HtmlPage { .. }
        | Fault::HangBeforeHeader
        | Fault::SlowHeader { .. }
        | Fault::CloseBeforeHeader
        | Fault::ResetBeforeHeader
        | Fault::EarlyAnswer { .. }
        | Fault::SlowRead { .. }
        | Fault::Stale
        | Fault::SetCookie
        | Fault::Gzip
        | Fault::GoAway
        | Fault::GoAwayAfter
        | Fault::RefusedStream => return None,
    };
    if let Stop::Say(_) = stop {
        events = if stream { events } else { 0 };
    } else if !stream && let Some(first) = frames.pop() {
        let half = first.bytes.len() / 2;
        frames.push(Frame { bytes: first.bytes.slice(..half), output: first.output });
        frames.push(Frame { bytes: first.bytes.slice(half..), output: first.output });
        events = events.min(1);
    }
    // Not before the terminal event: a stop after it would be no fault.
    let last = u64::try_from(frames.len()).unwrap_or(u64::MAX).saturating_sub(1);
    Some((events.min(last), stop))
}

/// The error event of a dialect; for a whole answer its error body.
fn error(maker: Maker, said: &Said, tongue: &Tongue, stream: bool, sequence: u64) -> Bytes {
    let overloaded = Refusal::of_fault(&Fault::Overloaded, maker, "");
    let refusal = overloaded.unwrap_or_else(|| Refusal::new(503, "Overloaded"));
    if !stream {
        return Bytes::from(refusal.body(maker, "").to_string());
    }
    match tongue {
        Tongue::Messages => anthropic::error_event(&refusal),
        Tongue::Converse | Tongue::Invoke => bedrock::error_event(&refusal),
        Tongue::Chat { .. } | Tongue::Completions { .. } => openai::chat_error_event(&refusal),
        Tongue::Gemini(manner) => gemini::error_event(&refusal, *manner, sequence),
        Tongue::Responses(_) if sequence == 0 => openai::responses_error_event(&refusal, sequence),
        Tongue::Responses(responding) => {
            openai::responses_failed_event(&said.id, &responding.shape, &refusal, sequence)
        }
    }
}

fn compressed(frames: Vec<Frame>) -> Vec<Frame> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut out: Vec<Frame> = Vec::with_capacity(frames.len() + 1);
    for frame in frames {
        // Writing into a `Vec` cannot fail.
        let _ = encoder.write_all(&frame.bytes).and_then(|()| encoder.flush());
        out.push(Frame { bytes: std::mem::take(encoder.get_mut()).into(), output: frame.output });
    }
    let output = out.last().map_or(0, |frame| frame.output);
    out.push(Frame { bytes: encoder.finish().unwrap_or_default().into(), output });
    out
}

/// What to do with a response when its last event is out.
fn kept(call: &Call, said: &Said, tongue: Tongue, usage: &Usage) -> Option<Box<dyn FnOnce() + Send>> {
    let Tongue::Responses(responding) = tongue else { return None };
    let body = openai::responses_whole(said, &responding.shape, usage);
    let output = openai::output_items(said, &responding.shape);
    let keeping = Keeping { body, ready: Moment::ZERO, output };
    let (core, scope, id) = (Arc::clone(&call.core), call.scope(), said.id.clone());
    Some(Box::new(move || keep(&core, &scope, &id, keeping, &responding.links, &responding.items)))
}

struct Keeping {
    body: Value,
    ready: Moment,
    output: Vec<Value>,
}

fn keep(core: &Core, scope: &str, id: &str, keeping: Keeping, links: &Links, items: &Segments) {
    let output: Vec<Json> =
        keeping.output.iter().filter_map(|item| Json::parse(item.to_string().as_bytes()).ok()).collect();
    let mut items = items.clone();
    items.push(output.into());
    let mut objects = core.objects.lock();
    if let Some(conversation) = &links.conversation {
        objects.put(scope, conversation, Object::Conversation { items: items.clone() });
    }
    if links.store || links.background {
        let object = Object::Response { body: keeping.body, ready: keeping.ready, items };
        objects.put(scope, &format!("resp_{id}"), object);
    }
}
