//! One connection to an endpoint, and one exchange over it as a client sees it.
//!
//! HTTP/1.1 over plain TCP or TLS; nothing is followed, and an answer has a bound. Whatever goes wrong is a
//! [`Fault`]. What times mean: the first *content*, not the first byte.

mod connect;
mod fault;
mod hear;
mod target;

pub(super) use connect::Line;
pub(super) use fault::{Fault, plain};
pub(super) use hear::Heard;
pub use target::Target;
