//! Answers of our own, in the caller's dialect, and the headers that explain a decision.

use std::borrow::Cow;

use bytes::Bytes;
use http::header;
use pingora::http::ResponseHeader;

use super::{
    denial::{self, Denial},
    downlink::{Downlink, Lost},
    exchange::Exchange,
    last_word::Final,
    limits,
    relay::Cut,
};
use crate::{
    clock, dialect,
    routing::Turn,
    types::{Dialect, Reason},
};

/// Adds the `x-warmkey-*` headers, unless they are switched off.
pub(crate) fn explain(head: &mut ResponseHeader, x: &Exchange) {
    if !x.snapshot.server.explain {
        return;
    }
    let _ = head.insert_header("x-warmkey-request-id", x.id.to_string());
    if let Some(endpoint) = &x.endpoint {
        let _ = head.insert_header("x-warmkey-endpoint", endpoint.name().as_str());
    }
    if let Some(session) = x.identity.as_ref().and_then(|identity| identity.key) {
        let _ = head.insert_header("x-warmkey-session", session.to_string());
    }
    if let Some((result, reason)) = x.affinity {
        let _ = head.insert_header("x-warmkey-affinity", result.label());
        let _ = head.insert_header("x-warmkey-reason", reason.label());
    }
    if let Some(expected) = x.turn.as_ref().and_then(Turn::expected) {
        let _ = head.insert_header("x-warmkey-warm", expected.to_string());
    }
    if !x.waited.is_zero() {
        let _ = head.insert_header("x-warmkey-wait", format!("{:.1}s", x.waited.as_secs_f64()));
    }
    if let Some(made_at) = &x.thinking_made_at {
        let said = format!("refused here; made at {made_at}, where the next turn goes");
        let _ = head.insert_header("x-warmkey-thinking", said);
    }
    if let Some(words) = &x.words {
        let _ = head.insert_header("x-warmkey-translated", words.dialect.label());
    }
    if let Some(dropped) = x.words.as_ref().and_then(|words| words.dropped()) {
        let _ = head.insert_header("x-warmkey-dropped", dropped);
    }
    if x.care.any() {
        let _ = head.insert_header("x-warmkey-care", x.care.to_string());
    }
}

/// Writes a JSON body of ours.
pub(crate) async fn json(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    status: u16,
    body: Bytes,
) -> Result<(), Lost> {
    let Ok(mut head) = ResponseHeader::build(status, Some(8)) else { return Err(Lost::Gone) };
    let _ = head.insert_header(header::CONTENT_TYPE, "application/json");
    let _ = head.insert_header(header::CONTENT_LENGTH, body.len());
    explain(&mut head, x);
    send(line, x, head, body).await
}

/// A count of ours in place of the provider's, marked as such.
pub(crate) async fn estimate(line: &mut Downlink<'_>, x: &mut Exchange, count: Bytes) -> Result<(), Lost> {
    let Ok(mut head) = ResponseHeader::build(200, Some(8)) else { return Err(Lost::Gone) };
    let _ = head.insert_header(header::CONTENT_TYPE, "application/json");
    let _ = head.insert_header(header::CONTENT_LENGTH, count.len());
    let _ = head.insert_header("x-warmkey-estimated", "input_tokens");
    explain(&mut head, x);
    send(line, x, head, count).await
}

async fn send(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    head: ResponseHeader,
    body: Bytes,
) -> Result<(), Lost> {
    x.status = head.status.as_u16();
    let is_head = line.session.req_header().method == http::Method::HEAD;
    line.head(head).await?;
    let sent = if is_head || body.is_empty() { line.end().await } else { line.last_words(body).await };
    x.response_bytes = line.sent;
    sent
}

