//! `POST /v1/feedback`: what somebody thinks of an answer joins its receipt.
//!
//! `{"request_id": "wk_...", "score": 0.8, "label": "wrong tool"}`; one of the two is enough. Only receipts
//! of the caller's own tenant are found: whoever guesses an id of somebody else's is told what it is told
//! of one that never was.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use super::{denial::Denial, downlink::Downlink, drive::Ending, exchange::Exchange, gateway::said, reply};
use crate::{clock, store::ledger::Feedback, types::Reason};

/// Characters of a label.
const LABEL: usize = 200;
/// An id of ours: `wk_` and 32 hexadecimal digits.
const ID: usize = 35;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    request_id: String,
    score: Option<f64>,
    label: Option<String>,
}

/// Reads it, and joins it to its receipt.
pub(crate) async fn take(line: &mut Downlink<'_>, x: &mut Exchange, body: &[u8]) -> Result<Ending, Denial> {
    let said_of = read(body)?;
    let Some(ledger) = &x.live.ledger else {
        return Err(Denial::new(
            Reason::UnknownPath,
            "this gateway keeps no ledger, so there is nothing that feedback could join",
        ));
    };
    let feedback = Feedback {
        request: said_of.request_id,
        organisation: x.tenant.clone(),
        caller: x.caller.clone(),
        at: clock::unix_now(),
        score: said_of.score,
        label: said_of.label,
    };
    let known = ledger.feedback(feedback).await.map_err(|_| {
        Denial::retry(
            Reason::LedgerFull,
            Duration::from_secs(5),
            "the ledger cannot be written at the moment; send the feedback again",
        )
    })?;
    if !known {
        return Err(Denial::new(
            Reason::UnknownObject,
            "no request of yours that is over has this id; it is the `x-warmkey-request-id` of the answer",
        ));
    }
    let sent = reply::json(line, x, 200, json!({ "recorded": true }).to_string().into()).await;
    Ok(said(sent))
}

fn read(body: &[u8]) -> Result<Said, Denial> {
    let no = |what: &str| Denial::new(Reason::BadRequest, what.to_owned());
    // Serde's own words would quote the body.
    let said: Said = serde_json::from_slice(body).map_err(|_| {
        no("feedback is a JSON object of `request_id`, and `score` (a number) or `label` (a text), or both")
    })?;
    let digits = said.request_id.strip_prefix("wk_").unwrap_or_default();
    if said.request_id.len() != ID || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(no("`request_id` is not an id of this gateway's: `wk_` and 32 hexadecimal digits"));
    }
    if said.score.is_none() && said.label.is_none() {
        return Err(no("feedback without `score` and `label` says nothing; send one of them"));
    }
    if said.score.is_some_and(|score| !score.is_finite()) {
        return Err(no("`score` must be a finite number"));
    }
    if said.label.as_ref().is_some_and(|label| label.is_empty() || label.chars().count() > LABEL) {
        return Err(no("`label` must have 1 to 200 characters"));
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "wk_0199aa00bb117cc2833dd44ee55ff660";

    #[test]
    fn what_makes_sense_is_read() {
        for rest in [r#""score":1"#, r#""label":"good""#, r#""score":-0.5,"label":"bad""#] {
            let body = format!(r#"{{"request_id":"{GOOD}",{rest}}}"#);
            assert!(read(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn what_makes_none_is_refused_and_not_quoted() {
        let long = format!(r#"{{"request_id":"{GOOD}","label":"{}"}}"#, "x".repeat(201));
        for body in [
            "",
            "[]",
            r#"{"score":1}"#,
            &format!(r#"{{"request_id":"{GOOD}"}}"#),
            &format!(r#"{{"request_id":"{GOOD}","score":"secret"}}"#),
            &format!(r#"{{"request_id":"{GOOD}","score":1,"extra":"secret"}}"#),
            &format!(r#"{{"request_id":"{GOOD}","score":1e999}}"#),
            r#"{"request_id":"wk_secret","score":1}"#,
            &long,
        ] {
            let no = read(body.as_bytes()).err().map(|no| (no.reason, no.message));
            let (reason, message) = no.unwrap_or_else(|| panic!("taken: {body}"));
            assert!(reason == Reason::BadRequest && !message.contains("secret"), "{message}");
        }
    }
}
