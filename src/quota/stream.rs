//! A stream on its way: its input corrected when it is known, its output taken slice by slice.
//!
//! Alone, a slice is taken when the last one is used up. Where counters are shared the next one is asked
//! for when half of the last is used up, and the stream does not wait for the answer.

use tokio::sync::oneshot::error::TryRecvError;

use super::{
    Permit, Refusal,
    admit::Denied,
    lease::Answer,
    permit::{Held, Stage},
};
use crate::{
    clock::Moment,
    store::counters::{Reserved, Take},
    types::Usage,
};

/// Whether a stream may go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It may.
    Go,
    /// A budget has no further slice for it: close it at the next event's end.
    Stop(Box<Refusal>),
}

/// The next slice of a stream, on its way.
pub(super) struct Renewal {
    answer: Answer,
    tokens: u64,
    takes: Vec<Take>,
}

impl Permit {
    /// Sets when to look at a stream again: when its slice is used up; where asking takes a while, when
    /// half of it is.
    pub(super) fn watch(&mut self) {
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

    /// So many tokens of output have come in all. One comparison, until the slice is used up. Whoever was
    /// told to stop is told so again.
    pub fn flowed(&mut self, output_tokens: u64, now: Moment) -> Flow {
        self.flown = self.flown.max(output_tokens);
        if output_tokens <= self.wake_at {
            return Flow::Go;
        }
        self.now = now;
        if self.stopped.is_none() {
            self.stopped = self.next_slice().map(Box::new);
        }
        self.stopped.clone().map_or(Flow::Go, Flow::Stop)
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
}
