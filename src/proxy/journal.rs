//! A request's record in the ledger while it runs: opened at admission, kept up to date as a stream takes
//! what it may spend, and closed by the receipt (`settle`).
//!
//! It is there for the gateway's death: what was under way is known then, and charged at its estimate.
//! Invariant: of a caller with a budget nothing goes up before its record is in the file.

use std::{sync::Arc, time::Duration};

use super::{
    denial::Denial,
    exchange::Exchange,
    reserve::{self, Claim},
};
use crate::{
    metering::Meter,
    quota::Permit,
    store::ledger::{Ledger, OpenRecord, Renewal},
    types::{Reason, RequestId, Usage, VirtualKey},
};

/// When it is worth asking again whether the ledger can be written.
const AGAIN: Duration = Duration::from_secs(5);

/// Keeps the open record of a stream with a budget up to date.
pub(crate) struct Journal {
    ledger: Ledger,
    id: RequestId,
    key: Option<Arc<VirtualKey>>,
    claim: Claim,
    /// The input is known to the record.
    told_input: bool,
    /// At so many tokens of output the record is written anew.
    next: u64,
}

/// Writes down that the request is under way. Of callers with a budget before anything is sent.
pub(crate) async fn open(x: &mut Exchange) -> Result<(), Denial> {
    let (Some(ledger), Some(permit), Some(claim)) = (&x.live.ledger, &x.permit, &x.claim) else {
        return Ok(());
    };
    let reserved = permit.reserved();
    let has_budget = permit.has_budgets();
    let estimate = claim.estimate(&Usage::default(), 0);
    let charge = claim.rates.map(|rates| rates.charge(&estimate));
    let record = OpenRecord {
        caller: x.caller.clone(),
        session: claim.session,
        parent: x.identity.as_ref().and_then(|identity| identity.parent),
        model: x.model.clone(),
        reserved,
        estimate,
        charge,
        billed: reserve::billed(x.key.as_ref(), charge),
        ..OpenRecord::of(x.id, x.at, &x.tenant, x.key.as_ref())
    };
    let journal = has_budget.then(|| Journal {
        ledger: ledger.clone(),
        id: x.id,
        key: x.key.clone(),
        claim: claim.clone(),
        told_input: false,
        next: claim.slice() / 2,
    });
    let begun = if has_budget { ledger.begin_durably(record).await } else { ledger.begin(record) };
    x.journal = journal;
    begun.map_err(|full| Denial::retry(Reason::LedgerFull, AGAIN, full.to_string()))
}

impl Journal {
    /// So many tokens of output have come. One comparison, until it is worth writing.
    pub(crate) fn follow(&mut self, permit: &Permit, meter: &Meter, output: u64) {
        let reported = meter.reported().settled();
        let has_input = reported.total_input() > 0;
        if output < self.next && has_input == self.told_input {
            return;
        }
        self.told_input = has_input;
        // Half a slice ahead of the next one, so that the record is never a whole slice behind.
        self.next = output.saturating_add(self.claim.slice() / 2).max(output + 1);
        let estimate = self.claim.estimate(&reported, output);
        let charge = self.claim.rates.map(|rates| rates.charge(&estimate));
        let billed = reserve::billed(self.key.as_ref(), charge);
        self.ledger.renew(Renewal { id: self.id, reserved: permit.reserved(), estimate, charge, billed });
    }
}
