//! May it go? Everything that it takes, in one step.

use std::{sync::Arc, time::Duration};

use super::{
    Ask, Permit, Quota, Refusal, What, Why,
    alerts::{Alert, Alerts},
    lease::Lease,
    line::{Estimate, Line},
    permit::Held,
    plans::Found,
    pricing::Pricing,
};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{Counters, Reserved, Rule, Settlement, Standing, Take},
    types::RequestId,
};

/// Who is refused because others are under way is told to come back after this.
const SOON: Duration = Duration::from_secs(1);
/// And because other sessions are: they count for minutes.
const LATER: Duration = Duration::from_secs(60);

/// A reservation that was not made.
pub(super) struct Denied {
    /// Which of the takes.
    pub(super) index: usize,
    pub(super) standing: Standing,
    after: Option<Duration>,
    /// It is this gateway's part that is used up: the shared counters are out of reach.
    pub(super) apart: bool,
}

impl Denied {
    /// By the shared counters.
    pub(super) const fn shared(index: usize, standing: Standing, after: Option<Duration>) -> Self {
        Self { index, standing, after, apart: false }
    }
}

/// A reservation that was made.
pub(super) struct Taken {
    /// In which second, in our own counters.
    pub(super) second: u64,
    pub(super) standings: Vec<Standing>,
    /// The shared counters have it.
    pub(super) shared: bool,
}

impl Quota {
    /// Takes what the request may use from every level, or nothing.
    ///
    /// # Errors
    /// One of them has no room.
    pub async fn admit(self: &Arc<Self>, ask: Ask<'_>) -> Result<Permit, Refusal> {
        let mut permit = self.draft(&ask)?;
        let takes = permit.takes();
        if takes.is_empty() {
            return Ok(permit);
        }
        permit.asking();
        let taken = self.take(permit.lease_mut(), &takes, ask.now, ask.at).await;
        match taken {
            Ok(taken) => {
                permit.taken(&taken);
                Ok(permit)
            }
            Err(denied) => Err(permit.refused(&denied, &takes)),
        }
    }

    /// The permit as it would be, with nothing taken yet.
    fn draft(self: &Arc<Self>, ask: &Ask<'_>) -> Result<Permit, Refusal> {
        let Found { plan, session, model } =
            self.plans.find(ask.key, ask.tenant, ask.session, Some(ask.model), ask.at);
        let pricing = Pricing { rates: ask.rates, markup: ask.key.map_or(1_000, |key| key.markup) };
        let lines = || {
            let sheets = session.iter().chain(&model).flat_map(|sheet| &sheet.lines);
            plan.lines
                .iter()
                .chain(sheets)
                .filter(|line| ask.session.is_some() || line.what != What::Sessions)
        };
        priced(lines(), &pricing)?;
        let slice = pricing.slice_tokens(self.params.slice, lines().any(|line| line.is_money()));
        let likely = ask.max_output.map_or(ask.likely_output, |most| most.min(ask.likely_output));
        let output = if ask.streamed {
            ask.max_output.map_or(slice, |most| most.min(slice))
        } else {
            let twice = ask.likely_output.saturating_mul(2);
            ask.max_output.map_or(twice, |most| most.min(twice))
        };
        let estimate = Estimate {
            input: pricing.unread_input(ask.input_tokens),
            output: pricing.output(output),
            likely_output: likely,
        };
        let lease = self.shared.as_ref().map(|shared| Lease::new(Arc::clone(shared), ask.request));
        let held = lines().map(|line| Held::new(Arc::clone(line), &estimate)).collect();
        Ok(Permit::draft(Arc::clone(self), ask, pricing, held, lease, output))
    }

    /// Takes everything or nothing: from the shared counters where they answer, else from our own.
    pub(super) async fn take(
        &self,
        lease: Option<&mut Lease>,
        takes: &[Take],
        now: Moment,
        at: UnixTime,
    ) -> Result<Taken, Denied> {
        if let Some(lease) = lease
            && lease.may_ask(now)
        {
            match lease.reserve(takes, now).await {
                Ok(Reserved::Granted { standings, .. }) => {
                    let second = self.memory.mirror(takes, &standings, now, at);
                    return Ok(Taken { second, standings, shared: true });
                }
                Ok(Reserved::Refused { index, standing, after }) => {
                    if let Some(take) = takes.get(index) {
                        self.memory.raise(&[(take.id.clone(), take.rule, standing.spent)]);
                    }
                    return Err(Denied::shared(index, standing, after));
                }
                // It may have happened there; the settlement says what it came to.
                Err(_) => {}
            }
        }
        self.take_here(takes, now, at)
    }

