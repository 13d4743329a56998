//! What a request used and what it cost.
//!
//! Owns the count of one answer's tokens while it streams ([`Meter`]), what answers teach about the
//! size of tokens ([`Learned`]), and prices ([`PriceList`]). Pure: no clock, no I/O, integers
//! wherever something is summed, so that a total does not depend on the order or the split of its
//! parts.
//!
//! Invariant: the provider's own figures win wherever they are complete; an estimate is marked as
//! one and is never less than what was reported. Trap: usage in a stream is cumulative, so a later
//! report overwrites an earlier one; adding them bills twice.
//!
//! How near the live count is: after one answer of the same session within 15 % of the truth, or
//! within [`SLACK`] tokens where that is more; a token is a handful of bytes and the provider's
//! chunks end where they like, so the first few events of an answer can say no better.

mod learned;
mod lengths;
mod meter;
mod price;
mod script;

#[cfg(test)]
mod tests;

pub use learned::{Learned, Lesson, Ratios};
pub use meter::{Meter, Metered, Seen};
pub use price::{PriceEntry, PriceList, PriceTier};

/// Tokens that a live count may be off at the start of an answer, beside its 15 %.
pub const SLACK: u64 = 12;
