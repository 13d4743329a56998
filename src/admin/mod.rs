//! The second listener: health, metrics, status, actions, the dashboard.
//!
//! On loopback it trusts whoever can connect. Off loopback only `/metrics`, `/livez`, `/readyz` and the empty page
//! work without its token. Actions, and all of `api`, refuse requests that come from a page in somebody's
//! browser; the dashboard's own page acts under `/dashboard/`, where people sign in.

mod actions;
mod api;
mod body;
mod dashboard;
mod gauges;
mod guard;
mod status;

use std::{net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Response, StatusCode, header};
use pingora::{
    apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream},
    protocols::http::{HttpTask, ServerSession},
    server::ShutdownWatch,
};

pub(crate) use self::dashboard::Seats;
use self::{
    actions::Actor,
    dashboard::{Dashboard, Served},
};
use crate::{
    clock,
    live::Live,
    telemetry::{Scrape, scrape},
    types::{KeyDigest, Secret},
    upstream::Lane,
};

/// The admin listener's application.
pub struct Admin {
    live: Arc<Live>,
    trusts_everyone: bool,
    dashboard: Dashboard,
}

/// What is asked of whoever connects.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    /// On loopback, to be there. Elsewhere a token that lets somebody look.
    Look,
    /// On loopback, to be there. Elsewhere the admin token.
    Act,
    /// The admin token, where one is configured; on loopback, too.
    Token,
}

