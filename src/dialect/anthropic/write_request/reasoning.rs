//! How much to think, in the words of the model's age.

use super::{MAX_TOKENS, Name, Scribe, turns::Turn, turns::called_without_thinking};
use crate::dialect::neutral::{Effort, Escaped, ToolChoice, Weight, Writer};

/// The least budget that is taken (anthropic 2.12.0, `types/thinking_config_enabled_param.py`).
const LEAST_BUDGET: u64 = 1_024;

/// `thinking` and `output_config.effort`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Plan {
    pub thinking: Option<Thinking>,
    pub effort: Option<&'static str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Thinking {
    Disabled,
    Adaptive,
    Enabled(u64),
}

impl Plan {
    /// The model will think: not every setting goes together with that.
    pub(super) fn thinks(self) -> bool {
        matches!(self.thinking, Some(Thinking::Adaptive | Thinking::Enabled(_)))
    }
}

impl Scribe<'_, '_> {
    pub(super) fn plan(&mut self, turns: &[Turn<'_>]) -> Plan {
        let Some(reasoning) = &self.request.reasoning else { return Plan::default() };
        let mut plan = self.wished(&reasoning.effort);
        if let Some(Thinking::Enabled(budget)) = plan.thinking {
            plan.thinking = self.affordable(budget, turns);
        }
        let forced = matches!(self.request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_)));
        if forced && plan.thinks() && !self.is_native() {
            plan.thinking = None;
            let why = "cannot be had together with a `tool_choice` that forces a call";
            self.lose(Name::Reasoning, Weight::Hint, why);
        }
        plan
    }

    fn wished(&mut self, effort: &Effort<'_>) -> Plan {
        let adaptive = self.age.thinks_adaptively();
        let (thinking, level) = match effort {
            Effort::Off => (Thinking::Disabled, None),
            Effort::Level(level) if level.raw() == "none" => (Thinking::Disabled, None),
            // In Anthropic's own words it is not about thinking alone.
            Effort::Level(level) if self.is_native() => {
                return Plan { thinking: None, effort: self.level(level.raw()) };
            }
            Effort::Level(level) if adaptive => (Thinking::Adaptive, Some(level.raw())),
            Effort::Adaptive(level) if adaptive => (Thinking::Adaptive, level.as_ref().map(Escaped::raw)),
            Effort::Budget(_) if !self.is_native() && !self.age.takes_budgets() => {
                (Thinking::Adaptive, Some(effort.level()))
            }
            Effort::Budget(_) | Effort::Level(_) | Effort::Adaptive(_) => {
                (Thinking::Enabled(effort.budget()), None)
            }
        };
        Plan { thinking: Some(thinking), effort: level.and_then(|level| self.level(level)) }
    }

    /// A level in Anthropic's words (`types/output_config_param.py`).
    fn level(&mut self, level: &str) -> Option<&'static str> {
        match level {
            "minimal" | "low" => Some("low"),
            "medium" => Some("medium"),
            "high" => Some("high"),
            "xhigh" if self.age.knows_xhigh() => Some("xhigh"),
            "xhigh" => Some("high"),
            "max" => Some("max"),
            _ => {
                self.lose(Name::Reasoning, Weight::Meaning, "is a level that is unknown to Anthropic");
                None
            }
        }
    }

    /// A budget that leaves room for the answer.
    fn affordable(&mut self, budget: u64, turns: &[Turn<'_>]) -> Option<Thinking> {
        let room = match self.request.max_output {
            // It counts as output, and must be less.
            Some(max) => max.saturating_sub(1),
            None => MAX_TOKENS / 4 * 3,
        };
        if room < LEAST_BUDGET {
            self.lose(Name::Reasoning, Weight::Hint, "leaves no room within the limit of the output");
            return None;
        }
        if called_without_thinking(turns) {
            let why = "cannot begin in the midst of a turn whose first calls came without thinking";
            self.lose(Name::Reasoning, Weight::Hint, why);
            return None;
        }
        Some(Thinking::Enabled(budget.clamp(LEAST_BUDGET, room)))
    }

    pub(super) fn thinking(&self, w: &mut Writer<'_>, thinking: Thinking) {
        w.key("thinking").object(|w| match thinking {
            Thinking::Disabled => w.key("type").text("disabled"),
            Thinking::Enabled(budget) => {
                w.key("type").text("enabled");
                w.key("budget_tokens").number(budget);
            }
            Thinking::Adaptive => {
                w.key("type").text("adaptive");
                let shown =
                    self.request.reasoning.as_ref().is_some_and(|reasoning| reasoning.summary.is_some());
                if shown {
                    w.key("display").text("summarized");
                } else if self.is_native() {
                    w.key("display").text("omitted");
                }
            }
        });
    }
}
