//! One test per sentence of the cache rules (providers, sections 1.1 and 2.1).

use super::*;

const T0: Moment = Moment::from_millis(1_000);
const MARKED: CacheRule = CacheRule::Marked { min: 1_024 };
const STEP: u64 = 600;

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A prompt of `blocks` blocks of 600 tokens with breakpoints at the given blocks.
fn prompt(blocks: u64, marks: &[(usize, Ttl)]) -> Chain {
    let positions = (1..=blocks).map(|n| Position { hash: n, tokens: n * STEP, mark: None }).collect();
    let mut chain = Chain { positions, total: blocks * STEP };
    for &(n, ttl) in marks {
        chain.positions[n].mark = Some(ttl);
    }
    chain
}

fn five(n: usize) -> (usize, Ttl) {
    (n, Ttl::FiveMinutes)
}

fn run(cache: &mut PromptCache, chain: &Chain, rule: CacheRule, at: Moment) -> Usage {
    let look = cache.look(chain, rule, at);
    cache.write(&look, at, at);
    look.usage
}

#[test]
fn nothing_is_written_without_a_breakpoint() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(5, &[]), MARKED, T0);
    let usage = run(&mut cache, &prompt(5, &[five(4)]), MARKED, T0);
    assert_eq!(usage, Usage { write_5m: 3_000, ..Usage::default() });
}

#[test]
fn what_follows_the_last_breakpoint_is_plain_input() {
    let mut cache = PromptCache::default();
    let usage = run(&mut cache, &prompt(5, &[five(2)]), MARKED, T0);
    assert_eq!(usage, Usage { write_5m: 1_800, input: 1_200, ..Usage::default() });
}

#[test]
fn a_longer_prompt_reads_what_an_earlier_one_wrote_and_writes_the_rest() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(5, &[five(4)]), MARKED, T0);
    let usage = run(&mut cache, &prompt(8, &[five(7)]), MARKED, T0);
    assert_eq!(usage, Usage { cached_read: 3_000, write_5m: 1_800, ..Usage::default() });
}

#[test]
fn only_positions_that_a_request_wrote_can_be_read() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(8, &[five(7)]), MARKED, T0);
    // The shorter prompt is a prefix of what is cached, but no entry ends there.
    let usage = run(&mut cache, &prompt(5, &[five(4)]), MARKED, T0);
    assert_eq!(usage.cached_read, 0);
}

#[test]
fn the_look_back_is_twenty_positions_with_the_breakpoint_itself() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(5, &[five(4)]), MARKED, T0);
    let far = prompt(25, &[five(24)]); // positions 24 down to 5
    assert_eq!(cache.look(&far, MARKED, T0).usage.cached_read, 0);
    let near = prompt(24, &[five(23)]); // positions 23 down to 4
    assert_eq!(cache.look(&near, MARKED, T0).usage.cached_read, 3_000);
}

#[test]
fn the_search_resumes_at_the_next_earlier_breakpoint() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(5, &[five(4)]), MARKED, T0);
    let usage = run(&mut cache, &prompt(40, &[five(6), five(39)]), MARKED, T0);
    assert_eq!(usage, Usage { cached_read: 3_000, write_5m: 35 * STEP, ..Usage::default() });
}

#[test]
fn a_prefix_below_the_models_minimum_is_silently_not_cached() {
    let mut cache = PromptCache::default();
    let short = prompt(1, &[five(0)]);
    assert_eq!(run(&mut cache, &short, MARKED, T0), Usage { input: STEP, ..Usage::default() });
    assert_eq!(run(&mut cache, &short, MARKED, T0), Usage { input: STEP, ..Usage::default() });
    let small_model = CacheRule::Marked { min: 512 };
    assert_eq!(run(&mut cache, &short, small_model, T0).write_5m, STEP);
    assert_eq!(run(&mut cache, &short, small_model, T0).cached_read, STEP);
}

#[test]
fn the_lifetime_runs_from_the_start_of_the_writing_request() {
    let mut cache = PromptCache::default();
    let chain = prompt(5, &[five(4)]);
    let look = cache.look(&chain, MARKED, T0);
    cache.write(&look, T0, T0 + secs(240)); // a first byte after four minutes
    assert_eq!(cache.look(&chain, MARKED, T0 + secs(300)).usage.cached_read, 0);
    assert_eq!(cache.look(&chain, MARKED, T0 + secs(299)).usage.cached_read, 3_000);
}

#[test]
fn a_read_refreshes_the_lifetime() {
    let mut cache = PromptCache::default();
    let chain = prompt(5, &[five(4)]);
    run(&mut cache, &chain, MARKED, T0);
    assert_eq!(run(&mut cache, &chain, MARKED, T0 + secs(299)).cached_read, 3_000);
    assert_eq!(run(&mut cache, &chain, MARKED, T0 + secs(598)).cached_read, 3_000);
    assert_eq!(run(&mut cache, &chain, MARKED, T0 + secs(898)).cached_read, 0);
}

