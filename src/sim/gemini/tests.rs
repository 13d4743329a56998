use serde_json::{Value, json};

use super::{
    super::{
        answer::{Answer, fresh_id},
        anthropic::Ground,
        json::Json,
        params::Account,
        prompt::Ask,
        wants::Directives,
    },
    *,
};
use crate::types::Usage;

fn read(model: &str, body: &Value) -> Result<Ask, String> {
    let account = Account::new("k", "o", "w");
    let directives = Directives::default();
    let ground = Ground { account: &account, directives: &directives, tool_rounds: 0 };
    let body = Json::parse(body.to_string().as_bytes()).unwrap();
    ask(model, &body, ground, true).map_err(|refusal| refusal.message)
}

fn body(text: &str) -> Value {
    json!({
        "contents": [{"role": "user", "parts": [{"text": text}]}],
        "tools": [{"functionDeclarations": [{"name": "read"}]}],
    })
}

fn with(key: &str, value: Value) -> Value {
    let mut body = body("hi");
    body[key] = value;
    body
}

#[track_caller]
fn check_refused(model: &str, body: &Value, why: &str) {
    let refused = read(model, body).unwrap_err();
    assert!(refused.contains(why), "{refused}");
}

#[test]
fn paths_name_the_model_and_the_call() {
    let vertex = "/v1/projects/p/locations/l/publishers/google/models/m:generateContent";
    for (path, expected) in [
        ("/v1beta/models/m:countTokens", Some(("m", "countTokens"))),
        (vertex, Some(("m", "generateContent"))),
        ("/v1beta/models/m", None),
        ("/v1/models", None),
        ("/other/models/m:generateContent", None),
    ] {
        assert_eq!(route(path), expected, "{path}");
    }
    assert!(generates(vertex) && !is_here("/v1/models/gpt-5.6") && is_here("/v1beta/models"));
    assert_eq!(key_of("alt=sse&key=k"), Some("k"));
}

#[test]
fn what_google_does_not_know_is_a_400() {
    let new = "gemini-3.8-flash";
    check_refused(new, &with("messages", json!([])), "Unknown name \"messages\"");
    check_refused(new, &with("generationConfig", json!({"max_tokens": 1})), "at 'generation_config'");
    check_refused(new, &with("contents", json!([])), "contents is not specified");
    check_refused(
        new,
        &with("contents", json!([{"role": "system", "parts": [{"text": "a"}]}])),
        "valid role",
    );
    check_refused(new, &with("contents", json!([{"role": "user", "parts": [{"text": ""}]}])), "exactly one");
    check_refused("gemini-9", &body("hi"), "not found");
    let thinking = |config: Value| with("generationConfig", json!({ "thinkingConfig": config }));
    check_refused("gemini-2.5-pro", &thinking(json!({"thinkingLevel": "low"})), "not supported");
    check_refused(new, &thinking(json!({"thinkingLevel": "low", "thinkingBudget": 1})), "only one");
}

fn history(signature: Option<&str>, results: usize) -> Value {
    let mut part = json!({"functionCall": {"name": "read", "args": {"a": 1}}});
    if let Some(signature) = signature {
        part["thoughtSignature"] = signature.into();
    }
    let result = json!({"functionResponse": {"name": "read", "response": {"output": "x"}}});
    json!({"contents": [
        {"role": "user", "parts": [{"text": "go"}]},
        {"role": "model", "parts": [part]},
        {"role": "user", "parts": vec![result; results]},
    ]})
}

#[test]
fn calls_are_answered_and_from_gemini_3_on_signed() {
    check_refused("gemini-2.5-pro", &history(None, 0), "must not be empty");
    check_refused("gemini-2.5-pro", &history(None, 2), "number of function response parts");
    assert!(read("gemini-2.5-pro", &history(None, 1)).is_ok());
    let new = "gemini-3.1-pro-preview";
    check_refused(new, &history(None, 1), "missing a thought_signature");
    check_refused(new, &history(Some("AAAA"), 1), "Corrupted thought signature");
    assert!(read(new, &history(Some("skip_thought_signature_validator"), 1)).is_ok());
    let own = signature::of("read", &Json::parse(br#"{"a":1}"#).unwrap());
    assert!(read(new, &history(Some(&own), 1)).is_ok());
    let mut over = history(None, 1);
    let next = json!({"role": "user", "parts": [{"text": "and now?"}]});
    over["contents"].as_array_mut().unwrap().push(next);
    assert!(read(new, &over).is_ok(), "earlier turns are not looked at");
}

fn said(text: &str, manner: Manner) -> (Value, Vec<Value>) {
    let ask = read("gemini-3.8-flash", &body(text)).unwrap();
    let said = Answer::to(&ask, 7, fresh_id());
    let thought = said.thinking_tokens();
    let usage =
        Usage { input: 9, cached_read: 5, output: said.tokens(), reasoning: thought, ..Usage::default() };
    let frames = stream(&said, "gemini-3.8-flash", &usage, manner);
    assert!(frames.windows(2).all(|pair| pair[0].output <= pair[1].output), "produced tokens only grow");
    let text: String = frames.iter().map(|frame| std::str::from_utf8(&frame.bytes).unwrap()).collect();
    let events = if manner.sse {
        let data = |event: &str| serde_json::from_str(event.strip_prefix("data: ").unwrap()).unwrap();
        text.split_terminator("\r\n\r\n").map(data).collect()
    } else {
        serde_json::from_str(&text).unwrap()
    };
    (whole(&said, "gemini-3.8-flash", &usage, manner), events)
}

const SSE: Manner = Manner { sse: true, thoughts: true, signs: true };

#[test]
fn a_stream_says_what_the_whole_answer_does() {
    for manner in [SSE, Manner { sse: false, ..SSE }] {
        let (whole, events) = said("hi [sim:thinking]", manner);
        let text = |thought: bool, chunks: &[Value]| -> String {
            let parts =
                chunks.iter().filter_map(|chunk| chunk["candidates"][0]["content"]["parts"].as_array());
            parts
                .flatten()
                .filter(|part| (part["thought"] == true) == thought)
                .map(|part| part["text"].as_str().unwrap())
                .collect()
        };
        for thought in [true, false] {
            assert_eq!(text(thought, &events), text(thought, std::slice::from_ref(&whole)));
            assert!(!text(thought, &events).is_empty());
        }
        let last = events.last().unwrap();
        assert_eq!(last["usageMetadata"], whole["usageMetadata"]);
        assert_eq!(last["usageMetadata"]["cachedContentTokenCount"], 5);
        assert_eq!(last["usageMetadata"]["promptTokenCount"], 14);
        assert_eq!(last["candidates"][0]["finishReason"], "STOP");
        assert!(events.len() > 3 && events[0]["candidates"][0].get("finishReason").is_none());
    }
}

#[test]
fn only_the_first_of_several_calls_is_signed() {
    let (whole, events) = said("[sim:tool=read][sim:parallel_tools=2]", SSE);
    let parts = whole["candidates"][0]["content"]["parts"].as_array().unwrap();
    assert!(parts[0]["thoughtSignature"].is_string() && parts[1].get("thoughtSignature").is_none());
    assert_eq!(events[1]["candidates"][0]["content"]["parts"][0], parts[1]);
    let (old, _) = said("[sim:tool=read]", Manner { signs: false, ..SSE });
    let part = &old["candidates"][0]["content"]["parts"][0];
    assert!(part.get("thoughtSignature").is_none() && part["functionCall"].get("id").is_none());
}
