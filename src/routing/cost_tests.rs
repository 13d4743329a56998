use std::collections::HashMap;

use super::{super::testkit::*, *};
use crate::{
    routing::{Choosing, Policy, Prompt, RouterParams, Tried},
    types::SessionKey,
    upstream::{Draw, Failure, KeyTrouble, Pool, ProviderParams, RoutingMode, testing},
};

use AffinityReason as Why;
use AffinityResult as Result_;

/// Three accounts of which no limits are known.
fn three() -> Kit {
    by_cost(&[("a", 0), ("b", 0), ("c", 0)])
}

/// Three accounts of 600,000 input tokens a minute: 10,000 a second.
fn limited_three() -> Kit {
    by_cost(&[("a", 600_000), ("b", 600_000), ("c", 600_000)])
}

/// 102,000 tokens, and 2,000 more a message.
fn large(own: u64) -> Talk {
    Talk { shared: 100_000, ..Talk::new(own) }
}

/// 202,000 tokens: to pay for them anew costs more than a refusal.
fn huge(own: u64) -> Talk {
    Talk { shared: 200_000, ..Talk::new(own) }
}

/// A conversation at home somewhere: its home, and its next turn.
fn settled(kit: &Kit, session: u64, talk: Talk) -> (String, Talk) {
    let (home, result, why) = kit.spoken(&kit.says(session, &talk.prompt()), at(1));
    assert_eq!((result, why), (Result_::New, Why::First));
    (home, talk.next())
}

fn others(kit: &Kit, home: &str) -> Vec<String> {
    let names = kit.pool.endpoints().iter().map(|endpoint| endpoint.name().to_string());
    names.filter(|name| name != home).collect()
}

fn waits(decision: Decision) -> (String, Moment) {
    match decision {
        Decision::Wait { endpoint, until } => (endpoint.name().to_string(), until),
        other @ (Decision::Go { .. }
        | Decision::Move { .. }
        | Decision::Park { .. }
        | Decision::Deny { .. }) => {
            panic!("no wait: {other:?}")
        }
    }
}

fn denied(decision: Decision) -> (Reason, u32) {
    match decision {
        Decision::Deny { reason, retry_after } => (reason, retry_after),
        other @ (Decision::Go { .. }
        | Decision::Move { .. }
        | Decision::Park { .. }
        | Decision::Wait { .. }) => {
            panic!("not denied: {other:?}")
        }
    }
}

#[test]
fn a_session_goes_where_it_is_warm_turn_after_turn() {
    let kit = limited_three();
    for session in 0..6 {
        let (home, mut talk) = settled(&kit, session, Talk::new(session));
        for turn in 1..20 {
            let went = kit.spoken(&kit.says(session, &talk.prompt()), at(1 + 60 * turn));
            assert_eq!(went, (home.clone(), Result_::Hit, Why::Warm), "turn {turn}");
            talk = talk.next();
        }
    }
}

#[test]
fn another_session_of_its_kind_goes_where_most_of_its_prompt_is_warm() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    let talk = Talk { group: 9, ..Talk::new(1) };
    let (home, _) = settled(&kit, 1, talk);
    for session in 2..20 {
        let prompt = Talk { own: session, ..talk }.prompt();
        let (went, result, _) = kit.spoken(&kit.says(session, &prompt), at(2));
        assert_eq!((went, result), (home.clone(), Result_::Hit));
    }
}

#[test]
fn it_waits_for_a_bucket_that_is_short_for_a_moment_and_goes_there() {
    let kit = limited_three();
    let (home, talk) = settled(&kit, 1, large(1));
    kit.drain_tokens(&home, 600_000, at(20));
    // 102,000 of 106,000 are warm: 4,000 are missing, and what the drain took beyond its level.
    let prompt = talk.prompt();
    let ask = kit.says(1, &prompt);
    let mut choosing = Choosing::new();
    let (place, until) = waits(choosing.begin(&kit.policy, &ask, at(20)));
    assert_eq!(place, home);
    assert_eq!(kit.queued(at(20)), 1);
    assert_eq!(until, at(20) + Duration::from_millis(400));
    let (endpoint, result, why) = gone(choosing.on_time(&kit.policy, &ask, until));
    assert_eq!((endpoint.name().as_str(), result, why), (home.as_str(), Result_::Hit, Why::Waited));
    let _slot = endpoint.acquire(lane(), &choosing.draw(ask.flow), until).unwrap();
    let record = choosing.went(until);
    assert_eq!(record.taken().unwrap().endpoint.as_str(), home);
    assert_eq!(record.taken().unwrap().warm, 102_000);
    assert_eq!((kit.queued(until), kit.policy.waiters().count()), (0, 0));
}

