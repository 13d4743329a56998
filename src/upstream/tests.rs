//! The pool as a whole: what one account's trouble does to others, and what survives a reload.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{testing::*, *};
use crate::{
    clock::{Moment, UnixTime},
    types::{Family, Operation, Secret},
};

const LIMIT: RateLimit =
    RateLimit { retry_after: None, kind: LimitKind::Unknown, request_exceeds_limit: false, garbage: false };

fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

fn limited(secs: u64) -> Failure {
    let limit = RateLimit { retry_after: Some(Duration::from_secs(secs)), ..LIMIT };
    Failure::RateLimited { limit, refused_elsewhere: false }
}

fn lane() -> Lane {
    Lane::from_class(100)
}

fn get<'a>(pool: &'a Pool, name: &str) -> &'a Arc<Endpoint> {
    pool.endpoint(name).unwrap()
}

fn fail(pool: &Pool, name: &str, lane: Lane, failure: &Failure, now: Moment) -> Effect {
    get(pool, name).acquire(lane, &Draw::untold(), now).unwrap().failed(failure, now)
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
        .collect()
}

fn of(organisation: &str, workspace: &str) -> HeaderMap {
    headers(&[("anthropic-organization-id", organisation), ("anthropic-workspace-id", workspace)])
}

fn model(name: &str, endpoints: &[&str]) -> ModelParams {
    ModelParams {
        name: name.into(),
        endpoints: endpoints.iter().map(|&e| e.into()).collect(),
        upstream_names: Vec::new(),
        class: None,
        long_cache: None,
    }
}

#[test]
fn one_429_cools_every_endpoint_of_the_organisation_and_no_other() {
    let pool = eight();
    let effect = fail(&pool, "a1", lane(), &limited(20), at(1));
    assert_eq!(effect.cooled_until, Some(at(21)));
    for name in ["a1", "a2", "a3"] {
        assert_eq!(get(&pool, name).availability(lane(), at(2)), Availability::Cooling { until: at(21) });
    }
    assert_eq!(get(&pool, "b1").availability(lane(), at(2)), Availability::Ready);
    assert_eq!(get(&pool, "a1").availability(Lane::from_class(101), at(2)), Availability::Ready);
}

#[test]
fn a_429_without_a_time_cools_for_the_default_and_a_long_one_warns() {
    let pool = eight();
    let plain = Failure::RateLimited { limit: LIMIT, refused_elsewhere: false };
    let effect = fail(&pool, "a1", lane(), &plain, at(1));
    assert_eq!((effect.cooled_until, effect.long), (Some(at(31)), false));
    let effect = fail(&pool, "b1", lane(), &limited(16 * 60), at(1));
    assert_eq!((effect.cooled_until, effect.long), (Some(at(961)), true));
}

#[test]
fn concurrent_429s_keep_the_latest_deadline() {
    let pool = eight();
    let mut slots: Vec<_> =
        (0..5).map(|_| get(&pool, "a1").acquire(lane(), &Draw::untold(), at(1)).unwrap()).collect();
    for (slot, secs) in slots.iter_mut().zip([5, 30, 2, 9, 1]) {
        slot.failed(&limited(secs), at(1));
    }
    assert_eq!(get(&pool, "a2").availability(lane(), at(2)), Availability::Cooling { until: at(31) });
}

#[test]
fn a_request_that_is_too_large_or_was_refused_elsewhere_cools_nothing() {
    let pool = eight();
    let too_large = RateLimit { request_exceeds_limit: true, ..LIMIT };
    for failure in [
        Failure::RateLimited { limit: too_large, refused_elsewhere: false },
        Failure::RateLimited { limit: LIMIT, refused_elsewhere: true },
    ] {
        let effect = fail(&pool, "a1", lane(), &failure, at(1));
        assert!(effect.callers_own && effect.cooled_until.is_none());
        assert_eq!(get(&pool, "a1").availability(lane(), at(1)), Availability::Ready);
    }
}

#[test]
fn counting_tokens_and_messages_cool_apart() {
    let pool = eight();
    let table = ModelTable::build(vec![model("m", &["a1"])], &pool).unwrap();
    let model = table.resolve("m", Family::Anthropic).unwrap();
    let (count, messages) = (model.lane(Operation::CountTokens, "m"), model.lane(Operation::Messages, "m"));
    fail(&pool, "a1", count, &limited(30), at(1));
    assert!(matches!(get(&pool, "a1").availability(count, at(2)), Availability::Cooling { .. }));
    assert_eq!(get(&pool, "a1").availability(messages, at(2)), Availability::Ready);
}

