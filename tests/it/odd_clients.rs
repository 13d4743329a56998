//! Clients that are old, hasty or in the middle of an upload; and whose secrets stay here.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use warmkey::types::Dialect;

use crate::harness::{Ask, Gateway, Setup, body, sim, within};

/// A request by hand.
fn raw(version: &str, extra: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST /v1/chat/completions HTTP/{version}\r\nhost: gateway\r\ncontent-type: application/json\r\n\
         {extra}content-length: {length}\r\n\r\n{body}"
    )
}

/// Sends all of it and reads until the gateway hangs up.
async fn exchange(gateway: &Gateway, text: &str) -> String {
    let talk = async {
        let mut socket = TcpStream::connect(gateway.data).await.expect("a connection");
        socket.write_all(text.as_bytes()).await.expect("it is read");
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.expect("an orderly end");
        String::from_utf8_lossy(&answer).into_owned()
    };
    within("the gateway answers and hangs up", talk).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_http_1_0_gets_no_chunks() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let mut ask = body(Dialect::OpenAiChat, "hello");
    ask["stream"] = true.into();
    let answer = exchange(&gateway, &raw("1.0", "", &ask.to_string())).await;
    let (head, rest) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.contains(" 200 "), "{head}");
    assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
    assert!(rest.starts_with("data: ") && rest.ends_with("data: [DONE]\n\n"), "{rest}");
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_its_next_request_early_gets_both_answers() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let ask = body(Dialect::OpenAiChat, "hello").to_string();
    let both = raw("1.1", "", &ask) + &raw("1.1", "connection: close\r\n", &ask);
    let answer = exchange(&gateway, &both).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    assert_eq!(answer.matches("chat.completion").count(), 2, "{answer}");
    gateway.assert_all_ready().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_read_by_a_client_that_is_still_uploading() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).caller("ann", "one", "wk-ann").start().await;
    let large = format!("{{\"x\":\"{}\"}}", "a".repeat(8 << 20));
    let answer = exchange(&gateway, &raw("1.1", "authorization: Bearer wrong\r\n", &large)).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("\"error\""), "{answer}");
    gateway.at_rest().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn our_token_stays_here_also_where_the_callers_own_key_goes_up() {
    let sim = sim().await;
    let observing = format!(
        "[[provider]]\nname = \"theirs\"\ndialect = \"anthropic\"\nbase_url = \"{}\"\ncredentials = \"caller\"\n\
         [[endpoint]]\nname = \"t1\"\nprovider = \"theirs\"\n\
         [[model]]\nname = \"claude-opus-4-8\"\nprovider = \"theirs\"\n",
        sim.base_url()
    );
    let gateway = Setup::over(&sim).more(&observing).caller("ann", "one", "wk-ann").start().await;
    for (ours, theirs) in [("authorization", "x-api-key"), ("x-warmkey-key", "x-api-key")] {
        let token = if ours == "authorization" { "Bearer wk-ann" } else { "wk-ann" };
        let mut ask = body(Dialect::Anthropic, "hello");
        ask["model"] = "claude-opus-4-8".into();
        let ask = Ask::new(gateway.url("/v1/messages"), ask).header(ours, token).header(theirs, "key-1");
        let reply = ask.send().await.assert_ok();
        assert_eq!(reply.endpoint(), "t1");
    }
    let seen = sim.seen();
    let posts = seen.iter().filter(|seen| seen.method == "POST");
    for seen in posts.clone() {
        assert_eq!(seen.key, "key-1");
        for name in ["authorization", "x-warmkey-key"] {
            assert_eq!(seen.header(name), "", "{name} went up");
        }
    }
    assert_eq!(posts.count(), 2);
}
