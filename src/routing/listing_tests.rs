use std::time::Duration;

use super::{super::testkit::*, *};
use crate::{
    clock::UnixTime,
    routing::{Policy, RouterParams, SavedSession, SavedTable},
    types::AffinityResult::{Hit, Moved, New},
    upstream::testing,
};

fn saved(n: u64, change: impl FnOnce(&mut SavedSession)) -> SavedSession {
    let mut session = SavedSession {
        session: format!("{n:016x}{:016x}", 0),
        model: if n.is_multiple_of(2) { "claude-even" } else { "gpt-odd" }.to_owned(),
        endpoint: ["a1", "b1", "c1"][usize::try_from(n % 3).unwrap()].to_owned(),
        warm_ms: 1_000_000,
        ..SavedSession::default()
    };
    change(&mut session);
    session
}

/// A table that was restored.
fn kit_of(sessions: Vec<SavedSession>) -> Kit {
    let kit = Kit::with(testing::eight(), RouterParams { max_sessions: 200_000, ..RouterParams::default() });
    let table = SavedTable { saved_at_unix: 1_000, sessions };
    let restored = kit.policy.sessions().restore(
        &table,
        |name| kit.pool.endpoint(name).cloned(),
        at(10_000),
        UnixTime(Duration::from_secs(1_000)),
    );
    assert_eq!(restored, table.sessions.len());
    kit
}

fn all(sort: SortBy) -> Listing {
    Listing { sort, ascending: false, offset: 0, limit: 200, search: String::new() }
}

fn ids(kit: &Kit, listing: &Listing) -> Vec<u64> {
    let rows = kit.policy.sessions().list(listing, at(10_000)).rows;
    rows.iter().map(|row| u64::from_str_radix(&row.session, 16).unwrap()).collect()
}

#[test]
fn sessions_stand_by_every_figure_in_both_directions() {
    // Each figure has an order of its own.
    let figures = [(1, [3, 9, 10, 5, 1, 7]), (2, [1, 5, 30, 3, 2, 6]), (3, [2, 7, 20, 9, 3, 9])];
    let kit = kit_of(
        figures
            .iter()
            .map(|&(n, [usd, turns, context, hits, moved, idle])| {
                saved(n, |session| {
                    session.charged_nano_usd = usd;
                    session.turns = turns;
                    session.context_tokens = context;
                    session.hits = hits.min(turns);
                    session.moved = moved;
                    session.idle_ms = idle;
                })
            })
            .collect(),
    );
    for (sort, expected) in [
        (SortBy::Usd, [1, 3, 2]),
        (SortBy::Turns, [1, 3, 2]),
        (SortBy::Context, [2, 3, 1]),
        // 5 of 9, 3 of 5, 7 of 7.
        (SortBy::HitRate, [3, 2, 1]),
        (SortBy::Moved, [3, 2, 1]),
        (SortBy::Idle, [3, 1, 2]),
        (SortBy::Heat, [2, 1, 3]),
    ] {
        assert_eq!(ids(&kit, &all(sort)), expected, "{}", sort.label());
        let mut backwards = expected;
        backwards.reverse();
        assert_eq!(ids(&kit, &Listing { ascending: true, ..all(sort) }), backwards, "{}", sort.label());
    }
    assert_eq!(SortBy::ALL.len(), 7, "each has its line above");
}

#[test]
fn pages_join_without_a_gap_also_where_all_are_equal() {
    let kit = kit_of((1..=250).map(|n| saved(n, |session| session.turns = n / 100)).collect());
    for sort in [SortBy::Usd, SortBy::Turns] {
        let mut seen = Vec::new();
        for offset in (0..300).step_by(30) {
            let page = ids(&kit, &Listing { offset, limit: 30, ..all(sort) });
            assert_eq!(page, ids(&kit, &Listing { offset, limit: 30, ..all(sort) }), "nothing jitters");
            seen.extend(page);
        }
        assert_eq!(seen.len(), 250);
        let mut expected: Vec<u64> = (1..=250).collect();
        if sort == SortBy::Turns {
            expected.sort_by_key(|n| (Reverse(n / 100), *n));
        }
        assert_eq!(seen, expected, "{}", sort.label());
    }
    let beyond = kit.policy.sessions().list(&Listing { offset: 1_000, ..all(SortBy::Usd) }, at(10_000));
    assert_eq!((beyond.known, beyond.matched, beyond.rows.len()), (250, 250, 0));
}

#[test]
fn sessions_are_found_by_id_model_and_endpoint() {
    let kit = kit_of((1..=60).map(|n| saved(n, |_| {})).collect());
    let found = |search: &str| {
        let listing = Listing { search: search.to_owned(), ..all(SortBy::Heat) };
        kit.policy.sessions().list(&listing, at(10_000)).matched
    };
    assert_eq!(found(""), 60);
    assert_eq!(found("EVEN"), 30);
    assert_eq!(found("gpt-"), 30);
    assert_eq!(found("b1"), 20, "an endpoint; no id ends so");
    assert_eq!(found("000000000000003c"), 1);
    assert_eq!(found("3C"), 1);
    assert_eq!(found("nobody"), 0);
    assert_eq!(found("<script>"), 0);
}

#[test]
fn looking_makes_no_session_look_recent() {
    let kit = Kit::with(testing::eight(), RouterParams { max_sessions: 16, ..RouterParams::default() });
    let sessions = kit.policy.sessions();
    // One shard holds one session here: the next one of that shard takes its place.
    for n in 0..64 {
        kit.start(n, kit.get("a1"), New, at(n)).answered();
        assert!(sessions.list(&all(SortBy::Idle), at(n)).matched > 0);
    }
    assert_eq!(sessions.list(&all(SortBy::Heat), at(64)).known, sessions.len());
    assert_eq!(
        sessions.by_heat(at(64), 1)[0].session,
        ids(&kit, &all(SortBy::Heat)).first().map(|id| format!("{id:016x}")).unwrap()
    );
}

#[test]
fn a_session_stands_among_its_own() {
    let of = |parent: u64| {
        move |session: &mut SavedSession| session.parent = Some(format!("{parent:016x}{:016x}", 0))
    };
    let mut sessions = vec![saved(1, |_| {}), saved(2, of(1))];
    sessions.extend((10..20).map(|n| {
        saved(n, |session| {
            of(2)(session);
            session.idle_ms = n;
        })
    }));
    let kit = kit_of(sessions);
    let table = kit.policy.sessions();
    let family = table.family(2, 4, at(10_000)).unwrap();
    assert_eq!(family.session.session, format!("{:016x}", 2));
    assert_eq!(family.parent.unwrap().session, format!("{:016x}", 1));
    let children: Vec<_> = family.children.iter().map(|child| child.session.as_str()).collect();
    assert_eq!(children, [10, 11, 12, 13].map(|n: u64| format!("{n:016x}")));
    assert!(table.family(1, 4, at(10_000)).unwrap().parent.is_none());
    assert!(table.family(999, 4, at(10_000)).is_none());
}

#[test]
fn hits_and_moves_are_counted_as_they_come() {
    let kit = kit_of(Vec::new());
    kit.start(1 << 62, kit.get("a1"), New, at(1)).answered();
    kit.start(1 << 62, kit.get("a1"), Hit, at(2)).answered();
    kit.start(1 << 62, kit.get("b1"), Moved, at(3)).answered();
    let row = &kit.policy.sessions().list(&all(SortBy::Heat), at(4)).rows[0];
    assert_eq!((row.turns, row.hits, row.moved, row.endpoint.as_str()), (3, 1, 1, "b1"));
}
