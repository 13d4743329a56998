//! What a provider would understand of a body. Read by hand from the providers' documents, on purpose
//! without anything of the gateway's. A member that is not known here stops the test: nothing that is sent
//! may go unlooked at.

use serde_json::{Map, Value};
use warmkey::types::ProviderDialect;

use crate::talk::{Choice, Item, Tool};

/// A request as understood.
#[derive(PartialEq, Debug)]
pub(crate) struct View {
    pub system: String,
    pub items: Vec<Item>,
    pub tools: Vec<Tool>,
    pub choice: Choice,
    pub max_output: Option<u64>,
    pub temperature: Option<f64>,
    pub stop: Vec<String>,
}

type Object = Map<String, Value>;

/// Reads a provider's body.
pub(crate) fn view(provider: ProviderDialect, body: &[u8]) -> View {
    let body: Value = serde_json::from_slice(body).expect("JSON");
    match provider {
        ProviderDialect::Anthropic => anthropic(&body, &["model", "stream", "cache_control"]),
        ProviderDialect::BedrockClaude => anthropic(&body, &["anthropic_version"]),
        ProviderDialect::OpenAiChat => chat(&body),
        ProviderDialect::OpenAiResponses => responses(&body),
        ProviderDialect::Gemini => gemini(&body),
        ProviderDialect::Bedrock => bedrock(&body),
    }
}

fn object(value: &Value) -> &Object {
    value.as_object().unwrap_or_else(|| panic!("an object: {value}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a string: {value}")).to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}

/// Parts of a content that may be one text alone.
fn parts(content: &Value) -> Vec<Value> {
    content.as_str().map_or_else(
        || list(content).cloned().collect(),
        |text| vec![serde_json::json!({ "type": "input_text", "text": text })],
    )
}

/// What they say.
fn words(content: &Value) -> String {
    parts(content).iter().map(|part| text(&part["text"])).collect()
}

/// No member but these.
fn only(value: &Value, known: &[&str]) {
    for name in object(value).keys() {
        assert!(known.contains(&name.as_str()), "`{name}` in {value}");
    }
}

fn spelled(value: &Value) -> Value {
    serde_json::from_str(&text(value)).expect("arguments")
}

fn data_url(value: &Value) -> String {
    text(value).strip_prefix("data:image/png;base64,").expect("a data URL").to_owned()
}

fn anthropic(body: &Value, own: &[&str]) -> View {
    let members =
        ["max_tokens", "messages", "tools", "system", "stop_sequences", "tool_choice", "temperature"];
    only(body, &[&members, own].concat());
    let mut items = Vec::new();
    for message in list(&body["messages"]) {
        only(message, &["role", "content"]);
        let user = message["role"] == "user";
        if let Value::String(text) = &message["content"] {
            items.push(if user { Item::User(text.clone()) } else { Item::Said(text.clone()) });
        }
        items.extend(list(&message["content"]).map(|block| anthropic_block(block, user)));
    }
    let tool = |tool: &Value| {
        only(tool, &["name", "description", "input_schema", "cache_control", "type", "strict"]);
        Tool {
            name: text(&tool["name"]),
            description: text(&tool["description"]),
            schema: tool["input_schema"].clone(),
        }
    };
    let system = words(&body["system"]);
    View {
        system,
        items,
        tools: list(&body["tools"]).map(tool).collect(),
        choice: match body["tool_choice"]["type"].as_str() {
            None | Some("auto") => Choice::Auto,
            Some("any") => Choice::Any,
            Some("tool") => Choice::Named(text(&body["tool_choice"]["name"])),
            Some(other) => panic!("no choice: {other}"),
        },
        max_output: body["max_tokens"].as_u64(),
        temperature: body["temperature"].as_f64(),
        stop: texts(&body["stop_sequences"]),
    }
}

fn anthropic_block(block: &Value, user: bool) -> Item {
    match block["type"].as_str() {
        Some("text") if user => Item::User(text(&block["text"])),
        Some("text") => Item::Said(text(&block["text"])),
        Some("image") => {
            assert_eq!(block["source"]["media_type"], "image/png");
            Item::Image(text(&block["source"]["data"]))
        }
        Some("tool_use") => Item::Call {
            id: text(&block["id"]),
            name: text(&block["name"]),
            arguments: block["input"].clone(),
        },
        Some("tool_result") => {
            assert!(block["is_error"] != true, "{block}");
            let said = words(&block["content"]);
            Item::Result { id: text(&block["tool_use_id"]), text: said }
        }
        _ => panic!("no block: {block}"),
    }
}

