//! One POST to a URL of the operator's.
//!
//! The URL is a secret, as such URLs hold their own password: no error quotes it.

use bytes::Bytes;
use http::{Method, StatusCode};

use super::call::{Call, CallFault, call};
use crate::types::Secret;

/// Why a message was not taken.
#[derive(thiserror::Error, Debug)]
pub(super) enum WebhookFault {
    #[error("`alerts.webhook`: {0}")]
    Call(#[from] CallFault),
    #[error("it answered {0}")]
    Refused(StatusCode),
}

/// Posts JSON; taken is what is answered with a 2xx.
pub(super) async fn post(url: &Secret, body: Bytes) -> Result<(), WebhookFault> {
    let headers = &[("content-type", "application/json")];
    let asked = call(Call { method: Method::POST, url: url.expose(), headers, body }).await;
    let status = match asked {
        // It was taken, whatever is said of it.
        Err(CallFault::Answer) => return Ok(()),
        asked => asked?.0,
    };
    if status.is_success() { Ok(()) } else { Err(WebhookFault::Refused(status)) }
}
