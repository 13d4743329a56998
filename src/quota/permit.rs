//! A request that may go, and what it holds until it is over.

use std::sync::Arc;

use tokio::sync::oneshot::error::TryRecvError;

use super::{
    Ask, Figure, Figures, Quota, Refusal, What,
    admit::{Denied, Taken, priced, refusal},
    lease::{Answer, Lease},
    line::{Estimate, Line},
    pricing::Pricing,
};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{Charged, Reserved, Settlement, Standing, Take},
    types::{EndpointName, NanoUsd, ProviderName, Rates, Scope, SessionKey, Usage},
};

/// Whether a stream may go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It may.
    Go,
    /// A budget has no further slice for it: close it at the next event's end.
    Stop(Box<Refusal>),
}

/// What is held of one counter.
pub(super) struct Held {
    line: Arc<Line>,
    /// For the input, or for the request itself.
    input: u64,
    output: u64,
    /// In which second of our own.
    second: u64,
    /// It is the provider's or the endpoint's: of one attempt.
    of_attempt: bool,
}

impl Held {
    pub(super) fn new(line: Arc<Line>, estimate: &Estimate) -> Self {
        let (input, output) = line.reserves(estimate);
        Self { line, input, output, second: 0, of_attempt: false }
    }

    const fn reserved(&self) -> u64 {
        self.input.saturating_add(self.output)
    }

    fn settlement(&self, session: Option<SessionKey>, reserved: u64, actual: u64) -> Settlement {
        let (id, rule) = (self.line.id.clone(), self.line.rule(session));
        Settlement { id, rule, reserved, actual, second: self.second }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// Nothing was asked for yet, or it is over.
    Idle,
    /// The shared counters were asked and have not answered.
    Asking,
    /// It holds what it holds.
    Open,
}

/// The next slice of a stream, on its way.
struct Renewal {
    answer: Answer,
    tokens: u64,
    takes: Vec<Take>,
}

/// What one request has taken. A guard: whoever drops it without settling is charged its estimate.
pub struct Permit {
    quota: Arc<Quota>,
    stage: Stage,
    session: Option<SessionKey>,
    pricing: Pricing,
    now: Moment,
    at: UnixTime,
    held: Vec<Held>,
    lease: Option<Lease>,
    figures: Figures,
    streamed: bool,
    input_tokens: u64,
    max_output: Option<u64>,
    /// Tokens of output that budgets have been taken for.
    covered: u64,
    /// At more output than this there is something to do.
    wake_at: u64,
    /// Tokens of output so far.
    flown: u64,
    renewal: Option<Renewal>,
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
    fn refusal(&self, denied: &Denied, place: usize, asked: u64) -> Refusal {
        let Some(held) = self.held.get(place) else { return Refusal::unknown() };
        let refusal = refusal(&held.line, asked, denied);
        if refusal.is_spent() {
            let alerts = self.quota.alerts.refused(&held.line, denied.standing.spent);
            self.quota.announce(&held.line, alerts);
        }
        refusal
    }

    /// Sets when to look at a stream again: when its slice is used up; where asking takes a while, when
    /// half of it is.
    fn watch(&mut self) {
        let sliced = self.streamed && self.held.iter().any(|held| held.line.is_sliced());
        let is_last = self.max_output.is_some_and(|most| most <= self.covered);
        self.wake_at = match &self.lease {
            _ if !sliced => u64::MAX,
            Some(_) if !is_last => self.covered.saturating_sub(self.slice() / 2),
            Some(_) | None => self.covered,
        };
    }

    fn slice(&self) -> u64 {
        let dollars = self.held.iter().any(|held| held.line.is_money());
        self.pricing.slice_tokens(self.quota.params.slice, dollars)
    }

