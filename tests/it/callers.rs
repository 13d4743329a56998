//! Who may call: tokens in any dialect's header, tenants, and what is said before a body is read.

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
};
use warmkey::types::Dialect;

use crate::harness::{Ask, Gateway, Reply, Setup, body, get, path, sim, within};

const ANN: &str = "wk-ann-0123456789abcdef0123";
const BOB: &str = "wk-bob-0123456789abcdef0123";
const EVE: &str = "wk-eve-0123456789abcdef0123";

fn as_caller(ask: Ask, token: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {token}"))
}

/// Two callers of one tenant, one of another.
fn three(setup: Setup) -> Setup {
    setup.caller("ann", "acme", ANN).caller("bob", "acme", BOB).caller("eve", "other", EVE)
}

fn session(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-warmkey-session").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_counts_in_every_dialects_header_and_stays_here() {
    let sim = sim().await;
    let gateway = three(Setup::over(&sim)).start().await;
    for dialect in Dialect::ALL {
        for (name, value) in [
            ("authorization", format!("Bearer {ANN}")),
            ("authorization", format!("bearer {ANN}")),
            ("x-api-key", ANN.to_owned()),
            ("api-key", ANN.to_owned()),
        ] {
            gateway.ask(dialect).header(name, &value).send().await.assert_ok();
        }
        let both = gateway.ask(dialect).header("x-api-key", ANN).header("x-goog-api-key", "else");
        both.send().await.assert_ok();
        for (name, value) in [
            ("authorization", "Bearer wk-nobody"),
            ("authorization", &format!("Basic {ANN}")),
            ("authorization", ANN),
            ("x-api-key", "key-1"),
            ("api-key", ""),
            ("x-other", ANN),
        ] {
            let refused = gateway.ask(dialect).header(name, value).send().await.assert_error(dialect, 401);
            assert!(!refused.text().contains(value) || value.is_empty(), "{}", refused.text());
        }
        gateway.ask(dialect).send().await.assert_error(dialect, 401);
    }
    for seen in sim.seen() {
        for (name, value) in &seen.headers {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            assert!(!value.contains(ANN), "the caller's token went up in `{name}`");
        }
        assert!(seen.key.starts_with("key-"), "{seen:?}");
    }
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_may_be_known_by_its_hash_alone() {
    let sim = sim().await;
    // printf %s wk-hashed-0123456789abcdef | sha256sum
    let digest = sha256("wk-hashed-0123456789abcdef");
    let more = format!("[[caller]]\nname = \"hashed\"\ntoken_sha256 = \"{digest}\"\n");
    let gateway = Setup::over(&sim).more(&more).start().await;
    let ask = gateway.ask(Dialect::Anthropic);
    as_caller(ask.clone(), "wk-hashed-0123456789abcdef").send().await.assert_ok();
    as_caller(ask, &digest).send().await.assert_error(Dialect::Anthropic, 401);
}

fn sha256(text: &str) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_refused_before_the_body_is_asked_for() {
    let sim = sim().await;
    let gateway = three(Setup::over(&sim)).start().await;
    for dialect in Dialect::ALL {
        for expect in ["", "expect: 100-continue\r\n"] {
            let head = format!(
                "POST {} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
                 authorization: Bearer nobody\r\n{expect}content-length: 1000000\r\n\r\n",
                path(dialect)
            );
            // Not a byte of the body is ever sent.
            let answer = said(&gateway, &head).await;
            assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
            let error: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap();
            assert!(error["error"]["type"].is_string(), "{error}");
            assert_eq!(error["type"] == "error", dialect == Dialect::Anthropic, "{error}");
        }
    }
    // A good one is asked for its body.
    let head = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n\
         x-api-key: {ANN}\r\nexpect: 100-continue\r\ncontent-length: 10\r\n\r\n"
    );
    let mut line = TcpStream::connect(gateway.data).await.unwrap();
    line.write_all(head.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    within("100-continue", line.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 100");
    drop(line);
    assert_eq!(sim.seen().iter().filter(|seen| seen.method == "POST").count(), 0);
}

/// Everything that the gateway says to this head, until it closes the connection.
async fn said(gateway: &Gateway, head: &str) -> String {
    let mut line = TcpStream::connect(gateway.data).await.unwrap();
    line.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("the connection is closed", line.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allow_list_is_held_and_shown() {
    let sim = sim().await;
    let more =
        format!("[[caller]]\nname = \"few\"\ntoken_sha256 = \"{}\"\nmodels = [\"claude-*\"]\n", sha256(ANN));
    let gateway = Setup::over(&sim).more(&more).start().await;
    for dialect in Dialect::ALL {
        let reply = as_caller(gateway.ask(dialect), ANN).send().await;
        if dialect == Dialect::Anthropic {
            reply.assert_ok();
        } else {
            reply.assert_error(dialect, 403);
        }
    }
    let list =
        as_caller(Ask::new(gateway.url("/v1/models"), json!({})), ANN).method(http::Method::GET).raw("");
    let list = list.send().await.assert_ok().json();
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(ids, ["claude-sonnet-4-6"], "what it may use, whoever makes it");
    get(&gateway.url("/v1/models")).await.assert_error(Dialect::OpenAiChat, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_tenant_names_another_does_not_reach() {
    let sim = sim().await;
    let gateway = three(Setup::over(&sim)).start().await;
    for dialect in Dialect::ALL {
        let named = |token| as_caller(gateway.ask(dialect).session(&format!("shared-{dialect}")), token);
        let (ann, bob, eve) = (named(ANN).send().await, named(BOB).send().await, named(EVE).send().await);
        assert_eq!(session(&ann), session(&bob), "{dialect}: one tenant");
        assert_ne!(session(&ann), session(&eve), "{dialect}: two tenants");
        assert_eq!((bob.affinity(), eve.affinity()), ("hit", "new"));
    }
    // A tool call's id, and the very same prompt.
    let schema = json!({"type": "object", "properties": {"query": {"type": "string"}}});
    let first = as_caller(gateway.ask(Dialect::Anthropic), ANN).with(|body| {
        body["messages"][0]["content"] = json!("look [sim:tool=look]");
        body["tools"] = json!([{"name": "look", "input_schema": schema}]);
    });
    let reply = first.send().await.assert_ok();
    let said = reply.json()["content"].clone();
    let id = said[0]["id"].clone();
    assert!(id.is_string(), "{said}");
    let second = first.clone().with(|body| {
        let messages = body["messages"].as_array_mut().unwrap();
        messages.push(json!({"role": "assistant", "content": said}));
        let result = json!([{"type": "tool_result", "tool_use_id": id, "content": "found"}]);
        messages.push(json!({"role": "user", "content": result}));
    });
    let stranger = as_caller(second.clone(), EVE).send().await.assert_ok();
    let colleague = as_caller(second, BOB).send().await.assert_ok();
    assert_eq!(session(&colleague), session(&reply));
    assert_eq!(colleague.affinity(), "hit");
    assert_ne!(session(&stranger), session(&reply));
    assert_ne!(stranger.affinity(), "hit");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_of_another_tenant_does_not_exist() {
    let sim = sim().await;
    let gateway = three(Setup::over(&sim)).start().await;
    let ask = gateway.ask(Dialect::OpenAiResponses).with(|body| body["store"] = json!(true));
    let made = as_caller(ask.clone(), ANN).send().await.assert_ok();
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let next = ask.with(|body| body["previous_response_id"] = json!(id));
    let stored = Ask::new(gateway.url(&format!("/v1/responses/{id}")), json!({}));
    let look = stored.clone().method(http::Method::GET).raw("");
    let delete = stored.method(http::Method::DELETE).raw("");
    for ask in [next.clone(), look.clone(), delete.clone()] {
        as_caller(ask, EVE).send().await.assert_error(Dialect::OpenAiResponses, 404);
    }
    let unknown = next.clone().with(|body| body["previous_response_id"] = json!("resp_never_made"));
    as_caller(unknown, EVE).send().await.assert_error(Dialect::OpenAiResponses, 404);
    for ask in [next, look, delete] {
        let reply = as_caller(ask, BOB).send().await.assert_ok();
        assert_eq!(reply.endpoint(), made.endpoint());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_callers_nothing_but_loopback_is_opened() {
    let sim = sim().await;
    for (open, callers) in [(false, false), (true, true)] {
        let setup = if callers { three(Setup::over(&sim)) } else { Setup::over(&sim) };
        let text = setup.text().replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"");
        let text = if open { text.replacen("[server]\n", "[server]\nopen = true\n", 1) } else { text };
        let file = setup.dir().join("open.toml");
        std::fs::write(&file, text).unwrap();
        let run = Command::new(env!("CARGO_BIN_EXE_warmkey"))
            .args(["serve", "--config"])
            .arg(&file)
            .envs(setup.env())
            .kill_on_drop(true)
            .output();
        let run = within("it refuses to start", run).await.unwrap();
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success(), "{said}");
        assert!(said.contains("0.0.0.0:0") && said.contains("127.0.0.1"), "what to do about it: {said}");
        assert!(said.contains(if callers { "`open = true`" } else { "[[caller]]" }), "{said}");
    }
    // With callers it may.
    let setup = three(Setup::over(&sim));
    let text = setup.text().replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"");
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let url = format!("http://127.0.0.1:{}/v1/messages", gateway.data.port());
    as_caller(Ask::new(url, body(Dialect::Anthropic, "hello")), ANN).send().await.assert_ok();
}
