//! What a gateway did in a span of time: plain figures.

/// What became of callers' requests in some time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Requests that are over.
    pub requests: u64,
    /// Those that ended in anything but a whole answer, or a client that left.
    pub failed: u64,
    /// Tries that providers answered with 429; refusals of our own are among `failed`.
    pub throttled: u64,
    /// Tokens of input that were neither read from a cache nor written to one.
    pub input: u64,
    /// Tokens read from providers' caches.
    pub cached_read: u64,
    /// Tokens written to them.
    pub written: u64,
    /// Tokens of output; those of answers that still run are estimated.
    pub output: u64,
    /// Billionths of a dollar, pings that keep prompts warm with them.
    pub nano_usd: u64,
}

impl Counts {
    /// What is more than `before`, of the same things, was.
    #[must_use]
    pub const fn since(&self, before: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            throttled: self.throttled.saturating_sub(before.throttled),
            input: self.input.saturating_sub(before.input),
            cached_read: self.cached_read.saturating_sub(before.cached_read),
            written: self.written.saturating_sub(before.written),
            output: self.output.saturating_sub(before.output),
            nano_usd: self.nano_usd.saturating_sub(before.nano_usd),
        }
    }

    /// All input tokens, whatever they cost.
    #[must_use]
    pub const fn total_input(&self) -> u64 {
        self.input.saturating_add(self.cached_read).saturating_add(self.written)
    }

    /// The part of the input that was read from a cache, 0 to 1; `None` without input.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn hit_rate(&self) -> Option<f64> {
        let all = self.total_input();
        (all > 0).then(|| self.cached_read as f64 / all as f64)
    }
}