    /// It is about to go to this endpoint: takes from the budgets of provider and endpoint, at these
    /// prices and without any markup. What an earlier attempt took of its own is given back first.
    /// Where these prices are higher than those it was admitted at, its own budgets are asked for the
    /// difference.
    ///
    /// Waits for nobody unless counters are shared and there is something to take.
    ///
    /// # Errors
    /// A budget has no room: see [`Refusal::is_upstream`]. The permit stands, bound to nothing.
    pub async fn bind(
        &mut self,
        provider: &ProviderName,
        endpoint: &EndpointName,
        rates: Option<Rates>,
        now: Moment,
        at: UnixTime,
    ) -> Result<(), Refusal> {
        self.now = now;
        self.unbind();
        let plans = &self.quota.plans;
        let sheets = [Scope::Provider(provider.clone()), Scope::Endpoint(endpoint.clone())]
            .map(|scope| plans.sheet(scope, at));
        let pricing = Pricing { rates: rates.or(self.pricing.rates), ..self.pricing };
        let lines = || sheets.iter().flatten().flat_map(|sheet| &sheet.lines);
        priced(lines(), &Pricing { rates, ..pricing })?;
        let first = self.held.len();
        // A stream that nobody counted so far may have gone on.
        self.covered = self.covered.max(self.flown);
        let (input, output) = (pricing.unread_input(self.input_tokens), pricing.output(self.covered));
        let estimate = Estimate { input, output, likely_output: 0 };
        let mut more = Vec::with_capacity(first);
        for held in &self.held {
            let dearer = if held.line.is_money() {
                (
                    held.line.part(&input).saturating_sub(held.input),
                    held.line.part(&output).saturating_sub(held.output),
                )
            } else {
                (0, 0)
            };
            more.push(dearer);
        }
        for line in lines() {
            let held = Held::new(Arc::clone(line), &estimate);
            more.push((held.input, held.output));
            // Nothing is held until it is taken: who gives up meanwhile gives nothing back here.
            self.held.push(Held { input: 0, output: 0, of_attempt: true, ..held });
        }
        let bound: Vec<(usize, u64, u64)> = (0..)
            .zip(more)
            .filter(|&(at, (input, output))| at >= first || input + output > 0)
            .map(|(at, (input, output))| (at, input, output))
            .collect();
        self.pricing = pricing;
        if bound.is_empty() {
            return Ok(());
        }
        self.take_more(&bound, now, at).await
    }

    /// Takes more of what is held, by place; all of it or nothing.
    async fn take_more(
        &mut self,
        more: &[(usize, u64, u64)],
        now: Moment,
        at: UnixTime,
    ) -> Result<(), Refusal> {
        let session = self.session;
        let takes: Vec<Take> = more
            .iter()
            .filter_map(|&(place, input, output)| {
                Some(self.held.get(place)?.line.take(session, input.saturating_add(output)))
            })
            .collect();
        let quota = Arc::clone(&self.quota);
        self.stage = Stage::Open;
        match quota.take(self.lease.as_mut(), &takes, now, at).await {
            Ok(taken) => {
                for &(place, input, output) in more {
                    if let Some(held) = self.held.get_mut(place) {
                        held.input = held.input.saturating_add(input);
                        held.output = held.output.saturating_add(output);
                        held.second = if held.of_attempt { taken.second } else { held.second };
                    }
                }
                self.watch();
                Ok(())
            }
            Err(denied) => {
                let place = more.get(denied.index).map_or(usize::MAX, |&(place, _, _)| place);
                let asked = takes.get(denied.index).map_or(0, |take| take.amount);
                let refusal = self.refusal(&denied, place, asked);
                self.unbind();
                Err(refusal)
            }
        }
    }

    /// Gives back what an attempt took.
    fn unbind(&mut self) {
        if !self.held.iter().any(|held| held.of_attempt) {
            return;
        }
        let session = self.session;
        let (attempt, own): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.of_attempt);
        self.held = own;
        let parts: Vec<Settlement> = attempt
            .iter()
            .filter(|held| held.reserved() > 0)
            .map(|held| held.settlement(session, held.reserved(), 0))
            .collect();
        self.give_back(parts);
    }

