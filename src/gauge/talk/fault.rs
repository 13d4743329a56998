//! Why there was no answer, and what to check: the sentences for people.

use std::{io, time::Duration};

use tokio_rustls::rustls::{self, CertificateError};

use super::Target;
use crate::{gauge::Trouble, types::Dialect};

/// As much as is quoted of what others say.
const QUOTED: usize = 200;

/// What was seen instead of an answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gauge) enum Fault {
    /// The host has no address.
    Unknown {
        host: String,
        cause: String,
    },
    /// Refused, unreachable, or not in time.
    NoConnection(String),
    Tls(TlsFault),
    /// Nothing within so long.
    Silent(Duration),
    /// It began to answer and did not end within so long.
    Unfinished(Duration),
    /// The connection was closed before an answer.
    Closed,
    /// What came is not HTTP.
    NotHttp(String),
    /// The answer broke off.
    Broken(String),
    /// Sent elsewhere.
    Moved {
        status: u16,
        to: String,
    },
    /// A page for people.
    Page {
        status: u16,
        content_type: String,
    },
    /// A 2xx that is no model's answer.
    NotModel(String),
    /// An error in the provider's words.
    Refused {
        status: u16,
        kind: Option<String>,
        message: String,
    },
}

/// What TLS objects to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::gauge) enum TlsFault {
    Untrusted,
    WrongName,
    Expired,
    TooEarly,
    /// The other side does not speak it.
    NotTls,
    Silent,
    Other(String),
}

/// What rustls said, wrapped as tokio-rustls wraps it.
pub(super) fn tls_fault(error: &io::Error) -> TlsFault {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => certificate(why),
        Some(rustls::Error::InvalidMessage(_)) => TlsFault::NotTls,
        Some(other) => TlsFault::Other(plain(&other.to_string())),
        // It hung up on our first words.
        None if error.kind() == io::ErrorKind::UnexpectedEof => TlsFault::NotTls,
        None => TlsFault::Other(plain(&error.to_string())),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "rustls may add to it; its own words will do for the rest"
)]
fn certificate(why: &CertificateError) -> TlsFault {
    match why {
        CertificateError::UnknownIssuer => TlsFault::Untrusted,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFault::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => TlsFault::TooEarly,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongName
        }
        other => TlsFault::Other(plain(&other.to_string())),
    }
}

/// Others' words on one line, cut to [`QUOTED`] characters.
pub(in crate::gauge) fn plain(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(QUOTED).collect()
}

impl TlsFault {
    fn words(&self) -> String {
        match self {
            Self::Untrusted => "its certificate was issued by nobody whom this machine trusts".to_owned(),
            Self::WrongName => "its certificate is for another name".to_owned(),
            Self::Expired => "its certificate has expired".to_owned(),
            Self::TooEarly => "its certificate is not valid yet".to_owned(),
            Self::NotTls => "it does not speak TLS".to_owned(),
            Self::Silent => "it did not answer our TLS handshake".to_owned(),
            Self::Other(why) => format!("TLS failed: {why}"),
        }
    }

    const fn remedy(&self) -> &'static str {
        match self {
            Self::Untrusted => {
                "if it has a certificate of your own authority, set SSL_CERT_FILE to that authority's PEM file"
            }
            Self::WrongName => "ask it by the name that its certificate has",
            Self::Expired | Self::TooEarly => "have the certificate renewed; is this machine's clock right?",
            Self::NotTls | Self::Silent => "is it plain HTTP on that port? write `http://`",
            Self::Other(_) => "is it really HTTPS on that port?",
        }
    }
}

impl Fault {
    pub(super) fn of_http(error: &hyper::Error) -> Self {
        if error.is_parse() {
            return Self::NotHttp(error.to_string());
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::Closed;
        }
        let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
        Self::Broken(plain(&format!("{error}{}", cause.unwrap_or_default())))
    }

    /// Whether a client would try it again.
    pub(in crate::gauge) fn is_passing(&self) -> bool {
        match self {
            Self::NoConnection(_)
            | Self::Closed
            | Self::Broken(_)
            | Self::Silent(_)
            | Self::Unfinished(_) => true,
            Self::Refused { status, .. } | Self::Page { status, .. } => {
                matches!(status, 408 | 409 | 429 | 500..)
            }
            Self::Unknown { .. }
            | Self::Tls(_)
            | Self::NotHttp(_)
            | Self::Moved { .. }
            | Self::NotModel(_) => false,
        }
    }