#[test]
fn it_waits_for_a_refusal_that_is_over_soon() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, large(1));
    kit.fail(&home, &limited(8), at(2));
    let prompt = talk.prompt();
    assert_eq!(waits(kit.decide(&kit.says(1, &prompt), at(2))), (home.clone(), at(10)));
    // The same request, whose own try was refused.
    let tried = [kit.tried(&home, true)];
    let ask = Ask { tried: &tried, ..kit.says(1, &prompt) };
    assert_eq!(waits(kit.decide(&ask, at(2))), (home, at(10)));
}

/// In its second turn 9,000 tokens of which 7,000 are warm: nine seconds cost more than to pay for all
/// of it anew.
fn small(own: u64) -> Talk {
    Talk { shared: 6_000, each: 1_000, ..Talk::new(own) }
}

#[test]
fn it_moves_when_that_is_cheaper_than_the_wait() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, small(1));
    kit.fail(&home, &limited(9), at(2));
    let (away, result, why) = kit.spoken(&kit.says(1, &talk.prompt()), at(2));
    assert_ne!(away, home);
    assert_eq!((result, why), (Result_::Moved, Why::RateLimited));
}

#[test]
fn a_spill_moves_nothing_for_good_and_the_next_turn_takes_the_cheaper_place() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, small(1));
    kit.fail(&home, &limited(9), at(2));
    let (away, ..) = kit.spoken(&kit.says(1, &talk.prompt()), at(2));
    // Both are warm now. More of it is warm where it was last ..
    let talk = talk.next();
    let next = talk.prompt();
    assert_eq!(kit.spoken(&kit.says(1, &next), at(20)).0, away);
    // .. but that one is closed for a while: back to where it came from, which is warm still.
    kit.fail(&away, &limited(9), at(30));
    let next = talk.next().prompt();
    let (back, result, _) = kit.spoken(&kit.says(1, &next), at(30));
    assert_eq!((back, result), (home, Result_::Hit));
}

#[test]
fn beyond_its_patience_it_is_refused_where_a_spill_costs_more_than_coming_back() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, huge(1));
    kit.fail(&home, &limited(40), at(2));
    let prompt = talk.prompt();
    let now = Moment::from_millis(2_500);
    assert_eq!(denied(kit.decide(&kit.says(1, &prompt), now)), (Reason::RateLimited, 40));
    // What it waited already counts: 25 seconds are left of thirty.
    let ask = Ask { waited: Duration::from_secs(5), ..kit.says(1, &prompt) };
    assert_eq!(denied(kit.decide(&ask, at(16))), (Reason::RateLimited, 26));
    assert_eq!(waits(kit.decide(&ask, at(17))), (home.clone(), at(42)));
    // An hour is more than any context costs.
    kit.fail(&home, &limited(3_600), at(60));
    assert_eq!(gone(kit.decide(&kit.says(1, &prompt), at(61))).2, Why::RateLimited);
}

#[test]
fn beyond_what_it_waits_by_choice_it_spills_where_that_costs_no_more_than_a_refusal() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, Talk { shared: 60_000, ..Talk::new(1) });
    kit.fail(&home, &limited(15), at(2));
    let prompt = talk.prompt();
    let (away, result, why) = gone(kit.decide(&kit.says(1, &prompt), at(2)));
    assert_ne!(away.name().as_str(), home);
    assert_eq!((result, why), (Result_::Moved, Why::RateLimited));
    assert_eq!(waits(kit.decide(&kit.says(1, &prompt), at(7))), (home, at(17)), "ten seconds are fine");
}

