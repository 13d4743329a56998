//! What holds of any key and any document.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{
    store::documents::Document,
    types::{Allowance, Budget, KeyDigest, Limits, Period, Unit},
};

const NOW: UnixTime = UnixTime(Duration::from_secs(1_800_000_000));

fn some_budgets() -> impl Strategy<Value = Vec<Budget>> {
    let units = proptest::sample::subsequence(vec![Unit::Usd, Unit::Tokens], 0..=2);
    let budget = |unit| {
        let per = proptest::sample::select(Period::ALL);
        (1..=1_000_000_000_000_000_u64, per, any::<bool>()).prop_map(move |(amount, per, soft)| Budget {
            unit,
            amount,
            per,
            soft,
        })
    };
    units.prop_flat_map(move |units| units.into_iter().map(budget).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a key may use, its document says the same, to the last nano-dollar.
    #[test]
    fn what_is_stored_is_read_back(
        (rpm, turns) in (proptest::option::of(1..=1_000_000_000_000_000_u64), proptest::option::of(1..=9_u64)),
        (budgets, session_budgets) in (some_budgets(), some_budgets()),
        (weight, markup) in (10..=100_000_u32, 0..=100_000_u32),
        tags in proptest::collection::btree_set("[a-z0-9=:._@-]{1,64}", 0..=16),
        expires in proptest::option::of(1..4_000_000_000_u64),
        old in proptest::option::of(1..4_000_000_000_u64),
        (disabled, long_cache, keep_alive) in any::<(bool, Option<bool>, Option<bool>)>(),
    ) {
        let limits = Limits { rpm, turns, ..Limits::default() };
        let key = VirtualKey {
            id: "k_1".into(),
            old: old.map(|until| (KeyDigest::of(b"old"), UnixTime(Duration::from_secs(until)))),
            tags: tags.iter().map(|tag| tag.as_str().into()).collect(),
            expires: expires.map(|at| UnixTime(Duration::from_secs(at))),
            disabled,
            allowance: Allowance { limits, budgets, session_budgets },
            weight,
            markup,
            long_cache,
            keep_alive,
            ..VirtualKey::named("some-name", KeyDigest::of(b"a token"))
        };
        let (_, held) = stored::write_key(&key, Facts::new("wk-abcde", NOW)).unwrap();
        prop_assert_eq!(&*held.key, &key);
        prop_assert_eq!(held.facts, Facts::new("wk-abcde", NOW));
    }

    #[test]
    fn no_document_makes_reading_panic(body in "\\PC{0,200}", kind in "key|team|organisation|gateway|other") {
        let id = "a/b".to_owned();
        let document = Document { kind, id, body, changed: NOW };
        let _ = Stored::read(1, &[document], &BTreeMap::new());
    }
}
