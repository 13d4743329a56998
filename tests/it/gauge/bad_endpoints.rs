//! Endpoints that cannot be measured: one sentence of what was seen, one of what to check, and exit 2.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};
use warmkey::sim::Fault;

use super::{Ran, first, start, unlimited};
use crate::harness::{Authority, sim_with};

/// Answers whoever connects with these bytes, or with nothing at all.
struct Raw {
    url: String,
    task: JoinHandle<()>,
}

impl Raw {
    async fn answering(bytes: Option<&'static [u8]>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut request = [0; 16 << 10];
                let _ = stream.read(&mut request).await;
                if let Some(bytes) = bytes {
                    let _ = stream.write_all(bytes).await;
                } else {
                    held.push(stream);
                }
            }
        });
        Self { url, task }
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn told(url: &str, more: &[&str], env: &[(&str, &str)]) -> String {
    let args = [&[url, "--spend", "5", "--timeout", "2s"], more].concat();
    let ran = Ran::of(start("key-1", &args, env)).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{}", ran.err);
    assert_eq!(ran.err.trim_end().lines().count(), 2, "what was seen, and what to check: {}", ran.err);
    ran.err
}

#[track_caller]
fn says(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
}

#[tokio::test]
async fn nobody_there_or_nobody_who_speaks_http() {
    let gone = Raw::answering(None).await.url.clone();
    says(&told(&gone, &[], &[]).await, &["cannot connect to http://127.0.0.1", "refused", "is it running"]);
    let lost = told("http://no-such-host.invalid", &[], &[]).await;
    says(&lost, &["cannot find the host `no-such-host.invalid`", "spelling"]);
    let silent = Raw::answering(None).await;
    says(&told(&silent.url, &[], &[]).await, &["said nothing for 2 s", "--timeout"]);
    let other = Raw::answering(Some(b"SSH-2.0-OpenSSH_9.2\r\n")).await;
    says(&told(&other.url, &[], &[]).await, &["answered, but not in HTTP", "is the port right?"]);
    let closing = Raw::answering(Some(b"")).await;
    says(&told(&closing.url, &[], &[]).await, &["closed the connection without an answer", "`https://`"]);
}

#[tokio::test]
async fn somebody_who_is_no_model() {
    let page = Raw::answering(Some(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: 6\r\n\r\n<html>",
    ))
    .await;
    let said = told(&page.url, &[], &[]).await;
    says(&said, &["a page for people (text/html, 200)", "POST /v1/messages", "check the base URL"]);
    assert!(!said.contains("<html>"));
    let moved = Raw::answering(Some(
        b"HTTP/1.1 301 Moved\r\nlocation: https://elsewhere.example/\r\ncontent-length: 0\r\n\r\n",
    ))
    .await;
    says(
        &told(&moved.url, &[], &[]).await,
        &["301 to `https://elsewhere.example/`", "redirects are not followed"],
    );
    let other = Raw::answering(Some(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}",
    ))
    .await;
    says(&told(&other.url, &[], &[]).await, &["not as a model does (application/json)", "--dialect"]);
    let cut = Raw::answering(Some(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n",
    ))
    .await;
    says(&told(&cut.url, &[], &[]).await, &["broke off", "before the answer did"]);
}

#[tokio::test]
async fn certificates_that_cannot_be_trusted_and_tls_in_the_wrong_place() {
    let authority = Authority::new();
    let sim = sim_with(|config| config.tls = Some(authority.certify("provider.test"))).await;
    let address = sim.addr();
    let foreign = told(&format!("https://{address}"), &[], &[]).await;
    says(&foreign, &["issued by nobody whom this machine trusts", "SSL_CERT_FILE"]);
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let trusted = [("SSL_CERT_FILE", file.to_str().expect("text"))];
    let misnamed = told(&format!("https://{address}"), &[], &trusted).await;
    says(&misnamed, &["its certificate is for another name", "by the name"]);
    let plain = told(&format!("http://{address}"), &[], &[]).await;
    says(&plain, &["`https://`"]);
    let without = unlimited().await;
    let wrong = told(&format!("https://{}", without.addr()), &[], &[]).await;
    says(&wrong, &["it does not speak TLS", "write `http://`"]);
}

#[tokio::test]
async fn a_trusted_certificate_is_spoken_to() {
    let authority = Authority::new();
    let sim = sim_with(|config| config.tls = Some(authority.certify("localhost"))).await;
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let url = format!("KEY=https://localhost:{}", sim.addr().port());
    let args = [&url, "--spend", "5", "--agents", "2", "--pace", "0", "--probe", "2", "--json"];
    let trusted = [("SSL_CERT_FILE", file.to_str().expect("text"))];
    let ran = Ran::of(start(&first(&sim).key, &args, &trusted)).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(ran.report()["errors"], 0);
}

#[tokio::test]
async fn providers_that_refuse() {
    let sim = unlimited().await;
    let url = format!("KEY={}", sim.base_url());
    let model = told(&url, &["--model", "claude-nope", "--price-like", "claude-opus-5"], &[]).await;
    says(&model, &["answered 404", "/v1/messages is not there", "`claude-nope`", "--model"]);
    says(&told(&format!("{url}/x"), &[], &[]).await, &["answered 404", "/x/v1/messages is not there"]);
    says(&told(&sim.base_url(), &[], &[]).await, &["answered 401", "`--key-env NAME`"]);
    let price = told(&url, &["--model", "nobodys"], &[]).await;
    says(&price, &["the price of `nobodys` is not known", "--price-like"]);
    for (fault, parts) in [
        (Fault::HtmlPage { status: 502 }, ["a page for people (text/html, 502)", "check the base URL"]),
        (Fault::BillingRejected, ["answered 402", "nothing left to spend"]),
        (Fault::Unavailable, ["answered 503", "look into its log"]),
        (Fault::StallAfter { events: 1 }, ["had not finished after 2 s", "--timeout"]),
        (Fault::SlowHeader { delay_ms: Duration::from_secs(9) }, ["said nothing for 2 s", "--timeout"]),
    ] {
        sim.clear_faults();
        sim.script(fault.always());
        says(&told(&url, &[], &[]).await, &parts);
    }
}

/// All of them are asked before anything is measured.
#[tokio::test]
async fn a_second_endpoint_that_is_down_costs_nothing() {
    let sim = unlimited().await;
    let gone = Raw::answering(None).await.url.clone();
    let said = told(&format!("KEY={}", sim.base_url()), &["--against", &gone], &[]).await;
    says(&said, &["cannot connect to http://127.0.0.1"]);
    assert_eq!(sim.seen().len(), 1, "one small question");
}
