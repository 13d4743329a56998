//! One request's way through waiting: the state between the policy's decisions.
//!
//! Driven by the proxy with real timers and by replay in virtual time, unchanged: [`Choosing::begin`],
//! then [`Choosing::on_time`] or [`Choosing::on_first_byte`] until it goes or is denied. It holds the
//! request's place in a queue, with the tokens reserved there, and gives it back when dropped: a
//! client that leaves ends its wait at once.

use std::time::Duration;

use super::{
    policy::{Ask, Decision, Policy, Verdict, Waiter},
    record::Record,
};
use crate::{
    clock::Moment,
    types::{AffinityReason, AffinityResult},
    upstream::{Draw, Flow, Need, Reservation, Standing},
};

/// Whoever is ahead may leave: a waiter looks again this often.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The waiting of one request, over all its tries.
#[derive(Default)]
pub struct Choosing {
    waited: Duration,
    since: Option<Moment>,
    parked: bool,
    need: Need,
    anyway: bool,
    waiter: Option<Waiter>,
    place: Option<Reservation>,
    record: Record,
}

impl Choosing {
    /// Nothing was waited for yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The request has come, or one of its tries has failed.
    pub fn begin(&mut self, policy: &dyn Policy, ask: &Ask<'_>, now: Moment) -> Decision {
        self.leave(now);
        self.step(policy, ask, now)
    }

    /// What it waited for is due; or somebody else took it.
    pub fn on_time(&mut self, policy: &dyn Policy, ask: &Ask<'_>, now: Moment) -> Decision {
        self.pause(now);
        self.step(policy, ask, now)
    }

    /// The leader that it was parked behind is over.
    pub fn on_first_byte(&mut self, policy: &dyn Policy, ask: &Ask<'_>, now: Moment) -> Decision {
        self.parked = true;
        self.on_time(policy, ask, now)
    }

    /// How to take a slot where the last decision said to go.
    #[must_use]
    pub fn draw(&self, flow: Flow) -> Draw<'_> {
        let who = self.place.as_ref().map_or(Standing::New(flow), Standing::Waiting);
        Draw { need: self.need, who, anyway: self.anyway }
    }

    /// It went: others may have its place. Returns what the decision rested on.
    pub fn went(&mut self, now: Moment) -> Record {
        self.leave(now);
        std::mem::take(&mut self.record)
    }

    /// How long it has waited on purpose.
    #[must_use]
    pub const fn waited(&self) -> Duration {
        self.waited
    }

    fn pause(&mut self, now: Moment) {
        if let Some(since) = self.since.take() {
            // At least a moment, so that a wait which is over at once still counts.
            self.waited += now.since(since).max(Duration::from_millis(1));
        }
    }

    fn leave(&mut self, now: Moment) {
        self.pause(now);
        self.place = None;
        self.waiter = None;
    }

    fn step(&mut self, policy: &dyn Policy, ask: &Ask<'_>, now: Moment) -> Decision {
        let ask = Ask { waited: self.waited, ..*ask };
        let verdict = policy.decide(&ask, self.place.as_ref(), now);
        let decision = match self.enter(policy, &ask, verdict, now) {
            Ok(decision) => decision,
            // No place to wait is left: what would it do if waiting were impossible?
            Err(()) => {
                self.leave(now);
                let verdict = policy.decide(&Ask { may_wait: false, ..ask }, None, now);
                self.take(verdict)
            }
        };
        match decision {
            Decision::Wait { endpoint, until } => {
                self.since = Some(now);
                Decision::Wait { endpoint, until: until.min(now + LOOK_AGAIN) }
            }
            Decision::Park { leader, until } => {
                self.since = Some(now);
                Decision::Park { leader, until }
            }
            Decision::Go { endpoint, affinity } => {
                Decision::Go { endpoint, affinity: self.relabelled(affinity) }
            }
            Decision::Move { .. } => decision,
            Decision::Deny { .. } => {
                self.leave(now);
                decision
            }
        }
    }

    /// Takes the place that a decision to wait needs.
    fn enter(
        &mut self,
        policy: &dyn Policy,
        ask: &Ask<'_>,
        verdict: Verdict,
        now: Moment,
    ) -> Result<Decision, ()> {
        let stays = match &verdict.decision {
            Decision::Wait { endpoint, .. } => {
                self.place.as_ref().is_some_and(|place| place.holds_at(endpoint, ask.lane))
            }
            Decision::Park { .. } => false,
            Decision::Go { .. } | Decision::Move { .. } | Decision::Deny { .. } => {
                return Ok(self.take(verdict));
            }
        };
        if self.waiter.is_none() {
            self.waiter = Some(policy.waiters().enter().ok_or(())?);
        }
        if !stays {
            self.place = None;
            if let Decision::Wait { endpoint, .. } = &verdict.decision {
                self.place = Some(endpoint.reserve(ask.lane, &verdict.need, ask.flow, now).ok_or(())?);
            }
        }
        Ok(self.take(verdict))
    }

    fn take(&mut self, verdict: Verdict) -> Decision {
        (self.need, self.anyway, self.record) = (verdict.need, verdict.anyway, verdict.record);
        verdict.decision
    }

    /// Warm because it waited for the first of its kind.
    fn relabelled(
        &self,
        (result, reason): (AffinityResult, AffinityReason),
    ) -> (AffinityResult, AffinityReason) {
        // A leader that failed has made nothing warm.
        let coalesced = self.parked && result == AffinityResult::Hit && reason != AffinityReason::HardPin;
        (result, if coalesced { AffinityReason::Coalesced } else { reason })
    }
}

#[cfg(test)]
#[path = "choosing_tests.rs"]
mod tests;
