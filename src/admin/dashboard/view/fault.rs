//! How a view says no: `{"error": {"message": ...}}`.

use http::StatusCode;
use serde_json::json;

use super::super::super::{Answer, JSON};
use crate::store::ledger::LedgerFault;

/// A refusal, with a sentence for whoever asked.
#[derive(Debug)]
pub(super) struct Fault {
    status: StatusCode,
    message: String,
}

/// What is wrong with a query.
impl From<String> for Fault {
    fn from(message: String) -> Self {
        Self::bad(message)
    }
}

impl Fault {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    pub(super) fn answer(&self) -> Answer {
        let body = serde_json::to_vec(&json!({"error": {"message": self.message}})).unwrap_or_default();
        (self.status, JSON, body)
    }

    /// The question makes no sense.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// What was asked for is not there.
    pub(super) fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, message)
    }

    pub(super) fn path() -> Self {
        Self::missing(
            "no such view; there are accounts, sessions, sessions/ID, breaks, spend, budgets, history, requests and configuration",
        )
    }

    pub(super) fn no_ledger() -> Self {
        Self::missing(
            "no ledger is kept, so nobody knows; remove `enabled = false` from `[ledger]` and restart the gateway",
        )
    }

    pub(super) fn ledger(fault: &LedgerFault) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("the ledger cannot be read: {fault}"))
    }

    pub(super) fn slow() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the ledger holds too many receipts of that time to be added up within ten seconds; ask for less of it, or run `warmkey ledger report`",
        )
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the answer cannot be made; this is a fault of the gateway: please report it",
        )
    }

    #[cfg(test)]
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}
