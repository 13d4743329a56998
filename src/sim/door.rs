//! The listener: accepting, TLS, one task a connection, and an outage on command.

use std::{
    io::{self, BufReader},
    net::SocketAddr,
    pin::pin,
    sync::Arc,
};

use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot, watch},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use super::{
    core::Core,
    handler,
    line::{Line, Socket, Wire},
    params::{Alpn, TlsFiles},
};

/// What the listener does with those who come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Door {
    /// Lets them in.
    Open,
    /// Is not there: connections are refused, and those that live are cut.
    Refuse,
    /// Accepts and closes at once; those that live stay.
    Slam,
}

/// HTTP/2 windows: a 6 MB body must not crawl through the default 64 KiB.
const WINDOW: u32 = 4 * 1024 * 1024;

type Order = (Door, oneshot::Sender<io::Result<()>>);

/// The handle on the listener.
#[derive(Debug)]
pub(super) struct Porter {
    orders: mpsc::Sender<Order>,
    pub(super) addr: SocketAddr,
}

impl Porter {
    /// Binds, and serves `core` until every handle is dropped.
    pub(super) async fn start(core: Arc<Core>) -> io::Result<Self> {
        let listener = TcpListener::bind(core.config.listen).await?;
        let addr = listener.local_addr()?;
        let tls = core.config.tls.as_ref().map(|files| acceptor(files, core.config.alpn)).transpose()?;
        let (orders, inbox) = mpsc::channel(4);
        let (lives, _) = watch::channel(());
        let guests = Guests { core, tls, lives };
        tokio::spawn(keep(listener, addr, guests, inbox));
        Ok(Self { orders, addr })
    }

    /// Changes what the listener does; returns when it is so.
    pub(super) async fn order(&self, door: Door) -> io::Result<()> {
        let (done, answer) = oneshot::channel();
        let gone = || io::Error::from(io::ErrorKind::BrokenPipe);
        self.orders.send((door, done)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

struct Guests {
    core: Arc<Core>,
    tls: Option<TlsAcceptor>,
    /// Every connection holds a receiver: a change, or the end of the sender, ends it.
    lives: watch::Sender<()>,
}

async fn keep(listener: TcpListener, addr: SocketAddr, guests: Guests, mut inbox: mpsc::Receiver<Order>) {
    let mut listener = Some(listener);
    let mut door = Door::Open;
    loop {
        tokio::select! {
            order = inbox.recv() => {
                let Some((next, done)) = order else { return };
                door = next;
                let result = if door == Door::Refuse {
                    listener = None;
                    guests.lives.send_replace(());
                    Ok(())
                } else {
                    reopen(&mut listener, addr).await
                };
                let _ = done.send(result);
            }
            Some(accepted) = accept(listener.as_ref()) => {
                if let (Ok((tcp, _)), Door::Open) = (accepted, door) {
                    guests.welcome(tcp);
                }
            }
        }
    }
}

async fn reopen(listener: &mut Option<TcpListener>, addr: SocketAddr) -> io::Result<()> {
    if listener.is_none() {
        *listener = Some(TcpListener::bind(addr).await?);
    }
    Ok(())
}

async fn accept(listener: Option<&TcpListener>) -> Option<io::Result<(TcpStream, SocketAddr)>> {
    match listener {
        Some(listener) => Some(listener.accept().await),
        None => std::future::pending().await,
    }
}

impl Guests {
    fn welcome(&self, tcp: TcpStream) {
        let (core, tls, mut life) = (Arc::clone(&self.core), self.tls.clone(), self.lives.subscribe());
        tokio::spawn(async move {
            // Small events must not wait for an acknowledgement.
            let _ = tcp.set_nodelay(true);
            tokio::select! {
                _ = life.changed() => {}
                () = serve(core, tls, tcp) => {}
            }
        });
    }
}

async fn serve(core: Arc<Core>, tls: Option<TlsAcceptor>, tcp: TcpStream) {
    let socket = match tls {
        None => Socket::Plain(tcp),
        Some(acceptor) => match acceptor.accept(tcp).await {
            Ok(stream) => Socket::Tls(Box::new(stream)),
            Err(_) => return, // Its certificate check failed, or it spoke no TLS: its own affair.
        },
    };
    let line = Arc::new(Line::default());
    let io = TokioIo::new(Wire::new(socket, Arc::clone(&line)));
    let alpn = core.config.alpn;
    let at = Arc::clone(&line);
    let service = service_fn(move |request| {
        let (core, line) = (Arc::clone(&core), Arc::clone(&at));
        async move { Box::pin(handler::handle(core, line, request)).await }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().initial_stream_window_size(WINDOW).initial_connection_window_size(WINDOW);
    let builder = match alpn {
        Alpn::H1 => builder.http1_only(),
        Alpn::H2 => builder.http2_only(),
        Alpn::Both => builder,
    };
    let mut connection = pin!(builder.serve_connection(io, service));
    tokio::select! {
        _ = connection.as_mut() => return,
        () = line.retirement() => connection.as_mut().graceful_shutdown(),
    }
    // How a connection ends is the client's business, or the script's.
    let _ = connection.await;
}

fn acceptor(files: &TlsFiles, alpn: Alpn) -> io::Result<TlsAcceptor> {
    let bad = |e: &dyn std::fmt::Display| io::Error::new(io::ErrorKind::InvalidInput, e.to_string());
    let chain = CertificateDer::pem_reader_iter(BufReader::new(files.cert_pem.as_bytes()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| bad(&e))?;
    let key = PrivateKeyDer::from_pem_slice(files.key_pem.as_bytes()).map_err(|e| bad(&e))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|e| bad(&e))?;
    config.alpn_protocols = match alpn {
        Alpn::H1 => vec![b"http/1.1".to_vec()],
        Alpn::H2 => vec![b"h2".to_vec()],
        Alpn::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
    };
    Ok(TlsAcceptor::from(Arc::new(config)))
}
