//! What to do after a failed try: the same endpoint again, another one, or give up.
//!
//! A shared provider that is overloaded is so for all accounts: moving re-ingests the context and
//! helps nobody, so the same endpoint is tried again (routing 3.5: 1.00x against 1.2x to 2x).
//! A request that was sent in full may be billed although it failed: it is replayed at most once.

use std::time::Duration;

use crate::{
    clock::Moment,
    upstream::{Credentials, Failure, Overload, Provider},
};

/// A failed try, and what came before it.
#[derive(Clone, Copy)]
pub struct Failed<'a> {
    /// What went wrong.
    pub failure: &'a Failure,
    /// Where.
    pub provider: &'a Provider,
    /// Tries so far, this one included, stale connections excluded.
    pub tries: u32,
    /// Tries it may make in all.
    pub max_tries: u32,
    /// How long the request has stayed at overloaded endpoints so far.
    pub stayed: Duration,
    /// Chance, 0 to 1: spreads those who come back.
    pub jitter: f64,
    /// Rate domains that have refused this request with a 429, this one included.
    pub refused_domains: u32,
    /// The request was sent in full: the provider may bill it all the same.
    pub ambiguous: bool,
    /// A replay of such a request was made before.
    pub ambiguous_before: bool,
    /// The try before this one failed on a stale connection too.
    pub stale_before: bool,
}

/// What to do next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// The same endpoint again, after this long.
    RetrySame {
        /// The wait.
        after: Duration,
    },
    /// Ask the policy, with this try added to what was tried.
    Ask,
    /// Enough: reply with what there is.
    GiveUp,
}

/// What to do after `failed`. Takes from the retry budget where the same endpoint is tried again;
/// the policy takes from it where another one is.
#[must_use]
pub fn after_failure(failed: &Failed<'_>, now: Moment) -> Next {
    if *failed.failure == Failure::Stale && !failed.stale_before {
        return Next::RetrySame { after: Duration::ZERO };
    }
    if failed.tries >= failed.max_tries || (failed.ambiguous && failed.ambiguous_before) {
        return Next::GiveUp;
    }
    let callers_own = failed.provider.params.credentials == Credentials::Caller;
    match *failed.failure {
        // Observe mode: it is the caller's own account, and as bad at every endpoint.
        Failure::RateLimited { .. } | Failure::Key(_) if callers_own => Next::GiveUp,
        Failure::RateLimited { limit, refused_elsewhere } => {
            if limit.request_exceeds_limit || refused_elsewhere || failed.refused_domains >= 2 {
                Next::GiveUp
            } else {
                Next::Ask
            }
        }
        Failure::Overloaded { retry_after } => stay(failed, retry_after, now),
        Failure::Connect => stay(failed, None, now),
        Failure::Timeout
        | Failure::Broken
        | Failure::Stale
        | Failure::ServerError
        | Failure::Key(_)
        | Failure::ModelBarred => Next::Ask,
    }
}

