//! The order of the verbs for one call: choose, forward, relay, and again while nothing of an answer
//! has reached the client and something is left to try.

mod after;
mod outgoing;
mod search;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use xxhash_rust::xxh3::xxh3_64;

use self::search::Search;
use super::{
    admit::{Admitted, Shape},
    choose::{self, Choice, NoChoice, Wish},
    cooling,
    denial::Denial,
    downlink::{Downlink, Lost},
    exchange::Exchange,
    forward::{self, Answer, Broken, Outbound},
    gateway::Gateway,
    keepalive,
    last_word::{Final, LastWord},
    limits, marks,
    reading::{Learner, Reading},
    relay::{self, Cut, Ended, Passage},
    reply, reserve, translation,
};
use crate::{
    clock::{self, Moment},
    metering::Meter,
    routing::{Choosing, Prompt, Start, Tried},
    types::{AffinityReason, AffinityResult, AttemptOutcome, Dialect, Priority},
    upstream::{Credentials, Draw, Endpoint, Failure, Flow, Lane},
};

/// How a call ended.
pub(crate) enum Ending {
    /// We answered ourselves.
    Said,
    /// The answer was passed on to its end.
    Complete,
    /// The answer broke off after content: the client is told in-band.
    Interrupted(Cut),
    /// The provider's answer was an error, to be passed on.
    Passed(Box<Final>),
    /// Nobody answered.
    Denied(Denial),
    /// The client's side ended first.
    Lost(Lost),
}

/// What stays the same over the tries of one call.
pub(crate) struct Request<'a> {
    /// The method.
    pub method: Method,
    /// The path below the base, with its query.
    pub path_and_query: String,
    /// The client's headers.
    pub headers: &'a HeaderMap,
}

/// The tries of one call.
pub(crate) struct Drive<'a, 'l> {
    gateway: &'a Gateway,
    line: &'a mut Downlink<'l>,
    x: &'a mut Exchange,
    call: Admitted,
    request: &'a Request<'a>,
    lane: Lane,
    /// On whose behalf it waits.
    flow: Flow,
    choosing: Choosing,
    /// Endpoints that have failed this request.
    tried: Vec<Tried>,
    count: u32,
    /// Time spent on purpose at an overloaded endpoint.
    stayed: Duration,
    stale: bool,
    ambiguous: bool,
    /// A provider has answered it with a 5xx.
    server_failed: bool,
    /// A provider seems not to know the usage option, so it is tried without.
    no_usage_option: bool,
    /// A provider seems to refuse what was put in for its cache's sake, so it is tried without.
    no_care: bool,
    last: Option<LastWord>,
    /// Where what it refers to may live.
    search: Search,
}

/// What comes after a try.
enum Step {
    Ended(Ending),
    /// Ask for another choice.
    Ask,
    /// The same endpoint again, after a while.
    Same(Again, Duration),
}

/// A choice whose place was given back, to be taken again.
struct Again {
    endpoint: Arc<Endpoint>,
    affinity: (AffinityResult, AffinityReason),
}

impl From<Choice> for Again {
    fn from(choice: Choice) -> Self {
        Self { endpoint: choice.endpoint, affinity: choice.affinity }
    }
}

impl<'a, 'l> Drive<'a, 'l> {
    /// Prepares to serve an admitted call.
    pub(crate) fn new(
        gateway: &'a Gateway,
        line: &'a mut Downlink<'l>,
        x: &'a mut Exchange,
        mut call: Admitted,
        request: &'a Request<'a>,
    ) -> Self {
        let search = Search::new(std::mem::take(&mut call.unknown));
        let lane = call.model.lane(call.operation, call.requested.as_str());
        let flow = flow_of(x);
        Self {
            gateway,
            line,
            x,
            call,
            request,
            lane,
            flow,
            choosing: Choosing::new(),
            tried: Vec::new(),
            count: 0,
            stayed: Duration::ZERO,
            stale: false,
            ambiguous: false,
            server_failed: false,
            no_usage_option: false,
            no_care: false,
            last: None,
            search,
        }
    }

    /// Serves it.
    pub(crate) async fn run(mut self) -> Ending {
        let mut same = None;
        loop {
            let choice = match same.take() {
                Some(choice) => choice,
                None => match self.choose().await {
                    Ok(choice) => choice,
                    Err(NoChoice::Lost(lost)) => return Ending::Lost(lost),
                    Err(NoChoice::Denied(denial)) => match self.denied(denial) {
                        Some(ending) => return ending,
                        None => continue,
                    },
                },
            };
            match self.attempt(choice).await {
                Step::Ended(ending) => return ending,
                Step::Ask => {}
                Step::Same(Again { endpoint, affinity }, after) => {
                    let began = clock::now();
                    let slept = self.line.attend(pingora_timeout::sleep(after)).await;
                    if !after.is_zero() {
                        marks::waited(self.x, began, clock::now());
                    }
                    if let Err(lost) = slept {
                        return Ending::Lost(lost);
                    }
                    self.stayed += after;
                    let draw = Draw { anyway: true, ..self.choosing.draw(self.flow) };
                    if let Ok(slot) = endpoint.acquire(self.lane, &draw, clock::now()) {
                        same = Some(Choice { endpoint, slot, affinity });
                    }
                }
            }
        }
    }

