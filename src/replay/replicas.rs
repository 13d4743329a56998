//! Several gateways side by side, as a load balancer before them would use them.
//!
//! Most sessions are hashed to one gateway by their header; the others' requests are sprayed over all.
//! Gateways share nothing but what each knows of the accounts' limits, told every second and a second
//! old when it is heard. One of them is restarted in mid-run and has its state file to go by.

use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{
    chooser::{Answer, Call, Chooser, Headers, Woken},
    gateway::{Gateway, Told},
};
use crate::{clock::Moment, sim::Refused, types::Usage};

/// Of a hundred sessions, so many are not hashed.
const SPRAYED: u64 = 15;
/// How often facts are told, and how old they are when they are heard.
const EVERY: Duration = Duration::from_secs(1);
/// Which gateway is restarted.
const RESTARTED: usize = 1;

/// Gateways side by side.
pub(super) struct Replicas {
    gateways: Vec<Gateway>,
    /// Where each agent's request is.
    of: Vec<usize>,
    /// What each gateway said last, to be heard later.
    told: Vec<Told>,
    told_at: Moment,
    /// When one of them is restarted, once it is known when the run began.
    restart: Option<Restart>,
    seed: u64,
}

enum Restart {
    After(Duration),
    At(Moment),
}

impl Replicas {
    pub(super) fn new(
        gateways: Vec<Gateway>,
        agents: usize,
        restart_after: Option<Duration>,
        seed: u64,
    ) -> Self {
        let restart = restart_after.map(Restart::After);
        Self { gateways, of: vec![0; agents], told: Vec::new(), told_at: Moment::ZERO, restart, seed }
    }

    fn at(&mut self, call: &Call<'_>) -> &mut Gateway {
        &mut self.gateways[self.of[call.id]]
    }

    /// Which gateway the load balancer hands a request to.
    fn balance(&self, call: &Call<'_>) -> usize {
        let session = xxh3_64_with_seed(call.agent.session.as_bytes(), self.seed);
        let hash = if session % 100 < SPRAYED {
            let request = (call.id as u64) << 32 | call.number as u64;
            xxh3_64_with_seed(&request.to_le_bytes(), self.seed)
        } else {
            session / 100
        };
        let count = self.gateways.len() as u64;
        usize::try_from(hash % count).unwrap_or(0)
    }

    fn upkeep(&mut self, now: Moment) {
        match self.restart {
            Some(Restart::After(span)) => self.restart = Some(Restart::At(now + span)),
            Some(Restart::At(at)) if now >= at => {
                self.restart = None;
                if let Some(gateway) = self.gateways.get_mut(RESTARTED) {
                    gateway.restart(now);
                }
            }
            Some(Restart::At(_)) | None => {}
        }
        if now < self.told_at + EVERY {
            return;
        }
        let age = self.told_at.until(now);
        for (from, told) in self.told.iter().enumerate() {
            for (to, gateway) in self.gateways.iter().enumerate() {
                if from != to {
                    gateway.hear(told, age, now);
                }
            }
        }
        self.told = self.gateways.iter().map(|gateway| gateway.tell(now)).collect();
        self.told_at = now;
    }
}

impl Chooser for Replicas {
    fn arrived(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        self.upkeep(now);
        self.of[call.id] = self.balance(call);
        self.at(call).arrived(call, now)
    }

    fn again(&mut self, call: &Call<'_>, now: Moment) -> Answer {
        self.upkeep(now);
        self.at(call).again(call, now)
    }

    fn refused(
        &mut self,
        call: &Call<'_>,
        account: usize,
        why: Refused,
        headers: Headers<'_>,
        now: Moment,
    ) -> Answer {
        self.at(call).refused(call, account, why, headers, now)
    }

    fn answered(&mut self, call: &Call<'_>, account: usize, headers: Headers<'_>, now: Moment) {
        self.at(call).answered(call, account, headers, now);
    }

    fn finished(&mut self, call: &Call<'_>, account: usize, usage: &Usage, now: Moment) {
        self.at(call).finished(call, account, usage, now);
    }

    fn listed(&mut self, accounts: &[bool], now: Moment) {
        self.upkeep(now);
        for gateway in &mut self.gateways {
            gateway.listed(accounts, now);
        }
    }

    fn woken(&mut self) -> Woken {
        self.gateways.iter_mut().flat_map(Gateway::woken).collect()
    }
}
