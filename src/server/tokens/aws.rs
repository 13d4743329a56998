//! AWS credentials: a profile, a role by web identity, a container's or an instance's role.

use std::{path::Path, time::Duration};

use http::Method;
use serde::Deserialize;

use super::{Fetched, TokenFault, form, said};
use crate::{
    clock::UnixTime,
    server::call::{Call, call},
    types::Secret,
    upstream::{AwsKeys, ContainerToken, Token},
};

/// What containers' agents and the metadata service give out.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    /// The metadata service says `Success`, or why not.
    code: Option<String>,
    access_key_id: Option<String>,
    secret_access_key: Option<String>,
    token: Option<String>,
    expiration: Option<String>,
}

fn read(body: &[u8], now: UnixTime) -> Result<Fetched, TokenFault> {
    let Ok(answer) = serde_json::from_slice::<Answer>(body) else {
        return Err(TokenFault::Unread("it is not JSON"));
    };
    if answer.code.as_deref().is_some_and(|code| code != "Success") {
        return Err(TokenFault::Unread("its `Code` is not `Success`"));
    }
    let (Some(id), Some(secret)) = (answer.access_key_id, answer.secret_access_key) else {
        return Err(TokenFault::Unread("there is no `AccessKeyId` or `SecretAccessKey`"));
    };
    fetched(id, secret, answer.token, answer.expiration.as_deref(), now)
}

fn fetched(
    id: String,
    secret: String,
    session: Option<String>,
    expiration: Option<&str>,
    now: UnixTime,
) -> Result<Fetched, TokenFault> {
    let life = match expiration.map(UnixTime::parse) {
        None => None,
        Some(Some(end)) => Some(end.0.saturating_sub(now.0)),
        Some(None) => return Err(TokenFault::Unread("its expiration is not a time")),
    };
    let session = session.filter(|token| !token.is_empty()).map(Secret::new);
    Ok(Fetched { token: Token::Aws(AwsKeys { id, secret: Secret::new(secret), session }), life })
}

/// A section of the shared credentials file. It does not say how long it is good for; tools that renew it
/// write it anew, so it is read every few minutes.
pub(super) async fn profile(file: &Path, name: &str) -> Result<Fetched, TokenFault> {
    let text = read_file(file).await?;
    let given = section(&text, name);
    let shown = || file.display().to_string();
    let Some(given) = given else {
        return Err(TokenFault::Profile(shown(), format!("has no section `[{name}]`")));
    };
    let value =
        |key: &str| given.iter().find(|(known, _)| *known == key).map(|(_, value)| (*value).to_owned());
    let (Some(id), Some(secret)) = (value("aws_access_key_id"), value("aws_secret_access_key")) else {
        let what = "has no `aws_access_key_id` and `aws_secret_access_key`; SSO, `role_arn` and \
                    `credential_process` are not followed";
        return Err(TokenFault::Profile(shown(), format!("[{name}] {what}")));
    };
    let session = value("aws_session_token");
    fetched(id, secret, session, None, UnixTime(Duration::ZERO))
}

/// The `key = value` lines of `[name]`.
fn section<'t>(text: &'t str, name: &str) -> Option<Vec<(&'t str, &'t str)>> {
    let mut found: Option<Vec<(&str, &str)>> = None;
    let mut inside = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(head) = line.strip_prefix('[') {
            let head = head.split(']').next().unwrap_or_default().trim();
            // The `config` file of AWS writes `[profile name]`.
            inside = head.strip_prefix("profile ").map_or(head, str::trim) == name;
            if inside {
                found.get_or_insert_default();
            }
        } else if let (true, Some((key, value))) = (inside, line.split_once('=')) {
            found.get_or_insert_default().push((key.trim(), value.trim()));
        }
    }
    found
}

/// The instance metadata service, version 2: a session first, then the role's name, then its credentials.
pub(super) async fn instance_role(url: &str, now: UnixTime) -> Result<Fetched, TokenFault> {
    let roles = format!("{url}/latest/meta-data/iam/security-credentials/");
    let session = ask(Method::PUT, &format!("{url}/latest/api/token"), &[(TTL, "21600")]).await?;
    let session = text(&session)?;
    let headers = [("x-aws-ec2-metadata-token", session)];
    let names = ask(Method::GET, &roles, &headers).await?;
    let name = text(&names)?.lines().next().unwrap_or_default().trim();
    if name.is_empty() || name.contains(['/', '?', '#', ' ']) {
        return Err(TokenFault::Unread("the instance has no role"));
    }
    read(&ask(Method::GET, &format!("{roles}{name}"), &headers).await?, now)
}

