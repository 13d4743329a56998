//! Limits as response headers show them.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    limits::Reading,
    models::{Maker, Model},
    provider::Provider,
    time::{go_duration, rfc3339},
};
use crate::clock::{Moment, UnixTime};

/// How the provider's own time is told to others.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The time of day at which the answer is given.
    pub wall: UnixTime,
    /// The provider's seconds to one second of `wall`: 1, unless it runs in compressed time.
    pub factor: f64,
    /// The levels are said to be spent for so long (in the wall's time), whatever they are.
    pub spent_for: Option<Duration>,
}

impl Told {
    /// At this time of day, uncompressed.
    #[must_use]
    pub const fn at(wall: UnixTime) -> Self {
        Self { wall, factor: 1.0, spent_for: None }
    }

    fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.factor)
    }
}

/// The three headers of one limit: `[limit, remaining, reset]`.
type Names = [HeaderName; 3];

const REQUESTS: Names = [
    HeaderName::from_static("anthropic-ratelimit-requests-limit"),
    HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
    HeaderName::from_static("anthropic-ratelimit-requests-reset"),
];
const INPUT: Names = [
    HeaderName::from_static("anthropic-ratelimit-input-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-input-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-input-tokens-reset"),
];
const OUTPUT: Names = [
    HeaderName::from_static("anthropic-ratelimit-output-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-output-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-output-tokens-reset"),
];
const BOTH: Names = [
    HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
    HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
    HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
];
const OPENAI_REQUESTS: Names = [
    HeaderName::from_static("x-ratelimit-limit-requests"),
    HeaderName::from_static("x-ratelimit-remaining-requests"),
    HeaderName::from_static("x-ratelimit-reset-requests"),
];
const OPENAI_TOKENS: Names = [
    HeaderName::from_static("x-ratelimit-limit-tokens"),
    HeaderName::from_static("x-ratelimit-remaining-tokens"),
    HeaderName::from_static("x-ratelimit-reset-tokens"),
];

impl Provider {
    /// Adds the rate-limit headers of an answer (providers, 1.3 and 2.3).
    pub fn headers(
        &mut self,
        account: usize,
        model: &Model,
        now: Moment,
        told: &Told,
        headers: &mut HeaderMap,
    ) {
        let Some(levels) = self.levels(account, model, now) else { return };
        let spent = |reading: Reading| match told.spent_for {
            // Given in real time; headers are written from virtual time.
            Some(span) => Reading { remaining: 0, full_in: span.mul_f64(told.factor), ..reading },
            None => reading,
        };
        let [requests, input, output] = [levels.requests, levels.input, levels.output].map(spent);
        match model.maker {
            Maker::Anthropic => {
                let both = Reading {
                    limit: input.limit.saturating_add(output.limit),
                    remaining: input.remaining.saturating_add(output.remaining),
                    full_in: input.full_in.max(output.full_in),
                };
                anthropic(&REQUESTS, requests, 1, told, headers);
                anthropic(&INPUT, input, 1_000, told, headers);
                anthropic(&OUTPUT, output, 1_000, told, headers);
                anthropic(&BOTH, both, 1_000, told, headers);
            }
            Maker::OpenAi => {
                openai(&OPENAI_REQUESTS, requests, told, headers);
                openai(&OPENAI_TOKENS, input, told, headers);
            }
            // They tell nothing (providers, 3).
            Maker::Aws | Maker::Google => {}
        }
    }
}

fn anthropic(names: &Names, reading: Reading, round: u64, told: &Told, headers: &mut HeaderMap) {
    let remaining = (reading.remaining + round / 2) / round * round;
    let reset = rfc3339(told.wall, told.real(reading.full_in));
    put(names, reading.limit, remaining.min(reading.limit), &reset, headers);
}

fn openai(names: &Names, reading: Reading, told: &Told, headers: &mut HeaderMap) {
    put(names, reading.limit, reading.remaining, &go_duration(told.real(reading.full_in)), headers);
}

fn put(names: &Names, limit: u64, remaining: u64, reset: &str, headers: &mut HeaderMap) {
    if limit == 0 {
        return; // Unlimited: nothing is said.
    }
    let [limit_name, remaining_name, reset_name] = names.clone();
    headers.insert(limit_name, HeaderValue::from(limit));
    headers.insert(remaining_name, HeaderValue::from(remaining));
    if let Ok(reset) = HeaderValue::from_str(reset) {
        headers.insert(reset_name, reset);
    }
}
