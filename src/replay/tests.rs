//! The model itself: whether the usual policies look here as they looked in the study (routing,
//! section 2), because else no figure of ours means anything.

use super::*;
use crate::sim;

fn model() -> &'static sim::Model {
    sim::model("claude-sonnet-4-6").expect("a model")
}

pub(super) fn run(name: &str, seed: u64, policies: &[Policy]) -> Comparison {
    let scenario = find(name).expect("a scenario");
    compare(name, (&scenario.trace(model(), seed), &scenario.conditions()), seed, policies, &|| ())
}

pub(super) fn row(compared: &Comparison, policy: Policy) -> &Row {
    compared.rows.iter().find(|row| row.policy == policy).expect("it was run")
}

fn ratio(compared: &Comparison, policy: Policy) -> f64 {
    row(compared, policy).cost_ratio
}

#[test]
fn while_limits_are_loose_any_pin_is_good_and_round_robin_is_dear() {
    let team = run("team50", 1, &Policy::ALL);
    assert_eq!(team.invalid, [""; 0]);
    assert!((3.3..4.2).contains(&ratio(&team, Policy::RoundRobin)));
    for (policy, at_most) in
        [(Policy::Rendezvous, 1.06), (Policy::Sticky, 1.06), (Policy::HashKey, 1.04), (Policy::LiteLlm, 1.11)]
    {
        let ratio = ratio(&team, policy);
        assert!((1.0..at_most).contains(&ratio), "{policy:?}: {ratio}");
    }
    assert!(ratio(&team, Policy::LiteLlm) > ratio(&team, Policy::Rendezvous));
    assert!((0.85..0.93).contains(&ratio(&team, Policy::Compulsory)));
    assert!((0.92..0.95).contains(&row(&team, Policy::Oracle5m).outcome.hit_rate()));
    // One account holds fifty agents; it is the oracle but for its limits.
    assert!((0.999..1.001).contains(&ratio(&team, Policy::Single)));
    assert!(team.rows.iter().all(|row| row.outcome.client_429 == 0));
    // Nothing is lost and nothing is made up.
    assert!(team.rows.iter().all(|row| row.outcome.requests() == team.rows[0].outcome.requests()));
    let tokens = team.rows[0].outcome.usage.total_input();
    assert!(team.rows.iter().all(|row| row.outcome.usage.total_input() == tokens));
}

#[test]
fn near_the_limits_pinning_with_fail_over_collapses_and_waiting_repairs_it() {
    let tight = run("tight100", 2, &[Policy::Rendezvous, Policy::RendezvousWait]);
    assert_eq!(tight.invalid, [""; 0]);
    // With perfect caching the limits would hold, but just so.
    let supply = f64::from(6 * 170_000);
    let peak = row(&tight, Policy::Oracle5m).outcome.peak() as f64 / supply;
    assert!((0.75..1.0).contains(&peak), "{peak}");
    let collapsed = row(&tight, Policy::Rendezvous);
    assert!(collapsed.cost_ratio >= 2.0 && collapsed.outcome.client_429 > 10_000, "{}", collapsed.cost_ratio);
    assert!(collapsed.outcome.wait(0.99) > 100.0);
    let waiting = row(&tight, Policy::RendezvousWait);
    assert!(waiting.cost_ratio < 1.1 && waiting.outcome.client_429 < 500, "{}", waiting.cost_ratio);
}

#[test]
fn under_overload_waiting_alone_is_not_enough() {
    let over = run("overload100", 1, &[Policy::RendezvousWait]);
    assert!(ratio(&over, Policy::RendezvousWait) > 1.05);
}

#[test]
fn failing_over_from_an_overloaded_provider_costs_and_staying_does_not() {
    let five = run("529-5", 1, &[Policy::Rendezvous, Policy::LiteLlm, Policy::Single]);
    assert!((1.1..1.6).contains(&ratio(&five, Policy::Rendezvous)), "{}", ratio(&five, Policy::Rendezvous));
    assert!(ratio(&five, Policy::LiteLlm) > ratio(&five, Policy::Rendezvous));
    assert!(ratio(&five, Policy::Single) < 1.01);
}

