use proptest::prelude::*;

use super::*;

/// A system prompt of `system` blocks, then messages by turns, `each` bytes a block.
fn chain(system: usize, messages: usize, each: u64) -> PrefixChain {
    let point = |at: usize| PrefixPoint {
        hash: xxhash_rust::xxh3::xxh3_64(&at.to_le_bytes()),
        bytes: each * (at as u64 + 1),
        section: match at.checked_sub(system) {
            None => Section::System,
            Some(n) if n % 2 == 0 => Section::User,
            Some(_) => Section::Assistant,
        },
        breakpoint: false,
    };
    PrefixChain { points: (0..system + messages).map(point).collect() }
}

fn facts<'a>(marks: &'a [(usize, TtlAsked)], rule: CacheRule) -> PromptFacts<'a> {
    let cache = CacheLife {
        rule,
        min_tokens: 1_024,
        short: Duration::from_secs(300),
        long: Duration::from_secs(3_600),
    };
    PromptFacts {
        marks,
        cache,
        model: 0,
        settings: 0,
        message_settings: 0,
        tokens: 100_000,
        ttl: TtlAsked::Short,
    }
}

fn marked(chain: &PrefixChain, at: &[usize]) -> Prompt {
    let marks: Vec<_> = at.iter().map(|&at| (at, TtlAsked::Short)).collect();
    Prompt::of(chain, &facts(&marks, CacheRule::Marked))
}

/// Without salts a point's key is its hash.
fn places(chain: &PrefixChain, keys: impl Iterator<Item = u64>) -> Vec<usize> {
    keys.map(|key| chain.points.iter().position(|point| point.hash == key).unwrap()).collect()
}

fn probed(chain: &PrefixChain, prompt: &Prompt) -> Vec<usize> {
    places(chain, prompt.probes().iter().map(|probe| probe.key))
}

fn left(chain: &PrefixChain, prompt: &Prompt) -> Vec<usize> {
    places(chain, prompt.marks().iter().map(|mark| mark.key))
}

#[test]
fn a_breakpoint_looks_back_over_twenty_positions_itself_included() {
    let chain = chain(2, 98, 4_000);
    let prompt = marked(&chain, &[60]);
    assert_eq!(probed(&chain, &prompt), (41..=60).rev().collect::<Vec<_>>());
    assert_eq!(left(&chain, &prompt), [60]);
    assert_eq!(probed(&chain, &marked(&chain, &[5])), [5, 4, 3, 2, 1, 0]);
}

#[test]
fn where_look_backs_overlap_each_position_is_looked_up_once_longest_first() {
    let chain = chain(2, 98, 4_000);
    assert_eq!(probed(&chain, &marked(&chain, &[50, 55])), (31..=55).rev().collect::<Vec<_>>());
    let apart = probed(&chain, &marked(&chain, &[10, 60]));
    assert_eq!(apart, (41..=60).rev().chain((0..=10).rev()).collect::<Vec<_>>());
}

#[test]
fn only_the_last_four_breakpoints_count_and_eighty_positions_at_most() {
    let chain = chain(2, 198, 4_000);
    let prompt = marked(&chain, &[20, 50, 80, 110, 140]);
    assert_eq!(left(&chain, &prompt), [50, 80, 110, 140]);
    let probes = probed(&chain, &prompt);
    assert_eq!(probes.len(), 80);
    assert!(!probes.contains(&20) && probes.contains(&31) && !probes.contains(&30));
}

#[test]
fn prefixes_below_the_providers_minimum_are_not_cached() {
    // A hundred blocks of a thousand tokens.
    let chain = chain(2, 98, 4_000);
    let prompt = marked(&chain, &[0, 1]);
    assert_eq!(left(&chain, &prompt), [1], "1,000 tokens are too few, 2,000 are not");
    assert_eq!(prompt.marks()[0].tokens, 2_000);
    let none = marked(&chain, &[0]);
    assert!(none.marks().is_empty() && none.probes().is_empty());
    assert_eq!(none.tokens, 100_000);
}

#[test]
fn tokens_of_a_prefix_are_its_share_of_the_bytes() {
    let chain = chain(2, 98, 4_000);
    let prompt = marked(&chain, &[49, 99]);
    assert_eq!(prompt.marks().iter().map(|mark| mark.tokens).collect::<Vec<_>>(), [50_000, 100_000]);
    assert!(prompt.probes().windows(2).all(|pair| pair[0].tokens > pair[1].tokens));
}