    /// The same for the tally.
    pub(in crate::gauge) fn trouble(&self) -> Trouble {
        match self {
            Self::Unknown { host, cause } => Trouble::Connect(format!("{host}: {cause}")),
            Self::NoConnection(cause) => Trouble::Connect(cause.clone()),
            Self::Tls(why) => Trouble::Tls(why.words()),
            Self::Silent(limit) => Trouble::Silent(*limit),
            Self::Unfinished(limit) => Trouble::Broken(format!("not finished within {} s", limit.as_secs())),
            Self::Closed => Trouble::Broken("the connection was closed before an answer".to_owned()),
            Self::NotHttp(why) | Self::Broken(why) => Trouble::Broken(why.clone()),
            Self::Moved { status, to } => {
                Trouble::Refused { status: *status, kind: None, message: format!("moved to {to}") }
            }
            Self::Page { status: 200..=299, content_type } | Self::NotModel(content_type) => {
                Trouble::NotModel(content_type.clone())
            }
            Self::Page { status, content_type } => {
                Trouble::Refused { status: *status, kind: None, message: format!("a page ({content_type})") }
            }
            Self::Refused { status, kind, message } => {
                Trouble::Refused { status: *status, kind: kind.clone(), message: message.clone() }
            }
        }
    }

    /// What was seen and what to check, when the first request already fails.
    pub(in crate::gauge) fn sentence(&self, target: &Target, dialect: Dialect, model: &str) -> String {
        let name = target.name();
        let other = if target.is_tls() { "http://" } else { "https://" };
        let path = target.path(dialect);
        match self {
            Self::Unknown { host, cause } => {
                format!(
                    "cannot find the host `{host}` ({cause})\ncheck its spelling, and whether this machine can resolve names"
                )
            }
            Self::NoConnection(cause) => {
                format!("cannot connect to {name}: {cause}\nis it running, and is the port right?")
            }
            Self::Tls(why) => format!("no TLS with {name}: {}\n{}", why.words(), why.remedy()),
            Self::Silent(limit) => format!(
                "{name} took our request and said nothing for {} s\nis its upstream reachable? a slow one gets more time with `--timeout`",
                limit.as_secs()
            ),
            Self::Unfinished(limit) => format!(
                "{name} began to answer and had not finished after {} s\na slow one gets more time with `--timeout`",
                limit.as_secs()
            ),
            Self::Closed => format!(
                "{name} closed the connection without an answer\nis it an HTTP server? if it speaks {} on that port, write `{other}`",
                if target.is_tls() { "plain HTTP" } else { "TLS" }
            ),
            Self::NotHttp(why) => format!(
                "{name} answered, but not in HTTP ({why})\nis the port right? if it speaks TLS there, write `https://`"
            ),
            Self::Broken(why) => format!("the answer of {name} broke off ({why})\nlook into its log"),
            Self::Moved { status, to } => {
                format!(
                    "{name} sends us elsewhere ({status} to `{to}`)\nname that place as the base URL; redirects are not followed"
                )
            }
            Self::Page { status, content_type } => format!(
                "{name} answered POST {path} with a page for people ({content_type}, {status}), not with a model's answer\n{}",
                if *status == 400 && !target.is_tls() {
                    "if it speaks TLS on that port, write `https://`; else check the base URL"
                } else {
                    "check the base URL: is it the API, or the site in front of it? does a proxy ask for a sign-in?"
                }
            ),
            Self::NotModel(content_type) => format!(
                "{name} answered POST {path}, but not as a model does ({content_type})\ncheck the base URL, and whether it speaks `{}` (`--dialect`)",
                words(dialect)
            ),
            Self::Refused { status, kind, message } => {
                let said = if message.is_empty() { kind.as_deref().unwrap_or("no reason") } else { message };
                format!(
                    "{name} answered {status}: {said}\n{}",
                    remedy(*status, target, &path, model, dialect)
                )
            }
        }
    }
}

/// As `--dialect` calls it.
const fn words(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "anthropic",
        Dialect::OpenAiChat => "chat",
        Dialect::OpenAiResponses => "responses",
    }
}

