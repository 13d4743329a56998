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
    /// The one that was taken.
    #[must_use]
    pub fn taken(&self) -> Option<&Weighed> {
        self.candidates.get(self.chosen?)
    }
}
