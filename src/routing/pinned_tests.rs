use std::collections::HashMap;

use super::{super::testkit::*, *};
use crate::{
    routing::{Choosing, Policy, Ring, RouterParams, Tried},
    types::SessionKey,
    upstream::{Draw, Failure, KeyTrouble, Pool, testing},
};

use AffinityReason as Why;
use AffinityResult as Result_;

fn eight() -> Kit {
    Kit::new(testing::eight())
}

/// Where the sessions went, by organisation and by endpoint.
fn spread(kit: &Kit, sessions: u64, seed: impl Fn(u64) -> u64) -> (Vec<usize>, Vec<usize>) {
    let homes: Vec<_> = (0..sessions).map(|s| kit.turn(s, seed(s), at(1)).0).collect();
    let count = |prefix: &str| homes.iter().filter(|home| home.starts_with(prefix)).count();
    let names = ["a1", "a2", "a3", "b1", "b2", "b3", "c1", "c2"];
    (["a", "b", "c"].map(count).into(), names.map(count).into())
}

fn is_fair(organisations: &[usize]) {
    // 50 sessions over three: 16.7 each, within 40 %.
    assert!(organisations.iter().all(|n| (10..=23).contains(n)), "{organisations:?}");
}

#[test]
fn fifty_sessions_spread_over_organisations_for_any_seeds() {
    for run in 0..40_u64 {
        let (organisations, _) =
            spread(&eight(), 50, |s| xxhash_rust::xxh3::xxh3_64_with_seed(&s.to_le_bytes(), run));
        is_fair(&organisations);
    }
}

#[test]
fn fifty_sessions_that_begin_alike_spread_over_organisations_and_their_endpoints() {
    for seed in 0..40 {
        let (organisations, endpoints) = spread(&eight(), 50, |_| seed);
        is_fair(&organisations);
        for (n, within) in [(3, 0..3), (3, 3..6), (2, 6..8)] {
            let fair = endpoints[within.clone()].iter().sum::<usize>() / n;
            assert!(
                endpoints[within].iter().all(|&count| count.abs_diff(fair) <= 2),
                "endpoints of one organisation: {endpoints:?}"
            );
        }
    }
}

#[test]
fn a_session_stays_where_it_is_warm_turn_after_turn() {
    let kit = eight();
    for session in 0..50 {
        let (home, result, why) = kit.turn(session, 7, at(1));
        assert_eq!((result, why), (Result_::New, Why::First));
        for turn in 1..20 {
            assert_eq!(kit.turn(session, 7, at(1 + turn * 60)), (home.clone(), Result_::Hit, Why::Warm));
        }
    }
}

#[test]
fn each_turn_refreshes_the_warmth_and_a_cold_session_is_placed_anew() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(0));
    assert_eq!(kit.turn(1, 7, at(299)).2, Why::Warm);
    assert_eq!(kit.turn(1, 7, at(598)), (home, Result_::Hit, Why::Warm));
    let (_, result, why) = kit.turn(1, 7, at(898));
    assert_eq!((result, why), (Result_::New, Why::Expired));
}

#[test]
fn a_warm_session_waits_for_a_short_limit_and_then_goes_home() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(8), at(2));
    let tried = [kit.tried(&home, true)];
    let ask = Ask { tried: &tried, ..kit.ask(1, 7) };
    let Decision::Wait { endpoint, until } = kit.decide(&ask, at(2)) else { panic!("no wait") };
    assert_eq!((endpoint.name().as_str(), until), (home.as_str(), at(10)));
    let (endpoint, result, why) = gone(kit.decide(&Ask { waited: Duration::from_secs(8), ..ask }, at(10)));
    assert_eq!((endpoint.name().as_str(), result, why), (home.as_str(), Result_::Hit, Why::Waited));
}

#[test]
fn it_moves_when_the_limit_is_long_and_does_not_bounce_back() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(30), at(2));
    let (away, result, why) = kit.turn(1, 7, at(3));
    assert_eq!((result, why), (Result_::Moved, Why::RateLimited));
    assert_ne!(away[..1], home[..1], "another organisation");
    for turn in 1..20 {
        assert_eq!(kit.turn(1, 7, at(3 + turn * 30)), (away.clone(), Result_::Hit, Why::Warm), "turn {turn}");
    }
}

#[test]
fn a_move_that_fails_before_an_answer_does_not_forget_home() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(30), at(2));
    let (away, result, _) = gone(kit.decide(&kit.ask(1, 7), at(3)));
    drop(kit.start(1, &away, result, at(3)));
    assert_eq!(kit.turn(1, 7, at(40)), (home, Result_::Hit, Why::Warm));
}

#[test]
fn having_to_leave_the_new_home_too_it_returns_to_where_it_is_warm_still() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(30), at(2));
    let (away, ..) = kit.turn(1, 7, at(3));
    kit.fail(&away, &limited(60), at(40));
    assert_eq!(kit.turn(1, 7, at(50)), (home.clone(), Result_::Moved, Why::RateLimited));
    assert_eq!(kit.turn(1, 7, at(110)), (home, Result_::Hit, Why::Warm));
}