    fn give_back(&mut self, parts: Vec<Settlement>) {
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

    /// The provider has said what the input came to: what was reserved for it is corrected. A report
    /// without any input says nothing.
    pub fn reported(&mut self, usage: &Usage, now: Moment) {
        self.now = now;
        if self.stage != Stage::Open || usage.total_input() == 0 {
            return;
        }
        self.input_tokens = usage.total_input();
        let (session, pricing) = (self.session, self.pricing);
        let (mut less, mut more) = (Vec::new(), Vec::new());
        for held in &mut self.held {
            let Some(input) = held.line.input(&pricing, usage) else { continue };
            if input < held.input {
                less.push(held.settlement(session, held.input - input, 0));
            } else if input > held.input {
                // It has happened, whether there is room or not.
                let take = held.line.take(session, input - held.input);
                more.push(Take { anyway: true, ..take });
            }
            held.input = input;
        }
        self.give_back(less);
        if !more.is_empty() {
            self.quota.memory.reserve(&more, self.now, self.at);
            if let Some(lease) = &mut self.lease {
                drop(lease.renew(more, self.now));
            }
        }
    }

    /// So many tokens of output have come in all. One comparison, until the slice is used up.
    pub fn flowed(&mut self, output_tokens: u64, now: Moment) -> Flow {
        self.flown = self.flown.max(output_tokens);
        if output_tokens <= self.wake_at {
            return Flow::Go;
        }
        self.now = now;
        self.next_slice().map_or(Flow::Go, |refusal| Flow::Stop(Box::new(refusal)))
    }

    /// Takes the next slice, or looks whether it has come.
    fn next_slice(&mut self) -> Option<Refusal> {
        if let Some(mut renewal) = self.renewal.take() {
            let answered = match renewal.answer.try_recv() {
                Err(TryRecvError::Empty) => {
                    self.renewal = Some(renewal);
                    return None;
                }
                Ok(Ok(Reserved::Granted { standings, .. })) => {
                    self.quota.memory.mirror(&renewal.takes, &standings, self.now, self.at);
                    Ok(())
                }
                Ok(Ok(Reserved::Refused { index, standing, after })) => {
                    Err(Denied::shared(index, standing, after))
                }
                // Nobody knows: our own part decides.
                Ok(Err(_)) | Err(TryRecvError::Closed) => {
                    self.quota.take_here(&renewal.takes, self.now, self.at).map(drop)
                }
            };
            if let Some(refusal) = self.sliced(answered, renewal.tokens, &renewal.takes) {
                return Some(refusal);
            }
            if self.flown <= self.wake_at {
                return None;
            }
        }
        let slice = self.slice();
        let behind = self.flown.saturating_sub(self.covered);
        let tokens = behind.div_ceil(slice).max(1).saturating_mul(slice);
        let cost = self.pricing.output(tokens);
        let takes: Vec<Take> =
            self.sliced_lines().map(|held| held.line.take(self.session, held.line.part(&cost))).collect();
        let now = self.now;
        if let Some(lease) = self.lease.as_mut().filter(|lease| lease.may_ask(now)) {
            let answer = lease.renew(takes.clone(), now);
            self.renewal = Some(Renewal { answer, tokens, takes });
            return None;
        }
        let taken = self.quota.take_here(&takes, self.now, self.at).map(drop);
        self.sliced(taken, tokens, &takes)
    }

    fn sliced_lines(&self) -> impl Iterator<Item = &Held> {
        self.held.iter().filter(|held| held.line.is_sliced())
    }

    /// What became of a slice.
    fn sliced(&mut self, taken: Result<(), Denied>, tokens: u64, takes: &[Take]) -> Option<Refusal> {
        if let Err(denied) = taken {
            let place = self.held.iter().enumerate().filter(|(_, held)| held.line.is_sliced());
            let place = place.map(|(place, _)| place).nth(denied.index).unwrap_or(usize::MAX);
            let asked = takes.get(denied.index).map_or(0, |take| take.amount);
            return Some(self.refusal(&denied, place, asked));
        }
        let held = self.held.iter_mut().filter(|held| held.line.is_sliced());
        for (held, take) in held.zip(takes) {
            held.output = held.output.saturating_add(take.amount);
        }
        self.covered = self.covered.saturating_add(tokens);
        self.watch();
        None
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
        let lines: Vec<Arc<Line>> = held.into_iter().map(|held| held.line).collect();
        let quota = &self.quota;
        let Some(lease) = self.lease.take() else {
            quota.tell(&lines, &settlements, &standings);
            return charged;
        };
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
            quota.tell(&lines, &settlements, shared.as_deref().unwrap_or(&standings));
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
