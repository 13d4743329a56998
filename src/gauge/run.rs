//! A whole run against one endpoint: the check, the probe, the fleet.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use super::{
    Observation,
    agent::{Common, Conversation, Went},
    cap::{Cap, Tariff},
    dialog::{Dialog, Manner, Opening},
    plan::Plan,
    talk::{Line, Target},
};
use crate::{
    clock,
    types::{Dialect, NanoUsd},
};

/// Observations that wait to be noted; agents wait when there are more.
const WAITING: usize = 1_024;
/// Tokens that the check and the probe ask for. OpenAI's Responses refuse less.
const FEW: u32 = 16;

/// So many failures in a row, or one for each agent, are the endpoint's end.
const IN_VAIN: usize = 30;

/// How agents speak, and what is sent before them.
#[derive(Clone, PartialEq, Debug)]
pub struct Conduct {
    /// The dialect.
    pub dialect: Dialect,
    /// The model that is asked for.
    pub model: String,
    /// The most output tokens of each answer.
    pub max_tokens: u32,
    /// Sessions are named, as real clients name them.
    pub ids: bool,
    /// How often the same prompt is sent before the fleet.
    pub probes: u32,
    /// A request that takes longer is given up.
    pub timeout: Duration,
}

/// One thing seen.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Seen<'o> {
    /// Of the identical-prompt probe.
    Probe(&'o Observation),
    /// Of the fleet.
    Fleet(&'o Observation),
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// Everything planned was sent.
    Done,
    /// The next request could have gone over the cap.
    Spent,
    /// Somebody asked for the end.
    Interrupted,
    /// Too many requests in a row came to nothing.
    Failing,
}

/// What the plan comes to, before anything is sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Estimate {
    /// Requests of check, probe and fleet, each answered at once.
    pub requests: u64,
    /// Their prompts' tokens, at four bytes each.
    pub input: u64,
    /// What they cost when nothing is ever cached and every answer is as long as it may be.
    pub most: NanoUsd,
}

/// Reckons what a run will send.
#[must_use]
pub fn estimate(plan: &Plan, conduct: &Conduct, tariff: &Tariff) -> Estimate {
    let mut sum = Estimate { requests: 0, input: 0, most: NanoUsd::default() };
    let mut add = |bytes: usize, output: u32| {
        let input = bytes as u64 / 4;
        sum.requests += 1;
        sum.input += input;
        sum.most += tariff.most(input, output.into());
    };
    // With JSON around them.
    let base = |opening: Opening| opening.bytes() + 500;
    add(300, FEW);
    (0..conduct.probes).for_each(|_| add(base(Opening::Probe), FEW));
    let reply = usize::try_from(conduct.max_tokens).unwrap_or(usize::MAX >> 8) * 4 + 100;
    for agent in &plan.agents {
        let mut bytes = base(Opening::Agent);
        for turn in &agent.turns {
            let steps = std::iter::once(turn.bytes).chain(turn.rounds.iter().map(|round| round.bytes));
            for step in steps.chain((!turn.helper.is_empty()).then_some(1_500)) {
                bytes += step + 100;
                add(bytes, conduct.max_tokens);
                bytes += reply;
            }
            let mut bytes = base(Opening::Helper);
            for turn in &turn.helper {
                for step in std::iter::once(turn.bytes).chain(turn.rounds.iter().map(|round| round.bytes)) {
                    bytes += step + 100;
                    add(bytes, conduct.max_tokens);
                    bytes += reply;
                }
            }
        }
    }
    sum
}

/// What is done at one endpoint.
pub struct Run {
    target: Arc<Target>,
    conduct: Conduct,
    tariff: Tariff,
    cap: Arc<Cap>,
    line: Line,
}

impl Run {
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// What keeps us from asking anybody: a sentence.
    pub fn new(target: Target, conduct: &Conduct, tariff: &Tariff, spend: NanoUsd) -> Result<Self, String> {
        let target = Arc::new(target);
        let line =
            Line::new(&target).map_err(|fault| fault.sentence(&target, conduct.dialect, &conduct.model))?;
        let (conduct, tariff, cap) = (conduct.clone(), tariff.clone(), Cap::new(spend));
        Ok(Self { target, conduct, tariff, cap, line })
    }

    /// The endpoint.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// What may be spent there, and was.
    #[must_use]
    pub fn cap(&self) -> &Cap {
        &self.cap
    }

    /// Sends one small question. `false`: `stop` turned true before it was answered.
    ///
    /// # Errors
    /// It failed: a sentence that says what was seen and what to check.
    pub async fn check(&self, mut stop: watch::Receiver<bool>) -> Result<bool, String> {
        tokio::select! {
            checked = self.ask_one() => checked.map(|()| true),
            () = stopped(&mut stop) => Ok(false),
        }
    }

