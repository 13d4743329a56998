//! What a translation cannot carry over.

use std::borrow::Cow;

/// How much is lost with a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(in crate::dialect) enum Weight {
    /// The answer means the same without it: metadata, a cache's marks, a tier, a storage option.
    Hint,
    /// The model would answer something else: an image, a stop sequence, a tool.
    Meaning,
}

/// What the configuration lets go (`on_loss` of a provider).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnLoss {
    /// Nothing: every member that the target cannot express is a 400.
    Refuse,
    /// Hints only; a member that changes the answer is a 400.
    #[default]
    DropHints,
    /// Anything.
    Drop,
}

/// A member that was left out, as the caller would write it (`messages[2].content[1]`).
pub type Lost = Cow<'static, str>;

/// A request that a provider's dialect cannot express.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// The member.
    pub field: String,
    /// Why not, as the end of a sentence that begins with the member.
    pub why: Cow<'static, str>,
}

/// Everything that is lost on the way of one request.
#[derive(Clone, Default, Debug)]
pub(in crate::dialect) struct Losses(Vec<Loss>);

#[derive(Clone, Debug)]
struct Loss {
    field: Lost,
    weight: Weight,
    why: Cow<'static, str>,
}

impl Losses {
    /// A header names no more than this many; a hostile body must not make it a megabyte.
    const MOST: usize = 64;

    /// Writes down a loss. The same member is written down once.
    pub(in crate::dialect) fn add(
        &mut self,
        field: impl Into<Lost>,
        weight: Weight,
        why: impl Into<Cow<'static, str>>,
    ) {
        let field = field.into();
        if self.0.iter().any(|loss| loss.field == field) {
            return;
        }
        let loss = Loss { field, weight, why: why.into() };
        if self.0.len() < Self::MOST {
            self.0.push(loss);
        } else if weight == Weight::Meaning
            && let Some(last) = self.0.last_mut()
            && last.weight == Weight::Hint
        {
            // What decides between yes and no must not be crowded out.
            *last = loss;
        }
    }

    /// What was dropped, where `policy` lets all of it go; else the first that it does not.
    pub(in crate::dialect) fn settle(self, policy: OnLoss) -> Result<Vec<Lost>, Refused> {
        let kept = |loss: &&Loss| match policy {
            OnLoss::Refuse => true,
            OnLoss::DropHints => loss.weight == Weight::Meaning,
            OnLoss::Drop => false,
        };
        if let Some(loss) = self.0.iter().find(kept) {
            return Err(Refused { field: loss.field.to_string(), why: loss.why.clone() });
        }
        Ok(self.0.into_iter().map(|loss| loss.field).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_says_what_may_go() {
        let mut losses = Losses::default();
        losses.add("metadata", Weight::Hint, "is unknown there");
        losses.add("metadata", Weight::Hint, "is unknown there");
        assert_eq!(losses.clone().settle(OnLoss::DropHints).unwrap(), ["metadata"]);
        assert_eq!(losses.clone().settle(OnLoss::Refuse).unwrap_err().field, "metadata");
        losses.add("n", Weight::Meaning, "must be 1");
        assert_eq!(losses.clone().settle(OnLoss::DropHints).unwrap_err().field, "n");
        assert_eq!(losses.settle(OnLoss::Drop).unwrap(), ["metadata", "n"]);
    }

    #[test]
    fn what_matters_is_not_crowded_out() {
        let mut losses = Losses::default();
        for n in 0..200 {
            losses.add(format!("hint{n}"), Weight::Hint, "x");
        }
        losses.add("n", Weight::Meaning, "must be 1");
        assert_eq!(losses.settle(OnLoss::DropHints).unwrap_err().field, "n");
    }
}
