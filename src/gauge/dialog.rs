//! A conversation that grows: what an agent sends, in any dialect.
//!
//! History is only ever added to, so every prompt begins with the one before it: what is not read from a
//! cache then is nobody's fault but the endpoint's. A nonce stands in front of everything, so that no run
//! finds warm what another one wrote.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    prose::prose,
    said::{Call, Said},
};
use crate::types::Dialect;

/// The tools' descriptions, in bytes each.
const TOOL_BYTES: usize = 900;

/// What all conversations of a kind begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    /// An agent: 12 KB of system prompt and tools. Small beside what is the agent's own, as it is in life, so
    /// that reading it at any account does not pass for a warm conversation.
    Agent,
    /// A sub-agent: 24 KB of other words and fewer tools; it is told little else.
    Helper,
    /// The probe: more than any provider's least prefix, without tools.
    Probe,
    /// Nothing but one question.
    Check,
}

impl Opening {
    const fn system_bytes(self) -> usize {
        match self {
            Self::Agent => 7_000,
            Self::Helper => 22_000,
            Self::Probe => 26_000,
            Self::Check => 0,
        }
    }

    const fn tools(self) -> &'static [&'static str] {
        match self {
            Self::Agent => {
                &["read_file", "search_text", "list_folder", "run_command", "write_file", "look_up"]
            }
            Self::Helper => &["read_file", "search_text", "list_folder"],
            Self::Probe | Self::Check => &[],
        }
    }

    const fn seed(self) -> u64 {
        match self {
            Self::Agent => 1,
            Self::Helper => 2,
            Self::Probe | Self::Check => 3,
        }
    }

    /// The system prompt and the tools, in bytes.
    pub(super) const fn bytes(self) -> usize {
        self.system_bytes() + self.tools().len() * TOOL_BYTES
    }
}

/// How a conversation is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Manner {
    pub(super) dialect: Dialect,
    pub(super) model: String,
    pub(super) max_tokens: u32,
    /// In front of everything.
    pub(super) nonce: String,
    /// The session, where ids are said.
    pub(super) session: Option<String>,
}

/// One conversation.
pub(super) struct Dialog {
    manner: Manner,
    opening: Opening,
    system: String,
    tools: Value,
    /// Messages, or items of the Responses API, without marks; texts stand in lists, as marks need it.
    history: Vec<Value>,
    /// Calls that the model waits for.
    pending: Vec<Call>,
}

impl Dialog {
    pub(super) fn new(manner: Manner, opening: Opening) -> Self {
        let system = match opening.system_bytes() {
            0 => String::new(),
            bytes => format!("Run {}. {}", manner.nonce, prose(opening.seed(), bytes)),
        };
        let tools = opening.tools().iter().enumerate();
        let tools = tools.map(|(n, name)| tool(&manner, name, opening.seed() + 10 + n as u64)).collect();
        Self { manner, opening, system, tools, history: Vec::new(), pending: Vec::new() }
    }