#[test]
fn dropping_a_slot_gives_back_the_count_the_trial_and_the_ticket() {
    let pool = eight();
    let a1 = get(&pool, "a1");
    for _ in 0..3 {
        fail(&pool, "a1", lane(), &Failure::Connect, at(1));
    }
    assert_eq!(a1.availability(lane(), at(2)), Availability::FailureOpen { until: at(6) });
    assert_eq!(get(&pool, "b1").availability(lane(), at(2)), Availability::FailureOpen { until: at(6) });
    let slot = a1.acquire(lane(), &Draw::untold(), at(6)).unwrap();
    assert!(slot.is_trial());
    assert_eq!(get(&pool, "b1").acquire(lane(), &Draw::untold(), at(6)).err(), Some(Availability::TrialBusy));
    assert_eq!(a1.in_flight(), 1);
    drop(slot);
    assert_eq!(a1.in_flight(), 0);
    let mut slot = get(&pool, "b1").acquire(lane(), &Draw::untold(), at(6)).unwrap();
    slot.answered(at(7));
    assert_eq!(a1.availability(lane(), at(7)), Availability::Ready);

    fail(&pool, "a1", lane(), &Failure::Key(KeyTrouble::Invalid), at(8));
    let slots: Vec<_> = (0..5).filter_map(|_| a1.acquire(lane(), &Draw::untold(), at(8)).ok()).collect();
    assert_eq!((slots.len(), a1.availability(lane(), at(8))), (2, Availability::SuspectBusy));
    drop(slots);
    assert_eq!(a1.availability(lane(), at(8)), Availability::Suspect);
}

#[test]
fn a_429_on_trial_says_that_the_host_is_well() {
    let pool = eight();
    for _ in 0..3 {
        fail(&pool, "a1", lane(), &Failure::Timeout, at(1));
    }
    fail(&pool, "a1", lane(), &limited(60), at(6));
    assert_eq!(get(&pool, "b1").availability(lane(), at(7)), Availability::Ready);
}

#[test]
fn one_poisonous_request_cannot_open_a_failure_domain_by_itself() {
    let pool = eight();
    for n in 0..10 {
        for (tries, name) in ["a1", "b1", "c1"].into_iter().enumerate() {
            let mut slot = get(&pool, name).acquire(lane(), &Draw::untold(), at(n)).unwrap();
            if tries > 0 {
                slot.repeats_a_failure();
            }
            assert!(!slot.failed(&Failure::ServerError, at(n)).opened);
        }
        get(&pool, "c2").acquire(lane(), &Draw::untold(), at(n)).unwrap().answered(at(n));
    }
}

#[test]
fn overload_takes_out_self_hosted_engines_only() {
    let busy = Failure::Overloaded { retry_after: None };
    let shared = eight();
    (0..5).for_each(|_| assert!(!fail(&shared, "a1", lane(), &busy, at(1)).opened));
    assert_eq!(get(&shared, "a1").availability(lane(), at(1)), Availability::Ready);

    let own = ProviderParams { overload: Overload::Move, ..provider("p") };
    let own = Pool::build(vec![own], vec![endpoint("a1", "p", "")], None).unwrap();
    (0..3).for_each(|n| assert_eq!(fail(&own, "a1", lane(), &busy, at(1)).opened, n == 2));
    assert!(matches!(get(&own, "a1").availability(lane(), at(1)), Availability::FailureOpen { .. }));
}

#[test]
fn a_403_about_a_model_bars_only_that_model_there() {
    let pool = eight();
    let table = ModelTable::build(vec![model("claude-*", &["a1", "a2"])], &pool).unwrap();
    let model = table.resolve("claude-x", Family::Anthropic).unwrap();
    let (x, y) = (model.lane(Operation::Messages, "claude-x"), model.lane(Operation::Messages, "claude-y"));
    let effect = fail(&pool, "a1", x, &Failure::ModelBarred, at(1));
    assert_eq!(effect.barred_until, Some(at(61)));
    assert_eq!(get(&pool, "a1").availability(x, at(60)), Availability::Barred { until: at(61) });
    assert_eq!(get(&pool, "a1").availability(y, at(60)), Availability::Ready);
    assert_eq!(get(&pool, "a2").availability(x, at(60)), Availability::Ready);
    assert_eq!(get(&pool, "a1").availability(x, at(61)), Availability::Ready);
}

