//! The times of a traced request's stages, noted along its way; [`over`] makes spans of them, once.
//!
//! An exchange has marks only where it is sampled, so for all others every call here is the look at an
//! empty `Option`.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::{choose::Choice, exchange::Exchange};
use crate::{
    clock::{self, Moment},
    telemetry::otlp::{Chosen, Context, SpanId, Stages, Trace, TraceId, Tried, read_state},
    types::{Family, Receipt},
    upstream::{Endpoint, ProviderParams},
};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");

/// What a traced request has so far.
pub(crate) struct Marks {
    trace: Trace,
    stages: Stages,
}

/// The trace context that goes up with a try.
pub(crate) type Outward = Vec<(HeaderName, HeaderValue)>;

/// The head of a request has arrived: it is sampled, or it is not.
pub(super) fn begin(x: &mut Exchange, method: &Method, path: &str, headers: &HeaderMap) {
    let Some(spans) = &x.live.spans else { return };
    let header = |name| headers.get(name).map(HeaderValue::as_bytes);
    x.marks = spans
        .begin(header(PARENT), header(STATE))
        .map(|trace| Box::new(Marks { trace, stages: Stages::new(x.since, method.as_str(), path) }));
}

/// It is known who asks, and what for.
pub(super) fn identified(x: &mut Exchange) {
    if let Some(marks) = &mut x.marks {
        marks.stages.identified = Some(clock::now());
    }
}

/// It is let in.
pub(super) fn admitted(x: &mut Exchange) {
    if let Some(marks) = &mut x.marks {
        marks.stages.admitted = Some(clock::now());
    }
}

/// A choice was made, or none could be.
pub(super) fn chosen(x: &mut Exchange, choice: Option<&Choice>, began: Moment, ended: Moment) {
    let Some(marks) = &mut x.marks else { return };
    marks.stages.chosen.push(Chosen {
        began,
        ended,
        endpoint: choice.map(|choice| choice.endpoint.name().clone()),
        affinity: choice.map(|choice| (choice.affinity.0.label(), choice.affinity.1.label())),
    });
}

/// It was held back on purpose.
pub(super) fn waited(x: &mut Exchange, began: Moment, ended: Moment) {
    if let Some(marks) = &mut x.marks {
        marks.stages.waits.push((began, ended));
    }
}

/// A try begins.
pub(super) fn tried(x: &mut Exchange, endpoint: &Arc<Endpoint>, now: Moment) {
    let Some(marks) = &mut x.marks else { return };
    let params = &endpoint.provider().params;
    marks.stages.tried.push(Tried {
        span: SpanId::mint(),
        began: now,
        endpoint: endpoint.name().clone(),
        provider: params.name.clone(),
        system: system(params),
        host: params.host.clone(),
        port: params.port,
        model: x.upstream_model.as_ref().map(|model| model.as_str().to_owned()),
    });
}

/// What a provider is told of the trace: the try's span and the client's state, where that is wanted. Where
/// the request is not sampled, that it is not, so that an engine does not begin traces of its own.
pub(super) fn outward(x: &Exchange, params: &ProviderParams, from: &HeaderMap) -> Outward {
    if x.live.spans.is_none() || !params.trace_context {
        return Outward::new();
    }
    let header = |name| from.get(name).map(HeaderValue::as_bytes);
    let parent = header(PARENT).and_then(Context::read);
    let span = x.marks.as_ref().and_then(|marks| Some((marks, marks.stages.tried.last()?.span)));
    let context = match (span, parent) {
        (Some((marks, span)), _) => Context { span, ..marks.trace.root },
        (None, Some(parent)) => parent,
        (None, None) => Context { trace: TraceId::mint(), span: SpanId::mint(), sampled: false },
    };
    let state = header(STATE).filter(|_| parent.is_some()).and_then(read_state);
    let pairs = [(PARENT, Some(context.to_string())), (STATE, state.map(str::to_owned))];
    let value = |text: String| HeaderValue::try_from(text).ok();
    pairs.into_iter().filter_map(|(name, text)| Some((name, value(text?)?))).collect()
}

/// The request is settled.
pub(super) fn over(x: &mut Exchange, receipt: &Receipt, now: Moment) {
    let (Some(mut marks), Some(spans)) = (x.marks.take(), &x.live.spans) else { return };
    marks.stages.answered = x.answered;
    spans.over(&marks.trace, receipt, &marks.stages, now);
}

/// The trace that the request is in.
pub(super) fn trace(x: &Exchange) -> Option<TraceId> {
    x.marks.as_ref().map(|marks| marks.trace.root.trace)
}

/// The provider as the GenAI conventions call it (`gen_ai.provider.name`): by its host; others by what they
/// speak, as the conventions ask for a host that is not in their list.
fn system(params: &ProviderParams) -> &'static str {
    const HOSTS: &[(&str, &str)] = &[
        ("anthropic.com", "anthropic"),
        ("openai.azure.com", "azure.ai.openai"),
        ("services.ai.azure.com", "azure.ai.inference"),
        ("openai.com", "openai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("rep.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("amazonaws.com", "aws.bedrock"),
        ("mistral.ai", "mistral_ai"),
        ("deepseek.com", "deepseek"),
        ("x.ai", "x_ai"),
        ("cohere.com", "cohere"),
        ("cohere.ai", "cohere"),
        ("groq.com", "groq"),
        ("perplexity.ai", "perplexity"),
    ];
    let is_of = |host: &str| {
        let rest = params.host.strip_suffix(host);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['.', '-']))
    };
    let by_host = HOSTS.iter().find(|(host, _)| is_of(host));
    by_host.map_or_else(
        || match params.family {
            Family::Anthropic => "anthropic",
            Family::OpenAi => "openai",
            Family::Gemini => "gcp.gemini",
            Family::Bedrock => "aws.bedrock",
        },
        |(_, system)| system,
    )
}
