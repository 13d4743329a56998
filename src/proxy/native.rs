//! Pingora's phases: calls are answered in the first one, pass-throughs go through them all.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, header};
use pingora::{
    Error, ErrorType, Result,
    http::{RequestHeader, ResponseHeader},
    upstreams::peer::HttpPeer,
};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use super::{
    authorise::authorise,
    denial::Denial,
    downlink::Downlink,
    exchange::Exchange,
    forward,
    gateway::{Gateway, Handled},
    headers, limits, marks,
    passthrough::Way,
    reply,
};
use crate::{
    clock,
    dialect::{self, PinKind},
    types::{AttemptOutcome, AttemptRecord, Dialect, Outcome, Reason},
    upstream::{Asked, Credentials, Draw, Failure, Lane, Slot, classify},
};

/// What of an answer is kept to learn the id of a new object.
const CREATED: usize = 64 << 10;

/// A pass-through under way.
pub(crate) struct Pass {
    way: Way,
    slot: Slot,
    created: Option<(PinKind, Vec<u8>)>,
}

#[async_trait]
impl ProxyHttp for Gateway {
    type CTX = Exchange;

    fn new_ctx(&self) -> Exchange {
        Exchange::new(&self.live)
    }

    async fn request_filter(&self, session: &mut Session, x: &mut Exchange) -> Result<bool> {
        let way = match self.handle(session, x).await {
            Handled::Done => return Ok(true),
            Handled::Native(way) => way,
            // Not `Ok`: Pingora would write the end of the body, and wait for a client that does not read.
            Handled::Broken => return Err(Error::new(ErrorType::ConnectionClosed).into_down()),
        };
        match way.endpoint.acquire(Lane::PASSTHROUGH, &Draw::untold(), clock::now()) {
            Ok(slot) => {
                if session.req_header().headers.contains_key(header::EXPECT) {
                    // Pingora does not say it by itself, and a client may wait for it a second.
                    session.downstream_session.write_continue_response().await?;
                }
                x.endpoint = Some(Arc::clone(&way.endpoint));
                let now = clock::now();
                x.called = Some(now);
                marks::tried(x, &way.endpoint, now);
                let created = way.creates.map(|kind| (kind, Vec::new()));
                x.pass = Some(Pass { way, slot, created });
                Ok(false)
            }
            Err(_) => {
                let denial = Denial::retry(
                    Reason::NoEndpoint,
                    std::time::Duration::from_secs(5),
                    "the account for this call is not available at the moment; try again later",
                );
                deny(session, x, &denial.closing()).await;
                Ok(true)
            }
        }
    }

