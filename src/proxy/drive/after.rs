//! What a try's answer, or the lack of one, means: for the endpoint, and for what comes next.

use std::{sync::Arc, time::Duration};

use super::{Drive, Ending, Step};
use crate::{
    clock::{self, Moment},
    dialect::{self, UpstreamFault},
    proxy::{
        access,
        choose::Choice,
        cooling,
        denial::Denial,
        forward::Answer,
        last_word::{Final, LastWord},
        relay::Cut,
    },
    routing::{Failed, Next, Tried, after_failure},
    types::{AttemptOutcome, AttemptRecord, EndpointName},
    upstream::{Asked, Credentials, Endpoint, Failure, Verdict, classify, classify_event},
};

impl Drive<'_, '_> {
    /// Not a 2xx: finds out what it means.
    pub(super) async fn refused(
        &mut self,
        mut choice: Choice,
        answer: Answer,
        added_usage: bool,
        started: Moment,
    ) -> Step {
        let (head, body) = match self.line.attend(Box::pin(answer.drain())).await {
            Ok(drained) => drained,
            Err(lost) => {
                self.record(&choice, AttemptOutcome::Cancelled, None, false, started);
                return Step::Ended(Ending::Lost(lost));
            }
        };
        let status = head.status.as_u16();
        let fault = dialect::read_fault(&body);
        let verdict = classify(status, &head.headers, &fault, &self.asked(), clock::unix_now());
        if matches!(verdict, Verdict::UsageOptionRefused) && added_usage && !self.no_usage_option {
            self.no_usage_option = true;
            choice.slot.refused(clock::now());
            self.record(&choice, AttemptOutcome::Refused, Some(status), false, started);
            return Step::Same(choice.into(), Duration::ZERO);
        }
        if matches!(verdict, Verdict::Request) && self.x.care.any() && is_of_care(&fault) {
            tracing::warn!(endpoint = %choice.endpoint.name(), care = %self.x.care, "cache care refused; sent without");
            self.no_care = true;
            choice.slot.refused(clock::now());
            self.record(&choice, AttemptOutcome::Refused, Some(status), false, started);
            return Step::Same(choice.into(), Duration::ZERO);
        }
        if self.search.is_miss(status, &fault) {
            choice.slot.refused(clock::now());
            self.record(&choice, AttemptOutcome::Refused, Some(status), false, started);
            // A turn that was not answered leaves nothing warm.
            self.x.turn = None;
            self.search.missed(&choice.endpoint, Final { head, body, verdict, words: self.x.words.clone() });
            return self.search_on().map_or(Step::Ask, Step::Ended);
        }
        if matches!(verdict, Verdict::ProvenanceRefused) {
            self.thinking_refused(&choice);
        }
        let refused_elsewhere = self.domains_that_refused_but(&choice) > 0;
        let last = Final { head, body, verdict, words: self.x.words.clone() };
        // In observe mode the account is the caller's own: its trouble says nothing of anybody else's.
        let observe = choice.endpoint.provider().params.credentials == Credentials::Caller;
        match last.verdict.failure(refused_elsewhere).filter(|failure| !observe || !is_of_account(failure)) {
            None => {
                choice.slot.refused(clock::now());
                self.record(&choice, AttemptOutcome::Refused, Some(status), false, started);
                Step::Ended(Ending::Passed(Box::new(last)))
            }
            Some(failure) => {
                self.failed(choice, failure, Some(status), false, LastWord::Http(Box::new(last)), started)
            }
        }
    }

    /// What a cut says against the endpoint (nothing where the request itself is at fault), and what
    /// it leaves for the client.
    pub(super) fn of_cut(&self, cut: Cut) -> (Option<Failure>, LastWord) {
        let failure = match cut {
            Cut::Broken | Cut::Truncated => Failure::Broken,
            Cut::Idle | Cut::Overdue => Failure::Timeout,
            // Nothing of the endpoint's, and never unseen: what came before it was sent.
            Cut::Budget(refusal) => return (None, LastWord::Budget(refusal)),
            Cut::Reported(fault) => {
                let verdict = classify_event(&fault, &self.asked(), clock::unix_now());
                return (verdict.failure(false), LastWord::Event(fault, verdict));
            }
        };
        (Some(failure), LastWord::Broken(failure))
    }

    /// Nothing reached the client: cools what is to blame, and says what comes next.
    pub(super) fn failed(
        &mut self,
        mut choice: Choice,
        failure: Failure,
        status: Option<u16>,
        ambiguous: bool,
        last: LastWord,
        started: Moment,
    ) -> Step {
        let now = clock::now();
        if self.server_failed {
            choice.slot.repeats_a_failure();
        }
        self.server_failed |= matches!(failure, Failure::ServerError);
        let effect = choice.slot.failed(&failure, now);
        cooling::tell(&self.x.live, &choice.endpoint, &failure, &effect, now);
        self.record(&choice, failure.outcome(), status, ambiguous, started);
        // A turn that was not answered leaves nothing warm.
        self.x.turn = None;
        let rate_limited = matches!(failure, Failure::RateLimited { .. });
        let provider = Arc::clone(choice.endpoint.provider());
        let next = after_failure(
            &Failed {
                failure: &failure,
                provider: &provider,
                tries: self.count.saturating_sub(u32::from(self.stale) + self.search.misses()),
                max_tries: self.x.snapshot.server.max_attempts,
                stayed: self.stayed,
                jitter: fastrand::f64(),
                refused_domains: self.domains_that_refused_but(&choice) + u32::from(rate_limited),
                ambiguous,
                ambiguous_before: self.ambiguous,
                stale_before: self.stale,
            },
            now,
        );
        self.ambiguous |= ambiguous;
        self.stale |= matches!(failure, Failure::Stale);
        let over = now >= self.x.since + provider.params.timeouts.total;
        match next {
            Next::RetrySame { after } if !over => {
                self.last = Some(last);
                Step::Same(choice.into(), after)
            }
            Next::Ask if !over && !effect.callers_own => {
                self.tried.push(Tried::new(&choice.endpoint, rate_limited));
                self.last = Some(last);
                Step::Ask
            }
            Next::RetrySame { .. } | Next::Ask | Next::GiveUp => Step::Ended(last.ending()),
        }
    }

