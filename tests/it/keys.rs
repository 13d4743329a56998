//! Virtual keys: made, changed and revoked while the gateway runs, over the API and from the command line.

use http::Method;
use serde_json::{Value, json};
use tokio::process::Command;
use warmkey::types::Dialect;

use crate::harness::{Ask, Gateway, Reply, Setup, sim, within};

const ADMIN: &str = "admin-token-0123456789abcdef";

/// A gateway of stored keys whose admin listener asks for a token.
fn guarded(setup: Setup) -> Setup {
    setup.server(&format!("admin_token = \"{ADMIN}\""))
}

fn api(gateway: &Gateway, method: Method, path: &str, body: &Value) -> Ask {
    let url = format!("http://{}{path}", gateway.admin);
    Ask::new(url, body.clone()).method(method).header("authorization", &format!("Bearer {ADMIN}"))
}

async fn done(gateway: &Gateway, method: Method, path: &str, body: Value) -> Value {
    let reply = api(gateway, method, path, &body).send().await;
    assert!(reply.status.is_success(), "{} {}", reply.status, reply.text());
    reply.json()
}

async fn refused(ask: Ask, status: u16, code: &str) -> Reply {
    let reply = ask.send().await;
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["code"], code, "{error}");
    assert!(
        ["what", "remedy"].iter().all(|part| error[part].as_str().is_some_and(|text| !text.is_empty())),
        "{error}"
    );
    reply
}

async fn create(gateway: &Gateway, body: Value) -> (String, String) {
    let made = done(gateway, Method::POST, "/api/keys", body).await;
    let text = |name: &str| made[name].as_str().expect("a text").to_owned();
    (text("id"), text("token"))
}

