use super::{super::testkit::*, *};
use crate::{
    routing::{Router, RouterParams},
    types::Reason,
    upstream::{LimitParams, ProviderParams, Slot},
};

/// One account (and others, where named) of 60,000 input tokens a minute: 1,000 a second.
fn accounts(names: &[&str]) -> Kit {
    let endpoints: Vec<_> = names.iter().map(|name| (*name, 60_000)).collect();
    by_cost(&endpoints)
}

/// 5,000 tokens, all of them cold.
fn five_thousand(own: u64) -> crate::routing::Prompt {
    Talk { shared: 4_000, each: 1_000, ..Talk::new(own) }.prompt()
}

fn waiting(decision: &Decision) -> Moment {
    match decision {
        Decision::Wait { until, .. } => *until,
        other @ (Decision::Go { .. }
        | Decision::Move { .. }
        | Decision::Park { .. }
        | Decision::Deny { .. }) => {
            panic!("no wait: {other:?}")
        }
    }
}

fn flow(id: u64) -> Flow {
    Flow { id, bytes: 1_000, ..Flow::NOBODY }
}

fn take(choosing: &mut Choosing, decision: Decision, ask: &Ask<'_>, now: Moment) -> Slot {
    let (endpoint, ..) = gone(decision);
    let slot = endpoint.acquire(lane(), &choosing.draw(ask.flow), now).unwrap();
    choosing.went(now);
    slot
}

#[test]
fn a_waiter_keeps_its_place_while_it_looks_again() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let (one, two) = (five_thousand(1), five_thousand(2));
    let (one, two) = (kit.says(1, &one), kit.says(2, &two));
    let [mut first, mut second] = [Choosing::new(), Choosing::new()];
    // A waiter looks again each second, whatever it waits for.
    assert_eq!(waiting(&first.begin(&kit.policy, &one, at(0))), at(1));
    assert_eq!(waiting(&second.begin(&kit.policy, &two, at(0))), at(1));
    for secs in 1..5 {
        waiting(&first.on_time(&kit.policy, &one, at(secs)));
        waiting(&second.on_time(&kit.policy, &two, at(secs)));
        assert_eq!((kit.queued(at(secs)), kit.policy.waiters().count()), (2, 2));
    }
    // There is room for one of them: the one that came first, though the other asks first.
    waiting(&second.on_time(&kit.policy, &two, at(5)));
    let decision = first.on_time(&kit.policy, &one, at(5));
    let _slot = take(&mut first, decision, &one, at(5));
    assert_eq!((kit.queued(at(5)), kit.policy.waiters().count()), (1, 1));
    assert_eq!(first.waited(), Duration::from_secs(5));
    for secs in 6..10 {
        waiting(&second.on_time(&kit.policy, &two, at(secs)));
    }
    let decision = second.on_time(&kit.policy, &two, at(10));
    let _slot = take(&mut second, decision, &two, at(10));
    assert_eq!((kit.queued(at(10)), kit.policy.waiters().count()), (0, 0));
}

#[test]
fn a_client_that_leaves_gives_its_place_to_those_behind_it() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let (one, two) = (five_thousand(1), five_thousand(2));
    let (one, two) = (kit.says(1, &one), kit.says(2, &two));
    let [mut first, mut second] = [Choosing::new(), Choosing::new()];
    waiting(&first.begin(&kit.policy, &one, at(0)));
    waiting(&second.begin(&kit.policy, &two, at(0)));
    drop(first);
    assert_eq!((kit.queued(at(0)), kit.policy.waiters().count()), (1, 1));
    let decision = second.on_time(&kit.policy, &two, at(5));
    let _slot = take(&mut second, decision, &two, at(5));
}

