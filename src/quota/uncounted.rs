//! Budgets that are new: what was spent before they were there is the ledger's to say.

use std::{sync::Arc, time::Duration};

use super::{Quota, What, line::Line, plan::Sheet};
use crate::{
    clock::UnixTime,
    store::counters::{Charged, CounterId},
    types::{Limits, Period, Scope, Unit, VirtualKey},
};

/// A budget that nothing was counted in yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncounted {
    /// Whose.
    pub scope: Scope,
    /// What it is in.
    pub unit: Unit,
    /// The beginning of its period.
    pub since: UnixTime,
    id: CounterId,
    until: UnixTime,
}

impl Uncounted {
    /// As [`Quota::restore`] takes it: this much was spent since.
    #[must_use]
    pub fn spent(self, amount: u64) -> Charged {
        Charged { id: self.id, until: self.until, amount }
    }
}

impl Quota {
    /// The budgets of all levels and of these keys that nothing was counted in yet. Ask the ledger what was
    /// spent since, and [`Quota::restore`] it: then a budget that is given at noon knows the morning. Safe
    /// at any time: what is counted meanwhile counts once.
    #[must_use]
    pub fn uncounted(&self, keys: &[Arc<VirtualKey>], at: UnixTime) -> Vec<Uncounted> {
        let mut lines = self.plans.budgets(at);
        for key in keys {
            let scope = Scope::Key(key.id.clone());
            let own = Sheet::new(&scope, &Limits::default(), &key.allowance.budgets, at);
            lines.extend(own.lines);
        }
        lines.retain(|line| !self.memory.knows(&line.id));
        lines.iter().filter_map(|line| uncounted(line, at)).collect()
    }
}

fn uncounted(line: &Line, at: UnixTime) -> Option<Uncounted> {
    let (unit, per): (Unit, Period) = match line.what {
        What::Usd(per) => (Unit::Usd, per),
        What::Tokens(per) => (Unit::Tokens, per),
        What::Rpm | What::Tpm | What::Itpm | What::Otpm | What::Concurrent | What::Sessions | What::Turns => {
            return None;
        }
    };
    Some(Uncounted {
        scope: line.scope.clone(),
        unit,
        since: UnixTime(Duration::from_secs(per.at(at).from)),
        id: line.id.clone(),
        until: line.until,
    })
}
