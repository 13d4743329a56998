//! Calls that can go to one account only and are tried once: stored objects by id, and passed-through
//! JSON calls, whose bodies may name objects.

use std::sync::Arc;

use super::{
    admit::{Payload, Shape},
    choose,
    denial::Denial,
    downlink::Downlink,
    drive::{Ending, Request},
    exchange::Exchange,
    forward::{self, Answer, Broken, Outbound},
    gateway::Gateway,
    last_word::{Final, LastWord},
    limits, marks,
    reading::{Learner, Reading},
    relay::{self, Cut, Ended, Passage},
    reply, reserve,
};
use crate::{
    clock,
    dialect::{self, PinKind},
    metering::Meter,
    types::{AttemptOutcome, AttemptRecord, Operation, Reason},
    upstream::{Asked, Credentials, Draw, Endpoint, Failure, Lane, Slot, classify},
};

/// Sends one request to one endpoint and passes on whatever comes.
pub(crate) async fn single(
    gateway: &Gateway,
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    endpoint: &Arc<Endpoint>,
    request: &Request<'_>,
    mut payload: Payload,
    creates: Option<PinKind>,
) -> Ending {
    match reserve::bind(x, endpoint).await {
        Ok(out) if out.is_empty() => {}
        Ok(_) => return Ending::Denied(choose::spent(None)),
        Err(denial) => return Ending::Denied(denial),
    }
    let started = clock::now();
    let Ok(mut slot) = endpoint.acquire(Lane::PASSTHROUGH, &Draw::untold(), started) else {
        return Ending::Denied(Denial::retry(
            Reason::NoEndpoint,
            std::time::Duration::from_secs(5),
            "the account that owns this is not available at the moment; try again later",
        ));
    };
    x.endpoint = Some(Arc::clone(endpoint));
    x.called = Some(started);
    marks::tried(x, endpoint, started);
    let ratios = x.live.learned.ratios("", None);
    let learner = Learner::of(x, Operation::Responses, endpoint).creating(creates);
    x.reading = Some(Reading::new(Meter::new(Operation::Responses, 0, ratios, x.since), learner));
    let params = &endpoint.provider().params;
    let out = Outbound {
        provider: params,
        key: endpoint.key(),
        method: request.method.clone(),
        path_and_query: &request.path_and_query,
        headers: request.headers,
        trace: marks::outward(x, params, request.headers),
        body: payload.bytes(params, None, Shape::PLAIN),
        first_byte: params.timeouts.total,
    };
    let mut sent = line.attend(Box::pin(forward::send(&gateway.upstreams, &out))).await;
    if matches!(sent, Ok(Err(Broken { failure: Failure::Stale, .. }))) {
        sent = line.attend(Box::pin(forward::send(&gateway.upstreams, &out))).await;
    }
    drop(out);
    let (ending, outcome, status) = match sent {
        Err(lost) => (Ending::Lost(lost), AttemptOutcome::Cancelled, None),
        Ok(Err(Broken { failure, .. })) => {
            let effect = slot.failed(&failure, clock::now());
            super::cooling::tell(&x.live, endpoint, &failure, &effect, clock::now());
            (LastWord::Broken(failure).ending(), failure.outcome(), None)
        }
        Ok(Ok(answer)) if answer.head.status.is_success() => {
            let status = answer.head.status.as_u16();
            slot.answered(clock::now());
            let (ending, outcome) = pass(line, x, endpoint, answer, &mut payload).await;
            (ending, outcome, Some(status))
        }
        Ok(Ok(answer)) => Box::pin(refused(line, x, endpoint, &mut slot, answer)).await,
    };
    x.attempts.push(AttemptRecord {
        endpoint: endpoint.name().clone(),
        outcome,
        status,
        ambiguous: false,
        spent: clock::now().since(started),
    });
    ending
}

async fn pass(
    line: &mut Downlink<'_>,
    x: &mut Exchange,
    endpoint: &Endpoint,
    answer: Answer,
    payload: &mut Payload,
) -> (Ending, AttemptOutcome) {
    x.answered = Some(clock::now());
    let status = answer.head.status.as_u16();
    let params = &endpoint.provider().params;
    let passage = Passage {
        words: None,
        operation: Operation::Responses,
        hide_usage: false,
        replaceable: false,
        hold: std::time::Duration::ZERO,
        timeouts: params.timeouts,
        deadline: x.since + params.timeouts.total,
    };
    let Ok(mut down) = relay::downward(&answer.head, params.credentials == Credentials::Caller) else {
        return (LastWord::Broken(Failure::Broken).ending(), AttemptOutcome::Broken);
    };
    reply::explain(&mut down, x);
    limits::answer(&mut down, x);
    let ended = relay::relay(line, answer, down, &passage, x, payload).await;
    x.response_bytes = line.sent;
    match ended {
        Ended::Complete => {
            x.status = status;
            (Ending::Complete, AttemptOutcome::Ok)
        }
        Ended::Lost(lost) => (Ending::Lost(lost), AttemptOutcome::Cancelled),
        Ended::Interrupted(cut) => (Ending::Interrupted(cut), AttemptOutcome::Interrupted),
        Ended::Unseen(cut) => {
            let failure = if cut == Cut::Idle { Failure::Timeout } else { Failure::Broken };
            (LastWord::Broken(failure).ending(), failure.outcome())
        }
    }
}

async fn refused(
    line: &mut Downlink<'_>,
    x: &Exchange,
    endpoint: &Arc<Endpoint>,
    slot: &mut Slot,
    answer: Answer,
) -> (Ending, AttemptOutcome, Option<u16>) {
    let (head, body) = match line.attend(Box::pin(answer.drain())).await {
        Ok(drained) => drained,
        Err(lost) => return (Ending::Lost(lost), AttemptOutcome::Cancelled, None),
    };
    let status = head.status.as_u16();
    let fault = dialect::read_fault(&body);
    let verdict = classify(status, &head.headers, &fault, &Asked::ASIDE, clock::unix_now());
    let observe = endpoint.provider().params.credentials == Credentials::Caller;
    let mut outcome = AttemptOutcome::Refused;
    match verdict.failure(false).filter(|_| !observe) {
        None => slot.answered(clock::now()),
        Some(failure) => {
            let effect = slot.failed(&failure, clock::now());
            super::cooling::tell(&x.live, endpoint, &failure, &effect, clock::now());
            outcome = failure.outcome();
        }
    }
    let last = Box::new(Final { head, body, verdict, words: None });
    // In observe mode it is the caller's own account, and no secret to it.
    let ending = if observe { Ending::Passed(last) } else { LastWord::Http(last).ending() };
    (ending, outcome, Some(status))
}
