use super::*;
use crate::{dialect::StopKind, session::Sort};

const LIFE: Duration = Duration::from_secs(300);
const START: Moment = Moment::from_millis(1_000_000);
const MAIN: Rest = Rest { sort: Sort::Main, stop: StopKind::End };

fn at(seconds: u64) -> Moment {
    START + Duration::from_secs(seconds)
}

fn session(n: u128) -> SessionKey {
    SessionKey(n)
}

fn over(keeper: &Keeper<u64>, bytes: u64, most: u32) -> Over<u64> {
    let share = keeper.share(bytes, 1_000).expect("room");
    Over { rest: MAIN, started: START, life: LIFE, most, kept: Some((bytes, share)) }
}

/// A read for a thousand, a write for 12,500, room, and money for so many reads.
fn terms(reads: u64) -> impl Fn(&u64) -> Option<Terms> {
    move |_| {
        Some(Terms {
            read: NanoUsd(1_000),
            write: NanoUsd(12_500),
            room: true,
            provider: "p".into(),
            budget: NanoUsd(reads * 1_000),
        })
    }
}

fn who(pings: &[Ping<u64>]) -> Vec<u128> {
    pings.iter().map(|ping| ping.session.0).collect()
}

#[test]
fn a_resting_session_falls_due_just_before_its_prompt_is_dropped_and_again_a_life_later() {
    let keeper = Keeper::default();
    keeper.rests(session(1), over(&keeper, 10, 3));
    assert_eq!(keeper.next_due(), Some(at(285)));
    assert!(keeper.plan(at(284), terms(100)).is_empty());
    assert_eq!(who(&keeper.plan(at(285), terms(100))), [1]);
    assert!(keeper.plan(at(286), terms(100)).is_empty(), "once a life");
    assert_eq!(who(&keeper.plan(at(570), terms(100))), [1]);
    assert_eq!(who(&keeper.plan(at(855), terms(100))), [1]);
    assert!(keeper.plan(at(1_140), terms(100)).is_empty(), "three times at most");
    assert_eq!((keeper.bytes(), keeper.next_due()), (0, None), "and nothing is left of it");
}

#[test]
fn who_comes_back_is_not_kept_any_longer() {
    let keeper = Keeper::default();
    keeper.rests(session(1), over(&keeper, 10, 3));
    keeper.came_back(session(1));
    assert_eq!(keeper.bytes(), 0);
    assert!(keeper.plan(at(285), terms(100)).is_empty());
    // Its next rest has a due time of its own.
    let later = Over { started: at(200), ..over(&keeper, 10, 3) };
    keeper.rests(session(1), later);
    assert!(keeper.plan(at(285), terms(100)).is_empty());
    assert_eq!(who(&keeper.plan(at(485), terms(100))), [1]);
}

#[test]
fn a_prompt_that_is_cold_already_is_not_written_again() {
    let keeper = Keeper::default();
    keeper.rests(session(1), over(&keeper, 10, 3));
    assert!(keeper.plan(at(300), terms(100)).is_empty());
    assert_eq!(keeper.bytes(), 0);
}

#[test]
fn it_stops_at_the_budget_until_the_day_is_over() {
    let keeper = Keeper::default();
    for n in 0..5 {
        keeper.rests(session(n), over(&keeper, 10, 3));
    }
    assert_eq!(keeper.plan(at(285), terms(2)).len(), 2);
    assert_eq!(keeper.bytes(), 20, "the others let go");
    assert!(keeper.plan(at(570), terms(2)).is_empty());
    let tomorrow = DAY.as_secs() + 1_000;
    keeper.rests(session(9), Over { started: at(tomorrow), ..over(&keeper, 10, 3) });
    assert_eq!(who(&keeper.plan(at(tomorrow + 285), terms(2))), [9]);
}

#[test]
fn the_budget_is_charged_what_it_cost_and_nothing_for_what_was_not_done() {
    let keeper = Keeper::default();
    let one = |n, money| {
        keeper.rests(session(n), over(&keeper, 10, 1));
        keeper.plan(at(285), terms(money)).pop()
    };
    let failed = one(1, 1).expect("paid");
    assert!(one(2, 1).is_none());
    keeper.done(&failed, &"p".into(), None);
    drop(failed);
    assert_eq!(keeper.bytes(), 0, "what could not be kept warm is let go");
    let dear = one(3, 1).expect("the money is there again");
    keeper.done(&dear, &"p".into(), Some(NanoUsd(5_000)));
    assert!(one(4, 5).is_none(), "it cost five times what was thought");
    assert!(one(5, 6).is_some());
}

#[test]
fn without_room_or_a_price_it_is_let_go() {
    let keeper = Keeper::default();
    keeper.rests(session(1), over(&keeper, 10, 3));
    keeper.rests(session(2), over(&keeper, 10, 3));
    let full = |what: &u64| Some(Terms { room: false, ..terms(100)(what)? });
    assert!(keeper.plan(at(285), full).is_empty());
    assert_eq!(keeper.bytes(), 0);
    keeper.rests(session(3), over(&keeper, 10, 3));
    assert!(keeper.plan(at(285), |_| None).is_empty());
    assert_eq!(keeper.bytes(), 0);
}

#[test]
fn what_never_pays_off_is_left_alone_and_learned_from_all_the_same() {
    let keeper = Keeper::default();
    let mut kept = 0;
    // Nobody ever comes back: after some, it is known.
    for n in 0..100 {
        keeper.rests(session(n), over(&keeper, 10, 1));
        kept += keeper.plan(at(285), terms(1_000)).len();
        keeper.plan(at(570), terms(1_000));
    }
    assert!((5..30).contains(&kept), "{kept}");
    // Then people change, and it is noticed though nobody is kept.
    for n in 0..40 {
        keeper.rests(session(n), Over { kept: None, ..over(&keeper, 10, 1) });
        keeper.plan(at(285), terms(1_000));
        keeper.came_back(session(n));
    }
    keeper.rests(session(7), over(&keeper, 10, 1));
    assert_eq!(keeper.plan(at(285), terms(1_000)).len(), 1);
}

#[test]
fn bytes_are_bounded_and_the_longest_rest_lets_go_first() {
    let keeper = Keeper::default();
    for n in 0..10 {
        keeper.rests(session(n), over(&keeper, 100, 3));
    }
    assert_eq!(keeper.bytes(), 1_000);
    keeper.rests(session(10), over(&keeper, 250, 3));
    assert_eq!(keeper.bytes(), 950);
    let mut left = who(&keeper.plan(at(285), terms(100)));
    left.sort_unstable();
    assert_eq!(left, [3, 4, 5, 6, 7, 8, 9, 10]);
    assert!(keeper.share(1_001, 1_000).is_none());
    assert_eq!(keeper.bytes(), 950, "what can never fit makes nobody go");
}

#[test]
fn rests_that_are_over_leave_nothing_in_the_queue() {
    let keeper = Keeper::default();
    for n in 0..10_000_u64 {
        let later = Over { started: START + Duration::from_millis(n), ..over(&keeper, 10, 3) };
        keeper.rests(session(1), later);
    }
    assert!(keeper.resting.lock().due.len() < 100);
    assert!(keeper.resting.lock().holders.len() < 100);
    assert_eq!(keeper.bytes(), 10);
}