#[test]
fn what_is_named_to_the_client_is_one_to_sixty_seconds() {
    let kit = by_cost(&[("a", 0)]);
    let (home, talk) = settled(&kit, 1, large(1));
    let prompt = talk.prompt();
    let ask = Ask { may_wait: false, ..kit.says(1, &prompt) };
    kit.fail(&home, &limited(3_600), at(2));
    assert_eq!(denied(kit.decide(&ask, at(2))), (Reason::RateLimited, 60));
    let late = Moment::from_millis(3_601_999);
    assert_eq!(denied(kit.decide(&ask, late)), (Reason::WaitersFull, 1));
}

#[test]
fn a_session_that_is_cold_everywhere_moves_free_of_charge() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, large(1));
    kit.fail(&home, &limited(8), at(301));
    let (away, result, why) = kit.spoken(&kit.says(1, &talk.prompt()), at(301));
    assert_ne!(away, home);
    assert_eq!((result, why), (Result_::New, Why::Expired));
}

#[test]
fn no_account_becomes_the_home_of_all_who_begin_alike() {
    for (accounts, most) in [(&["a", "b", "c", "d"][..], 38), (&["a", "b", "c", "d", "e", "f", "g", "h"], 26)]
    {
        let endpoints: Vec<_> = accounts.iter().map(|name| (*name, 0)).collect();
        let kit = by_cost(&endpoints);
        let mut homes: HashMap<String, u32> = HashMap::new();
        for session in 0..100 {
            let prompt = Talk { group: 1, ..Talk::new(session) }.prompt();
            // One seed for all of them, and no limit that would spread them.
            let ask = Ask { seed: 7, ..kit.says(session, &prompt) };
            *homes.entry(kit.spoken(&ask, at(1)).0).or_default() += 1;
        }
        assert!(homes.values().all(|count| *count <= most), "{homes:?}");
    }
}

#[test]
fn a_crowded_account_takes_in_no_strangers() {
    let kit = limited_three();
    kit.drain_tokens("a", 560_000, at(1));
    kit.drain_tokens("b", 560_000, at(1));
    for session in 0..10 {
        let prompt = Talk::new(session).prompt();
        // Before the third has its share of sessions, it takes all of them.
        assert_eq!(gone(kit.decide(&kit.says(session, &prompt), at(1))).0.name().as_str(), "c");
    }
}

#[test]
fn after_a_restart_a_conversation_that_goes_on_is_looked_for_at_its_rendezvous_home() {
    let kit = three();
    for session in 0..30 {
        let home = kit.ring.nodes().best(session, |_| true).unwrap().endpoint.name().to_string();
        let talk = large(session).next().prompt();
        let ask = Ask { has_history: true, ..kit.says(session, &talk) };
        assert_eq!(gone(kit.decide(&ask, at(1))).0.name().as_str(), home);
        // It even waits for it, as for any place where it is warm; one that begins does not.
        kit.get(&home).cool(Duration::from_secs(5), at(1));
        assert_eq!(waits(kit.decide(&ask, at(1))).0, home);
        assert_ne!(gone(kit.decide(&Ask { has_history: false, ..ask }, at(1))).0.name().as_str(), home);
        kit.get(&home).readmit(at(1));
    }
}

#[test]
fn who_has_turns_elsewhere_is_looked_for_at_its_rendezvous_home_from_then_on() {
    let kit = three();
    let home = kit.ring.nodes().best(1, |_| true).unwrap().endpoint.name().to_string();
    let away = others(&kit, &home).remove(0);
    let mut talk = Talk::new(1);
    kit.start_with(Some(1), &talk.prompt(), kit.get(&away), Result_::New, at(1)).answered();
    talk = talk.next();
    let says = |talk: &Talk| talk.prompt();
    let prompt = says(&talk);
    let next = Ask { has_history: true, ..kit.says(1, &prompt) };
    assert_eq!(gone(kit.decide(&next, at(2))).0.name().as_str(), away, "the next turn");
    // Three turns later: the two between went through another gateway.
    talk = talk.next().next();
    let prompt = says(&talk);
    let later = Ask { has_history: true, ..kit.says(1, &prompt) };
    let (endpoint, result, _) = gone(kit.decide(&later, at(3)));
    assert_eq!((endpoint.name().as_str(), result), (home.as_str(), Result_::Hit));
    kit.start_with(Some(1), &prompt, &endpoint, result, at(3)).answered();
    assert!(kit.policy.memory().sessions.known(SessionKey(1)).unwrap().strays);
}

