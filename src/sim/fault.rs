//! What can go wrong at a provider, by name.
//!
//! A [`Fault`] says what happens, a [`Rule`] to whom and how often. Neither does anything by itself:
//! `script` picks, `refusal` and `pour` carry out.

use std::time::Duration;

use serde::Deserialize;

/// One way in which a provider fails. Event counts are of events already sent when the fault strikes;
/// for an answer that is not a stream, half of the body is sent instead.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// 429 `rate_limit_error` / `rate_limit_exceeded`.
    RateLimited {
        /// How the wait is announced.
        hint: RetryHint,
    },
    /// 429 because this one request is larger than the whole limit: waiting cannot help.
    ExceedsLimitAlone,
    /// 500.
    ServerError,
    /// 503.
    Unavailable,
    /// 529 `overloaded_error`; 503 `slow_down` in the OpenAI dialects.
    Overloaded,
    /// 504 `timeout_error`.
    GatewayTimeout,
    /// 401.
    KeyRejected,
    /// 402 `billing_error`.
    BillingRejected,
    /// 403 about the key.
    KeyForbidden,
    /// 403 about the model only.
    ModelForbidden,
    /// 400 with the text of a spend limit that the organisation set itself.
    SpendLimitText,
    /// 400 with the text of a spend limit of the workspace.
    WorkspaceSpendLimitText,
    /// 429 `enforced_spend_limit_reached`, without `retry-after`.
    SpendLimitEnforced,
    /// 429 `insufficient_quota` (OpenAI).
    InsufficientQuota,
    /// 400 that names `stream_options`: a provider that does not know it. Strikes only requests that
    /// carry it.
    StreamOptionsUnknown,
    /// 400 that finds signed thinking of another account in the history.
    ThinkingForeign,
    /// Any other status with the dialect's envelope.
    Status {
        /// The HTTP status.
        status: u16,
    },
    /// An HTML page in place of JSON, as load balancers send.
    HtmlPage {
        /// The HTTP status.
        status: u16,
    },
    /// The request is read, then nothing is ever answered.
    HangBeforeHeader,
    /// The header is delayed by so much real time.
    SlowHeader {
        /// The delay.
        #[serde(with = "millis")]
        delay_ms: Duration,
    },
    /// The connection is closed in place of an answer (HTTP/2: the stream is reset).
    CloseBeforeHeader,
    /// The connection is reset (RST) in place of an answer.
    ResetBeforeHeader,
    /// After so many events nothing more is sent, and the connection stays open; 0 is a header alone.
    StallAfter {
        /// Events already sent.
        events: u64,
    },
    /// After so many events the connection is reset (RST).
    ResetAfter {
        /// Events already sent.
        events: u64,
    },
    /// After so many events the connection is closed without the end of the body.
    CloseAfter {
        /// Events already sent.
        events: u64,
    },
    /// After so many events the body ends cleanly, without the terminal event.
    TruncateAfter {
        /// Events already sent.
        events: u64,
    },
    /// 200, and the first event is an error.
    ErrorFirst,
    /// After so many events an error event, then a clean end.
    ErrorAfter {
        /// Events already sent.
        events: u64,
    },
    /// A status while the body is still being uploaded; the rest is not read.
    EarlyAnswer {
        /// The HTTP status (413 is the usual one).
        status: u16,
        /// Bytes of the body that are read before.
        after_bytes: usize,
    },
    /// After so many events a frame whose check sum is wrong, then a clean end. Only AWS's streams have
    /// check sums; others are not struck.
    BadCrc {
        /// Events already sent.
        events: u64,
    },
    /// The body is read this slowly; then all goes well.
    SlowRead {
        /// Bytes a second of real time.
        bytes_per_second: u64,
    },
    /// This request goes well; the next one that reuses its connection finds it closed.
    Stale,
    /// A good answer that sets a cookie.
    SetCookie,
    /// A good answer, compressed although nobody accepts that.
    Gzip,
    /// HTTP/2: GOAWAY that disowns this stream (it was not processed), then the end of the connection.
    /// Over HTTP/1.1: the connection is closed in place of an answer.
    GoAway,
    /// HTTP/2: GOAWAY after this stream, which goes well. Over HTTP/1.1: `connection: close`.
    GoAwayAfter,
    /// HTTP/2: the stream is reset with `REFUSED_STREAM`. Over HTTP/1.1: the connection is closed.
    RefusedStream,
}

