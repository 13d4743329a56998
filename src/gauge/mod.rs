//! How warm an endpoint keeps its callers' prompts, seen from outside: by driving agents at it, or from
//! what was recorded of others.
//!
//! Everything that is seen becomes an [`Observation`]; a [`Tally`] of them becomes a [`Report`] with a
//! diagnosis in words. Works on any endpoint: it knows nothing of how the gateway in front of it decides,
//! and asks it for nothing but answers.
//!
//! Invariant: memory does not grow with what is observed; no prompt text is kept. Trap: names of models,
//! sessions and errors are other people's text; they are [`clean`]ed on the way in and escaped on the way
//! out.

mod agent;
mod cap;
mod diagnosis;
mod dialog;
mod histogram;
mod html;
mod logs;
mod observation;
mod plan;
mod prose;
mod report;
mod run;
mod said;
mod source;
mod talk;
mod tally;

pub use cap::{Cap, Tariff};
pub use diagnosis::{Diagnosis, Kind};
pub use html::html;
pub use logs::read_logs;
pub use observation::{Observation, Trouble};
pub use plan::{Plan, Shape};
pub use report::{ErrorCount, Probe, Reading, Report, Stopped, Tokens, text};
pub use run::{Conduct, Ended, Estimate, Run, Seen, estimate};
pub use source::{Source, Via, clean};
pub use talk::Target;
pub use tally::Tally;

/// A part of a whole; `None` of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share for people; tokens stay below 2^53")]
fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