#[test]
fn what_is_warm_beats_the_guess_after_a_restart() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    let seed =
        (0..).find(|seed| kit.ring.nodes().best(*seed, |_| true).unwrap().endpoint.name().as_str() == "a");
    let talk = large(1);
    kit.start_with(Some(1), &talk.prompt(), kit.get("b"), Result_::New, at(1)).answered();
    let next = talk.next().prompt();
    let ask = Ask { has_history: true, seed: seed.unwrap(), ..kit.says(2, &next) };
    assert_eq!(gone(kit.decide(&ask, at(2))).0.name().as_str(), "b");
}

#[test]
fn a_hard_pin_goes_nowhere_else() {
    let kit = three();
    let prompt = large(1).prompt();
    let pin = "b".into();
    let ask = Ask { pin: Some(&pin), ..kit.says(1, &prompt) };
    let (endpoint, result, why) = gone(kit.decide(&ask, at(1)));
    assert_eq!((endpoint.name().as_str(), result, why), ("b", Result_::Hit, Why::HardPin));
    kit.fail("b", &limited(5), at(1));
    assert_eq!(waits(kit.decide(&ask, at(1))), ("b".to_owned(), at(6)));
    let tried = [kit.tried("b", true)];
    assert_eq!(waits(kit.decide(&Ask { tried: &tried, ..ask }, at(1))).0, "b");
    kit.get("b").cool(Duration::from_secs(90), at(1));
    assert_eq!(denied(kit.decide(&ask, at(1))), (Reason::RateLimited, 60));
    kit.get("b").readmit(at(1));
    let tried = [kit.tried("b", false)];
    assert_eq!(denied(kit.decide(&Ask { tried: &tried, ..ask }, at(1))), (Reason::NoEndpoint, 1));
    kit.get("b").drain();
    assert_eq!(denied(kit.decide(&ask, at(1))).0, Reason::NoEndpoint);
    let unknown = "zz".into();
    let ask = Ask { pin: Some(&unknown), ..ask };
    assert_eq!(denied(kit.decide(&ask, at(1))), (Reason::OwnerGone, 60));
}

#[test]
fn thinking_that_is_signed_for_an_account_is_worth_something() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, small(1));
    kit.fail(&home, &limited(9), at(2));
    let prompt = talk.prompt();
    assert_ne!(gone(kit.decide(&kit.says(1, &prompt), at(2))).0.name().as_str(), home);
    let ask = Ask { signed_thinking: true, ..kit.says(1, &prompt) };
    assert_eq!(waits(kit.decide(&ask, at(2))).0, home);
    // Not everything: 40 seconds cost more than five cents and the context.
    kit.get(&home).cool(Duration::from_secs(40), at(2));
    assert_ne!(gone(kit.decide(&ask, at(2))).0.name().as_str(), home);
}

#[test]
fn a_suspect_key_keeps_who_is_warm_and_gets_nobody_new() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, large(1));
    kit.fail(&home, &Failure::Key(KeyTrouble::Invalid), at(2));
    let prompt = talk.prompt();
    assert_eq!(gone(kit.decide(&kit.says(1, &prompt), at(2))).0.name().as_str(), home);
    for session in 10..40 {
        let prompt = large(session).prompt();
        assert_ne!(gone(kit.decide(&kit.says(session, &prompt), at(2))).0.name().as_str(), home);
    }
    // Busy with others: it looks again in a moment, and not for ever.
    let out: Vec<_> =
        (0..2).map(|_| kit.get(&home).acquire(lane(), &Draw::untold(), at(2)).unwrap()).collect();
    let (place, until) = waits(kit.decide(&kit.says(1, &prompt), at(2)));
    assert_eq!((place, until), (home.clone(), Moment::from_millis(2_200)));
    let late = Ask { waited: Duration::from_secs(2), ..kit.says(1, &prompt) };
    let (endpoint, result, why) = gone(kit.decide(&late, at(4)));
    assert_ne!(endpoint.name().as_str(), home);
    assert_eq!((result, why), (Result_::Moved, Why::Withdrawn));
    drop(out);
    // The last resort of everybody, when nothing else is left.
    others(&kit, &home).iter().for_each(|name| kit.get(name).drain());
    let new = large(50).prompt();
    let (endpoint, result, why) = gone(kit.decide(&kit.says(50, &new), at(5)));
    assert_eq!((endpoint.name().as_str(), result, why), (home.as_str(), Result_::New, Why::Unavailable));
}