#[test]
fn the_published_workloads_are_near_what_was_published() {
    let article = run("article-50", 1, &[Policy::RoundRobin, Policy::Rendezvous, Policy::LiteLlm]);
    let oracle = row(&article, Policy::Oracle5m);
    assert!((0.865..0.89).contains(&oracle.outcome.hit_rate()), "{}", oracle.outcome.hit_rate());
    assert!((77.0..87.0).contains(&oracle.outcome.cost.as_usd()), "{}", oracle.outcome.cost);
    assert!((0.999..1.001).contains(&ratio(&article, Policy::Rendezvous)));
    let scattered = row(&article, Policy::RoundRobin).outcome.hit_rate();
    assert!((0.10..0.20).contains(&scattered), "{scattered}");

    let team = run("article-5dev", 1, &[Policy::RoundRobin, Policy::LiteLlm]);
    let oracle = row(&team, Policy::Oracle5m).outcome.hit_rate();
    assert!((0.70..0.75).contains(&oracle), "{oracle}");
    let scattered = row(&team, Policy::RoundRobin).outcome.hit_rate();
    assert!((0.36..0.46).contains(&scattered), "{scattered}");
}

#[test]
fn the_same_seed_is_the_same_run_and_another_is_another() {
    let figures = |seed| {
        let compared = run("solo5", seed, &Policy::ALL);
        compared.rows.iter().map(|row| (row.outcome.cost, row.outcome.ended)).collect::<Vec<_>>()
    };
    assert_eq!(figures(7), figures(7));
    assert_ne!(figures(7), figures(8));
}

#[test]
fn a_trace_does_not_depend_on_the_policy_and_keeps_its_description() {
    let trace = find("team50").expect("a scenario").trace(model(), 3);
    let turns = || trace.agents.iter().flat_map(|agent| &agent.turns);
    assert!(turns().all(|turn| (1..=4).contains(&turn.marks.len())));
    let mains = || trace.agents.iter().filter(|agent| agent.parent.is_none());
    assert_eq!(mains().count(), 50);
    let main_turns = mains().map(|agent| agent.turns.len()).sum::<usize>();
    let share = |count: usize| count as f64 / main_turns as f64;
    let spawning = mains().flat_map(|agent| &agent.turns).filter(|turn| !turn.spawns.is_empty()).count();
    assert!((0.04..0.08).contains(&share(spawning)), "{spawning} of {main_turns}");
    let slow =
        mains().flat_map(|agent| &agent.turns).filter(|turn| turn.gap > std::time::Duration::from_secs(300));
    assert!((0.01..0.03).contains(&share(slow.count())));
    let largest = |agent: &Agent| {
        agent.turns.iter().map(|turn| agent.prompt(turn).last().map_or(0, |p| p.tokens)).max()
    };
    assert!(mains().filter_map(largest).all(|tokens| (20_000..=165_000).contains(&tokens)));
    assert!(mains().any(|agent| agent.contexts.len() > 1), "somebody's context was compacted");
    for agent in trace.agents.iter().filter(|agent| agent.parent.is_some()) {
        assert!((4..=14).contains(&agent.turns.len()));
    }
    let shared = |agent: &Agent| agent.prompt(&agent.turns[0])[8];
    assert!(mains().all(|agent| shared(agent) == shared(&trace.agents[0])), "one prefix for all");
    assert_eq!(shared(&trace.agents[0]).tokens, 18_000);
}

#[test]
fn our_own_policy_is_within_its_goals_where_limits_are_loose() {
    let team = run("team50", 1, &[Policy::Warmkey]);
    assert!(ratio(&team, Policy::Warmkey) <= 1.01, "{}", ratio(&team, Policy::Warmkey));
    assert_eq!(row(&team, Policy::Warmkey).outcome.client_429, 0);
}

#[test]
fn accounts_come_and_go_and_fail_without_losing_anybody() {
    let outage = run("outage", 2, &[Policy::Warmkey, Policy::Rendezvous, Policy::RoundRobin]);
    assert_eq!(outage.invalid, [""; 0], "all came to their end");
    let requests: Vec<usize> = outage.rows.iter().map(|row| row.outcome.requests()).collect();
    assert!(requests.iter().all(|count| *count == requests[0]));
    assert!(row(&outage, Policy::Rendezvous).cost_ratio < 1.12);
}

#[test]
fn a_model_outside_its_bands_is_called_invalid() {
    let mut compared = run("team50", 1, &[Policy::RoundRobin]);
    assert_eq!(compared.invalid, [""; 0]);
    // The same agents under another scenario's name and accounts: one account is no round-robin.
    let scenario = find("team50").expect("a scenario");
    let conditions =
        Conditions { accounts: scenario.conditions().accounts[..1].to_vec(), ..scenario.conditions() };
    let trace = scenario.trace(model(), 1);
    compared = compare("team50", (&trace, &conditions), 1, &[Policy::RoundRobin], &|| ());
    assert!(compared.invalid[0].starts_with("round-robin: cost ratio 1.0"), "{:?}", compared.invalid);
}
