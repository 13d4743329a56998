//! A conversation in a client's words. Written by hand from the providers' documents, on purpose without
//! anything of the gateway's: it must not be asked about itself.

use serde_json::{Value, json};
use warmkey::types::Dialect;

use crate::talk::{Choice, Item, Talk, Turn};

/// The body that a client of this dialect would send.
pub(crate) fn body(talk: &Talk, dialect: Dialect) -> Vec<u8> {
    let mut body = match dialect {
        Dialect::Anthropic => anthropic(talk),
        Dialect::OpenAiChat => chat(talk),
        Dialect::OpenAiResponses => responses(talk),
    };
    if let Some(temperature) = talk.temperature {
        body["temperature"] = json!(temperature);
    }
    body.to_string().into_bytes()
}

fn anthropic(talk: &Talk) -> Value {
    let block = |item: &Item| match item {
        Item::User(text) | Item::Said(text) => json!({ "type": "text", "text": text }),
        Item::Image(data) => json!({
            "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": data }
        }),
        Item::Call { id, name, arguments } => {
            json!({ "type": "tool_use", "id": id, "name": name, "input": arguments })
        }
        Item::Result { id, text } => json!({ "type": "tool_result", "tool_use_id": id, "content": text }),
    };
    let message = |turn: &Turn| match turn {
        Turn::User(items) | Turn::Results(items) => {
            json!({ "role": "user", "content": items.iter().map(block).collect::<Vec<_>>() })
        }
        Turn::Assistant(said, calls) => {
            let said = said.iter().map(|text| block(&Item::Said(text.clone())));
            json!({ "role": "assistant", "content": said.chain(calls.iter().map(block)).collect::<Vec<_>>() })
        }
    };
    let tool = |tool: &crate::talk::Tool| json!({ "name": tool.name, "description": tool.description, "input_schema": tool.schema });
    let mut body = json!({
        "model": "m",
        "max_tokens": talk.max_output,
        "messages": talk.turns.iter().map(message).collect::<Vec<_>>(),
        "tools": talk.tools.iter().map(tool).collect::<Vec<_>>(),
    });
    if let Some(system) = &talk.system {
        body["system"] = json!([{ "type": "text", "text": system }]);
    }
    if !talk.stop.is_empty() {
        body["stop_sequences"] = json!(talk.stop);
    }
    match &talk.choice {
        Choice::Auto => {}
        Choice::Any => body["tool_choice"] = json!({ "type": "any" }),
        Choice::Named(name) => body["tool_choice"] = json!({ "type": "tool", "name": name }),
    }
    body
}

fn chat(talk: &Talk) -> Value {
    let part = |item: &Item| match item {
        Item::Image(data) => {
            json!({ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{data}") } })
        }
        Item::User(text) | Item::Said(text) => json!({ "type": "text", "text": text }),
        Item::Call { .. } | Item::Result { .. } => unreachable!("a message of its own"),
    };
    let call = |item: &Item| {
        let Item::Call { id, name, arguments } = item else { unreachable!("a call") };
        json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments.to_string() } })
    };
    let mut messages: Vec<Value> = Vec::new();
    messages.extend(talk.system.iter().map(|text| json!({ "role": "system", "content": text })));
    for turn in &talk.turns {
        match turn {
            Turn::User(items) => {
                let parts: Vec<_> = items.iter().map(part).collect();
                messages.push(json!({ "role": "user", "content": parts }));
            }
            Turn::Assistant(said, calls) => {
                let mut message = json!({ "role": "assistant", "content": said });
                if !calls.is_empty() {
                    message["tool_calls"] = calls.iter().map(call).collect();
                }
                messages.push(message);
            }
            Turn::Results(results) => messages.extend(results.iter().map(|item| {
                let Item::Result { id, text } = item else { unreachable!("a result") };
                json!({ "role": "tool", "tool_call_id": id, "content": text })
            })),
        }
    }
    let tool = |tool: &crate::talk::Tool| {
        json!({ "type": "function", "function": {
            "name": tool.name, "description": tool.description, "parameters": tool.schema
        } })
    };
    let mut body = json!({
        "model": "m",
        "max_completion_tokens": talk.max_output,
        "messages": messages,
        "tools": talk.tools.iter().map(tool).collect::<Vec<_>>(),
    });
    if !talk.stop.is_empty() {
        body["stop"] = json!(talk.stop);
    }
    match &talk.choice {
        Choice::Auto => {}
        Choice::Any => body["tool_choice"] = json!("required"),
        Choice::Named(name) => {
            body["tool_choice"] = json!({ "type": "function", "function": { "name": name } });
        }
    }
    body
}

fn responses(talk: &Talk) -> Value {
    let part = |item: &Item| match item {
        Item::Image(data) => {
            json!({ "type": "input_image", "image_url": format!("data:image/png;base64,{data}") })
        }
        Item::User(text) | Item::Said(text) => json!({ "type": "input_text", "text": text }),
        Item::Call { .. } | Item::Result { .. } => unreachable!("an item of its own"),
    };
    let own = |item: &Item| match item {
        Item::Call { id, name, arguments } => json!({
            "type": "function_call", "call_id": id, "name": name, "arguments": arguments.to_string()
        }),
        Item::Result { id, text } => {
            json!({ "type": "function_call_output", "call_id": id, "output": text })
        }
        Item::User(_) | Item::Said(_) | Item::Image(_) => unreachable!("part of a message"),
    };
    let mut input: Vec<Value> = Vec::new();
    for turn in &talk.turns {
        match turn {
            Turn::User(items) => {
                let parts: Vec<_> = items.iter().map(part).collect();
                input.push(json!({ "type": "message", "role": "user", "content": parts }));
            }
            Turn::Assistant(said, calls) => {
                input.extend(said.iter().map(|text| {
                    json!({ "type": "message", "role": "assistant",
                            "content": [{ "type": "output_text", "text": text, "annotations": [] }] })
                }));
                input.extend(calls.iter().map(own));
            }
            Turn::Results(results) => input.extend(results.iter().map(own)),
        }
    }
    let tool = |tool: &crate::talk::Tool| {
        json!({ "type": "function", "name": tool.name, "description": tool.description,
                "parameters": tool.schema, "strict": false })
    };
    let mut body = json!({
        "model": "m",
        "max_output_tokens": talk.max_output,
        "input": input,
        "tools": talk.tools.iter().map(tool).collect::<Vec<_>>(),
    });
    if let Some(system) = &talk.system {
        body["instructions"] = json!(system);
    }
    match &talk.choice {
        Choice::Auto => {}
        Choice::Any => body["tool_choice"] = json!("required"),
        Choice::Named(name) => body["tool_choice"] = json!({ "type": "function", "name": name }),
    }
    body
}
