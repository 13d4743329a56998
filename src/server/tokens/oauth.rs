//! Bearer tokens of OAuth 2.0: a Google service account's, an Entra ID client's.

use std::time::Duration;

use http::Method;
use serde::Deserialize;

use super::{Fetched, TokenFault, form, said};
use crate::{
    clock::UnixTime,
    server::call::{Call, call},
    types::Secret,
    upstream::{EntraClient, GRANT_TYPE, ServiceAccount, Token},
};

/// RFC 6749, section 5.1; 5.2 where nothing is given.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<serde_json::Value>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Buys a token with a service account's assertion.
pub(super) async fn google(account: &ServiceAccount, now: UnixTime) -> Result<Fetched, TokenFault> {
    let assertion = account.assertion(now).ok_or(TokenFault::Unread("the account's key cannot sign"))?;
    let pairs = [("grant_type", GRANT_TYPE), ("assertion", assertion.expose())];
    ask(account.token_uri(), &pairs).await
}

/// Buys a token with a client's secret.
pub(super) async fn entra(client: &EntraClient) -> Result<Fetched, TokenFault> {
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_id", client.client_id.as_str()),
        ("client_secret", client.secret.expose()),
        ("scope", client.scope.as_str()),
    ];
    ask(&client.url, &pairs).await
}

async fn ask(url: &str, pairs: &[(&str, &str)]) -> Result<Fetched, TokenFault> {
    let headers = &[("content-type", "application/x-www-form-urlencoded"), ("accept", "application/json")];
    let body = form(pairs).into();
    let (status, body) = call(Call { method: Method::POST, url, headers, body }).await?;
    let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
    if !status.is_success() {
        let (error, why) = (answer.error.unwrap_or_default(), answer.error_description.unwrap_or_default());
        return Err(said(status, &format!("{error} {why}")));
    }
    let token = answer.access_token.filter(|token| !token.is_empty());
    let token = token.ok_or(TokenFault::Unread("there is no `access_token`"))?;
    if token.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(TokenFault::Unread("its `access_token` is none"));
    }
    Ok(Fetched { token: Token::Bearer(Secret::new(token)), life: Some(life(answer.expires_in.as_ref())) })
}

/// Some give the seconds as text. Who does not say gives an hour, as everybody does.
fn life(expires_in: Option<&serde_json::Value>) -> Duration {
    let number = expires_in.and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Duration::from_secs(number.unwrap_or(3_600).min(24 * 3_600))
}
