//! The last words to the client, and what the exchange came to.

use super::{
    denial::Denial,
    downlink::{Downlink, Lost},
    drive::Ending,
    exchange::Exchange,
    reply,
};
use crate::{
    types::{Outcome, Reason},
    upstream::Credentials,
};

/// Writes the end of the exchange, and what it was, into the exchange.
pub(super) async fn finish(line: &mut Downlink<'_>, x: &mut Exchange, ending: Ending) {
    x.end = Some(match ending {
        Ending::Said => (Outcome::Ok, None),
        Ending::Complete => {
            // The answer is whole; a client that hangs up on its last byte has got it all.
            let _ = line.end().await;
            (Outcome::Ok, None)
        }
        Ending::Interrupted(cut) => {
            let (reason, message) = reply::of_cut(&cut);
            if !matches!(cut, super::relay::Cut::Reported(_)) {
                reply::interrupt(line, x, reason, &message).await;
            } else {
                // The provider has said it in-band already, and once is enough.
                let _ = line.end().await;
            }
            (Outcome::Interrupted, Some(reason))
        }
        Ending::Passed(last) => {
            let observe = x
                .endpoint
                .as_ref()
                .is_some_and(|endpoint| endpoint.provider().params.credentials == Credentials::Caller);
            let _ = reply::pass(line, x, &last, observe).await;
            passed_outcome(x.status)
        }
        Ending::Denied(denial) => {
            let _ = reply::deny(line, x, &denial).await;
            let outcome = if denial.reason == Reason::ClientGone {
                Outcome::Cancelled
            } else if x.attempts.is_empty() {
                Outcome::Denied
            } else {
                Outcome::Failed
            };
            (outcome, Some(denial.reason))
        }
        Ending::Lost(lost) => (Outcome::Cancelled, Some(lose(line, x, lost).await)),
    });
}

fn passed_outcome(status: u16) -> (Outcome, Option<Reason>) {
    match status {
        429 => (Outcome::Failed, Some(Reason::RateLimited)),
        400..=499 => (Outcome::Refused, Some(Reason::BadRequest)),
        _ => (Outcome::Failed, Some(Reason::UpstreamError)),
    }
}

async fn lose(line: &mut Downlink<'_>, x: &mut Exchange, lost: Lost) -> Reason {
    x.response_bytes = line.sent;
    match lost {
        Lost::Gone => {
            line.abort();
            if x.status == 0 {
                x.status = 499;
            }
            Reason::ClientGone
        }
        Lost::Stalled => {
            line.abort();
            Reason::ClientStalled
        }
        Lost::Draining if line.has_content() => {
            reply::interrupt(
                line,
                x,
                Reason::Draining,
                "the gateway is shutting down; send the request again",
            )
            .await;
            Reason::Draining
        }
        Lost::Draining => {
            let denial = Denial::retry(
                Reason::Draining,
                std::time::Duration::from_secs(1),
                "the gateway is shutting down; send the request again",
            );
            let _ = reply::deny(line, x, &denial.closing()).await;
            Reason::Draining
        }
    }
}
