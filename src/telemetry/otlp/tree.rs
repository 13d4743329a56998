//! One request's spans, made from its receipt and the times that were noted along its way.
//!
//! Names are those of the GenAI and HTTP semantic conventions where they have one, else `warmkey.*`. Tokens
//! stand on the request's own span alone: whoever adds them up must not count a second try twice.

use opentelemetry_proto::tonic::trace::v1::{Span, Status, span::SpanKind, status::StatusCode};

use super::{
    SpanId, Trace,
    attributes::Attributes,
    stages::{Chosen, SHOWN, Stages, Tried},
};
use crate::{
    clock::Moment,
    types::{AttemptOutcome, AttemptRecord, NanoUsd, Operation, Outcome, Receipt},
};

/// Flags of sampled spans: whose parent is known to be another process's, and whose parent is not.
const REMOTE: u32 = 0x301;
const LOCAL: u32 = 0x101;

/// How many spans [`tree`] makes.
pub(super) fn count(stages: &Stages) -> usize {
    let lists = stages.chosen.len() + stages.waits.len() + stages.tried.len();
    2 + lists + usize::from(stages.identified.is_some()) + usize::from(stages.answered.is_some())
}

/// The request's own span first.
pub(super) fn tree(trace: &Trace, r: &Receipt, stages: &Stages, now: Moment) -> Vec<Span> {
    let build = Build { trace, r, stages };
    let mut spans = Vec::with_capacity(count(stages));
    spans.push(build.root(now));
    let identified = stages.identified.unwrap_or(now);
    spans.push(build.stage("identify", stages.since, identified, stages.identified.is_none()));
    if stages.identified.is_some() {
        let failed = stages.admitted.is_none();
        spans.push(build.stage("admit", identified, stages.admitted.unwrap_or(now), failed));
    }
    spans.extend(stages.chosen.iter().map(|chosen| build.choose(chosen)));
    spans.extend(stages.waits.iter().map(|&(from, to)| build.stage("wait", from, to, false)));
    for (n, tried) in stages.tried.iter().enumerate() {
        spans.push(build.attempt(n, tried, r.attempts.get(n), now));
    }
    if let Some(answered) = stages.answered {
        let last = stages.tried.last().zip(r.attempts.last());
        let ended = last.map_or(now, |(tried, record)| tried.began + record.spent);
        let mut relay = build.stage("relay", answered, ended, r.outcome == Outcome::Interrupted);
        let mut about = Attributes::default();
        about.count("http.response.body.size", r.response_bytes);
        relay.attributes.extend(about.take());
        spans.push(relay);
    }
    debug_assert_eq!(spans.len(), count(stages), "what is dropped is counted by it");
    spans
}

struct Build<'a> {
    trace: &'a Trace,
    r: &'a Receipt,
    stages: &'a Stages,
}