    /// The user speaks. Calls that are still open are answered first.
    pub(super) fn say(&mut self, words: &str) {
        self.answer_calls(|_| "Nothing more to be found.".to_owned());
        let part = match self.manner.dialect {
            Dialect::Anthropic => json!({"type": "text", "text": words}),
            // In one piece: not every host of this dialect knows parts.
            Dialect::OpenAiChat => {
                self.history.push(json!({"role": "user", "content": words}));
                return;
            }
            Dialect::OpenAiResponses => json!({"type": "input_text", "text": words}),
        };
        match self.history.last_mut() {
            // Results and words are one message.
            Some(last) if self.manner.dialect == Dialect::Anthropic && last["role"] == "user" => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.push(part);
                }
            }
            _ => self.history.push(json!({"role": "user", "content": [part]})),
        }
    }

    /// Tools found this; as the user says it, when the model called none.
    pub(super) fn find(&mut self, findings: &str) {
        if self.pending.is_empty() {
            self.say(&format!("Here is what was found: {findings}"));
            return;
        }
        let mut findings = Some(findings.to_owned());
        self.answer_calls(|_| findings.take().unwrap_or_else(|| "The same.".to_owned()));
    }

    fn answer_calls(&mut self, mut result: impl FnMut(&Call) -> String) {
        let calls = std::mem::take(&mut self.pending);
        let results = calls.iter().map(|call| {
            let found = result(call);
            match self.manner.dialect {
                Dialect::Anthropic => json!({"type": "tool_result", "tool_use_id": call.id,
                    "content": [{"type": "text", "text": found}]}),
                Dialect::OpenAiChat => json!({"role": "tool", "tool_call_id": call.id, "content": found}),
                Dialect::OpenAiResponses => {
                    json!({"type": "function_call_output", "call_id": call.id, "output": found})
                }
            }
        });
        let results: Vec<Value> = results.collect();
        if results.is_empty() {
            return;
        }
        match self.manner.dialect {
            Dialect::Anthropic => self.history.push(json!({"role": "user", "content": results})),
            Dialect::OpenAiChat | Dialect::OpenAiResponses => self.history.extend(results),
        }
    }

    /// Takes an answer into the history.
    pub(super) fn hear(&mut self, said: Said) {
        // No provider takes an assistant's turn with nothing in it.
        let text = if said.text.trim().is_empty() { "Go on." } else { said.text.trim() };
        let only_calls = said.text.trim().is_empty() && !said.calls.is_empty();
        match self.manner.dialect {
            Dialect::Anthropic => {
                let words = (!only_calls).then(|| json!({"type": "text", "text": text}));
                let calls = said.calls.iter().map(|call| {
                    let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
                    json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
                });
                let content: Vec<Value> = words.into_iter().chain(calls).collect();
                self.history.push(json!({"role": "assistant", "content": content}));
            }
            Dialect::OpenAiChat => {
                let mut message = json!({"role": "assistant", "content": text});
                if only_calls {
                    message["content"] = Value::Null;
                }
                if !said.calls.is_empty() {
                    let calls = said.calls.iter().map(|call| {
                        json!({"id": call.id, "type": "function",
                            "function": {"name": call.name, "arguments": call.arguments}})
                    });
                    message["tool_calls"] = calls.collect();
                }
                self.history.push(message);
            }
            Dialect::OpenAiResponses => {
                if !only_calls {
                    self.history.push(json!({"type": "message", "role": "assistant",
                        "content": [{"type": "output_text", "text": text}]}));
                }
                self.history.extend(said.calls.iter().map(|call| {
                    json!({"type": "function_call", "call_id": call.id, "name": call.name,
                        "arguments": call.arguments})
                }));
            }
        }
        self.pending = said.calls;
    }

    /// The body of the next request.
    pub(super) fn body(&self) -> Bytes {
        let Manner { dialect, model, max_tokens, session, .. } = &self.manner;
        let mut body = json!({"model": model, "stream": true});
        match dialect {
            Dialect::Anthropic => {
                body["max_tokens"] = (*max_tokens).into();
                if !self.system.is_empty() {
                    let mark = json!({"type": "ephemeral"});
                    body["system"] = json!([{"type": "text", "text": self.system, "cache_control": mark}]);
                }
                body["messages"] = self.marked().into();
                if let Some(session) = session {
                    let user = format!("user_{}_account__session_{session}", self.manner.nonce);
                    body["metadata"] = json!({"user_id": user});
                }
            }
            Dialect::OpenAiChat => {
                let system =
                    (!self.system.is_empty()).then(|| json!({"role": "system", "content": self.system}));
                body["messages"] = system.into_iter().chain(self.history.iter().cloned()).collect();
                body["stream_options"] = json!({"include_usage": true});
                body[limit_name(model)] = (*max_tokens).into();
            }
            Dialect::OpenAiResponses => {
                if !self.system.is_empty() {
                    body["instructions"] = self.system.as_str().into();
                }
                body["input"] = self.history.clone().into();
                body["store"] = false.into();
                body["max_output_tokens"] = (*max_tokens).into();
            }
        }
        if let (Dialect::OpenAiChat | Dialect::OpenAiResponses, Some(session)) = (dialect, session) {
            body["prompt_cache_key"] = session.as_str().into();
        }
        if self.tools.as_array().is_some_and(|tools| !tools.is_empty()) {
            body["tools"] = self.tools.clone();
        }
        Bytes::from(body.to_string())
    }

    /// A mark that moves along on the last block, as Claude Code sets it.
    fn marked(&self) -> Vec<Value> {
        let mut messages = self.history.clone();
        if self.opening != Opening::Check
            && let Some(last) = messages.last_mut().and_then(|last| last["content"].as_array_mut())
            && let Some(block) = last.last_mut()
        {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
        messages
    }

    /// Whether a prompt says what is to be cached; `None` where it cannot.
    pub(super) fn marked_at_all(&self) -> Option<bool> {
        (self.manner.dialect == Dialect::Anthropic).then_some(self.opening != Opening::Check)
    }
}

/// OpenAI's own models know only the new name, most others only the old one.
fn limit_name(model: &str) -> &'static str {
    let name = model.rsplit('/').next().unwrap_or(model);
    let reasoner = name.strip_prefix('o').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if reasoner || name.starts_with("gpt-") { "max_completion_tokens" } else { "max_tokens" }
}