#[test]
fn where_nothing_is_open_it_says_so_with_the_time_after_which_it_may_be() {
    let kit = three();
    let prompt = large(1).prompt();
    let ask = kit.says(1, &prompt);
    kit.pool.endpoints().iter().for_each(|endpoint| endpoint.drain());
    assert_eq!(denied(kit.decide(&ask, at(1))), (Reason::NoEndpoint, 60));
    kit.get("b").readmit(at(1));
    kit.fail("b", &Failure::ModelBarred, at(1));
    assert_eq!(denied(kit.decide(&ask, at(21))), (Reason::NoEndpoint, 40));
    let empty = crate::routing::Ring::new(&[]);
    assert_eq!(denied(kit.decide(&Ask { ring: &empty, ..ask }, at(1))), (Reason::NoEndpoint, 60));
}

#[test]
fn a_warm_session_leaves_for_the_reason_that_holds() {
    type Trouble = fn(&Kit, &str);
    let cases: [(Trouble, Why); 4] = [
        (|kit, home| kit.get(home).drain(), Why::Withdrawn),
        (|kit, home| kit.get(home).set_healthy(false), Why::Unavailable),
        (|kit, home| kit.fail(home, &Failure::ModelBarred, at(2)), Why::Unavailable),
        (
            |kit, home| {
                let rest: Vec<_> =
                    kit.pool.endpoints().iter().filter(|e| e.name().as_str() != home).collect();
                kit.ring.replace(&rest.into_iter().cloned().collect::<Vec<_>>());
            },
            Why::Withdrawn,
        ),
    ];
    for (trouble, why) in cases {
        let kit = three();
        let (home, talk) = settled(&kit, 1, large(1));
        trouble(&kit, &home);
        let (away, result, reason) = kit.spoken(&kit.says(1, &talk.prompt()), at(3));
        assert_eq!((result, reason), (Result_::Moved, why));
        assert_ne!(away, home);
    }
}

#[test]
fn a_request_does_not_return_to_where_it_failed_and_its_fallbacks_have_a_budget() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, large(1));
    let prompt = talk.prompt();
    let tried: [Tried; 1] = [kit.tried(&home, false)];
    let ask = Ask { tried: &tried, ..kit.says(1, &prompt) };
    let mut counts = [0, 0];
    for _ in 0..30 {
        match kit.decide(&ask, at(2)) {
            Decision::Move { endpoint, affinity } => {
                assert_eq!(affinity, (Result_::Moved, Why::Fallback));
                assert_ne!(endpoint.name().as_str(), home);
                counts[0] += 1;
            }
            Decision::Deny { retry_after: 1, .. } => counts[1] += 1,
            other @ (Decision::Go { .. }
            | Decision::Wait { .. }
            | Decision::Park { .. }
            | Decision::Deny { .. }) => panic!("{other:?}"),
        }
    }
    assert_eq!(counts, [10, 20]);
}

#[test]
fn an_endpoint_that_shares_the_cache_is_as_good_as_home() {
    let mut params: Vec<_> =
        ["a1", "a2", "b1", "b2"].map(|name| testing::endpoint(name, "p", &name[..1])).into();
    for params in &mut params {
        params.cache_domain = params.rate_domain.clone();
    }
    let kit = Kit::new(Pool::build(vec![provider()], params, None).unwrap());
    for session in 0..20 {
        let (home, talk) = settled(&kit, session, large(session));
        kit.get(&home).drain();
        let (away, result, _) = kit.spoken(&kit.says(session, &talk.prompt()), at(2));
        assert_eq!((&away[..1], result), (&home[..1], Result_::Hit));
        assert_ne!(away, home);
        kit.get(&home).readmit(at(2));
    }
}

