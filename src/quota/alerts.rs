//! What an operator hears of a budget before its callers do.

use super::What;
use crate::{clock::UnixTime, types::Scope};

/// A budget has reached 50, 80 or 100 % of its amount. Once per budget, period and threshold; the
/// first refusal counts as 100 %.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Alert {
    /// Whose.
    pub scope: Scope,
    /// Which.
    pub what: What,
    /// 50, 80 or 100.
    pub percent: u8,
    /// How much it is.
    pub limit: u64,
    /// How much of it is spent.
    pub spent: u64,
    /// It only warns.
    pub soft: bool,
    /// When it begins anew; `None` when never.
    pub resets_at: Option<UnixTime>,
}
