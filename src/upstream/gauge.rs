//! The limits of one class of models in one rate domain, as we reckon them: four buckets, an average,
//! and the queue of those who wait for room.
//!
//! Pure: no lock, no clock. A request draws on it once, with the check in the same step ([`Gauge::draw`]),
//! and keeps a [`Debit`] that says what it took, so that it can be given back or corrected later.
//!
//! Who may start is one rule for all ([`Gauge::outlook`]): there is enough for it after everybody who
//! is before it in the queue. So what is set aside for one is not there for those behind, and a
//! domain's bucket is overdrawn only by what nobody asked for leave to draw.
//!
//! Trap: of a provider that has not answered yet nothing is known, least of all that it has no limits.
//! Only a few requests go out until it does, or a restart under load would be an outage of our own.

use std::time::Duration;

use smallvec::SmallVec;

use super::{
    average::Average,
    bucket::{Bucket, HAIR, Heard, Room, float, whole},
    facts::LimitFacts,
    headroom::{Left, LimitKind, Said},
    line::Ahead,
    need::{Flow, Outlook},
    params::LimitsGiven,
    queue::{FairQueue, Place},
};
use crate::clock::Moment;

/// Requests that may be out at an account that never answered.
const UNPROVEN: usize = 8;
/// .. and twice as many for each such part of the window (5 s of a minute) that no answer comes:
/// one that is not streamed may take a minute, and nobody should be refused for so long.
const DOUBLE_EVERY: u32 = 12;
/// When an answer may be expected (2 s of a minute).
const FIRST_ANSWER: u32 = 30;
/// How soon to look again when it is late (250 ms of a minute).
const LOOK_AGAIN: u32 = 240;
/// A wait is no longer than this, whatever the limits: it is reckoned anew when it is over.
const LONGEST: f64 = 3_600.0;

/// Seconds as a wait: whole milliseconds, rounded up, so that it is over when it is over.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to an hour")]
pub(super) fn round_up(seconds: f64) -> Duration {
    if seconds <= 0.0 {
        return Duration::ZERO;
    }
    Duration::from_millis((seconds.min(LONGEST) * 1_000.0).ceil() as u64)
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) flow: Flow,
    /// Its place in this very queue.
    pub(super) place: Option<Place>,
}

/// What one request took, and what its answer said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Debit {
    input: f64,
    output: f64,
    requests: f64,
    sent: Moment,
    drawn: [f64; 4],
    heard: [Option<Heard>; 4],
    /// Out without an answer, with so much input.
    pending: Option<f64>,
}

/// See the module's description.
pub(super) struct Gauge {
    window: Duration,
    /// Calls that a model answers; others (counting, lists) have limits that nobody configures.
    generates: bool,
    /// In the order of [`LimitKind::REPORTED`].
    buckets: [Bucket; 4],
    /// It has answered.
    told: bool,
    /// Requests without an answer so far, and when the first of them started.
    unanswered: usize,
    unanswered_since: Moment,
    /// The input that they took.
    pending: f64,
    average: Average,
    queue: FairQueue,
}

/// What is taken over from one gauge into another.
#[derive(Clone, Copy)]
pub(super) struct Gist {
    buckets: [Bucket; 4],
    told: bool,
    average: Average,
}

/// What a gauge shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) utilisation: f32,
    pub(super) waiting: usize,
    pub(super) reserved: u64,
}

impl Gauge {
    pub(super) fn new(window: Duration, generates: bool) -> Self {
        Self {
            window: window.max(Duration::from_millis(1)),
            generates,
            buckets: [Bucket::default(); 4],
            told: false,
            unanswered: 0,
            unanswered_since: Moment::ZERO,
            pending: 0.0,
            average: Average::default(),
            queue: FairQueue::default(),
        }
    }

    /// Takes over what the configuration says.
    pub(super) fn configure(&mut self, window: Duration, given: &LimitsGiven) {
        self.window = window.max(Duration::from_millis(1));
        if !self.generates {
            return;
        }
        let limits = [given.requests, given.tokens, given.input, given.output];
        for (bucket, limit) in self.buckets.iter_mut().zip(limits) {
            bucket.configure(limit.map(float), self.window);
        }
    }

