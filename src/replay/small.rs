//! A scenario made small, so that it can be run over sockets; and a gateway's settings to go with it.
//!
//! The beginning of a scenario, with coarser tokens: each stands for several. Limits are so many times
//! lower, and providers so many times slower by token, that everything takes as long as it did; only
//! money is so many times less. Prompts keep the shape that decides about hits: blocks, breakpoints,
//! pauses.
//!
//! The trap: minima do not shrink. What a model caches at least (1,024 tokens), and what a provider rounds
//! its headers to (a thousand), weigh so many times more. [`Policy::run`](super::Policy::run) meets them
//! as well, so a small scenario is to be held against a small replay and not against the large one.

use std::time::Duration;

use super::{
    engine::usual_time,
    scenario::{Conditions, Scenario},
    trace::Trace,
};
use crate::{routing::CostParams, sim::Model, upstream::Cooling};

/// How small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Small {
    /// Tokens that one token stands for. No prefix that matters may come to lie below what a model caches.
    pub grain: u64,
    /// Of each agent the turns that would begin within this time, if nobody were ever kept waiting. All
    /// agents begin in the first three quarters of it.
    pub within: Duration,
}

impl Scenario {
    /// The same agents and the same accounts, made small.
    #[must_use]
    pub fn small(&self, small: Small, model: &'static Model, seed: u64) -> (Trace, Conditions) {
        let grain = small.grain.max(1);
        let mut trace = self.trace(model, seed);
        trace.gather(small.within * 3 / 4);
        trace.cut(small.within, &|turn| usual_time(turn.output));
        trace.coarsen(grain);
        let mut conditions = Conditions { grain, ..self.conditions() };
        for account in &mut conditions.accounts {
            account.itpm /= grain;
            account.otpm /= grain;
        }
        (trace, conditions)
    }
}

/// A gateway's settings for a world whose tokens are coarser and whose time runs faster, as TOML.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Knobs {
    /// `[routing]`: what weighs against money, which is `grain` times less, and seconds, which are
    /// `faster` times dearer.
    pub routing: String,
    /// `[provider.cache]` and so on: lives, windows and pauses, all `faster` times shorter.
    pub provider: String,
}

impl Knobs {
    /// For tokens that stand for `grain` of them, and time that runs `faster` than real time.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    pub fn of(grain: u64, faster: f64) -> Self {
        let CostParams { wait_max, weights } = CostParams::default();
        let money = |dollars: f64| dollars / grain.max(1) as f64;
        let span = |span: Duration| format!("\"{}ms\"", span.div_f64(faster).as_millis().max(1));
        let cooling = Cooling::default();
        let seconds = Duration::from_secs;
        let routing = format!(
            "[routing]\nwait_max = {}\ndelay_usd_per_hour = {}\ncrowding_usd = {}\nshare_usd = {}\n\
             thinking_usd = {}\nrefusal_usd = {}\n",
            span(wait_max),
            money(weights.delay * 3_600.0 * faster),
            money(weights.crowding),
            money(weights.share),
            money(weights.thinking),
            money(weights.refusal),
        );
        let provider = format!(
            "[provider.cache]\nshort = {}\nlong = {}\n[provider.limits]\nwindow = {}\n\
             [provider.cooling]\ndefault_429 = {}\nbase = {}\nmax = {}\npace = {}\nstay_delay = {}\nstay_max = {}\n",
            span(seconds(300)),
            span(seconds(3_600)),
            span(seconds(60)),
            span(cooling.default_429),
            span(cooling.base),
            span(cooling.max),
            span(cooling.pace),
            span(cooling.stay_delay),
            span(cooling.stay_max),
        );
        Self { routing, provider }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Outcome, Policy, find};

    const SMALL: Small = Small { grain: 10, within: Duration::from_secs(150) };

    #[test]
    fn what_is_small_costs_less_and_behaves_the_same() {
        let model = crate::sim::model("claude-sonnet-4-6").unwrap();
        let tight = find("tight100").unwrap();
        let coarse = tight.small(SMALL, model, 1);
        let fine = tight.small(Small { grain: 1, ..SMALL }, model, 1);
        assert_eq!(coarse.0.requests(), fine.0.requests());
        let (small, whole) = (coarse.0.requests(), tight.trace(model, 1).requests());
        assert!(small > 400 && small < whole / 5, "{small} of {whole}");
        for policy in [Policy::Warmkey, Policy::Oracle5m, Policy::Rendezvous] {
            let run = |(trace, conditions): &(Trace, Conditions)| -> Outcome {
                policy.run(trace, conditions, 1, &|| {})
            };
            let (coarse, fine) = (run(&coarse), run(&fine));
            assert!(!coarse.unfinished && coarse.requests() == fine.requests());
            let ratio = coarse.cost.as_usd() * 10.0 / fine.cost.as_usd();
            assert!((0.9..1.1).contains(&ratio), "{}: {ratio}", policy.label());
            let apart = (coarse.hit_rate() - fine.hit_rate()).abs();
            assert!(apart < 0.02, "{}: {apart}", policy.label());
        }
    }

    #[test]
    fn nobody_waits_for_sub_agents_that_were_left_away() {
        let model = crate::sim::model("claude-sonnet-4-6").unwrap();
        let (trace, conditions) = find("team50").unwrap().small(SMALL, model, 3);
        let outcome = Policy::Oracle5m.run(&trace, &conditions, 3, &|| {});
        assert!(!outcome.unfinished);
        assert_eq!(outcome.requests(), trace.requests());
        // An answer takes a moment more than the cut supposes, and the last one goes on.
        assert!(outcome.ended > SMALL.within / 2);
    }

    #[test]
    fn the_settings_are_settings() {
        struct Nothing;
        impl crate::config::Host for Nothing {
            fn var(&self, _: &str) -> Option<String> {
                None
            }
            fn memory(&self) -> u64 {
                8 << 30
            }
        }
        let knobs = Knobs::of(10, 20.0);
        let text = format!(
            "{}[[provider]]\nname = \"anthropic\"\ndialect = \"anthropic\"\ncredentials = \"caller\"\n{}\
             [[endpoint]]\nname = \"one\"\nprovider = \"anthropic\"\n\
             [[model]]\nname = \"claude-*\"\nprovider = \"anthropic\"\n",
            knobs.routing, knobs.provider
        );
        let config = crate::config::parse(&text, std::path::Path::new("w.toml"), &Nothing).unwrap();
        assert_eq!(config.routing.wait_max, Duration::from_millis(500));
        // A tenth of the money for twenty times the time.
        assert!((config.routing.weights.delay - 0.008).abs() < 1e-9);
        assert_eq!(config.providers[0].cache.short, Duration::from_secs(15));
        assert_eq!(config.providers[0].limits.window, Duration::from_secs(3));
    }
}