/// Says no: as a status and a body, or in-band when a heart-beat has committed a 200 already.
pub(crate) async fn deny(line: &mut Downlink<'_>, x: &mut Exchange, no: &Denial) -> Result<(), Lost> {
    let dialect = x.dialect.unwrap_or(Dialect::OpenAiChat);
    let status = no.status();
    x.status = status;
    let id = x.id.to_string();
    if line.is_committed() {
        let event = dialect::stream_error(dialect, status, no.reason.label(), &no.message, &id, None);
        return line.last_words(event).await;
    }
    if no.close {
        line.session.set_keepalive(None);
    }
    let body = dialect::error_body(dialect, status, no.reason.label(), &no.message, &id);
    let Ok(mut head) = ResponseHeader::build(status, Some(10)) else { return Err(Lost::Gone) };
    let _ = head.insert_header(header::CONTENT_TYPE, "application/json");
    let _ = head.insert_header(header::CONTENT_LENGTH, body.len());
    if let Some(allow) = &no.allow {
        let _ = head.insert_header(header::ALLOW, allow.as_str());
    }
    if let Some(seconds) = no.retry_after_seconds() {
        let _ = head.insert_header(header::RETRY_AFTER, seconds);
    }
    if no.is_final {
        let _ = head.insert_header("x-should-retry", "false");
    }
    if let Some(refusal) = &no.refusal {
        limits::tell(&mut head, dialect, &refusal.figures(), clock::unix_now());
    }
    explain(&mut head, x);
    if x.snapshot.server.explain {
        let _ = head.insert_header("x-warmkey-reason", no.reason.label());
    }
    send(line, x, head, body).await?;
    if no.close {
        line.linger().await;
    }
    Ok(())
}

/// Passes a provider's error on, word by word. Only a 429's `retry-after` is made bearable: clients
/// give up above a minute, some read integers only, and without one they come back at once.
pub(crate) async fn pass(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    last: &Final,
    observe: bool,
) -> Result<(), Lost> {
    x.status = last.head.status.as_u16();
    if line.is_committed() {
        let dialect = x.dialect.unwrap_or(Dialect::OpenAiChat);
        let fault = dialect::read_fault(&last.body);
        let message =
            if fault.message.is_empty() { "the provider refused the request" } else { &fault.message };
        let event =
            dialect::stream_error(dialect, x.status, "upstream_error", message, &x.id.to_string(), None);
        return line.last_words(event).await;
    }
    let told = match &last.words {
        Some(words) => words.error(&last.head, &last.body, &x.id.to_string()),
        None => super::relay::downward(&last.head, observe).map(|head| (head, last.body.clone())),
    };
    let Ok((mut head, body)) = told else { return Err(Lost::Gone) };
    x.status = head.status.as_u16();
    let _ = head.insert_header(header::CONTENT_LENGTH, body.len());
    if x.status == 429 {
        let unsaid = x.endpoint.as_ref().map(|endpoint| endpoint.provider().params.cooling.default_429);
        let after = last.retry_after().or(unsaid).unwrap_or_default();
        let _ = head.insert_header(header::RETRY_AFTER, denial::retry_after_seconds(after));
        // Said once, and bearably: OpenAI's SDKs would believe this one first.
        head.remove_header("retry-after-ms");
    }
    explain(&mut head, x);
    send(line, x, head, body).await
}

/// Ends a stream that broke off after content with one error event of the client's dialect; an
/// answer that is no stream can only be broken off.
pub(crate) async fn interrupt(line: &mut Downlink<'_>, x: &mut Exchange, reason: Reason, message: &str) {
    if !line.takes_events() {
        line.abort();
        return;
    }
    let dialect = x.dialect.unwrap_or(Dialect::OpenAiChat);
    let sequence = x.reading.as_ref().and_then(|reading| reading.last_sequence);
    let status = Denial::new(reason, "").status();
    let event = dialect::stream_error(dialect, status, reason.label(), message, &x.id.to_string(), sequence);
    let _ = line.last_words(event).await;
    line.session.set_keepalive(None);
    x.response_bytes = line.sent;
}

/// What a cut is called, and how it is said.
pub(crate) fn of_cut(cut: &Cut) -> (Reason, Cow<'static, str>) {
    let (reason, message) = match cut {
        Cut::Budget(refusal) => return (Reason::BudgetExceeded, refusal.message().into()),
        Cut::Broken => (Reason::StreamBroken, "the connection to the provider broke during the answer"),
        Cut::Truncated => (Reason::StreamBroken, "the provider ended the answer before it was complete"),
        Cut::Idle => (Reason::UpstreamTimeout, "the provider fell silent during the answer"),
        Cut::Overdue => (Reason::UpstreamTimeout, "the answer took longer than the request's time"),
        Cut::Reported(_) => (Reason::UpstreamError, "the provider reported an error during the answer"),
    };
    (reason, message.into())
}
