//! What a provider decides, and what it must not decide.

use std::time::Duration;

use http::HeaderMap;

use super::*;
use crate::{
    clock::UnixTime,
    sim::{Position, Told, Ttl, models::find},
    types::Usage,
};

const T0: Moment = Moment::from_millis(1_000);

fn sonnet() -> &'static Model {
    find("claude-sonnet-4-6").unwrap()
}

/// Two accounts in one workspace, one in another workspace of that organisation, one elsewhere.
fn provider(itpm: u64) -> Provider {
    let accounts = [("a", "o", "w"), ("b", "o", "w"), ("c", "o", "v"), ("d", "p", "w")]
        .map(|(key, organization, workspace)| Account::new(key, organization, workspace).limits(0, itpm, 0));
    Provider::new(&accounts, Keeping::default())
}

/// A prompt of one block of so many tokens, cached for five minutes.
fn prompt(hash: u64, tokens: u64) -> Chain {
    Chain { positions: vec![Position { hash, tokens, mark: Some(Ttl::FiveMinutes) }], total: tokens }
}

fn run(provider: &mut Provider, account: usize, chain: &Chain, at: Moment) -> Usage {
    let look = provider.admit(account, sonnet(), chain, at).expect("let in");
    provider.first_byte(account, sonnet(), &look, at, at);
    look.usage
}

fn reading(provider: &mut Provider, account: usize, model: &Model, at: Moment) -> HeaderMap {
    let mut headers = HeaderMap::new();
    provider.headers(account, model, at, &Told::at(UnixTime(Duration::from_secs(1_000))), &mut headers);
    headers
}

#[test]
fn a_cache_belongs_to_a_workspace_and_an_openai_cache_to_an_organisation() {
    let mut sim = provider(0);
    let chain = prompt(7, 2_000);
    assert_eq!(run(&mut sim, 0, &chain, T0).cached_read, 0);
    assert_eq!(run(&mut sim, 1, &chain, T0).cached_read, 2_000, "the same workspace");
    assert_eq!(run(&mut sim, 2, &chain, T0).cached_read, 0, "another workspace of the organisation");
    assert_eq!(run(&mut sim, 3, &chain, T0).cached_read, 0, "a workspace of that name elsewhere");
    let gpt = find("gpt-5.6").unwrap();
    let look = sim.admit(0, gpt, &chain, T0).unwrap();
    sim.first_byte(0, gpt, &look, T0, T0);
    assert_eq!(sim.admit(2, gpt, &chain, T0).unwrap().usage.cached_read, 2_000);
    assert_eq!(sim.admit(3, gpt, &chain, T0).unwrap().usage.cached_read, 0);
}

#[test]
fn a_limit_belongs_to_an_organisation_and_a_class_of_models() {
    let mut sim = provider(3_000);
    run(&mut sim, 0, &prompt(1, 3_000), T0);
    let refused = sim.admit(2, sonnet(), &prompt(2, 2_000), T0).unwrap_err();
    assert_eq!(refused.retry_after(), Some(40));
    assert!(sim.admit(2, find("claude-opus-5").unwrap(), &prompt(2, 2_000), T0).is_ok(), "another class");
    assert!(sim.admit(3, sonnet(), &prompt(2, 2_000), T0).is_ok(), "another organisation");
}

#[test]
fn what_is_read_from_a_cache_does_not_count_and_what_is_written_does() {
    let mut sim = provider(3_000);
    let chain = prompt(1, 2_000);
    run(&mut sim, 0, &chain, T0);
    for _ in 0..10 {
        run(&mut sim, 0, &chain, T0);
    }
    assert!(sim.admit(0, sonnet(), &prompt(2, 1_500), T0).is_err(), "the write has counted");
    assert!(sim.admit(0, sonnet(), &prompt(2, 1_000), T0).is_ok(), "ten reads have not");
}

#[test]
fn retry_after_is_whole_seconds_rounded_up_and_enough() {
    let mut sim = provider(60_000);
    run(&mut sim, 0, &prompt(1, 60_000), T0);
    let chain = prompt(2, 2_500);
    let wait = sim.admit(0, sonnet(), &chain, T0).unwrap_err().retry_after().unwrap();
    assert_eq!(wait, 3);
    assert!(sim.admit(0, sonnet(), &chain, T0 + Duration::from_secs(wait)).is_ok());
}

#[test]
fn a_refused_request_reads_and_writes_nothing() {
    let mut sim = provider(3_000);
    run(&mut sim, 0, &prompt(1, 2_000), T0);
    let mut longer = prompt(1, 2_000);
    longer.positions.push(Position { hash: 2, tokens: 9_000, mark: Some(Ttl::FiveMinutes) });
    longer.total = 9_000;
    let late = T0 + Duration::from_secs(299);
    assert_eq!(sim.admit(0, sonnet(), &longer, late), Err(Refused::Never { limit: 3_000 }));
    let after = T0 + Duration::from_secs(301);
    assert_eq!(run(&mut sim, 0, &prompt(1, 2_000), after).cached_read, 0, "it was not refreshed");
}

#[test]
fn output_counts_as_it_is_produced_whatever_max_tokens_was() {
    let accounts = [Account::new("a", "o", "w").limits(0, 0, 600)];
    let mut sim = Provider::new(&accounts, Keeping::default());
    sim.produced(0, sonnet(), 600, T0);
    let refused = sim.admit(0, sonnet(), &prompt(1, 2_000), T0).unwrap_err();
    assert_eq!(refused.retry_after(), Some(1));
    assert!(sim.admit(0, sonnet(), &prompt(1, 2_000), T0 + Duration::from_secs(1)).is_ok());
}

