//! TLS and ALPN, and the frames that only HTTP/2 has.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use warmkey::{
    sim::{Alpn, Fault, Sim, SimConfig, TlsFiles},
    types::Dialect,
};

use crate::harness::{ask, config};

struct Secure {
    sim: Sim,
    client: ClientConfig,
}

async fn secure(alpn: Alpn) -> Secure {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).expect("a root");
    let tls = TlsFiles { cert_pem: made.cert.pem(), key_pem: made.signing_key.serialize_pem() };
    let sim = Sim::start(SimConfig { tls: Some(tls), alpn, ..config() }).await.expect("a provider");
    let client = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Secure { sim, client }
}

async fn connect(secure: &Secure, offer: &[&str]) -> TlsStream<TcpStream> {
    let mut client = secure.client.clone();
    client.alpn_protocols = offer.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(secure.sim.addr()).await.expect("connected");
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(client)).connect(name, tcp).await.expect("a handshake")
}

fn request(version: Version) -> Request<Full<Bytes>> {
    let body = ask(Dialect::Anthropic, "hi [sim:output_tokens=40]", true).to_string();
    let uri = if version == Version::HTTP_2 { "https://localhost/v1/messages" } else { "/v1/messages" };
    Request::post(uri)
        .version(version)
        .header("host", "localhost")
        .header("x-api-key", "key-a")
        .body(Full::new(Bytes::from(body)))
        .expect("a request")
}

#[tokio::test]
async fn alpn_offers_what_was_configured() {
    let both = ["h2", "http/1.1"];
    for (alpn, expected) in [(Alpn::H1, "http/1.1"), (Alpn::H2, "h2"), (Alpn::Both, "h2")] {
        let secure = secure(alpn).await;
        let stream = connect(&secure, &both).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(expected.as_bytes()));
        assert!(secure.sim.base_url().starts_with("https://"));
    }
}

#[tokio::test]
async fn http1_streams_over_tls_and_is_cut_where_the_script_says() {
    let secure = secure(Alpn::H1).await;
    for (fault, events) in [(None, None), (Some(Fault::ResetAfter { events: 4 }), Some(4))] {
        if let Some(fault) = fault {
            secure.sim.script(fault);
        }
        let io = TokioIo::new(connect(&secure, &["http/1.1"]).await);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.expect("a handshake");
        tokio::spawn(connection);
        let mut response = sender.send_request(request(Version::HTTP_11)).await.expect("a header");
        let (mut text, mut broken) = (Vec::new(), false);
        while let Some(frame) = response.body_mut().frame().await {
            let Ok(frame) = frame else {
                broken = true;
                break;
            };
            text.extend_from_slice(&frame.into_data().expect("data"));
        }
        let text = String::from_utf8(text).expect("text");
        assert_eq!(broken, events.is_some());
        match events {
            Some(n) => assert_eq!(text.matches("\n\n").count(), n),
            None => assert!(text.contains("message_stop")),
        }
    }
}

#[tokio::test]
async fn http2_disowns_a_stream_by_goaway_and_refuses_one_over_tls() {
    let secure = secure(Alpn::H2).await;
    for (fault, sign) in [(Fault::GoAway, "GoAway"), (Fault::RefusedStream, "REFUSED_STREAM")] {
        secure.sim.script(fault);
        let io = TokioIo::new(connect(&secure, &["h2"]).await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("a handshake");
        tokio::spawn(connection);
        let error = sender.send_request(request(Version::HTTP_2)).await.expect_err("no answer");
        assert!(format!("{error:?}").contains(sign), "{error:?}");
        if sign == "REFUSED_STREAM" {
            let again = sender.send_request(request(Version::HTTP_2)).await.expect("the connection lives");
            assert_eq!(again.status(), 200);
        }
    }
}

#[tokio::test]
async fn a_graceful_goaway_lets_the_stream_end() {
    let secure = secure(Alpn::H2).await;
    secure.sim.script(Fault::GoAwayAfter);
    let io = TokioIo::new(connect(&secure, &["h2"]).await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.expect("a handshake");
    let connection = tokio::spawn(connection);
    let response = sender.send_request(request(Version::HTTP_2)).await.expect("a header");
    let body = response.into_body().collect().await.expect("a whole body").to_bytes();
    assert!(body.ends_with(b"{\"type\":\"message_stop\"}\n\n"));
    connection.await.expect("ran").expect("the connection ends in peace");
}

#[tokio::test]
async fn a_bad_certificate_is_an_error_at_the_start() {
    let tls = TlsFiles { cert_pem: "none".to_owned(), key_pem: "none".to_owned() };
    assert!(Sim::start(SimConfig { tls: Some(tls), ..config() }).await.is_err());
}