#[test]
fn in_observe_mode_nothing_a_callers_account_says_is_booked() {
    let observed = ProviderParams { credentials: Credentials::Caller, ..provider("p") };
    let pool = Pool::build(vec![observed], vec![endpoint("a1", "p", "")], None).unwrap();
    for failure in [limited(60), Failure::Key(KeyTrouble::Invalid), Failure::ModelBarred] {
        assert!(fail(&pool, "a1", lane(), &failure, at(1)).callers_own);
        assert_eq!(get(&pool, "a1").availability(lane(), at(1)), Availability::Ready);
    }
    assert_eq!(get(&pool, "a1").learn(&of("org-x", "w")), None);
}

#[test]
fn endpoints_of_one_organisation_are_merged_and_keep_the_stricter_deadline() {
    let pool = pool(&[("a", ""), ("b", ""), ("c", "")]);
    fail(&pool, "a", lane(), &limited(60), at(1));
    for name in ["a", "b"] {
        let learned = get(&pool, name).learn(&of("org-1", "w-1")).unwrap();
        assert!(learned.changed && learned.warning.is_none());
    }
    get(&pool, "c").learn(&of("org-2", "w-2")).unwrap();
    assert_eq!(get(&pool, "b").availability(lane(), at(2)), Availability::Cooling { until: at(61) });
    assert_eq!(get(&pool, "c").availability(lane(), at(2)), Availability::Ready);
    assert_eq!(get(&pool, "a").rate_domain().name(), get(&pool, "b").rate_domain().name());
    assert_eq!(get(&pool, "a").cache_domain(), get(&pool, "b").cache_domain());
    assert_eq!(pool.domain_views(at(2)).len(), 2);
    assert_eq!(get(&pool, "a").learn(&of("org-1", "w-1")), None, "nothing new");
}

#[test]
fn workspaces_share_limits_but_not_caches() {
    let pool = pool(&[("a", ""), ("b", "")]);
    assert!(get(&pool, "a").learn(&of("org-1", "w-1")).is_some());
    assert!(get(&pool, "b").learn(&of("org-1", "w-2")).is_some());
    assert_eq!(get(&pool, "a").rate_domain().name(), get(&pool, "b").rate_domain().name());
    assert_ne!(get(&pool, "a").cache_domain(), get(&pool, "b").cache_domain());
}

#[test]
fn the_configuration_wins_over_headers_and_the_contradiction_is_reported() {
    let pool = pool(&[("a", "d1"), ("b", "d1"), ("c", "d2"), ("d", "")]);
    assert_eq!(get(&pool, "a").learn(&of("org-1", "w")).unwrap().warning, None);
    let two = get(&pool, "b").learn(&of("org-2", "w")).unwrap().warning;
    assert!(matches!(two, Some(DomainWarning::TwoOrganisations { .. })), "{two:?}");
    let split = get(&pool, "c").learn(&of("org-1", "w")).unwrap().warning;
    assert!(matches!(split, Some(DomainWarning::SplitOrganisation { .. })), "{split:?}");
    assert_eq!(get(&pool, "b").rate_domain().name().as_str(), "d1");
    assert_eq!(get(&pool, "c").rate_domain().name().as_str(), "d2");
    // An endpoint without a word in the configuration joins the domain that is known to be its.
    assert!(get(&pool, "d").learn(&of("org-1", "w")).unwrap().changed);
    assert_eq!(get(&pool, "d").rate_domain().name().as_str(), "d1");
}

#[test]
fn odd_ids_are_ignored_and_unsteady_ones_followed_only_so_far() {
    let pool = pool(&[("a", "")]);
    let a = get(&pool, "a");
    for odd in ["", "a b", "x/y", "é", &"x".repeat(200)] {
        let Ok(value) = HeaderValue::from_bytes(odd.as_bytes()) else { continue };
        let mut map = HeaderMap::new();
        map.insert("anthropic-organization-id", value);
        assert_eq!(a.learn(&map), None, "{odd}");
    }
    assert_eq!(a.learn(&headers(&[("openai-organization", "org-x")])), None, "another family's header");
    let warnings = (0..100).filter_map(|n| a.learn(&of(&format!("org-{n}"), "w"))?.warning).count();
    assert_eq!(warnings, 1);
    assert_eq!(a.rate_domain().name().as_str(), "p.test/org-15");
}

