//! The most that may be spent at one endpoint.
//!
//! A request reserves the most that it can cost before it is sent and is settled to what was reported.
//! Invariant: what was spent and what is reserved never come to more than the cap, as long as an endpoint
//! reports what it charges and keeps to `max_tokens`. A prompt's bound is its bytes (no tokenizer makes more
//! tokens than bytes) until usage was reported of what it begins with.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{
    metering::PriceList,
    types::{NanoUsd, Rates, Usage},
};

/// What providers add to a prompt by themselves: how to call tools, who speaks. Some hundred tokens.
const ADDED: u64 = 1_024;

/// What one model's tokens cost, at the most.
#[derive(Clone, Debug)]
pub struct Tariff {
    model: String,
    prices: Arc<PriceList>,
}

impl Tariff {
    /// The price of `model`; `None` when the list does not have it.
    #[must_use]
    pub fn new(model: &str, prices: &Arc<PriceList>) -> Option<Self> {
        prices.rates(model, 0)?;
        Some(Self { model: model.to_owned(), prices: Arc::clone(prices) })
    }

    /// The most that so many tokens can cost: all input at the dearest of input, reading and writing.
    #[must_use]
    pub fn most(&self, input: u64, output: u64) -> NanoUsd {
        let charge = |rates: Rates| {
            let dearest = rates.input.max(rates.cached_read).max(rates.write_5m).max(rates.write_1h);
            let rates = Rates { input: dearest, ..rates };
            rates.charge(&Usage { input, output, ..Usage::default() })
        };
        let tiers = self.prices.tiers(&self.model);
        let within = tiers.into_iter().filter(|(above, _)| *above == 0 || input > *above);
        within.map(|(_, rates)| charge(rates)).max().unwrap_or_default()
    }

    /// The most that a request can cost whose body has so many bytes. `known`: the tokens of an earlier
    /// body of the same conversation, and its bytes; what is new since then counts a token a byte.
    #[must_use]
    pub fn most_for(&self, bytes: usize, known: Option<(u64, usize)>, output: u64) -> NanoUsd {
        let bytes = bytes as u64;
        let input = match known {
            // A report of next to nothing for a large body is no report.
            Some((tokens, then)) if tokens.saturating_mul(16) > then as u64 => tokens
                .saturating_add(tokens / 50)
                .saturating_add(bytes.saturating_sub(then as u64))
                .min(bytes),
            Some(_) | None => bytes,
        };
        self.most(input.saturating_add(ADDED), output)
    }

    /// What was reported costs so much.
    #[must_use]
    pub fn charge(&self, usage: &Usage) -> NanoUsd {
        self.prices.charge(&self.model, usage).unwrap_or_default()
    }
}

/// The cap, and what was taken of it.
#[derive(Debug)]
pub struct Cap {
    limit: NanoUsd,
    taken: Mutex<Taken>,
    settled: Notify,
}

#[derive(Default, Debug)]
struct Taken {
    spent: NanoUsd,
    reserved: NanoUsd,
    /// Something did not fit.
    reached: bool,
}

impl Taken {
    fn give_back(&mut self, bound: NanoUsd) {
        self.reserved = NanoUsd(self.reserved.0.saturating_sub(bound.0));
    }
}

impl Cap {
    /// Nothing was spent yet.
    #[must_use]
    pub fn new(limit: NanoUsd) -> Arc<Self> {
        Arc::new(Self { limit, taken: Mutex::default(), settled: Notify::new() })
    }

    /// Takes `bound`, as soon as what others hold back and may not need leaves room for it. `None`: it
    /// does not fit, whatever they give back; nothing does from then on.
    pub async fn reserve(self: &Arc<Self>, bound: NanoUsd) -> Option<Reservation> {
        loop {
            // Enrolled before looking, so that no settlement is missed in between.
            let mut settled = std::pin::pin!(self.settled.notified());
            settled.as_mut().enable();
            if let Some(decided) = self.try_reserve(bound) {
                return decided;
            }
            settled.await;
        }
    }