    /// What limits a prompt: its input, where that is known apart. Anthropic's `tokens` repeats
    /// whichever limit is the tightest, so it says nothing more then.
    fn prompt(&self) -> &Bucket {
        let [_, tokens, input, _] = &self.buckets;
        if input.is_known() { input } else { tokens }
    }

    fn ahead(&self, counted: f64, who: &Asker) -> Ahead {
        let most = self.prompt().limit().unwrap_or(f64::INFINITY);
        who.place
            .and_then(|place| self.queue.before_waiter(place, most))
            .unwrap_or_else(|| self.queue.before_newcomer(&who.flow.newcomer(counted), most))
    }

    /// When `counted` tokens of input may start.
    pub(super) fn outlook(&self, counted: f64, who: &Asker, now: Moment) -> (Outlook, Ahead) {
        let ahead = self.ahead(counted, who);
        let utilisation = self.utilisation(now);
        let [requests, _, _, output] = &self.buckets;
        let mut wait = self.unproven(ahead.requests, now);
        for room in [
            requests.room(1.0, index(ahead.requests), self.window, now),
            self.prompt().room(counted, ahead.input, self.window, now),
            // What comes out is not known before: there must be something left.
            output.room(1.0, 0.0, self.window, now),
        ] {
            match room {
                Room::In(seconds) => wait = wait.max(round_up(seconds)),
                Room::Never => return (Outlook { wait: self.window, never: true, utilisation }, ahead),
            }
        }
        (Outlook { wait, never: false, utilisation }, ahead)
    }

    /// How long to hold back because it never answered yet.
    fn unproven(&self, before: usize, now: Moment) -> Duration {
        if self.told || !self.generates || self.prompt().is_known() || self.unanswered + before < UNPROVEN {
            return Duration::ZERO;
        }
        let age = now.since(self.unanswered_since);
        let step = self.window / DOUBLE_EVERY;
        let steps = age.as_nanos() / step.as_nanos().max(1);
        let allowed = UNPROVEN << steps.min(16);
        if self.unanswered + before < allowed {
            return Duration::ZERO;
        }
        let expected = (self.window / FIRST_ANSWER).saturating_sub(age);
        let wait = expected.max(self.window / LOOK_AGAIN);
        round_up(wait.as_secs_f64())
    }

    #[expect(clippy::cast_possible_truncation, reason = "a share between 0 and 1")]
    fn utilisation(&self, now: Moment) -> f32 {
        let [requests, ..] = &self.buckets;
        let prompt = self.prompt();
        let share = if let Some(limit) = prompt.limit() {
            let gone = 1.0 - prompt.level(self.window, now) / limit;
            gone.max(self.average.read(self.window, now) / limit)
        } else if let Some(limit) = requests.limit() {
            1.0 - requests.level(self.window, now) / limit
        } else {
            0.0
        };
        share.clamp(0.0, 1.0) as f32
    }

    /// Takes what a request needs, which [`Self::outlook`] said is there.
    pub(super) fn draw(&mut self, counted: f64, who: &Asker, now: Moment) -> Debit {
        match who.place {
            Some(place) if self.queue.holds(place) => self.queue.serve(place),
            Some(_) | None => self.queue.serve_newcomer(&who.flow.newcomer(counted)),
        }
        let [requests, tokens, input, _] = &mut self.buckets;
        requests.take(1.0, self.window, now);
        tokens.take(counted, self.window, now);
        input.take(counted, self.window, now);
        self.average.add(counted, self.window, now);
        // Those who are out without an answer may reach the provider after this one, so that its answer
        // does not count them yet.
        let others = [index(self.unanswered), self.pending, self.pending, 0.0];
        if self.unanswered == 0 {
            self.unanswered_since = now;
        }
        self.unanswered += 1;
        self.pending += counted;
        let mut drawn = self.buckets.map(|bucket| bucket.drawn());
        drawn.iter_mut().zip(others).for_each(|(drawn, others)| *drawn -= others);
        Debit {
            input: counted,
            output: 0.0,
            requests: 1.0,
            sent: now,
            drawn,
            heard: [None; 4],
            pending: Some(counted),
        }
    }

