//! Callers, keys and prices to test with.

mod budgets;
mod levels;
mod random;
mod shared;
mod upstream;

use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::*;
use crate::{
    clock::{Moment, UnixTime},
    types::{
        Allowance, Budget, KeyDigest, Limits, ModelName, NanoUsd, Period, Rates, RequestId, SessionKey,
        TenantId, Unit, Usage, VirtualKey,
    },
};

/// $3 and $15 a million: a token of output costs 15,000 nano-dollars.
pub(super) const RATES: Rates = Rates {
    input: 3_000_000_000,
    cached_read: 300_000_000,
    write_5m: 3_750_000_000,
    write_1h: 6_000_000_000,
    output: 15_000_000_000,
};
pub(super) const CENT: u64 = 10_000_000;
pub(super) const DOLLAR: u64 = 1_000_000_000;
/// 2026-11-21, noon.
pub(super) const NOON: u64 = 1_795_262_400;

/// Runs what never waits.
pub(super) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits, with no shared counters"),
    }
}

pub(super) const fn usd(amount: u64, per: Period) -> Budget {
    Budget { unit: Unit::Usd, amount, per, soft: false }
}

pub(super) const fn tokens(amount: u64, per: Period) -> Budget {
    Budget { unit: Unit::Tokens, amount, per, soft: false }
}

pub(super) fn key(allowance: Allowance) -> Arc<VirtualKey> {
    let digest = KeyDigest::of(b"k");
    Arc::new(VirtualKey { allowance, ..VirtualKey::named("ci", digest) })
}

pub(super) fn limited(limits: Limits) -> Arc<VirtualKey> {
    key(Allowance { limits, ..Allowance::default() })
}

pub(super) fn budgeted(budgets: &[Budget]) -> Arc<VirtualKey> {
    key(Allowance { budgets: budgets.to_vec(), ..Allowance::default() })
}

/// A quota, and a request that is asked of it again and again.
pub(super) struct Desk {
    pub(super) quota: Arc<Quota>,
    pub(super) key: Arc<VirtualKey>,
    pub(super) tenant: TenantId,
    pub(super) model: ModelName,
    pub(super) session: Option<SessionKey>,
    pub(super) input: u64,
    pub(super) most: Option<u64>,
    pub(super) likely: u64,
    pub(super) rates: Option<Rates>,
    pub(super) streamed: bool,
    pub(super) now: Moment,
    pub(super) at: u64,
}

impl Desk {
    pub(super) fn new(key: Arc<VirtualKey>) -> Self {
        Self::with(key, Levels::default())
    }

    pub(super) fn with(key: Arc<VirtualKey>, levels: Levels) -> Self {
        let quota = Quota::new(QuotaParams::default(), None);
        quota.configure(Arc::new(levels));
        Self::on(Arc::new(quota), key)
    }

    pub(super) fn on(quota: Arc<Quota>, key: Arc<VirtualKey>) -> Self {
        Self {
            quota,
            key,
            tenant: "default".into(),
            model: "sonnet".into(),
            session: Some(SessionKey(7 << 64)),
            input: 1_000,
            most: None,
            likely: 500,
            rates: Some(RATES),
            streamed: true,
            now: Moment::from_millis(100_000),
            at: NOON,
        }
    }

    pub(super) fn ask(&self) -> Ask<'_> {
        Ask {
            request: RequestId::mint(),
            key: Some(&self.key),
            tenant: &self.tenant,
            model: &self.model,
            session: self.session,
            input_tokens: self.input,
            max_output: self.most,
            likely_output: self.likely,
            rates: self.rates,
            streamed: self.streamed,
            now: self.now,
            at: self.unix(),
        }
    }

    pub(super) const fn unix(&self) -> UnixTime {
        UnixTime(Duration::from_secs(self.at))
    }

    pub(super) fn go(&self) -> Result<Permit, Refusal> {
        at_once(self.quota.admit(self.ask()))
    }

    pub(super) fn granted(&self) -> Permit {
        match self.go() {
            Ok(permit) => permit,
            Err(refusal) => panic!("{}", refusal.message()),
        }
    }

    pub(super) fn denied(&self) -> Refusal {
        match self.go() {
            Ok(_) => panic!("it was let through"),
            Err(refusal) => refusal,
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.at += seconds;
    }

    /// Where the key's counter of this stands: used and spent.
    pub(super) fn stands(&self, what: What) -> (u64, u64) {
        let views = self.quota.view_key(&self.key, self.now, self.unix());
        let view = views.iter().find(|view| view.what == what).expect("a counter of this");
        (view.used, view.spent)
    }
}

pub(super) const fn used(input: u64, output: u64) -> Usage {
    Usage { input, cached_read: 0, write_5m: 0, write_1h: 0, output, reasoning: 0 }
}

#[test]
fn messages_say_which_limit_whose_and_what_to_do() {
    let refusal = Refusal {
        scope: crate::types::Scope::Key("ci".into()),
        what: What::Usd(Period::Day),
        why: Why::Used,
        limit: 5 * DOLLAR,
        used: 4_987_654_321,
        asked: 312_345_678,
        retry_after: None,
        resets_at: Some(UnixTime(Duration::from_secs(NOON))),
    };
    assert_eq!(
        refusal.message(),
        "This request may take $0.313, and the budget of $5.00 a day of your key has $4.988 in use. It \
         begins anew at 2026-11-21T12:00:00Z."
    );
    let limit = Refusal {
        what: What::Itpm,
        limit: 1_000,
        used: 900,
        asked: 200,
        retry_after: Some(Duration::from_millis(60_700)),
        resets_at: None,
        ..refusal.clone()
    };
    assert_eq!(
        limit.message(),
        "This request may take 200 input tokens, and the limit of 1000 input tokens a minute of your key \
         has 900 input tokens in use. Try again in 60 s."
    );
    let spent = Refusal { used: 1_000, ..limit.clone() };
    assert_eq!(
        spent.message(),
        "All of the limit of 1000 input tokens a minute of your key is in use. Try again in 60 s."
    );
    assert_eq!(limit.retry_after_s(), Some(60));
    let soon = Refusal { retry_after: Some(Duration::from_millis(1)), ..limit };
    assert_eq!(soon.retry_after_s(), Some(1));
    for why in [Why::Used, Why::Apart, Why::TooLarge, Why::NoPrice, Why::Full] {
        let text = Refusal { why, ..refusal.clone() }.message();
        assert!(text.contains("the budget of $5.00 a day") && text.contains("your key"), "{text}");
    }
}
