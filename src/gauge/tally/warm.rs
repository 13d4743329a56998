//! What the same requests would have cost with a cache that keeps everything.

use super::known::is_automatic;
use crate::types::{Dialect, Usage};

/// The figures of a request whose conversation had sent `repeated` of its tokens before, had these been
/// read: what is new is written where the dialect writes it, and what was left unwritten (behind the last
/// breakpoint) stays so.
///
/// Never less than what was read in truth: other conversations may have warmed it, too.
pub(super) fn warm(dialect: Dialect, usage: &Usage, repeated: u64) -> Usage {
    let total = usage.total_input();
    let read = repeated.min(total).max(usage.cached_read);
    let new = total - read;
    let written = usage.write_5m.saturating_add(usage.write_1h);
    let kinds = Usage { input: 0, cached_read: read, write_5m: 0, write_1h: 0, ..*usage };
    if is_automatic(dialect, usage) {
        return Usage { input: new, ..kinds };
    }
    // A request that cached nothing at all would have to write what is new.
    let plain = if usage.cached_read + written > 0 { usage.input.min(new) } else { 0 };
    let write = new - plain;
    if usage.write_1h > usage.write_5m {
        Usage { input: plain, write_1h: write, ..kinds }
    } else {
        Usage { input: plain, write_5m: write, ..kinds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_is_read_and_what_is_new_is_written() {
        let cold = Usage { input: 100, write_5m: 9_900, output: 50, ..Usage::default() };
        let warmed = warm(Dialect::Anthropic, &cold, 9_000);
        assert_eq!((warmed.cached_read, warmed.write_5m, warmed.input, warmed.output), (9_000, 900, 100, 50));
        let unmarked = Usage { input: 10_000, ..Usage::default() };
        let warmed = warm(Dialect::Anthropic, &unmarked, 9_000);
        assert_eq!((warmed.cached_read, warmed.write_5m, warmed.input), (9_000, 1_000, 0));
        let hour = Usage { write_1h: 10_000, ..Usage::default() };
        assert_eq!(warm(Dialect::Anthropic, &hour, 9_000).write_1h, 1_000);
        // Without marks, and without a counter of writes.
        let chat = Usage { input: 10_000, ..Usage::default() };
        let warmed = warm(Dialect::OpenAiChat, &chat, 9_000);
        assert_eq!((warmed.cached_read, warmed.write_5m, warmed.input), (9_000, 0, 1_000));
    }

    #[test]
    fn no_token_is_lost_and_none_is_read_less_than_in_truth() {
        let usage = Usage { input: 10, cached_read: 5_000, write_5m: 90, ..Usage::default() };
        for repeated in [0, 100, 5_000, 5_050, u64::MAX] {
            let warmed = warm(Dialect::Anthropic, &usage, repeated);
            assert_eq!(warmed.total_input(), usage.total_input(), "{repeated}");
            assert!(warmed.cached_read >= 5_000);
        }
    }
}