    /// Lines up; `None` when it would never fit.
    pub(super) fn enter(&mut self, counted: f64, flow: &Flow) -> Option<Place> {
        let too_large = self.prompt().limit().is_some_and(|limit| counted > limit + HAIR);
        (!too_large).then(|| self.queue.enter(&flow.newcomer(counted)))
    }

    pub(super) fn leave(&mut self, place: Place) {
        self.queue.leave(place);
    }

    /// No longer out without an answer.
    pub(super) fn closed(&mut self, debit: &mut Debit) {
        if let Some(input) = debit.pending.take() {
            self.unanswered = self.unanswered.saturating_sub(1);
            // Nothing is out: rounding must not add up.
            self.pending = if self.unanswered == 0 { 0.0 } else { (self.pending - input).max(0.0) };
        }
    }

    /// The head of a good answer: what it did not say of limits, it does not have.
    pub(super) fn answered(&mut self, debit: &mut Debit) {
        self.closed(debit);
        self.told = true;
    }

    /// Takes over what the head of an answer says.
    pub(super) fn tell(&mut self, said: &Said, debit: &mut Debit, now: Moment) {
        let window = self.window;
        let [_, _, input, _] = &self.buckets;
        let input_is_known = input.is_known();
        let Some(at) = said.kind.index() else { return };
        let (Some(bucket), Some(drawn), Some(slot)) =
            (self.buckets.get_mut(at), debit.drawn.get(at), debit.heard.get_mut(at))
        else {
            return;
        };
        let fresh = !bucket.is_known();
        if let Some(limit) = said.limit {
            bucket.tell_limit(float(limit), window, now);
        }
        self.told |= bucket.is_known();
        if let Some(remaining) = said.remaining {
            let heard = Heard { remaining: float(remaining), sent: debit.sent, drawn: *drawn };
            let foreign = bucket.tell_remaining(&heard, fresh, window, now);
            *slot = Some(heard);
            let counts = match said.kind {
                LimitKind::InputTokens => true,
                LimitKind::Tokens => !input_is_known,
                LimitKind::Requests | LimitKind::OutputTokens | LimitKind::Unknown => false,
            };
            if counts && foreign > 0.0 {
                // Somebody else uses the account, or another replica: that is load as well.
                self.average.add(foreign, window, now);
            }
        }
    }

    /// The limit of `kind`, where known.
    pub(super) fn limit(&self, kind: LimitKind) -> Option<u64> {
        self.buckets.get(kind.index()?)?.limit().map(whole)
    }

    /// What the provider counted: totals.
    pub(super) fn used(&mut self, input: Option<f64>, output: f64, debit: &mut Debit, now: Moment) {
        let window = self.window;
        let more_in = input.map_or(0.0, |input| input - debit.input);
        let more_out = output - debit.output;
        debit.input += more_in;
        debit.output += more_out;
        self.average.add(more_in, window, now);
        for (at, more) in [(1, more_in + more_out), (2, more_in), (3, more_out)] {
            self.shift(at, more, debit, now);
        }
    }

    fn shift(&mut self, at: usize, more: f64, debit: &Debit, now: Moment) {
        let (Some(bucket), Some(heard)) = (self.buckets.get_mut(at), debit.heard.get(at)) else { return };
        if more > 0.0 {
            bucket.take(more, self.window, now);
        } else if more < 0.0 {
            bucket.give_back(-more, heard.as_ref(), self.window, now);
        }
    }

    /// It was never let in: everything comes back, but for the request itself where it was looked at.
    pub(super) fn refund(&mut self, looked_at: bool, debit: &mut Debit, now: Moment) {
        self.closed(debit);
        self.used(Some(0.0), 0.0, debit, now);
        if !looked_at {
            self.shift(0, -std::mem::take(&mut debit.requests), debit, now);
        }
    }

