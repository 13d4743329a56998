//! The admin API: keys, organisations and teams, under `/api/`.
//!
//! Owns routes, bodies and answers; what a change does is `live::KeyRing`'s. [`ROUTES`] is the whole list,
//! and a test holds `openapi.json` to it in both directions.
//!
//! Stricter than the rest of the listener: where an admin token is configured it is asked for on loopback
//! too, and no request from a web page is answered. Each change is logged with who asked, never with a
//! token.

mod fault;
mod keys;
mod levels;
pub(super) mod query;
mod route;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Method, StatusCode};
use pingora::protocols::http::ServerSession;

pub(super) use self::levels::scope_text;
use self::{
    fault::Fault,
    route::{Call, Routed},
};
use super::{
    Answer, JSON,
    body::{self, BodyFault},
};
use crate::live::Live;

/// A body of settings; more is no key.
const MAX_BODY: usize = 64 * 1024;

/// `openapi.json`, as built in.
const OPENAPI: &str = include_str!("openapi.json");

/// Whether a path is the API's.
pub(super) fn owns(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// Answers a request that is allowed.
pub(super) async fn answer(live: &Live, session: &mut ServerSession) -> Answer {
    let head = session.req_header();
    let (method, path) = (head.method.clone(), head.uri.path().to_owned());
    let query = head.uri.query().unwrap_or_default().to_owned();
    let by = session.client_addr().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let done = match route::find(&method, &path) {
        Routed::Call(call) => match upload(session, &method).await {
            Ok(body) => act(live, &call, &query, &body, &by).await,
            Err(fault) => Err(fault),
        },
        Routed::OtherMethod(allowed) => Err(Fault::method(&allowed)),
        Routed::Nowhere => Err(Fault::path()),
    };
    done.unwrap_or_else(|fault| fault.answer())
}

/// What a client without the token is told.
pub(super) fn unauthenticated() -> Answer {
    Fault::unauthenticated().answer()
}

/// What a page in somebody's browser is told.
pub(super) fn from_a_page() -> Answer {
    Fault::from_a_page().answer()
}

async fn act(live: &Live, call: &Call, query: &str, body: &Bytes, by: &str) -> Result<Answer, Fault> {
    match call {
        Call::OpenApi => Ok((StatusCode::OK, JSON, OPENAPI.as_bytes().to_vec())),
        Call::ListKeys => keys::list(live, query),
        Call::CreateKey => keys::create(live, body, by).await,
        Call::ShowKey(id) => keys::show(live, id),
        Call::ChangeKey(id) => keys::change(live, id, body, by).await,
        Call::RotateKey(id) => keys::rotate(live, id, body, by).await,
        Call::RevokeKey(id) => keys::revoke(live, id, by).await,
        Call::ListOrganisations => levels::organisations(live),
        Call::ListTeams => levels::teams(live),
        Call::ShowLevel(level) => levels::show(live, level),
        Call::PutLevel(level) => levels::put(live, level, body, by).await,
        Call::RemoveLevel(level) => levels::remove(live, level, by).await,
    }
}

/// The body of a request that has one, within its bounds.
async fn upload(session: &mut ServerSession, method: &Method) -> Result<Bytes, Fault> {
    if !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        return Ok(Bytes::new());
    }
    body::read(session, MAX_BODY).await.map_err(|fault| match fault {
        BodyFault::Broken => Fault::broken_body(),
        BodyFault::Large => Fault::large_body(MAX_BODY),
        BodyFault::Slow => Fault::slow_body(),
    })
}

/// A JSON answer.
fn json(status: StatusCode, value: &impl serde::Serialize) -> Result<Answer, Fault> {
    let body = serde_json::to_vec_pretty(value).map_err(|_| Fault::internal())?;
    Ok((status, JSON, body))
}

/// A body that must be text.
fn text(body: &Bytes) -> Result<&str, Fault> {
    std::str::from_utf8(body).map_err(|_| Fault::broken_body())
}
