use serde_json::{Value, json};

use super::{
    super::{
        anthropic::Ground, cache::Ttl, json::Json, params::Account, prompt::Ask, refusal::Refusal,
        wants::Directives,
    },
    *,
};

const NOVA: &str = "us.amazon.nova-pro-v1:0";
const SONNET: &str = "us.anthropic.claude-sonnet-4-6";

fn asked(id: &str, body: &Value) -> Result<Ask, Refusal> {
    let body = Json::parse(body.to_string().as_bytes()).unwrap();
    let (account, directives) = (Account::new("k", "org", "ws"), Directives::default());
    ask(id, &body, Ground { account: &account, directives: &directives, tool_rounds: 1 }, true)
}

fn says(role: &str, content: Value) -> Value {
    json!({"role": role, "content": content})
}

fn tools() -> Value {
    json!({"tools": [{"toolSpec": {"name": "read", "inputSchema": {"json": {}}}}]})
}

#[test]
fn a_path_names_model_and_deed() {
    for (path, expected) in [
        ("/model/us.amazon.nova-pro-v1%3A0/converse", Some((NOVA, Deed::Converse { stream: false }))),
        ("/model/m/invoke-with-response-stream", Some(("m", Deed::Invoke { stream: true }))),
        ("/model/amazon.titan-embed-text-v2:0/invoke", Some(("amazon.titan-embed-text-v2:0", Deed::Embed))),
        ("/model/m/count-tokens", Some(("m", Deed::Count))),
        ("/model/a%2Fb/converse", Some(("a/b", Deed::Converse { stream: false }))),
        ("/model/m/x", None),
        ("/v1/messages", None),
    ] {
        let expected = expected.map(|(model, deed)| (model.to_owned(), deed));
        assert_eq!(route(path), expected, "{path}");
    }
}

#[test]
fn models_have_versions_or_none() {
    for id in [NOVA, SONNET, "us.anthropic.claude-haiku-4-5-20251001-v1:0", "cohere.embed-english-v3"] {
        assert!(model_of(id).is_ok(), "{id}");
    }
    assert!(model_of("claude-sonnet-4-6").is_err(), "Anthropic's own name");
}

#[test]
fn cache_points_end_prefixes() {
    let point = json!({"cachePoint": {"type": "default"}});
    let long = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let body = json!({
        "system": [{"text": "Be brief."}, long], "messages": [says("user", json!([{"text": "Hi"}, point]))],
    });
    let marks: Vec<Option<Ttl>> =
        asked(SONNET, &body).unwrap().chain.positions.iter().map(|p| p.mark).collect();
    assert_eq!(marks, [Some(Ttl::Hour), Some(Ttl::FiveMinutes)]);
    assert!(asked(NOVA, &body).is_err(), "Nova knows no hour");
    let many = json!({"messages": [says("user", json!([
        {"text": "a"}, point, {"text": "a"}, point, {"text": "a"}, point, {"text": "a"}, point, {"text": "a"}, point,
    ]))]});
    assert!(asked(SONNET, &many).is_err());
}

#[test]
fn what_bedrock_refuses_is_refused() {
    let hi = || json!([{"text": "Hi"}]);
    let call = || json!([{"toolUse": {"toolUseId": "a", "name": "read", "input": {}}}]);
    let result = || json!([{"toolResult": {"toolUseId": "a", "content": []}}]);
    let body = |messages: Vec<Value>| json!({"messages": messages, "toolConfig": tools()});
    let good = body(vec![says("user", hi()), says("assistant", call()), says("user", result())]);
    assert!(asked(SONNET, &good).is_ok());
    let mut bare = good.clone();
    bare.as_object_mut().unwrap().remove("toolConfig");
    let foreign = json!([{"reasoningContent": {"reasoningText": {"text": "Hm", "signature": "other"}}}]);
    for bad in [
        bare,
        body(vec![says("assistant", hi())]),
        body(vec![says("user", hi()), says("user", hi())]),
        body(vec![says("user", json!([]))]),
        body(vec![says("user", json!([{"text": " "}]))]),
        body(vec![says("user", hi()), says("assistant", call()), says("user", hi())]),
        body(vec![says("user", hi()), says("assistant", foreign), says("user", hi())]),
    ] {
        assert_eq!(asked(SONNET, &bad).map(|_| ()).unwrap_err().status, 400, "{bad}");
    }
}

#[test]
fn tools_are_called_as_the_request_wants() {
    let mut body = json!({"messages": [says("user", json!([{"text": "Hi"}]))], "toolConfig": tools()});
    assert_eq!(asked(SONNET, &body).unwrap().wants.calls, ["read"]);
    body["messages"].as_array_mut().unwrap().extend([
        says("assistant", json!([{"toolUse": {"toolUseId": "a", "name": "read", "input": {}}}])),
        says("user", json!([{"toolResult": {"toolUseId": "a", "content": []}}])),
    ]);
    assert!(asked(SONNET, &body).unwrap().wants.calls.is_empty(), "one round is enough");
    body["toolConfig"]["toolChoice"] = json!({"any": {}});
    assert_eq!(asked(SONNET, &body).unwrap().wants.calls, ["read"]);
}