#[test]
fn waiters_are_bounded_and_those_too_many_move() {
    let kit = Kit::with(testing::eight(), RouterParams { max_waiters: 2, ..RouterParams::default() });
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(8), at(2));
    let begin = |choosing: &mut Choosing| choosing.begin(&kit.policy, &kit.ask(1, 7), at(2));
    let mut waits = [Choosing::new(), Choosing::new(), Choosing::new()];
    let [first, second, third] = &mut waits;
    assert!(matches!(begin(first), Decision::Wait { .. }) && matches!(begin(second), Decision::Wait { .. }));
    assert_eq!(gone(begin(third)).1, Result_::Moved);
    assert_eq!(kit.policy.waiters().count(), 2);
    *first = Choosing::new();
    assert!(matches!(begin(third), Decision::Wait { .. }));
    drop(waits);
    assert_eq!(kit.policy.waiters().count(), 0);
}

#[test]
fn the_whole_wait_is_bounded_not_each_part_of_it() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &limited(8), at(2));
    let ask = Ask { waited: Duration::from_secs(3), ..kit.ask(1, 7) };
    assert_eq!(gone(kit.decide(&ask, at(2))).2, Why::RateLimited);
}

#[test]
fn it_moves_for_the_reason_that_holds() {
    type Trouble = fn(&Kit, &str);
    let cases: [(Trouble, Why); 4] = [
        (|kit, home| kit.get(home).drain(), Why::Withdrawn),
        (|kit, home| kit.get(home).set_healthy(false), Why::Unavailable),
        (
            |kit, home| kit.get(home).claim_first_check(at(2)).unwrap().failed(KeyTrouble::Invalid, at(2)),
            Why::Withdrawn,
        ),
        (|kit, home| kit.fail(home, &Failure::ModelBarred, at(2)), Why::Unavailable),
    ];
    for (trouble, why) in cases {
        let kit = eight();
        let (home, ..) = kit.turn(1, 7, at(1));
        trouble(&kit, &home);
        let (away, result, reason) = kit.turn(1, 7, at(3));
        assert_eq!((result, reason), (Result_::Moved, why));
        assert_ne!(away, home);
    }
}

#[test]
fn an_endpoint_that_is_gone_from_the_configuration_is_left() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    let rest: Vec<_> = kit.pool.endpoints().iter().filter(|e| e.name().as_str() != home).cloned().collect();
    kit.ring.replace(&rest);
    assert_eq!(kit.turn(1, 7, at(2)).2, Why::Withdrawn);
}

#[test]
fn an_endpoint_that_shares_the_cache_is_as_warm() {
    let mut params: Vec<_> =
        ["a1", "a2", "b1", "b2"].map(|name| testing::endpoint(name, "p", &name[..1])).into();
    for params in &mut params {
        params.cache_domain = params.rate_domain.clone();
    }
    let kit = Kit::new(Pool::build(vec![testing::provider("p")], params, None).unwrap());
    for session in 0..20 {
        let (home, ..) = kit.turn(session, session, at(1));
        kit.get(&home).drain();
        let (away, result, why) = kit.turn(session, session, at(2));
        assert_eq!((&away[..1], result, why), (&home[..1], Result_::Hit, Why::Withdrawn));
        kit.get(&home).readmit(at(2));
    }
}

#[test]
fn a_suspect_key_keeps_its_warm_sessions_for_a_moment_and_gets_no_new_ones() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    kit.fail(&home, &Failure::Key(KeyTrouble::Invalid), at(2));
    let out: Vec<_> =
        (0..2).map(|_| kit.get(&home).acquire(lane(), &Draw::untold(), at(2)).unwrap()).collect();
    assert!(matches!(kit.decide(&kit.ask(1, 7), at(2)), Decision::Wait { .. }));
    let late = Ask { waited: Duration::from_secs(2), ..kit.ask(1, 7) };
    assert_eq!(gone(kit.decide(&late, at(4))).2, Why::Withdrawn);
    drop(out);
    for session in 100..200 {
        assert_ne!(kit.turn(session, session, at(3)).0, home);
    }
    // A request that began after the suspicion succeeds: all is well again.
    assert_eq!(kit.turn(1, 7, at(5)).2, Why::Warm);
    assert!(kit.get(&home).availability(lane(), at(5)) == Availability::Ready);
}

#[test]
fn an_unknown_session_with_a_history_goes_to_its_rendezvous_choice() {
    let kit = eight();
    let choice = |seed| kit.ring.nodes().best(seed, |_| true).unwrap().endpoint.name().to_string();
    for session in 0..100 {
        // All with one seed: new ones would be spread.
        let ask = Ask { has_history: true, ..kit.ask(session, 7) };
        let (endpoint, result, _) = gone(kit.decide(&ask, at(1)));
        assert_eq!(endpoint.name().as_str(), choice(7));
        kit.start(session, &endpoint, result, at(1)).answered();
    }
}

