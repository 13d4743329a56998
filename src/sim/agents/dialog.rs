//! A conversation that grows: what an agent sends, and what it keeps of each answer.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Identity, Workload};
use crate::types::{Dialect, Usage};

/// The tool that every agent has.
const TOOL: &str = "lookup";

/// One agent's side of its conversation.
pub(super) struct Dialog {
    dialect: Dialect,
    model: String,
    identity: Identity,
    system: String,
    /// Messages, or items of the Responses API, without cache markers.
    history: Vec<Value>,
    /// Where the turn began, to take it back when it fails.
    turn_start: usize,
    waiting: bool,
    agent: usize,
    fleet: u64,
    steer: String,
}

impl Dialog {
    pub(super) fn new(workload: &Workload, agent: usize) -> Self {
        let sentence = "You are one of a fleet of careful agents; look things up before you answer. ";
        let mut system: String = sentence.chars().cycle().take(workload.system_bytes).collect();
        if workload.identity != Identity::SameOpener {
            system.push_str(&format!("Your working directory is /fleet-{}/agent-{agent}.", workload.fleet));
        }
        let steer = format!(
            "[sim:output_tokens={}][sim:tool={TOOL}][sim:tool_rounds={}]",
            workload.output_tokens, workload.tool_rounds
        );
        Self {
            dialect: workload.dialect,
            model: workload.model.clone(),
            identity: workload.identity,
            system,
            history: Vec::new(),
            turn_start: 0,
            waiting: false,
            agent,
            fleet: workload.fleet,
            steer,
        }
    }

    pub(super) const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The last answer called a tool, whose result is in the history now.
    pub(super) const fn is_waiting_for_tools(&self) -> bool {
        self.waiting
    }

    /// The user speaks.
    pub(super) fn say(&mut self, turn: usize) {
        self.turn_start = self.history.len();
        self.waiting = false;
        let who = if turn == 0 && self.identity == Identity::SameOpener {
            "Look around and begin.".to_owned()
        } else {
            format!("Fleet {}, agent {}, turn {turn}: go on with what you found.", self.fleet, self.agent)
        };
        self.history.push(json!({"role": "user", "content": format!("{who} {}", self.steer)}));
    }

    /// Forgets the turn that failed.
    pub(super) fn take_back(&mut self) {
        self.history.truncate(self.turn_start);
        self.waiting = false;
    }

    /// The body of the next request.
    pub(super) fn request(&self, session: &str) -> Bytes {
        let schema = json!({"type": "object", "properties": {
            "query": {"type": "string"}, "limit": {"type": "integer"},
        }});
        let value = match self.dialect {
            Dialect::Anthropic => json!({
                "model": self.model, "max_tokens": 4_096, "stream": true,
                "system": [{"type": "text", "text": self.system, "cache_control": {"type": "ephemeral"}}],
                "tools": [{"name": TOOL, "description": "Looks something up.", "input_schema": schema}],
                "messages": marked(&self.history),
            }),
            Dialect::OpenAiChat => {
                let mut messages = vec![json!({"role": "system", "content": self.system})];
                messages.extend(self.history.iter().cloned());
                json!({
                    "model": self.model, "stream": true, "stream_options": {"include_usage": true},
                    "tools": [{"type": "function", "function": {
                        "name": TOOL, "description": "Looks something up.", "parameters": schema,
                    }}],
                    "messages": messages,
                })
            }
            Dialect::OpenAiResponses => {
                let mut body = json!({
                    "model": self.model, "stream": true, "store": false, "instructions": self.system,
                    "tools": [{"type": "function", "name": TOOL, "parameters": schema, "strict": false}],
                    "input": self.history,
                });
                if self.identity == Identity::Header {
                    body["prompt_cache_key"] = session.into();
                }
                body
            }
        };
        Bytes::from(value.to_string())
    }

    /// Takes an answer into the history, with a result for every tool it calls. `None` when the stream
    /// did not end as its dialect wants it; the history is then as before.
    pub(super) fn hear(&mut self, body: &[u8]) -> Option<Usage> {
        let text = std::str::from_utf8(body).ok()?;
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .filter_map(|data| serde_json::from_str(data).ok())
            .collect();
        let before = self.history.len();
        let usage = match self.dialect {
            Dialect::Anthropic => self.hear_message(&events),
            Dialect::OpenAiChat => self.hear_chunks(&events, text.ends_with("data: [DONE]\n\n")),
            Dialect::OpenAiResponses => self.hear_response(&events),
        };
        if usage.is_none() {
            self.history.truncate(before);
        }
        usage
    }