fn with(gateway: &Gateway, dialect: Dialect, token: &str) -> Ask {
    gateway.ask(dialect).header("x-api-key", token)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_at_once_and_in_any_dialects_header() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
    let (_, token) = create(&gateway, json!({"name": "ci"})).await;
    for dialect in Dialect::ALL {
        for (name, value) in [
            ("x-api-key", token.clone()),
            ("authorization", format!("Bearer {token}")),
            ("api-key", token.clone()),
        ] {
            gateway.ask(dialect).header(name, &value).send().await.assert_ok();
        }
        // From the first key on nobody is let in without one.
        gateway.ask(dialect).send().await.assert_error(dialect, 401);
        let cut = with(&gateway, dialect, &token[..40]).send().await.assert_error(dialect, 401);
        assert!(
            cut.text().contains("cut off or mistyped") && !cut.text().contains(&token[..40]),
            "{}",
            cut.text()
        );
        let other = with(&gateway, dialect, "sk-nobody-0123456789").send().await.assert_error(dialect, 401);
        assert!(other.text().contains("no valid key"), "{}", other.text());
    }
    assert!(!gateway.log().contains(&token) && gateway.log().contains("key made"), "{}", gateway.log());
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_disabled_rotated_expired_and_revoked() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let (id, token) = create(&gateway, json!({"name": "ci"})).await;
    let path = format!("/api/keys/{id}");
    let ask = || with(&gateway, Dialect::Anthropic, &token);
    done(&gateway, Method::PATCH, &path, json!({"disabled": true})).await;
    let off = ask().send().await.assert_error(Dialect::Anthropic, 401);
    assert!(off.text().contains("switched off") && off.text().contains(&id), "{}", off.text());
    done(&gateway, Method::PATCH, &path, json!({"disabled": false, "expires": "2020-01-01T00:00:00Z"})).await;
    let over = ask().send().await.assert_error(Dialect::Anthropic, 401);
    assert!(over.text().contains("expired at 2020-01-01T00:00:00Z"), "{}", over.text());
    done(&gateway, Method::PATCH, &path, json!({"expires": null})).await;
    ask().send().await.assert_ok();

    let fresh = done(&gateway, Method::POST, &format!("{path}/rotate"), json!({"grace": "1h"})).await;
    let fresh = fresh["token"].as_str().expect("a token");
    ask().send().await.assert_ok();
    with(&gateway, Dialect::Anthropic, fresh).send().await.assert_ok();
    done(&gateway, Method::POST, &format!("{path}/rotate"), json!({"grace": "0s"})).await;
    ask().send().await.assert_error(Dialect::Anthropic, 401);
    with(&gateway, Dialect::Anthropic, fresh).send().await.assert_error(Dialect::Anthropic, 401);

    done(&gateway, Method::DELETE, &path, json!({})).await;
    refused(api(&gateway, Method::GET, &path, &json!({})), 404, "not_found").await;
    let gone = with(&gateway, Dialect::Anthropic, fresh).send().await.assert_error(Dialect::Anthropic, 401);
    assert!(gone.text().contains("no valid key"), "{}", gone.text());
    // The last key is gone, and still nobody is let in without one.
    gateway.ask(Dialect::Anthropic).send().await.assert_error(Dialect::Anthropic, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_may_use_what_it_was_given_and_shows_where_it_stands() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let team = "/api/teams/default/core";
    done(&gateway, Method::PUT, team, json!({"budgets": [{"usd": 10.5, "per": "month"}]})).await;
    let (id, token) =
        create(&gateway, json!({"name": "ci", "team": "core", "models": ["gpt-*"], "limits": {"rpm": 100}}))
            .await;
    with(&gateway, Dialect::OpenAiChat, &token).send().await.assert_ok();
    with(&gateway, Dialect::Anthropic, &token).send().await.assert_error(Dialect::Anthropic, 403);
    let shown = done(&gateway, Method::GET, "/api/keys/ci", json!({})).await;
    assert_eq!((shown["id"].as_str(), shown["source"].as_str()), (Some(id.as_str()), Some("store")));
    assert_eq!(shown.get("token"), None);
    let standing = shown["standing"].as_array().expect("a list");
    let of = |what: &str| {
        standing.iter().find(|one| one["what"] == what).unwrap_or_else(|| panic!("{what} in {shown}"))
    };
    assert_eq!((&of("rpm")["limit"], &of("usd_month")["limit"]), (&json!(100), &json!(10.5)));
    assert_eq!(of("usd_month")["scope"], "team:default/core");
    refused(api(&gateway, Method::DELETE, team, &json!({})), 409, "conflict").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_for_whoever_has_the_token_and_for_no_page() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let list =
        |path: &str| Ask::new(format!("http://{}{path}", gateway.admin), json!({})).method(Method::GET);
    refused(list("/api/keys"), 401, "unauthenticated").await;
    refused(list("/api/openapi.json"), 401, "unauthenticated").await;
    refused(list("/api/keys").header("authorization", "Bearer wrong"), 401, "unauthenticated").await;
    let good = || api(&gateway, Method::GET, "/api/keys", &json!({}));
    refused(good().header("origin", "http://127.0.0.1:9090"), 403, "from_a_page").await;
    refused(good().header("sec-fetch-site", "same-origin"), 403, "from_a_page").await;
    assert_eq!(good().send().await.json(), json!({"keys": []}));
    // What is not the API's is trusted on loopback as before.
    assert_eq!(list("/status").send().await.status, 200);
    let document = done(&gateway, Method::GET, "/api/openapi.json", json!({})).await;
    assert_eq!(document["openapi"], "3.1.0");

    refused(api(&gateway, Method::PUT, "/api/keys", &json!({})), 405, "method_not_allowed").await;
    refused(api(&gateway, Method::GET, "/api/nothing", &json!({})), 404, "no_such_path").await;
    let create = |body: &str| api(&gateway, Method::POST, "/api/keys", &json!({})).raw(body.to_owned());
    for body in ["", "{", "[]", "null", r#"{"name":"a","colour":1}"#, r#"{"name":"a/b"}"#, "\u{feff}{}"] {
        refused(create(body), 400, "bad_request").await;
    }
    refused(create(r#"{"name":"a","providers":["nobody"]}"#), 400, "bad_request").await;
    refused(create(r#"{"name":"a","regions":["mars"]}"#), 400, "bad_request").await;
    refused(create(&" ".repeat(65 * 1024)), 413, "body_too_large").await;
    refused(api(&gateway, Method::GET, "/api/keys?limit=0", &json!({})), 400, "bad_request").await;
    refused(api(&gateway, Method::GET, "/api/keys/..%2f..", &json!({})), 404, "no_such_path").await;
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_configured_loopback_may_make_keys() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let url = format!("http://{}/api/keys", gateway.admin);
    let made = Ask::new(url.clone(), json!({"name": "ci"})).send().await;
    assert_eq!(made.status, 201, "{}", made.text());
    refused(Ask::new(url, json!({"name": "x"})).header("host", "evil.example"), 401, "unauthenticated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_ledger_there_is_no_store_and_that_is_said() {
    let sim = sim().await;
    let setup = guarded(Setup::over(&sim)).more("[ledger]\nenabled = false\n");
    let gateway = setup.start().await;
    refused(api(&gateway, Method::POST, "/api/keys", &json!({"name": "a"})), 409, "no_store").await;
    gateway.ask(Dialect::Anthropic).send().await.assert_ok();
}

/// Runs `warmkey key ...`; what it wrote to standard output.
async fn key(words: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_warmkey")).arg("key").args(words).kill_on_drop(true).output();
    let run = within("the command ends", run).await.expect("the binary");
    assert!(run.status.success(), "{words:?}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_line_writes_is_in_force_before_long_and_after_a_restart() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let file = setup.dir().join("warmkey-ledger.db");
    let file = file.to_str().expect("a path").to_owned();
    // Before any gateway runs.
    let first = key(&["create", "before", "--file", &file]).await;
    let gateway = Gateway::run(&setup.text(), setup.dir(), &setup.env()).await;
    with(&gateway, Dialect::Anthropic, first.trim_end()).send().await.assert_ok();
    // While one runs: it looks each second.
    let second = key(&["create", "meanwhile", "--file", &file]).await;
    let second = second.trim_end();
    within("the key is known", async {
        while with(&gateway, Dialect::Anthropic, second).send().await.status != 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let admin = format!("http://{}", gateway.admin);
    let listed: Value =
        serde_json::from_str(&key(&["list", "--json", "--admin", &admin]).await).expect("JSON");
    let mut names: Vec<_> =
        listed["keys"].as_array().expect("keys").iter().map(|key| key["name"].clone()).collect();
    names.sort_by_key(ToString::to_string);
    assert_eq!(names, ["before", "meanwhile"]);
    key(&["revoke", "before", "--admin", &admin]).await;
    with(&gateway, Dialect::Anthropic, first.trim_end()).send().await.assert_error(Dialect::Anthropic, 401);
    drop(gateway);
    let again = Gateway::run(&setup.text(), setup.dir(), &setup.env()).await;
    with(&again, Dialect::Anthropic, second).send().await.assert_ok();
    with(&again, Dialect::Anthropic, first.trim_end()).send().await.assert_error(Dialect::Anthropic, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_of_stored_keys_alone_listens_to_the_world() {
    let sim = sim().await;
    let setup = guarded(Setup::over(&sim)).server("open = false");
    let text = setup.text().replace("listen = \"127.0.0.1:0\"", "listen = \"0.0.0.0:0\"");
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let url = format!("http://127.0.0.1:{}/v1/messages", gateway.data.port());
    let ask = || gateway.ask(Dialect::Anthropic).at(&url);
    ask().send().await.assert_error(Dialect::Anthropic, 401);
    let (_, token) = create(&gateway, json!({"name": "ci"})).await;
    ask().header("x-api-key", &token).send().await.assert_ok();
}