#[test]
fn a_hard_pin_goes_nowhere_else() {
    let kit = eight();
    let pin = "b2".into();
    let ask = Ask { pin: Some(&pin), ..kit.ask(1, 7) };
    assert_eq!(gone(kit.decide(&ask, at(1))).2, Why::HardPin);
    kit.fail("b1", &limited(5), at(1));
    assert!(matches!(kit.decide(&ask, at(1)), Decision::Wait { until, .. } if until == at(6)));
    kit.fail("a1", &limited(5), at(1));
    kit.get("b2").cool(Duration::from_secs(90), at(1));
    assert!(matches!(
        kit.decide(&ask, at(1)),
        Decision::Deny { reason: Reason::RateLimited, retry_after: 60 }
    ));
    kit.get("b2").drain();
    assert!(matches!(kit.decide(&ask, at(1)), Decision::Deny { reason: Reason::NoEndpoint, .. }));
    let gone = "zz".into();
    let ask = Ask { pin: Some(&gone), ..ask };
    assert!(matches!(kit.decide(&ask, at(1)), Decision::Deny { reason: Reason::OwnerGone, .. }));
}

#[test]
fn when_every_limit_is_hit_it_is_a_429_with_the_first_opening() {
    let kit = eight();
    for (name, secs) in [("a1", 40), ("b1", 25), ("c1", 300)] {
        kit.fail(name, &limited(secs), at(1));
    }
    let deny = kit.decide(&kit.ask(1, 7), Moment::from_millis(1_500));
    assert!(matches!(deny, Decision::Deny { reason: Reason::RateLimited, retry_after: 25 }), "{deny:?}");
    let soon = kit.decide(&kit.ask(1, 7), at(20));
    assert!(matches!(soon, Decision::Wait { until, .. } if until == at(26)), "{soon:?}");
}

#[test]
fn when_everything_is_down_it_is_a_503() {
    let kit = eight();
    kit.pool.endpoints().iter().for_each(|endpoint| endpoint.drain());
    let deny = kit.decide(&kit.ask(1, 7), at(1));
    assert!(matches!(deny, Decision::Deny { reason: Reason::NoEndpoint, retry_after: 60 }), "{deny:?}");
    let empty = Ring::new(&[]);
    let ask = Ask { ring: &empty, ..kit.ask(1, 7) };
    assert!(matches!(kit.decide(&ask, at(1)), Decision::Deny { reason: Reason::NoEndpoint, .. }));
}

#[test]
fn a_request_does_not_return_to_where_it_failed_and_its_fallbacks_have_a_budget() {
    let kit = eight();
    let (home, ..) = kit.turn(1, 7, at(1));
    let tried = [kit.tried(&home, false)];
    let ask = Ask { tried: &tried, ..kit.ask(1, 7) };
    let mut counts: HashMap<bool, u32> = HashMap::new();
    for _ in 0..30 {
        match kit.decide(&ask, at(2)) {
            Decision::Move { endpoint, affinity } => {
                assert_eq!(affinity, (Result_::Moved, Why::Fallback));
                assert_ne!(endpoint.name().as_str(), home);
                *counts.entry(true).or_default() += 1;
            }
            Decision::Deny { .. } => *counts.entry(false).or_default() += 1,
            other @ (Decision::Go { .. } | Decision::Wait { .. } | Decision::Park { .. }) => {
                panic!("{other:?}")
            }
        }
    }
    assert_eq!(counts, HashMap::from([(true, 10), (false, 20)]));
}

#[test]
fn sessions_of_a_domain_that_cools_spread_over_the_others() {
    let kit = eight();
    for session in 0..48 {
        kit.turn(session, 7, at(1));
    }
    kit.fail("a1", &limited(120), at(2));
    let homes: Vec<_> = (0..48).map(|session| kit.turn(session, 7, at(3)).0).collect();
    let count = |prefix: &str| homes.iter().filter(|home| home.starts_with(prefix)).count();
    assert_eq!(count("a"), 0);
    // Half of 48 each, with the 10 % and one session that the bound allows.
    assert!(count("b").max(count("c")) <= 28, "{} and {}", count("b"), count("c"));
}

#[test]
fn anonymous_requests_are_placed_and_leave_nothing_behind() {
    let kit = eight();
    let ask = Ask { session: None, ..kit.ask(0, 7) };
    assert_eq!(gone(kit.decide(&ask, at(1))).2, Why::Anonymous);
    assert!(kit.policy.sessions().is_empty());
}

#[test]
fn what_was_tried_names_its_domain() {
    let kit = eight();
    let tried: Tried = kit.tried("b2", true);
    assert_eq!((tried.endpoint.as_str(), tried.rate_domain.as_str()), ("b2", "org-b"));
    assert!(kit.policy.sessions().known(SessionKey(9)).is_none());
}