fn remedy(status: u16, target: &Target, path: &str, model: &str, dialect: Dialect) -> String {
    match (status, target.key_name()) {
        (401 | 403, Some(variable)) => {
            format!(
                "it does not take the key in {variable}: is it for this endpoint, and may it use `{model}`?"
            )
        }
        (401 | 403, None) => {
            "it asks for a key: put one into a variable and name that with `--key-env NAME`".to_owned()
        }
        (402, _) => "the account has nothing left to spend".to_owned(),
        (404, _) => format!(
            "either the base URL is wrong ({path} is not there) or it has no model `{model}`: check both, and `--model`"
        ),
        (405 | 501, _) => format!("POST {path} is not its way: check the base URL and `--dialect`"),
        (400 | 422, _) => {
            format!(
                "does it speak `{}` (`--dialect`), and does it know `{model}` (`--model`)?",
                words(dialect)
            )
        }
        (429, _) => "it is at its limit before we began: wait, or ask it with another key".to_owned(),
        (500.., _) => "that is its own trouble, or its upstream's: look into its log".to_owned(),
        _ => "look up what it means there".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Secret;

    fn sentence(url: &str, fault: &Fault) -> String {
        let target = Target::new(url, None, None).expect("a URL");
        fault.sentence(&target, Dialect::Anthropic, "m-1")
    }

    #[test]
    fn every_fault_says_what_was_seen_and_what_to_check() {
        let refused = |status| Fault::Refused { status, kind: None, message: "no such thing".to_owned() };
        let html = |status| Fault::Page { status, content_type: "text/html".to_owned() };
        for (url, fault, seen, check) in [
            (
                "http://h",
                Fault::NoConnection("refused".into()),
                "cannot connect to http://h: refused",
                "is it running",
            ),
            (
                "http://h",
                Fault::Unknown { host: "h".into(), cause: "x".into() },
                "cannot find the host `h`",
                "spelling",
            ),
            (
                "https://h",
                Fault::Tls(TlsFault::Untrusted),
                "nobody whom this machine trusts",
                "SSL_CERT_FILE",
            ),
            ("https://h", Fault::Tls(TlsFault::WrongName), "for another name", "by the name"),
            ("https://h", Fault::Tls(TlsFault::Expired), "has expired", "renewed"),
            ("https://h", Fault::Tls(TlsFault::NotTls), "does not speak TLS", "write `http://`"),
            ("http://h", Fault::Closed, "without an answer", "write `https://`"),
            ("http://h", Fault::NotHttp("junk".into()), "not in HTTP", "write `https://`"),
            ("http://h", Fault::Silent(Duration::from_secs(9)), "said nothing for 9 s", "--timeout"),
            (
                "http://h",
                Fault::Moved { status: 301, to: "https://i".into() },
                "elsewhere (301 to `https://i`)",
                "redirects",
            ),
            ("http://h", html(200), "a page for people (text/html, 200)", "check the base URL"),
            ("http://h", html(400), "a page for people", "write `https://`"),
            ("http://h", Fault::NotModel("application/json".into()), "not as a model does", "--dialect"),
            ("http://h", refused(401), "answered 401: no such thing", "--key-env"),
            (
                "http://h/x",
                refused(404),
                "answered 404",
                "/x/v1/messages is not there) or it has no model `m-1`",
            ),
            ("http://h", refused(429), "answered 429", "limit"),
            ("http://h", refused(503), "answered 503", "its log"),
        ] {
            let text = sentence(url, &fault);
            let (first, second) = text.split_once('\n').expect("two lines");
            assert!(first.contains(seen) && second.contains(check), "{fault:?}: {text}");
        }
    }

    #[test]
    fn a_key_that_is_not_taken_is_called_by_its_variable() {
        let key = Secret::new("sk-secret".to_owned());
        let target = Target::new("http://h", Some("MY_KEY"), Some(key)).expect("a URL");
        let fault = Fault::Refused { status: 401, kind: None, message: String::new() };
        let text = fault.sentence(&target, Dialect::OpenAiChat, "m");
        assert!(text.contains("no reason\nit does not take the key in MY_KEY"), "{text}");
    }

    #[test]
    fn what_others_say_is_one_plain_line() {
        assert_eq!(plain("a\n\u{1b}[31m b\tc"), "a [31m b c");
        assert_eq!(plain(&"x".repeat(900)).len(), QUOTED);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let refused = |status| Fault::Refused { status, kind: None, message: String::new() };
        assert!(refused(429).is_passing() && refused(529).is_passing() && Fault::Closed.is_passing());
        assert!(!refused(400).is_passing() && !Fault::Tls(TlsFault::Expired).is_passing());
    }
}
