//! How warm an endpoint keeps its callers' prompts, seen from outside: by driving agents at it, or from
//! what was recorded of others.
//!
//! Everything that is seen becomes an [`Observation`]; a tally of them becomes a report with a diagnosis
//! in words. Works on any endpoint: it knows nothing of how the gateway in front of it decides, and asks it
//! for nothing but answers.
//!
//! Invariant: memory does not grow with what is observed; no prompt text is kept.

mod agent;
mod cap;
mod dialog;
mod observation;
mod plan;
mod run;
mod said;
mod talk;
mod text;

pub use cap::{Cap, Tariff};
pub use observation::{Observation, Trouble};
pub use plan::{Plan, Shape};
pub use run::{Conduct, Ended, Estimate, Run, Seen, estimate};
pub use talk::Target;
