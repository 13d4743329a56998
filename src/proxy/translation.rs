//! A request on its way to a provider of another dialect.
//!
//! Decides whether a body goes up as it came or in other words, and holds what its answer has to be
//! written by. What the words are is `dialect`'s. Each provider that is tried gets a body of its own.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use pingora::http::ResponseHeader;

use super::{admit::Admitted, denial::Denial, exchange::Exchange};
use crate::{
    clock,
    dialect::{
        self, Asked, EmbeddingsAsked, Framing, Lost, Maker, Refused, Signal, StreamTranslator, Target,
        Untranslatable,
    },
    types::{Dialect, Operation, ProviderDialect, Reason, SessionKey},
    upstream::{Credentials, Endpoint, ProviderParams},
};

/// A body in a provider's words.
#[derive(Clone)]
pub(crate) struct Outgoing {
    /// The body.
    pub body: Bytes,
    /// How it was translated.
    pub words: Arc<Words>,
}

/// How a request was translated, and how its answer is to be.
#[derive(Debug)]
pub(crate) struct Words {
    /// Path and query below the provider's base path.
    pub path: String,
    /// What is spoken there.
    pub dialect: ProviderDialect,
    /// Members of the client's body that were left out.
    pub dropped: Vec<Lost>,
    maker: Maker,
    answer: AnswerForm,
}

/// What the answer is.
#[derive(Debug)]
enum AnswerForm {
    Generated(Asked),
    /// A count of tokens, for a client of this dialect.
    Counted(Dialect),
    Embedded(EmbeddingsAsked),
}

/// The dialect that a call has to be written in for this provider; `None`: it goes up as it came, because
/// the client's is spoken there. `carries`: the body holds what was sealed for other makers, which a
/// provider would refuse, and which is not for it to read: such a body is written anew in any case.
pub(crate) fn needed(
    operation: Operation,
    provider: &ProviderParams,
    carries: bool,
) -> Option<ProviderDialect> {
    let own = ProviderDialect::from(operation.dialect());
    // Embeddings and legacy completions are the same API in all of OpenAI's dialects.
    let of_openai = |dialect: &ProviderDialect| {
        matches!(dialect, ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses)
    };
    let spoken = match operation {
        Operation::Embeddings | Operation::Completions => provider.speaks.iter().any(of_openai),
        Operation::Messages | Operation::CountTokens | Operation::ChatCompletions | Operation::Responses => {
            provider.speaks.contains(&own)
        }
    };
    match spoken {
        true if carries && operation.generates() && provider.credentials == Credentials::Gateway => Some(own),
        true => None,
        false => provider.speaks.first().copied(),
    }
}

/// Writes a body in a provider's words.
pub(crate) fn write(
    x: &Exchange,
    operation: Operation,
    body: &Bytes,
    endpoint: &Endpoint,
    into: ProviderDialect,
    model: &str,
) -> Result<Outgoing, Denial> {
    let params = &endpoint.provider().params;
    if params.credentials == Credentials::Caller {
        let what =
            "this provider gets its callers' own credentials, so it can only be spoken to in its own dialect";
        return Err(Denial::new(Reason::WrongDialect, what));
    }
    let maker = Maker::of(params.name.as_str());
    let target = Target { dialect: into, maker, model, quirks: &params.quirks, on_loss: params.on_loss };
    let id = x.id.to_string();
    let id = id.strip_prefix("wk_").unwrap_or(&id);
    let refuse = |fault| refusal(&fault, params);
    let (path, body, dropped, answer) = match operation {
        Operation::Messages | Operation::ChatCompletions | Operation::Responses => {
            let created = clock::unix_now().0.as_secs();
            let t = dialect::translate_request(operation, body, &target, id, created).map_err(refuse)?;
            (t.path, t.body, t.dropped, AnswerForm::Generated(t.asked))
        }
        Operation::CountTokens => {
            let t = dialect::translate_count(operation.dialect(), body, &target).map_err(refuse)?;
            (t.path, t.body, t.dropped, AnswerForm::Counted(operation.dialect()))
        }
        Operation::Embeddings => {
            let t = dialect::translate_embeddings(body, &target).map_err(refuse)?;
            (t.path, t.body, t.dropped, AnswerForm::Embedded(t.asked))
        }
        Operation::Completions => {
            return Err(Denial::new(
                Reason::WrongDialect,
                format!("provider `{}` has no legacy completions; use `/v1/chat/completions`", params.name),
            ));
        }
    };
    let words = Words { path, dialect: into, dropped, maker, answer };
    Ok(Outgoing { body, words: Arc::new(words) })
}

/// Tokens of a prompt for which the provider has no call to count them: our own estimate, from what
/// this model's prompts have come to. `None`: the provider counts.
pub(crate) fn estimated_count(call: &Admitted, bytes: u64) -> Option<Bytes> {
    let provider = &call.model.endpoints.first()?.provider().params;
    let into =
        needed(call.operation, provider, false).filter(|_| call.operation == Operation::CountTokens)?;
    let estimate = call.ratios.input_tokens(bytes);
    (!dialect::counts(into)).then(|| dialect::counted(call.operation.dialect(), estimate))
}

fn refusal(fault: &Untranslatable, params: &ProviderParams) -> Denial {
    match fault {
        Untranslatable::Malformed(field, what) if field.is_empty() => {
            Denial::new(Reason::BadRequest, format!("the body is malformed: {what}"))
        }
        Untranslatable::Malformed(field, what) => {
            Denial::new(Reason::BadRequest, format!("`{field}` is malformed: {what}"))
        }
        Untranslatable::Refused(Refused { field, why }) => {
            let dialects: Vec<&str> = params.speaks.iter().map(|dialect| dialect.label()).collect();
            let what = format!(
                "`{field}` cannot be expressed in `{}`, which is what provider `{}` speaks: {why}; leave it out, or have the operator set `on_loss`",
                dialects.join("`, `"),
                params.name,
            );
            Denial::new(Reason::Untranslatable, what)
        }
    }
}

