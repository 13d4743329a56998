//! One HTTP call to somebody who is not a provider: no pool, no redirects, a bound on everything.
//!
//! URLs and bodies may hold secrets: no error quotes them.

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

/// For everything together.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of an answer.
const ANSWER: usize = 64 << 10;

/// Why there is no answer.
#[derive(thiserror::Error, Debug)]
pub(super) enum CallFault {
    #[error("the URL cannot be used")]
    Url,
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    #[error("no TLS: {0}")]
    Tls(std::io::Error),
    #[error("no answer in HTTP: {0}")]
    Http(hyper::Error),
    #[error("the answer broke off, or is over 64 KiB")]
    Answer,
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Silent,
}

/// What is asked.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) headers: &'a [(&'a str, &'a str)],
    pub(super) body: Bytes,
}

/// Asks once. Any status is an answer.
pub(super) async fn call(call: Call<'_>) -> Result<(StatusCode, Bytes), CallFault> {
    timeout(PATIENCE, send(call)).await.map_err(|_| CallFault::Silent)?
}

async fn send(call: Call<'_>) -> Result<(StatusCode, Bytes), CallFault> {
    let uri: Uri = call.url.parse().map_err(|_| CallFault::Url)?;
    let host = uri.host().ok_or(CallFault::Url)?;
    let tls = match uri.scheme_str() {
        Some("https") => true,
        Some("http") => false,
        Some(_) | None => return Err(CallFault::Url),
    };
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let mut request = Request::builder()
        .method(call.method)
        .uri(path)
        .header(header::HOST, if uri.port().is_some() { format!("{host}:{port}") } else { host.to_owned() })
        .header(header::USER_AGENT, concat!("warmkey/", env!("CARGO_PKG_VERSION")));
    for (name, value) in call.headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(call.body)).map_err(|_| CallFault::Url)?;
    // An address of IPv6 stands in brackets in a URL, and nowhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let stream = TcpStream::connect((name.as_str(), port)).await.map_err(CallFault::Connect)?;
    if tls { exchange(secure(name, stream).await?, request).await } else { exchange(stream, request).await }
}

async fn secure(host: String, stream: TcpStream) -> Result<impl AsyncRead + AsyncWrite + Unpin, CallFault> {
    let failed = |error| CallFault::Tls(std::io::Error::other(error));
    let mut roots = RootCertStore::empty();
    let native = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let native = native.map_err(|fault| CallFault::Tls(std::io::Error::other(fault)))?;
    roots.add_parsable_certificates(native.map_err(CallFault::Tls)?);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).map_err(|_| CallFault::Url)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(CallFault::Tls)
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), CallFault> {
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream));
    let (mut sender, connection) = handshake.await.map_err(CallFault::Http)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(CallFault::Http)?.into_parts();
        let body = Limited::new(body, ANSWER).collect().await.map_err(|_| CallFault::Answer)?;
        Ok((head.status, body.to_bytes()))
    };
    // The connection makes progress only while it is polled; its own end is the answer's business.
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