#[test]
fn a_key_depends_on_model_and_settings_and_those_of_messages_only_on_theirs() {
    let chain = chain(2, 4, 40_000);
    let marks = [(1, TtlAsked::Short), (5, TtlAsked::Short)];
    let plain = facts(&marks, CacheRule::Marked);
    let keys = |facts: &PromptFacts<'_>| {
        let prompt = Prompt::of(&chain, facts);
        [prompt.marks()[0].key, prompt.marks()[1].key]
    };
    let [system, message] = keys(&plain);
    let differs = |facts: &PromptFacts<'_>| {
        let [other_system, other_message] = keys(facts);
        [other_system != system, other_message != message]
    };
    assert_eq!(differs(&plain), [false, false]);
    assert_eq!(differs(&PromptFacts { model: 7, ..plain }), [true, true]);
    assert_eq!(differs(&PromptFacts { settings: 7, ..plain }), [true, true]);
    assert_eq!(differs(&PromptFacts { message_settings: 7, ..plain }), [false, true]);
    // What is not in the provider's key is not in ours: size, life, the tenant (who is not even asked for).
    assert_eq!(differs(&PromptFacts { tokens: 50_000, ttl: TtlAsked::Long, ..plain }), [false, false]);
    // The same value at another place is another key.
    assert_ne!(keys(&PromptFacts { model: 7, ..plain }), keys(&PromptFacts { settings: 7, ..plain }));
}

#[test]
fn each_breakpoint_has_its_own_life() {
    let chain = chain(2, 4, 40_000);
    let marks = [(1, TtlAsked::Long), (5, TtlAsked::Short)];
    let prompt = Prompt::of(&chain, &PromptFacts { ttl: TtlAsked::Long, ..facts(&marks, CacheRule::Marked) });
    let lives: Vec<_> = prompt.marks().iter().map(|mark| mark.life.as_secs()).collect();
    assert_eq!(lives, [3_600, 300]);
    assert!(prompt.long);
    let shared: Vec<_> = prompt.marks().iter().map(|mark| mark.shared).collect();
    assert_eq!(shared, [true, false]);
    assert!(!marked(&chain, &[1]).long);
}

#[test]
fn where_any_prefix_is_found_the_ends_that_a_next_turn_begins_with_are_kept() {
    let mut chain = chain(3, 6, 40_000);
    chain.points[0].section = Section::Tools;
    // System ends at 2; user 3, assistant 4, user 5, assistant 6, user 7, assistant 8.
    let prompt = Prompt::of(&chain, &facts(&[], CacheRule::Anywhere));
    assert_eq!(left(&chain, &prompt), [0, 2, 7, 8]);
    assert_eq!(probed(&chain, &prompt), (0..9).rev().collect::<Vec<_>>());
    chain.points.pop();
    // The user speaks last: before the last reply.
    let prompt = Prompt::of(&chain, &facts(&[], CacheRule::Anywhere));
    assert_eq!(left(&chain, &prompt), [0, 2, 5, 7]);
    let long = chain_of_two_hundred();
    assert_eq!(Prompt::of(&long, &facts(&[], CacheRule::Anywhere)).probes().len(), 80);
}

fn chain_of_two_hundred() -> PrefixChain {
    chain(2, 198, 4_000)
}

#[test]
fn without_breakpoints_or_a_cache_nothing_is_left_behind() {
    let chain = chain(2, 4, 40_000);
    for prompt in [
        Prompt::of(&chain, &facts(&[], CacheRule::Marked)),
        Prompt::of(&chain, &facts(&[(1, TtlAsked::Short)], CacheRule::Never)),
        Prompt::of(&PrefixChain::default(), &facts(&[(0, TtlAsked::Short)], CacheRule::Marked)),
        Prompt::of(&PrefixChain::default(), &facts(&[], CacheRule::Anywhere)),
        Prompt::opaque(100_000),
    ] {
        assert!(prompt.marks().is_empty() && prompt.probes().is_empty());
        assert_eq!(prompt.tokens, 100_000);
    }
}

proptest! {
    #[test]
    fn whatever_the_breakpoints_marks_and_probes_are_what_the_rule_says(
        system in 0_usize..5,
        messages in 0_usize..150,
        at in proptest::collection::btree_set(0_usize..200, 0..8),
        each in 1_u64..10_000,
    ) {
        let chain = chain(system, messages, each);
        let at: Vec<_> = at.into_iter().collect();
        let prompt = marked(&chain, &at);
        let count = chain.points.len();
        let per_block = 100_000 / count.max(1);
        let deep = |at: &usize| *at < count && (at + 1) * 100_000 / count >= 1_024;
        let last = &at[at.len().saturating_sub(4)..];
        let marks: Vec<_> = last.iter().copied().filter(deep).collect();
        prop_assert_eq!(left(&chain, &prompt), marks.clone());
        // Naively: all positions within twenty of any of them.
        let expected: Vec<_> =
            (0..count).rev().filter(|p| marks.iter().any(|m| p <= m && m - p < 20)).take(80).collect();
        prop_assert_eq!(probed(&chain, &prompt), expected);
        for probe in prompt.probes() {
            let at = chain.points.iter().position(|point| point.hash == probe.key).unwrap();
            prop_assert!((probe.tokens as usize).abs_diff((at + 1) * per_block) <= at + 2);
        }
    }
}
