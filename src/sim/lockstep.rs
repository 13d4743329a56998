//! Events that wait for a word from the test: event n+1 goes out only after event n was acknowledged.

use std::sync::Arc;

use tokio::sync::watch;

/// Holds the streams of one provider back.
#[derive(Debug)]
pub(super) struct Gate {
    /// `None` is open; otherwise so many events may pass.
    passes: watch::Sender<Option<u64>>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { passes: watch::Sender::new(None) }
    }
}

impl Gate {
    /// Waits for a pass.
    pub(super) async fn pass(&self) {
        let mut changes = self.passes.subscribe();
        loop {
            let mut passed = false;
            self.passes.send_if_modified(|passes| match passes {
                None => {
                    passed = true;
                    false
                }
                Some(0) => false,
                Some(left) => {
                    *left -= 1;
                    passed = true;
                    false
                }
            });
            if passed || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// While it lives, no event of any stream goes out unless it was released. Whole answers are not held.
#[derive(Debug)]
#[must_use = "dropping it lets all streams run freely"]
pub struct Lockstep {
    gate: Arc<Gate>,
}

impl Lockstep {
    pub(super) fn new(gate: Arc<Gate>) -> Self {
        gate.passes.send_replace(Some(0));
        Self { gate }
    }

    /// Lets `n` more events out, whichever stream comes first.
    pub fn release(&self, n: u64) {
        self.gate.passes.send_modify(|passes| *passes = Some(passes.unwrap_or(0).saturating_add(n)));
    }
}

impl Drop for Lockstep {
    fn drop(&mut self) {
        self.gate.passes.send_replace(None);
    }
}
