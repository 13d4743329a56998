//! Rate-limit headers of the caller's own limits, in the caller's dialect.
//!
//! Whoever has limits here is told of these, in place of the provider's: what is left at one of our
//! accounts is not the caller's to plan with.

use http::HeaderName;
use jiff::{SignedDuration, Timestamp};
use pingora::http::ResponseHeader;

use super::exchange::Exchange;
use crate::{
    clock::{self, UnixTime},
    quota::{Figure, Figures},
    types::Dialect,
};

/// Families of headers in which providers speak of limits.
const THEIRS: &[&str] = &["anthropic-ratelimit-", "anthropic-priority-", "anthropic-fast-", "x-ratelimit-"];

/// Whether anything is known to tell.
fn any(figures: &Figures) -> bool {
    let Figures { requests, tokens, input_tokens, output_tokens } = figures;
    [requests, tokens, input_tokens, output_tokens].iter().any(|figure| figure.is_some())
}

/// What the caller has left, on an answer of its provider's.
pub(crate) fn answer(head: &mut ResponseHeader, x: &Exchange) {
    let Some(permit) = x.permit.as_ref() else { return };
    tell(head, x.dialect.unwrap_or(Dialect::OpenAiChat), &permit.standing(), clock::unix_now());
}

/// Puts the caller's own figures in place of the provider's, if it has any.
pub(crate) fn tell(head: &mut ResponseHeader, dialect: Dialect, figures: &Figures, at: UnixTime) {
    if !any(figures) {
        return;
    }
    let theirs = |name: &&HeaderName| THEIRS.iter().any(|prefix| name.as_str().starts_with(prefix));
    let drop: Vec<HeaderName> = head.headers.keys().filter(theirs).cloned().collect();
    for name in drop {
        head.remove_header(&name);
    }
    match dialect {
        Dialect::Anthropic => {
            for (kind, figure) in [
                ("requests", figures.requests),
                ("tokens", figures.tokens),
                ("input-tokens", figures.input_tokens),
                ("output-tokens", figures.output_tokens),
            ] {
                let Some(figure) = figure else { continue };
                let name = |end| format!("anthropic-ratelimit-{kind}-{end}");
                let _ = head.insert_header(name("limit"), figure.limit);
                let _ = head.insert_header(name("remaining"), figure.remaining);
                let _ = head.insert_header(name("reset"), moment(at, &figure));
            }
        }
        Dialect::OpenAiChat | Dialect::OpenAiResponses => {
            // Where only a part of the tokens is limited, that is what limits them.
            let tokens = figures.tokens.or(figures.input_tokens).or(figures.output_tokens);
            for (kind, figure) in [("requests", figures.requests), ("tokens", tokens)] {
                let Some(figure) = figure else { continue };
                let name = |end| format!("x-ratelimit-{end}-{kind}");
                let _ = head.insert_header(name("limit"), figure.limit);
                let _ = head.insert_header(name("remaining"), figure.remaining);
                let _ = head.insert_header(name("reset"), span(&figure));
            }
        }
    }
}

/// Whole seconds until the limit is whole again.
fn seconds(figure: &Figure) -> u64 {
    figure.reset.as_secs() + u64::from(figure.reset.subsec_nanos() > 0)
}

/// RFC 3339, as Anthropic says it.
fn moment(at: UnixTime, figure: &Figure) -> String {
    let now = i64::try_from(at.0.as_secs()).ok().and_then(|at| Timestamp::from_second(at).ok());
    let after = SignedDuration::from_secs(i64::try_from(seconds(figure)).unwrap_or(0));
    now.unwrap_or_default().saturating_add(after).unwrap_or_default().to_string()
}

/// `1m5s`, as OpenAI says it.
fn span(figure: &Figure) -> String {
    let seconds = seconds(figure);
    if seconds < 60 { format!("{seconds}s") } else { format!("{}m{}s", seconds / 60, seconds % 60) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const AT: UnixTime = UnixTime(Duration::from_secs(1_760_000_000));

    fn figures() -> Figures {
        let figure = |limit, remaining, millis| {
            Some(Figure { limit, remaining, reset: Duration::from_millis(millis) })
        };
        Figures {
            requests: figure(60, 12, 11_200),
            input_tokens: figure(10_000, 0, 60_500),
            ..Figures::default()
        }
    }

    fn told(dialect: Dialect, figures: &Figures) -> Vec<(String, String)> {
        let mut head = ResponseHeader::build(200, None).unwrap();
        for name in ["anthropic-ratelimit-tokens-limit", "x-ratelimit-limit-requests", "request-id"] {
            head.insert_header(name, "theirs").unwrap();
        }
        tell(&mut head, dialect, figures, AT);
        let pairs = head.headers.iter();
        let mut pairs: Vec<_> =
            pairs.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        pairs.sort();
        pairs
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn anthropics_clients_are_told_in_its_words() {
        let expected = pairs(&[
            ("anthropic-ratelimit-input-tokens-limit", "10000"),
            ("anthropic-ratelimit-input-tokens-remaining", "0"),
            ("anthropic-ratelimit-input-tokens-reset", "2025-10-09T08:54:21Z"),
            ("anthropic-ratelimit-requests-limit", "60"),
            ("anthropic-ratelimit-requests-remaining", "12"),
            ("anthropic-ratelimit-requests-reset", "2025-10-09T08:53:32Z"),
            ("request-id", "theirs"),
        ]);
        assert_eq!(told(Dialect::Anthropic, &figures()), expected);
    }

    #[test]
    fn openais_clients_are_told_in_its_words() {
        let expected = pairs(&[
            ("request-id", "theirs"),
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-limit-tokens", "10000"),
            ("x-ratelimit-remaining-requests", "12"),
            ("x-ratelimit-remaining-tokens", "0"),
            ("x-ratelimit-reset-requests", "12s"),
            ("x-ratelimit-reset-tokens", "1m1s"),
        ]);
        for dialect in [Dialect::OpenAiChat, Dialect::OpenAiResponses] {
            assert_eq!(told(dialect, &figures()), expected);
        }
    }

    #[test]
    fn who_has_no_limits_here_hears_what_the_provider_says() {
        assert_eq!(told(Dialect::Anthropic, &Figures::default()).len(), 3);
    }
}
