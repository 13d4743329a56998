//! Why a request went where it went: the candidates with their terms, as a value.

use std::{fmt, time::Duration};

use smallvec::SmallVec;

use super::score::Terms;
use crate::types::EndpointName;

/// One candidate as it was weighed.
#[derive(Clone, PartialEq, Debug)]
pub struct Weighed {
    /// Which.
    pub endpoint: EndpointName,
    /// Tokens of the prompt that were expected to be warm there.
    pub warm: u32,
    /// Until it could have started there.
    pub wait: Duration,
    /// How full its account was, 0 to 1.
    pub utilisation: f32,
    /// The terms, in dollars.
    pub terms: Terms,
}

/// What a decision rests on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Record {
    /// Tokens of the prompt, estimated.
    pub tokens: u32,
    /// The candidates, in the order in which they were looked at. Empty where nothing was weighed.
    pub candidates: SmallVec<[Weighed; 4]>,
    /// Which of them was taken.
    pub chosen: Option<usize>,
}

/// Compact, for a log line: `a1*88000+2.5s=0.0312 b2:0=0.3300` is the candidates with warm tokens,
/// wait and dollars; a star behind the one that was taken.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, weighed) in self.candidates.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let taken = if self.chosen == Some(at) { '*' } else { ':' };
            write!(f, "{space}{}{taken}{}", weighed.endpoint, weighed.warm)?;
            if !weighed.wait.is_zero() {
                write!(f, "+{:.1}s", weighed.wait.as_secs_f64())?;
            }
            write!(f, "={:.4}", weighed.terms.total())?;
        }
        Ok(())
    }
}

impl Record {
    /// The one that was taken, and the cheapest of the others: `most` in all.
    #[must_use]
    pub fn shortened(mut self, most: usize) -> Self {
        if self.candidates.len() <= most {
            return self;
        }
        let taken = self.chosen.filter(|at| *at < self.candidates.len()).map(|at| self.candidates.remove(at));
        self.candidates.sort_by(|a, b| a.terms.total().total_cmp(&b.terms.total()));
        self.candidates.truncate(most.saturating_sub(usize::from(taken.is_some())));
        self.chosen = taken.is_some().then_some(0);
        if let Some(taken) = taken {
            self.candidates.insert(0, taken);
        }
        self.candidates.shrink_to_fit();
        self
    }

    /// The one that was taken.
    #[must_use]
    pub fn taken(&self) -> Option<&Weighed> {
        self.candidates.get(self.chosen?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weighed(name: &str, money: f64) -> Weighed {
        let terms = Terms { money, ..Terms::default() };
        Weighed { endpoint: name.into(), warm: 0, wait: Duration::ZERO, utilisation: 0.0, terms }
    }

    #[test]
    fn a_shortened_record_keeps_what_was_taken_and_the_cheapest_of_the_rest() {
        let list = [("a", 5.0), ("b", 1.0), ("c", 9.0), ("d", 2.0), ("e", 3.0)];
        let candidates = list.iter().map(|&(name, money)| weighed(name, money)).collect();
        let record = Record { tokens: 7, candidates, chosen: Some(2) };
        let whole = record.clone().shortened(5);
        assert_eq!(whole, record);
        let short = record.shortened(3);
        let names: Vec<&str> = short.candidates.iter().map(|weighed| weighed.endpoint.as_str()).collect();
        assert_eq!(names, ["c", "b", "d"]);
        assert_eq!(short.taken().map(|weighed| weighed.endpoint.as_str()), Some("c"));
        let nobody = Record { chosen: None, ..short }.shortened(1);
        assert_eq!((nobody.candidates[0].endpoint.as_str(), nobody.chosen), ("b", None));
    }
}
