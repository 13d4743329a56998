//! Connections to providers, from Pingora's pools.

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use pingora::{
    connectors::{ConnectorOptions, http::Connector},
    protocols::{SocketDigest, TcpKeepalive, http::client::HttpSession},
    upstreams::peer::HttpPeer,
};

use super::dns::Dns;
use crate::upstream::{HttpVersion, ProviderParams};

/// Streams on one HTTP/2 connection before another one is opened.
const H2_STREAMS: usize = 100;

/// How long the end of a connection may take.
const FAREWELL: Duration = Duration::from_secs(1);

/// A kernel that finds the other side gone tells us within about two minutes, so that a stream
/// through a dead NAT entry does not hang for its whole idle time.
const KEEPALIVE: TcpKeepalive = TcpKeepalive {
    idle: Duration::from_secs(60),
    interval: Duration::from_secs(15),
    count: 4,
    #[cfg(target_os = "linux")]
    user_timeout: Duration::from_secs(0),
};

/// Everything that is needed to reach providers. Pools live as long as the process, so a reload
/// keeps its connections.
pub struct Upstreams {
    dns: Arc<Dns>,
    /// One pool for every file of trusted authorities: a per-peer CA would build a TLS
    /// configuration for each connection, without session resumption.
    pools: Mutex<HashMap<Option<PathBuf>, Arc<Connector>>>,
    pool_size: usize,
}

/// An open connection, and what is needed to give it back. Boxed wherever it goes: it is kilobytes,
/// and every future that it is handed through would make room for it.
pub(crate) struct Connection {
    /// Pingora's client session.
    pub session: HttpSession<()>,
    /// It came from the pool.
    pub reused: bool,
    peer: HttpPeer,
    pool: Arc<Connector>,
}

/// Why there is no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoConnection {
    /// The name, the address or the handshake failed.
    Failed,
    /// It took too long.
    TimedOut,
}

impl Upstreams {
    /// Pools that keep up to `pool_size` idle connections each.
    #[must_use]
    pub fn new(pool_size: usize) -> Self {
        Self { dns: Arc::new(Dns::default()), pools: Mutex::default(), pool_size }
    }

    /// A connection to the provider, pooled or new.
    pub(crate) async fn connect(&self, provider: &ProviderParams) -> Result<Box<Connection>, NoConnection> {
        let host: Arc<str> = provider.host.as_str().into();
        let address = match provider.address {
            Some(address) => address,
            None => self.dns.resolve(&host, provider.port).await.map_err(|fault| {
                tracing::debug!(provider = %provider.name, %fault, "host name not resolved");
                NoConnection::Failed
            })?,
        };
        let peer = peer(provider, address);
        let pool = self.pool(provider);
        let connecting = pool.get_http_session(&peer);
        match pingora_timeout::timeout(provider.timeouts.connect, connecting).await {
            Ok(Ok((session, reused))) => Ok(Box::new(Connection { session, reused, peer, pool })),
            Ok(Err(fault)) => {
                tracing::debug!(provider = %provider.name, %address, %fault, "no connection");
                self.dns.demote(&host, provider.port, address);
                Err(NoConnection::Failed)
            }
            Err(_) => {
                self.dns.demote(&host, provider.port, address);
                Err(NoConnection::TimedOut)
            }
        }
    }

    /// The peer of a provider, for the native path.
    pub(crate) async fn native_peer(&self, provider: &ProviderParams) -> Result<HttpPeer, NoConnection> {
        let host: Arc<str> = provider.host.as_str().into();
        let address = match provider.address {
            Some(address) => address,
            None => self.dns.resolve(&host, provider.port).await.map_err(|_| NoConnection::Failed)?,
        };
        let mut peer = peer(provider, address);
        peer.options.read_timeout = Some(provider.timeouts.first_byte.max(provider.timeouts.idle));
        peer.options.write_timeout = Some(provider.timeouts.write);
        Ok(peer)
    }

    fn pool(&self, provider: &ProviderParams) -> Arc<Connector> {
        let mut pools = self.pools.lock();
        let pool = pools.entry(provider.ca_file.clone()).or_insert_with_key(|ca_file| {
            let mut options = ConnectorOptions::new(self.pool_size);
            options.ca_file = ca_file.as_ref().map(|path| path.to_string_lossy().into_owned());
            Arc::new(Connector::new(Some(options)))
        });
        Arc::clone(pool)
    }
}

impl Connection {
    /// Gives the connection back to the pool; only after the whole answer was read.
    pub(crate) async fn release(self: Box<Self>) {
        let Self { session, peer, pool, .. } = *self;
        let releasing = pool.release_http_session(session, &peer, peer.options.idle_timeout);
        let _ = pingora_timeout::timeout(FAREWELL, releasing).await;
    }

    /// Closes it (HTTP/1.1) or resets the stream (HTTP/2), without waiting for a peer that no longer
    /// reads: what is not said politely within a moment is said by closing the socket.
    pub(crate) async fn close(mut self: Box<Self>) {
        let _ = pingora_timeout::timeout(FAREWELL, self.session.shutdown()).await;
    }

    /// What the kernel knows of this connection.
    pub(crate) fn socket(&self) -> Option<Arc<SocketDigest>> {
        self.session.digest()?.socket_digest.clone()
    }

    /// Whether requests on it are HTTP/2 streams.
    pub(crate) fn is_h2(&self) -> bool {
        self.session.as_http2().is_some()
    }
}

fn peer(provider: &ProviderParams, address: SocketAddr) -> HttpPeer {
    let mut peer = HttpPeer::new(address, provider.tls, provider.host.clone());
    let options = &mut peer.options;
    options.connection_timeout = Some(provider.timeouts.connect);
    options.total_connection_timeout = Some(provider.timeouts.connect);
    options.idle_timeout = Some(provider.timeouts.pool_idle);
    options.tcp_keepalive = Some(KEEPALIVE);
    options.max_h2_streams = H2_STREAMS;
    match provider.http {
        HttpVersion::One => options.set_http_version(1, 1),
        HttpVersion::Two => options.set_http_version(2, 2),
        // Without TLS there is no negotiation: HTTP/2 then has to be asked for by name.
        HttpVersion::Auto if provider.tls => options.set_http_version(2, 1),
        HttpVersion::Auto => options.set_http_version(1, 1),
    }
    peer
}
