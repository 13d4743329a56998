//! Where limits and budgets stand: for headers, and for people.

use std::time::Duration;

use super::What;
use crate::{clock::UnixTime, types::Scope};

/// One rate-limit header's figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Figure {
    /// A minute's worth.
    pub limit: u64,
    /// What is left of it.
    pub remaining: u64,
    /// When it will be whole again, at the latest.
    pub reset: Duration,
}

/// What rate-limit headers say: of each kind the level with the least left. `None` where no level has
/// such a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Figures {
    /// Requests.
    pub requests: Option<Figure>,
    /// Tokens, input and output.
    pub tokens: Option<Figure>,
    /// Input tokens.
    pub input_tokens: Option<Figure>,
    /// Output tokens.
    pub output_tokens: Option<Figure>,
}

/// One limit or budget, for inspection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CounterView {
    /// Whose.
    pub scope: Scope,
    /// Of what.
    pub what: What,
    /// How much.
    pub limit: u64,
    /// In use: spent and reserved, or within the last minute, or at once.
    pub used: u64,
    /// Of a budget: spent for good.
    pub spent: u64,
    /// It warns and lets pass.
    pub soft: bool,
    /// When a budget begins anew; `None` where it does not, or is none.
    pub resets_at: Option<UnixTime>,
}
