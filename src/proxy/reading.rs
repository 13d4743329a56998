//! What one answer has told so far: figures for the meter, ids for the links.

use std::sync::Arc;

use super::exchange::Exchange;
use crate::{
    clock::{self, Moment},
    dialect::{self, DeltaKind, PinKind, Signal, StopKind, UpstreamFault},
    live::{Flight, Live},
    metering::Meter,
    session::{Identity, ReplyHasher},
    telemetry::Metrics,
    types::{EndpointName, ModelName, Operation, TenantId},
    upstream::Endpoint,
};

/// Writes down what later requests will refer to, at the moment it is seen: the client may send its
/// next turn as soon as it has read the last byte of this one.
pub(crate) struct Learner {
    live: Arc<Live>,
    tenant: TenantId,
    endpoint: EndpointName,
    identity: Option<Identity>,
    /// What kind of object the answer's id names; its maker owns it.
    creates: Option<PinKind>,
}

impl Learner {
    /// Learns for one request at one endpoint.
    pub(crate) fn of(x: &Exchange, operation: Operation, endpoint: &Endpoint) -> Self {
        Self {
            live: Arc::clone(&x.live),
            tenant: x.tenant.clone(),
            endpoint: endpoint.name().clone(),
            identity: x.identity.clone(),
            creates: (operation == Operation::Responses).then_some(PinKind::Response),
        }
    }

    /// The answer's id names an object of this kind, or nothing worth owning.
    pub(crate) fn creating(mut self, kind: Option<PinKind>) -> Self {
        self.creates = kind;
        self
    }

    fn started(&self, id: &str, now: Moment) {
        let Some(kind) = self.creates else { return };
        // Were there an object of somebody else's under the same id, the first owner stands.
        if self.live.owners.learn(&self.tenant, kind, id, &self.endpoint, clock::unix_now()) {
            // `previous_response_id` leads back to the session like a tool call's id.
            self.tool_call(id, now);
        }
    }

    fn tool_call(&self, id: &str, now: Moment) {
        if let Some(identity) = &self.identity {
            self.live.links.learn_tool_call(identity, id, now);
        }
    }

    fn reply(&self, text: u64, now: Moment) {
        if let Some(identity) = &self.identity {
            self.live.links.learn_reply(identity, text, now);
        }
    }

    fn wants_replies(&self) -> bool {
        self.identity.as_ref().is_some_and(Identity::wants_links)
    }
}

/// Reads one answer as it passes.
pub(crate) struct Reading {
    /// Tokens.
    pub meter: Meter,
    /// The answer's own id.
    pub id: Option<String>,
    /// The model that served, as the provider calls it.
    pub served_model: Option<ModelName>,
    /// The service tier that it says it used.
    pub tier: Option<Arc<str>>,
    /// Why the model stopped.
    pub stop: Option<StopKind>,
    /// The error it reported.
    pub fault: Option<UpstreamFault>,
    /// Responses: the last event's number, which an event of ours must follow.
    pub last_sequence: Option<u64>,
    learner: Learner,
    /// Hashes the reply's text, where that is how the session will be found again.
    reply: Option<ReplyHasher>,
    content: bool,
    terminal: bool,
    /// The provider has said what the input came to, and that was passed on.
    told_input: bool,
}

impl Reading {
    /// Begins to read.
    pub(crate) fn new(meter: Meter, learner: Learner) -> Self {
        let reply = learner.wants_replies().then(ReplyHasher::new);
        Self {
            meter,
            id: None,
            served_model: None,
            tier: None,
            stop: None,
            fault: None,
            last_sequence: None,
            learner,
            reply,
            content: false,
            terminal: false,
            told_input: false,
        }
    }

    /// Takes in one signal.
    pub(crate) fn see(&mut self, signal: &Signal<'_>, now: Moment) {
        let seen = self.meter.see(signal, now);
        if let Some(gap) = seen.gap {
            Metrics::global().latency.gap(gap.as_secs_f64());
        }
        match signal {
            Signal::Started { id } => {
                self.learner.started(id, now);
                self.id = Some(id.clone());
            }
            Signal::Delta { kind, raw } => {
                self.content = true;
                if let (DeltaKind::Text, Some(reply)) = (kind, &mut self.reply) {
                    reply.push(raw);
                }
            }
            Signal::ToolCall { id } => {
                self.content = true;
                self.learner.tool_call(id, now);
            }
            Signal::Error(fault) => self.fault = Some(fault.clone()),
            Signal::Terminal => {
                self.terminal = true;
                self.end_reply(now);
            }
            Signal::Stop(kind) => {
                self.stop = Some(*kind);
                self.content = true;
                self.end_reply(now);
            }
            Signal::Model(model) => self.served_model = Some(model.as_str().into()),
            Signal::Tier(tier) => self.tier = Some(tier.as_str().into()),
            Signal::Lifecycle | Signal::Usage(_) => {}
        }
    }

    /// Reads an answer that is no stream. Whether it is whole.
    pub(crate) fn read_whole(&mut self, operation: Operation, body: &[u8], now: Moment) -> bool {
        dialect::read_whole(operation, body, &mut |signal| self.see(&signal, now))
    }

    /// Keeps the live gauge up to date.
    pub(crate) fn report(&self, flight: &mut Flight, now: Moment) {
        flight.set_output(self.meter.live_output(now));
    }

    /// The provider has just said for the first time what the input came to. Says so once.
    pub(crate) fn has_news_of_input(&mut self) -> bool {
        let known = !self.told_input && self.meter.reported().settled().total_input() > 0;
        self.told_input |= known;
        known
    }

    /// Something of the model's own has come.
    pub(crate) fn has_content(&self) -> bool {
        self.content || self.terminal
    }

    /// The terminal event has come.
    pub(crate) fn is_over(&self) -> bool {
        self.terminal
    }

    /// An error in place of any content.
    pub(crate) fn fault_before_content(&self) -> Option<UpstreamFault> {
        if self.content { None } else { self.fault.clone() }
    }

    fn end_reply(&mut self, now: Moment) {
        if let Some(text) = self.reply.take().and_then(|reply| reply.finish()) {
            self.learner.reply(text, now);
        }
    }
}
