//! How the last reload went: for whoever changed the file and sees nothing happen.

use parking_lot::Mutex;
use serde::Serialize;

use crate::clock::UnixTime;

/// Faults kept of a file: whoever has more mends these first.
const MOST: usize = 100;

/// The last time that the settings were read again.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LastReload {
    /// Seconds since 1970.
    pub at_unix: f64,
    /// They are in force; else the old ones are.
    pub ok: bool,
    /// Why not: a line each, with file, line and remedy. A fault never holds a secret's text.
    pub faults: Vec<String>,
}

/// Remembers the last reload.
#[derive(Debug, Default)]
pub struct Reloads(Mutex<Option<LastReload>>);

impl Reloads {
    /// New settings are in force.
    pub fn done(&self, at: UnixTime) {
        self.note(at, Vec::new());
    }

    /// New settings were refused; the old ones are in force.
    pub fn refused(&self, at: UnixTime, faults: impl IntoIterator<Item = String>) {
        self.note(at, faults.into_iter().take(MOST).collect());
    }

    fn note(&self, at: UnixTime, faults: Vec<String>) {
        *self.0.lock() = Some(LastReload { at_unix: at.0.as_secs_f64(), ok: faults.is_empty(), faults });
    }

    /// The last one; `None` since the start.
    #[must_use]
    pub fn last(&self) -> Option<LastReload> {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_last_reload_is_what_counts() {
        let reloads = Reloads::default();
        assert_eq!(reloads.last(), None);
        let at = |seconds| UnixTime(Duration::from_secs(seconds));
        reloads.refused(at(5), (0..1_000).map(|n| format!("fault {n}")));
        let last = reloads.last().unwrap();
        assert!(!last.ok && last.faults.len() == MOST && last.faults[0] == "fault 0", "{last:?}");
        reloads.done(at(6));
        assert_eq!(reloads.last(), Some(LastReload { at_unix: 6.0, ok: true, faults: Vec::new() }));
    }
}
