//! Anthropic Messages: what is asked, and how it is answered.

mod ask;
mod wire;

pub(super) use ask::{Ground, ask, ask_of, check_order, count, total};
pub(super) use wire::{error_event, signature, stop_reason, stream, whole};

#[cfg(test)]
mod invalidation_tests;
#[cfg(test)]
mod tests;