    async fn choose(&mut self) -> Result<Choice, NoChoice> {
        let (session, seed) = match &self.x.identity {
            Some(identity) => (identity.key, seed_of(identity)),
            None => (None, 0),
        };
        let wish = Wish {
            model: &self.call.model,
            lane: self.lane,
            pin: self.call.pin.as_ref().or(self.search.next()),
            session,
            seed,
            has_history: self.call.has_history,
            prompt: &self.call.prompt,
            price: self.call.price,
            flow: self.flow,
            signed_thinking: self.call.signed_thinking,
            encrypted_content: self.call.encrypted_content,
        };
        choose::choose(self.line, self.x, &mut self.choosing, &wish, &self.tried).await
    }

    async fn attempt(&mut self, mut choice: Choice) -> Step {
        let (body, adds_usage) = match self.outgoing(&choice.endpoint) {
            Ok(outgoing) => outgoing,
            Err(denial) => return self.untranslatable(&choice, denial),
        };
        match reserve::bind(self.x, &choice.endpoint).await {
            Ok(out) if out.is_empty() => {}
            Ok(out) => {
                // It was no try, and costs none.
                self.tried.extend(out);
                return Step::Ask;
            }
            Err(denial) => return Step::Ended(Ending::Denied(denial)),
        }
        let started = clock::now();
        let provider = Arc::clone(choice.endpoint.provider());
        if self.count == 0 {
            provider.budget.deposit(started);
            self.x.called = Some(started);
        }
        self.count += 1;
        self.begin(&choice, started);
        marks::tried(self.x, &choice.endpoint, started);
        let deadline = self.x.since + provider.params.timeouts.total;
        let streams = self.x.streamed && !self.call.background;
        let patience =
            if streams { provider.params.timeouts.first_byte } else { provider.params.timeouts.total };
        let headers = self.headers(&provider.params);
        let words = self.x.words.clone();
        let path = words.as_ref().map_or(&self.request.path_and_query, |words| &words.path);
        let out = Outbound {
            provider: &provider.params,
            key: choice.endpoint.key(),
            method: self.request.method.clone(),
            path_and_query: path,
            headers: &headers,
            trace: marks::outward(self.x, &provider.params, self.request.headers),
            body,
            first_byte: patience.min(started.until(deadline)),
        };
        // Boxed, so that the connecting does not take up room for as long as the stream runs.
        let sent = self.line.attend(Box::pin(forward::send(&self.gateway.upstreams, &out))).await;
        drop(out);
        match sent {
            Err(lost) => {
                self.record(&choice, AttemptOutcome::Cancelled, None, false, started);
                Step::Ended(Ending::Lost(lost))
            }
            Ok(Err(Broken { failure, ambiguous })) => {
                let last = LastWord::Broken(failure);
                self.failed(choice, failure, None, ambiguous, last, started)
            }
            Ok(Ok(answer)) => {
                cooling::hear(&self.x.snapshot, &mut choice.slot, &answer.head.headers);
                if answer.head.status.is_success() {
                    self.pass(choice, answer, adds_usage, deadline, started).await
                } else {
                    Box::pin(self.refused(choice, answer, adds_usage, started)).await
                }
            }
        }
    }

    /// Books the try with the session and starts a fresh reading.
    fn begin(&mut self, choice: &Choice, now: Moment) {
        let x = &mut *self.x;
        x.endpoint = Some(Arc::clone(&choice.endpoint));
        x.answered = None;
        let session = x.identity.as_ref().and_then(|identity| identity.key);
        let meter = Meter::new(self.call.operation, x.request_bytes, self.call.ratios, x.since);
        let mut learner = Learner::of(x, self.call.operation, &choice.endpoint);
        if x.words.is_some() {
            // Its id is nothing that the provider knows an object by.
            learner = learner.creating(None);
        }
        x.reading = Some(Reading::new(meter, learner));
        if !self.call.operation.generates() {
            return;
        }
        if let Some(session) = session {
            x.live.keeper.came_back(session);
        }
        x.affinity = Some(choice.affinity);
        let Some(ring) = x.snapshot.rings.of(&self.call.model) else { return };
        let start = Start {
            ring,
            prompt: &self.call.prompt,
            price: self.call.price,
            session,
            parent: x.identity.as_ref().and_then(|identity| identity.parent),
            model: &self.call.model.label,
            endpoint: &choice.endpoint,
            affinity: choice.affinity.0,
            ttl: x.ttl,
            context_bytes: x.request_bytes,
            first_try: self.count == 1,
        };
        x.turn = Some(x.snapshot.policy.started(&start, now));
    }