    /// Sends the probe, then lets the fleet go; `note` is told what was seen, in order of ending. `stop`
    /// turns true when the run is to end.
    ///
    /// # Errors
    /// An agent broke off, which is a fault of ours.
    pub async fn go(
        &self,
        plan: &Plan,
        mut stop: watch::Receiver<bool>,
        note: &mut (dyn FnMut(Seen<'_>) + Send),
    ) -> Result<Ended, String> {
        let (seen, mut inbox) = mpsc::channel(WAITING);
        let common = self.common(seen);
        tokio::select! {
            () = self.probe(&common, &mut inbox, note) => {}
            () = stopped(&mut stop) => return Ok(Ended::Interrupted),
        }
        let mut tasks = fleet(common, plan, &self.line);
        let mut in_vain = 0;
        let ended = loop {
            tokio::select! {
                seen = inbox.recv() => {
                    let Some(seen) = seen else { break None };
                    in_vain = if is_in_vain(&seen) { in_vain + 1 } else { 0 };
                    note(Seen::Fleet(&seen));
                    if in_vain >= IN_VAIN.max(plan.agents.len()) {
                        break Some(Ended::Failing);
                    }
                }
                () = stopped(&mut stop) => break Some(Ended::Interrupted),
            }
        };
        if let Some(ended) = ended {
            // Requests under way are dropped, and charged at the most that they can cost.
            tasks.shutdown().await;
            while let Ok(seen) = inbox.try_recv() {
                note(Seen::Fleet(&seen));
            }
            return Ok(ended);
        }
        while let Some(ended) = tasks.join_next().await {
            ended.map_err(|error| format!("an agent broke off ({error}); please report it"))?;
        }
        Ok(if self.cap.is_reached() { Ended::Spent } else { Ended::Done })
    }

    fn common(&self, seen: mpsc::Sender<Observation>) -> Arc<Common> {
        let conduct = &self.conduct;
        Arc::new(Common {
            dialect: conduct.dialect,
            model: conduct.model.clone(),
            max_tokens: conduct.max_tokens,
            ids: conduct.ids,
            timeout: conduct.timeout,
            nonce: nonce(),
            tariff: self.tariff.clone(),
            cap: Arc::clone(&self.cap),
            start: clock::now(),
            seen,
            openings: Default::default(),
            density: AtomicU64::new(0),
        })
    }

    async fn ask_one(&self) -> Result<(), String> {
        let Conduct { dialect, model, timeout, .. } = &self.conduct;
        let manner = Manner {
            dialect: *dialect,
            model: model.clone(),
            max_tokens: FEW,
            nonce: nonce(),
            session: None,
        };
        let mut dialog = Dialog::new(manner, Opening::Check);
        dialog.say("Answer with one word.");
        let body = dialog.body();
        let bound = self.tariff.most_for(body.len(), None, FEW.into());
        let Some(held) = self.cap.reserve(bound).await else {
            return Err(format!(
                "one small question may cost ${}, which is more than may be spent (${})\nallow more with `--spend`",
                bound.dollars(),
                self.cap.limit().dollars()
            ));
        };
        let heard = self.line.another().ask(*dialect, &[], body, FEW, *timeout).await;
        match (heard.usage, heard.fault) {
            (Some(usage), None) => held.settle(self.tariff.charge(&usage)),
            (None, None) => drop(held),
            (_, Some(fault)) => {
                if !heard.may_cost {
                    held.settle(NanoUsd::default());
                }
                return Err(fault.sentence(&self.target, *dialect, model));
            }
        }
        Ok(())
    }

    /// The same prompt again and again, one after the other: every cache that stands behind the endpoint
    /// has to be written once before it can be read.
    async fn probe(
        &self,
        common: &Arc<Common>,
        inbox: &mut mpsc::Receiver<Observation>,
        note: &mut (dyn FnMut(Seen<'_>) + Send),
    ) {
        let output = if common.dialect == Dialect::OpenAiResponses { FEW } else { 1 };
        let line = self.line.another();
        let mut probe = Conversation::new(common, "probe", Opening::Probe, None, output, line);
        probe.dialog.say("Answer with one word.");
        for _ in 0..self.conduct.probes {
            let went = probe.request().await;
            while let Ok(seen) = inbox.try_recv() {
                note(Seen::Probe(&seen));
            }
            if went == Went::Spent {
                return;
            }
        }
    }
}

/// Told apart from every other run.
fn nonce() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// It came to nothing, and not for a limit, which passes.
const fn is_in_vain(seen: &Observation) -> bool {
    seen.trouble.is_some() && seen.status != 429
}

/// Until the run is to end.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // Nobody is left who could ask for it.
        std::future::pending::<()>().await;
    }
}

/// All agents. The first one is answered before the others start: a fleet hardly ever begins with nothing
/// warm at all, and how an endpoint takes fifty cold starts at once is another question.
fn fleet(common: Arc<Common>, plan: &Plan, line: &Line) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let (opened, open) = watch::channel(false);
    let mut opened = Some(opened);
    for (number, agent) in plan.agents.iter().cloned().enumerate() {
        let name = format!("agent {number}");
        let line = line.another();
        let mut own = Conversation::new(&common, &name, Opening::Agent, None, common.max_tokens, line);
        let mut open = open.clone();
        if let Some(opened) = opened.take() {
            own.lead(opened);
        }
        tasks.spawn(async move {
            if number > 0 {
                // An error says that the first agent has ended.
                let _ = open.wait_for(|open| *open).await;
                tokio::time::sleep(agent.starts).await;
            }
            own.live(number as u64, &agent.turns).await;
        });
    }
    tasks
}