#[test]
fn a_prompt_larger_than_the_accounts_limit_goes_elsewhere_or_else_there_all_the_same() {
    let kit = by_cost(&[("a", 50_000), ("b", 0)]);
    // (An account's limits are looked at from the first request of its class on.)
    kit.drain_tokens("a", 0, at(0));
    let prompt = large(1).prompt();
    for seed in 0..20 {
        let ask = Ask { seed, ..kit.says(1, &prompt) };
        assert_eq!(gone(kit.decide(&ask, at(1))).0.name().as_str(), "b");
    }
    kit.get("b").drain();
    let went = kit.spoken(&kit.says(1, &prompt), at(1));
    assert_eq!(went.0, "a", "the provider is asked; it may know better");
}

#[test]
fn whoever_shares_a_cold_prefix_waits_for_the_first_byte_of_the_first() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    let talk = Talk { group: 9, ..large(1) };
    let first = talk.prompt();
    let ask = |prompt, session| Ask { seed: 7, ..kit.says(session, prompt) };
    let (mut slot, mut turn, _) = kit.send(&ask(&first, 1), at(1));
    let prompt = Talk { own: 2, ..talk }.prompt();
    let mut follower = Choosing::new();
    let decision = follower.begin(&kit.policy, &ask(&prompt, 2), at(2));
    let Decision::Park { leader, until } = decision else { panic!("not parked: {decision:?}") };
    assert_eq!((until, leader.is_over(), kit.policy.waiters().count()), (at(12), false, 1));
    slot.answered(at(4));
    turn.answered();
    assert!(leader.is_over());
    let (endpoint, result, why) = gone(follower.on_first_byte(&kit.policy, &ask(&prompt, 2), at(4)));
    assert!(Arc::ptr_eq(&endpoint, slot.endpoint()));
    assert_eq!((result, why), (Result_::Hit, Why::Coalesced));
    assert_eq!(follower.waited(), Duration::from_secs(2));
    follower.went(at(4));
    assert_eq!(kit.policy.waiters().count(), 0);
}

#[test]
fn when_the_first_fails_one_of_those_who_waited_leads() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    let talk = Talk { group: 9, ..large(1) };
    let prompts: Vec<_> = (1..=3).map(|own| Talk { own, ..talk }.prompt()).collect();
    let ask = |n: usize| Ask { seed: 7, ..kit.says(n as u64, &prompts[n]) };
    let (slot, turn, _) = kit.send(&ask(0), at(1));
    let mut waits = [Choosing::new(), Choosing::new()];
    for (n, choosing) in (1..).zip(&mut waits) {
        assert!(matches!(choosing.begin(&kit.policy, &ask(n), at(2)), Decision::Park { .. }));
    }
    drop((slot, turn));
    let [second, third] = &mut waits;
    let (endpoint, result, _) = gone(second.on_first_byte(&kit.policy, &ask(1), at(3)));
    assert_eq!(result, Result_::New, "nothing is warm");
    let _turn = kit.start_with(Some(1), &prompts[1], &endpoint, result, at(3));
    assert!(matches!(third.on_first_byte(&kit.policy, &ask(2), at(3)), Decision::Park { .. }));
}

#[test]
fn parking_ends_at_the_cap_and_costs_no_more_than_it_is_worth() {
    let kit = by_cost(&[("a", 0), ("b", 0)]);
    let talk = Talk { group: 9, ..large(1) };
    let first = talk.prompt();
    let prompt = Talk { own: 2, ..talk }.prompt();
    let ask = |prompt, session| Ask { seed: 7, ..kit.says(session, prompt) };
    let (_slot, _turn, _) = kit.send(&ask(&first, 1), at(1));
    let mut choosing = Choosing::new();
    let Decision::Park { until, .. } = choosing.begin(&kit.policy, &ask(&prompt, 2), at(2)) else { panic!() };
    let (_, _, why) = gone(choosing.on_time(&kit.policy, &ask(&prompt, 2), until));
    assert_ne!(why, Why::Coalesced, "it waited in vain");
    assert_eq!(choosing.waited(), Duration::from_secs(10));
    // Nobody parks without leave to wait, or for a prefix that is not worth a second.
    let _ = gone(kit.decide(&Ask { may_wait: false, ..ask(&prompt, 3) }, at(2)));
    let tiny = Talk { group: 4, shared: 1_100, each: 100, ..Talk::new(4) };
    let first = tiny.prompt();
    let (_slot, _turn, _) = kit.send(&ask(&first, 4), at(1));
    let second = Talk { own: 5, ..tiny }.prompt();
    let _ = gone(kit.decide(&ask(&second, 5), at(1)));
}

