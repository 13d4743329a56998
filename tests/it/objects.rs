//! Objects that live in one account: stored responses, background answers, files, batches.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use warmkey::{
    sim::{Fault, RetryHint},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, Reply, Setup, sim, sim_with};

const ANN: &str = "wk-ann-0123456789abcdef0123";
const EVE: &str = "wk-eve-0123456789abcdef0123";

/// What files and batches need.
pub const ALLOWED: &str = r#"passthrough = ["POST /v1/files", "GET /v1/files", "* /v1/files/*", "GET /v1/files/*/content", "POST /v1/batches"]"#;

pub fn bare(gateway: &Gateway, method: Method, path: &str) -> Ask {
    Ask::new(gateway.url(path), json!({})).method(method).raw("")
}

pub fn of(ask: Ask, token: &str) -> Ask {
    ask.header("authorization", &format!("Bearer {token}"))
}

pub fn stored(gateway: &Gateway) -> Ask {
    gateway.ask(Dialect::OpenAiResponses).with(|body| body["store"] = json!(true))
}

pub fn id(reply: &Reply) -> String {
    reply.json()["id"].as_str().unwrap_or_else(|| panic!("{}", reply.text())).to_owned()
}

/// The account behind an endpoint's name.
fn key(endpoint: &str) -> String {
    format!("key-{}", &endpoint[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_found_at_the_account_that_has_it() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    // Enough of them that luck finds nothing.
    for stream in [false, true, false, true, false, true] {
        let made = stored(&gateway).stream(stream).send().await.assert_ok();
        let id =
            if stream { made.events()[0]["response"]["id"].as_str().unwrap().to_owned() } else { id(&made) };
        let home = made.endpoint().to_owned();
        for path in
            [format!("/v1/responses/{id}"), format!("/responses/{id}"), format!("/openai/v1/responses/{id}")]
        {
            let got = bare(&gateway, Method::GET, &path).send().await.assert_ok();
            assert_eq!((got.endpoint(), &got.json()["id"]), (home.as_str(), &json!(id)));
        }
        let items = format!("/v1/responses/{id}/input_items?limit=5");
        assert_eq!(bare(&gateway, Method::GET, &items).send().await.endpoint(), home);
        let seen = sim.seen();
        let last = seen.last().unwrap();
        assert_eq!((last.key.clone(), last.query.as_str()), (key(&home), "limit=5"));
        assert_eq!(last.path, format!("/v1/responses/{id}/input_items"));
        // Only what runs in the background can be cancelled: the provider's own word.
        let cancel = format!("/v1/responses/{id}/cancel");
        assert_eq!(bare(&gateway, Method::POST, &cancel).send().await.status, 400);
        bare(&gateway, Method::DELETE, &format!("/v1/responses/{id}")).send().await.assert_ok();
        let gone = bare(&gateway, Method::GET, &format!("/v1/responses/{id}")).send().await;
        gone.assert_error(Dialect::OpenAiResponses, 404);
    }
    let never = bare(&gateway, Method::GET, "/v1/responses/resp_never").send().await;
    never.assert_error(Dialect::OpenAiResponses, 404);
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_answer_is_settled_once_by_the_first_look_that_finds_it_done() {
    let sim = sim_with(|config| config.tokens_per_second = 10.0).await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    let ask = stored(&gateway).with(|body| {
        body["background"] = json!(true);
        body["input"] = json!("think [sim:output_tokens=600]");
    });
    let made = ask.send().await.assert_ok();
    let path = format!("/v1/responses/{}", id(&made));
    let look = async || {
        let reply = bare(&gateway, Method::GET, &path).send().await.assert_ok();
        assert_eq!(reply.endpoint(), made.endpoint());
        gateway.at_rest().await;
        (reply.json()["status"].clone(), gateway.count("tokens_total", &["kind=\"output\""]).await)
    };
    assert_eq!(look().await, (json!("in_progress"), 0));
    assert_eq!(look().await, (json!("in_progress"), 0));
    sim.advance(Duration::from_secs(3_600));
    let billed = sim.stats().total();
    assert_eq!(billed.usage.output, 600);
    for _ in 0..3 {
        assert_eq!(look().await, (json!("completed"), 600));
    }
    assert_eq!(gateway.nano_dollars(&["model=\"gpt-5.6\""]).await, billed.cost.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_background_answer_that_is_streamed_is_settled_once_too() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    let ask = stored(&gateway).stream(true).with(|body| body["background"] = json!(true));
    let made = ask.send().await.assert_ok();
    let path = format!("/v1/responses/{}", made.events()[0]["response"]["id"].as_str().unwrap());
    gateway.at_rest().await;
    let billed = sim.stats().total();
    for _ in 0..2 {
        let output = gateway.count("tokens_total", &["kind=\"output\""]).await;
        assert_eq!(output, billed.usage.output, "{}", gateway.log());
        bare(&gateway, Method::GET, &path).send().await.assert_ok();
        gateway.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_refers_to_an_object_goes_to_its_owner_or_nowhere() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let made = stored(&gateway).send().await.assert_ok();
    let home = made.endpoint().to_owned();
    let next = || stored(&gateway).with(|body| body["previous_response_id"] = json!(id(&made)));
    for n in 0..4 {
        assert_eq!(next().session(&format!("other-{n}")).send().await.assert_ok().endpoint(), home);
    }
    // Its account is limited for a moment: it is waited for.
    let hint = RetryHint::RetryAfterMs(400);
    sim.script(Fault::RateLimited { hint }.on_key(&key(&home)));
    let waited = next().send().await.assert_ok();
    assert_eq!(waited.endpoint(), home);
    // For long: a clear no, and no other account is troubled.
    let hint = RetryHint::RetryAfter(300);
    sim.script(Fault::RateLimited { hint }.on_key(&key(&home)));
    let limited = next().send().await.assert_error(Dialect::OpenAiResponses, 429);
    assert!((1..=60).contains(&limited.header("retry-after").parse::<u64>().unwrap()));
    let again = next().send().await.assert_error(Dialect::OpenAiResponses, 429);
    assert!((1..=60).contains(&again.header("retry-after").parse::<u64>().unwrap()));
    let strangers = sim.seen().into_iter().filter(|seen| seen.method == "POST" && seen.key != key(&home));
    assert_eq!(strangers.count(), 0);
    // Others are served elsewhere meanwhile.
    gateway.ask(Dialect::OpenAiResponses).send().await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_is_gone_is_said_to_be_gone() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).server("watch = false").start().await;
    let made = stored(&gateway).send().await.assert_ok();
    let text = std::fs::read_to_string(&gateway.config).unwrap();
    let old = format!("[[endpoint]]\nname = \"{}\"\n", made.endpoint());
    assert!(text.contains(&old));
    std::fs::write(&gateway.config, text.replace(&old, "[[endpoint]]\nname = \"renamed\"\n")).unwrap();
    gateway.signal("HUP");
    gateway
        .until("the new name is there", |status| status["endpoints"].to_string().contains("\"renamed\""))
        .await;
    let next = stored(&gateway).with(|body| body["previous_response_id"] = json!(id(&made)));
    let look = bare(&gateway, Method::GET, &format!("/v1/responses/{}", id(&made)));
    for ask in [next, look] {
        let gone = ask.send().await.assert_error(Dialect::OpenAiResponses, 409);
        assert!(gone.text().contains("not configured any more"), "{}", gone.text());
    }
}

/// A file by multipart upload.
pub fn upload(gateway: &Gateway) -> Ask {
    let form = "--edge\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n\
                --edge\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\r\nhello\r\n--edge--\r\n";
    Ask::new(gateway.url("/v1/files"), json!({}))
        .header("content-type", "multipart/form-data; boundary=edge")
        .raw(form)
}

#[tokio::test(flavor = "multi_thread")]
async fn other_paths_are_closed_unless_a_rule_opens_them() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    sim.reset();
    for (method, path) in [
        (Method::GET, "/v1/files/file-1"),
        (Method::POST, "/v1/batches"),
        (Method::GET, "/openai/v1/files"),
        (Method::GET, "/anthropic/v1/organizations/me"),
    ] {
        assert_eq!(bare(&gateway, method, path).send().await.status, 404, "{path}");
    }
    upload(&gateway).send().await.assert_error(Dialect::OpenAiChat, 404);
    assert_eq!(sim.seen().len(), 0);
    let rule = r#"passthrough = ["GET /v1/files/*"]"#;
    let gateway = Setup::over(&sim).provider(rule).start().await;
    sim.reset();
    for tricky in [
        "/v1/files/a/b",
        "/v1/files/../organizations",
        "/v1/files/%2e%2e/organizations",
        "/v1/files/..%2forganizations",
        "/v1/files%2f..%2forganizations/x",
        "/v1/files/a%5cb",
        "/v1/files/a%00",
        "/v1/files",
        "/v1/files/",
        "/v1/Files/a",
        "/openai/../v1/organizations/x",
    ] {
        let status = bare(&gateway, Method::GET, tricky).send().await.status.as_u16();
        assert!(matches!(status, 400 | 404), "{tricky}: {status}");
    }
    assert_eq!(sim.seen().len(), 0, "{:?}", sim.seen());
    assert_eq!(bare(&gateway, Method::DELETE, "/v1/files/file-1").send().await.status, 404);
    // What is only written oddly means what it says.
    for odd in ["/v1/files/./file-1", "/v1//files/file-1", "/v1/%66iles/file-1", "/v1/x/../files/file-1"] {
        bare(&gateway, Method::GET, odd).send().await;
        let seen = sim.seen();
        assert_eq!(seen.last().map(|seen| seen.path.as_str()), Some("/v1/files/file-1"), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_uploaded_read_and_deleted_natively() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).provider(ALLOWED).caller("ann", "acme", ANN).start().await;
    sim.reset();
    sim.script(Fault::SetCookie.on_path("/v1/files"));
    let made = of(upload(&gateway), ANN).send().await.assert_ok();
    assert_eq!(made.header("set-cookie"), "");
    assert_eq!(made.header("openai-organization"), "");
    let home = made.endpoint().to_owned();
    let file = format!("/v1/files/{}", id(&made));
    let got = of(bare(&gateway, Method::GET, &file), ANN).send().await.assert_ok();
    assert_eq!((got.endpoint(), id(&got)), (home.as_str(), id(&made)));
    let content = of(bare(&gateway, Method::GET, &format!("{file}/content?x=1")), ANN).send().await;
    assert_eq!(content.endpoint(), home);
    // A batch in JSON that names it goes to the same account.
    let batch = json!({"input_file_id": id(&made), "endpoint": "/v1/responses", "completion_window": "24h"});
    let batch = of(Ask::new(gateway.url("/v1/batches"), batch), ANN).send().await;
    assert_eq!(batch.endpoint(), home);
    of(bare(&gateway, Method::DELETE, &file), ANN).send().await.assert_ok();
    let seen = sim.seen();
    let sent = upload(&gateway).body;
    assert_eq!(seen[0].body_len, sent.len());
    assert_eq!(seen[0].header("content-type"), "multipart/form-data; boundary=edge");
    assert_eq!(seen[2].query, "x=1");
    for request in &seen {
        assert_eq!(request.key, key(&home), "{request:?}");
        let names =
            request.headers.iter().filter(|(_, value)| value.as_bytes().windows(6).any(|w| w == b"wk-ann"));
        assert_eq!(names.count(), 0, "the caller's token went up");
    }
    gateway.at_rest().await;
    assert_eq!(gateway.metric("tokens_total", &[]).await, 0.0, "nobody said what it used");
    assert_eq!(gateway.metric("usage_estimated_total", &[]).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_another_tenant_do_not_exist() {
    let sim = sim().await;
    let setup = Setup::over(&sim).provider(ALLOWED).caller("ann", "acme", ANN).caller("eve", "other", EVE);
    let gateway = setup.start().await;
    let made = of(upload(&gateway), ANN).send().await.assert_ok();
    let file = format!("/v1/files/{}", id(&made));
    sim.reset();
    for ask in [
        bare(&gateway, Method::GET, &file),
        bare(&gateway, Method::DELETE, &file),
        bare(&gateway, Method::GET, &format!("{file}/content")),
        Ask::new(gateway.url("/v1/batches"), json!({"input_file_id": id(&made)})),
        Ask::new(gateway.url("/v1/batches"), json!({"nested": [{"deep": id(&made)}]})),
        Ask::new(gateway.url("/v1/batches"), json!({})).raw(escaped(&id(&made))),
        bare(&gateway, Method::GET, "/v1/files/file-made-elsewhere"),
    ] {
        of(ask, EVE).send().await.assert_error(Dialect::OpenAiChat, 404);
    }
    // A call that names it in its prompt is refused as well.
    let named = gateway.ask(Dialect::OpenAiResponses).with(|body| {
        body["input"] = json!([{"role": "user", "content": [{"type": "input_file", "file_id": id(&made)}]}]);
    });
    of(named, EVE).send().await.assert_error(Dialect::OpenAiResponses, 404);
    // A list would show everybody's.
    for token in [ANN, EVE] {
        let list = of(bare(&gateway, Method::GET, "/v1/files"), token).send().await;
        list.assert_error(Dialect::OpenAiChat, 403);
    }
    assert_eq!(sim.seen().len(), 0, "{:?}", sim.seen());
}

/// A body that names a file with its first letter escaped: the same to any JSON reader.
fn escaped(id: &str) -> String {
    format!("{{\"input_file_id\":\"\\u{:04x}{}\"}}", u32::from(id.as_bytes()[0]), &id[1..])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_passed_through_calls_says_nothing_of_messages() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).accounts(1).provider(ALLOWED).start().await;
    sim.script(Fault::Status { status: 429 }.on_path("/v1/files").always());
    sim.script(Fault::Status { status: 429 }.on_path("/v1/batches").always());
    for _ in 0..3 {
        upload(&gateway).send().await;
        bare(&gateway, Method::GET, "/v1/files/file-1").send().await;
        Ask::new(gateway.url("/v1/batches"), json!({"x": 1})).send().await;
    }
    for dialect in Dialect::ALL {
        let reply = gateway.ask(dialect).send().await.assert_ok();
        assert_eq!(reply.affinity(), "new");
    }
    let status: Value = gateway.at_rest().await;
    assert!(status["endpoints"][0]["state"] != "quarantined", "{status}");
}