    fn hear_message(&mut self, events: &[Value]) -> Option<Usage> {
        let mut blocks: Vec<(Value, String)> = Vec::new();
        let mut usage = Usage::default();
        let mut complete = false;
        for event in events {
            match event["type"].as_str()? {
                "message_start" => usage = anthropic_usage(&event["message"]["usage"]),
                "content_block_start" => blocks.push((event["content_block"].clone(), String::new())),
                "content_block_delta" => {
                    let delta = &event["delta"];
                    let piece = delta["text"].as_str().or_else(|| delta["partial_json"].as_str());
                    blocks.last_mut()?.1.push_str(piece.unwrap_or(""));
                }
                "message_delta" => usage.output = event["usage"]["output_tokens"].as_u64()?,
                "message_stop" => complete = true,
                "error" => return None,
                _ => {}
            }
        }
        let (mut content, mut results) = (Vec::new(), Vec::new());
        for (mut block, text) in blocks {
            if block["type"] == "tool_use" {
                block["input"] = serde_json::from_str(&text).ok()?;
                let result = json!({
                    "type": "tool_result", "tool_use_id": block["id"], "content": found(&block["id"]),
                });
                results.push(result);
            } else {
                block["text"] = text.into();
            }
            content.push(block);
        }
        self.history.push(json!({"role": "assistant", "content": content}));
        self.waiting = !results.is_empty();
        if self.waiting {
            self.history.push(json!({"role": "user", "content": results}));
        }
        complete.then_some(usage)
    }

    fn hear_chunks(&mut self, events: &[Value], complete: bool) -> Option<Usage> {
        let mut message = json!({"role": "assistant", "content": ""});
        let mut text = String::new();
        let mut calls: Vec<(Value, String)> = Vec::new();
        let mut usage = Usage::default();
        for event in events {
            if event["usage"].is_object() {
                usage = openai_usage(&event["usage"], "prompt");
            }
            let delta = &event["choices"][0]["delta"];
            text.push_str(delta["content"].as_str().unwrap_or(""));
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                if call["id"].is_string() {
                    calls.push((call.clone(), String::new()));
                }
                calls.last_mut()?.1.push_str(call["function"]["arguments"].as_str().unwrap_or(""));
            }
        }
        self.waiting = !calls.is_empty();
        message["content"] = text.into();
        let mut results = Vec::new();
        if self.waiting {
            let calls: Vec<Value> = calls
                .into_iter()
                .map(|(call, arguments)| {
                    let id = &call["id"];
                    results.push(json!({"role": "tool", "tool_call_id": id, "content": found(id)}));
                    let function = json!({"name": call["function"]["name"], "arguments": arguments});
                    json!({"id": id, "type": "function", "function": function})
                })
                .collect();
            message["tool_calls"] = calls.into();
        }
        self.history.push(message);
        self.history.extend(results);
        complete.then_some(usage)
    }

    fn hear_response(&mut self, events: &[Value]) -> Option<Usage> {
        let last = events.iter().find(|event| event["type"] == "response.completed")?;
        let response = &last["response"];
        self.waiting = false;
        let mut results = Vec::new();
        for item in response["output"].as_array()? {
            if item["type"] == "function_call" {
                let id = &item["call_id"];
                results.push(json!({"type": "function_call_output", "call_id": id, "output": found(id)}));
                self.waiting = true;
            }
            self.history.push(item.clone());
        }
        self.history.extend(results);
        Some(openai_usage(&response["usage"], "input"))
    }
}

/// A moving breakpoint on the last block of the last message, as Claude Code sets it.
fn marked(history: &[Value]) -> Vec<Value> {
    let mut messages = history.to_vec();
    if let Some(last) = messages.last_mut() {
        if let Some(text) = last["content"].as_str().map(str::to_owned) {
            last["content"] = json!([{"type": "text", "text": text}]);
        }
        if let Some(block) = last["content"].as_array_mut().and_then(|blocks| blocks.last_mut()) {
            block["cache_control"] = json!({"type": "ephemeral"});
        }
    }
    messages
}

/// What the tool found: a few hundred bytes.
fn found(id: &Value) -> String {
    format!("{id}: {}", "a line of what was found; ".repeat(12))
}

fn anthropic_usage(usage: &Value) -> Usage {
    let of = |key: &str| usage[key].as_u64().unwrap_or(0);
    Usage {
        input: of("input_tokens"),
        cached_read: of("cache_read_input_tokens"),
        write_5m: usage["cache_creation"]["ephemeral_5m_input_tokens"].as_u64().unwrap_or(0),
        write_1h: usage["cache_creation"]["ephemeral_1h_input_tokens"].as_u64().unwrap_or(0),
        output: of("output_tokens"),
        reasoning: 0,
    }
}

fn openai_usage(usage: &Value, input: &str) -> Usage {
    let output = if input == "prompt" { "completion" } else { "output" };
    let of = |kind: &str| usage[format!("{kind}_tokens")].as_u64().unwrap_or(0);
    let detail = |kind: &str, key: &str| usage[format!("{kind}_tokens_details")][key].as_u64().unwrap_or(0);
    let (read, written) = (detail(input, "cached_tokens"), detail(input, "cache_write_tokens"));
    Usage {
        input: of(input).saturating_sub(read + written),
        cached_read: read,
        write_5m: written,
        write_1h: 0,
        output: of(output),
        reasoning: detail(output, "reasoning_tokens"),
    }
}
