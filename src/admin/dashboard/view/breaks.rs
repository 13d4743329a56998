//! `breaks`: the breaks of prompt caches that cost most.

use serde::Serialize;

use crate::{live::Live, session::BreakView};

/// All that are kept.
const MOST: usize = 256;

#[derive(Serialize)]
pub(super) struct Breaks {
    rows: Vec<BreakView>,
}

pub(super) fn view(live: &Live) -> Breaks {
    Breaks { rows: live.forensics.worst(MOST) }
}