    /// `None`: ask again when somebody has settled.
    fn try_reserve(self: &Arc<Self>, bound: NanoUsd) -> Option<Option<Reservation>> {
        let mut taken = self.taken.lock();
        let fits = |held: u64| held.saturating_add(bound.0) <= self.limit.0;
        if taken.reached || !fits(taken.spent.0) {
            taken.reached = true;
            drop(taken);
            self.settled.notify_waiters();
            return Some(None);
        }
        if !fits(taken.spent.0.saturating_add(taken.reserved.0)) {
            return None;
        }
        taken.reserved += bound;
        drop(taken);
        Some(Some(Reservation { cap: Arc::clone(self), bound, open: true }))
    }

    /// What was charged so far; of requests whose answer reported nothing, the most that they can cost.
    #[must_use]
    pub fn spent(&self) -> NanoUsd {
        self.taken.lock().spent
    }

    /// A request did not fit.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.taken.lock().reached
    }

    /// What may be spent.
    #[must_use]
    pub const fn limit(&self) -> NanoUsd {
        self.limit
    }
}

/// What one request holds. Dropped without a settlement, all of it is charged.
#[derive(Debug)]
#[must_use]
pub struct Reservation {
    cap: Arc<Cap>,
    bound: NanoUsd,
    open: bool,
}

impl Reservation {
    /// It came to this.
    pub fn settle(mut self, charge: NanoUsd) {
        self.close(charge);
    }

    fn close(&mut self, charge: NanoUsd) {
        if std::mem::take(&mut self.open) {
            let mut taken = self.cap.taken.lock();
            taken.give_back(self.bound);
            taken.spent += charge;
            drop(taken);
            self.cap.settled.notify_waiters();
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(self.bound);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metering::{PriceEntry, PriceTier};

    const RATES: Rates = Rates {
        input: 3_000_000_000,
        cached_read: 300_000_000,
        write_5m: 3_750_000_000,
        write_1h: 6_000_000_000,
        output: 15_000_000_000,
    };

    fn tariff() -> Tariff {
        let long = Rates { input: 9_000_000_000, ..RATES };
        let tiers = vec![PriceTier { above_input_tokens: 100_000, rates: long }];
        let list = PriceList::new(vec![PriceEntry { model: "m".to_owned(), rates: RATES, tiers }]);
        Tariff::new("m", &Arc::new(list)).expect("a price")
    }

    #[test]
    fn a_request_is_bounded_by_its_bytes_and_then_by_what_was_reported() {
        let tariff = tariff();
        let dollars = |input: u64| NanoUsd(6_000 * input);
        assert_eq!(tariff.most_for(40_000, None, 0), dollars(40_000 + ADDED));
        assert_eq!(tariff.most_for(44_000, Some((10_000, 40_000)), 0), dollars(10_200 + 4_000 + ADDED));
        // Not believed: no tokenizer makes a token of sixteen bytes.
        assert_eq!(tariff.most_for(44_000, Some((10, 40_000)), 0), dollars(44_000 + ADDED));
        assert_eq!(tariff.most(0, 1_000), NanoUsd(15_000_000));
        assert_eq!(tariff.most(200_000, 0), NanoUsd(9_000 * 200_000), "above a tier");
        assert!(Tariff::new("unknown", &Arc::new(PriceList::default())).is_none());
    }

    #[tokio::test]
    async fn what_does_not_fit_is_refused_and_so_is_everything_after_it() {
        let cap = Cap::new(NanoUsd(100));
        cap.reserve(NanoUsd(60)).await.expect("room").settle(NanoUsd(50));
        assert!(cap.reserve(NanoUsd(51)).await.is_none());
        assert!(cap.is_reached());
        assert!(cap.reserve(NanoUsd(1)).await.is_none(), "the fleet stops");
        assert_eq!(cap.spent(), NanoUsd(50));
    }

    #[tokio::test]
    async fn who_may_fit_later_waits_for_those_who_settle() {
        let cap = Cap::new(NanoUsd(100));
        let first = cap.reserve(NanoUsd(80)).await.expect("room");
        let waiting = tokio::spawn({
            let cap = Arc::clone(&cap);
            async move { cap.reserve(NanoUsd(80)).await.is_some() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.settle(NanoUsd(20));
        assert!(waiting.await.expect("no panic"));
        // Dropped by the task: charged in full.
        assert_eq!((cap.spent(), cap.is_reached()), (NanoUsd(100), false));
    }
}
