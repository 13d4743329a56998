//! The state that all connections of one provider share.
//!
//! One small lock each for caches with limits, script and objects; none is held across an `await`.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;

use super::{
    cache::{Chain, Keeping, Look},
    levels::Told,
    limits::Refused,
    lockstep::Gate,
    log::Log,
    models::Model,
    objects::Objects,
    params::{Account, SimConfig},
    provider::Provider,
    script::Script,
    time::Time,
};
use crate::{
    clock::{self, Moment},
    types::Usage,
};

/// Whose limits and caches a request concerns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whose {
    account: usize,
    model: &'static Model,
}

pub(super) struct Core {
    pub(super) config: SimConfig,
    pub(super) time: Time,
    pub(super) log: Arc<Log>,
    pub(super) gate: Arc<Gate>,
    pub(super) script: Mutex<Script>,
    pub(super) objects: Mutex<Objects>,
    provider: Mutex<Provider>,
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
            provider: Mutex::new(Provider::new(&config.accounts, Keeping::default())),
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
        let mut provider = self.provider.lock();
        let account = provider.account(&account.key).ok_or(Refused::Unavailable)?;
        provider.admit(account, model, chain, now)
    }

    /// The answer has begun: what the request wrote can be read.
    pub(super) fn reveal(&self, whose: Whose, look: &Look, started: Moment) {
        self.provider.lock().first_byte(whose.account, whose.model, look, started, self.time.now());
    }

    /// Takes produced output from its limit.
    pub(super) fn produced(&self, whose: Whose, tokens: u64) {
        self.provider.lock().produced(whose.account, whose.model, tokens, self.time.now());
    }

    /// Admits one `count_tokens` call.
    pub(super) fn admit_count(&self, account: &Account) -> Result<(), Refused> {
        let mut provider = self.provider.lock();
        let account = provider.account(&account.key).ok_or(Refused::Unavailable)?;
        provider.admit_count(account, self.time.now())
    }

    /// Whose limits and caches a request concerns.
    pub(super) fn whose(&self, account: &Account, model: &'static Model) -> Whose {
        // Only accounts of the configuration come so far.
        Whose { account: self.provider.lock().account(&account.key).unwrap_or(usize::MAX), model }
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
        let told = Told { wall: clock::unix_now(), factor: self.time.factor(), spent_for };
        let mut provider = self.provider.lock();
        if let Some(account) = provider.account(&account.key) {
            provider.headers(account, model, self.time.now(), &told, headers);
        }
    }

    /// Forgets everything but the settings.
    pub(super) fn reset(&self) {
        self.provider.lock().clear();
        self.script.lock().clear();
        self.objects.lock().clear();
        self.log.clear(&self.config.accounts);
    }
}

/// Sets a header; a value that cannot be one is left out.
pub(super) fn put(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}