fn chat(body: &Value) -> View {
    only(
        body,
        &[
            "model",
            "max_completion_tokens",
            "messages",
            "tools",
            "stop",
            "tool_choice",
            "temperature",
            "stream",
        ],
    );
    let mut system = String::new();
    let mut items = Vec::new();
    for message in list(&body["messages"]) {
        only(message, &["role", "content", "tool_calls", "tool_call_id"]);
        let parts = parts(&message["content"]);
        match message["role"].as_str() {
            Some("system" | "developer") => {
                assert!(items.is_empty(), "the system prompt stands first");
                system.extend(parts.iter().map(|part| text(&part["text"])));
            }
            Some("user") => items.extend(parts.iter().map(|part| match part["type"].as_str() {
                Some("text" | "input_text") => Item::User(text(&part["text"])),
                Some("image_url") => Item::Image(data_url(&part["image_url"]["url"])),
                _ => panic!("no part: {part}"),
            })),
            Some("assistant") => {
                items.extend(parts.iter().map(|part| Item::Said(text(&part["text"]))));
                items.extend(list(&message["tool_calls"]).map(|call| Item::Call {
                    id: text(&call["id"]),
                    name: text(&call["function"]["name"]),
                    arguments: spelled(&call["function"]["arguments"]),
                }));
            }
            Some("tool") => items.push(Item::Result {
                id: text(&message["tool_call_id"]),
                text: parts.iter().map(|part| text(&part["text"])).collect(),
            }),
            _ => panic!("no message: {message}"),
        }
    }
    View {
        system,
        items,
        tools: list(&body["tools"]).map(|tool| function(&tool["function"])).collect(),
        choice: openai_choice(&body["tool_choice"], &body["tool_choice"]["function"]["name"]),
        max_output: body["max_completion_tokens"].as_u64(),
        temperature: body["temperature"].as_f64(),
        stop: body["stop"].as_str().map_or_else(|| texts(&body["stop"]), |one| vec![one.to_owned()]),
    }
}

fn function(tool: &Value) -> Tool {
    only(tool, &["type", "name", "description", "parameters", "strict"]);
    assert!(tool["strict"] != true, "nobody asked for strict: {tool}");
    Tool {
        name: text(&tool["name"]),
        description: text(&tool["description"]),
        schema: tool["parameters"].clone(),
    }
}

fn openai_choice(choice: &Value, name: &Value) -> Choice {
    match choice.as_str() {
        Some("required") => Choice::Any,
        Some("auto") => Choice::Auto,
        Some(other) => panic!("no choice: {other}"),
        None => name.as_str().map_or(Choice::Auto, |name| Choice::Named(name.to_owned())),
    }
}

fn responses(body: &Value) -> View {
    only(
        body,
        &[
            "model",
            "max_output_tokens",
            "input",
            "instructions",
            "tools",
            "tool_choice",
            "temperature",
            "stream",
            "store",
            "include",
        ],
    );
    assert_eq!(body["store"], false, "what is sent on is not to be kept");
    let mut system = body["instructions"].as_str().unwrap_or_default().to_owned();
    let mut items = Vec::new();
    for item in list(&body["input"]) {
        match item["type"].as_str().unwrap_or("message") {
            "message" => {
                let parts = parts(&item["content"]);
                let role = item["role"].as_str().unwrap_or_default();
                for part in parts {
                    match (role, part["type"].as_str()) {
                        ("system" | "developer", Some("input_text")) => system += &text(&part["text"]),
                        ("user", Some("input_text")) => items.push(Item::User(text(&part["text"]))),
                        ("user", Some("input_image")) => {
                            items.push(Item::Image(data_url(&part["image_url"])));
                        }
                        // The API refuses `input_text` from the model.
                        ("assistant", Some("output_text")) => items.push(Item::Said(text(&part["text"]))),
                        ("assistant", Some("input_text")) if item["content"].is_string() => {
                            items.push(Item::Said(text(&part["text"])));
                        }
                        _ => panic!("no part: {part} of {item}"),
                    }
                }
            }
            "function_call" => items.push(Item::Call {
                id: text(&item["call_id"]),
                name: text(&item["name"]),
                arguments: spelled(&item["arguments"]),
            }),
            "function_call_output" => {
                items.push(Item::Result { id: text(&item["call_id"]), text: words(&item["output"]) });
            }
            _ => panic!("no item: {item}"),
        }
    }
    View {
        system,
        items,
        tools: list(&body["tools"]).map(function).collect(),
        choice: openai_choice(&body["tool_choice"], &body["tool_choice"]["name"]),
        max_output: body["max_output_tokens"].as_u64(),
        temperature: body["temperature"].as_f64(),
        stop: Vec::new(),
    }
}

