//! `key` of an `[[endpoint]]` where it is no key: credentials that are fetched, or sign.

use std::path::PathBuf;

use super::read::{At, Section};
use crate::{
    types::Secret,
    upstream::{AwsKeys, AwsSource, ContainerToken, EntraClient, Grant, ServiceAccount},
};

/// What a `key` holds.
pub(super) enum Key {
    /// What is sent as it is.
    Secret(Secret),
    /// What is bought with it, or signed by it.
    Grant(Grant),
}

/// The keys that make a table more than a secret's place, each with what belongs to it.
const FORMS: &[(&str, &[&str])] = &[
    ("aws", &[]),
    ("aws_profile", &[]),
    ("aws_access_key_id", &["aws_secret_access_key", "aws_session_token"]),
    ("google_service_account", &[]),
    ("entra_tenant", &["entra_client_id", "entra_client_secret", "entra_scope", "entra_authority"]),
];

const EXAMPLES: &str = "write `{ aws = \"default\" }`, `{ aws_profile = \"name\" }`, \
    `{ aws_access_key_id = ..., aws_secret_access_key = ... }`, `{ google_service_account = ... }` or \
    `{ entra_tenant = ..., entra_client_id = ..., entra_client_secret = ... }`";

/// Reads `key`; texts in `public` open nothing real.
pub(super) fn key(endpoint: &Section<'_>, public: &[&str]) -> Option<Key> {
    let ours = |name: &str| FORMS.iter().any(|(first, rest)| *first == name || rest.contains(&name));
    let table = endpoint.get("key").and_then(|value| value.get_ref().as_table());
    if !table.is_some_and(|table| table.keys().any(|key| ours(key.get_ref()))) {
        return endpoint.secret_or("key", public).map(|key| Key::Secret(key.value));
    }
    endpoint.table_of("secret", "key", grant).map(Key::Grant)
}

fn grant(key: &Section<'_>) -> Option<Grant> {
    let aws = key.choose("aws", CHAINS);
    let profile = key.text("aws_profile");
    let id = plain_or_secret(key, "aws_access_key_id");
    let (secret, session) = (key.secret("aws_secret_access_key"), key.secret("aws_session_token"));
    let google = key.document("google_service_account");
    let tenant = key.text("entra_tenant");
    let (client, password) = (key.text("entra_client_id"), key.secret("entra_client_secret"));
    let scope = key.text("entra_scope");
    let authority = key.text("entra_authority");

    let written: Vec<&str> =
        FORMS.iter().map(|(first, _)| *first).filter(|first| key.get_quietly(first)).collect();
    if written.len() != 1 {
        key.fault_at(&key.here(), "credentials come from exactly one place", EXAMPLES);
        return None;
    }
    for (first, rest) in FORMS.iter().filter(|(first, _)| !written.contains(first)) {
        if let Some(stray) = rest.iter().find(|stray| key.get_quietly(stray)) {
            key.fault(stray, &format!("belongs to `{first}`, which is not there"), EXAMPLES);
            return None;
        }
    }
    if let Some(chain) = aws {
        return chain_of(key, chain).map(Grant::Aws);
    }
    if let Some(profile) = profile {
        return profile_of(key, &profile).map(Grant::Aws);
    }
    if let Some(google) = google {
        return service_account(key, &google);
    }
    if let Some(id) = id {
        let Some(secret) = secret else {
            missing(key, "aws_secret_access_key");
            return None;
        };
        let session = session.map(|session| session.value);
        return Some(Grant::Aws(AwsSource::Keys(AwsKeys { id, secret: secret.value, session })));
    }
    let tenant = tenant?;
    if client.is_none() {
        missing(key, "entra_client_id");
    }
    if password.is_none() {
        missing(key, "entra_client_secret");
    }
    entra(key, &tenant, (client?.value, password?.value), scope, authority)
}

fn missing(key: &Section<'_>, name: &'static str) {
    // A misspelt or mistyped one is reported by itself.
    if !key.get_quietly(name) {
        key.fault(name, "missing", EXAMPLES);
    }
}

/// An access key's id is no secret, but it often lives beside one.
fn plain_or_secret(key: &Section<'_>, name: &'static str) -> Option<String> {
    if key.get(name).is_some_and(|value| value.get_ref().is_str()) {
        return key.text(name).map(|text| text.value);
    }
    key.secret(name).map(|id| id.value.expose().to_owned())
}

fn service_account(key: &Section<'_>, file: &At<Secret>) -> Option<Grant> {
    match ServiceAccount::read(file.value.expose()) {
        Ok(account) if is_private(account.token_uri()) => Some(Grant::Google(account)),
        Ok(_) => {
            key.fault_at(file, "its `token_uri` is not `https://`", "use the file as Google gave it out");
            None
        }
        Err(why) => {
            key.fault_at(file, &format!("the file {why}"), "use the JSON file that Google gave out");
            None
        }
    }
}

/// TLS, or this very machine.
fn is_private(url: &str) -> bool {
    super::parse_base_url(url).is_ok_and(|url| url.tls || is_near(&url.host))
}

