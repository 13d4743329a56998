//! Between admission and choosing: what a request may use is taken from every limit and budget, and its
//! record is opened in the ledger.
//!
//! Owns what is asked for: the estimate of input and output, and what is free. What a level has left is
//! `quota`'s to say, what a record holds is the ledger's. The permit is a guard in the exchange: from
//! here on every path settles it.
//!
//! Three sorts of requests. A *call* reserves what it may cost. What goes *aside* (stored objects,
//! pass-throughs) counts as a request, and what it costs is not known before, if ever. A *keep-alive* is
//! nobody's: no caller's limits, but what may be spent at its provider and account.
//!
//! Trap: nothing here may be dropped half way, or what was taken would be nobody's. So these waits do
//! not watch the client; the shared counters and the ledger bound them by themselves.

use std::sync::Arc;

use super::{admit::Admitted, cooling, denial::Denial, exchange::Exchange, journal};
use crate::{
    clock,
    quota::{Ask, Refusal, SLICE},
    routing::Tried,
    types::{ModelName, NanoUsd, Operation, Rates, SessionKey, TenantId, Usage, VirtualKey},
    upstream::Endpoint,
};

/// What a request may come to.
#[derive(Clone, Debug)]
pub(crate) struct Claim {
    model: ModelName,
    /// Which conversation.
    pub session: Option<SessionKey>,
    input: u64,
    max_output: Option<u64>,
    likely_output: u64,
    /// What its tokens cost; `None` where nobody knows.
    pub rates: Option<Rates>,
    streamed: bool,
}

impl Claim {
    /// What costs nothing: it counts as a request.
    fn free() -> Self {
        Self {
            model: "".into(),
            session: None,
            input: 0,
            max_output: Some(0),
            likely_output: 0,
            rates: Some(Rates::default()),
            streamed: false,
        }
    }

    fn of(x: &Exchange, call: &Admitted) -> Self {
        let session = x.identity.as_ref().and_then(|identity| identity.key);
        let model = call.model.label.clone();
        if call.operation == Operation::CountTokens {
            return Self { model, session, ..Self::free() };
        }
        let generates = call.operation.generates();
        let likely_output = if generates { x.live.learned.likely_output(model.as_str()) } else { 0 };
        Self {
            session,
            input: call.ratios.input_tokens(x.request_bytes),
            max_output: if generates { call.max_output } else { Some(0) },
            likely_output,
            rates: call.rates,
            streamed: x.streamed && !call.background,
            model,
        }
    }

    /// Tokens of output in one slice.
    pub(crate) fn slice(&self) -> u64 {
        let rate = self.rates.map_or(0, |rates| rates.output);
        SLICE.0.saturating_mul(1_000_000).checked_div(rate).unwrap_or(self.likely_output).max(1)
    }

    /// The tokens that a gateway which dies now would have to answer for: what was reported or reserved
    /// of the input, what has come of the output, and what is reserved beyond that.
    pub(crate) fn estimate(&self, reported: &Usage, output: u64) -> Usage {
        let most = self.max_output.unwrap_or(u64::MAX);
        let ahead = if self.streamed { self.slice() } else { self.likely_output.saturating_mul(2) };
        let output = output.saturating_add(ahead).min(most.max(output));
        if reported.total_input() > 0 {
            return Usage { output, ..*reported };
        }
        // The uncached price of a prompt that is written to a cache is the dearest but for the long life.
        Usage { write_5m: self.input, output, ..Usage::default() }
    }
}

/// A call to a model.
pub(crate) async fn call(x: &mut Exchange, call: &Admitted) -> Result<(), Denial> {
    let claim = Claim::of(x, call);
    take(x, claim).await
}

/// A request on the side. `priced`: it may cost something that is not known here, so a caller with a hard
/// budget in dollars is not let through.
pub(crate) async fn aside(x: &mut Exchange, priced: bool) -> Result<(), Denial> {
    let mut free = Claim::free();
    if let Some(model) = &x.model {
        free.model = model.clone();
    }
    take(x, Claim { rates: free.rates.filter(|_| !priced), ..free }).await
}

async fn take(x: &mut Exchange, claim: Claim) -> Result<(), Denial> {
    let (key, tenant) = (x.key.clone(), x.tenant.clone());
    let ask = Ask { key: key.as_ref(), ..ask(x, &claim, &tenant) };
    match x.live.quota.admit(ask).await {
        Ok(permit) => x.permit = Some(permit),
        Err(refusal) => return Err(refused(x, refusal)),
    }
    x.claim = Some(claim);
    journal::open(x).await
}

fn ask<'a>(x: &Exchange, claim: &'a Claim, tenant: &'a TenantId) -> Ask<'a> {
    Ask {
        request: x.id,
        key: None,
        tenant,
        model: &claim.model,
        session: claim.session,
        input_tokens: claim.input,
        max_output: claim.max_output,
        likely_output: claim.likely_output,
        rates: claim.rates,
        streamed: claim.streamed,
        now: clock::now(),
        at: clock::unix_now(),
    }
}

/// What the caller is billed for a charge.
pub(crate) fn billed(key: Option<&Arc<VirtualKey>>, charge: Option<NanoUsd>) -> Option<NanoUsd> {
    charge.map(|charge| key.map_or(charge, |key| key.billed(charge)))
}

/// A keep-alive request: nobody's limits hold it up, only what may be spent where it goes.
pub(crate) async fn keep_alive(x: &mut Exchange, input: u64, endpoint: &Arc<Endpoint>) -> bool {
    let upstream = x.upstream_model.as_ref().map_or("", |model| model.as_str());
    let rates = x.snapshot.prices.rates(upstream, input);
    let claim = Claim { input, rates, ..Claim::free() };
    let nobody = TenantId::from("");
    match x.live.quota.admit(ask(x, &claim, &nobody)).await {
        Ok(permit) => x.permit = Some(permit),
        Err(_) => return false,
    }
    x.claim = Some(claim);
    matches!(bind(x, endpoint).await, Ok(out) if out.is_empty())
}

/// Takes from the budgets of a provider and an account, right before something goes there. Where they have
/// no room another account may be asked: says which ones are out of the question then.
pub(crate) async fn bind(x: &mut Exchange, endpoint: &Arc<Endpoint>) -> Result<Vec<Tried>, Denial> {
    let rates = x.claim.as_ref().and_then(|claim| claim.rates);
    let Some(permit) = &mut x.permit else { return Ok(Vec::new()) };
    let (now, at) = (clock::now(), clock::unix_now());
    let provider = &endpoint.provider().params.name;
    match permit.bind(provider, endpoint.name(), rates, now, at).await {
        Ok(()) => Ok(Vec::new()),
        Err(refusal) if refusal.is_upstream() => Ok(cooling::spent(x, endpoint, &refusal, now, at)),
        // It is dearer there than it was admitted at, and the caller has no more.
        Err(refusal) => Err(refused(x, refusal)),
    }
}

/// Keeps what was refused for the receipt, and says so.
pub(crate) fn refused(x: &mut Exchange, refusal: Refusal) -> Denial {
    x.refused = Some(Box::new(refusal.clone()));
    Denial::refused(refusal)
}
