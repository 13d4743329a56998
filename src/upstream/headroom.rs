//! What a provider says is left of its limits, per (rate domain, class).
//!
//! Learned from `anthropic-ratelimit-*` and `x-ratelimit-*` (providers: Anthropic rate limits, OpenAI
//! limits). Figures that make no sense (negative, no number) are left out: some hosts send -1.

use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderMap;
use smallvec::SmallVec;

/// A kind of limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum LimitKind {
    /// Requests per minute.
    Requests,
    /// All tokens per minute.
    Tokens,
    /// Input tokens per minute.
    InputTokens,
    /// Output tokens per minute.
    OutputTokens,
    /// The provider did not say.
    Unknown,
}

impl LimitKind {
    /// The kinds that headers report.
    pub const REPORTED: [Self; 4] = [Self::Requests, Self::Tokens, Self::InputTokens, Self::OutputTokens];

    /// The label in metrics and `/status`.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::InputTokens => "input_tokens",
            Self::OutputTokens => "output_tokens",
            Self::Unknown => "unknown",
        }
    }

    /// Whether it limits tokens of the prompt.
    pub(super) const fn counts_input(self) -> bool {
        matches!(self, Self::Tokens | Self::InputTokens)
    }

    const fn headers(self) -> &'static [HeaderNames] {
        const REQUESTS: [HeaderNames; 2] = [
            HeaderNames {
                limit: "anthropic-ratelimit-requests-limit",
                remaining: "anthropic-ratelimit-requests-remaining",
                reset: "anthropic-ratelimit-requests-reset",
            },
            HeaderNames {
                limit: "x-ratelimit-limit-requests",
                remaining: "x-ratelimit-remaining-requests",
                reset: "x-ratelimit-reset-requests",
            },
        ];
        const TOKENS: [HeaderNames; 2] = [
            HeaderNames {
                limit: "anthropic-ratelimit-tokens-limit",
                remaining: "anthropic-ratelimit-tokens-remaining",
                reset: "anthropic-ratelimit-tokens-reset",
            },
            HeaderNames {
                limit: "x-ratelimit-limit-tokens",
                remaining: "x-ratelimit-remaining-tokens",
                reset: "x-ratelimit-reset-tokens",
            },
        ];
        const INPUT: [HeaderNames; 1] = [HeaderNames {
            limit: "anthropic-ratelimit-input-tokens-limit",
            remaining: "anthropic-ratelimit-input-tokens-remaining",
            reset: "anthropic-ratelimit-input-tokens-reset",
        }];
        const OUTPUT: [HeaderNames; 1] = [HeaderNames {
            limit: "anthropic-ratelimit-output-tokens-limit",
            remaining: "anthropic-ratelimit-output-tokens-remaining",
            reset: "anthropic-ratelimit-output-tokens-reset",
        }];
        match self {
            Self::Requests => &REQUESTS,
            Self::Tokens => &TOKENS,
            Self::InputTokens => &INPUT,
            Self::OutputTokens => &OUTPUT,
            Self::Unknown => &[],
        }
    }
}

struct HeaderNames {
    limit: &'static str,
    remaining: &'static str,
    reset: &'static str,
}

/// One bucket as an answer's headers describe it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket<'a> {
    pub(super) kind: LimitKind,
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
    pub(super) reset: Option<&'a str>,
}

/// The buckets that `headers` tell of.
pub(super) fn buckets(headers: &HeaderMap) -> impl Iterator<Item = Bucket<'_>> {
    LimitKind::REPORTED
        .into_iter()
        .flat_map(|kind| kind.headers().iter().map(move |names| (kind, names)))
        .filter_map(|(kind, names)| {
            let limit = number(headers, names.limit);
            let remaining = number(headers, names.remaining);
            (limit.is_some() || remaining.is_some()).then(|| Bucket {
                kind,
                limit,
                remaining,
                reset: headers.get(names.reset).and_then(|value| value.to_str().ok()),
            })
        })
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Why a figure in an answer's headers was left out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lie {
    /// Less than nothing is left.
    Negative,
    /// More is left than the limit.
    AboveLimit,
    /// A limit of nothing, of an answer that was given.
    NoLimit,
    /// A reset that is over, or more than an hour away.
    Reset,
    /// No number, or no time.
    Garbage,
}

impl Lie {
    /// Every one, for tables.
    pub const ALL: [Self; 5] = [Self::Negative, Self::AboveLimit, Self::NoLimit, Self::Reset, Self::Garbage];

    /// The label in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Negative => "negative",
            Self::AboveLimit => "above_limit",
            Self::NoLimit => "no_limit",
            Self::Reset => "reset",
            Self::Garbage => "garbage",
        }
    }
}

/// What of an answer's headers was left out; nearly always nothing.
pub type Lies = SmallVec<[Lie; 4]>;

/// What is left of one kind of limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Left {
    /// Which limit.
    pub kind: LimitKind,
    /// What is left of it, where the provider said.
    pub remaining: Option<u64>,
    /// The limit itself, where the provider said.
    pub limit: Option<u64>,
}

const UNKNOWN: u64 = u64::MAX;

/// The newest figures of each kind; unknown until an answer names them.
pub(super) struct Levels([[AtomicU64; 2]; 4]);

impl Default for Levels {
    fn default() -> Self {
        Self(std::array::from_fn(|_| [AtomicU64::new(UNKNOWN), AtomicU64::new(UNKNOWN)]))
    }
}

impl Levels {
    /// Takes over every figure that `headers` name.
    pub(super) fn note(&self, headers: &HeaderMap) {
        for bucket in buckets(headers) {
            let Some([remaining, limit]) = self.cells(bucket.kind) else { continue };
            if let Some(value) = bucket.remaining {
                remaining.store(value, Ordering::Relaxed);
            }
            if let Some(value) = bucket.limit {
                limit.store(value, Ordering::Relaxed);
            }
        }
    }

    /// The kinds that something is known of.
    pub(super) fn known(&self) -> impl Iterator<Item = Left> {
        LimitKind::REPORTED.into_iter().zip(&self.0).filter_map(|(kind, [remaining, limit])| {
            let (remaining, limit) = (read(remaining), read(limit));
            (remaining.is_some() || limit.is_some()).then_some(Left { kind, remaining, limit })
        })
    }

    fn cells(&self, kind: LimitKind) -> Option<&[AtomicU64; 2]> {
        LimitKind::REPORTED.iter().position(|&known| known == kind).and_then(|at| self.0.get(at))
    }
}

fn read(cell: &AtomicU64) -> Option<u64> {
    let value = cell.load(Ordering::Relaxed);
    (value != UNKNOWN).then_some(value)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_newest_figure_of_each_kind_is_kept_and_nonsense_is_not() {
        let levels = Levels::default();
        assert_eq!(levels.known().count(), 0);
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-ratelimit-input-tokens-remaining", HeaderValue::from_static("49000"));
        headers.insert("anthropic-ratelimit-input-tokens-limit", HeaderValue::from_static("50000"));
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("-1"));
        levels.note(&headers);
        let all: Vec<_> = levels.known().collect();
        let left = Left { kind: LimitKind::InputTokens, remaining: Some(49_000), limit: Some(50_000) };
        assert_eq!(all, [left]);

        headers.clear();
        headers.insert("anthropic-ratelimit-input-tokens-remaining", HeaderValue::from_static("1000"));
        levels.note(&headers);
        assert_eq!(levels.known().next(), Some(Left { remaining: Some(1_000), ..left }));
    }
}