#[test]
fn a_newcomer_does_not_take_what_is_set_aside() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let (one, two) = (five_thousand(1), five_thousand(2));
    let one = Ask { flow: flow(1), ..kit.says(1, &one) };
    let two = Ask { flow: flow(1), ..kit.says(2, &two) };
    let mut first = Choosing::new();
    waiting(&first.begin(&kit.policy, &one, at(0)));
    // Just when there would be enough for either.
    let mut newcomer = Choosing::new();
    waiting(&newcomer.begin(&kit.policy, &two, at(5)));
    let decision = first.on_time(&kit.policy, &one, at(5));
    let _slot = take(&mut first, decision, &one, at(5));
}

#[test]
fn callers_take_turns_in_the_queue() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let prompts: Vec<_> = (0..4).map(five_thousand).collect();
    let ask = |n: usize, caller| Ask { flow: flow(caller), ..kit.says(n as u64, &prompts[n]) };
    let mut crowd = [Choosing::new(), Choosing::new()];
    for (n, choosing) in crowd.iter_mut().enumerate() {
        waiting(&choosing.begin(&kit.policy, &ask(n, 1), at(0)));
    }
    let mut other = Choosing::new();
    let asked = ask(3, 2);
    waiting(&other.begin(&kit.policy, &asked, at(0)));
    // Before the second of the first caller.
    let decision = crowd[0].on_time(&kit.policy, &ask(0, 1), at(5));
    let _slot = take(&mut crowd[0], decision, &ask(0, 1), at(5));
    waiting(&crowd[1].on_time(&kit.policy, &ask(1, 1), at(10)));
    let decision = other.on_time(&kit.policy, &asked, at(10));
    let _slot = take(&mut other, decision, &asked, at(10));
}

/// One waiter is all that an account's queue, or the gateway, has room for.
fn narrow(names: &[&str], queue: bool) -> Kit {
    let provider = if queue {
        ProviderParams { limits: LimitParams { max_waiting: 1, ..provider().limits }, ..provider() }
    } else {
        provider()
    };
    let endpoints: Vec<_> = names.iter().map(|name| (*name, 60_000)).collect();
    let max_waiters = if queue { 100 } else { 1 };
    Kit::with(cost_pool(provider, &endpoints), RouterParams { max_waiters, ..RouterParams::default() })
}

#[test]
fn where_the_queue_is_full_those_too_many_are_refused_rather_than_spilled_dearly() {
    for queue in [true, false] {
        let kit = narrow(&["a"], queue);
        kit.drain_tokens("a", 60_000, at(0));
        let (one, two) = (five_thousand(1), five_thousand(2));
        let (one, two) = (kit.says(1, &one), kit.says(2, &two));
        let [mut first, mut second] = [Choosing::new(), Choosing::new()];
        waiting(&first.begin(&kit.policy, &one, at(0)));
        let full = second.begin(&kit.policy, &two, at(0));
        assert!(
            matches!(full, Decision::Deny { reason: Reason::WaitersFull, retry_after: 10 }),
            "{queue}: {full:?}"
        );
        assert_eq!((kit.queued(at(0)), kit.policy.waiters().count()), (1, 1), "it holds nothing");
        drop(first);
        waiting(&second.begin(&kit.policy, &two, at(0)));
    }
}

#[test]
fn where_the_queue_is_full_the_next_best_is_taken_if_that_costs_less_than_a_refusal() {
    for queue in [true, false] {
        let mut kit = narrow(&["a", "b"], queue);
        let mut params = RouterParams { max_waiters: if queue { 100 } else { 1 }, ..RouterParams::default() };
        params.cost.weights.refusal = 0.02;
        kit.policy = kit.policy.with_params(&params);
        let talk = |own| Talk { shared: 4_000, each: 1_000, ..Talk::new(own) };
        for own in [1, 2] {
            // Both are warm at `a`.
            let prompt = talk(own).prompt();
            kit.start_with(Some(own), &prompt, kit.get("a"), AffinityResult::New, at(0)).answered();
        }
        kit.drain_tokens("a", 60_000, at(0));
        let (one, two) = (talk(1).next().prompt(), talk(2).next().prompt());
        let (one, two) = (kit.says(1, &one), kit.says(2, &two));
        let [mut first, mut second] = [Choosing::new(), Choosing::new()];
        // Two seconds for 2,000 tokens; the second would wait for four.
        waiting(&first.begin(&kit.policy, &one, at(0)));
        let (endpoint, result, _) = gone(second.begin(&kit.policy, &two, at(0)));
        assert_eq!((endpoint.name().as_str(), result), ("b", AffinityResult::Moved));
        let _slot = endpoint.acquire(lane(), &second.draw(two.flow), at(0)).unwrap();
        assert_eq!(kit.policy.waiters().count(), 1);
    }
}