fn tool(manner: &Manner, name: &str, seed: u64) -> Value {
    // Tools come before the system prompt in what providers cache.
    let description = format!("Run {}. {}", manner.nonce, prose(seed, TOOL_BYTES - 300));
    let schema = json!({"type": "object", "properties": {
        "query": {"type": "string", "description": "What to look for."},
        "limit": {"type": "integer", "description": "The most lines to be given back."},
    }});
    match manner.dialect {
        Dialect::Anthropic => json!({"name": name, "description": description, "input_schema": schema}),
        Dialect::OpenAiChat => json!({"type": "function", "function": {
            "name": name, "description": description, "parameters": schema}}),
        Dialect::OpenAiResponses => json!({"type": "function", "name": name, "description": description,
            "parameters": schema, "strict": false}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialog(dialect: Dialect, session: Option<&str>) -> Dialog {
        let manner = Manner {
            dialect,
            model: "m".to_owned(),
            max_tokens: 64,
            nonce: "n1".to_owned(),
            session: session.map(str::to_owned),
        };
        Dialog::new(manner, Opening::Agent)
    }

    fn body(dialog: &Dialog) -> Value {
        serde_json::from_slice(&dialog.body()).expect("JSON")
    }

    fn called() -> Said {
        let call = Call { id: "t1".to_owned(), name: "look_up".to_owned(), arguments: "{}".to_owned() };
        Said { text: String::new(), calls: vec![call] }
    }

    /// What a provider would cache: everything but marks.
    fn unmarked(value: &Value) -> String {
        value.to_string().replace(r#""cache_control":{"type":"ephemeral"},"#, "")
    }

    #[test]
    fn every_prompt_begins_with_the_one_before_it() {
        for dialect in Dialect::ALL {
            let mut dialog = dialog(dialect, None);
            let key = if dialect == Dialect::OpenAiResponses { "input" } else { "messages" };
            let mut before = String::new();
            dialog.say("hello");
            for round in 0..4 {
                let now = unmarked(&body(&dialog)[key]);
                assert!(now.starts_with(before.trim_end_matches(']')), "{dialect} {round}: {before} {now}");
                before = now;
                dialog.hear(if round == 1 { called() } else { Said::default() });
                dialog.find("found");
            }
        }
    }

    #[test]
    fn calls_are_answered_in_the_dialect_before_anybody_speaks() {
        let mut anthropic = dialog(Dialect::Anthropic, None);
        anthropic.say("hello");
        anthropic.hear(called());
        anthropic.say("and now?");
        let messages = &body(&anthropic)["messages"];
        assert_eq!(messages[1]["content"][0]["type"], "tool_use");
        assert_eq!(messages[2]["content"][0]["tool_use_id"], "t1");
        assert_eq!(messages[2]["content"][1]["text"], "and now?");
        assert_eq!(messages[2]["content"][1]["cache_control"]["type"], "ephemeral");
        assert_eq!(messages.as_array().expect("a list").len(), 3);

        let mut chat = dialog(Dialect::OpenAiChat, None);
        chat.say("hello");
        chat.hear(called());
        chat.find("gold");
        let messages = &body(&chat)["messages"];
        assert_eq!(messages[2]["tool_calls"][0]["id"], "t1");
        assert_eq!((&messages[3]["role"], &messages[3]["content"]), (&json!("tool"), &json!("gold")));

        let mut responses = dialog(Dialect::OpenAiResponses, None);
        responses.say("hello");
        responses.hear(called());
        responses.find("gold");
        let input = &body(&responses)["input"];
        assert_eq!((&input[1]["type"], &input[2]["output"]), (&json!("function_call"), &json!("gold")));
    }

    #[test]
    fn ids_are_said_only_when_there_are_some_and_the_opening_is_long_enough() {
        for dialect in Dialect::ALL {
            let mut with = dialog(dialect, Some("s-1"));
            with.say("hello");
            let mut without = dialog(dialect, None);
            without.say("hello");
            assert!(body(&with).to_string().contains("s-1"));
            let text = body(&without).to_string();
            assert!(!text.contains("metadata") && !text.contains("prompt_cache_key"));
            assert!((12_000..16_000).contains(&text.len()), "{}", text.len());
            assert!(text.contains("Run n1."));
        }
    }

    #[test]
    fn what_is_sent_alone_is_long_enough_to_be_cached() {
        // 4,096 tokens of six bytes.
        assert!(Opening::Helper.bytes() > 24_576 && Opening::Probe.bytes() > 24_576);
        assert!(Opening::Agent.bytes() + 14_000 > 24_576);
    }

    #[test]
    fn the_limit_of_output_is_called_as_the_model_knows_it() {
        for (model, name) in [
            ("gpt-5.6", "max_completion_tokens"),
            ("openai/o3-mini", "max_completion_tokens"),
            ("olmo-3", "max_tokens"),
            ("mistral-large-4", "max_tokens"),
        ] {
            assert_eq!(limit_name(model), name);
        }
    }
}
