//! Host names to addresses, without ever blocking a request on a resolver twice.
//!
//! Pingora's own look-up blocks the thread and panics on failure, so peers are always given an
//! address from here. An answer is fresh for 30 seconds; after that it is served once more while a
//! look-up runs beside it, and it stays usable for ten minutes when the resolver is down. The system's
//! resolver is asked, so `/etc/hosts`, search domains and the rest mean what they mean elsewhere.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;

use crate::clock::{self, Moment};

const FRESH: Duration = Duration::from_secs(30);
const USABLE: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(5);

/// The addresses of the hosts we talk to. Bounded by the configuration: only its hosts are asked for.
#[derive(Default)]
pub(crate) struct Dns {
    known: Mutex<HashMap<(Arc<str>, u16), Answer>>,
}

struct Answer {
    addresses: Vec<SocketAddr>,
    at: Moment,
    refreshing: bool,
}

impl Dns {
    /// An address of the host.
    pub(crate) async fn resolve(self: &Arc<Self>, host: &Arc<str>, port: u16) -> io::Result<SocketAddr> {
        let key = (Arc::clone(host), port);
        let now = clock::now();
        if let Some((address, refresh)) = self.look(&key, now) {
            if refresh {
                let dns = Arc::clone(self);
                tokio::spawn(async move {
                    let answer = look_up(&key.0, port).await;
                    dns.keep(key, answer);
                });
            }
            return Ok(address);
        }
        let addresses = look_up(host, port).await?;
        let first = addresses.first().copied();
        self.keep(key, Ok(addresses));
        first.ok_or_else(|| io::Error::other(format!("`{host}` has no address")))
    }

    /// That address did not answer: another one of the host goes first from now on.
    pub(crate) fn demote(&self, host: &Arc<str>, port: u16, address: SocketAddr) {
        if let Some(answer) = self.known.lock().get_mut(&(Arc::clone(host), port))
            && answer.addresses.first() == Some(&address)
        {
            answer.addresses.rotate_left(1);
        }
    }

    fn look(&self, key: &(Arc<str>, u16), now: Moment) -> Option<(SocketAddr, bool)> {
        let mut known = self.known.lock();
        let answer = known.get_mut(key)?;
        let age = now.since(answer.at);
        if age > USABLE {
            return None;
        }
        let refresh = age > FRESH && !answer.refreshing;
        answer.refreshing |= refresh;
        Some((*answer.addresses.first()?, refresh))
    }

    fn keep(&self, key: (Arc<str>, u16), answer: io::Result<Vec<SocketAddr>>) {
        let mut known = self.known.lock();
        match answer {
            Ok(mut addresses) => {
                // Keep the address whose connections are pooled in front.
                if let Some(first) = known.get(&key).and_then(|old| old.addresses.first().copied())
                    && let Some(i) = addresses.iter().position(|address| *address == first)
                {
                    addresses.swap(0, i);
                }
                known.insert(key, Answer { addresses, at: clock::now(), refreshing: false });
            }
            Err(fault) => {
                tracing::warn!(host = %key.0, %fault, "host name not resolved, using the last answer");
                if let Some(answer) = known.get_mut(&key) {
                    answer.refreshing = false;
                }
            }
        }
    }
}

async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((host, port)))
        .await
        .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the resolver did not answer"))??;
    // IPv4 first: a host without an IPv6 route would otherwise fail every first connection.
    let (mut addresses, v6): (Vec<_>, Vec<_>) = found.partition(SocketAddr::is_ipv4);
    addresses.extend(v6);
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, n], 443))
    }

    #[tokio::test]
    async fn an_address_that_fails_goes_last_and_the_pooled_one_stays_first() {
        let dns = Arc::new(Dns::default());
        let host: Arc<str> = "example.invalid".into();
        dns.keep((Arc::clone(&host), 443), Ok(vec![address(1), address(2)]));
        assert_eq!(dns.resolve(&host, 443).await.expect("known"), address(1));
        dns.demote(&host, 443, address(1));
        assert_eq!(dns.resolve(&host, 443).await.expect("known"), address(2));
        dns.keep((Arc::clone(&host), 443), Ok(vec![address(1), address(3), address(2)]));
        assert_eq!(dns.resolve(&host, 443).await.expect("known"), address(2));
    }

    #[test]
    fn an_old_answer_is_served_once_more_while_it_is_refreshed_and_then_forgotten() {
        let dns = Dns::default();
        let key: (Arc<str>, u16) = ("example.invalid".into(), 443);
        dns.keep(key.clone(), Ok(vec![address(1)]));
        let now = clock::now();
        assert_eq!(dns.look(&key, now), Some((address(1), false)));
        assert_eq!(dns.look(&key, now + FRESH + FRESH), Some((address(1), true)));
        assert_eq!(dns.look(&key, now + FRESH + FRESH), Some((address(1), false)), "one refresh at a time");
        assert_eq!(dns.look(&key, now + USABLE + FRESH), None);
    }
}
