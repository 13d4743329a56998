//! What a page may do: sign in and out, and act on endpoints.

use std::{fmt::Write as _, time::Duration};

use http::{HeaderValue, StatusCode, header};
use pingora::protocols::http::ServerSession;
use serde::Deserialize;

use super::{
    super::{
        actions::{self, Actor},
        api::query::decoded,
        body, guard,
    },
    COOKIE, Dashboard,
    door::{Guest, LONGEST, Refusal, Role},
    papers,
    reply::Reply,
    tokens,
};
use crate::{clock, live::Live, types::KeyDigest};

/// A body that holds a token.
const MAX_BODY: usize = 4 * 1024;

/// What a page sends along with an action.
const WORD: &str = "x-warmkey-csrf";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// 256 random bits in hexadecimal digits; `None`: the kernel gives none.
pub(super) fn random() -> Option<String> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

impl Dashboard {
    pub(super) async fn sign_in(&self, live: &Live, session: &mut ServerSession) -> Reply {
        if let Err(refusal) = from_our_page(session) {
            return refusal;
        }
        let body = match body::read(session, MAX_BODY).await {
            Ok(body) => body,
            Err(fault) => return Reply::bad(fault.message()),
        };
        // Without serde's words: they may quote the token.
        let Ok(SignIn { token }) = serde_json::from_slice(&body) else {
            return Reply::bad("send `{\"token\": \"...\"}`");
        };
        let tokens = tokens(live);
        if tokens.admin.is_none() {
            let message = "nobody can sign in: `server.admin_token` is not configured";
            return Reply::error(StatusCode::FORBIDDEN, message);
        }
        let (Some(id), Some(word)) = (random(), random()) else {
            return Reply::error(StatusCode::SERVICE_UNAVAILABLE, "there are no random numbers; try again");
        };
        let by = address(session);
        match self.door.sign_in(token.as_bytes(), &tokens, (&id, &word), clock::now()) {
            Ok(role) => {
                tracing::info!(by, role = role.label(), "signed in to the dashboard");
                cookie(session, &id, LONGEST)
            }
            Err(Refusal::Wrong) => {
                tracing::warn!(by, "wrong token at the dashboard");
                Reply::error(StatusCode::UNAUTHORIZED, "this is neither the admin token nor the read token")
            }
            Err(Refusal::TooOften(wait)) => {
                let seconds = wait.as_secs() + 1;
                let message = format!("too many wrong tokens; try again in {seconds} s");
                let reply = Reply::error(StatusCode::TOO_MANY_REQUESTS, &message);
                reply.with(header::RETRY_AFTER, HeaderValue::from(seconds))
            }
        }
    }

    pub(super) fn sign_out(&self, live: &Live, session: &ServerSession) -> Reply {
        if let Err(refusal) = self.admit_to_act(live, session) {
            return refusal;
        }
        for id in papers(session).cookies {
            self.door.sign_out(id);
        }
        cookie(session, "", Duration::ZERO)
    }

    /// `endpoints/NAME/ACTION`, without its beginning.
    pub(super) fn act(&self, live: &Live, session: &ServerSession, rest: &str) -> Reply {
        let guest = match self.admit_to_act(live, session) {
            Ok(guest) => guest,
            Err(refusal) => return refusal,
        };
        if guest.role != Role::Admin {
            return Reply::error(
                StatusCode::FORBIDDEN,
                "whoever signed in with the read token may only look",
            );
        }
        let Some((name, action)) = rest.rsplit_once('/') else {
            return Reply::error(
                StatusCode::NOT_FOUND,
                "name an endpoint and an action: endpoints/NAME/drain",
            );
        };
        let Some(name) = decoded(name) else {
            return Reply::bad("the endpoint's name is not percent-encoded text");
        };
        let actor = Actor { role: guest.role.label(), address: address(session) };
        let query = session.req_header().uri.query().unwrap_or_default();
        match actions::act(live, &name, action, query, &actor, clock::now()) {
            Ok(endpoint) => Reply::json(&endpoint),
            Err((status, message)) => Reply::error(status, message),
        }
    }

    /// Somebody who may send a `POST`: let in, from our page, and with its word.
    fn admit_to_act(&self, live: &Live, session: &ServerSession) -> Result<Guest, Reply> {
        from_our_page(session)?;
        let guest = self.admit(live, session)?;
        let word = session.get_header(WORD).map(|word| KeyDigest::of(word.as_bytes()));
        if guest.csrf.is_empty() || word != Some(KeyDigest::of(guest.csrf.as_bytes())) {
            let message = "`x-warmkey-csrf` is missing or old; load the page again";
            return Err(Reply::error(StatusCode::FORBIDDEN, message));
        }
        Ok(guest)
    }
}

fn from_our_page(session: &ServerSession) -> Result<(), Reply> {
    let refusal = || Reply::error(StatusCode::FORBIDDEN, "this is for the dashboard's own page alone");
    guard::is_from_our_page(session.req_header()).then_some(()).ok_or_else(refusal)
}

/// Gives a browser its cookie, or takes it away.
fn cookie(session: &ServerSession, id: &str, life: Duration) -> Reply {
    let is_secure = guard::came_by_https(session.req_header());
    let secure = if is_secure { "; Secure" } else { "" };
    let seconds = life.as_secs();
    let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    match HeaderValue::try_from(cookie) {
        Ok(cookie) => Reply::empty(StatusCode::NO_CONTENT).with(header::SET_COOKIE, cookie),
        Err(_) => Reply::error(StatusCode::INTERNAL_SERVER_ERROR, "the cookie could not be written"),
    }
}

fn address(session: &ServerSession) -> String {
    session.client_addr().map_or_else(|| "unknown".to_owned(), ToString::to_string)
}
