//! Where limits and budgets stand: for headers, and for people.

use std::{sync::Arc, time::Duration};

use super::{Quota, What, line::Line, plan::Sheet};
use crate::{
    clock::{Moment, UnixTime},
    types::{Limits, Scope, SessionKey, VirtualKey},
};

/// One rate-limit header's figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figure {
    /// A minute's worth.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// When it will be whole again, at the latest.
    pub reset: Duration,
}

impl Figure {
    /// `used` of `limit`.
    pub(super) const fn new(limit: u64, used: u64) -> Self {
        let reset = if used == 0 { Duration::ZERO } else { Duration::from_secs(60) };
        Self { limit, remaining: limit.saturating_sub(used), reset }
    }
}

/// What rate-limit headers say: of each kind the level with the least left. `None` where no level has
/// such a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Requests.
    pub requests: Option<Figure>,
    /// Tokens, input and output.
    pub tokens: Option<Figure>,
    /// Input tokens.
    pub input_tokens: Option<Figure>,
    /// Output tokens.
    pub output_tokens: Option<Figure>,
}

/// One limit or budget, for inspection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterView {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub what: What,
    /// How much.
    pub limit: u64,
    /// In use: spent and reserved, or within the last minute, or at once.
    pub used: u64,
    /// Of a budget: spent for good.
    pub spent: u64,
    /// It warns and lets pass.
    pub soft: bool,
    /// When a budget begins anew; `None` where it does not, or is none.
    pub resets_at: Option<UnixTime>,
}

impl Quota {
    /// Where everything stands that limits a key: its own, its team's, its organisation's, its tags'.
    ///
    /// Where counters are shared, budgets are as the shared ones were heard of last, and limits by the
    /// minute are what this gateway let through.
    #[must_use]
    pub fn view_key(&self, key: &Arc<VirtualKey>, now: Moment, at: UnixTime) -> Vec<CounterView> {
        let found = self.plans.find(Some(key), &key.organisation, None, None, at);
        self.views(&found.plan.lines, None, now, at)
    }

    /// Where a key's own budgets stand, and nobody's above it. For looking at many keys: nothing of it is
    /// kept, so what requests need stays.
    #[must_use]
    pub fn view_own_budgets(&self, key: &VirtualKey, now: Moment, at: UnixTime) -> Vec<CounterView> {
        let (scope, budgets) = (Scope::Key(key.id.clone()), &key.allowance.budgets);
        let sheet = Sheet::new(&scope, &Limits::default(), budgets, at);
        self.views(&sheet.lines, None, now, at)
    }

    /// Where one session of a key stands.
    #[must_use]
    pub fn view_session(
        &self,
        key: &Arc<VirtualKey>,
        session: SessionKey,
        now: Moment,
        at: UnixTime,
    ) -> Vec<CounterView> {
        let found = self.plans.find(Some(key), &key.organisation, Some(session), None, at);
        found.session.map_or_else(Vec::new, |sheet| self.views(&sheet.lines, Some(session), now, at))
    }

    /// Where an organisation, a team, a tag, a model, a provider or an endpoint stands. Of keys and
    /// sessions, see [`Self::view_key`] and [`Self::view_session`]: what they may do is the key's.
    #[must_use]
    pub fn view(&self, scope: &Scope, now: Moment, at: UnixTime) -> Vec<CounterView> {
        self.views(&self.plans.sheet_of(scope, at).lines, None, now, at)
    }

    fn views(
        &self,
        lines: &[Arc<Line>],
        session: Option<SessionKey>,
        now: Moment,
        at: UnixTime,
    ) -> Vec<CounterView> {
        let counters = lines.iter().map(|line| (&line.id, line.rule(session)));
        let standings = self.memory.standings(counters, now, at);
        let view = |line: &Arc<Line>| CounterView {
            scope: line.scope.clone(),
            what: line.what,
            limit: line.limit,
            used: 0,
            spent: 0,
            soft: line.soft,
            resets_at: line.resets_at(),
        };
        lines
            .iter()
            .zip(standings)
            .map(|(line, standing)| CounterView { used: standing.used, spent: standing.spent, ..view(line) })
            .collect()
    }
}
