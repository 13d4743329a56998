//! Connections to providers: certificates, HTTP/2, stale connections, uploads that are answered
//! early, and answers that break off within an event.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::{
    TlsConnector,
    rustls::pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use warmkey::{
    sim::{Alpn, Fault, Sim, SimConfig},
    types::Dialect,
};

use crate::harness::{Ask, Authority, Gateway, Setup, Wire, body, path, sim_with};

const QUICK: &str = "[provider.timeouts]
first_byte = \"3s\"
idle = \"3s\"
[provider.cooling]
allowed_fails = 100
stay_delay = \"10ms\"
pace = \"0s\"
";

fn tries(sim: &Sim) -> usize {
    sim.seen().iter().filter(|seen| seen.method == "POST").count()
}

fn no_limits(config: &mut SimConfig) {
    for account in &mut config.accounts {
        (account.rpm, account.itpm, account.otpm) = (0, 0, 0);
    }
}

/// A gateway that knows the provider by this name and trusts this authority, if any.
async fn trusting(sim: &Sim, host: &str, authority: Option<&Authority>) -> Gateway {
    let keys = sim.config().accounts.iter().map(|account| account.key.clone()).collect();
    let setup = Setup::at(&format!("https://{host}:{}", sim.addr().port()), keys);
    let mut settings = format!("address = \"{}\"\n", sim.addr());
    if let Some(authority) = authority {
        std::fs::write(setup.dir().join("ca.pem"), authority.pem()).expect("a file");
        settings.push_str("ca_file = \"ca.pem\"\n");
    }
    setup.provider(&(settings + QUICK)).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_must_be_of_this_host_and_of_a_trusted_authority() {
    let (ours, other) = (Authority::new(), Authority::new());
    for http2 in [false, true] {
        let sim = sim_with(|config| {
            config.tls = Some(ours.certify("provider.test"));
            config.alpn = if http2 { Alpn::H2 } else { Alpn::H1 };
        })
        .await;
        let good = trusting(&sim, "provider.test", Some(&ours)).await;
        for dialect in Dialect::ALL {
            good.ask(dialect).send().await.assert_ok();
        }
        good.assert_all_ready().await;
        let before = sim.seen().len();
        for (host, authority) in
            [("elsewhere.test", Some(&ours)), ("provider.test", Some(&other)), ("provider.test", None)]
        {
            let gateway = trusting(&sim, host, authority).await;
            for dialect in Dialect::ALL {
                for stream in [false, true] {
                    let reply = gateway.ask(dialect).stream(stream).send().await.assert_error(dialect, 502);
                    assert!(reply.text().contains("cannot be reached"), "{}", reply.text());
                }
            }
            gateway.at_rest().await;
        }
        assert_eq!(sim.seen().len(), before, "a request went to a provider that is not trusted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_agreed_on_by_alpn_and_carries_many_streams() {
    let authority = Authority::new();
    for alpn in [Alpn::H1, Alpn::H2, Alpn::Both] {
        let sim = sim_with(|config| {
            config.tls = Some(authority.certify("provider.test"));
            config.alpn = alpn;
        })
        .await;
        let gateway = Arc::new(trusting(&sim, "provider.test", Some(&authority)).await);
        let mut sent = JoinSet::new();
        for n in 0..60 {
            let gateway = Arc::clone(&gateway);
            let dialect = Dialect::ALL[n % 3];
            sent.spawn(
                async move { gateway.ask(dialect).stream(n % 2 == 0).send().await.assert_ok().broken },
            );
        }
        assert!(sent.join_all().await.into_iter().all(|broken| !broken));
        gateway.assert_all_ready().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_processed_is_sent_again_on_the_same_key_without_penalty() {
    for wire in [Wire::Plain, Wire::H2c, Wire::TlsH1, Wire::TlsH2] {
        let (sim, setup) = wire.provider(|_| {}).await;
        // One connection is pooled, not one for each key's check; a single failure takes the host out.
        let settings = QUICK.replace("allowed_fails = 100", "allowed_fails = 1");
        let gateway = setup.provider(&format!("validate_keys = false\n{settings}")).start().await;
        let mut faults = vec![Fault::Stale];
        if wire.is_h2() {
            faults.extend([Fault::GoAway, Fault::RefusedStream, Fault::GoAwayAfter]);
        }
        for fault in faults {
            for dialect in Dialect::ALL {
                let ask = gateway.ask(dialect).session(&format!("{fault:?}-{}", dialect.label()));
                let home = ask.send().await.assert_ok().endpoint().to_owned();
                sim.script(fault.clone());
                for _ in 0..2 {
                    let reply = ask.send().await.assert_ok();
                    assert_eq!((reply.endpoint(), reply.affinity()), (home.as_str(), "hit"), "{fault:?}");
                }
                gateway.assert_all_ready().await;
            }
        }
        assert_eq!(gateway.metric("ambiguous_attempts_total", &[]).await, 0.0);
        let stale = gateway.metric("attempts_total", &["outcome=\"stale\""]).await;
        assert!(stale >= if wire.is_h2() { 6.0 } else { 3.0 }, "{wire:?}: {stale}");
    }
}

/// Six megabytes that nobody can compress or guess.
fn large(dialect: Dialect) -> Bytes {
    let text: String =
        (0..750_000).map(|n: u64| format!("{:08x}", n.wrapping_mul(0x9e37_79b9) & 0xffff_ffff)).collect();
    serde_json::to_vec(&body(dialect, &text)).expect("JSON").into()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_during_an_upload_is_seen_at_once() {
    for wire in [Wire::Plain, Wire::TlsH2] {
        let (sim, setup) = wire.provider(no_limits).await;
        // By cost it would rather come back later than pay for six megabytes elsewhere.
        let pinned = format!("routing = \"pinned\"\n{QUICK}");
        let gateway = setup.provider(&pinned).start().await;
        for dialect in Dialect::ALL {
            let body = large(dialect);
            let ask = Ask::new(gateway.url(path(dialect)), json!(null)).raw(body.clone());
            sim.script(Fault::EarlyAnswer { status: 413, after_bytes: 200_000 });
            let began = Instant::now();
            let reply = ask.send().await.assert_error(dialect, 413);
            assert!(reply.text().contains("Request exceeds"), "{}", reply.text());
            // A write may take thirty seconds; an answer that is there is not waited for.
            assert!(began.elapsed() < Duration::from_secs(10), "{wire:?}: {:?}", began.elapsed());
            sim.script(Fault::EarlyAnswer { status: 429, after_bytes: 200_000 });
            ask.send().await.assert_ok();
            let seen = sim.seen();
            let last = seen.last().expect("a request");
            let digest: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!((last.body_len, last.body_sha256.as_str()), (body.len(), digest.as_str()));
            let first = &seen[seen.len() - 2];
            assert!(first.body_len < body.len(), "the first upload was not broken off");
            gateway.readmit(&format!("{}1", if dialect == Dialect::Anthropic { 'a' } else { 'o' })).await;
        }
        gateway.at_rest().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_reads_slowly_gets_the_whole_body() {
    let sim = sim_with(no_limits).await;
    let gateway = Setup::over(&sim).provider(QUICK).start().await;
    let ask = Ask::new(gateway.url(path(Dialect::Anthropic)), json!(null)).raw(large(Dialect::Anthropic));
    sim.script(Fault::SlowRead { bytes_per_second: 6_000_000 });
    ask.send().await.assert_ok();
    assert_eq!(tries(&sim), 1);
    assert_eq!(sim.seen().last().expect("a request").body_len, ask.body.len());
    gateway.assert_all_ready().await;
}

// ---- Answers that break off within an event

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The chunked body ends properly.
    Clean,
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

/// What a raw provider answers: pieces of an event stream, one write each, and then an end.
type Script = Arc<Mutex<(Vec<Bytes>, End)>>;

/// A provider that answers every request, on a connection of its own, with what the script says then.
async fn raw_provider(script: Script) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (pieces, end) = script.lock().clone();
            tokio::spawn(async move { drop(answer(tcp, &pieces, end).await) });
        }
    });
    addr
}

async fn answer(mut tcp: TcpStream, pieces: &[Bytes], end: End) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut request = Vec::new();
    let whole = |request: &[u8]| {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
        let length: usize = text.split("content-length: ").nth(1)?.split("\r\n").next()?.parse().ok()?;
        (request.len() >= head + 4 + length).then_some(())
    };
    while whole(&request).is_none() {
        if tcp.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    tcp.write_all(
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
    )
    .await?;
    for piece in pieces {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        tcp.write_all(&chunk).await?;
        tcp.flush().await?;
        tokio::task::yield_now().await;
    }
    match end {
        End::Clean => tcp.write_all(b"0\r\n\r\n").await,
        End::Close => Ok(()),
        End::Reset => {
            // On loopback everything written has arrived by now, and is read before the reset is.
            tcp.set_zero_linger()
        }
    }
}

/// A stream's head up to some content, and an event more that is cut.
fn stream(dialect: Dialect) -> (String, &'static str) {
    match dialect {
        Dialect::Anthropic => (
            "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
             event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n\
             event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"one\"}}\n\n".to_owned(),
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"two\"}}\n\n",
        ),
        Dialect::OpenAiChat => (
            "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"one\"},\"finish_reason\":null}]}\n\n".to_owned(),
            "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"two\"},\"finish_reason\":null}]}\n\n",
        ),
        Dialect::OpenAiResponses => (
            "event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\"}}\n\n\
             event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"delta\":\"one\"}\n\n".to_owned(),
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":2,\"delta\":\"two\"}\n\n",
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_dies_within_an_event_ends_in_one_whole_error_event() {
    for dialect in Dialect::ALL {
        let (head, event) = stream(dialect);
        let script = Script::new(Mutex::new((Vec::new(), End::Clean)));
        let addr = raw_provider(Arc::clone(&script)).await;
        let setup = Setup::at(&format!("http://{addr}"), vec!["key".to_owned()]);
        let gateway = setup.provider(&format!("validate_keys = false\n{QUICK}")).start().await;
        for end in [End::Clean, End::Close, End::Reset] {
            for cut in [1, 7, event.len() / 2, event.len() - 2, event.len() - 1] {
                let bytes = Bytes::from(format!("{head}{}", &event[..cut]));
                // Odd places, and one of them within the last whole event.
                let odd = [13, head.len() - 31, head.len() - 1, bytes.len()];
                let mut from = 0;
                let pieces = odd.map(|to| bytes.slice(std::mem::replace(&mut from, to)..to)).to_vec();
                *script.lock() = (pieces, end);
                let reply = gateway.ask(dialect).stream(true).send().await;
                let case = format!("{dialect} {end:?} cut at {cut}");
                assert!(!reply.broken, "{case}");
                let error = reply.assert_ends_in_error(dialect);
                assert!(
                    reply.text().contains("one") && !reply.text().contains("two"),
                    "{case}: {}",
                    reply.text()
                );
                assert!(reply.text().starts_with(&head), "{case}: {}", reply.text());
                if dialect == Dialect::OpenAiResponses {
                    assert_eq!(error["sequence_number"], 2, "{case}");
                }
                gateway.assert_all_ready().await;
            }
        }
    }
}

/// What a client says over TLS to a listener that must prove to be `localhost`.
async fn over_tls(gateway: &Gateway, authority: &Authority, http2: bool) -> (http::StatusCode, Bytes) {
    let mut roots = tokio_rustls::rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.pem().as_bytes()) {
        roots.add(certificate.expect("a certificate")).expect("an authority");
    }
    let mut config =
        tokio_rustls::rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![if http2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    let tcp = TcpStream::connect(gateway.data).await.expect("a connection");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("a handshake");
    let io = TokioIo::new(tls);
    let request = http::Request::get("https://localhost/healthz").header("host", "localhost");
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let answer = if http2 {
        let (mut sender, talking) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("HTTP/2");
        tokio::spawn(talking);
        sender.send_request(request).await
    } else {
        let (mut sender, talking) = hyper::client::conn::http1::handshake(io).await.expect("HTTP/1.1");
        tokio::spawn(talking);
        sender.send_request(request).await
    };
    let answer = answer.expect("an answer");
    (answer.status(), answer.into_body().collect().await.expect("a body").to_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_data_listener_speaks_tls_with_both_versions_of_http() {
    let (sim, authority) = (sim_with(no_limits).await, Authority::new());
    let setup = Setup::over(&sim);
    let files = authority.certify("localhost");
    std::fs::write(setup.dir().join("cert.pem"), files.cert_pem).expect("a file");
    std::fs::write(setup.dir().join("key.pem"), files.key_pem).expect("a file");
    let gateway = setup.server("tls = { cert = \"cert.pem\", key = \"key.pem\" }").start().await;
    for http2 in [false, true] {
        let (status, body) = over_tls(&gateway, &authority, http2).await;
        assert_eq!(status, 200, "HTTP/2: {http2}");
        assert_eq!(body, r#"{"status":"ok"}"#);
    }
}