    /// Takes everything or nothing from our own counters: all of it, or our part while others cannot
    /// be asked.
    pub(super) fn take_here(&self, takes: &[Take], now: Moment, at: UnixTime) -> Result<Taken, Denied> {
        let apart = self.shared.is_some();
        let replicas = if apart { self.params.replicas } else { 1 };
        match self.memory.reserve_share(takes, replicas, now, at) {
            Reserved::Granted { second, standings } => Ok(Taken { second, standings, shared: false }),
            Reserved::Refused { index, standing, after } => Err(Denied { index, standing, after, apart }),
        }
    }

    /// Budgets went up: whoever has to hear of it does.
    pub(super) fn tell<'a>(
        &self,
        lines: impl Iterator<Item = &'a Arc<Line>>,
        settled: &[Settlement],
        standings: &[Standing],
    ) {
        for ((line, settlement), standing) in lines.zip(settled).zip(standings) {
            let before = standing.spent.saturating_sub(settlement.actual);
            self.announce(line, self.alerts.spent(line, before, standing.spent));
        }
    }

    /// Tells of it, unless another gateway has: the shared counters know who came first.
    pub(super) fn announce(&self, line: &Line, alerts: Vec<Alert>) {
        if alerts.is_empty() {
            return;
        }
        let shared = self.shared.as_ref().filter(|shared| shared.answers());
        let runtime = tokio::runtime::Handle::try_current();
        let (Some(shared), Ok(runtime)) = (shared, runtime) else {
            self.alerts.push(alerts);
            return;
        };
        let (engine, told) = (Arc::clone(&shared.engine), Arc::clone(&self.alerts));
        let (id, rule) = (line.id.clone(), Rule::Budget { until: line.until });
        runtime.spawn(async move {
            for alert in alerts {
                if is_first(&*engine, &format!("{id}/alert/{}", alert.percent), rule).await {
                    Alerts::push(&told, [alert]);
                }
            }
        });
    }
}

/// Whether nobody has told of it yet. Rather twice than never.
async fn is_first(engine: &dyn Counters, id: &str, rule: Rule) -> bool {
    let id = crate::store::counters::CounterId(id.into());
    let by = RequestId::mint();
    let once = Take { id: id.clone(), rule, amount: 1, limit: 1, anyway: false };
    match engine.reserve(by, &[once]).await {
        Ok(Reserved::Granted { second, .. }) => {
            let told = Settlement { id, rule, reserved: 1, actual: 1, second };
            let _standing = engine.settle(by, &[told]).await;
            true
        }
        Ok(Reserved::Refused { .. }) => false,
        Err(_) => true,
    }
}

/// Dollars that nobody can reckon are not let through a hard budget in dollars.
pub(super) fn priced<'a>(
    mut lines: impl Iterator<Item = &'a Arc<Line>>,
    pricing: &Pricing,
) -> Result<(), Refusal> {
    if pricing.rates.is_some() {
        return Ok(());
    }
    lines.find(|line| line.is_money() && !line.soft).map_or(Ok(()), |line| {
        Err(Refusal {
            scope: line.scope.clone(),
            what: line.what,
            why: Why::NoPrice,
            limit: line.limit,
            used: 0,
            asked: 0,
            retry_after: None,
            resets_at: None,
        })
    })
}

/// Why there was no room.
pub(super) fn refusal(line: &Line, asked: u64, denied: &Denied) -> Refusal {
    let used = denied.standing.used;
    let why = if denied.apart {
        Why::Apart
    } else if asked > line.limit {
        Why::TooLarge
    } else if used == 0 {
        Why::Full
    } else {
        Why::Used
    };
    let may_wait = matches!(why, Why::Used | Why::Apart);
    let retry_after = match line.what {
        What::Rpm | What::Tpm | What::Itpm | What::Otpm => denied.after.filter(|_| may_wait),
        What::Concurrent => Some(SOON),
        What::Sessions => Some(LATER),
        What::Turns | What::Usd(_) | What::Tokens(_) => None,
    };
    Refusal {
        scope: line.scope.clone(),
        what: line.what,
        why,
        limit: line.limit,
        used,
        asked,
        retry_after,
        resets_at: line.resets_at(),
    }
}