    /// A 2xx: passes the answer on.
    async fn pass(
        &mut self,
        mut choice: Choice,
        answer: Answer,
        hide_usage: bool,
        deadline: Moment,
        started: Moment,
    ) -> Step {
        let now = clock::now();
        choice.slot.answered(now);
        if self.no_usage_option {
            self.remember_usage_refused(&choice);
        }
        self.x.answered = Some(now);
        self.own_what_was_found(&choice);
        self.call.prompt = Prompt::default();
        if let Some(turn) = &mut self.x.turn {
            turn.answered();
        }
        let params = &choice.endpoint.provider().params;
        let hold = &self.x.snapshot.server.hold;
        let words = self.x.words.clone();
        let passage = Passage {
            operation: self.call.operation,
            words: words.clone(),
            hide_usage,
            replaceable: true,
            hold: match self.call.operation.dialect() {
                Dialect::OpenAiResponses => hold.responses,
                Dialect::Anthropic | Dialect::OpenAiChat => hold.default,
            },
            timeouts: params.timeouts,
            deadline,
        };
        let shape = Shape { usage: hide_usage, care: !self.no_care };
        self.x.resting = keepalive::hold(self.x, &mut self.call, self.request, shape, started);
        let status = answer.head.status.as_u16();
        let observe = params.credentials == Credentials::Caller;
        let head = match &words {
            Some(words) => translation::head(&answer.head, words.framing(&answer.head.headers).is_some()),
            None => relay::downward(&answer.head, observe),
        };
        let Ok(mut down) = head else {
            let last = LastWord::Broken(Failure::Broken);
            return self.failed(choice, Failure::Broken, Some(status), true, last, started);
        };
        reply::explain(&mut down, self.x);
        limits::answer(&mut down, self.x);
        let ended = relay::relay(self.line, answer, down, &passage, self.x, &mut self.call.payload).await;
        self.x.response_bytes = self.line.sent;
        self.book(&mut choice);
        match ended {
            Ended::Complete => {
                self.record(&choice, AttemptOutcome::Ok, Some(status), false, started);
                self.x.status = status;
                Step::Ended(Ending::Complete)
            }
            Ended::Lost(lost) => {
                if self.line.is_committed() {
                    self.x.status = status;
                }
                self.record(&choice, AttemptOutcome::Cancelled, Some(status), false, started);
                Step::Ended(Ending::Lost(lost))
            }
            Ended::Unseen(cut) => match self.of_cut(cut) {
                (Some(failure), last) => self.failed(choice, failure, Some(status), true, last, started),
                (None, last) => {
                    self.record(&choice, AttemptOutcome::Refused, Some(status), false, started);
                    Step::Ended(last.ending())
                }
            },
            Ended::Interrupted(cut) => {
                self.x.status = status;
                if let Cut::Budget(refusal) = &cut {
                    self.x.refused = Some(refusal.clone());
                }
                // How long an answer takes is up to the request and to how fast its client reads.
                if cut != Cut::Overdue
                    && let (Some(failure), _) = self.of_cut(cut.clone())
                {
                    let now = clock::now();
                    let effect = choice.slot.failed(&failure, now);
                    cooling::tell(&self.x.live, &choice.endpoint, &failure, &effect, now);
                }
                self.record(&choice, AttemptOutcome::Interrupted, Some(status), false, started);
                Step::Ended(Ending::Interrupted(cut))
            }
        }
    }

    /// Corrects what was taken from the limits by what the provider counted.
    fn book(&self, choice: &mut Choice) {
        let now = clock::now();
        if let Some(metered) = self.x.reading.as_ref().map(|reading| reading.meter.settle(now)) {
            choice.slot.used(&metered.usage, now);
        }
    }
}

/// The queue is fair by caller.
fn flow_of(x: &Exchange) -> Flow {
    let (weight, priority) =
        x.key.as_ref().map_or((1.0, Priority::Interactive), |key| (key.share(), key.priority));
    // By the key's id: two keys may have one name.
    let id = x.key.as_ref().map_or(x.caller.as_str(), |key| key.id.as_str());
    Flow { id: xxh3_64(id.as_bytes()), weight, priority, bytes: x.request_bytes }
}

/// What places a session that is warm nowhere: its own hash, so that fifty twins spread; the opening
/// where nothing else is known.
fn seed_of(identity: &crate::session::Identity) -> u64 {
    identity.key.map_or(identity.opener, |key| (key.0 >> 64) as u64)
}
