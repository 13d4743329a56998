//! One endpoint's credential, and the token that it has at present.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;

use super::grant::{AwsKeys, AwsSource, Grant};
use crate::{
    clock::Moment,
    types::{KeyDigest, Secret},
};

/// A token is renewed so long before its end, or at three quarters of its life, whatever is later.
/// Instance roles hand out new credentials five minutes before the old ones end, and no sooner.
const MARGIN: Duration = Duration::from_secs(300);
/// What is renewed successfully rests so long at least: somebody may hand out what is about to end.
const REST: Duration = Duration::from_secs(30);
/// The first wait after a failure; doubles with each.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Nothing asks anybody for a token that is good for less: clocks differ, and requests take time.
const SKEW: Duration = Duration::from_secs(10);

/// What lets an endpoint in.
#[derive(Debug)]
pub struct Credential {
    source: Source,
    token: ArcSwapOption<Granted>,
    schedule: Mutex<Schedule>,
    renewing: AtomicBool,
}

#[derive(Debug)]
enum Source {
    Key(Secret),
    Grant(Grant),
}

/// What is sent, or signed with.
#[derive(Clone, Debug)]
pub enum Token {
    /// `authorization: Bearer`
    Bearer(Secret),
    /// SigV4
    Aws(AwsKeys),
}

/// A token, and how long it is good for.
#[derive(Debug)]
pub struct Granted {
    /// The token.
    pub token: Token,
    /// From then on it is not; `None`: nobody said.
    expires: Option<Moment>,
}

impl Granted {
    fn is_good(&self, now: Moment) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

/// When to ask next.
#[derive(Debug)]
struct Schedule {
    next: Option<Moment>,
    failures: u32,
}

impl Credential {
    /// A key that is sent as it is.
    #[must_use]
    pub fn key(key: Secret) -> Self {
        Self::new(Source::Key(key), None, None)
    }

    /// What has to be asked for; but AWS keys of the configuration are there at once.
    #[must_use]
    pub fn grant(grant: Grant) -> Self {
        if let Grant::Aws(AwsSource::Keys(keys)) = &grant {
            let granted = Granted { token: Token::Aws(keys.clone()), expires: None };
            return Self::new(Source::Grant(grant), Some(granted), None);
        }
        Self::new(Source::Grant(grant), None, Some(Moment::ZERO))
    }

    fn new(source: Source, granted: Option<Granted>, next: Option<Moment>) -> Self {
        Self {
            source,
            token: ArcSwapOption::new(granted.map(Arc::new)),
            schedule: Mutex::new(Schedule { next, failures: 0 }),
            renewing: AtomicBool::new(false),
        }
    }

    /// The key, where it is sent as it is.
    #[must_use]
    pub fn secret(&self) -> Option<&Secret> {
        match &self.source {
            Source::Key(key) => Some(key),
            Source::Grant(_) => None,
        }
    }

    /// Where its token comes from, where it has one.
    #[must_use]
    pub fn source(&self) -> Option<&Grant> {
        match &self.source {
            Source::Key(_) => None,
            Source::Grant(grant) => Some(grant),
        }
    }

    /// The token, if there is one that is good now.
    #[must_use]
    pub fn token(&self, now: Moment) -> Option<Arc<Granted>> {
        self.token.load_full().filter(|granted| granted.is_good(now))
    }

    /// Whether there is something to be let in with.
    #[must_use]
    pub fn is_ready(&self, now: Moment) -> bool {
        match &self.source {
            Source::Key(_) => true,
            Source::Grant(_) => self.token.load().as_ref().is_some_and(|granted| granted.is_good(now)),
        }
    }

    /// What tells it from another.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        match &self.source {
            Source::Key(key) => key.digest(),
            Source::Grant(grant) => grant.digest(),
        }
    }

    /// The right and duty to renew its token, where that is due. Exclusive until it is dropped.
    #[must_use]
    pub fn claim_renewal(self: &Arc<Self>, now: Moment) -> Option<Renewal> {
        let due = self.schedule.lock().next.is_some_and(|next| next <= now);
        if !due || self.renewing.swap(true, Ordering::AcqRel) {
            return None;
        }
        Some(Renewal(Arc::clone(self)))
    }
}

/// The right and duty to renew a token.
#[derive(Debug)]
pub struct Renewal(Arc<Credential>);

impl Renewal {
    /// Where to ask.
    #[must_use]
    pub fn source(&self) -> Option<&Grant> {
        self.0.source()
    }