#[test]
fn foreign_load_takes_from_the_limits_and_leaves_no_cache() {
    let mut sim = provider(3_000);
    sim.foreign(2, sonnet(), 2_000, T0);
    assert!(sim.admit(0, sonnet(), &prompt(1, 2_000), T0).is_err(), "the same organisation");
    assert!(sim.admit(3, sonnet(), &prompt(1, 2_000), T0).is_ok());
}

#[test]
fn headers_say_what_is_left_rounded_and_when_all_is_back() {
    let accounts = [Account::new("a", "o", "w").limits(60, 60_000, 600)];
    let mut sim = Provider::new(&accounts, Keeping::default());
    run(&mut sim, 0, &prompt(1, 10_400), T0);
    let headers = reading(&mut sim, 0, sonnet(), T0);
    let text = |name: &str| headers[&format!("anthropic-ratelimit-{name}")].to_str().unwrap().to_owned();
    assert_eq!((text("requests-limit"), text("requests-remaining")), ("60".into(), "59".into()));
    assert_eq!(text("input-tokens-remaining"), "50000", "rounded to the nearest thousand");
    assert_eq!(text("input-tokens-reset"), "1970-01-01T00:16:51Z", "10.4 s to be full");
    assert_eq!(text("tokens-limit"), "60600");
    let headers = reading(&mut sim, 0, find("gpt-5.6").unwrap(), T0);
    assert_eq!(headers["x-ratelimit-remaining-tokens"], "60000");
    assert_eq!(headers["x-ratelimit-reset-requests"], "0s");
    assert!(reading(&mut provider(0), 0, sonnet(), T0).is_empty(), "unlimited: nothing is said");
}

#[test]
fn an_account_out_of_reach_refuses_and_its_cache_ages_meanwhile() {
    let mut sim = provider(0);
    let chain = prompt(1, 2_000);
    run(&mut sim, 0, &chain, T0);
    sim.set_reachable(0, false);
    assert_eq!(sim.admit(0, sonnet(), &chain, T0), Err(Refused::Unavailable));
    assert_eq!(sim.admit(99, sonnet(), &chain, T0), Err(Refused::Unavailable), "there is no such account");
    sim.set_reachable(0, true);
    assert_eq!(run(&mut sim, 0, &chain, T0 + Duration::from_secs(299)).cached_read, 2_000);
}

#[test]
fn an_overloaded_provider_refuses_its_share_and_the_same_ones_each_time() {
    let strike = || {
        let mut sim = provider(0);
        sim.set_overloaded(0.15);
        (0..2_000)
            .map(|n| sim.admit(0, sonnet(), &prompt(n, 2_000), T0 + Duration::from_millis(n)).is_err())
            .collect::<Vec<_>>()
    };
    let struck = strike();
    let share = struck.iter().filter(|&&struck| struck).count();
    assert!((240..360).contains(&share), "{share} of 2,000");
    assert_eq!(struck, strike());
}

#[test]
fn one_entry_in_a_hundred_dies_early_and_a_new_one_takes_its_place() {
    let accounts = [Account::new("a", "o", "w").limits(0, 0, 0)];
    let mut sim = Provider::new(&accounts, Keeping { early: 0.01, seed: 3, forever: false });
    let late = T0 + Duration::from_secs(299);
    let mut dead = Vec::new();
    for n in 0..5_000 {
        run(&mut sim, 0, &prompt(n, 2_000), T0);
        if run(&mut sim, 0, &prompt(n, 2_000), late).cached_read == 0 {
            dead.push(n);
        }
    }
    assert!((25..85).contains(&dead.len()), "{} of 5,000", dead.len());
    let later = late + Duration::from_secs(1);
    let again = dead.iter().filter(|&&n| run(&mut sim, 0, &prompt(n, 2_000), later).cached_read > 0).count();
    assert!(again > dead.len() * 9 / 10, "{again} of {} were written anew", dead.len());
}

#[test]
fn a_bound_of_all_bills_never_forgets() {
    let accounts = [Account::new("a", "o", "w").limits(0, 0, 0)];
    let mut sim = Provider::new(&accounts, Keeping { forever: true, ..Keeping::default() });
    run(&mut sim, 0, &prompt(1, 2_000), T0);
    assert_eq!(run(&mut sim, 0, &prompt(1, 2_000), T0 + Duration::from_secs(1_000_000)).cached_read, 2_000);
}

#[test]
fn counting_tokens_has_a_limit_of_its_own() {
    let accounts = [Account::new("a", "o", "w").limits(1, 0, 0)];
    let mut sim = Provider::new(&accounts, Keeping::default());
    run(&mut sim, 0, &prompt(1, 2_000), T0);
    assert!(sim.admit(0, sonnet(), &prompt(1, 2_000), T0).is_err(), "one message a minute");
    for _ in 0..2_000 {
        sim.admit_count(0, T0).expect("a count is no message");
    }
    assert!(sim.admit_count(0, T0).is_err());
}

#[test]
fn parallel_requests_on_a_cold_prefix_each_pay_for_writing_it() {
    let mut sim = provider(0);
    let chain = prompt(1, 2_000);
    let looks: Vec<_> = (0..4).map(|_| sim.admit(0, sonnet(), &chain, T0).unwrap()).collect();
    assert!(looks.iter().all(|look| look.usage.write_5m == 2_000));
    let begun = T0 + Duration::from_secs(1);
    sim.first_byte(0, sonnet(), &looks[0], T0, begun);
    assert_eq!(sim.admit(0, sonnet(), &chain, begun).unwrap().usage.cached_read, 2_000);
}