/// How long a session with the metadata service may last.
const TTL: &str = "x-aws-ec2-metadata-token-ttl-seconds";

/// The agent beside a container.
pub(super) async fn container(
    url: &str,
    token: Option<&ContainerToken>,
    now: UnixTime,
) -> Result<Fetched, TokenFault> {
    let token = match token {
        None => None,
        Some(ContainerToken::Text(token)) => Some(token.clone()),
        Some(ContainerToken::File(file)) => Some(Secret::new(read_file(file).await?.trim().to_owned())),
    };
    let header = token.as_ref().map(|token| ("authorization", token.expose()));
    read(&ask(Method::GET, url, header.as_slice()).await?, now)
}

/// STS, with the token that the cluster gives a pod. The call is not signed: the token is what counts.
pub(super) async fn web_identity(
    url: &str,
    role: &str,
    session: &str,
    file: &Path,
    now: UnixTime,
) -> Result<Fetched, TokenFault> {
    let token = Secret::new(read_file(file).await?.trim().to_owned());
    let body = form(&[
        ("Action", "AssumeRoleWithWebIdentity"),
        ("Version", "2011-06-15"),
        ("RoleArn", role),
        ("RoleSessionName", session),
        ("WebIdentityToken", token.expose()),
    ]);
    let headers = &[("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/", url.trim_end_matches('/'));
    let (status, body) = call(Call { method: Method::POST, url: &url, headers, body: body.into() }).await?;
    let xml = text(&body)?;
    if !status.is_success() {
        let why = element(xml, "Message").or_else(|| element(xml, "Code")).unwrap_or_default();
        return Err(said(status, why));
    }
    let part = |name| element(xml, name).map(str::to_owned);
    let (Some(id), Some(secret)) = (part("AccessKeyId"), part("SecretAccessKey")) else {
        return Err(TokenFault::Unread("there is no `AccessKeyId` or `SecretAccessKey`"));
    };
    fetched(id, secret, part("SessionToken"), element(xml, "Expiration"), now)
}

/// The text of the first `<name>`. Keys, tokens and times hold nothing that XML would escape.
fn element<'x>(xml: &'x str, name: &str) -> Option<&'x str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0.trim())
}

async fn ask(method: Method, url: &str, headers: &[(&str, &str)]) -> Result<bytes::Bytes, TokenFault> {
    let (status, body) = call(Call { method, url, headers, body: bytes::Bytes::new() }).await?;
    if status.is_success() { Ok(body) } else { Err(said(status, text(&body).unwrap_or_default())) }
}

fn text(body: &[u8]) -> Result<&str, TokenFault> {
    std::str::from_utf8(body).map_err(|_| TokenFault::Unread("it is not text"))
}

async fn read_file(file: &Path) -> Result<String, TokenFault> {
    tokio::fs::read_to_string(file).await.map_err(|error| TokenFault::File(file.display().to_string(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_read_as_aws_writes_them() {
        let text =
            "# mine\n[default]\naws_access_key_id = A\n aws_secret_access_key=S/=\n\n[ci]\nrole_arn=r\n";
        let default = [("aws_access_key_id", "A"), ("aws_secret_access_key", "S/=")];
        assert_eq!(section(text, "default").as_deref(), Some(default.as_slice()));
        assert_eq!(section(text, "ci").as_deref(), Some([("role_arn", "r")].as_slice()));
        assert_eq!(section(text, "none"), None);
        assert_eq!(section("[profile x]\n", "x").as_deref(), Some([].as_slice()));
    }

    #[test]
    fn elements_are_found() {
        let xml =
            "<R><Credentials><AccessKeyId>ASIA</AccessKeyId>\n<Expiration> t </Expiration></Credentials></R>";
        assert_eq!(element(xml, "AccessKeyId"), Some("ASIA"));
        assert_eq!(element(xml, "Expiration"), Some("t"));
        assert_eq!(element(xml, "SessionToken"), None);
        assert_eq!(element("<A>", "A"), None);
    }
}
