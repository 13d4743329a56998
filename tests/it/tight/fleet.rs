//! Keys in the order of the usual policies, with the usual fail-over; as in replay's baselines.

use std::time::{Duration, Instant};

use xxhash_rust::xxh3::xxh3_64_with_seed;

pub enum Order {
    /// By the hash of the session.
    Rendezvous,
    /// One after the other.
    RoundRobin(usize),
}

pub struct Fleet {
    order: Order,
    keys: Vec<String>,
    cool_until: Vec<Option<Instant>>,
}

impl Fleet {
    pub fn new(order: Order, keys: Vec<String>) -> Self {
        Self { order, cool_until: vec![None; keys.len()], keys }
    }

    /// All keys, the best first.
    pub fn order(&mut self, session: &str) -> Vec<usize> {
        let count = self.keys.len();
        match &mut self.order {
            Order::RoundRobin(next) => {
                let first = *next;
                *next = (first + 1) % count;
                (0..count).map(|n| (first + n) % count).collect()
            }
            Order::Rendezvous => {
                // Replay's own hash, so that the same sessions share a key. All limits are equal.
                let seed = xxh3_64_with_seed(session.as_bytes(), 2);
                let mut ranked: Vec<usize> = (0..count).collect();
                ranked.sort_by_key(|n| std::cmp::Reverse(xxh3_64_with_seed(&n.to_le_bytes(), seed) >> 11));
                ranked
            }
        }
    }

    /// The first that does not cool and was not tried; or when the first of all reopens.
    pub fn open(&self, order: &[usize], tried: &[usize], now: Instant) -> Result<(usize, String), Duration> {
        let cools = |n: usize| {
            self.cool_until[n].map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
        };
        let open = order.iter().find(|n| cools(**n).is_zero() && !tried.contains(n));
        match open {
            Some(&n) => Ok((n, self.keys[n].clone())),
            None => Err((0..self.keys.len()).map(cools).min().unwrap_or_default()),
        }
    }

    pub fn cool(&mut self, at: usize, until: Instant) {
        self.cool_until[at] = self.cool_until[at].max(Some(until));
    }
}
