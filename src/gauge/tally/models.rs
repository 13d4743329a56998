//! Which models were asked for, as far as it matters.

use std::collections::BTreeMap;

use crate::gauge::clean;

/// Models that are told apart; those that come later are not named.
const MOST: usize = 64;
/// Models that a report names.
const NAMED: usize = 8;

/// Models, and how often each was asked for.
#[derive(Debug, Default)]
pub(super) struct Models {
    /// By cleaned name: turns, and whether there is a price.
    seen: BTreeMap<String, (u64, bool)>,
}

impl Models {
    pub(super) fn note(&mut self, model: &str, priced: bool) {
        let name = clean(model);
        if self.seen.len() < MOST || self.seen.contains_key(&name) {
            let (turns, known) = self.seen.entry(name).or_default();
            *turns += 1;
            *known = priced;
        }
    }

    /// The names, the most frequent first.
    pub(super) fn by_turns(&self) -> Vec<String> {
        named(self.seen.iter())
    }

    /// Those without a price.
    pub(super) fn unpriced(&self) -> Vec<String> {
        named(self.seen.iter().filter(|(_, (_, priced))| !priced))
    }
}

fn named<'a>(models: impl Iterator<Item = (&'a String, &'a (u64, bool))>) -> Vec<String> {
    let mut models: Vec<_> = models.collect();
    models.sort_by_key(|(_, (turns, _))| std::cmp::Reverse(*turns));
    models.into_iter().take(NAMED).map(|(name, _)| name.clone()).collect()
}