#[test]
fn an_hour_lasts_an_hour() {
    let mut cache = PromptCache::default();
    let chain = prompt(5, &[(4, Ttl::Hour)]);
    let usage = run(&mut cache, &chain, MARKED, T0);
    assert_eq!(usage, Usage { write_1h: 3_000, ..Usage::default() });
    assert_eq!(cache.look(&chain, MARKED, T0 + secs(3_599)).usage.cached_read, 3_000);
}

#[test]
fn an_entry_is_not_visible_before_its_writer_has_begun_to_answer() {
    let mut cache = PromptCache::default();
    let chain = prompt(5, &[five(4)]);
    let first = cache.look(&chain, MARKED, T0);
    assert_eq!(cache.look(&chain, MARKED, T0 + secs(1)).usage.cached_read, 0, "both pay the write");
    cache.write(&first, T0, T0 + secs(2));
    assert_eq!(cache.look(&chain, MARKED, T0 + secs(2)).usage.cached_read, 3_000);
}

#[test]
fn mixed_lifetimes_are_billed_by_position() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(3, &[(2, Ttl::Hour)]), MARKED, T0);
    let mixed = prompt(12, &[(2, Ttl::Hour), (5, Ttl::Hour), five(9)]);
    let usage = run(&mut cache, &mixed, MARKED, T0);
    let expected = Usage {
        cached_read: 3 * STEP,
        write_1h: 3 * STEP,
        write_5m: 4 * STEP,
        input: 2 * STEP,
        ..Usage::default()
    };
    assert_eq!(usage, expected);
}

#[test]
fn every_token_of_a_prompt_is_billed_exactly_once() {
    let mut cache = PromptCache::default();
    for blocks in 1..30 {
        let marks = [(0, Ttl::Hour), (usize::try_from(blocks / 2).unwrap(), Ttl::Hour)];
        let last = usize::try_from(blocks - 1).unwrap();
        let chain = prompt(blocks, &[marks[0], marks[1], five(last)]);
        for rule in [MARKED, CacheRule::Stepped, CacheRule::Written] {
            assert_eq!(cache.look(&chain, rule, T0).usage.total_input(), chain.total, "{blocks} {rule:?}");
        }
        run(&mut cache, &chain, MARKED, T0);
    }
}

#[test]
fn steps_are_read_up_to_the_first_difference() {
    let mut cache = PromptCache::default();
    let step = |n: u64, hash| Position { hash, tokens: 1_024 + n * 128, mark: None };
    let first = Chain { positions: (0..10).map(|n| step(n, n)).collect(), total: 2_200 };
    assert_eq!(run(&mut cache, &first, CacheRule::Stepped, T0).cached_read, 0);
    let other =
        Chain { positions: (0..10).map(|n| step(n, if n < 4 { n } else { 90 + n })).collect(), total: 2_200 };
    let usage = run(&mut cache, &other, CacheRule::Stepped, T0 + secs(9));
    let read = 1_024 + 3 * 128;
    assert_eq!(usage, Usage { cached_read: read, input: 2_200 - read, ..Usage::default() });
}

#[test]
fn automatic_entries_go_after_ten_idle_minutes() {
    let mut cache = PromptCache::default();
    let chain = Chain { positions: vec![Position { hash: 1, tokens: 1_024, mark: None }], total: 1_100 };
    run(&mut cache, &chain, CacheRule::Stepped, T0);
    assert_eq!(run(&mut cache, &chain, CacheRule::Stepped, T0 + secs(599)).cached_read, 1_024);
    assert_eq!(run(&mut cache, &chain, CacheRule::Stepped, T0 + secs(599 + 600)).cached_read, 0);
}

#[test]
fn newer_models_write_at_a_price_and_read_without_a_look_back_limit() {
    let mut cache = PromptCache::default();
    let first = run(&mut cache, &prompt(5, &[(4, Ttl::HalfHour)]), CacheRule::Written, T0);
    assert_eq!(first, Usage { write_5m: 3_000, ..Usage::default() });
    let far = prompt(60, &[(59, Ttl::HalfHour)]);
    let usage = run(&mut cache, &far, CacheRule::Written, T0 + secs(1_799));
    assert_eq!(usage, Usage { cached_read: 3_000, write_5m: 55 * STEP, ..Usage::default() });
}

#[test]
fn newer_models_do_not_read_either_when_caching_is_switched_off() {
    let mut cache = PromptCache::default();
    run(&mut cache, &prompt(5, &[(4, Ttl::HalfHour)]), CacheRule::Written, T0);
    let usage = run(&mut cache, &prompt(5, &[]), CacheRule::Written, T0);
    assert_eq!(usage, Usage { input: 3_000, ..Usage::default() });
}