    /// A token came at `now`, good for `life`; `None`: it does not say, and is asked for again after
    /// `ask_again`.
    pub fn done(self, token: Token, life: Option<Duration>, now: Moment) {
        let end = life.map(|life| now + life.saturating_sub(SKEW));
        self.0.token.store(Some(Arc::new(Granted { token, expires: end })));
        let rest = life.map_or(MARGIN, |life| life.saturating_sub(MARGIN).max(life.mul_f64(0.75)).max(REST));
        *self.0.schedule.lock() = Schedule { next: Some(now + rest), failures: 0 };
    }

    /// None came. The one there is stays. Says whether requests have nothing to be let in with now.
    pub fn failed(self, now: Moment) -> bool {
        let mut schedule = self.0.schedule.lock();
        let wait = FIRST_WAIT.saturating_mul(1 << schedule.failures.min(10)).min(LONGEST_WAIT);
        *schedule = Schedule { next: Some(now + wait), failures: schedule.failures.saturating_add(1) };
        drop(schedule);
        !self.0.is_ready(now)
    }
}

impl Drop for Renewal {
    fn drop(&mut self) {
        self.0.renewing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(1_000 + seconds)
    }

    fn profile() -> Arc<Credential> {
        let source = AwsSource::Profile { file: "none".into(), name: "default".into() };
        Arc::new(Credential::grant(Grant::Aws(source)))
    }

    fn bearer(text: &str) -> Token {
        Token::Bearer(Secret::new(text.to_owned()))
    }

    fn renewed(credential: &Arc<Credential>, life: u64, now: u64) {
        let renewal = credential.claim_renewal(at(now)).expect("due");
        renewal.done(bearer("t"), Some(Duration::from_secs(life)), at(now));
    }

    #[test]
    fn a_token_is_renewed_before_its_end_and_never_used_after_it() {
        let credential = profile();
        assert!(!credential.is_ready(at(0)), "nothing was fetched yet");
        renewed(&credential, 3_600, 0);
        assert!(credential.is_ready(at(1)));
        assert!(credential.claim_renewal(at(3_299)).is_none());
        assert!(credential.claim_renewal(at(3_300)).is_some(), "five minutes before its end");
        assert!(credential.token(at(3_589)).is_some());
        assert!(credential.token(at(3_590)).is_none(), "ten seconds are left to clocks that differ");
    }

    #[test]
    fn a_short_token_lives_three_quarters_of_its_life() {
        let credential = profile();
        renewed(&credential, 400, 0);
        assert!(credential.claim_renewal(at(299)).is_none());
        assert!(credential.claim_renewal(at(300)).is_some());
    }

    #[test]
    fn what_is_about_to_end_is_not_asked_for_in_a_loop() {
        let credential = profile();
        renewed(&credential, 5, 0);
        assert!(credential.claim_renewal(at(29)).is_none());
        assert!(credential.claim_renewal(at(30)).is_some());
    }

    #[test]
    fn a_failed_renewal_keeps_the_old_token_and_is_tried_again_ever_later() {
        let credential = profile();
        renewed(&credential, 3_600, 0);
        let fail = |now| credential.claim_renewal(at(now)).expect("due").failed(at(now));
        assert!(!fail(3_300), "the old one is good still");
        assert!(credential.claim_renewal(at(3_300)).is_none());
        assert!(!fail(3_301));
        assert!(credential.claim_renewal(at(3_302)).is_none(), "two seconds this time");
        assert!(!fail(3_303));
        assert!(fail(3_590), "now requests have nothing to be let in with");
        for n in 0..80 {
            let _ = fail(4_000 + n * 60);
        }
        renewed(&credential, 3_600, 9_000);
        assert!(credential.is_ready(at(9_001)));
    }

    #[test]
    fn one_renews_at_a_time() {
        let credential = profile();
        let renewal = credential.claim_renewal(at(0)).expect("due");
        assert!(credential.claim_renewal(at(0)).is_none());
        drop(renewal);
        assert!(credential.claim_renewal(at(0)).is_some(), "given up, so somebody else may");
    }

    #[test]
    fn keys_of_the_configuration_are_there_at_once() {
        let keys = AwsKeys { id: "AKIA".into(), secret: Secret::new("s".into()), session: None };
        let credential = Arc::new(Credential::grant(Grant::Aws(AwsSource::Keys(keys))));
        assert!(credential.is_ready(at(0)) && credential.claim_renewal(at(0)).is_none());
        let key = Arc::new(Credential::key(Secret::new("sk".into())));
        assert!(key.is_ready(at(0)) && key.claim_renewal(at(0)).is_none());
        assert_ne!(key.digest(), credential.digest());
    }
}
