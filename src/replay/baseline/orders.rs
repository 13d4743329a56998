//! The orders.

use std::{sync::Arc, time::Duration};

use ahash::AHashMap;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Call, Fleet, Order};
use crate::clock::Moment;

/// One after the other.
#[derive(Debug, Default)]
pub(crate) struct RoundRobin {
    next: usize,
}

impl Order for RoundRobin {
    fn order(&mut self, _call: &Call<'_>, fleet: &Fleet, _now: Moment, into: &mut Vec<usize>) {
        let count = fleet.listed.len();
        into.extend((0..count).map(|n| (self.next + n) % count).filter(|&n| fleet.listed[n]));
        self.next = into.first().map_or(0, |first| first + 1);
    }
}

/// The hash of the caller's key or address, by weighted rendezvous.
#[derive(Debug)]
pub(crate) struct HashKey;

impl Order for HashKey {
    fn order(&mut self, call: &Call<'_>, fleet: &Fleet, _now: Moment, into: &mut Vec<usize>) {
        rank(xxh3_64_with_seed(&call.agent.caller.to_le_bytes(), 1), fleet, into);
    }
}

/// The hash of the session, by weighted rendezvous.
#[derive(Debug)]
pub(crate) struct Rendezvous;

impl Order for Rendezvous {
    fn order(&mut self, call: &Call<'_>, fleet: &Fleet, _now: Moment, into: &mut Vec<usize>) {
        rank(xxh3_64_with_seed(call.agent.session.as_bytes(), 2), fleet, into);
    }
}

/// A table of sessions: the next in turn at first, and from then on where it was answered last.
#[derive(Debug, Default)]
pub(crate) struct Sticky {
    homes: AHashMap<Arc<str>, usize>,
    next: RoundRobin,
}

impl Order for Sticky {
    fn order(&mut self, call: &Call<'_>, fleet: &Fleet, now: Moment, into: &mut Vec<usize>) {
        let home = self.homes.get(&call.agent.session).copied().filter(|&home| fleet.listed[home]);
        let Some(home) = home else {
            self.next.order(call, fleet, now, into);
            if let Some(&first) = into.first() {
                self.homes.insert(Arc::clone(&call.agent.session), first);
            }
            return;
        };
        into.push(home);
        let mut rest = Vec::with_capacity(fleet.listed.len());
        rank(xxh3_64_with_seed(call.agent.session.as_bytes(), 3), fleet, &mut rest);
        into.extend(rest.into_iter().filter(|&n| n != home));
    }

    fn settled(&mut self, call: &Call<'_>, account: usize, _now: Moment) {
        self.homes.insert(Arc::clone(&call.agent.session), account);
    }
}

/// LiteLLM's prompt-caching check (1.109): where a prompt with the same marked prefix was answered
/// within five minutes, found by up to 20 blocks back from the last breakpoint; a random account otherwise.
#[derive(Debug)]
pub(crate) struct LiteLlm {
    seed: u64,
    answered: AHashMap<u64, (usize, Moment)>,
}

impl LiteLlm {
    const REMEMBERED: Duration = Duration::from_secs(300);
    const LOOK_BACK: usize = 20;

    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, answered: AHashMap::new() }
    }
}

impl Order for LiteLlm {
    fn order(&mut self, call: &Call<'_>, fleet: &Fleet, now: Moment, into: &mut Vec<usize>) {
        let points = call.agent.prompt(call.turn);
        let last = call.turn.marks.last().copied();
        let known = last.and_then(|last| {
            (0..=last).rev().take(Self::LOOK_BACK).find_map(|n| {
                let (account, until) = *self.answered.get(&points.get(n)?.hash)?;
                (until > now && fleet.listed[account] && fleet.is_open(account, now)).then_some(account)
            })
        });
        into.extend(known);
        let mut luck = self.seed;
        for part in [call.id, call.number, call.denied as usize] {
            luck = xxh3_64_with_seed(&part.to_le_bytes(), luck);
        }
        let mut rest: Vec<(u64, usize)> = (0..fleet.listed.len())
            .filter(|&n| fleet.listed[n] && Some(n) != known)
            .map(|n| (xxh3_64_with_seed(&n.to_le_bytes(), luck), n))
            .collect();
        rest.sort_unstable();
        into.extend(rest.into_iter().map(|(_, n)| n));
    }

    fn settled(&mut self, call: &Call<'_>, account: usize, now: Moment) {
        let points = call.agent.prompt(call.turn);
        if let Some(point) = call.turn.marks.last().and_then(|&last| points.get(last)) {
            self.answered.insert(point.hash, (account, now + Self::REMEMBERED));
        }
    }
}

/// All listed accounts by weighted rendezvous hashing: `-weight / ln(u)`.
#[expect(clippy::cast_precision_loss, reason = "53 random bits are plenty")]
fn rank(key: u64, fleet: &Fleet, into: &mut Vec<usize>) {
    let mut ranked: Vec<(f64, usize)> = (0..fleet.listed.len())
        .filter(|&n| fleet.listed[n])
        .map(|n| {
            let bits = xxh3_64_with_seed(&n.to_le_bytes(), key) >> 11;
            let u = (bits as f64 + 0.5) / (1_u64 << 53) as f64;
            (-(fleet.weights[n].max(1) as f64) / u.ln(), n)
        })
        .collect();
    ranked.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    into.extend(ranked.into_iter().map(|(_, n)| n));
}
