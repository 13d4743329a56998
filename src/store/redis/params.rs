//! What the configuration says of the shared server, checked.

use std::{fmt, path::PathBuf};

use ::redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use crate::types::Secret;

/// Where the shared server is.
#[derive(Clone, Debug)]
pub struct RedisParams {
    /// `redis://[user[:password]@]host[:port][/db]`, `rediss://` for TLS; `valkey(s)://` is the same.
    pub url: Secret,
    /// PEM file with the authority that signed the server's certificate, where the system does not
    /// know it.
    pub ca_file: Option<PathBuf>,
    /// Begins every key, in braces: `{warmkey}:...`. Fleets that share a server have different ones.
    pub prefix: String,
    /// Whose books budgets are raised from: the name of this gateway's own ledger, the same over
    /// restarts ([`identity`](crate::store::sqlite::identity)); `None` where all gateways share one.
    pub ledger: Option<String>,
}

/// The address cannot be used. Does not repeat it: it may hold a password.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadAddress(pub String);

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the address of the shared state cannot be used: {}; it looks like redis://host:6379 or \
             rediss://user:password@host:6379",
            self.0
        )
    }
}

impl std::error::Error for BadAddress {}

impl RedisParams {
    /// Makes a client of it. Opens no connection, but reads `ca_file`.
    ///
    /// # Errors
    ///
    /// An address that is none, or a file that cannot be read.
    pub(super) fn client(&self) -> Result<Client, BadAddress> {
        let info = self.info()?;
        let Some(file) = &self.ca_file else {
            return Client::open(info).map_err(|fault| BadAddress(said(&fault)));
        };
        let root = std::fs::read(file)
            .map_err(|fault| BadAddress(format!("its certificate file {}: {fault}", file.display())))?;
        let certificates = TlsCertificates { client_tls: None, root_cert: Some(root) };
        Client::build_with_tls(info, certificates).map_err(|fault| BadAddress(said(&fault)))
    }

    fn info(&self) -> Result<ConnectionInfo, BadAddress> {
        let url = self.url.expose();
        // Valkey is the same server under another name.
        let url = url.strip_prefix("valkey").map_or_else(|| url.to_owned(), |rest| format!("redis{rest}"));
        url.into_connection_info().map_err(|fault| BadAddress(said(&fault)))
    }
}

/// What went wrong, without the words of the address.
pub(super) fn said(fault: &::redis::RedisError) -> String {
    fault.category().to_owned()
}
