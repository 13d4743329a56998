//! One connection, kept between requests as clients keep theirs.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1::SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, pki_types::ServerName},
};

use super::{Fault, Target, fault::tls_fault};

/// Nobody waits longer for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to one endpoint, opened when it is needed.
pub(in crate::gauge) struct Line {
    target: Arc<Target>,
    tls: Option<Arc<ClientConfig>>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Line {
    /// The first connection to `target`.
    pub(in crate::gauge) fn new(target: &Arc<Target>) -> Result<Self, Fault> {
        let tls = if target.is_tls() { Some(Arc::new(trust()?)) } else { None };
        Ok(Self { target: Arc::clone(target), tls, open: None })
    }

    /// Another one to the same place.
    pub(in crate::gauge) fn another(&self) -> Self {
        Self { target: Arc::clone(&self.target), tls: self.tls.clone(), open: None }
    }

    pub(super) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Sends a request and awaits the head of its answer. A kept connection that was closed meanwhile is
    /// opened anew, as long as nothing was sent on it.
    pub(super) async fn send(
        &mut self,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Fault> {
        let mut kept = self.open.take().filter(|open| !open.sender.is_closed());
        loop {
            let fresh = kept.is_none();
            let mut open = match kept.take() {
                Some(open) => open,
                None => self.connect().await?,
            };
            let sent = match open.sender.ready().await {
                Ok(()) => open.sender.try_send_request(request).await,
                Err(_) if !fresh => continue,
                Err(error) => return Err(Fault::of_http(&error)),
            };
            match sent {
                Ok(response) => {
                    self.open = Some(open);
                    return Ok(response);
                }
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    Some(_) | None => return Err(Fault::of_http(failed.error())),
                },
            }
        }
    }

    /// The answer was not read to its end: the connection is of no more use.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    async fn connect(&self) -> Result<Open, Fault> {
        let url = &self.target.url;
        let addresses: Vec<SocketAddr> = tokio::net::lookup_host((url.host.as_str(), url.port))
            .await
            .map_err(|cause| Fault::Unknown { host: url.host.clone(), cause: cause.to_string() })?
            .collect();
        let stream = timeout(CONNECT, TcpStream::connect(addresses.as_slice()))
            .await
            .map_err(|_| Fault::NoConnection(format!("no connection within {} s", CONNECT.as_secs())))?
            .map_err(|cause| Fault::NoConnection(cause.to_string()))?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else { return handshake(stream).await };
        let name = ServerName::try_from(url.host.clone()).map_err(|_| {
            Fault::NoConnection(format!("`{}` is no name that a certificate could have", url.host))
        })?;
        let secured = timeout(CONNECT, TlsConnector::from(Arc::clone(tls)).connect(name, stream)).await;
        let secured = secured.map_err(|_| Fault::Tls(super::fault::TlsFault::Silent))?;
        handshake(secured.map_err(|cause| Fault::Tls(tls_fault(&cause)))?).await
    }
}

async fn handshake(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Open, Fault> {
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Fault::of_http(&error))?;
    // Its end is seen by whoever sends next.
    let driver = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Open { sender, driver: driver.abort_handle() })
}

/// What the system trusts (`SSL_CERT_FILE` adds to it).
fn trust() -> Result<ClientConfig, Fault> {
    let failed = |cause: io::Error| Fault::NoConnection(format!("no certificates to trust: {cause}"));
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().map_err(failed)?);
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = versions.map_err(|error| failed(io::Error::other(error)))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