/// The headers of a translated request: none of the client's speak of another dialect's API.
pub(crate) fn headers(from: &HeaderMap, into: ProviderDialect) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(6);
    for name in [header::USER_AGENT, header::ACCEPT, HeaderName::from_static("x-client-request-id")] {
        if let Some(value) = from.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if into == ProviderDialect::Anthropic {
        headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
    }
    headers
}

/// The header by which a provider keeps a session on the machine that has its cache, where it wants one
/// and the client has sent none.
pub(crate) fn affinity(
    params: &ProviderParams,
    session: Option<SessionKey>,
    from: &HeaderMap,
) -> Option<(HeaderName, HeaderValue)> {
    let name = HeaderName::from_static(params.quirks.affinity?.name());
    if from.contains_key(&name) {
        return None;
    }
    Some((name, HeaderValue::from_str(&session?.to_string()).ok()?))
}

/// The head of a translated answer: what the provider says of its own API would mislead a client of
/// another one.
pub(crate) fn head(upstream: &ResponseHeader, is_stream: bool) -> pingora::Result<ResponseHeader> {
    let mut down = ResponseHeader::build(upstream.status, Some(8))?;
    let kind = if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    down.insert_header(header::CONTENT_TYPE, kind)?;
    if is_stream {
        down.insert_header(header::CACHE_CONTROL, "no-cache")?;
    }
    for name in ["request-id", "x-request-id", "retry-after"] {
        if let Some(value) = upstream.headers.get(name) {
            down.insert_header(name, value.clone())?;
        }
    }
    Ok(down)
}

/// The status that a client of this dialect knows for one that another dialect's provider has sent.
fn known_status(origin: Dialect, status: u16) -> u16 {
    match (origin, status) {
        // Overload has a status of its own in one dialect only (providers 1.4).
        (Dialect::Anthropic, 503) => 529,
        (Dialect::OpenAiChat | Dialect::OpenAiResponses, 529) => 503,
        (_, 400 | 401 | 403 | 404 | 408 | 409 | 413 | 429 | 500 | 502 | 503 | 504 | 529) => status,
        (_, 400..=499) if status != 424 => 400,
        // 424 is Bedrock's for a model that failed.
        _ => 502,
    }
}

impl Words {
    /// How the events of an answer of this content type are packed; `None`: it is no stream.
    pub(crate) fn framing(&self, headers: &HeaderMap) -> Option<Framing> {
        let AnswerForm::Generated(asked) = &self.answer else { return None };
        let kind = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
        Framing::of(self.dialect, kind).filter(|_| asked.stream)
    }

    /// Whose words the answer is written in.
    const fn origin(&self) -> Dialect {
        match &self.answer {
            AnswerForm::Generated(asked) => asked.origin,
            AnswerForm::Counted(origin) => *origin,
            AnswerForm::Embedded(_) => Dialect::OpenAiChat,
        }
    }

    /// An event that keeps a client's connection alive while the provider is silent, where the client's
    /// dialect has one (providers 1.2).
    pub(crate) fn ping(&self) -> Option<Bytes> {
        let ping = Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n");
        (self.origin() == Dialect::Anthropic).then_some(ping)
    }

    /// What was left out, as a header; `None` where nothing was.
    pub(crate) fn dropped(&self) -> Option<String> {
        /// Proxies in between refuse longer headers, and with them the answer.
        const MOST: usize = 1_000;
        let mut said = String::new();
        for (n, lost) in self.dropped.iter().enumerate() {
            if said.len() + lost.len() > MOST {
                said.push_str(&format!(", and {} more", self.dropped.len() - n));
                break;
            }
            if n > 0 {
                said.push_str(", ");
            }
            // Members' names are the caller's text.
            said.extend(lost.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
        }
        (!said.is_empty()).then_some(said)
    }

    /// A provider's error in the client's words, with a status that its SDKs know.
    pub(crate) fn error(
        &self,
        head: &ResponseHeader,
        body: &[u8],
        id: &str,
    ) -> pingora::Result<(ResponseHeader, Bytes)> {
        let fault = dialect::read_fault(body);
        let status = known_status(self.origin(), head.status.as_u16());
        let message = if fault.message.is_empty() {
            format!("the provider answered {} without saying why", head.status.as_u16())
        } else {
            fault.message
        };
        let code = if fault.code.is_empty() { Reason::UpstreamError.label() } else { fault.code.as_str() };
        let mut down = self::head(head, false)?;
        down.set_status(status)?;
        Ok((down, dialect::error_body(self.origin(), status, code, &message, id)))
    }

    /// Translates a stream.
    pub(crate) fn stream(&self, framing: Framing) -> Option<StreamTranslator> {
        let AnswerForm::Generated(asked) = &self.answer else { return None };
        Some(StreamTranslator::new(self.dialect, self.maker, framing, asked.clone()))
    }

    /// Translates a whole answer; `None` where it is none.
    pub(crate) fn answer(&self, body: &[u8], see: &mut dyn FnMut(Signal<'_>)) -> Option<Bytes> {
        match &self.answer {
            AnswerForm::Generated(asked) => {
                dialect::translate_answer(self.dialect, self.maker, asked, body, see)
            }
            AnswerForm::Counted(origin) => {
                let counted = dialect::translate_count_answer(self.dialect, *origin, body)?;
                see(Signal::Terminal);
                Some(counted)
            }
            AnswerForm::Embedded(asked) => {
                dialect::translate_embeddings_answer(self.dialect, asked, body, see)
            }
        }
    }
}
