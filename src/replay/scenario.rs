//! The scenarios of the study (routing, sections 1 and 4): who works, on which accounts, and what
//! goes wrong meanwhile.

use std::time::Duration;

use super::{
    agents::{Habits, Spread, generate},
    trace::Trace,
};
use crate::sim::{Account, Model};

/// One scenario.
#[derive(Debug)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    habits: fn() -> Habits,
    conditions: fn() -> Conditions,
}

/// What the agents meet.
#[derive(Clone, Debug, Default)]
pub struct Conditions {
    /// The accounts, each an organisation of its own.
    pub accounts: Vec<Account>,
    /// Accounts that cannot be reached for a while.
    pub outages: Vec<Outage>,
    /// An account that the operator takes out, and when.
    pub removed: Option<(usize, Duration)>,
    /// An account that the operator adds, and when.
    pub added: Option<(usize, Duration)>,
    /// The share of requests that meet an overloaded provider.
    pub overloaded: f64,
    /// Others' load on each organisation, as a share of its limit.
    pub foreign: f64,
    /// The share of cache entries that die early.
    pub early: f64,
    /// Gateways side by side; policies other than our own are one all the same.
    pub replicas: usize,
    /// When one of them is restarted.
    pub restart: Option<Duration>,
    /// Tokens that one token here stands for; see [`Small`](super::Small). 0 is 1.
    pub grain: u64,
}

/// A time in which an account cannot be reached.
#[derive(Clone, Copy, Debug)]
pub struct Outage {
    /// Which.
    pub account: usize,
    /// From when.
    pub from: Duration,
    /// For how long.
    pub lasts: Duration,
}

impl Scenario {
    /// What its agents do.
    #[must_use]
    pub fn trace(&self, model: &'static Model, seed: u64) -> Trace {
        generate(&(self.habits)(), model, seed)
    }

    /// What they meet.
    #[must_use]
    pub fn conditions(&self) -> Conditions {
        (self.conditions)()
    }
}

/// Finds a scenario by its name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Scenario> {
    ALL.iter().find(|scenario| scenario.name == name)
}

/// Anthropic's first tier.
const START: u64 = 2_000_000;

/// So many accounts of one tier.
pub(super) fn accounts(count: usize, itpm: u64) -> Vec<Account> {
    (0..count).map(|n| account(n, itpm)).collect()
}

fn account(n: usize, itpm: u64) -> Account {
    let organization = format!("org-{n:02}");
    Account::new(&format!("key-{n:02}"), &organization, &organization).limits(1_000, itpm, 400_000)
}

fn on(accounts: Vec<Account>) -> Conditions {
    Conditions { accounts, early: 0.01, replicas: 1, ..Conditions::default() }
}

fn team50() -> Habits {
    Habits { agents: 50, turns: 39, callers: 5, ..Habits::default() }
}

fn tight100() -> Habits {
    Habits { agents: 100, turns: 40, callers: 10, start_over: Duration::from_secs(900), ..Habits::default() }
}

/// A prompt that is larger than a limit is never let in once it is cold: contexts stay below.
fn overload100() -> Habits {
    Habits { most: 118_000, ..tight100() }
}

fn tight(itpm: u64) -> Conditions {
    on(accounts(6, itpm))
}

fn outage() -> Conditions {
    let minutes = |n: u64| Duration::from_secs(n * 60);
    let short = Duration::from_secs(30);
    Conditions {
        outages: vec![
            Outage { account: 1, from: minutes(10), lasts: minutes(10) },
            Outage { account: 2, from: minutes(14), lasts: short },
            Outage { account: 3, from: minutes(25), lasts: short },
        ],
        removed: Some((4, minutes(18))),
        added: Some((8, minutes(22))),
        ..on(accounts(9, START))
    }
}

/// Four unequal tiers.
fn tiers() -> Conditions {
    const TIERS: [u64; 4] = [START, 1_000_000, 5_000_000, 10_000_000];
    on((0..50).map(|n| account(n, TIERS[n % TIERS.len()])).collect())
}

/// 50 sessions of about 100k, 20 turns each, nothing shared, a tenth of the gaps above five minutes.
fn article_50() -> Habits {
    Habits {
        agents: 50,
        turns: 20,
        even: true,
        start_over: Duration::from_secs(600),
        callers: 50,
        shared: 0,
        opening: Spread::new(94_000.0, 125_000.0),
        tool_gap: Spread::new(15.0, 60.0),
        human: 0.10,
        human_gap: Spread::new(350.0, 900.0),
        spawning: 0.0,
        results: Spread::new(700.0, 2_500.0),
        most: u64::MAX / 2,
        reading: 2.0,
        output: Spread::new(500.0, 2_500.0),
        ..Habits::default()
    }
}