    async fn upstream_peer(&self, _session: &mut Session, x: &mut Exchange) -> Result<Box<HttpPeer>> {
        let Some(pass) = &x.pass else {
            return Error::e_explain(ErrorType::InternalError, "no pass-through was prepared");
        };
        let params = &pass.way.endpoint.provider().params;
        match self.upstreams.native_peer(params).await {
            Ok(peer) => Ok(Box::new(peer)),
            Err(_) => {
                Error::e_explain(ErrorType::ConnectError, "no address").map_err(|e: Box<Error>| e.into_up())
            }
        }
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        head: &mut RequestHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        let Some(pass) = &x.pass else { return Ok(()) };
        let params = &pass.way.endpoint.provider().params;
        let observe = params.credentials == Credentials::Caller;
        let keep: Vec<HeaderName> = headers::upward(&head.headers, observe)
            .map(|(name, _)| name.clone())
            .filter(|name| x.own_credential.as_ref() != Some(name))
            .collect();
        let trace = marks::outward(x, params, &head.headers);
        let drop: Vec<HeaderName> =
            head.headers.keys().filter(|name| !keep.contains(name) && !is_framing(name)).cloned().collect();
        for name in drop {
            head.remove_header(&name);
        }
        if let Some(path) = &x.pass_path {
            let path = format!("{}{path}", params.base_path);
            let uri = path
                .parse()
                .map_err(|_| Error::explain(ErrorType::InvalidHTTPHeader, "the path cannot be sent"))?;
            head.set_uri(uri);
        }
        for (name, value) in trace {
            head.insert_header(name, value)?;
        }
        head.insert_header(header::HOST, forward::authority(params))?;
        head.insert_header(header::ACCEPT_ENCODING, "identity")?;
        if let (false, Some(key)) = (observe, pass.way.endpoint.key()) {
            // Its body goes through unread: whose requests are signed has no such paths but to read.
            authorise(head, params, key, &[])?;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        _session: &mut Session,
        head: &mut ResponseHeader,
        x: &mut Exchange,
    ) -> Result<()> {
        if head.status.is_informational() {
            return Ok(());
        }
        let now = clock::now();
        x.answered = Some(now);
        x.status = head.status.as_u16();
        let Some(pass) = &mut x.pass else { return Ok(()) };
        let observe = pass.way.endpoint.provider().params.credentials == Credentials::Caller;
        let fault = dialect::UpstreamFault::default();
        let verdict = classify(x.status, &head.headers, &fault, &Asked::ASIDE, clock::unix_now());
        match verdict.failure(false).filter(|_| !observe) {
            None => pass.slot.answered(now),
            Some(failure) => {
                let effect = pass.slot.failed(&failure, now);
                super::cooling::tell(&x.live, &pass.way.endpoint, &failure, &effect, now);
            }
        }
        if !head.status.is_success() {
            pass.created = None;
        }
        let drop: Vec<HeaderName> = head
            .headers
            .keys()
            .filter(|name| !headers::comes_down(name, observe) && !is_framing(name))
            .cloned()
            .collect();
        for name in drop {
            head.remove_header(&name);
        }
        reply::explain(head, x);
        limits::answer(head, x);
        Ok(())
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end_of_stream: bool,
        x: &mut Exchange,
    ) -> Result<Option<std::time::Duration>> {
        if let Some(chunk) = body {
            x.response_bytes += chunk.len() as u64;
        }
        let Some(pass) = &mut x.pass else { return Ok(None) };
        if let Some((kind, kept)) = &mut pass.created {
            if let Some(chunk) = body {
                kept.extend_from_slice(
                    chunk.get(..chunk.len().min(CREATED - kept.len())).unwrap_or_default(),
                );
            }
            if end_of_stream && let Some(id) = created_id(kept) {
                let endpoint = pass.way.endpoint.name();
                x.live.owners.learn(&x.tenant, *kind, &id, endpoint, clock::unix_now());
            }
        }
        Ok(None)
    }

    async fn fail_to_proxy(&self, session: &mut Session, fault: &Error, x: &mut Exchange) -> FailToProxy {
        if x.end.is_some() {
            return FailToProxy { error_code: x.status, can_reuse_downstream: false };
        }
        let committed = session.response_written().is_some_and(|head| !head.status.is_informational());
        let ours = *fault.esource() != pingora::ErrorSource::Downstream;
        // What failed within the gateway says nothing against the provider.
        if let Some(pass) = &mut x.pass
            && *fault.esource() == pingora::ErrorSource::Upstream
        {
            let failure = failure_of(fault);
            let effect = pass.slot.failed(&failure, clock::now());
            super::cooling::tell(&x.live, &pass.way.endpoint, &failure, &effect, clock::now());
        }
        if !committed && ours {
            let denial =
                Denial::new(Reason::UpstreamUnreachable, "the provider cannot be reached at the moment");
            deny(session, x, &denial).await;
        }
        x.end = Some(if ours {
            (Outcome::Failed, Some(Reason::UpstreamUnreachable))
        } else {
            (Outcome::Cancelled, Some(Reason::ClientGone))
        });
        FailToProxy { error_code: x.status, can_reuse_downstream: false }
    }

    async fn logging(&self, _session: &mut Session, fault: Option<&Error>, x: &mut Exchange) {
        if let Some(pass) = x.pass.take() {
            if x.end.is_none() && fault.is_none() {
                x.end = Some(if x.status < 400 {
                    (Outcome::Ok, None)
                } else {
                    (Outcome::Refused, Some(Reason::BadRequest))
                });
            }
            x.attempts.push(AttemptRecord {
                endpoint: pass.way.endpoint.name().clone(),
                outcome: if x.status < 400 && fault.is_none() {
                    AttemptOutcome::Ok
                } else {
                    AttemptOutcome::Refused
                },
                status: Some(x.status),
                ambiguous: false,
                spent: x.called.map(|at| clock::now().since(at)).unwrap_or_default(),
            });
        }
        x.settle();
    }

    fn suppress_error_log(&self, _session: &Session, _x: &Exchange, _fault: &Error) -> bool {
        // The request's own line says it, once.
        true
    }
}

fn is_framing(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::TRANSFER_ENCODING
}

fn created_id(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Created {
        id: String,
    }
    serde_json::from_slice::<Created>(body).ok().map(|created| created.id)
}

fn failure_of(fault: &Error) -> Failure {
    let connecting = matches!(
        fault.etype(),
        ErrorType::ConnectTimedout
            | ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::TLSHandshakeFailure
            | ErrorType::TLSHandshakeTimedout
    );
    if connecting {
        Failure::Connect
    } else if matches!(fault.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout) {
        Failure::Timeout
    } else {
        Failure::Broken
    }
}

async fn deny(session: &mut Session, x: &mut Exchange, denial: &Denial) {
    x.dialect.get_or_insert(Dialect::OpenAiChat);
    let snapshot = Arc::clone(&x.snapshot);
    let mut line = Downlink::new(session, snapshot.server.bounds.write_timeout, Arc::clone(&x.live.flights));
    let _ = reply::deny(&mut line, x, denial).await;
    x.end = Some((Outcome::Failed, Some(denial.reason)));
}
