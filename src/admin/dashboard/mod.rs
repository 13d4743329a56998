//! The dashboard: a page, and what it asks for.
//!
//! Owns the way in (`door`), the routes, the live stream (`events`) and the page's files (`assets`). What is
//! shown is `view`'s. Where an admin token is configured everybody signs in, on loopback too; without one the
//! dashboard is open to this machine alone.
//!
//! Invariant: what a browser sends by itself (its cookie) is never enough to act: an action comes from our
//! own page, with the word that was given to it.

mod act;
mod assets;
mod door;
mod events;
mod frames;
mod history;
mod query;
mod reply;
mod requests;
mod view;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use pingora::{protocols::http::ServerSession, server::ShutdownWatch};
use serde_json::json;

pub(crate) use self::events::Seats;
use self::{
    door::{Door, Guest, Role, Tokens},
    events::{Viewer, Wanted},
    frames::Frames,
    history::History,
    query::Query,
    reply::Reply,
};
use super::guard;
use crate::{
    clock::{self, Moment},
    live::Live,
    types::{KeyDigest, Secret},
};

/// The cookie that a signed-in browser holds.
const COOKIE: &str = "warmkey_dashboard";
/// Cookies of that name that are looked at: a browser may send another path's, too.
const COOKIES: usize = 4;

const API: &str = "/dashboard/api/";

/// The dashboard of one listener.
pub(super) struct Dashboard {
    door: Door,
    frames: Frames,
    seats: Seats,
    /// The listener is on loopback.
    is_local: bool,
    /// The word of pages where nobody signs in; `None`: there were no random numbers, so nobody acts.
    word: Option<Arc<str>>,
}

/// What a request shows of who it is from.
pub(super) struct Papers {
    cookies: Vec<KeyDigest>,
    /// It names this machine, and no name that somebody pointed at it.
    is_for_loopback: bool,
}

/// How a request is answered.
pub(super) enum Served {
    /// At once.
    Whole(Response<Bytes>),
    /// For as long as somebody watches.
    Stream(Box<Viewer>),
}

impl From<Reply> for Served {
    fn from(reply: Reply) -> Self {
        Self::Whole(reply.into_response())
    }
}

/// Whether a path is the dashboard's.
pub(super) fn owns(path: &str) -> bool {
    path == "/" || path == "/dashboard" || path.starts_with("/dashboard/") || path.starts_with("/assets/")
}

impl Dashboard {
    pub(super) fn new(is_local: bool) -> Self {
        Self {
            door: Door::default(),
            frames: Frames::default(),
            seats: Seats::default(),
            is_local,
            word: act::random().map(Into::into),
        }
    }

    /// The places of those who watch.
    pub(super) fn seats(&self) -> Seats {
        self.seats.clone()
    }

    /// Answers a request for one of its paths.
    pub(super) async fn answer(&self, live: &Arc<Live>, session: &mut ServerSession) -> Served {
        let head = session.req_header();
        let (method, path) = (head.method.clone(), head.uri.path().to_owned());
        let looks = matches!(method, Method::GET | Method::HEAD);
        match path.as_str() {
            "/" if looks => assets::serve("", &head.headers).into(),
            "/dashboard/me" if looks => self.me(live, session).into(),
            "/dashboard/events" if method == Method::GET => self.watch(live, session),
            "/dashboard/sign-in" if method == Method::POST => self.sign_in(live, session).await.into(),
            "/dashboard/sign-out" if method == Method::POST => self.sign_out(live, session).into(),
            "/" | "/dashboard/me" => Reply::other_method("GET, HEAD").into(),
            "/dashboard/events" => Reply::other_method("GET").into(),
            "/dashboard/sign-in" | "/dashboard/sign-out" => Reply::other_method("POST").into(),
            path => match (path.strip_prefix("/assets/"), path.strip_prefix(API)) {
                (Some(name), _) if looks && !name.is_empty() => assets::serve(name, &head.headers).into(),
                (Some(_), _) => Reply::other_method("GET, HEAD").into(),
                (_, Some(rest)) => self.api(live, session, &method, rest).await.into(),
                _ => nowhere().into(),
            },
        }
    }

    /// Sends a stream until it is over.
    pub(super) async fn stream(
        &self,
        live: &Arc<Live>,
        session: &mut ServerSession,
        viewer: Viewer,
        stop: ShutdownWatch,
    ) {
        events::stream(self, live, session, viewer, stop).await;
    }

    /// Who comes with these papers.
    fn guest(&self, live: &Live, papers: &Papers, now: Moment) -> Option<Guest> {
        let tokens = tokens(live);
        if self.is_open(&tokens) {
            let csrf = self.word.clone().unwrap_or_default();
            return papers.is_for_loopback.then_some(Guest { role: Role::Admin, csrf });
        }
        papers.cookies.iter().find_map(|id| self.door.visit(*id, &tokens, now))
    }

