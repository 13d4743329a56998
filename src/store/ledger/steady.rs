//! Whether the wall clock can be believed when it says that something is old.
//!
//! The trap: `now` is measured by both clocks together; a machine that slept looks like one whose clock jumped,
//! and waits for an hour, too.

use std::time::Duration;

use crate::clock::{Moment, UnixTime};

/// A clock that is off by so much has jumped, and is believed again after so long.
const JUMP: Duration = Duration::from_secs(3_600);

/// Whether the wall clock can be believed: it went as the monotonic one did for an hour. A clock that jumps
/// ahead would make everything old at once.
pub(super) struct Steady {
    since: (Moment, UnixTime),
    /// It has not jumped since the start, or long enough ago.
    believed: bool,
}

impl Steady {
    pub(super) fn new(now: Moment, unix: UnixTime) -> Self {
        Self { since: (now, unix), believed: true }
    }

    pub(super) fn believes(&mut self, now: Moment, unix: UnixTime) -> bool {
        let spent = now.since(self.since.0);
        if (self.since.1.0 + spent).abs_diff(unix.0) > JUMP {
            *self = Self { since: (now, unix), believed: false };
        } else if spent >= JUMP {
            // From here on anew: what drifts in years is no jump.
            *self = Self { since: (now, unix), believed: true };
        }
        self.believed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_not_believed_for_an_hour() {
        let start = UnixTime(Duration::from_secs(1_800_000_000));
        let mut steady = Steady::new(Moment::ZERO, start);
        let mut at = |minutes: u64, ahead: u64| {
            let spent = Duration::from_secs(minutes * 60);
            let unix = UnixTime(start.0 + spent + Duration::from_secs(ahead * 24 * 3_600));
            steady.believes(Moment::ZERO + spent, unix)
        };
        assert!(at(1, 0) && at(59, 0) && at(300, 0));
        assert!(!at(301, 400), "a year ahead");
        assert!(!at(310, 400));
        assert!(!at(311, 0), "and back");
        assert!(!at(370, 0) && at(372, 0) && at(400, 0));
    }
}