    /// A 429: the limit that it names is exhausted, or all that a start needs where it names none;
    /// unless the very same answer says what is left.
    pub(super) fn refused(&mut self, kind: LimitKind, debit: &Debit, now: Moment) {
        let named = kind.index();
        for (at, bucket) in self.buckets.iter_mut().enumerate() {
            let meant = named.map_or(at < 3, |named| at == named);
            if meant && debit.heard.get(at).is_none_or(Option::is_none) {
                bucket.empty(self.window, now);
            }
        }
    }

    /// What is left of each limit that is known.
    pub(super) fn left(&self, now: Moment) -> SmallVec<[Left; 4]> {
        let known = LimitKind::REPORTED.into_iter().zip(&self.buckets).filter_map(|(kind, bucket)| {
            let limit = bucket.limit()?;
            let remaining = whole(bucket.level(self.window, now));
            Some(Left { kind, remaining: Some(remaining), limit: Some(whole(limit)) })
        });
        known.collect()
    }

    pub(super) fn shown(&self, now: Moment) -> Shown {
        Shown {
            utilisation: self.utilisation(now),
            waiting: self.queue.len(),
            reserved: whole(self.queue.reserved()),
        }
    }

    pub(super) fn gist(&self) -> Gist {
        Gist { buckets: self.buckets, told: self.told, average: self.average }
    }

    /// Takes over what another gauge, which turned out to be of the same account, knew.
    pub(super) fn merge(&mut self, other: &Gist) {
        for (ours, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            ours.merge(theirs, self.window);
        }
        self.told |= other.told;
        let at = self.average.at.max(other.average.at);
        let value = self.average.read(self.window, at).max(other.average.read(self.window, at));
        self.average = Average { value, at };
    }

    /// What this gateway drew of each kind of limit and did not give back, since it started.
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates, beyond what anybody draws")]
    pub(super) fn own(&self) -> [i64; 4] {
        self.buckets.map(|bucket| bucket.own() as i64)
    }

    /// Another gateway drew so much more of each.
    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub(super) fn drawn_elsewhere(&mut self, more: [i64; 4], now: Moment) {
        let window = self.window;
        for (bucket, more) in self.buckets.iter_mut().zip(more) {
            bucket.taken_elsewhere(more as f64, window, now);
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "within a few windows' worth")]
    pub(super) fn facts(&self, now: Moment) -> (u64, Vec<LimitFacts>) {
        let limits = LimitKind::REPORTED.into_iter().zip(&self.buckets).filter_map(|(kind, bucket)| {
            let limit = whole(bucket.limit()?);
            let level = bucket.level(self.window, now).floor() as i64;
            Some(LimitFacts { kind: kind.label().to_owned(), limit, level, told: bucket.is_told() })
        });
        (whole(self.average.read(self.window, now)), limits.collect())
    }

    #[expect(clippy::cast_precision_loss, reason = "token counts are far below 2^52")]
    pub(super) fn adopt(&mut self, ewma: u64, limits: &[LimitFacts], age: Duration, now: Moment) {
        let window = self.window;
        let spent = age.as_secs_f64() / window.as_secs_f64();
        for fact in limits.iter().filter(|fact| (1..=super::headroom::MOST).contains(&fact.limit)) {
            let kind = LimitKind::REPORTED.into_iter().find(|kind| kind.label() == fact.kind);
            let Some(bucket) = kind.and_then(LimitKind::index).and_then(|at| self.buckets.get_mut(at)) else {
                continue;
            };
            let limit = float(fact.limit);
            if !bucket.is_known() && !fact.told {
                continue;
            }
            bucket.adopt(limit, fact.level as f64 + limit * spent, window, now);
            self.told = true;
        }
        if let Some(limit) = self.prompt().limit() {
            let theirs = (float(ewma) * (-spent).exp()).min(limit);
            self.average =
                Average { value: self.average.read(window, now).max(theirs), at: self.average.at.max(now) };
        }
    }
}

fn index(count: usize) -> f64 {
    float(count as u64)
}

#[cfg(test)]
#[path = "gauge_tests.rs"]
mod tests;