fn gemini(body: &Value) -> View {
    only(body, &["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"]);
    let mut items = Vec::new();
    let mut before = "";
    for content in list(&body["contents"]) {
        only(content, &["role", "parts"]);
        let role = content["role"].as_str().unwrap_or_default();
        assert_ne!(role, before, "roles take turns");
        before = role;
        for part in list(&content["parts"]) {
            only(part, &["text", "inlineData", "functionCall", "functionResponse", "thoughtSignature"]);
            items.push(gemini_part(part, role == "user"));
        }
    }
    let tool = |tool: &Value| {
        only(tool, &["name", "description", "parametersJsonSchema"]);
        Tool {
            name: text(&tool["name"]),
            description: text(&tool["description"]),
            schema: tool["parametersJsonSchema"].clone(),
        }
    };
    let calling = &body["toolConfig"]["functionCallingConfig"];
    let settings = &body["generationConfig"];
    only(settings, &["maxOutputTokens", "temperature", "stopSequences"]);
    View {
        system: list(&body["systemInstruction"]["parts"]).map(|part| text(&part["text"])).collect(),
        items,
        tools: list(&body["tools"])
            .flat_map(|tools| list(&tools["functionDeclarations"]))
            .map(tool)
            .collect(),
        choice: match (calling["mode"].as_str(), texts(&calling["allowedFunctionNames"]).as_slice()) {
            (None | Some("AUTO"), []) => Choice::Auto,
            (Some("ANY"), []) => Choice::Any,
            (Some("ANY"), [name]) => Choice::Named(name.clone()),
            _ => panic!("no choice: {calling}"),
        },
        max_output: settings["maxOutputTokens"].as_u64(),
        temperature: settings["temperature"].as_f64(),
        stop: texts(&settings["stopSequences"]),
    }
}

fn gemini_part(part: &Value, user: bool) -> Item {
    if let Some(call) = part.get("functionCall") {
        only(call, &["id", "name", "args"]);
        return Item::Call {
            id: text(&call["id"]),
            name: text(&call["name"]),
            arguments: call["args"].clone(),
        };
    }
    if let Some(result) = part.get("functionResponse") {
        only(result, &["id", "name", "response"]);
        let response = object(&result["response"]);
        let said = response.get("output").or_else(|| response.get("result")).expect("an output");
        return Item::Result { id: text(&result["id"]), text: text(said) };
    }
    if let Some(data) = part.get("inlineData") {
        assert_eq!(data["mimeType"], "image/png");
        return Item::Image(text(&data["data"]));
    }
    let said = text(&part["text"]);
    if user { Item::User(said) } else { Item::Said(said) }
}

fn bedrock(body: &Value) -> View {
    only(body, &["messages", "system", "toolConfig", "inferenceConfig", "additionalModelResponseFieldPaths"]);
    let is_point = |block: &&Value| block.get("cachePoint").is_none();
    let mut items = Vec::new();
    let mut before = "";
    for message in list(&body["messages"]) {
        only(message, &["role", "content"]);
        let role = message["role"].as_str().unwrap_or_default();
        assert_ne!(role, before, "roles take turns");
        before = role;
        items.extend(
            list(&message["content"]).filter(is_point).map(|block| bedrock_block(block, role == "user")),
        );
    }
    let tool = |tool: &Value| {
        let spec = &tool["toolSpec"];
        only(spec, &["name", "description", "inputSchema"]);
        Tool {
            name: text(&spec["name"]),
            description: text(&spec["description"]),
            schema: spec["inputSchema"]["json"].clone(),
        }
    };
    let choice = &body["toolConfig"]["toolChoice"];
    let settings = &body["inferenceConfig"];
    only(settings, &["maxTokens", "temperature", "stopSequences"]);
    View {
        system: list(&body["system"]).filter(is_point).map(|block| text(&block["text"])).collect(),
        items,
        tools: list(&body["toolConfig"]["tools"]).filter(is_point).map(tool).collect(),
        choice: match choice.as_object().and_then(|choice| choice.keys().next()).map(String::as_str) {
            None | Some("auto") => Choice::Auto,
            Some("any") => Choice::Any,
            Some("tool") => Choice::Named(text(&choice["tool"]["name"])),
            Some(other) => panic!("no choice: {other}"),
        },
        max_output: settings["maxTokens"].as_u64(),
        temperature: settings["temperature"].as_f64(),
        stop: texts(&settings["stopSequences"]),
    }
}

fn bedrock_block(block: &Value, user: bool) -> Item {
    if let Some(call) = block.get("toolUse") {
        only(call, &["toolUseId", "name", "input"]);
        let id = text(&call["toolUseId"]);
        return Item::Call { id, name: text(&call["name"]), arguments: call["input"].clone() };
    }
    if let Some(result) = block.get("toolResult") {
        only(result, &["toolUseId", "content", "status"]);
        assert!(result["status"] != "error", "{result}");
        let said = list(&result["content"]).map(|part| text(&part["text"])).collect();
        return Item::Result { id: text(&result["toolUseId"]), text: said };
    }
    if let Some(image) = block.get("image") {
        assert_eq!(image["format"], "png");
        return Item::Image(text(&image["source"]["bytes"]));
    }
    let said = text(&block["text"]);
    if user { Item::User(said) } else { Item::Said(said) }
}
