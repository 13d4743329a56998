//! Requests under way: counted in a guard, so that a drain knows when the last one has ended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI64, Ordering},
};

use tokio::sync::Notify;

/// The requests that run now.
pub struct Flights {
    running: AtomicI64,
    live_output: AtomicI64,
    landed: Notify,
    draining: AtomicBool,
    cut: AtomicBool,
}

/// One request under way; ends when dropped.
pub struct Flight {
    flights: Arc<Flights>,
    output: i64,
}

impl Default for Flights {
    fn default() -> Self {
        Self {
            running: AtomicI64::new(0),
            live_output: AtomicI64::new(0),
            landed: Notify::new(),
            draining: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        }
    }
}

impl Flights {
    /// A request begins.
    pub fn depart(self: &Arc<Self>) -> Flight {
        self.running.fetch_add(1, Ordering::Relaxed);
        Flight { flights: Arc::clone(self), output: 0 }
    }

    /// How many run.
    pub fn running(&self) -> i64 {
        self.running.load(Ordering::Acquire)
    }

    /// Output tokens of the streams that run, counted live.
    pub fn live_output(&self) -> i64 {
        self.live_output.load(Ordering::Relaxed)
    }

    /// Resolves once nothing runs any more.
    pub async fn all_landed(&self) {
        loop {
            let landed = self.landed.notified();
            if self.running() <= 0 {
                return;
            }
            landed.await;
        }
    }

    /// The listeners close; what runs may end.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether the gateway is about to end.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether streams must end in-band now.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// The time to drain is over: every stream ends in-band.
    pub fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }
}

impl Flight {
    /// The stream has produced this many tokens so far.
    pub fn set_output(&mut self, tokens: u64) {
        let tokens = i64::try_from(tokens).unwrap_or(i64::MAX);
        self.flights.live_output.fetch_add(tokens - self.output, Ordering::Relaxed);
        self.output = tokens;
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.set_output(0);
        if self.flights.running.fetch_sub(1, Ordering::AcqRel) <= 1 {
            self.flights.landed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_ends_with_the_last_request_and_its_tokens_are_gone_from_the_gauge() {
        let flights = Arc::new(Flights::default());
        let mut first = flights.depart();
        let second = flights.depart();
        first.set_output(10);
        first.set_output(7);
        assert_eq!((flights.running(), flights.live_output()), (2, 7));
        drop(second);
        let waiter = tokio::spawn({
            let flights = Arc::clone(&flights);
            async move { flights.all_landed().await }
        });
        drop(first);
        waiter.await.expect("it ends");
        assert_eq!((flights.running(), flights.live_output()), (0, 0));
    }
}
