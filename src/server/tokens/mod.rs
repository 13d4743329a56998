//! Tokens that let endpoints in: fetched at start and after a reload, renewed before they end.
//!
//! A renewal that fails is a line in the log and a count; the old token is used until it expires.

mod aws;
mod oauth;

use std::{sync::Arc, time::Duration};

use tokio::task::JoinSet;

use super::call::CallFault;
use crate::{
    clock,
    live::Live,
    telemetry::Metrics,
    types::EndpointName,
    upstream::{AwsSource, Grant, Pool, Renewal, Token},
};

/// How often is looked whether one is due.
const LOOK: Duration = Duration::from_secs(1);
/// Nothing is let in without them, but somebody who hangs must not keep the gateway from serving.
const FIRST: Duration = Duration::from_secs(5);

/// Why there is no token.
#[derive(thiserror::Error, Debug)]
enum TokenFault {
    #[error("{0}")]
    Call(#[from] CallFault),
    /// With what it said, shortened.
    #[error("it answered {0}: {1}")]
    Refused(u16, String),
    #[error("it answered with something else than credentials: {0}")]
    Unread(&'static str),
    #[error("cannot read `{0}`: {1}")]
    File(String, std::io::Error),
    #[error("`{0}` {1}")]
    Profile(String, String),
}

/// A token, and how long it is good for.
#[derive(Debug)]
struct Fetched {
    token: Token,
    life: Option<Duration>,
}

/// Renews what is due, for as long as the gateway runs.
pub(super) async fn keep(live: Arc<Live>) {
    // Held here, so that they end with this loop.
    let mut renewals = JoinSet::new();
    loop {
        start_due(&live.snapshot.load().pool, &mut renewals);
        while renewals.try_join_next().is_some() {}
        tokio::time::sleep(LOOK).await;
    }
}

/// Fetches what is due, and waits for it, within bounds.
pub(super) async fn first(pool: &Pool) {
    let mut renewals = JoinSet::new();
    start_due(pool, &mut renewals);
    let all = async { while renewals.join_next().await.is_some() {} };
    if tokio::time::timeout(FIRST, all).await.is_err() {
        tracing::warn!("some tokens are not there yet; serving all the same");
        renewals.detach_all();
    }
}

fn start_due(pool: &Pool, renewals: &mut JoinSet<()>) {
    let now = clock::now();
    for endpoint in pool.endpoints() {
        if let Some(renewal) = endpoint.key().and_then(|key| key.claim_renewal(now)) {
            renewals.spawn(renew(endpoint.name().clone(), renewal));
        }
    }
}

async fn renew(endpoint: EndpointName, renewal: Renewal) {
    let Some(grant) = renewal.source() else { return };
    // Its life counts from before it was asked for.
    let now = clock::now();
    let from = grant.label();
    let count =
        |result| Metrics::global().tokens_fetched.with_label_values(&[endpoint.as_str(), result]).inc();
    match fetch(grant).await {
        Ok(fetched) => {
            count("ok");
            tracing::debug!(%endpoint, from, life_s = fetched.life.map(|life| life.as_secs()), "token renewed");
            renewal.done(fetched.token, fetched.life, now);
        }
        Err(fault) => {
            count("failed");
            if renewal.failed(clock::now()) {
                tracing::error!(%endpoint, from, %fault, "no token, and requests cannot go there; trying again");
            } else {
                tracing::warn!(%endpoint, from, %fault, "token not renewed, using the old one; trying again");
            }
        }
    }
}

async fn fetch(grant: &Grant) -> Result<Fetched, TokenFault> {
    match grant {
        Grant::Google(account) => oauth::google(account, clock::unix_now()).await,
        Grant::Entra(client) => oauth::entra(client).await,
        Grant::Aws(AwsSource::Keys(keys)) => Ok(Fetched { token: Token::Aws(keys.clone()), life: None }),
        Grant::Aws(AwsSource::Profile { file, name }) => aws::profile(file, name).await,
        Grant::Aws(AwsSource::WebIdentity { url, role, session, file }) => {
            aws::web_identity(url, role, session, file, clock::unix_now()).await
        }
        Grant::Aws(AwsSource::Container { url, token }) => {
            aws::container(url, token.as_ref(), clock::unix_now()).await
        }
        Grant::Aws(AwsSource::InstanceRole { url }) => aws::instance_role(url, clock::unix_now()).await,
    }
}

/// What somebody said who gave nothing: enough to know why, and in one line.
fn said(status: http::StatusCode, words: &str) -> TokenFault {
    let short: String = words.chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect();
    TokenFault::Refused(status.as_u16(), short)
}

/// `a=1&b=2`, escaped.
fn form(pairs: &[(&str, &str)]) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        escape(value, &mut form);
    }
    form
}

fn escape(text: &str, out: &mut String) {
    use std::fmt::Write as _;

    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
