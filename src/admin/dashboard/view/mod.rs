//! What the dashboard shows: `GET /dashboard/api/...`, a file for each view.
//!
//! Owns what people see of the gateway, as JSON. Not here: who may see it, the live stream, and what is kept
//! of the last minutes.
//!
//! Views read and change nothing. Whatever walks more than a page of anything (the ledger's file, all sessions, all
//! keys) does so on a thread that may block, a few at a time, and its answer is good for two seconds.
//!
//! Invariant: names that callers made up are JSON strings and nothing else; no secret is read.

pub(super) mod accounts;
mod breaks;
mod budgets;
mod configuration;
mod fault;
mod history;
mod ledger;
mod session;
mod sessions;
mod spend;

use std::sync::Arc;

use http::StatusCode;
use serde::Serialize;

use self::fault::Fault;
use super::{
    super::{Answer, JSON},
    query::Query,
};
use crate::{
    clock::Moment,
    live::{Live, Work},
};

/// A body of JSON.
type Body = Result<Vec<u8>, Fault>;

/// Answers a `GET` of `view` by somebody who may look.
pub(super) async fn answer(live: &Arc<Live>, view: &str, query: &str, now: Moment) -> Answer {
    match body(live, view, query, now).await {
        Ok(body) => (StatusCode::OK, JSON, body),
        Err(fault) => fault.answer(),
    }
}

async fn body(live: &Arc<Live>, view: &str, query: &str, now: Moment) -> Body {
    match view {
        "accounts" => {
            nothing(query)?;
            json(&accounts::frame(live, now))
        }
        "breaks" => {
            nothing(query)?;
            json(&breaks::view(live))
        }
        "configuration" => {
            nothing(query)?;
            json(&configuration::view(live))
        }
        "budgets" => {
            nothing(query)?;
            budgets::answer(live, now).await
        }
        "sessions" => sessions::answer(live, query, now).await,
        "spend" => spend::answer(live, query, now).await,
        "history" => history::answer(live, query, now).await,
        _ => match view.strip_prefix("sessions/") {
            Some(id) => {
                nothing(query)?;
                session::answer(live, id, now).await
            }
            None => Err(Fault::path()),
        },
    }
}

/// A view that is asked nothing.
fn nothing(query: &str) -> Result<(), Fault> {
    Query::read(query, &[])?;
    Ok(())
}

fn json(value: &impl Serialize) -> Body {
    serde_json::to_vec(value).map_err(|_| Fault::internal())
}

/// A body that takes long to make from memory: once for all who ask within two seconds.
async fn slowly(
    live: &Arc<Live>,
    question: &str,
    now: Moment,
    make: impl FnOnce(&Live) -> Body + Send + 'static,
) -> Body {
    let find = async { aside(live, make).await? };
    live.asked.once(question, now, find).await.map(|body| body.to_vec())
}

/// Runs what takes milliseconds on a thread that serves no requests.
async fn aside<T: Send + 'static>(
    live: &Arc<Live>,
    work: impl FnOnce(&Live) -> T + Send + 'static,
) -> Result<T, Fault> {
    let _turn = live.asked.turn(Work::Memory).await;
    let there = Arc::clone(live);
    tokio::task::spawn_blocking(move || work(&there)).await.map_err(|_| Fault::internal())
}