#[test]
fn a_reload_keeps_what_is_alive_and_a_new_key_starts_clean() {
    let old = pool(&[("a", "d"), ("b", ""), ("c", "")]);
    assert!(get(&old, "b").learn(&of("org-1", "w")).is_some());
    assert!(get(&old, "c").learn(&of("org-1", "w")).is_some());
    fail(&old, "a", lane(), &limited(60), at(1));
    get(&old, "c").claim_first_check(at(1)).unwrap().failed(KeyTrouble::Invalid, at(1));
    get(&old, "b").drain();
    let in_flight = get(&old, "c").adopt();
    let params = ["a", "b", "c"].map(|name| endpoint(name, "p", if name == "a" { "d" } else { "" }));
    let new = Pool::build(vec![provider("p")], params.to_vec(), Some(&old)).unwrap();
    assert_eq!(get(&new, "a").availability(lane(), at(2)), Availability::Cooling { until: at(61) });
    assert_eq!(get(&new, "b").availability(lane(), at(2)), Availability::Drained);
    assert_eq!(get(&new, "c").availability(lane(), at(2)), Availability::Quarantined);
    assert_eq!(get(&new, "c").rate_domain().name().as_str(), "p.test/org-1");

    let mut params = params;
    params[2].key = Some(Secret::new("sk-other".into()));
    let newer = Pool::build(vec![provider("p")], params.to_vec(), Some(&new)).unwrap();
    assert_eq!(get(&newer, "c").availability(lane(), at(2)), Availability::Ready);
    assert_eq!(get(&newer, "c").rate_domain().name().as_str(), "c", "whose key it is must be learned anew");
    assert_eq!(get(&newer, "c").sessions(), 1);
    drop(in_flight);
    assert_eq!(get(&newer, "c").sessions(), 0, "guards from before a reload count where all others do");
}

#[test]
fn moving_to_another_configured_domain_does_not_escape_a_deadline() {
    let old = pool(&[("a", "d1"), ("b", "d2")]);
    fail(&old, "a", lane(), &limited(60), at(1));
    let moved = vec![endpoint("a", "p", "d2"), endpoint("b", "p", "d2")];
    let new = Pool::build(vec![provider("p")], moved, Some(&old)).unwrap();
    assert_eq!(get(&new, "b").availability(lane(), at(2)), Availability::Cooling { until: at(61) });
}

#[test]
fn an_operator_can_drain_cool_and_readmit() {
    let pool = eight();
    let a1 = get(&pool, "a1");
    a1.cool(Duration::from_secs(30), at(1));
    assert_eq!(a1.availability(lane(), at(2)), Availability::Cooling { until: at(31) });
    assert_eq!(get(&pool, "a2").availability(lane(), at(2)), Availability::Ready);
    fail(&pool, "a2", lane(), &limited(60), at(2));
    a1.drain();
    assert_eq!(
        (a1.state(at(3)), a1.acquire(lane(), &Draw::untold(), at(3)).err()),
        (EndpointState::Drained, Some(Availability::Drained))
    );
    a1.readmit(at(4));
    assert_eq!(
        (a1.state(at(4)), a1.availability(lane(), at(4))),
        (EndpointState::Ready, Availability::Ready)
    );
    a1.set_healthy(false);
    assert_eq!(a1.availability(lane(), at(4)), Availability::Unhealthy);
}

#[test]
fn every_fault_of_a_pool_is_reported_at_once() {
    let endpoints = vec![endpoint("a", "p", ""), endpoint("a", "p", ""), endpoint("b", "q", "")];
    let faults = Pool::build(vec![provider("p"), provider("p")], endpoints, None).err().unwrap();
    assert_eq!(faults.len(), 3, "{faults:?}");
}

#[test]
fn models_resolve_by_name_then_date_then_the_most_literal_pattern() {
    let pool = eight();
    let table = ModelTable::build(
        vec![
            model("*", &["c1"]),
            model("claude-*", &["a1"]),
            model("claude-sonnet-*", &["b1"]),
            model("claude-sonnet-4-6", &["b2"]),
            model("claude-sonnet", &["b3"]),
        ],
        &pool,
    )
    .unwrap();
    let label = |name| table.resolve(name, Family::Anthropic).unwrap().label.to_string();
    assert_eq!(label("claude-sonnet-4-6"), "claude-sonnet-4-6");
    assert_eq!(label("claude-sonnet-4-6-20260115"), "claude-sonnet-4-6");
    assert_eq!(label("claude-sonnet-20260115"), "claude-sonnet");
    assert_eq!(label("claude-sonnet-4-6-mini"), "claude-sonnet-*");
    assert_eq!(label("claude-opus-5"), "claude-*");
    assert_eq!(label("anything"), "*");
    assert_eq!(table.resolve("m", Family::OpenAi).unwrap().label.as_str(), "*", "whoever speaks it");
}

