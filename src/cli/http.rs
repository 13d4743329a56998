//! One small HTTP call to a gateway: no pool, no redirects, a bound on everything.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
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

use crate::config::{BaseUrl, parse_base_url};

const CONNECT: Duration = Duration::from_secs(5);
const MAX_ANSWER: usize = 16 << 20;

/// Where a gateway listens.
#[derive(Clone, Debug)]
pub(super) struct Gateway {
    url: BaseUrl,
    text: String,
}

impl Gateway {
    /// The base URL, without a trailing slash or `/v1`.
    pub(super) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Reads `--url` and `--admin`.
pub(super) fn gateway(text: &str) -> Result<Gateway, String> {
    let url = parse_base_url(text).map_err(|why| format!("{why}; write `http://127.0.0.1:8080`"))?;
    let plain = text.trim_end_matches('/');
    Ok(Gateway { text: plain.strip_suffix("/v1").unwrap_or(plain).to_owned(), url })
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Why nothing came back.
#[derive(thiserror::Error, Debug)]
pub(super) enum CallError {
    #[error("cannot find the host `{host}`: {cause}")]
    Resolve { host: String, cause: std::io::Error },
    #[error("cannot connect to {url}: {cause}")]
    Connect { url: String, cause: std::io::Error },
    #[error("no TLS with {url}: {cause}")]
    Tls { url: String, cause: std::io::Error },
    #[error("{url} did not answer within {} s", .limit.as_secs())]
    Silent { url: String, limit: Duration },
    #[error("{url} did not answer in HTTP: {cause}")]
    Http { url: String, cause: hyper::Error },
    #[error("the answer of {url} broke off or is over 16 MiB")]
    Answer { url: String },
    #[error("the request cannot be written: {0}")]
    Request(#[from] http::Error),
}

/// One call; `path` begins with a slash.
pub(super) async fn call(
    gateway: &Gateway,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: String,
    limit: Duration,
) -> Result<Answer, CallError> {
    let url = &gateway.url;
    let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", url.base_path))
        .header(header::HOST, format!("{host}:{}", url.port))
        .header(header::USER_AGENT, concat!("warmkey/", env!("CARGO_PKG_VERSION")))
        .header(header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body)))?;
    let stream = connect(gateway).await?;
    let silent = |_| CallError::Silent { url: gateway.text.clone(), limit };
    if url.tls {
        let stream = timeout(CONNECT, secure(gateway, stream)).await.map_err(silent)??;
        timeout(limit, exchange(gateway, stream, request)).await.map_err(silent)?
    } else {
        timeout(limit, exchange(gateway, stream, request)).await.map_err(silent)?
    }
}

async fn connect(gateway: &Gateway) -> Result<TcpStream, CallError> {
    let url = &gateway.url;
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((url.host.as_str(), url.port))
        .await
        .map_err(|cause| CallError::Resolve { host: url.host.clone(), cause })?
        .collect();
    let failed = |cause| CallError::Connect { url: gateway.text.clone(), cause };
    timeout(CONNECT, TcpStream::connect(addresses.as_slice()))
        .await
        .map_err(|_| failed(std::io::ErrorKind::TimedOut.into()))?
        .map_err(failed)
}

async fn secure(
    gateway: &Gateway,
    stream: TcpStream,
) -> Result<impl AsyncRead + AsyncWrite + Unpin, CallError> {
    let failed = |cause| CallError::Tls { url: gateway.text.clone(), cause };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().map_err(failed)?);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(std::io::Error::other(error)))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(gateway.url.host.clone())
        .map_err(|error| failed(std::io::Error::other(error)))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(failed)
}

async fn exchange(
    gateway: &Gateway,
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Answer, CallError> {
    let failed = |cause| CallError::Http { url: gateway.text.clone(), cause };
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let answer = async {
        let (head, body) = sender.send_request(request).await.map_err(failed)?.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        let body = body.map_err(|_| CallError::Answer { url: gateway.text.clone() })?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), headers: head.headers, body })
    };
    // The connection makes progress only while it is polled; its own end is the answer's business.
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        _ = connection => answer.await,
    }
}
