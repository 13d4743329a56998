//! What the head of an answer says of limits. Pure parsing, no decision.
//!
//! From `anthropic-ratelimit-*` and `x-ratelimit-*` (providers: Anthropic rate limits, OpenAI
//! limits). Figures that make no sense (negative, no number, more left than the limit) are left out
//! and named, so that they can be counted: some hosts send -1.

use http::HeaderMap;
use smallvec::SmallVec;

use super::retry_after::is_sane;
use crate::clock::UnixTime;

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

    /// Where it stands in [`Self::REPORTED`].
    pub(super) const fn index(self) -> Option<usize> {
        match self {
            Self::Requests => Some(0),
            Self::Tokens => Some(1),
            Self::InputTokens => Some(2),
            Self::OutputTokens => Some(3),
            Self::Unknown => None,
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

/// Nobody has larger limits; larger numbers are garbage.
pub(super) const MOST: u64 = 1_000_000_000_000_000;
/// `remaining` of tokens is rounded to the nearest thousand (providers: Anthropic rate limits).
const ROUNDED_BY: u64 = 500;

/// What an answer says of one bucket, as far as it makes sense.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Said {
    pub(super) kind: LimitKind,
    pub(super) limit: Option<u64>,
    pub(super) remaining: Option<u64>,
}

/// Reads every bucket that `headers` tell of. `known`: the limits as known so far, for answers that
/// name only what is left.
pub(super) fn read(
    headers: &HeaderMap,
    wall: UnixTime,
    known: impl Fn(LimitKind) -> Option<u64>,
) -> (SmallVec<[Said; 4]>, Lies) {
    let (mut told, mut lies) = (SmallVec::new(), Lies::new());
    for kind in LimitKind::REPORTED {
        for names in kind.headers() {
            let mut figure = |name| match figure(headers, name) {
                Ok(figure) => figure,
                Err(lie) => {
                    lies.push(lie);
                    None
                }
            };
            let (mut limit, mut remaining) = (figure(names.limit), figure(names.remaining));
            if limit == Some(0) {
                lies.push(Lie::NoLimit);
                (limit, remaining) = (None, None);
            }
            if let (Some(left), Some(limit)) = (remaining, limit.or_else(|| known(kind))) {
                let rounded = if kind == LimitKind::Requests { 0 } else { ROUNDED_BY };
                if left > limit.saturating_add(rounded) {
                    lies.push(Lie::AboveLimit);
                    remaining = None;
                } else {
                    remaining = Some(left.min(limit));
                }
            }
            // Nothing is reckoned by resets; but one that makes no sense is worth knowing of.
            match headers
                .get(names.reset)
                .map(|reset| reset.to_str().ok().and_then(|text| is_sane(text, wall)))
            {
                Some(None) => lies.push(Lie::Garbage),
                Some(Some(false)) => lies.push(Lie::Reset),
                Some(Some(true)) | None => {}
            }
            if limit.is_some() || remaining.is_some() {
                told.push(Said { kind, limit, remaining });
            }
        }
    }
    (told, lies)
}

fn figure(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Lie> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().map_err(|_| Lie::Garbage)?.trim();
    if text.strip_prefix('-').is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit())) {
        return Err(Lie::Negative);
    }
    text.parse().ok().filter(|number| *number <= MOST).map(Some).ok_or(Lie::Garbage)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-21T12:00:00Z
    const WALL: UnixTime = UnixTime(std::time::Duration::from_secs(1_795_262_400));

    fn of(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    fn one(limit: &str, remaining: &str, reset: &str) -> (Vec<Said>, Vec<Lie>) {
        let mut headers = HeaderMap::new();
        for (name, value) in [("limit", limit), ("remaining", remaining), ("reset", reset)] {
            if !value.is_empty() {
                let name = format!("anthropic-ratelimit-requests-{name}").parse::<HeaderName>().unwrap();
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        }
        let (told, lies) = read(&headers, WALL, |_| Some(70));
        (told.into_vec(), lies.into_vec())
    }

    fn said(limit: Option<u64>, remaining: Option<u64>) -> Vec<Said> {
        vec![Said { kind: LimitKind::Requests, limit, remaining }]
    }

    #[test]
    fn both_dialects_are_read() {
        let headers = of(&[
            ("anthropic-ratelimit-input-tokens-limit", "50000"),
            ("anthropic-ratelimit-input-tokens-remaining", "49000"),
            ("anthropic-ratelimit-input-tokens-reset", "2026-11-21T12:00:02Z"),
            ("x-ratelimit-limit-requests", "60"),
            ("x-ratelimit-remaining-requests", "59"),
            ("x-ratelimit-reset-requests", "6m0s"),
        ]);
        let (told, lies) = read(&headers, WALL, |_| None);
        let requests = Said { kind: LimitKind::Requests, limit: Some(60), remaining: Some(59) };
        let input = Said { kind: LimitKind::InputTokens, limit: Some(50_000), remaining: Some(49_000) };
        assert_eq!((told.as_slice(), lies.is_empty()), ([requests, input].as_slice(), true));
    }

    #[test]
    fn each_lie_is_left_out_and_named() {
        assert_eq!(one("50", "-1", ""), (said(Some(50), None), vec![Lie::Negative]));
        assert_eq!(one("50", "51", ""), (said(Some(50), None), vec![Lie::AboveLimit]));
        assert_eq!(one("", "71", ""), (vec![], vec![Lie::AboveLimit]));
        assert_eq!(one("0", "0", ""), (vec![], vec![Lie::NoLimit]));
        assert_eq!(one("many", "1e3", ""), (vec![], vec![Lie::Garbage, Lie::Garbage]));
        assert_eq!(one("99999999999999999999", "7", ""), (said(None, Some(7)), vec![Lie::Garbage]));
    }

    #[test]
    fn resets_of_another_age_are_noticed_and_change_nothing() {
        let fine = said(Some(50), Some(7));
        assert_eq!(one("50", "7", "2026-11-21T12:00:59Z"), (fine.clone(), vec![]));
        // Truncated to the second, and as old as a slow answer.
        assert_eq!(one("50", "7", "2026-11-21T11:59:30Z"), (fine.clone(), vec![]));
        assert_eq!(one("50", "7", "2026-11-21T11:00:00Z"), (fine.clone(), vec![Lie::Reset]));
        assert_eq!(one("50", "7", "2027-11-21T12:00:00Z"), (fine.clone(), vec![Lie::Reset]));
        assert_eq!(one("50", "7", "2h"), (fine.clone(), vec![Lie::Reset]));
        assert_eq!(one("50", "7", "soon"), (fine, vec![Lie::Garbage]));
    }

    #[test]
    fn tokens_that_were_rounded_up_are_no_lie() {
        let headers = of(&[
            ("anthropic-ratelimit-tokens-limit", "50600"),
            ("anthropic-ratelimit-tokens-remaining", "51000"),
        ]);
        let (told, lies) = read(&headers, WALL, |_| None);
        assert_eq!(told.first().and_then(|said| said.remaining), Some(50_600));
        assert!(lies.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_stands_there_figures_stay_sane(
            values in proptest::collection::vec("[ -~]{0,24}", 12),
            numbers in proptest::collection::vec(any::<i128>(), 12),
            use_numbers: bool,
        ) {
            let mut headers = HeaderMap::new();
            let names = LimitKind::REPORTED.iter().flat_map(|kind| kind.headers());
            let names = names.flat_map(|names| [names.limit, names.remaining, names.reset]);
            for (name, (value, number)) in names.zip(values.iter().zip(&numbers)) {
                let value = if use_numbers { number.to_string() } else { value.clone() };
                headers.insert(name, HeaderValue::from_str(&value).unwrap());
            }
            let (told, _) = read(&headers, WALL, |_| None);
            for said in told {
                prop_assert!(said.limit.is_none_or(|limit| (1..=MOST).contains(&limit)));
                prop_assert!(said.remaining.is_none_or(|left| left <= said.limit.unwrap_or(MOST)));
            }
        }
    }
}
