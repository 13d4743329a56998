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
    /// Reads an address, and what may stand behind it: `?prefix=NAME` (`warmkey` without it) and
    /// `?ca_file=FILE`.
    ///
    /// # Errors
    ///
    /// An option that is none.
    pub fn read(url: &Secret, ledger: Option<String>) -> Result<Self, BadAddress> {
        let text = url.expose();
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let (mut ca_file, mut prefix) = (None, "warmkey".to_owned());
        let mut rest = String::new();
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("ca_file", file)) => ca_file = Some(PathBuf::from(file)),
                Some(("prefix", name)) if is_plain(name) => name.clone_into(&mut prefix),
                Some(("prefix", _)) => {
                    let what = "`prefix` is made of letters, digits, `-`, `_` and `.`, 1 to 64 of them";
                    return Err(BadAddress(what.to_owned()));
                }
                Some(("protocol", _)) => rest = format!("?{option}"),
                // Not repeated: it may be half of a password.
                Some(_) | None => {
                    return Err(BadAddress("behind `?` stand `ca_file`, `prefix` and `protocol`".to_owned()));
                }
            }
        }
        if ca_file.is_some() && !(base.starts_with("rediss:") || base.starts_with("valkeys:")) {
            return Err(BadAddress("`ca_file` is for TLS: write rediss://".to_owned()));
        }
        Ok(Self { url: Secret::new(format!("{base}{rest}")), ca_file, prefix, ledger })
    }

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

/// Braces or colons in it would be read as parts of a key.
fn is_plain(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// What went wrong, without the words of the address.
pub(super) fn said(fault: &::redis::RedisError) -> String {
    fault.category().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<RedisParams, BadAddress> {
        RedisParams::read(&Secret::new(url.to_owned()), None)
    }

    #[test]
    fn options_stand_behind_the_address() {
        let plain = read("redis://host:6379/2").unwrap();
        assert_eq!((plain.prefix.as_str(), plain.ca_file), ("warmkey", None));
        let all = read("rediss://u:p@host/2?prefix=staging-1&ca_file=/etc/ca.pem&protocol=resp3").unwrap();
        assert_eq!((all.prefix.as_str(), all.ca_file), ("staging-1", Some(PathBuf::from("/etc/ca.pem"))));
        assert_eq!(all.url.expose(), "rediss://u:p@host/2?protocol=resp3");
    }

    #[test]
    fn options_that_are_none_are_told_and_not_repeated() {
        for url in [
            "redis://h?prefix=",
            "redis://h?prefix={secret}",
            "redis://h?secret",
            "redis://h?colour=secret",
            "redis://h?ca_file=/secret",
        ] {
            let fault = read(url).expect_err(url).to_string();
            assert!(!fault.contains("secret"), "{url}: {fault}");
        }
    }
}
