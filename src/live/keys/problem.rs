//! What is wrong with something that was written over the API: where, what, and what to write instead.

use std::fmt;

/// One thing that is wrong. For whoever wrote it, and for nobody's log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The member, such as `budgets[1]`; empty is all of it.
    pub at: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// Something is wrong.
    #[must_use]
    pub fn new(at: impl Into<String>, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "`{}`: ", self.at)?;
        }
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Problem {}