#[test]
fn unlisted_models_go_where_they_are_allowed_and_labels_stay_ours() {
    let open = ProviderParams { pass_unlisted: true, ..provider("open") };
    let endpoints = vec![endpoint("a", "p", ""), endpoint("o", "open", "")];
    let pool = Pool::build(vec![provider("p"), open], endpoints, None).unwrap();
    let closed = Pool::build(vec![provider("p")], vec![endpoint("a", "p", "")], None).unwrap();
    let listed = ModelTable::build(vec![model("m", &["a"])], &closed).unwrap();
    let table = ModelTable::build(vec![model("m", &["a"])], &pool).unwrap();
    let model = table.resolve("whatever a caller writes", Family::Anthropic).unwrap();
    assert_eq!((model.label.as_str(), model.listed, model.endpoints.len()), ("unlisted", false, 1));
    assert_eq!(model.upstream_name("x"), None);
    assert_eq!(table.resolve("x", Family::OpenAi).unwrap().label.as_str(), "unlisted", "translated");
    assert!(listed.resolve("x", Family::OpenAi).is_none());
}

#[test]
fn a_model_is_called_as_each_of_its_endpoints_calls_it() {
    let endpoints = vec![endpoint("a", "p", ""), endpoint("b", "q", ""), endpoint("c", "q", "")];
    let pool = Pool::build(vec![provider("p"), provider("q")], endpoints, None).unwrap();
    let names = [("c", "at-c"), ("q", "at-q"), ("*", "elsewhere")];
    let upstream_names = names.map(|(of, name)| (of.to_owned(), name.to_owned())).to_vec();
    let params = ModelParams { upstream_names, ..model("m", &["a", "b", "c"]) };
    let table = ModelTable::build(vec![params], &pool).unwrap();
    let model = table.resolve("m", Family::Anthropic).unwrap();
    let at = |name: &str, requested| model.upstream_name_at(pool.endpoint(name).unwrap(), requested);
    assert_eq!([at("a", "m"), at("b", "m"), at("c", "m")], [Some("elsewhere"), Some("at-q"), Some("at-c")]);
    assert_eq!(at("b", "at-q"), None, "it is called so already");
    assert_eq!(model.upstream_name("m"), Some("elsewhere"), "the first endpoint's");
    assert_eq!(table.served_by(pool.endpoint("c").unwrap()).as_deref(), Some("at-c"));
}

#[test]
fn an_endpoint_without_its_token_is_not_used_and_keeps_the_one_it_has_over_a_reload() {
    let source = AwsSource::Profile { file: "none".into(), name: "ci".into() };
    let params = EndpointParams { key: None, grant: Some(Grant::Aws(source)), ..endpoint("a", "p", "") };
    let build = |old: Option<&Pool>| Pool::build(vec![provider("p")], vec![params.clone()], old).unwrap();
    let pool = build(None);
    let lane = lane();
    let one = |pool: &Pool| Arc::clone(pool.endpoint("a").unwrap());
    assert_eq!(one(&pool).availability(lane, at(1)), Availability::NoToken);
    assert_eq!(one(&pool).state(at(1)), EndpointState::NoToken);
    let renewal = one(&pool).key().unwrap().claim_renewal(at(1)).unwrap();
    renewal.done(Token::Bearer(Secret::new("t".into())), Some(Duration::from_secs(60)), at(1));
    assert_eq!(one(&pool).availability(lane, at(2)), Availability::Ready);
    assert_eq!(one(&build(Some(&pool))).availability(lane, at(2)), Availability::Ready);
    assert_eq!(one(&pool).availability(lane, at(51)), Availability::NoToken, "expired");
}

