//! Providers as they might truly be, for the simulation of routing by cost: token buckets and caches
//! that the gateway cannot see, and answers that do not always tell the truth about them.

use std::{collections::HashMap, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{InputFacts, Prompt, Warmth};
use crate::clock::Moment;

const MINUTE: f64 = 60.0;

/// What an account truly allows.
pub(super) struct Account {
    tokens: f64,
    requests: f64,
    tokens_left: f64,
    requests_left: f64,
    at: Moment,
    /// Of a hundred answers so many lie.
    lies: u32,
    /// The organisation that its answers name, if they do.
    organisation: Option<String>,
}

/// Whether a provider lets a request in.
pub(super) enum Admission {
    In,
    Refused { secs: u64, exceeds: bool },
}

impl Account {
    pub(super) fn new(name: &str, random: &mut fastrand::Rng) -> Self {
        let (tokens, requests) = (f64::from(random.u32(40..400)) * 1e3, f64::from(random.u32(30..300)));
        Self {
            tokens,
            requests,
            tokens_left: tokens,
            requests_left: requests,
            at: Moment::ZERO,
            lies: if random.u32(..3) == 0 { 30 } else { 0 },
            organisation: random.bool().then(|| name.to_owned()),
        }
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a limit of thousands")]
    pub(super) fn limit(&self) -> u64 {
        self.tokens as u64
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "seconds")]
    #[expect(clippy::cast_precision_loss, reason = "tokens of one prompt")]
    pub(super) fn admit(&mut self, counted: u64, now: Moment) -> Admission {
        let counted = counted as f64;
        let share = now.since(self.at).as_secs_f64() / MINUTE;
        self.at = now;
        self.tokens_left = (self.tokens_left + self.tokens * share).min(self.tokens);
        self.requests_left = (self.requests_left + self.requests * share).min(self.requests);
        let missing =
            ((counted - self.tokens_left) / self.tokens).max((1.0 - self.requests_left) / self.requests);
        if missing > 0.0 {
            let secs = (missing * MINUTE).ceil().clamp(1.0, 60.0) as u64;
            return Admission::Refused { secs, exceeds: counted > self.tokens };
        }
        self.tokens_left -= counted;
        self.requests_left -= 1.0;
        Admission::In
    }

    pub(super) fn headers(&self, random: &mut fastrand::Rng) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: &str, value: String| {
            let name: HeaderName = format!("anthropic-{name}").parse().unwrap();
            headers.insert(name, HeaderValue::from_str(&value).unwrap());
        };
        if let Some(organisation) = &self.organisation {
            put("organization-id", organisation.clone());
        }
        let figures = [
            ("input-tokens", self.tokens, self.tokens_left),
            ("requests", self.requests, self.requests_left),
        ];
        for (kind, limit, left) in figures {
            let (limit, left) = if random.u32(..100) < self.lies {
                let odd = ["-1", "0", "1e9", "99999999", "", "18446744073709551615", "7"];
                let mut any = || (*random.choice(&odd).unwrap()).to_owned();
                (any(), any())
            } else {
                (format!("{limit:.0}"), format!("{left:.0}"))
            };
            put(&format!("ratelimit-{kind}-limit"), limit);
            put(&format!("ratelimit-{kind}-remaining"), left);
        }
        headers
    }
}

/// What the providers' caches truly hold.
#[derive(Default)]
pub(super) struct Caches {
    entries: HashMap<(u64, u64), Moment>,
}

impl Caches {
    /// What a request that began at `started` finds there.
    pub(super) fn find(&self, prompt: &Prompt, domain: u64, started: Moment) -> u32 {
        let there = |key: u64| self.entries.get(&(domain, key)).is_some_and(|expires| *expires > started);
        prompt.probes().iter().find(|probe| there(probe.key)).map_or(0, |probe| probe.tokens)
    }

    /// It is answered: what it wrote is there. Now and then the provider has lost what it had.
    pub(super) fn answer(
        &mut self,
        prompt: &Prompt,
        domain: u64,
        started: Moment,
        random: &mut fastrand::Rng,
    ) -> InputFacts {
        if random.u32(..40) == 0 {
            for probe in prompt.probes() {
                self.entries.remove(&(domain, probe.key));
            }
        }
        let all = u64::from(prompt.tokens);
        let read = u64::from(self.find(prompt, domain, started)).min(all);
        for mark in prompt.marks() {
            self.entries.insert((domain, mark.key), started + mark.life);
        }
        let Some(last) = prompt.marks().last() else {
            return InputFacts { read, written: 0, uncached: all - read };
        };
        let written = u64::from(last.tokens).saturating_sub(read);
        InputFacts { read, written, uncached: all - read - written }
    }
}

/// Nothing that the index says is made up: it never claims more than the prompt has.
pub(super) fn is_sane(found: &[Warmth], prompt: &Prompt) -> bool {
    let most = prompt.tokens.saturating_mul(2);
    found.iter().all(|warmth| warmth.tokens <= most)
}

/// Between these, at random.
pub(super) fn span(random: &mut fastrand::Rng, millis: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.u64(millis))
}