    /// Whether everybody on this machine may come in.
    fn is_open(&self, tokens: &Tokens) -> bool {
        self.is_local && tokens.admin.is_none()
    }

    fn me(&self, live: &Live, session: &ServerSession) -> Reply {
        let guest = self.guest(live, &papers(session), clock::now());
        Reply::json(&json!({
            "signed_in": guest.is_some(),
            "needs_sign_in": !self.is_open(&tokens(live)),
            "role": guest.as_ref().map(|guest| guest.role.label()),
            "csrf": guest.as_ref().map(|guest| &*guest.csrf).filter(|word| !word.is_empty()),
            "version": env!("CARGO_PKG_VERSION"),
        }))
    }

    /// Whoever asks for what is shown: signed in, and from no other site's page.
    fn admit(&self, live: &Live, session: &ServerSession) -> Result<Guest, Reply> {
        if !guard::may_read(session.req_header()) {
            let message = "what the dashboard shows is not for other sites' pages";
            return Err(Reply::error(StatusCode::FORBIDDEN, message));
        }
        self.guest(live, &papers(session), clock::now()).ok_or_else(|| self.stranger(live))
    }

    fn stranger(&self, live: &Live) -> Reply {
        let message = if self.is_open(&tokens(live)) {
            "without `server.admin_token` the dashboard is open under the names of this machine alone: \
             `localhost`, `127.0.0.1` or `[::1]`"
        } else {
            "sign in first"
        };
        Reply::error(StatusCode::UNAUTHORIZED, message)
    }

    fn watch(&self, live: &Arc<Live>, session: &ServerSession) -> Served {
        if let Err(refusal) = self.admit(live, session) {
            return refusal.into();
        }
        let wanted = match Wanted::read(session.req_header().uri.query().unwrap_or_default()) {
            Ok(wanted) => wanted,
            Err(message) => return Reply::bad(&message).into(),
        };
        match self.seats.take() {
            Some(seat) => Served::Stream(Box::new(Viewer { wanted, papers: papers(session), seat })),
            None => {
                let message = format!("{} pages watch already; close one of them", events::SEATS);
                Reply::error(StatusCode::SERVICE_UNAVAILABLE, &message).into()
            }
        }
    }

    async fn api(&self, live: &Arc<Live>, session: &ServerSession, method: &Method, rest: &str) -> Reply {
        if let Some(action) = rest.strip_prefix("endpoints/") {
            return match *method {
                Method::POST => self.act(live, session, action),
                _ => Reply::other_method("POST"),
            };
        }
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Reply::other_method("GET, HEAD");
        }
        if let Err(refusal) = self.admit(live, session) {
            return refusal;
        }
        let query = session.req_header().uri.query().unwrap_or_default();
        match rest {
            "requests" => requests::list(live, query).map_or_else(Reply::from, |page| Reply::json(&page)),
            "history" if !query.split('&').any(|pair| pair.starts_with("hours=")) => {
                history(live, query).map_or_else(Reply::from, |history| Reply::json(&history))
            }
            _ => view::answer(live, rest, query, clock::now()).await.into(),
        }
    }
}

/// The last minutes, second by second.
fn history(live: &Live, query: &str) -> Result<History, String> {
    let minutes = Query::read(query, &["minutes", "hours"])?.whole("minutes", 1..=15)?.unwrap_or(15);
    let seconds = usize::try_from(minutes * 60).unwrap_or(usize::MAX);
    Ok(frames::history(&live.pulse.steps(seconds)))
}

fn nowhere() -> Reply {
    let message =
        "the dashboard has /, /assets/NAME, /dashboard/{me,sign-in,sign-out,events} and /dashboard/api/";
    Reply::error(StatusCode::NOT_FOUND, message)
}

/// Secrets are read again with the settings, so these are looked up each time.
fn tokens(live: &Live) -> Tokens {
    let snapshot = live.snapshot.load();
    let digest = |token: &Option<Secret>| token.as_ref().map(Secret::digest);
    Tokens { admin: digest(&snapshot.server.admin_token), reader: digest(&snapshot.server.read_token) }
}

fn papers(session: &ServerSession) -> Papers {
    let head = session.req_header();
    Papers { cookies: cookies(&head.headers), is_for_loopback: guard::is_addressed_to_loopback(head) }
}

fn cookies(headers: &HeaderMap) -> Vec<KeyDigest> {
    let lists = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lists
        .flat_map(|list| list.split(';'))
        .filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
        .take(COOKIES)
        .map(|id| KeyDigest::of(id.as_bytes()))
        .collect()
}
