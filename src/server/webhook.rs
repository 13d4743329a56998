//! One POST to a URL of the operator's: no pool, no redirects, a bound on everything.
//!
//! The URL is a secret, as such URLs hold their own password: no error quotes it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use crate::types::Secret;

/// For everything together.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer.
const ANSWER: usize = 64 << 10;

/// Why a message was not taken.
#[derive(thiserror::Error, Debug)]
pub(super) enum WebhookFault {
    #[error("the URL of `alerts.webhook` cannot be used")]
    Url,
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    #[error("no answer in HTTP: {0}")]
    Http(hyper::Error),
    #[error("it answered {0}")]
    Refused(StatusCode),
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// Posts JSON; taken is what is answered with a 2xx.
pub(super) async fn post(url: &Secret, body: Bytes) -> Result<(), WebhookFault> {
    timeout(PATIENCE, send(url, body)).await.map_err(|_| WebhookFault::Silent)?
}

async fn send(url: &Secret, body: Bytes) -> Result<(), WebhookFault> {
    let uri: Uri = url.expose().parse().map_err(|_| WebhookFault::Url)?;
    let host = uri.host().ok_or(WebhookFault::Url)?;
    let tls = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header(header::HOST, if uri.port().is_some() { format!("{host}:{port}") } else { host.to_owned() })
        .header(header::USER_AGENT, concat!("warmkey/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body))
        .map_err(|_| WebhookFault::Url)?;
    // An address of IPv6 stands in brackets in a URL, and nowhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((name.as_str(), port)).await.map_err(WebhookFault::Connect)?;
    if tls { exchange(secure(name, stream).await?, request).await } else { exchange(stream, request).await }
}

async fn secure(
    host: String,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin, WebhookFault> {
    let failed = |error| WebhookFault::Tls(std::io::Error::other(error));
    let mut roots = RootCertStore::empty();
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let native = native.map_err(|fault| WebhookFault::Tls(std::io::Error::other(fault)))?;
    roots.add_parsable_certificates(native.map_err(WebhookFault::Tls)?);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|_| WebhookFault::Url)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(WebhookFault::Tls)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<(), WebhookFault> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(WebhookFault::Http)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(WebhookFault::Http)?.into_parts();
        let _said = Limited::new(body, ANSWER).collect().await;
        if head.status.is_success() { Ok(()) } else { Err(WebhookFault::Refused(head.status)) }
    };
    // The connection makes progress only while it is polled; its own end is the answer's business.
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