#[test]
fn however_often_it_is_passed_over_the_whole_wait_is_bounded() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let prompt = five_thousand(1);
    let ask = kit.says(1, &prompt);
    let mut choosing = Choosing::new();
    let mut now = at(0);
    let mut decision = choosing.begin(&kit.policy, &ask, now);
    let mut looks = 0;
    while let Decision::Wait { until, .. } = decision {
        assert!(until > now && until <= at(30));
        now = until;
        // Whatever comes in is taken by calls that ask nobody.
        kit.drain_tokens("a", 1_000, now);
        decision = choosing.on_time(&kit.policy, &ask, now);
        looks += 1;
        assert!(looks < 40);
    }
    assert!(matches!(decision, Decision::Deny { reason: Reason::RateLimited, .. }), "{decision:?}");
    assert!(choosing.waited() <= Duration::from_secs(30), "{:?}", choosing.waited());
    assert_eq!((kit.queued(now), kit.policy.waiters().count()), (0, 0));
}

#[test]
fn what_it_waited_over_all_its_tries_counts() {
    let kit = accounts(&["a"]);
    let prompt = five_thousand(1);
    let ask = kit.says(1, &prompt);
    let mut choosing = Choosing::new();
    kit.get("a").cool(Duration::from_secs(6), at(0));
    let mut now = at(0);
    let mut decision = choosing.begin(&kit.policy, &ask, now);
    while let Decision::Wait { until, .. } = decision {
        now = until;
        decision = choosing.on_time(&kit.policy, &ask, now);
    }
    assert_eq!(now, at(6));
    let mut slot = take(&mut choosing, decision, &ask, now);
    slot.failed(&limited(25), now);
    let tried = [kit.tried("a", true)];
    let again = choosing.begin(&kit.policy, &Ask { tried: &tried, ..ask }, now);
    assert!(matches!(again, Decision::Deny { reason: Reason::RateLimited, retry_after: 25 }), "{again:?}");
}

#[test]
fn a_wait_that_is_over_at_once_still_counts() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let prompt = five_thousand(1);
    let ask = kit.says(1, &prompt);
    let mut choosing = Choosing::new();
    waiting(&choosing.begin(&kit.policy, &ask, at(0)));
    for _ in 0..7 {
        waiting(&choosing.on_time(&kit.policy, &ask, at(0)));
    }
    assert_eq!(choosing.waited(), Duration::from_millis(7));
}

#[test]
fn a_place_outlives_a_reload() {
    let kit = accounts(&["a"]);
    kit.drain_tokens("a", 60_000, at(0));
    let prompt = five_thousand(1);
    let ask = kit.says(1, &prompt);
    let mut choosing = Choosing::new();
    waiting(&choosing.begin(&kit.policy, &ask, at(0)));
    let reloaded: Router = kit.policy.with_params(&RouterParams::default());
    waiting(&choosing.on_time(&reloaded, &ask, at(1)));
    assert_eq!((kit.queued(at(1)), kit.policy.waiters().count()), (1, 1));
    let decision = choosing.on_time(&reloaded, &ask, at(5));
    let _slot = take(&mut choosing, decision, &ask, at(5));
    assert_eq!((kit.queued(at(5)), kit.policy.waiters().count()), (0, 0));
}
