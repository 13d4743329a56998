//! A request that may go, and what it holds until it is over.

use std::sync::Arc;

use super::{
    Ask, Figure, Figures, Quota, Refusal, What,
    admit::{Denied, Taken, refusal},
    lease::Lease,
    line::{Estimate, Line},
    pricing::Pricing,
    stream::Renewal,
};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{Charged, Settlement, Standing, Take},
    types::{NanoUsd, SessionKey, Usage},
};

/// What is held of one counter.
pub(super) struct Held {
    pub(super) line: Arc<Line>,
    /// For the input, or for the request itself.
    pub(super) input: u64,
    pub(super) output: u64,
    /// In which second of our own.
    pub(super) second: u64,
    /// It is the provider's or the endpoint's: of one attempt.
    pub(super) of_attempt: bool,
}

impl Held {
    pub(super) fn new(line: Arc<Line>, estimate: &Estimate) -> Self {
        let (input, output) = line.reserves(estimate);
        Self { line, input, output, second: 0, of_attempt: false }
    }

    pub(super) const fn reserved(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    pub(super) fn settlement(&self, session: Option<SessionKey>, reserved: u64, actual: u64) -> Settlement {
        let (id, rule) = (self.line.id.clone(), self.line.rule(session));
        Settlement { id, rule, reserved, actual, second: self.second }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Nothing was asked for yet, or it is over.
    Idle,
    /// The shared counters were asked and have not answered.
    Asking,
    /// It holds what it holds.
    Open,
}

/// What one request has taken. A guard: whoever drops it without settling is charged its estimate.
pub struct Permit {
    pub(super) quota: Arc<Quota>,
    pub(super) stage: Stage,
    pub(super) session: Option<SessionKey>,
    pub(super) pricing: Pricing,
    pub(super) now: Moment,
    pub(super) at: UnixTime,
    pub(super) held: Vec<Held>,
    pub(super) lease: Option<Lease>,
    figures: Figures,
    pub(super) streamed: bool,
    /// It was told to stop.
    pub(super) stopped: Option<Box<Refusal>>,
    pub(super) input_tokens: u64,
    pub(super) max_output: Option<u64>,
    /// Tokens of output that budgets have been taken for.
    pub(super) covered: u64,
    /// At more output than this there is something to do.
    pub(super) wake_at: u64,
    /// Tokens of output so far.
    pub(super) flown: u64,
    pub(super) renewal: Option<Renewal>,
    /// A soft budget was over when it was admitted.
    over_soft: bool,
}

impl Permit {
    pub(super) fn draft(
        quota: Arc<Quota>,
        ask: &Ask<'_>,
        pricing: Pricing,
        held: Vec<Held>,
        lease: Option<Lease>,
        covered: u64,
    ) -> Self {
        Self {
            quota,
            stage: Stage::Idle,
            session: ask.session,
            pricing,
            now: ask.now,
            at: ask.at,
            held,
            lease,
            figures: Figures::default(),
            streamed: ask.streamed,
            stopped: None,
            input_tokens: ask.input_tokens,
            max_output: ask.max_output,
            covered,
            wake_at: u64::MAX,
            flown: 0,
            renewal: None,
            over_soft: false,
        }
    }

    pub(super) fn takes(&self) -> Vec<Take> {
        self.held.iter().map(|held| held.line.take(self.session, held.reserved())).collect()
    }

    pub(super) const fn lease_mut(&mut self) -> Option<&mut Lease> {
        self.lease.as_mut()
    }

    pub(super) const fn asking(&mut self) {
        self.stage = Stage::Asking;
    }

    /// It got everything.
    pub(super) fn taken(&mut self, taken: &Taken) {
        self.stage = Stage::Open;
        if !taken.shared {
            // From now on it is ours alone; what the shared counters may have booked is given back.
            self.cancel_lease();
        }
        for (held, standing) in self.held.iter_mut().zip(&taken.standings) {
            held.second = taken.second;
            self.over_soft |= held.line.soft && standing.used > held.line.limit;
            figure(&mut self.figures, &held.line, *standing);
        }
        self.watch();
    }

    fn cancel_lease(&mut self) {
        if let Some(lease) = self.lease.take() {
            let session = self.session;
            let nothing = |held: &Held| held.settlement(session, held.reserved(), 0);
            lease.settle(self.held.iter().map(nothing).collect(), self.now, |_| {});
        }
    }

    /// It got nothing.
    pub(super) fn refused(mut self, denied: &Denied, takes: &[Take]) -> Refusal {
        // Where the shared counters did not answer they may have booked it: dropping this gives it back.
        if !denied.apart {
            self.stage = Stage::Idle;
        }
        let asked = takes.get(denied.index).map_or(0, |take| take.amount);
        self.refusal(denied, denied.index, asked)
    }

    /// Why what is held at `place` could not have `asked` more.
    pub(super) fn refusal(&self, denied: &Denied, place: usize, asked: u64) -> Refusal {
        let Some(held) = self.held.get(place) else { return Refusal::unknown() };
        let refusal = refusal(&held.line, asked, denied);
        if refusal.is_spent() {
            let alerts = self.quota.alerts.refused(&held.line, denied.standing.used);
            self.quota.announce(&held.line, alerts);
        }
        refusal
    }

    pub(super) fn give_back(&mut self, parts: Vec<Settlement>) {
        if parts.is_empty() {
            return;
        }
        self.quota.memory.give_back(&parts, self.now, self.at);
        if let Some(lease) = &mut self.lease {
            let second = lease.second;
            let parts = parts.into_iter().map(|part| Settlement { second, ..part }).collect();
            lease.give_back(parts, self.now);
        }
    }

    /// It is over and came to this; without a charge it is reckoned from the prices. Returns what its
    /// budgets are charged, for the ledger.
    #[must_use]
    pub fn settle(mut self, usage: &Usage, charge: Option<NanoUsd>, now: Moment) -> Vec<Charged> {
        self.now = now;
        let pricing = self.pricing;
        self.close(|held| held.line.actual(&pricing, usage, charge))
    }

    /// It never went anywhere: everything is given back but for its place among the requests of the
    /// minute.
    pub fn release(mut self, now: Moment) {
        self.now = now;
        self.close(|held| u64::from(held.line.what == What::Rpm));
    }

    fn close(&mut self, actual: impl Fn(&Held) -> u64) -> Vec<Charged> {
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        if stage == Stage::Idle {
            return Vec::new();
        }
        let held = std::mem::take(&mut self.held);
        let session = self.session;
        let settlements: Vec<Settlement> =
            held.iter().map(|held| held.settlement(session, held.reserved(), actual(held))).collect();
        let charged = held
            .iter()
            .zip(&settlements)
            .filter(|(held, settlement)| held.line.is_charged() && settlement.actual > 0)
            .map(|(held, settlement)| Charged {
                id: settlement.id.clone(),
                until: held.line.until,
                amount: settlement.actual,
            })
            .collect();
        let standings = if stage == Stage::Open {
            self.quota.memory.settle(&settlements, self.now, self.at)
        } else {
            Vec::new()
        };
        let quota = &self.quota;
        let Some(lease) = self.lease.take() else {
            quota.tell(held.iter().map(|held| &held.line), &settlements, &standings);
            return charged;
        };
        let lines: Vec<Arc<Line>> = held.into_iter().map(|held| held.line).collect();
        let second = lease.second;
        let remote: Vec<Settlement> =
            settlements.iter().map(|one| Settlement { second, ..one.clone() }).collect();
        let quota = Arc::clone(quota);
        lease.settle(remote, self.now, move |shared| {
            if let Some(shared) = &shared {
                let known: Vec<_> = settlements
                    .iter()
                    .zip(shared)
                    .filter(|(_, standing)| standing.spent > 0)
                    .map(|(one, standing)| (one.id.clone(), one.rule, standing.spent))
                    .collect();
                quota.memory.raise(&known);
            }
            quota.tell(lines.iter(), &settlements, shared.as_deref().unwrap_or(&standings));
        });
        charged
    }

    /// What is reserved of budgets, for the ledger's open record.
    #[must_use]
    pub fn reserved(&self) -> Vec<Charged> {
        let charged = self.held.iter().filter(|held| held.line.is_charged() && held.reserved() > 0);
        charged
            .map(|held| Charged { id: held.line.id.clone(), until: held.line.until, amount: held.reserved() })
            .collect()
    }

    /// Whether it has taken from any budget: its open record is to be durable then.
    #[must_use]
    pub fn has_budgets(&self) -> bool {
        self.held.iter().any(|held| held.line.is_sliced())
    }

    /// Whether it takes output slice by slice, so that [`Self::flowed`] has anything to do.
    #[must_use]
    pub const fn counts_output(&self) -> bool {
        self.wake_at < u64::MAX
    }

    /// Whether a soft budget was over when it was admitted.
    #[must_use]
    pub const fn is_over_soft_budget(&self) -> bool {
        self.over_soft
    }

    /// For the rate-limit headers of the answer: as it stood at admission.
    #[must_use]
    pub const fn standing(&self) -> Figures {
        self.figures
    }
}

impl Drop for Permit {
    /// Nobody said what it came to: its input as far as it is known, and the output that has come; of an
    /// answer in one piece, all that was reserved.
    fn drop(&mut self) {
        match self.stage {
            Stage::Idle => {}
            // Nobody was told that it may go.
            Stage::Asking => {
                self.close(|_| 0);
            }
            Stage::Open => {
                let (pricing, streamed, flown) = (self.pricing, self.streamed, self.flown);
                self.close(|held| {
                    let came = held.line.part(&pricing.output(flown));
                    if streamed && held.line.is_sliced() {
                        held.input.saturating_add(came)
                    } else {
                        held.reserved()
                    }
                });
            }
        }
    }
}

/// Of each kind the level with the least left.
fn figure(figures: &mut Figures, line: &Line, standing: Standing) {
    let place = match line.what {
        What::Rpm => &mut figures.requests,
        What::Tpm => &mut figures.tokens,
        What::Itpm => &mut figures.input_tokens,
        What::Otpm => &mut figures.output_tokens,
        What::Concurrent | What::Sessions | What::Turns | What::Usd(_) | What::Tokens(_) => return,
    };
    let figure = Figure::new(line.limit, standing.used);
    if place.is_none_or(|tightest| figure.remaining < tightest.remaining) {
        *place = Some(figure);
    }
}