/// An answer: status, content type, body.
type Answer = (StatusCode, &'static str, Vec<u8>);

/// One session, by the id that logs and `/status` show.
const SESSIONS: &str = "/status/sessions/";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Seconds that a connection is kept for its next request.
const KEEP_ALIVE: u64 = 60;

impl Admin {
    /// An application for the listener at `address`.
    #[must_use]
    pub fn new(live: Arc<Live>, address: SocketAddr) -> Self {
        let trusts_everyone = address.ip().is_loopback();
        Self { live, trusts_everyone, dashboard: Dashboard::new(trusts_everyone) }
    }

    /// The places of those who watch the dashboard.
    pub(crate) fn seats(&self) -> Seats {
        self.dashboard.seats()
    }

    async fn respond(&self, session: &mut ServerSession) -> Served {
        let head = session.req_header();
        let path = head.uri.path();
        if path == "/metrics" && matches!(head.method, Method::GET | Method::HEAD) {
            return Served::Whole(self.metrics(session));
        }
        if dashboard::owns(path) {
            return self.dashboard.answer(&self.live, session).await;
        }
        let answer = if !api::owns(path) {
            self.answer(session)
        } else if guard::is_from_a_page(head) {
            api::from_a_page()
        } else if self.is_allowed(session, Strictness::Token) {
            api::answer(&self.live, session).await
        } else {
            api::unauthenticated()
        };
        Served::Whole(whole(answer))
    }

    /// The registry that our families and Pingora's own stand in.
    fn metrics(&self, session: &ServerSession) -> Response<Bytes> {
        let now = clock::now();
        gauges::refresh(&self.live, now);
        let readings = gauges::readings(&self.live, now);
        let Scrape { kind, body } = scrape(&session.req_header().headers, &readings);
        whole((StatusCode::OK, kind, body))
    }

    fn answer(&self, session: &ServerSession) -> Answer {
        let head = session.req_header();
        let path = head.uri.path();
        let looks = matches!(head.method, Method::GET | Method::HEAD);
        match path {
            "/livez" if looks => return text(StatusCode::OK, "ok\n"),
            "/readyz" if looks => return self.ready(),
            _ => {}
        }
        let is_status = path == "/status" || path.starts_with(SESSIONS);
        let strictness = if is_status && looks { Strictness::Look } else { Strictness::Act };
        if !self.is_allowed(session, strictness) {
            return text(StatusCode::UNAUTHORIZED, "send the admin token as `authorization: Bearer`\n");
        }
        match path {
            _ if is_status && !looks => text(StatusCode::METHOD_NOT_ALLOWED, "use GET here\n"),
            "/status" => self.status(head.uri.query().unwrap_or("")),
            path if is_status => self.session(path),
            path if path.starts_with("/endpoints/") && head.method == Method::POST => self.act(session, path),
            path if path.starts_with("/endpoints/") => {
                text(StatusCode::METHOD_NOT_ALLOWED, "use POST here\n")
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "here are the dashboard at /, /livez, /readyz, /metrics, /status, /status/sessions/ID, \
                 /api/openapi.json, and POST /endpoints/NAME/{drain,readmit,cool}\n",
            ),
        }
    }

    fn is_allowed(&self, session: &ServerSession, strictness: Strictness) -> bool {
        // Secrets are read again with the settings, these too.
        let snapshot = self.live.snapshot.load();
        let admin = snapshot.server.admin_token.as_ref().map(Secret::digest);
        let is_asked = strictness == Strictness::Token && admin.is_some();
        if self.trusts_everyone && !is_asked {
            return guard::is_addressed_to_loopback(session.req_header());
        }
        let value = session.get_header(header::AUTHORIZATION).map(|value| value.as_bytes());
        let token = value.and_then(|value| value.strip_prefix(b"Bearer ")).map(KeyDigest::of);
        let reader = snapshot.server.read_token.as_ref().filter(|_| strictness == Strictness::Look);
        let reader = reader.map(Secret::digest).filter(|_| admin.is_some());
        token.is_some() && (token == admin || token == reader)
    }

    /// `POST /endpoints/NAME/ACTION`.
    fn act(&self, session: &ServerSession, path: &str) -> Answer {
        let head = session.req_header();
        if guard::is_from_a_page(head) {
            return text(StatusCode::FORBIDDEN, "actions are not taken from web pages\n");
        }
        let Some((name, action)) = path.trim_start_matches("/endpoints/").rsplit_once('/') else {
            return text(StatusCode::NOT_FOUND, "name an endpoint and an action: /endpoints/NAME/drain\n");
        };
        let address = session.client_addr().map_or_else(|| "unknown".to_owned(), ToString::to_string);
        let actor = Actor { role: "admin", address };
        let query = head.uri.query().unwrap_or("");
        match actions::act(&self.live, name, action, query, &actor, clock::now()) {
            Ok(endpoint) => json(&endpoint),
            Err((status, message)) => text(status, &format!("{message}\n")),
        }
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

/// An answer that is there as a whole.
fn whole((status, kind, body): Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let length = response.body().len();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(header::CONTENT_LENGTH, http::HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

/// Sends it; `None` is a client that left.
async fn send(session: &mut ServerSession, response: Response<Bytes>) -> Option<()> {
    let (parts, body) = response.into_parts();
    let body = if session.req_header().method == Method::HEAD { Bytes::new() } else { body };
    let head = HttpTask::Header(Box::new(parts.into()), body.is_empty());
    session.response_duplex_vec(vec![head]).await.ok()?;
    session.response_duplex_vec(vec![HttpTask::Body(Some(body), true)]).await.ok()?;
    Some(())
}

/// As Pingora's own server does it for answers that are there as a whole, which knows no streams.
#[async_trait]
impl HttpServerApp for Admin {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        match session.read_request().await {
            Ok(true) => {}
            Ok(false) => return None,
            Err(fault) => {
                tracing::debug!(%fault, "no request could be read on the admin listener");
                return None;
            }
        }
        session.set_keepalive((!*shutdown.borrow()).then_some(KEEP_ALIVE));
        match self.respond(&mut session).await {
            Served::Whole(response) => send(&mut session, response).await?,
            Served::Stream(viewer) => {
                self.dashboard.stream(&self.live, &mut session, *viewer, shutdown.clone()).await;
                return None;
            }
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}