/// How a 429 says when to come back.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryHint {
    /// Not at all.
    None,
    /// `retry-after: <seconds>`.
    RetryAfter(u64),
    /// `retry-after-ms: <milliseconds>`.
    RetryAfterMs(u64),
    /// Only by the reset headers of the limits: so many seconds ahead.
    ResetOnly(u64),
}

/// A fault, and whom it strikes. By default: the next generating request (messages, chat completions,
/// responses, completions) of anyone, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    pub(super) fault: Fault,
    pub(super) scope: Scope,
    pub(super) key: Option<String>,
    pub(super) organization: Option<String>,
    pub(super) model: Option<String>,
    pub(super) header: Option<(String, String)>,
    pub(super) nth: u64,
    pub(super) left: Option<u64>,
}

/// The requests a rule looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    Generating,
    Everything,
    Path(String),
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            scope: Scope::Generating,
            key: None,
            organization: None,
            model: None,
            header: None,
            nth: 1,
            left: Some(1),
        }
    }
}

impl Fault {
    /// Strikes `n` times.
    #[must_use]
    pub fn times(self, n: u64) -> Rule {
        Rule::from(self).times(n)
    }

    /// Strikes until it is taken away.
    #[must_use]
    pub fn always(self) -> Rule {
        Rule::from(self).always()
    }

    /// Strikes only requests that present this key.
    #[must_use]
    pub fn on_key(self, key: &str) -> Rule {
        Rule::from(self).on_key(key)
    }

    /// Strikes only requests of this organisation.
    #[must_use]
    pub fn on_organization(self, organization: &str) -> Rule {
        Rule::from(self).on_organization(organization)
    }

    /// Strikes requests whose path begins with this, generating or not.
    #[must_use]
    pub fn on_path(self, path: &str) -> Rule {
        Rule::from(self).on_path(path)
    }

    /// Strikes every kind of authenticated request, the model list included.
    #[must_use]
    pub fn everywhere(self) -> Rule {
        Rule::from(self).everywhere()
    }
}

impl Rule {
    /// Strikes `n` times.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.left = Some(n);
        self
    }

    /// Strikes until it is taken away.
    #[must_use]
    pub fn always(mut self) -> Self {
        self.left = None;
        self
    }

    /// Strikes only requests that present this key.
    #[must_use]
    pub fn on_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Strikes only requests of this organisation.
    #[must_use]
    pub fn on_organization(mut self, organization: &str) -> Self {
        self.organization = Some(organization.to_owned());
        self
    }

    /// Strikes only requests for this model.
    #[must_use]
    pub fn on_model(mut self, model: &str) -> Self {
        self.model = Some(model.to_owned());
        self
    }

    /// Strikes only requests that carry this header with this value.
    #[must_use]
    pub fn on_header(mut self, name: &str, value: &str) -> Self {
        self.header = Some((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Strikes requests whose path begins with this, generating or not.
    #[must_use]
    pub fn on_path(mut self, path: &str) -> Self {
        self.scope = Scope::Path(path.to_owned());
        self
    }

    /// Strikes every kind of authenticated request, the model list included.
    #[must_use]
    pub fn everywhere(mut self) -> Self {
        self.scope = Scope::Everything;
        self
    }

    /// Lets the first `n - 1` matching requests pass; 1 is the default.
    #[must_use]
    pub fn from_nth(mut self, n: u64) -> Self {
        self.nth = n.max(1);
        self
    }
}

mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer};

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}
