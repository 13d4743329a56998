//! A place in a rate domain's queue, with its tokens set aside.
//!
//! The place outlives reloads and learned domains: it hangs on the gate that it was made at. At any
//! other gate its holder is a newcomer.

use std::sync::Arc;

use super::{
    endpoint::Endpoint,
    gauge::Asker,
    lane::Lane,
    need::{Flow, Standing},
    queue::Place,
    rate::RateGate,
    rate_domain::Crowd,
};

/// Holds the place until it is dropped, or used up by [`super::Endpoint::acquire`].
#[must_use = "dropping a reservation gives the place up"]
pub struct Reservation {
    endpoint: u64,
    lane: Lane,
    flow: Flow,
    place: Place,
    gate: Arc<RateGate>,
    crowd: Arc<Crowd>,
}

impl std::fmt::Debug for Reservation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reservation").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Reservation {
    /// The crowd has let it in already.
    pub(super) fn new(
        endpoint: u64,
        lane: Lane,
        flow: Flow,
        place: Place,
        (gate, crowd): (Arc<RateGate>, Arc<Crowd>),
    ) -> Self {
        Self { endpoint, lane, flow, place, gate, crowd }
    }

    /// The id of the endpoint that it was made at. Its rate domain's other endpoints honour it too.
    #[must_use]
    pub fn endpoint(&self) -> u64 {
        self.endpoint
    }

    /// Whether it still is a place in the queue that a request of `lane` to `endpoint` stands in: any
    /// endpoint of its rate domain, until that is found to be part of another one.
    #[must_use]
    pub fn holds_at(&self, endpoint: &Endpoint, lane: Lane) -> bool {
        endpoint.rate_domain().gate(lane).is_some_and(|gate| Arc::ptr_eq(gate, &self.gate))
    }

    /// The limits that it is for.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.gate.gauge(|gauge| gauge.leave(self.place));
        self.crowd.leave(self.flow.bytes);
    }
}

impl Standing<'_> {
    /// Who that is at `gate`.
    pub(super) fn at(&self, gate: &Arc<RateGate>) -> Asker {
        match *self {
            Self::New(flow) => Asker { flow, place: None },
            Self::Waiting(held) => {
                let place = Arc::ptr_eq(gate, &held.gate).then_some(held.place);
                Asker { flow: held.flow, place }
            }
        }
    }
}
