//! Tokens counted.

use std::ops::AddAssign;

/// Tokens of one request by kind; no token stands in two fields, but for `reasoning`, which is the
/// part of `output` that was spent thinking.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Usage {
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Input read from the provider's prompt cache.
    pub cached_read: u64,
    /// Input written to the cache for the short time (5 m at Anthropic, 30 m at OpenAI).
    pub write_5m: u64,
    /// Input written to the cache for the long time (1 h at Anthropic, 12 h at OpenAI).
    pub write_1h: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// The part of the output that was reasoning; 0 where a provider does not say.
    pub reasoning: u64,
}

impl Usage {
    /// Every figure with its label: in metrics, and as the ledger's columns are called.
    #[must_use]
    pub const fn by_kind(&self) -> [(&'static str, u64); 6] {
        [
            ("input", self.input),
            ("cached_read", self.cached_read),
            ("write_5m", self.write_5m),
            ("write_1h", self.write_1h),
            ("output", self.output),
            ("reasoning", self.reasoning),
        ]
    }

    /// All input tokens, whatever they cost.
    #[must_use]
    pub const fn total_input(&self) -> u64 {
        self.input
            .saturating_add(self.cached_read)
            .saturating_add(self.write_5m)
            .saturating_add(self.write_1h)
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.cached_read = self.cached_read.saturating_add(other.cached_read);
        self.write_5m = self.write_5m.saturating_add(other.write_5m);
        self.write_1h = self.write_1h.saturating_add(other.write_1h);
        self.output = self.output.saturating_add(other.output);
        self.reasoning = self.reasoning.saturating_add(other.reasoning);
    }
}

/// What a provider said of the tokens, field by field: `None` is "not said (yet)".
///
/// Anthropic's streams report cumulative figures and may repeat or leave out any of them, so a
/// later report overwrites what it names and nothing else; adding would bill twice.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ReportedUsage {
    /// See [`Usage::input`].
    pub input: Option<u64>,
    /// See [`Usage::cached_read`].
    pub cached_read: Option<u64>,
    /// See [`Usage::write_5m`].
    pub write_5m: Option<u64>,
    /// See [`Usage::write_1h`].
    pub write_1h: Option<u64>,
    /// See [`Usage::output`].
    pub output: Option<u64>,
    /// See [`Usage::reasoning`].
    pub reasoning: Option<u64>,
}

impl ReportedUsage {
    /// Takes over every figure that `later` names.
    pub fn overwrite(&mut self, later: &Self) {
        self.input = later.input.or(self.input);
        self.cached_read = later.cached_read.or(self.cached_read);
        self.write_5m = later.write_5m.or(self.write_5m);
        self.write_1h = later.write_1h.or(self.write_1h);
        self.output = later.output.or(self.output);
        self.reasoning = later.reasoning.or(self.reasoning);
    }

    /// The figures, with nothing said counted as nothing.
    #[must_use]
    pub fn settled(&self) -> Usage {
        Usage {
            input: self.input.unwrap_or(0),
            cached_read: self.cached_read.unwrap_or(0),
            write_5m: self.write_5m.unwrap_or(0),
            write_1h: self.write_1h.unwrap_or(0),
            output: self.output.unwrap_or(0),
            reasoning: self.reasoning.unwrap_or(0),
        }
    }
}