    /// Thinking in the history is not this account's. After a move that is ours to say, and to mend: the
    /// session goes back to where it was before, with its next turn.
    fn thinking_refused(&mut self, choice: &Choice) {
        let Some(session) = self.x.identity.as_ref().and_then(|identity| identity.key) else { return };
        // A turn that was not answered leaves nothing warm.
        self.x.turn = None;
        let made_at = self.x.snapshot.policy.sessions().thinking_refused(session, &choice.endpoint);
        let rate_domain = |name: &EndpointName| {
            self.x.snapshot.pool.endpoint(name.as_str()).map(|endpoint| endpoint.rate_domain().name().clone())
        };
        let here = choice.endpoint.rate_domain();
        self.x.thinking_made_at =
            made_at.filter(|name| rate_domain(name).is_some_and(|domain| domain != *here.name()));
    }

    /// The choice was denied: the end, unless there is another account where to look.
    pub(super) fn denied(&mut self, denial: Denial) -> Option<Ending> {
        let next = self.search.next().and_then(|name| self.x.snapshot.pool.endpoint(name.as_str()));
        let Some(endpoint) = next.map(Arc::clone) else {
            return Some(LastWord::instead_of(self.last.take(), denial));
        };
        self.search.denied(&endpoint, denial);
        self.search_on()
    }

    /// Looks elsewhere for what nobody here has made; the end where nobody is left to ask.
    fn search_on(&mut self) -> Option<Ending> {
        let now = clock::now();
        let total = self.x.endpoint.as_ref().map(|endpoint| endpoint.provider().params.timeouts.total);
        let over = total.is_some_and(|total| now >= self.x.since + total);
        if !over
            && self.search.go_on(&self.call.model, self.lane, (&self.tried, access::narrowed(self.x)), now)
        {
            return None;
        }
        Some(self.search.give_up(&self.tried, self.last.take()))
    }

    /// Whoever answers a request has what it refers to.
    pub(super) fn own_what_was_found(&self, choice: &Choice) {
        let now = clock::unix_now();
        for pin in self.search.objects() {
            self.x.live.owners.learn(&self.x.tenant, pin.kind, &pin.id, choice.endpoint.name(), now);
        }
    }

    /// Rate domains other than that of `choice` that have refused this request with a 429.
    fn domains_that_refused_but(&self, choice: &Choice) -> u32 {
        let here = choice.endpoint.rate_domain();
        let limited: std::collections::BTreeSet<_> = self
            .tried
            .iter()
            .filter(|tried| tried.rate_limited && tried.rate_domain != *here.name())
            .map(|tried| &tried.rate_domain)
            .collect();
        u32::try_from(limited.len()).unwrap_or(u32::MAX)
    }

    /// Says aloud what a failure did, and has the key checked where that is due.
    pub(super) fn asked(&self) -> Asked {
        Asked {
            operation: self.call.operation,
            estimated_tokens: self.call.ratios.input_tokens(self.x.request_bytes),
        }
    }

    pub(super) fn record(
        &mut self,
        choice: &Choice,
        outcome: AttemptOutcome,
        status: Option<u16>,
        ambiguous: bool,
        started: Moment,
    ) {
        self.x.attempts.push(AttemptRecord {
            endpoint: choice.endpoint.name().clone(),
            outcome,
            status,
            ambiguous,
            spent: clock::now().since(started),
        });
    }

    /// The option is not to be tried there.
    pub(super) fn usage_is_refused(&self, endpoint: &Endpoint) -> bool {
        if self.no_usage_option {
            return true;
        }
        let refused = self.x.live.usage_refused.lock();
        !refused.is_empty()
            && refused.contains(&(endpoint.provider().params.name.clone(), self.call.model.label.clone()))
    }

    /// Without the usage option it was answered, so it was the option. Only now: the error that made
    /// us leave it out may have quoted the caller's own words.
    pub(super) fn remember_usage_refused(&self, choice: &Choice) {
        let provider = choice.endpoint.provider().params.name.clone();
        self.x.live.usage_refused.lock().insert((provider, self.call.model.label.clone()));
    }
}

/// The complaint may be about something that we put in.
fn is_of_care(fault: &UpstreamFault) -> bool {
    let names = ["cache_control", "prompt_cache_key"];
    names.iter().any(|name| fault.message.contains(name) || fault.param.contains(name))
}

fn is_of_account(failure: &Failure) -> bool {
    matches!(failure, Failure::RateLimited { .. } | Failure::Key(_) | Failure::ModelBarred)
}