#[test]
fn a_prompt_too_small_for_any_cache_stays_home_while_that_is_open() {
    let kit = three();
    let prompt = Prompt::opaque(500);
    let (home, ..) = kit.spoken(&kit.says(1, &prompt), at(1));
    for turn in 1..20 {
        let (place, result, why) = kit.spoken(&kit.says(1, &prompt), at(1 + turn));
        assert_eq!((place, result, why), (home.clone(), Result_::Hit, Why::Warm));
    }
    kit.fail(&home, &limited(5), at(30));
    assert_ne!(kit.spoken(&kit.says(1, &prompt), at(30)).0, home, "nothing is worth five seconds");
}

#[test]
fn a_provider_can_be_pinned_and_back_without_losing_what_is_known() {
    let mut kit = three();
    let (home, mut talk) = settled(&kit, 1, small(1));
    for (mode, secs) in [(RoutingMode::Pinned, 10), (RoutingMode::Cost, 20), (RoutingMode::Pinned, 30)] {
        let params = kit.pool.endpoints().iter().map(|e| testing::endpoint(e.name().as_str(), "p", ""));
        let provider = ProviderParams { routing: mode, ..provider() };
        let pool = Pool::build(vec![provider], params.collect(), Some(&kit.pool)).unwrap();
        kit.ring.replace(pool.endpoints());
        kit.pool = pool;
        assert_eq!(kit.ring.nodes().is_pinned(), mode == RoutingMode::Pinned);
        let went = kit.spoken(&kit.says(1, &talk.prompt()), at(secs));
        assert_eq!(went, (home.clone(), Result_::Hit, Why::Warm));
        talk = talk.next();
    }
    // And pinned it is: nine seconds are waited for however small the prompt.
    kit.fail(&home, &limited(9), at(40));
    assert_eq!(waits(kit.decide(&kit.says(1, &small(1).prompt()), at(40))).0, home);
}

#[test]
fn the_record_says_what_was_weighed() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, huge(1));
    kit.fail(&home, &limited(40), at(2));
    let prompt = talk.prompt();
    let verdict = kit.policy.decide(&kit.says(1, &prompt), None, at(2));
    let record = &verdict.record;
    assert_eq!((record.tokens, record.candidates.len(), record.chosen), (206_000, 3, None));
    let weighed = record.candidates.iter().find(|weighed| weighed.endpoint.as_str() == home).unwrap();
    assert_eq!((weighed.warm, weighed.wait), (202_000, Duration::from_secs(40)));
    let text = record.to_string();
    assert!(text.contains(&format!("{home}:202000+40.0s=")), "{text}");
    assert!(record.taken().is_none());
}

#[test]
fn other_knobs_hold_from_the_next_question_on() {
    let kit = three();
    let (home, talk) = settled(&kit, 1, large(1));
    kit.fail(&home, &limited(8), at(2));
    let prompt = talk.prompt();
    let ask = kit.says(1, &prompt);
    assert_eq!(waits(kit.decide(&ask, at(2))), (home, at(10)));
    let cost = CostParams { wait_max: Duration::from_secs(2), ..CostParams::default() };
    let hasty = kit.policy.with_params(&RouterParams { cost, ..RouterParams::default() });
    assert_eq!(denied(hasty.decide(&ask, None, at(2)).decision), (Reason::RateLimited, 8));
}

#[test]
fn what_only_one_organisation_can_read_goes_nowhere_else() {
    let kit = limited_three();
    let (home, talk) = settled(&kit, 1, Talk::new(1));
    let prompt = talk.prompt();
    let domain = kit.get(&home).rate_domain().name().clone();
    let ask = || Ask { bound: Some(&domain), ..kit.says(1, &prompt) };
    kit.fail(&home, &limited(9), at(2));
    // A prompt of its size would rather move.
    assert_eq!(waits(kit.decide(&ask(), at(2))).0, home);
    kit.get(&home).drain();
    assert_eq!(denied(kit.decide(&ask(), at(2))).0, Reason::NoEndpoint);
    assert_ne!(gone(kit.decide(&kit.says(1, &prompt), at(2))).0.name().as_str(), home);
}
