//! Limits through the pool: draws, refunds, queues, what is shared, what survives.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{testing::*, *};
use crate::{
    clock::{Moment, UnixTime},
    types::{Family, Usage},
};

fn at(millis: u64) -> Moment {
    Moment::from_millis(millis)
}

fn lane() -> Lane {
    Lane::from_class(100)
}

fn get<'a>(pool: &'a Pool, name: &str) -> &'a Arc<Endpoint> {
    pool.endpoint(name).unwrap()
}

fn flow(id: u64) -> Flow {
    Flow { id, bytes: 1_000, ..Flow::NOBODY }
}

fn need(input: u64) -> Need {
    Need { input, cached: 0 }
}

fn ask(input: u64, who: Standing<'_>) -> Draw<'_> {
    Draw { need: need(input), who, anyway: false }
}

/// An account of 60 requests and 60,000 input tokens a minute by configuration: one, and 1,000, a second.
fn limited(params: ProviderParams, names: &[&str]) -> Pool {
    let limits = LimitsGiven { requests: Some(60), input: Some(60_000), ..LimitsGiven::default() };
    let endpoints =
        names.iter().map(|name| EndpointParams { limits, ..endpoint(name, "p", "org") }).collect();
    Pool::build(vec![params], endpoints, None).unwrap()
}

fn left(pool: &Pool, name: &str, kind: LimitKind, now: Moment) -> Option<u64> {
    let all = get(pool, name).headroom(lane(), now);
    all.iter().find(|left| left.kind == kind)?.remaining
}

fn input_left(pool: &Pool, now: Moment) -> Option<u64> {
    left(pool, "a", LimitKind::InputTokens, now)
}

fn take(pool: &Pool, input: u64, now: Moment) -> Slot {
    get(pool, "a").acquire(lane(), &ask(input, Standing::New(flow(1))), now).unwrap()
}

fn wait(pool: &Pool, input: u64, who: Standing<'_>, now: Moment) -> Duration {
    get(pool, "a").outlook(lane(), &need(input), who, now).wait
}

fn said(pairs: &[(&str, &str)]) -> HeaderMap {
    let name = |name| format!("anthropic-ratelimit-{name}").parse::<HeaderName>().unwrap();
    pairs.iter().map(|(of, value)| (name(of), HeaderValue::from_str(value).unwrap())).collect()
}

fn refusal(kind: LimitKind, secs: u64) -> Failure {
    let retry_after = Some(Duration::from_secs(secs));
    let limit = RateLimit { retry_after, kind, request_exceeds_limit: false, garbage: false };
    Failure::RateLimited { limit, refused_elsewhere: false }
}

#[test]
fn one_accounts_endpoints_draw_on_one_bucket_and_are_refused_when_it_is_empty() {
    let pool = limited(provider("p"), &["a", "b"]);
    let _slot = take(&pool, 50_000, at(0));
    assert_eq!(left(&pool, "b", LimitKind::InputTokens, at(0)), Some(10_000));
    let b = get(&pool, "b");
    let short = b.acquire(lane(), &ask(20_000, Standing::New(flow(2))), at(0)).err();
    assert_eq!(short, Some(Availability::Short { until: at(10_000) }));
    assert_eq!(short.and_then(Availability::reopens), Some(at(10_000)));
    assert_eq!(b.in_flight(), 0);
    assert_eq!(input_left(&pool, at(0)), Some(10_000), "who is refused takes nothing");
    let anyway = Draw { anyway: true, ..ask(20_000, Standing::New(flow(2))) };
    let _slot = b.acquire(lane(), &anyway, at(0)).unwrap();
    assert_eq!(wait(&pool, 1_000, Standing::New(flow(1)), at(0)), Duration::from_secs(11));
}

#[test]
fn reads_from_the_cache_count_where_the_provider_counts_them() {
    let warm = Need { input: 60_000, cached: 59_000 };
    for (family, remaining) in [(Family::Anthropic, 59_000), (Family::OpenAi, 0)] {
        let params = ProviderParams { family, limits: LimitParams::usual(family), ..provider("p") };
        let pool = limited(params, &["a"]);
        let draw = Draw { need: warm, ..ask(0, Standing::New(flow(1))) };
        let mut slot = get(&pool, "a").acquire(lane(), &draw, at(0)).unwrap();
        assert_eq!(input_left(&pool, at(0)), Some(remaining));
        // All of it was cold after all.
        slot.used(&Usage { input: 10_000, write_5m: 50_000, output: 5, ..Usage::default() }, at(0));
        assert_eq!(input_left(&pool, at(0)), Some(0));
        slot.used(&Usage { input: 1_000, cached_read: 59_000, ..Usage::default() }, at(0));
        assert_eq!(input_left(&pool, at(0)), Some(remaining));
        slot.used(&Usage::default(), at(0));
        assert_eq!(input_left(&pool, at(0)), Some(remaining), "nothing said is not nothing used");
    }
}

#[test]
fn a_try_that_was_not_admitted_gives_back_what_it_took() {
    let overloaded = Failure::Overloaded { retry_after: None };
    for failure in [Failure::Connect, Failure::Stale, Failure::ServerError, overloaded, Failure::ModelBarred]
    {
        let pool = limited(provider("p"), &["a"]);
        take(&pool, 50_000, at(0)).failed(&failure, at(0));
        assert_eq!(input_left(&pool, at(0)), Some(60_000), "{failure:?}");
        assert_eq!(left(&pool, "a", LimitKind::Requests, at(0)), Some(60), "{failure:?}");
    }
    for failure in [Failure::Timeout, Failure::Broken] {
        let pool = limited(provider("p"), &["a"]);
        take(&pool, 50_000, at(0)).failed(&failure, at(0));
        assert_eq!(input_left(&pool, at(0)), Some(10_000), "{failure:?} may have been admitted");
    }
    let pool = limited(provider("p"), &["a"]);
    let mut slot = take(&pool, 50_000, at(0));
    slot.answered(at(0));
    slot.failed(&Failure::ServerError, at(0));
    drop(slot);
    assert_eq!(input_left(&pool, at(0)), Some(10_000), "it was admitted: there was an answer");
}

#[test]
fn a_429_empties_the_limit_that_it_names_for_the_whole_account() {
    let pool = limited(provider("p"), &["a", "b"]);
    take(&pool, 10_000, at(0)).failed(&refusal(LimitKind::InputTokens, 1), at(0));
    assert_eq!(left(&pool, "b", LimitKind::InputTokens, at(0)), Some(0));
    assert_eq!(left(&pool, "b", LimitKind::Requests, at(0)), Some(60));
    // The deadline is over sooner than the bucket has enough.
    assert_eq!(get(&pool, "b").availability(lane(), at(1_000)), Availability::Ready);
    assert_eq!(wait(&pool, 10_000, Standing::New(flow(1)), at(1_000)), Duration::from_secs(9));
    // What is the caller's own fault empties nothing.
    let pool = limited(provider("p"), &["a"]);
    let Failure::RateLimited { limit, .. } = refusal(LimitKind::Unknown, 1) else { unreachable!() };
    take(&pool, 10_000, at(0)).failed(&Failure::RateLimited { limit, refused_elsewhere: true }, at(0));
    assert_eq!(input_left(&pool, at(0)), Some(60_000));
}

#[test]
fn headers_win_over_the_configuration_and_lies_change_nothing() {
    let pool = limited(provider("p"), &["a"]);
    let mut slot = take(&pool, 10_000, at(0));
    let told = [("input-tokens-limit", "40000"), ("input-tokens-remaining", "20000")];
    assert!(slot.note_headroom(&said(&told), UnixTime::default(), at(0)).is_empty());
    assert_eq!(input_left(&pool, at(0)), Some(20_000));
    for (lie, why) in [("-5", Lie::Negative), ("41000", Lie::AboveLimit), ("plenty", Lie::Garbage)] {
        let headers = said(&[("input-tokens-limit", "40000"), ("input-tokens-remaining", lie)]);
        assert_eq!(slot.note_headroom(&headers, UnixTime::default(), at(0)).as_slice(), [why]);
        assert_eq!(input_left(&pool, at(0)), Some(20_000));
    }
    // A reload does not bring the configured limit back, and keeps what is gone.
    let limits = LimitsGiven { input: Some(1_000_000), ..LimitsGiven::default() };
    let params = EndpointParams { limits, ..endpoint("a", "p", "org") };
    let new = Pool::build(vec![provider("p")], vec![params], Some(&pool)).unwrap();
    let all = get(&new, "a").headroom(lane(), at(0));
    let input = Left { kind: LimitKind::InputTokens, remaining: Some(20_000), limit: Some(40_000) };
    assert_eq!(all.as_slice(), [input], "and requests are no longer limited");
}

#[test]
fn in_observe_mode_the_callers_limits_are_not_ours() {
    let params = ProviderParams { credentials: Credentials::Caller, ..provider("p") };
    let pool = limited(params, &["a"]);
    let mut slots: Vec<_> = (0..20).map(|_| take(&pool, 60_000, at(0))).collect();
    let told = said(&[("input-tokens-limit", "100"), ("input-tokens-remaining", "0")]);
    slots[0].note_headroom(&told, UnixTime::default(), at(0));
    slots[0].used(&Usage { input: 5, ..Usage::default() }, at(0));
    slots[1].failed(&refusal(LimitKind::Unknown, 9), at(0));
    assert_eq!(get(&pool, "a").outlook(lane(), &need(1 << 40), Standing::New(flow(1)), at(0)), Outlook::OPEN);
}

#[test]
fn the_window_is_configurable() {
    let limits = LimitParams { window: Duration::from_secs(1), ..LimitParams::usual(Family::Anthropic) };
    let pool = limited(ProviderParams { limits, ..provider("p") }, &["a"]);
    let _slot = take(&pool, 60_000, at(0));
    assert_eq!(wait(&pool, 6_000, Standing::New(flow(1)), at(0)), Duration::from_millis(100));
}

#[test]
fn a_place_in_the_queue_is_kept_used_up_or_given_back() {
    let pool = limited(provider("p"), &["a", "b"]);
    let (a, b) = (get(&pool, "a"), get(&pool, "b"));
    let _slot = take(&pool, 60_000, at(0));
    let first = a.reserve(lane(), &need(10_000), flow(1), at(0)).unwrap();
    let second = a.reserve(lane(), &need(10_000), flow(1), at(0)).unwrap();
    assert!(first.holds_at(b, lane()) && !first.holds_at(b, Lane::from_class(101)));
    assert_eq!(wait(&pool, 10_000, Standing::Waiting(&first), at(0)), Duration::from_secs(10));
    assert_eq!(wait(&pool, 10_000, Standing::Waiting(&second), at(0)), Duration::from_secs(20));
    let view = serde_json::to_value(pool.domain_views(at(0))).unwrap();
    assert_eq!(
        (&view[0]["classes"][0]["waiting"], &view[0]["classes"][0]["waiting_tokens"]),
        (&2.into(), &20_000.into())
    );
    // It holds at any endpoint of the account.
    let slot = b.acquire(lane(), &ask(10_000, Standing::Waiting(&first)), at(10_000)).unwrap();
    assert_eq!(wait(&pool, 10_000, Standing::Waiting(&second), at(10_000)), Duration::from_secs(10));
    drop((first, slot));
    assert_eq!(wait(&pool, 10_000, Standing::Waiting(&second), at(10_000)), Duration::from_secs(10));
    assert_eq!(wait(&pool, 10_000, Standing::New(flow(2)), at(10_000)), Duration::from_secs(20));
    drop(second);
    assert_eq!(wait(&pool, 10_000, Standing::New(flow(2)), at(10_000)), Duration::from_secs(10));
    // Elsewhere its holder is a newcomer.
    let other = limited(provider("p"), &["a"]);
    let held = get(&other, "a").reserve(lane(), &need(1), flow(1), at(0)).unwrap();
    assert_eq!(wait(&pool, 10_000, Standing::Waiting(&held), at(10_000)), Duration::from_secs(10));
}

#[test]
fn a_queue_is_bounded_by_number_and_bytes_and_for_the_account_as_a_whole() {
    let limits =
        LimitParams { max_waiting: 2, max_waiting_bytes: 5_000, ..LimitParams::usual(Family::Anthropic) };
    let pool = limited(ProviderParams { limits, ..provider("p") }, &["a", "b"]);
    let reserve = |name, class, bytes| {
        let flow = Flow { bytes, ..flow(1) };
        get(&pool, name).reserve(Lane::from_class(class), &need(10), flow, at(0))
    };
    let one = reserve("a", 100, 4_000).unwrap();
    assert!(reserve("b", 101, 2_000).is_none(), "too many bytes");
    let _two = reserve("b", 101, 1_000).unwrap();
    assert!(reserve("a", 102, 0).is_none(), "too many");
    drop(one);
    let _three = reserve("a", 102, 4_000).unwrap();
    assert!(get(&pool, "a").reserve(lane(), &need(60_001), flow(1), at(0)).is_none());
}

#[test]
fn those_who_wait_behind_a_429_wake_one_after_the_other() {
    let pool = limited(provider("p"), &["a"]);
    let mut slot = take(&pool, 0, at(0));
    slot.note_headroom(
        &said(&[("input-tokens-remaining", "60000"), ("requests-remaining", "60")]),
        UnixTime::default(),
        at(0),
    );
    slot.failed(&refusal(LimitKind::Unknown, 5), at(0));
    let a = get(&pool, "a");
    let held: Vec<_> = (0..15).map(|_| a.reserve(lane(), &need(10), flow(1), at(0)).unwrap()).collect();
    let starts = |held: &Reservation, now: Moment| {
        let closed = a.availability(lane(), now).reopens().map_or(Duration::ZERO, |until| now.until(until));
        now + closed.max(wait(&pool, 10, Standing::Waiting(held), now))
    };
    let planned: Vec<_> = held.iter().map(|held| starts(held, at(0))).collect();
    let paced: Vec<_> = (0..15).map(|n: u64| at(5_000 + 200 * n.min(9))).collect();
    assert_eq!(planned, paced);
    for (n, (held, planned)) in held.iter().zip(planned).enumerate() {
        assert_eq!(starts(held, planned), planned, "it is told the truth");
        if n < 9 {
            // A newcomer does not take the start away from those who waited for it.
            let refused = a.acquire(lane(), &ask(50, Standing::New(flow(1))), planned).err();
            assert!(matches!(refused, Some(Availability::Short { .. })), "{refused:?}");
        }
        drop(a.acquire(lane(), &ask(10, Standing::Waiting(held)), planned).unwrap());
    }
}

#[test]
fn endpoints_that_turn_out_to_be_one_account_keep_the_lower_level_and_the_stricter_limit() {
    let of = |input, name| {
        let limits = LimitsGiven { input: Some(input), ..LimitsGiven::default() };
        EndpointParams { limits, ..endpoint(name, "p", "") }
    };
    let pool = Pool::build(vec![provider("p")], vec![of(60_000, "a"), of(50_000, "b")], None).unwrap();
    let (a, b) = (get(&pool, "a"), get(&pool, "b"));
    let _slot = take(&pool, 40_000, at(0));
    let mine = b.reserve(lane(), &need(10), flow(1), at(0)).unwrap();
    let mut ids = HeaderMap::new();
    ids.insert("anthropic-organization-id", HeaderValue::from_static("org-1"));
    assert!(b.learn(&ids).unwrap().changed && a.learn(&ids).unwrap().changed);
    let left = b.headroom(lane(), at(0));
    assert_eq!((left[0].limit, left[0].remaining), (Some(50_000), Some(20_000)));
    assert_eq!(a.headroom(lane(), at(0)), left);
    // A place in the old queue counts as none, and is given back there.
    assert!(!mine.holds_at(b, lane()));
    assert!(wait(&pool, 10, Standing::Waiting(&mine), at(0)).is_zero());
}

#[test]
fn what_is_known_of_limits_survives_a_restart_by_name() {
    let build = || {
        let model = ModelParams {
            name: "m".into(),
            endpoints: vec!["a".into()],
            upstream_names: Vec::new(),
            class: None,
            long_cache: None,
        };
        let pool = pool(&[("a", "org")]);
        let table = ModelTable::build(vec![model], &pool).unwrap();
        let lane =
            table.resolve("m", Family::Anthropic).unwrap().lane(crate::types::Operation::Messages, "m");
        (pool, lane)
    };
    let (old, lane) = build();
    let mut slot = get(&old, "a").acquire(lane, &Draw::untold(), at(0)).unwrap();
    let told = said(&[("input-tokens-limit", "60000"), ("input-tokens-remaining", "6000")]);
    slot.note_headroom(&told, UnixTime::default(), at(0));
    slot.failed(&refusal(LimitKind::InputTokens, 20), at(0));
    let text = serde_json::to_string(&get(&old, "a").facts(at(0))).unwrap();
    assert!(!text.contains("sk-"), "{text}");

    let (new, lane) = build();
    let facts: DomainFacts = serde_json::from_str(&text).unwrap();
    let a = get(&new, "a");
    a.adopt_facts(&facts, Duration::from_secs(2), at(500_000));
    assert_eq!(a.availability(lane, at(500_000)), Availability::Cooling { until: at(518_000) });
    let left = a.headroom(lane, at(500_000));
    assert_eq!((left[0].limit, left[0].remaining), (Some(60_000), Some(8_000)));
    // Told again and again by other replicas, the deadline stays where it is, and its pace is kept.
    a.adopt_facts(&facts, Duration::from_secs(3), at(501_000));
    assert_eq!(a.availability(lane, at(501_000)), Availability::Cooling { until: at(518_000) });
    let left = a.headroom(lane, at(501_000));
    assert_eq!(left[0].remaining, Some(9_000));
    // A file of another time, or a torn one, changes nothing that is known here.
    let odd: DomainFacts =
        serde_json::from_str(r#"{"classes":[{"class":"zz","limits":[{"kind":"x"}]},{}]}"#).unwrap();
    a.adopt_facts(&odd, Duration::ZERO, at(501_000));
    assert_eq!(a.headroom(lane, at(501_000)), left);
}