/// Stays at the endpoint, where its provider is of that kind and while there is time.
fn stay(failed: &Failed<'_>, retry_after: Option<Duration>, now: Moment) -> Next {
    let params = &failed.provider.params;
    match params.overload {
        Overload::Move => return Next::Ask,
        Overload::Stay => {}
    }
    // 75 % to 125 % of the usual time, or at least what the provider asked for.
    let jitter = if failed.jitter.is_nan() { 0.5 } else { failed.jitter.clamp(0.0, 1.0) };
    let after = params.cooling.stay_delay.mul_f64(0.75 + 0.5 * jitter);
    let after = after.max(retry_after.unwrap_or_default());
    if failed.stayed.saturating_add(after) > params.cooling.stay_max {
        return Next::Ask;
    }
    if failed.provider.budget.withdraw(now) { Next::RetrySame { after } } else { Next::GiveUp }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{KeyTrouble, LimitKind, RateLimit, RetryBudget, testing};

    const NOW: Moment = Moment::from_millis(1_000);
    const MAX_TRIES: u32 = 3;
    const LIMIT: RateLimit = RateLimit {
        retry_after: None,
        kind: LimitKind::Unknown,
        request_exceeds_limit: false,
        garbage: false,
    };
    const BUSY: Failure = Failure::Overloaded { retry_after: None };

    fn provider(overload: Overload) -> Provider {
        let params = crate::upstream::ProviderParams { overload, ..testing::provider("p") };
        Provider { params, budget: RetryBudget::new(20) }
    }

    fn first<'a>(failure: &'a Failure, provider: &'a Provider) -> Failed<'a> {
        Failed {
            failure,
            provider,
            tries: 1,
            max_tries: MAX_TRIES,
            stayed: Duration::ZERO,
            jitter: 0.5,
            refused_domains: 0,
            ambiguous: false,
            ambiguous_before: false,
            stale_before: false,
        }
    }

    #[test]
    fn an_overloaded_shared_provider_is_tried_again_at_the_same_endpoint() {
        let provider = provider(Overload::Stay);
        for failure in [BUSY, Failure::Connect] {
            let failed = first(&failure, &provider);
            assert_eq!(after_failure(&failed, NOW), Next::RetrySame { after: Duration::from_millis(1_500) });
            let late = Failed { stayed: Duration::from_secs(5), ..failed };
            assert_eq!(after_failure(&late, NOW), Next::Ask, "six seconds are over");
        }
    }

    #[test]
    fn jitter_spreads_and_a_named_time_is_kept() {
        let provider = provider(Overload::Stay);
        let after = |jitter, retry_after| {
            let failure = Failure::Overloaded { retry_after };
            match after_failure(&Failed { jitter, ..first(&failure, &provider) }, NOW) {
                Next::RetrySame { after } => after.as_millis(),
                other @ (Next::Ask | Next::GiveUp) => panic!("{other:?}"),
            }
        };
        assert_eq!((after(0.0, None), after(1.0, None)), (1_125, 1_875));
        assert_eq!(after(f64::NAN, Some(Duration::from_secs(4))), 4_000);
    }

    #[test]
    fn another_replica_of_a_self_hosted_engine_may_be_idle() {
        let provider = provider(Overload::Move);
        assert_eq!(after_failure(&first(&BUSY, &provider), NOW), Next::Ask);
    }

    #[test]
    fn three_tries_are_all_there_is() {
        let provider = provider(Overload::Stay);
        for failure in [BUSY, Failure::ServerError, Failure::Timeout, Failure::Key(KeyTrouble::Invalid)] {
            let failed = Failed { tries: MAX_TRIES, ..first(&failure, &provider) };
            assert_eq!(after_failure(&failed, NOW), Next::GiveUp);
        }
    }

    #[test]
    fn a_stale_connection_is_replaced_once_without_counting() {
        let provider = provider(Overload::Stay);
        let stale = Failed { tries: MAX_TRIES, ..first(&Failure::Stale, &provider) };
        assert_eq!(after_failure(&stale, NOW), Next::RetrySame { after: Duration::ZERO });
        assert_eq!(after_failure(&Failed { stale_before: true, tries: 1, ..stale }, NOW), Next::Ask);
    }

    #[test]
    fn a_429_of_the_callers_own_making_is_not_carried_around() {
        let provider = provider(Overload::Stay);
        let limited = |limit, refused_elsewhere| Failure::RateLimited { limit, refused_elsewhere };
        let plain = limited(LIMIT, false);
        assert_eq!(after_failure(&first(&plain, &provider), NOW), Next::Ask);
        let twice = Failed { refused_domains: 2, ..first(&plain, &provider) };
        assert_eq!(after_failure(&twice, NOW), Next::GiveUp);
        let large = limited(RateLimit { request_exceeds_limit: true, ..LIMIT }, false);
        assert_eq!(after_failure(&first(&large, &provider), NOW), Next::GiveUp);
        assert_eq!(after_failure(&first(&limited(LIMIT, true), &provider), NOW), Next::GiveUp);
    }

    #[test]
    fn what_may_be_billed_twice_is_replayed_at_most_once() {
        let provider = provider(Overload::Stay);
        let once = Failed { ambiguous: true, ..first(&Failure::Timeout, &provider) };
        assert_eq!(after_failure(&once, NOW), Next::Ask);
        let twice = Failed { ambiguous_before: true, tries: 2, ..once };
        assert_eq!(after_failure(&twice, NOW), Next::GiveUp);
    }

    #[test]
    fn without_budget_nothing_is_tried_again() {
        let provider = provider(Overload::Stay);
        while provider.budget.withdraw(NOW) {}
        assert_eq!(after_failure(&first(&BUSY, &provider), NOW), Next::GiveUp);
    }
}
