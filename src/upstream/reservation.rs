//! A place in a rate domain's queue, with its tokens set aside.

use super::lane::Lane;

/// Holds the place until it is dropped, or used up by [`super::Endpoint::acquire`].
#[must_use = "dropping a reservation gives the place up"]
pub struct Reservation {
    endpoint: u64,
    lane: Lane,
}

impl Reservation {
    pub(super) fn new(endpoint: u64, lane: Lane) -> Self {
        Self { endpoint, lane }
    }

    /// The id of the endpoint that it was made at. Its rate domain's other endpoints honour it too.
    #[must_use]
    pub fn endpoint(&self) -> u64 {
        self.endpoint
    }

    /// The limits that it is for.
    #[must_use]
    pub fn lane(&self) -> Lane {
        self.lane
    }
}
