//! What a model said, so that it can stand in the next prompt.
//!
//! Only text and whole tool calls are kept: thinking goes back to nobody, and a call that was cut short by
//! `max_tokens` is no call. How an answer is to be judged is read by `dialect`; this collects.

use serde_json::Value;

use crate::types::Dialect;

/// An answer's contents.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Said {
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
}

/// A tool call.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as text.
    pub(super) arguments: String,
}

impl Said {
    /// Reads a whole answer: an event stream, or one document.
    pub(super) fn read(dialect: Dialect, body: &[u8], streamed: bool) -> Self {
        let mut said = if streamed {
            let text = String::from_utf8_lossy(body);
            let data = text.lines().filter_map(|line| line.strip_prefix("data:"));
            let events: Vec<Value> = data.filter_map(|data| serde_json::from_str(data.trim()).ok()).collect();
            match dialect {
                Dialect::Anthropic => message_events(&events),
                Dialect::OpenAiChat => chunks(&events),
                Dialect::OpenAiResponses => {
                    let ends = events.iter().rev().map(|event| &event["response"]);
                    ends.map(response).find(|said| *said != Self::default()).unwrap_or_default()
                }
            }
        } else {
            let document = serde_json::from_slice(body).unwrap_or(Value::Null);
            match dialect {
                Dialect::Anthropic => message(&document),
                Dialect::OpenAiChat => chat_message(&document["choices"][0]["message"]),
                Dialect::OpenAiResponses => response(&document),
            }
        };
        let whole = |call: &Call| {
            !call.id.is_empty()
                && !call.name.is_empty()
                && serde_json::from_str::<Value>(&call.arguments).is_ok_and(|value| value.is_object())
        };
        said.calls.retain(whole);
        said
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn message(message: &Value) -> Said {
    let mut said = Said::default();
    for block in message["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => said.text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("tool_use") => said.calls.push(Call {
                id: text(&block["id"]),
                name: text(&block["name"]),
                arguments: block["input"].to_string(),
            }),
            _ => {}
        }
    }
    said
}

fn message_events(events: &[Value]) -> Said {
    let mut said = Said::default();
    let mut in_call = false;
    for event in events {
        match event["type"].as_str() {
            Some("content_block_start") => {
                let block = &event["content_block"];
                in_call = block["type"] == "tool_use";
                if in_call {
                    let call = Call { id: text(&block["id"]), name: text(&block["name"]), ..Call::default() };
                    said.calls.push(call);
                }
            }
            Some("content_block_delta") => {
                let delta = &event["delta"];
                said.text.push_str(delta["text"].as_str().unwrap_or_default());
                if in_call && let Some(call) = said.calls.last_mut() {
                    call.arguments.push_str(delta["partial_json"].as_str().unwrap_or_default());
                }
            }
            // A call without arguments has no piece of them.
            Some("content_block_stop") if in_call => {
                if let Some(call) = said.calls.last_mut().filter(|call| call.arguments.is_empty()) {
                    call.arguments.push_str("{}");
                }
            }
            _ => {}
        }
    }
    said
}

fn chat_message(message: &Value) -> Said {
    let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| Call {
        id: text(&call["id"]),
        name: text(&call["function"]["name"]),
        arguments: text(&call["function"]["arguments"]),
    });
    Said { text: text(&message["content"]), calls: calls.collect() }
}

fn chunks(events: &[Value]) -> Said {
    let mut said = Said::default();
    for event in events {
        let delta = &event["choices"][0]["delta"];
        said.text.push_str(delta["content"].as_str().unwrap_or_default());
        for piece in delta["tool_calls"].as_array().into_iter().flatten() {
            let id = text(&piece["id"]);
            if !id.is_empty() && said.calls.last().is_none_or(|call| call.id != id) {
                said.calls.push(Call { id, name: text(&piece["function"]["name"]), ..Call::default() });
            }
            if let Some(call) = said.calls.last_mut() {
                call.arguments.push_str(piece["function"]["arguments"].as_str().unwrap_or_default());
            }
        }
    }
    said
}

fn response(response: &Value) -> Said {
    let mut said = Said::default();
    for item in response["output"].as_array().into_iter().flatten() {
        match item["type"].as_str() {
            Some("message") => {
                for part in item["content"].as_array().into_iter().flatten() {
                    said.text.push_str(part["text"].as_str().unwrap_or_default());
                }
            }
            Some("function_call") => said.calls.push(Call {
                id: text(&item["call_id"]),
                name: text(&item["name"]),
                arguments: text(&item["arguments"]),
            }),
            _ => {}
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, arguments: &str) -> Call {
        Call { id: id.to_owned(), name: "look".to_owned(), arguments: arguments.to_owned() }
    }

    #[test]
    fn text_and_whole_calls_are_kept_of_every_dialect() {
        let message = concat!(
            "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"thinking\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"thinking\":\"hm\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"so \"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"be it\"}}\n\n",
            "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"t1\",\"name\":\"look\"}}\n\n",
            "data: {\"type\":\"content_block_stop\"}\n\n",
            "data: {\"type\":\"content_block_start\",\"content_block\":{\"type\":\"tool_use\",\"id\":\"t2\",\"name\":\"look\"}}\n\n",
            "data: {\"type\":\"content_block_delta\",\"delta\":{\"partial_json\":\"{\\\"cut\"}}\n\n",
        );
        let said = Said::read(Dialect::Anthropic, message.as_bytes(), true);
        assert_eq!(said, Said { text: "so be it".to_owned(), calls: vec![call("t1", "{}")] });

        let chunks = concat!(
            "data: {\"choices\":[{\"delta\":{\"content\":\"so\"}}]}\r\n\r\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"c1\",\"function\":{\"name\":\"look\",\"arguments\":\"\"}}]}}]}\r\n\r\n",
            "data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"a\\\":1}\"}}]}}]}\r\n\r\n",
            "data: [DONE]\r\n\r\n",
        );
        let said = Said::read(Dialect::OpenAiChat, chunks.as_bytes(), true);
        assert_eq!(said, Said { text: "so".to_owned(), calls: vec![call("c1", "{\"a\":1}")] });

        let done = r#"data: {"type":"response.completed","response":{"output":[{"type":"reasoning"},
            {"type":"message","content":[{"type":"output_text","text":"so"}]},
            {"type":"function_call","call_id":"f1","name":"look","arguments":"{}"}]}}"#;
        let said = Said::read(Dialect::OpenAiResponses, done.replace('\n', "").as_bytes(), true);
        assert_eq!(said, Said { text: "so".to_owned(), calls: vec![call("f1", "{}")] });
    }

    #[test]
    fn an_answer_in_one_piece_is_read_too_and_junk_says_nothing() {
        let whole = br#"{"content":[{"type":"text","text":"so"},{"type":"tool_use","id":"t1","name":"look","input":{}}]}"#;
        let said = Said::read(Dialect::Anthropic, whole, false);
        assert_eq!(said, Said { text: "so".to_owned(), calls: vec![call("t1", "{}")] });
        for dialect in Dialect::ALL {
            for junk in ["", "\u{0}", "data: {", "data: 7\n\n", "[]", "<html>"] {
                assert_eq!(Said::read(dialect, junk.as_bytes(), true), Said::default());
                assert_eq!(Said::read(dialect, junk.as_bytes(), false), Said::default());
            }
        }
    }
}
