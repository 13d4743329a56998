//! Agents that drive a gateway: many conversations that grow, with tool loops, in any dialect.
//!
//! Owns what a client does and what it notes of each answer; judges nothing itself. The provider's own
//! books (see [`compare`]) say what it was worth.
//!
//! The trap: agents of [`Identity::SameOpener`] are told apart only from the first tool call or second
//! turn on; before that nobody can.

mod dialog;
mod report;
mod talk;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

pub use report::{Comparison, Side, compare};
use uuid::Uuid;

use self::{dialog::Dialog, talk::Talk};
use crate::types::{Dialect, Usage};

/// No agent waits longer than this between tries, whatever it is told.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// How an agent says who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Identity {
    /// By the session header (and body fields) of the client that speaks its dialect.
    Header,
    /// Not at all; its first words are its own.
    Anonymous,
    /// Not at all, and system prompt and first message are the same for all.
    SameOpener,
}

/// Where requests go.
#[derive(Clone, Debug)]
pub enum Way {
    /// To a gateway, with a caller's token (empty: none).
    Gateway {
        /// `http://host:port`, without `/v1`.
        base_url: String,
        /// The caller's token.
        token: String,
    },
    /// Straight to a provider, over its keys in turn: what many gateways do.
    RoundRobin {
        /// `http://host:port`, without `/v1`.
        base_url: String,
        /// The upstream keys.
        keys: Vec<String>,
    },
}

/// What a fleet does.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where requests go.
    pub way: Way,
    /// The dialect that is spoken.
    pub dialect: Dialect,
    /// The model that is asked for.
    pub model: String,
    /// How agents say who they are.
    pub identity: Identity,
    /// Conversations side by side.
    pub agents: usize,
    /// User turns of each.
    pub turns: usize,
    /// Tool rounds in each turn; a turn is one more request than that.
    pub tool_rounds: u32,
    /// Bytes of the system prompt that all share; 4,096 is the least that is ever cached.
    pub system_bytes: usize,
    /// Output tokens of each text.
    pub output_tokens: u64,
    /// Time between an answer and the next turn.
    pub gap: Duration,
    /// Tries of one request before an agent gives its turn up; 429, 5xx and broken connections are tried
    /// again, after the wait that was asked for.
    pub tries: u32,
    /// Makes first words and session ids differ between fleets.
    pub fleet: u64,
}

impl Workload {
    /// Fifty agents of twenty turns with one tool round each, saying who they are.
    #[must_use]
    pub fn new(way: Way, dialect: Dialect, model: &str) -> Self {
        Self {
            way,
            dialect,
            model: model.to_owned(),
            identity: Identity::Header,
            agents: 50,
            turns: 20,
            tool_rounds: 1,
            system_bytes: 8_192,
            output_tokens: 40,
            gap: Duration::ZERO,
            tries: 5,
            fleet: 1,
        }
    }
}

/// One request of an agent, and what came back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exchange {
    /// Which agent, from 0.
    pub agent: usize,
    /// Which user turn, from 0.
    pub turn: usize,
    /// Which request of the turn, from 0.
    pub request: usize,
    /// The last status; 0 when there was no answer at all.
    pub status: u16,
    /// Tries before it.
    pub retries: u32,
    /// `x-warmkey-endpoint`, or the key that round-robin chose.
    pub endpoint: String,
    /// `x-warmkey-affinity`.
    pub affinity: String,
    /// `x-warmkey-session`.
    pub session: String,
    /// What the provider calls its answer, to find it in [`Sim::seen`](crate::sim::Sim::seen).
    pub request_id: String,
    /// What the provider says it used.
    pub usage: Usage,
    /// From sending to the first byte of the body.
    pub ttft: Duration,
    /// From sending to the last byte.
    pub total: Duration,
    /// The stream ended as its dialect wants it.
    pub complete: bool,
}

/// All exchanges of a fleet, agent by agent, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Run {
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
}

impl Run {
    /// Requests after an agent's first: how many went where its previous one went, of how many.
    #[must_use]
    pub fn at_home(&self) -> (usize, usize) {
        let pairs = self.exchanges.windows(2).filter(|pair| pair[0].agent == pair[1].agent);
        pairs.fold((0, 0), |(home, all), pair| {
            (home + usize::from(pair[0].endpoint == pair[1].endpoint), all + 1)
        })
    }

    /// The endpoint of each agent's last request.
    #[must_use]
    pub fn homes(&self) -> Vec<&str> {
        let last = |(n, exchange): (usize, &Exchange)| {
            self.exchanges.get(n + 1).is_none_or(|next| next.agent != exchange.agent)
        };
        let ends = self.exchanges.iter().enumerate().filter(|&pair| last(pair));
        ends.map(|(_, exchange)| exchange.endpoint.as_str()).collect()
    }

    /// Exchanges that did not end with a complete 200.
    #[must_use]
    pub fn failures(&self) -> Vec<&Exchange> {
        self.exchanges.iter().filter(|exchange| exchange.status != 200 || !exchange.complete).collect()
    }

