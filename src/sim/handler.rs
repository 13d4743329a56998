//! One request: who sends it, what is scripted for it, who answers it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{
    answer::fresh_id,
    bedrock, control,
    core::{Core, put},
    fault::Fault,
    gemini, generate,
    json::Json,
    line::{Cut, Line},
    log::Visit,
    models::{self, Maker, Model},
    params::Account,
    pour::{BodyError, Pour},
    refusal::Refusal,
    script::Facts,
    seen::SeenRequest,
    small,
};
use crate::clock;

/// What goes back.
pub(super) type Answer = Response<UnsyncBoxBody<Bytes, BodyError>>;

/// The calls that produce a model's answer.
const GENERATING: &[&str] = &["/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1/completions"];

/// A request whose body was read.
pub(super) struct Call {
    pub(super) core: Arc<Core>,
    pub(super) line: Arc<Line>,
    pub(super) visit: Visit,
    pub(super) account: Account,
    pub(super) maker: Maker,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) request_id: String,
    /// What is scripted for it, if anything.
    pub(super) fault: Option<Fault>,
    pub(super) http2: bool,
}

/// Answers one request; `Err` resets its stream (HTTP/2) or closes its connection.
pub(super) async fn handle(
    core: Arc<Core>,
    line: Arc<Line>,
    request: Request<Incoming>,
) -> Result<Answer, BodyError> {
    let (mut head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or("").to_owned();
    if path == "/health" || path.starts_with("/_sim/") {
        return Ok(control::answer(&core, &head.method, &path, body).await);
    }
    let maker = maker_of(&path, &head.headers);
    if maker == Maker::Aws
        && let Some(host) = head.uri.authority()
    {
        // HTTP/2 says it elsewhere, and it is signed.
        let host = host.to_string();
        put(&mut head.headers, "host", &host);
    }
    let key = credential(&head.headers, &query);
    let account = core.account(&key).cloned();
    let generates =
        GENERATING.contains(&path.as_str()) || gemini::generates(&path) || bedrock::generates(&path);
    let generating = head.method == Method::POST && generates;
    let request_id = format!("req_{}", fresh_id());
    let visit = core.log.begin(seen(&head, key, account.as_ref(), &request_id), generating);
    let Some(account) = account else {
        // Read on, so that the connection lives.
        let _ = read_body(&core, &visit, None, body).await;
        let answer = refuse(&visit, maker, &request_id, None, &Refusal::bad_key());
        visit.finish();
        return Ok(answer);
    };
    let facts = Facts {
        account: &account,
        path: &path,
        headers: &head.headers,
        generating,
        model: None,
        has_stream_options: false,
    };
    let fault = core.script.lock().take(facts);
    if let Some(fault) = &fault {
        visit.note(|seen| seen.fault = Some(format!("{fault:?}")));
    }
    let read = read_body(&core, &visit, fault.as_ref(), body).await;
    let mut call = Call {
        core,
        line,
        visit,
        account,
        maker,
        method: head.method,
        path,
        query,
        headers: head.headers,
        body: Bytes::new(),
        request_id,
        fault,
        http2: head.version == Version::HTTP_2,
    };
    match read {
        Ok(body) => call.body = body,
        Err(Unread::Refused(refusal)) => return Ok(call.refuse(&refusal)),
        Err(Unread::Broken) => return Err(BodyError::UploadBroken),
    }
    if maker == Maker::Aws
        && let Err(refusal) = bedrock::verify(&call, clock::unix_now())
    {
        return Ok(call.refuse(&refusal));
    }
    call.before_header().await?;
    if let Some(refusal) = call.fault.as_ref().and_then(|fault| Refusal::of_fault(fault, maker, "")) {
        return Ok(call.refuse_as_scripted(&refusal));
    }
    if let Some(Fault::HtmlPage { status }) = call.fault {
        return Ok(call.html(status));
    }
    if generating {
        generate::answer(call).await
    } else if maker == Maker::Aws {
        Ok(bedrock::aside(call))
    } else if maker == Maker::Google {
        Ok(gemini::aside(call))
    } else {
        Ok(small::answer(call))
    }
}

impl Call {
    /// Carries out the faults that strike before there is an answer.
    async fn before_header(&self) -> Result<(), BodyError> {
        let Some(fault) = &self.fault else { return Ok(()) };
        match fault {
            Fault::HangBeforeHeader => std::future::pending::<()>().await,
            Fault::SlowHeader { delay_ms } => tokio::time::sleep(*delay_ms).await,
            Fault::ResetBeforeHeader => self.cut(Cut::Reset).await,
            Fault::GoAway if self.http2 => self.cut(Cut::GoAway).await,
            Fault::CloseBeforeHeader if self.http2 => return Err(BodyError::Scripted),
            Fault::RefusedStream if self.http2 => {
                return Err(h2::Error::from(h2::Reason::REFUSED_STREAM).into());
            }
            Fault::CloseBeforeHeader | Fault::GoAway | Fault::RefusedStream => self.cut(Cut::Close).await,
            Fault::Stale => self.line.grow_stale(),
            Fault::GoAwayAfter => self.line.retire(),
            // Answers of their own, or faults of the body.
            Fault::RateLimited { .. }
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
            | Fault::StallAfter { .. }
            | Fault::ResetAfter { .. }
            | Fault::CloseAfter { .. }
            | Fault::TruncateAfter { .. }
            | Fault::ErrorFirst
            | Fault::ErrorAfter { .. }
            | Fault::BadCrc { .. }
            | Fault::EarlyAnswer { .. }
            | Fault::SlowRead { .. }
            | Fault::SetCookie
            | Fault::Gzip => {}
        }
        Ok(())
    }

    /// Ends the connection and waits for the end.
    async fn cut(&self, cut: Cut) {
        self.line.cut(cut);
        std::future::pending::<()>().await;
    }

    /// Answers with an error, and closes the book on the request.
    pub(super) fn refuse(self, refusal: &Refusal) -> Answer {
        let answer = refuse(&self.visit, self.maker, &self.request_id, Some(&self.account), refusal);
        self.visit.finish();
        answer
    }

    /// As [`Self::refuse`]; with rate-limit headers when the script says when limits reset.
    fn refuse_as_scripted(self, refusal: &Refusal) -> Answer {
        let body = refusal.reset_in.and_then(|_| Json::parse(&self.body).ok());
        match body.as_ref().and_then(|body| models::find(body.text_of("model")?)) {
            Some(model) => self.refuse_with_limits(refusal, model),
            None => self.refuse(refusal),
        }
    }

    /// As [`Self::refuse`], with the rate-limit headers of a model.
    pub(super) fn refuse_with_limits(self, refusal: &Refusal, model: &Model) -> Answer {
        let (core, account) = (Arc::clone(&self.core), self.account.clone());
        let mut answer = self.refuse(refusal);
        core.limit_headers(&account, model, refusal.reset_in, answer.headers_mut());
        answer
    }

    /// Answers with JSON in one piece, and closes the book on the request.
    pub(super) fn say(self, value: &Value) -> Answer {
        let mut answer = json(StatusCode::OK, value);
        self.identify(answer.headers_mut());
        self.visit.note(|seen| {
            seen.status = 200;
            seen.events_sent += 1;
        });
        self.visit.finish();
        answer
    }

    /// Adds who answers: request id, organisation, workspace, and the cookie of a script.
    pub(super) fn identify(&self, headers: &mut HeaderMap) {
        identify(headers, self.maker, &self.request_id, Some(&self.account));
        if self.fault == Some(Fault::SetCookie) {
            put(headers, "set-cookie", "__cf_bm=simulated; path=/; HttpOnly; Secure");
        }
        if self.fault == Some(Fault::GoAwayAfter) && !self.http2 {
            put(headers, "connection", "close");
        }
    }

    fn html(self, status: u16) -> Answer {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        let page =
            format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
        let mut answer = Response::new(full(Bytes::from(page)));
        *answer.status_mut() = status;
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
        self.visit.note(|seen| seen.status = status.as_u16());
        self.visit.finish();
        answer
    }

    /// Where this account's objects live.
    pub(super) fn scope(&self) -> String {
        format!("{}/{}", self.account.organization, self.account.workspace)
    }
}

enum Unread {
    Refused(Refusal),
    Broken,
}

/// Reads the body, as slowly or as briefly as scripted.
async fn read_body(
    core: &Core,
    visit: &Visit,
    fault: Option<&Fault>,
    mut body: Incoming,
) -> Result<Bytes, Unread> {
    let (early, slow) = match fault {
        Some(fault @ Fault::EarlyAnswer { after_bytes, .. }) => (Some((fault, *after_bytes)), None),
        Some(Fault::SlowRead { bytes_per_second }) => (None, Some(*bytes_per_second)),
        _ => (None, None),
    };
    let mut parts: VecDeque<Bytes> = VecDeque::new();
    let mut len = 0_usize;
    loop {
        if let Some((fault, after)) = early
            && len >= after
        {
            let refusal = Refusal::of_fault(fault, Maker::Anthropic, "");
            return Err(refusal.map_or(Unread::Broken, Unread::Refused));
        }
        let Some(frame) = body.frame().await else { break };
        let Ok(frame) = frame else { return Err(Unread::Broken) };
        let Ok(bytes) = frame.into_data() else { continue };
        len += bytes.len();
        visit.note(|seen| seen.body_len = len);
        if len > core.config.max_body {
            return Err(Unread::Refused(Refusal::new(413, "Request exceeds the maximum size")));
        }
        if let Some(rate) = slow {
            let nanos = (bytes.len() as u64).saturating_mul(1_000_000_000) / rate.max(1);
            tokio::time::sleep(Duration::from_nanos(nanos)).await;
        }
        parts.push_back(bytes);
    }
    let whole = if parts.len() == 1 {
        parts.pop_front().unwrap_or_default()
    } else {
        parts.into_iter().flatten().collect()
    };
    let digest: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
    visit.note(|seen| seen.body_sha256 = digest);
    Ok(whole)
}

fn seen(
    head: &http::request::Parts,
    key: String,
    account: Option<&Account>,
    request_id: &str,
) -> SeenRequest {
    let mut headers = head.headers.clone();
    for name in ["authorization", "x-api-key", "x-goog-api-key"] {
        if let Some(value) = headers.get_mut(name) {
            value.set_sensitive(true);
        }
    }
    SeenRequest {
        number: 0,
        request_id: request_id.to_owned(),
        key,
        organization: account.map(|account| account.organization.clone()).unwrap_or_default(),
        workspace: account.map(|account| account.workspace.clone()).unwrap_or_default(),
        method: head.method.clone(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or("").to_owned(),
        headers,
        body_sha256: String::new(),
        body_len: 0,
        model: String::new(),
        stream: false,
        status: 0,
        usage: crate::types::Usage::default(),
        cost: crate::types::NanoUsd(0),
        at: clock::now(),
        events_sent: 0,
        cancelled: false,
        done: false,
        fault: None,
    }
}

/// The dialect's maker: by path, and where both have the path by Anthropic's version header.
fn maker_of(path: &str, headers: &HeaderMap) -> Maker {
    if bedrock::is_here(path) {
        Maker::Aws
    } else if gemini::is_here(path) {
        Maker::Google
    } else if path.starts_with("/v1/messages") || headers.contains_key("anthropic-version") {
        Maker::Anthropic
    } else {
        Maker::OpenAi
    }
}

fn credential(headers: &HeaderMap, query: &str) -> String {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bearer = || text("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let aws = || text("authorization").and_then(bedrock::access_key);
    let google = || text("x-goog-api-key").or_else(|| gemini::key_of(query));
    text("x-api-key").or_else(bearer).or_else(aws).or_else(google).unwrap_or("").to_owned()
}

fn identify(headers: &mut HeaderMap, maker: Maker, request_id: &str, account: Option<&Account>) {
    match maker {
        Maker::Anthropic => {
            put(headers, "request-id", request_id);
            if let Some(account) = account {
                put(headers, "anthropic-organization-id", &account.organization);
                put(headers, "anthropic-workspace-id", &account.workspace);
            }
        }
        Maker::OpenAi => {
            put(headers, "x-request-id", request_id);
            put(headers, "openai-version", "2020-10-01");
            if let Some(account) = account {
                put(headers, "openai-organization", &account.organization);
                put(headers, "openai-project", &account.workspace);
            }
        }
        Maker::Aws => put(headers, "x-amzn-requestid", request_id),
        Maker::Google => put(headers, "server-timing", "gfet4t7; dur=1"),
    }
}

fn refuse(
    visit: &Visit,
    maker: Maker,
    request_id: &str,
    account: Option<&Account>,
    refusal: &Refusal,
) -> Answer {
    let mut answer = json(refusal.status(maker), &refusal.body(maker, request_id));
    identify(answer.headers_mut(), maker, request_id, account);
    answer.headers_mut().extend(refusal.own_headers(maker));
    if maker == Maker::Aws {
        put(answer.headers_mut(), "x-amzn-errortype", bedrock::error_type(refusal));
    }
    visit.note(|seen| seen.status = answer.status().as_u16());
    answer
}

/// JSON in one piece.
pub(super) fn json(status: StatusCode, value: &Value) -> Answer {
    let mut answer = Response::new(full(Bytes::from(value.to_string())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(super) fn full(bytes: Bytes) -> UnsyncBoxBody<Bytes, BodyError> {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// An answer whose body comes in parts.
pub(super) fn pouring(content_type: &'static str, pour: Pour) -> Answer {
    let mut answer = Response::new(pour.boxed_unsync());
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    answer
}
