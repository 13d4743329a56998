//! The state that all connections of one provider share.
//!
//! One small lock each for caches, limits, script and objects; none is held across an `await`.

use std::{sync::Arc, time::Duration};

use ahash::AHashMap;
use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::{
    cache::{Chain, Look, PromptCache},
    limits::{Bucket, Limits, Reading, Refused},
    lockstep::Gate,
    log::Log,
    models::{Maker, Model},
    objects::Objects,
    params::{Account, SimConfig},
    script::Script,
    time::{Time, go_duration},
};
use crate::types::Usage;

/// Requests a minute of `count_tokens`, which is limited apart from messages (providers, 1.3).
const COUNT_RPM: u64 = 2_000;
/// The class under which `count_tokens` is limited.
const COUNT_CLASS: &str = "count_tokens";

/// Whose limits: organisation and model class.
pub(super) type LimitKey = (String, &'static str);

pub(super) struct Core {
    pub(super) config: SimConfig,
    pub(super) time: Time,
    pub(super) log: Arc<Log>,
    pub(super) gate: Arc<Gate>,
    pub(super) script: Mutex<Script>,
    pub(super) objects: Mutex<Objects>,
    cache: Mutex<PromptCache>,
    limits: Mutex<AHashMap<LimitKey, Limits>>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Core {
    pub(super) fn new(config: SimConfig) -> Self {
        Self {
            time: Time::new(config.compress),
            log: Arc::new(Log::new(&config.accounts, config.keep_seen)),
            gate: Arc::default(),
            script: Mutex::default(),
            objects: Mutex::default(),
            cache: Mutex::default(),
            limits: Mutex::default(),
            config,
        }
    }

    /// The account that a request's credentials belong to.
    pub(super) fn account(&self, key: &str) -> Option<&Account> {
        self.config.accounts.iter().find(|account| account.key == key)
    }

    /// Looks a prompt up, and admits it against the limits with what it does not find.
    pub(super) fn admit(&self, account: &Account, model: &Model, chain: &Chain) -> Result<Look, Refused> {
        let now = self.time.now();
        let look = self.cache.lock().look(chain, model.cache, now);
        let counted = match model.maker {
            // Cache reads do not count (providers, 1.3).
            Maker::Anthropic => look.usage.total_input() - look.usage.cached_read,
            Maker::OpenAi => look.usage.total_input(),
        };
        self.with_limits(account, model, |limits| limits.admit(counted, now))?;
        self.cache.lock().touch(&look, now);
        Ok(look)
    }

    /// The answer has begun: what the request wrote can be read.
    pub(super) fn reveal(&self, look: &Look, started: crate::clock::Moment) {
        self.cache.lock().write(look, started, self.time.now());
    }

    /// Takes produced output from its limit.
    pub(super) fn produced(&self, key: &LimitKey, tokens: u64) {
        if let Some(limits) = self.limits.lock().get_mut(key) {
            // OpenAI has one bucket for all tokens.
            let now = self.time.now();
            let bucket = if is_openai(key) { &mut limits.input } else { &mut limits.output };
            bucket.take(tokens, now);
        }
    }

    /// Admits one `count_tokens` call.
    pub(super) fn admit_count(&self, account: &Account) -> Result<(), Refused> {
        let now = self.time.now();
        let mut all = self.limits.lock();
        all.entry((account.organization.clone(), COUNT_CLASS))
            .or_insert_with(|| Limits::new(COUNT_RPM, 0, 0, now))
            .admit(0, now)
    }

    fn with_limits<T>(&self, account: &Account, model: &Model, act: impl FnOnce(&mut Limits) -> T) -> T {
        // The first account listed speaks for its organisation.
        let first = self.config.accounts.iter().find(|other| other.organization == account.organization);
        let first = first.unwrap_or(account);
        let now = self.time.now();
        let otpm = if model.maker == Maker::Anthropic { first.otpm } else { 0 };
        let key = limit_key(account, model);
        let mut all = self.limits.lock();
        act(all.entry(key).or_insert_with(|| Limits::new(first.rpm, first.itpm, otpm, now)))
    }

    /// Real time that so many output tokens take.
    pub(super) fn generation_time(&self, tokens: u64) -> Duration {
        let rate = self.config.tokens_per_second;
        if rate.is_finite() && rate > 0.0 {
            self.time.real(Duration::from_secs(tokens).div_f64(rate))
        } else {
            Duration::ZERO
        }
    }

    /// Real time to the first byte of an answer.
    pub(super) fn first_byte_time(&self, usage: &Usage) -> Duration {
        let fresh = u32::try_from(usage.total_input() - usage.cached_read).unwrap_or(u32::MAX);
        self.time.real(self.config.ttft + self.config.prefill_per_token.saturating_mul(fresh))
    }

    /// Virtual time from the start of a request to its last token.
    pub(super) fn virtual_time_for(&self, input: &Usage, output: u64) -> Duration {
        (self.first_byte_time(input) + self.generation_time(output)).mul_f64(self.time.factor())
    }

    /// Adds the rate-limit headers. `spent_for` makes them say that all is used up for so long.
    pub(super) fn limit_headers(
        &self,
        account: &Account,
        model: &Model,
        spent_for: Option<Duration>,
        headers: &mut HeaderMap,
    ) {
        let now = self.time.now();
        let [requests, input, output] = self.with_limits(account, model, |limits| {
            [&mut limits.requests, &mut limits.input, &mut limits.output].map(|bucket| reading(bucket, now))
        });
        let spent = |reading: Reading| match spent_for {
            // Given in real time; headers are written from virtual time.
            Some(span) => Reading { remaining: 0, full_in: span.mul_f64(self.time.factor()), ..reading },
            None => reading,
        };
        let [requests, input, output] = [requests, input, output].map(spent);
        match model.maker {
            Maker::Anthropic => {
                let both = Reading {
                    limit: input.limit.saturating_add(output.limit),
                    remaining: input.remaining.saturating_add(output.remaining),
                    full_in: input.full_in.max(output.full_in),
                };
                self.anthropic_headers("requests", requests, 1, headers);
                self.anthropic_headers("input-tokens", input, 1_000, headers);
                self.anthropic_headers("output-tokens", output, 1_000, headers);
                self.anthropic_headers("tokens", both, 1_000, headers);
            }
            Maker::OpenAi => {
                self.openai_headers("requests", requests, headers);
                self.openai_headers("tokens", input, headers);
            }
        }
    }

    fn anthropic_headers(&self, kind: &str, reading: Reading, round: u64, headers: &mut HeaderMap) {
        if reading.limit == 0 {
            return;
        }
        let remaining = (reading.remaining + round / 2) / round * round;
        let name = |part: &str| format!("anthropic-ratelimit-{kind}-{part}");
        put(headers, &name("limit"), &reading.limit.to_string());
        put(headers, &name("remaining"), &remaining.min(reading.limit).to_string());
        put(headers, &name("reset"), &self.time.stamp_in(reading.full_in));
    }

    fn openai_headers(&self, kind: &str, reading: Reading, headers: &mut HeaderMap) {
        if reading.limit == 0 {
            return;
        }
        let name = |part: &str| format!("x-ratelimit-{part}-{kind}");
        put(headers, &name("limit"), &reading.limit.to_string());
        put(headers, &name("remaining"), &reading.remaining.to_string());
        put(headers, &name("reset"), &go_duration(self.time.real(reading.full_in)));
    }

    /// Forgets everything but the settings.
    pub(super) fn reset(&self) {
        self.cache.lock().clear();
        self.limits.lock().clear();
        self.script.lock().clear();
        self.objects.lock().clear();
        self.log.clear(&self.config.accounts);
    }
}

fn reading(bucket: &mut Bucket, now: crate::clock::Moment) -> Reading {
    bucket.read(now)
}

pub(super) fn limit_key(account: &Account, model: &Model) -> LimitKey {
    (account.organization.clone(), model.class)
}

fn is_openai(key: &LimitKey) -> bool {
    super::models::find(key.1).is_some_and(|model| model.maker == Maker::OpenAi)
}

/// Sets a header; a value that cannot be one is left out.
pub(super) fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