    /// All tokens as the clients saw them.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        self.exchanges.iter().for_each(|exchange| sum += exchange.usage);
        sum
    }
}

/// Runs a fleet to its end. Needs a running tokio runtime.
pub async fn run(workload: &Workload) -> Run {
    let mut fleet = Fleet::new(workload);
    fleet.go(workload.turns).await;
    fleet.end()
}

/// A fleet that can be stopped between turns, to restart what it drives.
pub struct Fleet {
    agents: Vec<Agent>,
}

impl Fleet {
    /// All agents, before their first words.
    #[must_use]
    pub fn new(workload: &Workload) -> Self {
        let keys = Arc::new(AtomicUsize::new(0));
        let agent = |number| Agent {
            number,
            turn: 0,
            exchanges: Vec::new(),
            talk: Talk::new(),
            dialog: Dialog::new(workload, number),
            session: Uuid::from_u128((u128::from(workload.fleet) << 64) | (number as u128 + 1)).to_string(),
            keys: Arc::clone(&keys),
            workload: workload.clone(),
        };
        Self { agents: (0..workload.agents).map(agent).collect() }
    }

    /// Lets every agent do so many turns, side by side.
    pub async fn go(&mut self, turns: usize) {
        let tasks: Vec<_> = self.agents.drain(..).map(|agent| tokio::spawn(agent.live(turns))).collect();
        for task in tasks {
            // A task ends early only when the runtime shuts down.
            self.agents.extend(task.await);
        }
    }

    /// From now on requests go there.
    pub fn redirect(&mut self, way: &Way) {
        for agent in &mut self.agents {
            agent.workload.way.clone_from(way);
        }
    }

    /// What all agents noted.
    #[must_use]
    pub fn end(self) -> Run {
        Run { exchanges: self.agents.into_iter().flat_map(|agent| agent.exchanges).collect() }
    }
}

struct Agent {
    number: usize,
    turn: usize,
    exchanges: Vec<Exchange>,
    talk: Talk,
    dialog: Dialog,
    session: String,
    keys: Arc<AtomicUsize>,
    workload: Workload,
}

impl Agent {
    async fn live(mut self, turns: usize) -> Self {
        for _ in 0..turns {
            if self.turn > 0 && !self.workload.gap.is_zero() {
                tokio::time::sleep(self.workload.gap).await;
            }
            self.dialog.say(self.turn);
            for request in 0.. {
                let exchange = self.exchange().await;
                let complete = exchange.complete;
                self.exchanges.push(Exchange { agent: self.number, turn: self.turn, request, ..exchange });
                if !complete {
                    self.dialog.take_back();
                }
                if !complete || !self.dialog.is_waiting_for_tools() {
                    break;
                }
            }
            self.turn += 1;
        }
        self
    }

    /// One request, tried again as a well-behaved client would.
    async fn exchange(&mut self) -> Exchange {
        let body = self.dialog.request(&self.session);
        let mut retries = 0;
        loop {
            let (base_url, key) = self.target();
            let heard = self.talk.send(self.dialog.dialect(), &base_url, &key, self.headers(), &body).await;
            let mut exchange = heard.exchange;
            exchange.retries = retries;
            if let Way::RoundRobin { .. } = self.workload.way {
                exchange.endpoint.clone_from(&key);
            }
            if exchange.status == 200 {
                let outcome = self.dialog.hear(&heard.body);
                exchange.complete = outcome.is_some();
                exchange.usage = outcome.unwrap_or_default();
                return exchange;
            }
            retries += 1;
            if !matches!(exchange.status, 0 | 429 | 500..) || retries >= self.workload.tries {
                return exchange;
            }
            tokio::time::sleep(heard.wait.unwrap_or(Duration::from_millis(100)).min(LONGEST_WAIT)).await;
        }
    }

    fn target(&self) -> (String, String) {
        match &self.workload.way {
            Way::Gateway { base_url, token } => (base_url.clone(), token.clone()),
            Way::RoundRobin { base_url, keys } => {
                // One key further each round, or a fleet in step would meet its own keys by accident.
                let n = self.keys.fetch_add(1, Ordering::Relaxed);
                let n = (n + n / self.workload.agents.max(1)) % keys.len().max(1);
                (base_url.clone(), keys.get(n).cloned().unwrap_or_default())
            }
        }
    }

    /// The headers by which real clients of each dialect name their session (clients-seen).
    fn headers(&self) -> Vec<(&'static str, String)> {
        if self.workload.identity != Identity::Header {
            return Vec::new();
        }
        let names: &[&str] = match self.workload.dialect {
            Dialect::Anthropic => &["x-claude-code-session-id"],
            Dialect::OpenAiChat => &["x-session-affinity", "x-session-id"],
            Dialect::OpenAiResponses => &["session-id", "thread-id", "x-client-request-id"],
        };
        names.iter().map(|name| (*name, self.session.clone())).collect()
    }
}
