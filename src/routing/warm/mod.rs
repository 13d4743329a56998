//! What is warm where: our shadow of the providers' prompt caches.
//!
//! `prompt` says what a provider's cache sees of a request (which prefixes it would write, which it
//! could read), `index` which of them are warm in which cache domain, `leader` who is about to make
//! one readable. Fed by what was sent, corrected by what usage reports said.
//!
//! The invariant: nothing here is the truth. A wrong entry costs one request a miss, is dropped with
//! it, and is counted.

mod index;
mod leader;
mod prompt;
mod saved;

pub use index::{Found, WarmIndex, Warmth};
pub use leader::Leader;
pub use prompt::{Mark, Probe, Prompt, PromptFacts};
pub use saved::{SavedPrefix, SavedWarm};