impl Build<'_> {
    fn unix(&self, at: Moment) -> u64 {
        let since_1970 = self.r.at.0 + at.since(self.stages.since);
        u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
    }

    fn span(&self, id: SpanId, name: &str, (from, to): (Moment, Moment)) -> Span {
        Span {
            trace_id: self.trace.root.trace.0.to_vec(),
            span_id: id.0.to_vec(),
            parent_span_id: self.trace.root.span.0.to_vec(),
            trace_state: self.trace.state.clone().unwrap_or_default(),
            flags: LOCAL,
            name: name.to_owned(),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: self.unix(from),
            end_time_unix_nano: self.unix(to.max(from)),
            ..Span::default()
        }
    }

    /// A stage of our own. `failed`: the request went no further.
    fn stage(&self, name: &str, from: Moment, to: Moment, failed: bool) -> Span {
        let mut span = self.span(SpanId::mint(), name, (from, to));
        if failed && self.r.outcome != Outcome::Ok {
            let mut about = Attributes::default();
            about.maybe("error.type", self.r.reason.map(|reason| reason.label()));
            span.attributes = about.take();
            span.status = status(true);
        }
        span
    }

    fn root(&self, now: Moment) -> Span {
        let (r, stages) = (self.r, self.stages);
        let operation = r.operation.map(operation_name);
        let name = match (operation, r.upstream_model.as_ref()) {
            (Some(operation), Some(model)) => format!("{operation} {}", cut(model.as_str())),
            (Some(operation), None) => operation.to_owned(),
            // Paths that are passed through are not of a closed set.
            (None, _) => stages.method.clone(),
        };
        let mut about = Attributes::default();
        about.maybe("gen_ai.operation.name", operation);
        about.maybe("gen_ai.provider.name", stages.tried.last().map(|tried| tried.system));
        about.maybe("gen_ai.request.model", r.upstream_model.as_ref().map(|model| cut(model.as_str())));
        about.maybe("gen_ai.response.model", r.served_model.as_ref().map(|model| cut(model.as_str())));
        about.maybe("gen_ai.conversation.id", r.session.map(|session| session.to_string()).as_deref());
        about.flag("gen_ai.request.stream", r.streamed);
        if let Some(first) = r.timings.first_token {
            about.number("gen_ai.response.time_to_first_chunk", first.as_secs_f64());
        }
        if stages.answered.is_some() {
            about.count("gen_ai.usage.input_tokens", r.usage.total_input());
            about.count("gen_ai.usage.output_tokens", r.usage.output);
            about.count("gen_ai.usage.cache_read.input_tokens", r.usage.cached_read);
            about.count("gen_ai.usage.cache_creation.input_tokens", r.usage.write_5m + r.usage.write_1h);
            about.flag("warmkey.usage_estimated", r.estimated);
        }
        about.text("http.request.method", &stages.method);
        about.text("url.path", r.operation.map_or(&*stages.path, |operation| operation.path()));
        if r.status > 0 {
            about.count("http.response.status_code", u64::from(r.status));
        }
        about.count("http.request.body.size", r.request_bytes);
        if r.outcome != Outcome::Ok {
            let why = r.reason.map_or(r.outcome.label(), |reason| reason.label());
            about.text("error.type", why);
        }
        self.ours(&mut about);
        let mut span = self.span(self.trace.root.span, &name, (stages.since, now));
        span.kind = SpanKind::Server.into();
        span.parent_span_id = self.trace.parent.map_or_else(Vec::new, |parent| parent.0.to_vec());
        span.flags = if self.trace.parent.is_some() { REMOTE } else { LOCAL };
        span.attributes = about.take();
        // A server's span: what a client did wrong is no error of its own.
        span.status = status(matches!(r.outcome, Outcome::Failed | Outcome::Interrupted) || r.status >= 500);
        span
    }

    /// What only a gateway knows.
    fn ours(&self, about: &mut Attributes) {
        let r = self.r;
        about.text("warmkey.request_id", &r.id.to_string());
        about.text("warmkey.caller", r.caller.as_str());
        about.text("warmkey.tenant", r.tenant.as_str());
        about.text("warmkey.outcome", r.outcome.label());
        about.maybe("warmkey.blame", r.blame.map(|blame| blame.label()));
        about.maybe("warmkey.dialect", r.dialect.map(|dialect| dialect.label()));
        about.maybe("warmkey.provider_dialect", r.provider_dialect.map(|dialect| dialect.label()));
        about.maybe("warmkey.model", r.model.as_ref().map(|model| model.as_str()));
        about.maybe("warmkey.endpoint", r.endpoint.as_ref().map(|endpoint| endpoint.as_str()));
        about.maybe("warmkey.affinity", r.affinity.map(|(result, _)| result.label()));
        about.maybe("warmkey.why", r.affinity.map(|(_, reason)| reason.label()));
        about.maybe("warmkey.cache_break", r.cache_break.map(|broken| broken.cause.label()));
        if let Some(expected) = r.expected_read {
            about.count("warmkey.expected_read", expected);
        }
        if let Some(charge) = r.charge {
            about.number("warmkey.cost_usd", NanoUsd::as_usd(charge));
        }
        about.count("warmkey.attempts", r.attempts.len() as u64);
        about.number("warmkey.waited_seconds", r.timings.waited.as_secs_f64());
        about.number("warmkey.overhead_seconds", r.timings.overhead.as_secs_f64());
    }

    fn choose(&self, chosen: &Chosen) -> Span {
        let mut span = self.stage("choose", chosen.began, chosen.ended, chosen.endpoint.is_none());
        let mut about = Attributes::default();
        about.maybe("warmkey.endpoint", chosen.endpoint.as_ref().map(|endpoint| endpoint.as_str()));
        about.maybe("warmkey.affinity", chosen.affinity.map(|(result, _)| result));
        about.maybe("warmkey.why", chosen.affinity.map(|(_, reason)| reason));
        span.attributes.extend(about.take());
        span
    }

    /// `record` is `None` for a try that was dropped half-way, with its request.
    fn attempt(&self, n: usize, tried: &Tried, record: Option<&AttemptRecord>, now: Moment) -> Span {
        let spent = record.map_or_else(|| now.since(tried.began), |record| record.spent);
        let outcome = record.map_or(AttemptOutcome::Cancelled, |record| record.outcome);
        let code = record.and_then(|record| record.status);
        let mut about = Attributes::default();
        about.text("gen_ai.provider.name", tried.system);
        about.maybe("gen_ai.request.model", tried.model.as_deref().map(cut));
        about.text("http.request.method", &self.stages.method);
        about.text("server.address", &tried.host);
        about.count("server.port", u64::from(tried.port));
        if n > 0 {
            about.count("http.request.resend_count", n as u64);
        }
        if let Some(code) = code {
            about.count("http.response.status_code", u64::from(code));
        }
        if outcome != AttemptOutcome::Ok {
            let by_status = code.filter(|code| *code >= 400).map(|code| code.to_string());
            about.text("error.type", by_status.as_deref().unwrap_or(outcome.label()));
        }
        about.text("warmkey.endpoint", tried.endpoint.as_str());
        about.text("warmkey.provider", tried.provider.as_str());
        about.text("warmkey.outcome", outcome.label());
        about.flag("warmkey.ambiguous", record.is_some_and(|record| record.ambiguous));
        let mut span = self.span(tried.span, "attempt", (tried.began, tried.began + spent));
        span.kind = SpanKind::Client.into();
        span.attributes = about.take();
        span.status = status(!matches!(outcome, AttemptOutcome::Ok | AttemptOutcome::Cancelled));
        span
    }
}

/// Unset, as it is to be where nothing failed.
fn status(failed: bool) -> Option<Status> {
    failed.then(|| Status { code: StatusCode::Error.into(), message: String::new() })
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(SHOWN).map_or(text, |(at, _)| text.get(..at).unwrap_or(text))
}

/// As the GenAI conventions call it; they have no word for counting.
const fn operation_name(operation: Operation) -> &'static str {
    match operation {
        Operation::Messages | Operation::ChatCompletions | Operation::Responses => "chat",
        Operation::Completions => "text_completion",
        Operation::Embeddings => "embeddings",
        Operation::CountTokens => "count_tokens",
    }
}
