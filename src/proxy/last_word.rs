//! What the client is told when nobody answered.
//!
//! Errors about the request reach it word by word. Trouble with our own accounts is ours to say: a
//! client that is told 401 would throw its key away, and it was not its key.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use pingora::http::ResponseHeader;

use super::{denial::Denial, drive::Ending, translation::Words};
use crate::{
    dialect::UpstreamFault,
    quota::Refusal,
    types::Reason,
    upstream::{Failure, Verdict},
};

/// The provider's last word, for the client.
pub(crate) struct Final {
    /// Its head.
    pub head: Box<ResponseHeader>,
    /// Its body.
    pub body: Bytes,
    /// What it means.
    pub verdict: Verdict,
    /// The words in which its provider was asked, where they are not the client's. (By the time that it is
    /// passed on, somebody else may have been asked in others.)
    pub words: Option<Arc<Words>>,
}

impl Final {
    /// When the provider says that it is worth coming back.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Verdict::RateLimited(limit) = &self.verdict { limit.retry_after } else { None }
    }
}

/// What the last try left for the client, should nothing better come.
pub(crate) enum LastWord {
    /// An HTTP error.
    Http(Box<Final>),
    /// An error event in a 200, before any content.
    Event(UpstreamFault, Verdict),
    /// No answer at all.
    Broken(Failure),
    /// A budget has nothing left for it.
    Budget(Box<Refusal>),
    /// Its dialect has no words for it.
    Untranslatable(Denial),
}

impl LastWord {
    /// Nothing is left to try.
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::Http(last) => match account_trouble(&last.verdict) {
                Some(denial) => Ending::Denied(denial),
                None => Ending::Passed(last),
            },
            Self::Event(fault, verdict) => Ending::Denied(
                account_trouble(&verdict)
                    .unwrap_or_else(|| Denial::new(of_event(&verdict), reported(&fault))),
            ),
            Self::Broken(failure) => Ending::Denied(broken(&failure)),
            Self::Budget(refusal) => Ending::Denied(Denial::refused(*refusal)),
            Self::Untranslatable(denial) => Ending::Denied(denial),
        }
    }

    /// Nothing is open for another try: the provider's own last word says more than our denial,
    /// unless it was about the account or never came.
    pub(crate) fn instead_of(last: Option<Self>, denial: Denial) -> Ending {
        match last {
            None => Ending::Denied(denial),
            Some(last) => last.ending(),
        }
    }
}

/// What the provider has against our own account is not told in its words.
fn account_trouble(verdict: &Verdict) -> Option<Denial> {
    matches!(verdict, Verdict::KeySuspect(_) | Verdict::ModelBarred).then(|| {
        Denial::new(
            Reason::UpstreamAuth,
            "the gateway's accounts cannot serve this model at the moment; its operator has been told",
        )
    })
}

/// An error event comes in a 200, so its status is ours to choose.
fn of_event(verdict: &Verdict) -> Reason {
    match verdict {
        Verdict::Request | Verdict::UsageOptionRefused | Verdict::ProvenanceRefused => Reason::BadRequest,
        Verdict::RateLimited(_) => Reason::RateLimited,
        Verdict::Answered
        | Verdict::Overloaded { .. }
        | Verdict::ServerError
        | Verdict::KeySuspect(_)
        | Verdict::ModelBarred => Reason::UpstreamError,
    }
}

fn reported(fault: &UpstreamFault) -> String {
    if fault.message.is_empty() {
        "the provider reported an error in place of an answer".to_owned()
    } else {
        format!("the provider reported an error in place of an answer: {}", fault.message)
    }
}

fn broken(failure: &Failure) -> Denial {
    match failure {
        Failure::Timeout => Denial::new(Reason::UpstreamTimeout, "the provider did not answer in time"),
        Failure::Connect => {
            Denial::new(Reason::UpstreamUnreachable, "the provider cannot be reached at the moment")
        }
        Failure::Broken
        | Failure::Stale
        | Failure::ServerError
        | Failure::Overloaded { .. }
        | Failure::RateLimited { .. }
        | Failure::Key(_)
        | Failure::ModelBarred => {
            Denial::new(Reason::UpstreamError, "the provider broke the connection off before it answered")
        }
    }
}
