//! Where a request goes, and what it takes of the budgets there: anew for every attempt.

use std::sync::Arc;

use super::{
    Permit, Refusal,
    admit::priced,
    line::Estimate,
    permit::{Held, Stage},
    pricing::Pricing,
};
use crate::{
    clock::{Moment, UnixTime},
    store::counters::{Settlement, Take},
    types::{EndpointName, ProviderName, Rates, Scope},
};

impl Permit {
    /// It is about to go to this endpoint: takes from the budgets of provider and endpoint, at these
    /// prices and without any markup. What an earlier attempt took of its own is given back first.
    /// Where these prices are higher than those it was admitted at, its own budgets are asked for the
    /// difference.
    ///
    /// Waits for nobody unless counters are shared and there is something to take.
    ///
    /// # Errors
    /// A budget has no room: see [`Refusal::is_upstream`]. The permit stands, bound to nothing.
    pub async fn bind(
        &mut self,
        provider: &ProviderName,
        endpoint: &EndpointName,
        rates: Option<Rates>,
        now: Moment,
        at: UnixTime,
    ) -> Result<(), Refusal> {
        self.now = now;
        self.unbind();
        let plans = &self.quota.plans;
        let sheets = [Scope::Provider(provider.clone()), Scope::Endpoint(endpoint.clone())]
            .map(|scope| plans.sheet(scope, at));
        let pricing = Pricing { rates: rates.or(self.pricing.rates), ..self.pricing };
        let lines = || sheets.iter().flatten().flat_map(|sheet| &sheet.lines);
        priced(lines(), &Pricing { rates, ..pricing })?;
        let first = self.held.len();
        // A stream that nobody counted so far may have gone on.
        self.covered = self.covered.max(self.flown);
        let (input, output) = (pricing.unread_input(self.input_tokens), pricing.output(self.covered));
        let estimate = Estimate { input, output, likely_output: 0 };
        let mut more = Vec::with_capacity(first);
        for held in &self.held {
            let dearer = if held.line.is_money() {
                (
                    held.line.part(&input).saturating_sub(held.input),
                    held.line.part(&output).saturating_sub(held.output),
                )
            } else {
                (0, 0)
            };
            more.push(dearer);
        }
        for line in lines() {
            let held = Held::new(Arc::clone(line), &estimate);
            more.push((held.input, held.output));
            // Nothing is held until it is taken: who gives up meanwhile gives nothing back here.
            self.held.push(Held { input: 0, output: 0, of_attempt: true, ..held });
        }
        let bound: Vec<(usize, u64, u64)> = (0..)
            .zip(more)
            .filter(|&(at, (input, output))| at >= first || input + output > 0)
            .map(|(at, (input, output))| (at, input, output))
            .collect();
        self.pricing = pricing;
        if bound.is_empty() {
            return Ok(());
        }
        self.take_more(&bound, now, at).await
    }

    /// Takes more of what is held, by place; all of it or nothing.
    async fn take_more(
        &mut self,
        more: &[(usize, u64, u64)],
        now: Moment,
        at: UnixTime,
    ) -> Result<(), Refusal> {
        let session = self.session;
        let takes: Vec<Take> = more
            .iter()
            .filter_map(|&(place, input, output)| {
                Some(self.held.get(place)?.line.take(session, input.saturating_add(output)))
            })
            .collect();
        let quota = Arc::clone(&self.quota);
        self.stage = Stage::Open;
        match quota.take(self.lease.as_mut(), &takes, now, at).await {
            Ok(taken) => {
                for &(place, input, output) in more {
                    if let Some(held) = self.held.get_mut(place) {
                        held.input = held.input.saturating_add(input);
                        held.output = held.output.saturating_add(output);
                        held.second = if held.of_attempt { taken.second } else { held.second };
                    }
                }
                self.watch();
                Ok(())
            }
            Err(denied) => {
                let place = more.get(denied.index).map_or(usize::MAX, |&(place, _, _)| place);
                let asked = takes.get(denied.index).map_or(0, |take| take.amount);
                let refusal = self.refusal(&denied, place, asked);
                self.unbind();
                Err(refusal)
            }
        }
    }

    /// Gives back what an attempt took.
    fn unbind(&mut self) {
        if !self.held.iter().any(|held| held.of_attempt) {
            return;
        }
        let session = self.session;
        let (attempt, own): (Vec<Held>, Vec<Held>) =
            std::mem::take(&mut self.held).into_iter().partition(|held| held.of_attempt);
        self.held = own;
        let parts: Vec<Settlement> = attempt
            .iter()
            .filter(|held| held.reserved() > 0)
            .map(|held| held.settlement(session, held.reserved(), 0))
            .collect();
        self.give_back(parts);
    }
}
