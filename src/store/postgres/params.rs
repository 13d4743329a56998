//! The address of Postgres, checked.
//!
//! `sslmode` means here what it should: `require` (and `verify-ca`, `verify-full`, which are the same)
//! checks the server's certificate and name, `disable` sends everything in the clear. `prefer` and `allow`
//! are refused: whoever is in the middle chooses then. Without a word it is `require`, but for this
//! very machine, where it is `disable`. `sslrootcert=FILE` names an authority of one's own.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

use super::PostgresFault;
use crate::types::Secret;

/// How long opening a connection may take.
const OPENING: Duration = Duration::from_secs(3);

/// Where Postgres is.
#[derive(Clone, Debug)]
pub struct PostgresParams {
    /// `postgres://[user[:password]@]host[:port]/database[?sslmode=..&sslrootcert=..]`.
    pub url: Secret,
}

impl PostgresParams {
    /// What the driver needs, and the file of an authority of one's own.
    pub(super) fn read(&self) -> Result<(Config, Option<PathBuf>), PostgresFault> {
        let address = |what: &str| PostgresFault::Address(what.to_owned());
        let (base, query) = self.url.expose().split_once('?').unwrap_or((self.url.expose(), ""));
        if !base.starts_with("postgres://") && !base.starts_with("postgresql://") {
            return Err(address("it is no URL of Postgres"));
        }
        let (mut mode, mut root, mut rest) = (None, None, Vec::new());
        for part in query.split('&').filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some(("sslmode", word)) => mode = Some(word),
                Some(("sslrootcert", file)) => root = Some(PathBuf::from(file)),
                Some(_) | None => rest.push(part),
            }
        }
        // The driver's own words might quote the address.
        let mut config: Config = format!("{base}?{}", rest.join("&")).parse().map_err(|_| {
            address("it cannot be understood, or has an option that the driver does not know")
        })?;
        let local =
            config.get_hosts().iter().all(is_here) && config.get_hostaddrs().iter().all(IpAddr::is_loopback);
        config.ssl_mode(match mode {
            None if local => SslMode::Disable,
            Some("disable") => SslMode::Disable,
            None | Some("require" | "verify-ca" | "verify-full") => SslMode::Require,
            Some("prefer" | "allow") => {
                return Err(address(
                    "`sslmode` `prefer` and `allow` protect nothing; write `require` or `disable`",
                ));
            }
            Some(_) => return Err(address("`sslmode` is `require` or `disable`")),
        });
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(address("it names no host"));
        }
        if config.get_application_name().is_none() {
            config.application_name("warmkey");
        }
        config.connect_timeout(OPENING).tcp_user_timeout(Duration::from_secs(10));
        Ok((config, root))
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        }
        Host::Unix(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<(Config, Option<PathBuf>), PostgresFault> {
        PostgresParams { url: Secret::new(url.to_owned()) }.read()
    }

    #[test]
    fn nothing_goes_over_a_network_in_the_clear_unless_told_to() {
        for (url, mode) in [
            ("postgres://localhost/w", SslMode::Disable),
            ("postgres://u@127.0.0.1:5433/w", SslMode::Disable),
            ("postgresql://u:p@[::1]/w", SslMode::Disable),
            ("postgres://u:p@db.example/w", SslMode::Require),
            ("postgres://u:p@db.example,localhost/w", SslMode::Require),
            ("postgres://u:p@db.example/w?sslmode=verify-full", SslMode::Require),
            ("postgres://u:p@db.example/w?connect_timeout=1&sslmode=disable", SslMode::Disable),
        ] {
            assert_eq!(read(url).unwrap().0.get_ssl_mode(), mode, "{url}");
        }
        let (_, root) = read("postgres://db.example/w?sslmode=require&sslrootcert=/etc/ca.pem").unwrap();
        assert_eq!(root, Some(PathBuf::from("/etc/ca.pem")));
    }

    #[test]
    fn an_address_that_is_none_is_told_without_being_repeated() {
        for url in [
            "",
            "mysql://secret@host/w",
            "postgres://",
            "postgres://u:secret@host:port/w",
            "postgres://u:secret@h/w?sslmode=prefer",
            "postgres://u:secret@h/w?sslmode=secret",
            "postgres://u:secret@h/w?colour=secret",
            "host=secret user=u",
        ] {
            let fault = read(url).expect_err(url).to_string();
            assert!(!fault.contains("secret") && fault.contains("postgres://user"), "{url}: {fault}");
        }
    }
}
