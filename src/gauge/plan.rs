//! What a fleet of agents is going to do, before anything is sent.
//!
//! Pure: the same shape gives the same plan, so that endpoints are measured with the same work. Gaps and
//! sizes are drawn log-normally, most near the median and some far above it, as those of people and tools
//! are. Between a tool call and its result lie seconds, between a person's turns half a minute.

use std::time::Duration;

use fastrand::Rng;

/// Every so many agents have helpers.
const HELPED: usize = 3;
/// Agents start within this span, once the first of them was answered.
const STARTS: f64 = 20.0;

/// What an agent is told first, its project and its task, in bytes: at least so much that with the opening
/// it is more than any provider's least prefix (4,096 tokens of six bytes).
const FIRST: f64 = 14_000.0;

/// How large a fleet is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shape {
    /// Agents side by side.
    pub agents: usize,
    /// User turns of each.
    pub turns: usize,
    /// Gaps are multiplied by this: 1 is life, 0 is none.
    pub pace: f64,
    /// Where chance comes from.
    pub seed: u64,
}

/// What every agent does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    /// The agents; the first one starts alone.
    pub agents: Vec<Agent>,
}

/// One agent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    /// After the first agent's first answer.
    pub starts: Duration,
    /// Its turns.
    pub turns: Vec<Turn>,
}

/// A user's turn and the tool loop that it sets off.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Turn {
    /// From the last answer to this turn.
    pub gap: Duration,
    /// What the user says, in bytes.
    pub bytes: usize,
    /// Tool rounds; a turn is one request more.
    pub rounds: Vec<Round>,
    /// A sub-agent's turns, done before the turn ends.
    pub helper: Vec<Self>,
}

/// One tool round.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Round {
    /// How long the tool takes.
    pub gap: Duration,
    /// What it finds, in bytes.
    pub bytes: usize,
}

impl Turn {
    /// Requests of the turn, its sub-agent's included. (What the sub-agent found is one more round.)
    #[must_use]
    pub fn requests(&self) -> usize {
        let helper: usize = self.helper.iter().map(Self::requests).sum();
        1 + self.rounds.len() + usize::from(helper > 0) + helper
    }
}

impl Plan {
    /// Draws a plan.
    #[must_use]
    pub fn new(shape: &Shape) -> Self {
        let agents = (0..shape.agents).map(|number| {
            // Of its own, so that a larger fleet begins with the same agents.
            let mut chance = Rng::with_seed(shape.seed.wrapping_add(number as u64));
            let starts = if number == 0 { 0.0 } else { chance.f64() * STARTS };
            let mut turns: Vec<Turn> = (0..shape.turns).map(|_| turn(&mut chance, shape.pace)).collect();
            if let Some(first) = turns.first_mut() {
                first.bytes = whole(log_normal(&mut chance, 17_000.0, 0.3, FIRST, 40_000.0));
            }
            if number % HELPED == 1
                && let Some(turn) = turns.get_mut(shape.turns / 2)
            {
                turn.helper = vec![helper(&mut chance, shape.pace)];
            }
            Agent { starts: scaled(starts, shape.pace), turns }
        });
        Self { agents: agents.collect() }
    }

    /// All requests, when every one is answered.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.agents.iter().flat_map(|agent| &agent.turns).map(Turn::requests).sum()
    }
}

fn turn(chance: &mut Rng, pace: f64) -> Turn {
    let gap = scaled(log_normal(chance, 12.0, 0.6, 3.0, 60.0), pace);
    let bytes = whole(log_normal(chance, 900.0, 0.6, 200.0, 4_000.0));
    let rounds = (0..chance.usize(0..=3)).map(|_| round(chance, pace)).collect();
    Turn { gap, bytes, rounds, helper: Vec::new() }
}

fn helper(chance: &mut Rng, pace: f64) -> Turn {
    let rounds = (0..chance.usize(1..=3)).map(|_| round(chance, pace)).collect();
    Turn { gap: Duration::ZERO, bytes: 600, rounds, helper: Vec::new() }
}

/// A tool takes a second or three and finds some hundred to some thousand tokens.
pub(super) fn round(chance: &mut Rng, pace: f64) -> Round {
    let gap = scaled(log_normal(chance, 1.7, 0.5, 0.5, 10.0), pace);
    Round { gap, bytes: whole(log_normal(chance, 3_000.0, 0.8, 800.0, 14_000.0)) }
}

fn scaled(seconds: f64, pace: f64) -> Duration {
    Duration::try_from_secs_f64(seconds * pace).unwrap_or_default()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped by the caller")]
fn whole(value: f64) -> usize {
    value as usize
}

/// By Box and Muller; `sigma` is of the logarithm.
fn log_normal(chance: &mut Rng, median: f64, sigma: f64, least: f64, most: f64) -> f64 {
    let radius = (-2.0 * (1.0 - chance.f64()).ln()).sqrt();
    let normal = radius * (std::f64::consts::TAU * chance.f64()).cos();
    (median * (sigma * normal).exp()).clamp(least, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { agents: 300, turns: 4, pace: 1.0, seed: 7 };

    #[test]
    fn the_same_seed_gives_the_same_plan_and_a_larger_fleet_begins_with_it() {
        let plan = Plan::new(&SHAPE);
        assert_eq!(plan, Plan::new(&SHAPE));
        assert_ne!(plan, Plan::new(&Shape { seed: 8_000, ..SHAPE }));
        let small = Plan::new(&Shape { agents: 5, ..SHAPE });
        assert_eq!(small.agents[..], plan.agents[..5]);
    }

    #[test]
    fn gaps_and_sizes_are_those_of_life() {
        let plan = Plan::new(&SHAPE);
        let turns: Vec<&Turn> = plan.agents.iter().flat_map(|agent| &agent.turns).collect();
        let mut gaps: Vec<f64> = turns.iter().map(|turn| turn.gap.as_secs_f64()).collect();
        gaps.sort_by(f64::total_cmp);
        let median = gaps[gaps.len() / 2];
        assert!((10.0..14.0).contains(&median) && gaps[0] >= 3.0, "{median}");
        assert!(*gaps.last().expect("some") > 30.0, "some people go for a coffee");
        let rounds: Vec<&Round> = turns.iter().flat_map(|turn| &turn.rounds).collect();
        let mean = rounds.iter().map(|round| round.bytes).sum::<usize>() / rounds.len();
        assert!((3_000..6_000).contains(&mean), "{mean}");
        assert!(rounds.iter().all(|round| round.gap.as_secs_f64() <= 10.0));
        assert!(
            plan.agents.iter().all(|agent| agent.turns[0].bytes >= 14_000 && agent.turns[1].bytes <= 4_000)
        );
        assert_eq!(turns.iter().filter(|turn| !turn.helper.is_empty()).count(), 100);
    }

    #[test]
    fn without_a_pace_nobody_waits() {
        let plan = Plan::new(&Shape { pace: 0.0, ..SHAPE });
        let waits = |turn: &Turn| !turn.gap.is_zero() || turn.rounds.iter().any(|round| !round.gap.is_zero());
        assert!(plan.agents.iter().all(|agent| agent.starts.is_zero() && !agent.turns.iter().any(waits)));
        assert_eq!(plan.requests(), Plan::new(&SHAPE).requests());
    }

    #[test]
    fn no_agents_are_no_requests() {
        assert_eq!(Plan::new(&Shape { agents: 0, ..SHAPE }).requests(), 0);
        assert_eq!(Plan::new(&Shape { turns: 0, ..SHAPE }).requests(), 0);
    }
}
