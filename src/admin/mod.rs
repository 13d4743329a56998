//! The second listener: health, metrics, status, actions.
//!
//! On loopback it trusts whoever can connect. Off loopback only `/metrics`, `/livez` and `/readyz`
//! work without its token. Actions, and all of `api`, refuse requests that come from a page in somebody's
//! browser.

mod actions;
mod api;
mod dashboard;
mod gauges;
mod status;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora::{apps::http_app::ServeHttp, protocols::http::ServerSession};
use pingora_prometheus::PrometheusHttpApp;

use crate::{
    clock,
    live::Live,
    types::{KeyDigest, Secret},
    upstream::Lane,
};

/// The admin listener's application.
pub struct Admin {
    live: Arc<Live>,
    trusts_everyone: bool,
}

/// What is asked of whoever connects on loopback.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// To be there.
    Place,
    /// The token as well, where one is configured.
    Token,
}

/// An answer: status, content type, body.
type Answer = (StatusCode, &'static str, Vec<u8>);

/// One session, by the id that logs and `/status` show.
const SESSIONS: &str = "/status/sessions/";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

impl Admin {
    /// An application for the listener at `address`.
    #[must_use]
    pub fn new(live: Arc<Live>, address: SocketAddr) -> Self {
        Self { live, trusts_everyone: address.ip().is_loopback() }
    }

    fn answer(&self, session: &ServerSession) -> Answer {
        let head = session.req_header();
        let path = head.uri.path();
        match (&head.method, path) {
            (&Method::GET | &Method::HEAD, "/livez") => return text(StatusCode::OK, "ok\n"),
            (&Method::GET | &Method::HEAD, "/readyz") => return self.ready(),
            _ => {}
        }
        if !self.is_allowed(session, Strictness::Place) {
            return text(StatusCode::UNAUTHORIZED, "send the admin token as `authorization: Bearer`\n");
        }
        match (&head.method, path) {
            (&Method::GET | &Method::HEAD, "/status") => self.status(head.uri.query().unwrap_or("")),
            (&Method::GET | &Method::HEAD, path) if path.starts_with(SESSIONS) => self.session(path),
            (&Method::POST, path) if path.starts_with("/endpoints/") => {
                if is_from_a_page(session) {
                    return text(StatusCode::FORBIDDEN, "actions are not taken from web pages\n");
                }
                actions::act(&self.live, path, head.uri.query().unwrap_or(""), clock::now())
            }
            (_, path) if path == "/status" || path.starts_with(SESSIONS) => {
                text(StatusCode::METHOD_NOT_ALLOWED, "use GET here\n")
            }
            (_, path) if path.starts_with("/endpoints/") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "use POST here\n")
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "here are /livez, /readyz, /metrics, /status, /status/sessions/ID, /api/openapi.json, and POST /endpoints/NAME/{drain,readmit,cool}\n",
            ),
        }
    }

    fn is_allowed(&self, session: &ServerSession, strictness: Strictness) -> bool {
        // Secrets are read again with the settings, this one too.
        let snapshot = self.live.snapshot.load();
        let asked = snapshot.server.admin_token.as_ref().map(Secret::digest);
        let is_asked = strictness == Strictness::Token && asked.is_some();
        if self.trusts_everyone && !is_asked {
            // A page whose host name was pointed at 127.0.0.1 is not somebody on this machine.
            return is_addressed_to_loopback(session);
        }
        let value = session.get_header(header::AUTHORIZATION).map(|value| value.as_bytes());
        let token = value.and_then(|value| value.strip_prefix(b"Bearer "));
        asked.is_some() && asked == token.map(KeyDigest::of)
    }

    fn ready(&self) -> Answer {
        if self.live.flights.is_draining() {
            return text(StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        let (snapshot, now) = (self.live.snapshot.load(), clock::now());
        let usable =
            snapshot.pool.endpoints().iter().any(|e| e.availability(Lane::PASSTHROUGH, now).usable());
        if usable {
            let troubles = status::troubles(&self.live, now);
            let degraded: String = troubles.iter().map(|what| format!("degraded: {what}\n")).collect();
            text(StatusCode::OK, &format!("ready\n{degraded}"))
        } else {
            text(StatusCode::SERVICE_UNAVAILABLE, "no endpoint is available\n")
        }
    }

    fn status(&self, query: &str) -> Answer {
        let sessions = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("sessions="))
            .and_then(|n| n.parse().ok())
            .unwrap_or(100_usize)
            .min(100_000);
        json(&status::view(&self.live, sessions, clock::now()))
    }

    fn session(&self, path: &str) -> Answer {
        let id = path.strip_prefix(SESSIONS).filter(|id| id.len() == 16);
        let Some(id) = id.and_then(|id| u64::from_str_radix(id, 16).ok()) else {
            return text(
                StatusCode::BAD_REQUEST,
                "a session's id is the 16 digits that logs and /status show\n",
            );
        };
        match status::session(&self.live, id, clock::now()) {
            Some(session) => json(&session),
            None => text(StatusCode::NOT_FOUND, "nothing is known of this session\n"),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Answer {
    match serde_json::to_vec_pretty(value) {
        Ok(body) => (StatusCode::OK, JSON, body),
        Err(fault) => {
            text(StatusCode::INTERNAL_SERVER_ERROR, &format!("the status cannot be written: {fault}\n"))
        }
    }
}

fn text(status: StatusCode, body: &str) -> Answer {
    (status, TEXT, body.as_bytes().to_vec())
}

fn is_addressed_to_loopback(session: &ServerSession) -> bool {
    let head = session.req_header();
    let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let Some(host) = host.or_else(|| head.uri.host()) else { return true };
    let name = host
        .rsplit_once(':')
        .filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()))
        .map_or(host, |h| h.0);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn is_from_a_page(session: &ServerSession) -> bool {
    session.get_header("origin").is_some() || session.get_header("sec-fetch-site").is_some()
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let head = session.req_header();
        if head.uri.path() == "/metrics" && matches!(head.method, Method::GET | Method::HEAD) {
            gauges::refresh(&self.live, clock::now());
            // Pingora's exporter reads the registry that our families stand in.
            return PrometheusHttpApp.response(session).await;
        }
        let (status, kind, body) = if api::owns(head.uri.path()) {
            if is_from_a_page(session) {
                api::from_a_page()
            } else if self.is_allowed(session, Strictness::Token) {
                api::answer(&self.live, session).await
            } else {
                api::unauthenticated()
            }
        } else {
            self.answer(session)
        };
        let mut response = Response::new(Vec::new());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
        headers.insert(header::CONTENT_LENGTH, http::HeaderValue::from(body.len()));
        headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
        if session.req_header().method != Method::HEAD {
            *response.body_mut() = body;
        }
        response
    }
}