#[test]
fn every_fault_of_the_models_is_told_and_endpoints_may_speak_several_dialects() {
    let openai = ProviderParams { family: Family::OpenAi, ..provider("o") };
    let endpoints = vec![endpoint("a", "p", ""), endpoint("o", "o", "")];
    let pool = Pool::build(vec![provider("p"), openai], endpoints, None).unwrap();
    let faults = ModelTable::build(
        vec![
            model("m", &["a", "o"]),
            model("n", &["zz"]),
            model("e", &[]),
            model("d", &["a"]),
            model("d", &["a"]),
        ],
        &pool,
    )
    .err()
    .unwrap();
    assert_eq!(faults.len(), 3, "{faults:?}");
    // The same name twice is fine where it means two dialects: each caller gets its own.
    let table = ModelTable::build(vec![model("*", &["a"]), model("*", &["o"])], &pool).unwrap();
    for family in [Family::Anthropic, Family::OpenAi] {
        assert_eq!(table.resolve("x", family).unwrap().family, family);
    }
}

#[test]
fn globs_match_as_people_expect() {
    for (pattern, text, yes) in [
        ("claude-*", "claude-x", true),
        ("claude-*", "claude-", true),
        ("claude-*", "xclaude-", false),
        ("*-mini", "gpt-5-mini", true),
        ("a*b*c", "aXbYc", true),
        ("a*b*c", "aXcYb", false),
        ("a*a", "a", false),
        ("*", "", true),
        ("abc", "abc", true),
        ("abc", "abcd", false),
        ("a**b", "ab", true),
    ] {
        assert_eq!(glob(pattern, text), yes, "{pattern} {text}");
    }
}

#[test]
fn headroom_is_shared_by_the_domain_and_shown() {
    let pool = eight();
    let said = headers(&[
        ("anthropic-ratelimit-requests-remaining", "7"),
        ("anthropic-ratelimit-requests-limit", "50"),
    ]);
    let mut slot = get(&pool, "a1").acquire(lane(), &Draw::untold(), at(1)).unwrap();
    assert!(slot.note_headroom(&said, UnixTime::default(), at(1)).is_empty());
    let left = get(&pool, "a2").headroom(lane(), at(1));
    assert_eq!((left.len(), left[0].remaining, left[0].limit), (1, Some(7), Some(50)));
    let view = serde_json::to_string(&pool.domain_views(at(1))).unwrap();
    assert!(view.contains("\"remaining\":7"), "{view}");
    assert!(!serde_json::to_string(&pool.endpoint_views(at(1))).unwrap().contains("sk-"));
}

#[test]
fn whoever_is_out_says_when_it_opens_if_anybody_knows() {
    let pool = eight();
    let a1 = get(&pool, "a1");
    assert_eq!(a1.opens(at(1)), None, "it is open");
    // The word goes away with the last class that cools.
    fail(&pool, "a1", lane(), &limited(20), at(1));
    fail(&pool, "a1", Lane::from_class(101), &limited(50), at(1));
    assert_eq!((a1.state(at(2)), a1.opens(at(2))), (EndpointState::Cooling, Some(at(51))));
    a1.cool(Duration::from_secs(300), at(1));
    assert_eq!(a1.opens(at(2)), Some(at(301)));
    assert_eq!(
        get(&pool, "a2").opens(at(2)),
        Some(at(51)),
        "it shares the limits, and not the operator's rest"
    );
    assert_eq!((a1.state(at(301)), a1.opens(at(301))), (EndpointState::Ready, None));
    // Of a drain nobody knows the end.
    a1.drain();
    assert_eq!((a1.state(at(2)), a1.opens(at(2))), (EndpointState::Drained, None));
    a1.readmit(at(400));
    let b1 = get(&pool, "b1");
    b1.close_spent(at(900), at(400));
    assert_eq!((b1.state(at(401)), b1.opens(at(401))), (EndpointState::Spent, Some(at(900))));
    // A quarantined key is due again after the re-check time, and nobody knows more while it is checked.
    let c1 = get(&pool, "c1");
    let check = c1.claim_first_check(at(401)).unwrap();
    check.failed(KeyTrouble::Invalid, at(402));
    assert_eq!((c1.state(at(403)), c1.opens(at(403))), (EndpointState::Quarantined, Some(at(462))));
    let running = c1.claim_check(at(500)).unwrap();
    assert_eq!(c1.opens(at(500)), None);
    running.passed(at(501));
    assert_eq!(c1.opens(at(501)), None);
    // Failures take the whole host out.
    for _ in 0..3 {
        fail(&pool, "a1", lane(), &Failure::Connect, at(600));
    }
    assert_eq!((a1.state(at(601)), a1.opens(at(601))), (EndpointState::Failing, Some(at(605))));
    assert_eq!((a1.state(at(605)), a1.opens(at(605))), (EndpointState::Probing, None));
}
