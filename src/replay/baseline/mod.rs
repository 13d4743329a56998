//! What others do: the usual ways to choose an account, each with the usual fail-over.
//!
//! All of them skip accounts that cool (`retry-after` after a 429, a few seconds after a failure), go
//! to their next candidate at once when they are refused, and say no to the client only when every
//! account cools or has failed this request. What differs is the order: that is an [`Order`].

mod orders;

use std::time::Duration;

use super::chooser::{Answer, Call, Chooser, Denial, Headers};
use crate::{clock::Moment, sim::Refused, types::Usage};
pub(super) use orders::{HashKey, LiteLlm, Rendezvous, RoundRobin, Sticky};

/// How long an account is left alone after it could not be reached.
const DOWN: Duration = Duration::from_secs(5);

/// In which order a policy would use the accounts.
pub(super) trait Order {
    /// The accounts in order of preference for this request; all that are listed, each once.
    fn order(&mut self, call: &Call<'_>, fleet: &Fleet, now: Moment, into: &mut Vec<usize>);

    /// The request was answered there.
    fn settled(&mut self, _call: &Call<'_>, _account: usize, _now: Moment) {}
}

/// What is known of the accounts.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    /// The operator's list.
    pub(super) listed: Vec<bool>,
    /// Their limits, as the operator weighs them.
    pub(super) weights: Vec<u64>,
    cool_until: Vec<Moment>,
}

impl Fleet {
    fn is_open(&self, account: usize, now: Moment) -> bool {
        self.cool_until[account] <= now
    }

    fn cool(&mut self, account: usize, until: Moment) {
        self.cool_until[account] = self.cool_until[account].max(until);
    }
}

/// A policy: an order, and the usual fail-over.
pub(super) struct Baseline<O> {
    order: O,
    fleet: Fleet,
    /// For each agent's request.
    states: Vec<State>,
    /// How long a request is held for its first choice before it goes elsewhere.
    hold: Duration,
}

#[derive(Clone, Default, Debug)]
struct State {
    order: Vec<usize>,
    /// Accounts that have refused it.
    tried: Vec<usize>,
    since: Moment,
    overloaded: bool,
}

impl<O: Order> Baseline<O> {
    pub(super) fn new(order: O, weights: Vec<u64>, agents: usize, hold: Duration) -> Self {
        let fleet = Fleet {
            listed: vec![true; weights.len()],
            cool_until: vec![Moment::ZERO; weights.len()],
            weights,
        };
        Self { order, fleet, states: vec![State::default(); agents], hold }
    }

    fn next(&mut self, id: usize, now: Moment) -> Answer {
        let (fleet, state) = (&self.fleet, &self.states[id]);
        if !self.hold.is_zero()
            && let Some(&first) = state.order.first()
            && let until = fleet.cool_until[first]
            && until > now
            && until <= state.since + self.hold
        {
            return Answer::Until(until);
        }
        let may = |&&n: &&usize| fleet.is_open(n, now) && !state.tried.contains(&n);
        if let Some(&account) = state.order.iter().find(may) {
            return Answer::Go(account);
        }
        if state.overloaded {
            return Answer::Deny(Denial::Unavailable);
        }
        let reopens = state.order.iter().map(|&n| fleet.cool_until[n]).min();
        let wait = reopens.map_or(DOWN, |at| now.until(at));
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Answer::Deny(Denial::Limited { retry_after: Some(seconds.max(1)) })
    }
}

impl<O: Order> Chooser for Baseline<O> {
    fn arrived(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        let state = &mut self.states[call.id];
        (state.since, state.overloaded) = (now, false);
        state.tried.clear();
        let mut order = std::mem::take(&mut state.order);
        order.clear();
        self.order.order(call, &self.fleet, now, &mut order);
        self.states[call.id].order = order;
        self.next(call.id, now)
    }

    fn again(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        self.next(call.id, now)
    }

    fn refused(
        &mut self,
        call: &Call<'_>,
        account: usize,
        why: Refused,
        _headers: Headers<'_>,
        now: Moment,
    ) -> Answer {
        let state = &mut self.states[call.id];
        match why {
            Refused::Wait { .. } => {
                let seconds = why.retry_after().unwrap_or(1);
                self.fleet.cool(account, now + Duration::from_secs(seconds));
                // Who holds its requests for their first choice tries it again.
                let held = !self.hold.is_zero() && state.order.first() == Some(&account);
                if !held || now + Duration::from_secs(seconds) > state.since + self.hold {
                    state.tried.push(account);
                }
            }
            Refused::Never { .. } => state.tried.push(account),
            Refused::Overloaded => {
                state.overloaded = true;
                state.tried.push(account);
            }
            Refused::Unavailable => {
                self.fleet.cool(account, now + DOWN);
                state.tried.push(account);
            }
        }
        self.next(call.id, now)
    }

    fn answered(&mut self, _call: &Call<'_>, _account: usize, _headers: Headers<'_>, _now: Moment) {}

    fn finished(&mut self, call: &Call<'_>, account: usize, _usage: &Usage, now: Moment) {
        self.order.settled(call, account, now);
    }

    fn listed(&mut self, accounts: &[bool], _now: Moment) {
        self.fleet.listed = accounts.to_vec();
    }
}

/// One account for all; there is nowhere else to go.
#[derive(Debug)]
pub(super) struct Single;

impl Order for Single {
    fn order(&mut self, _call: &Call<'_>, _fleet: &Fleet, _now: Moment, into: &mut Vec<usize>) {
        into.push(0);
    }
}
