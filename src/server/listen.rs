//! Listeners: bound by us, handed to Pingora's services.

use std::{
    io,
    net::{SocketAddr, TcpListener},
    os::fd::IntoRawFd,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use parking_lot::Mutex;
use pingora::{
    apps::HttpServerOptions,
    listeners::{TcpSocketOptions, tls::TlsSettings},
    protocols::{TcpKeepalive, http::v2::server::H2Options},
    server::{Fds, configuration::ServerConf},
    services::{Service as _, listening::Service},
};
use pingora_proxy::http_proxy_service_with_name;
use tokio::{net::TcpSocket, sync::watch, task::JoinSet};

use crate::{admin::Admin, proxy::Gateway, snapshot::ServerParams};

/// The parser's own windows are 64 KiB, with which an upload of megabytes crawls.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
const STREAMS: u32 = 1_000;

/// Bytes that the kernel holds of an answer on the admin listener; left alone, it takes megabytes.
const PEOPLE_BUFFER: u32 = 128 * 1024;
/// Connections there that wait to be accepted.
const PEOPLE_WAITING: u32 = 1_024;

/// Sockets that listen already.
pub(super) struct Listeners {
    /// Where agents connect.
    pub data: Vec<SocketAddr>,
    /// Where people connect.
    pub admin: SocketAddr,
    fds: Fds,
}

/// When each listener closes: once its value is `true`, or its sender is gone.
pub(super) struct Stops {
    /// With the drain.
    pub data: watch::Receiver<bool>,
    /// After it.
    pub admin: watch::Receiver<bool>,
}

impl Listeners {
    /// Binds every address; port 0 becomes a free one.
    pub(super) fn bind(server: &ServerParams) -> anyhow::Result<Self> {
        let mut fds = Fds::new();
        let data = server
            .listen
            .iter()
            .map(|address| bind(&mut fds, *address, TcpListener::bind(*address), "server.listen"))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let admin = bind(&mut fds, server.admin, listen_shallow(server.admin), "server.admin")?;
        Ok(Self { data, admin, fds })
    }

    /// Starts the services on them.
    pub(super) fn start(
        self,
        server: &ServerParams,
        conf: &Arc<ServerConf>,
        gateway: Gateway,
        admin: Admin,
        stops: Stops,
        services: &mut JoinSet<()>,
    ) -> anyhow::Result<()> {
        let fds = Arc::new(Mutex::new(self.fds));
        let mut data = http_proxy_service_with_name(conf, gateway, "warmkey");
        if let Some(app) = data.app_logic_mut() {
            let mut options = HttpServerOptions::default();
            options.h2c = true;
            app.server_options = Some(options);
            let mut h2 = H2Options::new();
            h2.initial_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .max_concurrent_streams(STREAMS);
            app.h2_options = Some(h2);
        }
        for address in &self.data {
            let address = address.to_string();
            match &server.tls {
                None => data.add_tcp_with_settings(&address, socket_options()),
                Some(tls) => {
                    let settings = tls_settings(&tls.cert, &tls.key)?;
                    data.add_tls_with_settings(&address, Some(socket_options()), settings);
                }
            }
        }
        let mut people = Service::new("warmkey admin".to_owned(), admin);
        people.add_tcp(&self.admin.to_string());
        let fds_of_data = Arc::clone(&fds);
        services.spawn(async move { data.start_service(Some(fds_of_data), stops.data, 1).await });
        services.spawn(async move { people.start_service(Some(fds), stops.admin, 1).await });
        Ok(())
    }
}

/// A listener whose connections inherit a small buffer: what the kernel takes from the dashboard's stream is old
/// when somebody reads it.
fn listen_shallow(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.set_send_buffer_size(PEOPLE_BUFFER)?;
    socket.bind(address)?;
    socket.listen(PEOPLE_WAITING)?.into_std()
}

fn bind(
    fds: &mut Fds,
    address: SocketAddr,
    listener: io::Result<TcpListener>,
    knob: &str,
) -> anyhow::Result<SocketAddr> {
    let listener = listener.with_context(|| {
        format!("`{knob}`: cannot listen on {address}; is another gateway running there?")
    })?;
    listener.set_nonblocking(true).context("preparing a listener")?;
    let bound = listener.local_addr().context("asking for a listener's address")?;
    fds.add(bound.to_string(), listener.into_raw_fd());
    Ok(bound)
}

fn tls_settings(cert: &std::path::Path, key: &std::path::Path) -> anyhow::Result<TlsSettings> {
    let (Some(cert), Some(key)) = (cert.to_str(), key.to_str()) else {
        bail!("`server.tls`: the paths of the certificate and the key must be UTF-8");
    };
    let mut settings = TlsSettings::intermediate(cert, key)
        .map_err(|fault| anyhow::anyhow!("`server.tls`: cannot use `{cert}` with `{key}`: {fault}"))?;
    settings.enable_h2();
    Ok(settings)
}

fn socket_options() -> TcpSocketOptions {
    let mut options = TcpSocketOptions::default();
    options.tcp_keepalive = Some(TcpKeepalive {
        idle: Duration::from_secs(60),
        interval: Duration::from_secs(15),
        count: 4,
        #[cfg(target_os = "linux")]
        user_timeout: Duration::ZERO,
    });
    options
}