/// Five developers, eight hours, 20 sessions of 20 turns of about 40k, mostly at human pace.
fn article_5dev() -> Habits {
    Habits {
        agents: 20,
        turns: 20,
        even: true,
        start_over: Duration::from_secs(6 * 3_600),
        callers: 5,
        opening: Spread::new(4_000.0, 10_000.0),
        human: 0.60,
        human_gap: Spread::new(400.0, 1_800.0),
        spawning: 0.0,
        results: Spread::new(1_000.0, 4_200.0),
        reading: 2.0,
        output: Spread::new(500.0, 2_500.0),
        ..Habits::default()
    }
}

/// Every scenario, in the order of the study.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "solo5",
        about: "5 agents, 2 accounts",
        habits: || Habits { agents: 5, turns: 66, callers: 2, ..Habits::default() },
        conditions: || on(accounts(2, START)),
    },
    Scenario {
        name: "team50",
        about: "50 agents, 8 accounts of the first tier",
        habits: team50,
        conditions: || on(accounts(8, START)),
    },
    Scenario {
        name: "burst200",
        about: "200 agents that start within 20 s, 10 accounts",
        habits: || Habits {
            agents: 200,
            turns: 15,
            callers: 20,
            start_over: Duration::from_secs(20),
            ..Habits::default()
        },
        conditions: || on(accounts(10, START)),
    },
    Scenario {
        name: "outage",
        about: "60 agents, 8 accounts; outages of 10 min, 30 s and 30 s, one account removed, one added",
        habits: || Habits { agents: 60, turns: 49, callers: 6, ..Habits::default() },
        conditions: outage,
    },
    Scenario {
        name: "fleet500",
        about: "500 agents, 50 accounts of four unequal tiers",
        habits: || Habits { agents: 500, turns: 21, callers: 50, ..Habits::default() },
        conditions: tiers,
    },
    Scenario {
        name: "fleet200tight",
        about: "200 agents, 12 accounts of 170k input tokens a minute",
        habits: || Habits {
            agents: 200,
            turns: 25,
            callers: 20,
            start_over: Duration::from_secs(900),
            ..Habits::default()
        },
        conditions: || on(accounts(12, 170_000)),
    },
    Scenario {
        name: "tight100",
        about: "100 agents, 6 accounts of 170k: 85 % utilised at its peak with perfect caching",
        habits: tight100,
        conditions: || tight(170_000),
    },
    Scenario {
        name: "overload100",
        about: "the same with 125k: more demand than supply at first",
        habits: overload100,
        conditions: || tight(125_000),
    },
    Scenario {
        name: "529-2",
        about: "team50, 2 % of requests meet an overloaded provider",
        habits: team50,
        conditions: || Conditions { overloaded: 0.02, ..on(accounts(8, START)) },
    },
    Scenario {
        name: "529-5",
        about: "team50, 5 % of requests meet an overloaded provider",
        habits: team50,
        conditions: || Conditions { overloaded: 0.05, ..on(accounts(8, START)) },
    },
    Scenario {
        name: "529-15",
        about: "team50, 15 % of requests meet an overloaded provider",
        habits: team50,
        conditions: || Conditions { overloaded: 0.15, ..on(accounts(8, START)) },
    },
    Scenario {
        name: "foreign15",
        about: "tight100, with others' load of 15 % of each limit that no header foretells",
        habits: tight100,
        conditions: || Conditions { foreign: 0.15, ..tight(170_000) },
    },
    Scenario {
        name: "replicas4",
        about: "tight100 through four gateways: 85 % of sessions hashed to one, 15 % sprayed",
        habits: tight100,
        conditions: || Conditions {
            replicas: 4,
            restart: Some(Duration::from_secs(1_500)),
            ..tight(170_000)
        },
    },
    Scenario {
        name: "article-50",
        about: "50 sessions of 20 turns around 100k tokens, 20 accounts, nothing shared",
        habits: article_50,
        conditions: || on(accounts(20, START)),
    },
    Scenario {
        name: "article-5dev",
        about: "5 developers, 20 sessions of 20 turns around 40k tokens over a day, 3 accounts",
        habits: article_5dev,
        conditions: || on(accounts(3, START)),
    },
];
