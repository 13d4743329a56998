//! How much to think, in each family's words.

use super::{super::models::Model, Job, Words};
use crate::{
    dialect::neutral::{Content, Effort, Message, Reasoning, Role, ToolChoice, Weight},
    types::Dialect,
};

const WORDS: Words = Words { anthropic: "thinking", chat: "reasoning_effort", responses: "reasoning" };
/// The least budget that Claude takes.
const LEAST_BUDGET: u64 = 1_024;

/// What is written of it.
#[derive(Default)]
pub(super) struct Thought {
    /// A member of `additionalModelRequestFields`, and its JSON.
    pub field: Option<(&'static str, String)>,
    /// `outputConfig.effort`
    pub effort: Option<&'static str>,
}

impl Job<'_, '_> {
    pub(super) fn thought(&mut self) -> Thought {
        let Some(reasoning) = &self.request.reasoning else { return Thought::default() };
        let off = reasoning.effort.level() == "none";
        match self.model {
            Model::Claude(..) if self.model.thinks() && off => {
                Thought { field: Some(("thinking", r#"{"type":"disabled"}"#.to_owned())), effort: None }
            }
            Model::Claude(..) if self.model.thinks() => self.claude(reasoning),
            Model::Nova(2) => {
                let json = match nova(reasoning.effort.level()) {
                    Some(level) => format!(r#"{{"type":"enabled","maxReasoningEffort":"{level}"}}"#),
                    None => r#"{"type":"disabled"}"#.to_owned(),
                };
                Thought { field: Some(("reasoningConfig", json)), effort: None }
            }
            Model::Gpt => match nova(reasoning.effort.level()) {
                Some(level) => {
                    Thought { field: Some(("reasoning_effort", format!(r#""{level}""#))), effort: None }
                }
                None => self.none(off),
            },
            Model::Claude(..) | Model::Nova(_) | Model::Mistral | Model::Cohere | Model::Other => {
                self.none(off)
            }
        }
    }

    fn claude(&mut self, reasoning: &Reasoning<'_>) -> Thought {
        let native = self.request.origin == Dialect::Anthropic;
        let forced = matches!(self.request.tool_choice, Some(ToolChoice::Any | ToolChoice::Named(_)));
        if forced && !native {
            self.lost(WORDS, Weight::Hint, "cannot go together with a tool that must be called there");
            return Thought::default();
        }
        let by_budget = match &reasoning.effort {
            Effort::Budget(_) => !self.model.thinks_adaptively_only(),
            Effort::Off | Effort::Adaptive(_) | Effort::Level(_) => !self.model.thinks_adaptively(),
        };
        if by_budget {
            return self.budget(&reasoning.effort);
        }
        let effort = match &reasoning.effort {
            Effort::Adaptive(None) => None,
            effort @ (Effort::Off | Effort::Adaptive(_) | Effort::Level(_) | Effort::Budget(_)) => {
                let level = claude_level(effort.level());
                if level.is_none() {
                    self.lost(WORDS, Weight::Hint, "is of a level that is not known there");
                }
                level
            }
        };
        // Newer models keep their thoughts to themselves unless they are asked.
        let display = match reasoning.summary.as_ref().map(|summary| summary.raw()) {
            None => "",
            Some("omitted" | "none") => r#","display":"omitted""#,
            Some(_) => r#","display":"summarized""#,
        };
        let json = format!(r#"{{"type":"adaptive"{display}}}"#);
        Thought { field: Some(("thinking", json)), effort }
    }

    /// The client's own figure stays; one of ours makes room for the answer.
    fn budget(&mut self, effort: &Effort<'_>) -> Thought {
        if self.is_thoughtless_loop() {
            self.lost(
                WORDS,
                Weight::Hint,
                "needs the thinking in front of the last call, which is another's",
            );
            return Thought::default();
        }
        let mut budget = effort.budget();
        if let (Effort::Adaptive(_) | Effort::Level(_), Some(most)) = (effort, self.request.max_output) {
            budget = budget.min(most.saturating_sub(1));
            if budget < LEAST_BUDGET {
                self.lost(WORDS, Weight::Hint, "has no room within the limit of the output");
                return Thought::default();
            }
        }
        let json = format!(r#"{{"type":"enabled","budget_tokens":{budget}}}"#);
        Thought { field: Some(("thinking", json)), effort: None }
    }

    /// A tool's result is to be answered, and the call's own thinking is missing: with a budget Claude
    /// refuses that ("Expected `thinking` or `redacted_thinking`, but found `tool_use`").
    fn is_thoughtless_loop(&self) -> bool {
        let messages = &self.request.messages;
        let holds = |message: &Message<'_>, what: fn(&Content<'_>) -> bool| {
            message.parts.iter().any(|part| what(&part.content))
        };
        let is_result = |content: &Content<'_>| matches!(content, Content::ToolResult { .. });
        let in_loop = messages.last().is_some_and(|message| holds(message, is_result));
        let last = messages.iter().rev().find(|message| message.role == Role::Assistant);
        let thought = last.is_some_and(|message| {
            message.parts.iter().any(|part| match &part.content {
                Content::Thinking { text, seal } => self.thinking(text, seal).is_some(),
                Content::Text(_)
                | Content::Media(_)
                | Content::ToolCall { .. }
                | Content::ToolResult { .. }
                | Content::Refusal(_) => false,
            })
        });
        in_loop && !thought
    }

    /// A model without a switch: what does not think need not be told so.
    fn none(&mut self, off: bool) -> Thought {
        if !off || self.model == Model::Gpt {
            self.lost(WORDS, Weight::Hint, "has no counterpart for this model");
        }
        Thought::default()
    }
}

/// `low`, `medium`, `high`; `None` is off.
fn nova(level: &str) -> Option<&'static str> {
    match level {
        "none" => None,
        "minimal" | "low" => Some("low"),
        "medium" => Some("medium"),
        _ => Some("high"),
    }
}

/// `OutputConfig.effort` of botocore.
fn claude_level(level: &str) -> Option<&'static str> {
    ["low", "medium", "high", "xhigh", "max"]
        .into_iter()
        .find(|known| *known == level)
        .or((level == "minimal").then_some("low"))
}