fn is_near(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

fn entra(
    key: &Section<'_>,
    tenant: &At<String>,
    (client_id, secret): (String, Secret),
    scope: Option<At<String>>,
    authority: Option<At<String>>,
) -> Option<Grant> {
    let plain = tenant.value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
    if !plain || tenant.value.starts_with('.') {
        let what = format!("`{}` is not a tenant", tenant.value.escape_debug());
        key.fault_at(tenant, &what, "write its id, or its domain");
        return None;
    }
    if let Some(authority) = authority.as_ref().filter(|authority| !is_private(&authority.value)) {
        key.fault_at(authority, "not a base URL with `https://`", "write `https://login.microsoftonline.us`");
        return None;
    }
    let authority = authority.map_or_else(|| ENTRA.to_owned(), |authority| authority.value);
    Some(Grant::Entra(EntraClient {
        url: format!("{}/{}/oauth2/v2.0/token", authority.trim_end_matches('/'), tenant.value),
        client_id,
        secret,
        scope: scope.map_or_else(|| SCOPE.to_owned(), |scope| scope.value),
    }))
}

/// Where Entra ID gives out tokens, but in clouds of states.
const ENTRA: &str = "https://login.microsoftonline.com";
/// What Azure OpenAI and Foundry take.
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

/// Where AWS credentials come from without being named.
#[derive(Clone, Copy)]
enum Chain {
    Default,
    Environment,
    WebIdentity,
    Container,
    InstanceRole,
}

const CHAINS: &[(&str, Chain)] = &[
    ("default", Chain::Default),
    ("environment", Chain::Environment),
    ("web-identity", Chain::WebIdentity),
    ("container", Chain::Container),
    ("instance-role", Chain::InstanceRole),
];

/// Looked at when the file is read: what the machine says does not change while the process runs.
fn chain_of(key: &Section<'_>, chain: Chain) -> Option<AwsSource> {
    let absent = |what: &str| {
        key.fault("aws", what, "name another place; `default` looks at all of them");
        None
    };
    match chain {
        // The order of AWS's own SDKs.
        Chain::Default => environment(key)
            .or_else(|| web_identity(key))
            .or_else(|| default_profile(key))
            .or_else(|| container(key))
            .or_else(|| Some(instance(key))),
        Chain::Environment => environment(key).or_else(|| {
            absent("`AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` are not both in the environment")
        }),
        Chain::WebIdentity => web_identity(key)
            .or_else(|| absent("`AWS_WEB_IDENTITY_TOKEN_FILE` or `AWS_ROLE_ARN` is not in the environment")),
        Chain::Container => container(key).or_else(|| {
            absent("`AWS_CONTAINER_CREDENTIALS_FULL_URI` or `..._RELATIVE_URI` is not in the environment")
        }),
        Chain::InstanceRole => Some(instance(key)),
    }
}

fn var(key: &Section<'_>, name: &str) -> Option<String> {
    key.reader().host.var(name).filter(|value| !value.is_empty())
}

fn environment(key: &Section<'_>) -> Option<AwsSource> {
    let (id, secret) = (var(key, "AWS_ACCESS_KEY_ID")?, var(key, "AWS_SECRET_ACCESS_KEY")?);
    let session = var(key, "AWS_SESSION_TOKEN").map(Secret::new);
    Some(AwsSource::Keys(AwsKeys { id, secret: Secret::new(secret), session }))
}

/// Pods of EKS with a role (IRSA).
fn web_identity(key: &Section<'_>) -> Option<AwsSource> {
    let (file, role) = (var(key, "AWS_WEB_IDENTITY_TOKEN_FILE")?, var(key, "AWS_ROLE_ARN")?);
    let region = var(key, "AWS_REGION").or_else(|| var(key, "AWS_DEFAULT_REGION"));
    let regional = |region: String| format!("https://sts.{region}.amazonaws.com");
    let usual = || region.map_or_else(|| "https://sts.amazonaws.com".to_owned(), regional);
    Some(AwsSource::WebIdentity {
        url: var(key, "AWS_ENDPOINT_URL_STS").unwrap_or_else(usual),
        role,
        session: var(key, "AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "warmkey".to_owned()),
        file: PathBuf::from(file),
    })
}

/// Tasks of ECS, and pods of EKS with a pod identity.
fn container(key: &Section<'_>) -> Option<AwsSource> {
    let relative =
        || Some(format!("http://169.254.170.2{}", var(key, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")?));
    let url = relative().or_else(|| var(key, "AWS_CONTAINER_CREDENTIALS_FULL_URI"))?;
    let text = || Some(ContainerToken::Text(Secret::new(var(key, "AWS_CONTAINER_AUTHORIZATION_TOKEN")?)));
    let file = var(key, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    let token = file.map(|file| ContainerToken::File(PathBuf::from(file))).or_else(text);
    Some(AwsSource::Container { url, token })
}

fn instance(key: &Section<'_>) -> AwsSource {
    let usual = || "http://169.254.169.254".to_owned();
    let url = var(key, "AWS_EC2_METADATA_SERVICE_ENDPOINT").unwrap_or_else(usual);
    AwsSource::InstanceRole { url: url.trim_end_matches('/').to_owned() }
}

fn credentials_file(key: &Section<'_>) -> Option<PathBuf> {
    let given = var(key, "AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    given.or_else(|| Some(PathBuf::from(var(key, "HOME")?).join(".aws/credentials")))
}

fn default_profile(key: &Section<'_>) -> Option<AwsSource> {
    let file = credentials_file(key).filter(|file| file.exists())?;
    let name = var(key, "AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
    Some(AwsSource::Profile { file, name })
}

fn profile_of(key: &Section<'_>, name: &At<String>) -> Option<AwsSource> {
    let Some(file) = credentials_file(key) else {
        let remedy = "set `AWS_SHARED_CREDENTIALS_FILE` to the file that holds it";
        key.fault_at(name, "there is no `$HOME` to look for `.aws/credentials` in", remedy);
        return None;
    };
    if let Err(error) = std::fs::File::open(&file) {
        let what = format!("cannot read `{}`: {error}", file.display());
        key.fault_at(name, &what, "set `AWS_SHARED_CREDENTIALS_FILE` to the file that holds it");
        return None;
    }
    key.reader().depends_on(file.clone());
    Some(AwsSource::Profile { file, name: name.value.clone() })
}
