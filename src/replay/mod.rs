//! Policies compared in virtual time: agents' traces against the simulated provider's own cache and
//! limit code.
//!
//! Owns the agents' behaviour ([`Scenario`], [`Trace`]), the clock of events, the usual policies and the
//! bounds. Not here: how the product decides, which is `routing`'s own code, driven through the same
//! questions as any other policy; and the provider's rules, which are `sim`'s.
//!
//! Invariants: a trace is the same for every policy, and the same for the same seed; a chooser sees
//! what a gateway sees. Everything is synthetic: hit rates depend mainly on the gaps of a trace, so a
//! figure means little without its oracle beside it.

mod agents;
mod baseline;
mod chooser;
mod compare;
mod engine;
mod gateway;
mod outcome;
mod policy;
mod replicas;
mod scenario;
mod small;
mod trace;
mod trace_file;

pub use compare::{Comparison, Row, compare};
pub use outcome::{Outcome, Times};
pub use policy::Policy;
pub use scenario::{ALL as SCENARIOS, Conditions, Outage, Scenario, find};
pub use small::{Knobs, Small};
pub use trace::{Agent, Context, Marks, Point, Trace, Turn};
pub use trace_file::{Faults, read, write};

#[cfg(test)]
mod goals_tests;
#[cfg(test)]
mod tests;
