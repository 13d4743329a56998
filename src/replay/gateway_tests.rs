use super::*;
use crate::{
    replay::{
        self,
        agents::{Habits, generate},
        engine::{self, World},
    },
    routing::Saved,
};

/// team50's agents, shorter: what a gateway says it saved, what the run cost, and what round-robin's cost.
fn run(agents: usize, seed: u64) -> (Saved, f64, f64) {
    let model = crate::sim::model("claude-sonnet-4-6").unwrap();
    let conditions = replay::find("team50").unwrap().conditions();
    let habits = Habits { agents, turns: 20, callers: 5, ..Habits::default() };
    let trace = generate(&habits, model, seed);
    let listed = vec![true; conditions.accounts.len()];
    let mut gateway = Gateway::new(&conditions, &listed, model.id(), trace.agents.len(), seed).unwrap();
    let world = World { trace: &trace, conditions: &conditions, seed, ideal: false, tell: &|| {} };
    let ours = engine::run(world, &mut gateway).cost.as_usd();
    let round_robin = replay::Policy::RoundRobin.run(&trace, &conditions, seed, &|| {}).cost.as_usd();
    (gateway.policy.memory().savings.so_far(), ours, round_robin)
}

#[test]
fn the_savings_that_are_shown_are_those_of_a_real_round_robin_run() {
    // An eighth of two hundred agents speaks for all within a tenth (a large fleet's within less); what
    // must not be is that it leans to one side.
    let mut off = Vec::new();
    for seed in 1..=8 {
        let (said, ours, round_robin) = run(200, seed);
        assert!((said.spent / ours - 1.0).abs() < 0.001, "{} and not {ours} were spent", said.spent);
        off.push(said.saved() / (round_robin - ours) - 1.0);
    }
    assert!(off.iter().all(|off: &f64| off.abs() < 0.1), "{off:?}");
    let mean = off.iter().sum::<f64>() / 8.0;
    assert!(mean.abs() < 0.05, "{mean}: {off:?}");
}
