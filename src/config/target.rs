//! `[[endpoint]]` and `[[model]]`: what there is to choose from, and what callers call it.

use super::{
    auth,
    read::{At, Section, did_you_mean, known_names, listed, nearest},
};
use crate::{
    types::{DomainName, EndpointName, Family},
    upstream::{
        self, AuthScheme, Credentials, EndpointParams, Grant, LimitsGiven, ModelParams, ProviderParams,
    },
};

/// What was read so far; the names of faulty ones are known too, so that one fault is not two.
pub(super) struct Known<'a> {
    pub(super) providers: &'a [ProviderParams],
    pub(super) provider_names: Vec<String>,
    pub(super) endpoints: &'a [EndpointParams],
    pub(super) endpoint_names: Vec<String>,
    /// Keys of the simulated provider, which are no secrets.
    pub(super) sim_keys: Vec<&'a str>,
}

impl Known<'_> {
    fn provider(&self, name: &str) -> Option<&ProviderParams> {
        self.providers.iter().find(|provider| provider.name.as_str() == name)
    }

    fn family_of(&self, endpoint: &EndpointName) -> Option<Family> {
        let endpoint = self.endpoints.iter().find(|known| known.name == *endpoint)?;
        self.provider(endpoint.provider.as_str()).map(|provider| provider.family)
    }

    /// A provider's name, if there is such a provider.
    pub(super) fn check_provider(&self, section: &Section<'_>, name: &At<String>) -> bool {
        let known = self.provider_names.contains(&name.value);
        if !known {
            let remedy = known_names(&name.value, self.provider_names.iter().map(String::as_str));
            section.fault_at(name, &format!("unknown provider `{}`", name.value.escape_debug()), &remedy);
        }
        known
    }
}

/// Reads one `[[endpoint]]`.
pub(super) fn endpoint(section: &Section<'_>, known: &Known<'_>) -> Option<EndpointParams> {
    let name =
        section.required_name("name", "give it a name, such as `team-a`: placement hashes it, so keep it");
    let provider = section.required("provider", "name one of the `[[provider]]`s");
    let key = auth::key(section, &known.sim_keys);
    let rate_domain = either(section, "rate_domain", "organization");
    let cache_domain = either(section, "cache_domain", "workspace");
    let region = section.name("region").map(|region| region.value);
    let weight = section.whole("weight", 100, 1..=10_000);
    let limits = section.table("limits", limits_given);
    let (name, provider) = (name?, provider?);
    if !known.check_provider(section, &provider) {
        return None;
    }
    if let Some(params) = known.provider(&provider.value) {
        check_key(section, params, key.as_ref());
    }
    let (key, grant) = match key {
        Some(auth::Key::Secret(key)) => (Some(key), None),
        Some(auth::Key::Grant(grant)) => (None, Some(grant)),
        None => (None, None),
    };
    Some(EndpointParams {
        name: name.value.into(),
        provider: provider.value.into(),
        key,
        grant,
        rate_domain,
        cache_domain,
        region,
        weight,
        limits,
    })
}

/// `limits = { rpm = 50, itpm = 30_000, otpm = 8_000 }`
fn limits_given(limits: &Section<'_>) -> LimitsGiven {
    let given = |key| limits.get(key).map(|_| limits.whole(key, 1, 1..=1_000_000_000_000));
    let read = LimitsGiven {
        requests: given("rpm"),
        tokens: given("tpm"),
        input: given("itpm"),
        output: given("otpm"),
    };
    if read.tokens.is_some() && (read.input.is_some() || read.output.is_some()) {
        limits.fault(
            "tpm",
            "counts all tokens, and `itpm` and `otpm` count them apart",
            "write one or the other",
        );
    }
    read
}

fn check_key(section: &Section<'_>, provider: &ProviderParams, key: Option<&auth::Key>) {
    let is_written = section.get("key").is_some();
    let fault = |what: &str, remedy: &str| section.fault("key", what, remedy);
    match (provider.credentials, key) {
        (Credentials::Caller, _) if is_written => fault(
            &format!(
                "provider `{}` uses the caller's own credential, so this key is never sent",
                provider.name
            ),
            "remove the key, or write `credentials = \"gateway\"` at the provider",
        ),
        (Credentials::Gateway, None) if !is_written => {
            if let Some(form) = needed_form(provider) {
                let what = format!("missing, and `{}` answers nobody without one", provider.host);
                fault(&what, &format!("write `key = {form}`{}", or_observe(provider.auth)));
            }
        }
        (Credentials::Gateway, Some(auth::Key::Grant(grant))) if !fits(grant, provider.auth) => fault(
            &format!("{}, and keys are sent as `{}` there", grant.label(), provider.auth.label()),
            &format!("write `auth = \"{}\"` at provider `{}`", own_auth(grant).label(), provider.name),
        ),
        (Credentials::Caller | Credentials::Gateway, _) => {}
    }
}

/// What a key looks like where nobody is let in without one.
fn needed_form(provider: &ProviderParams) -> Option<&'static str> {
    let hosted = ["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com"];
    match provider.auth {
        AuthScheme::SigV4 => Some("{ aws = \"default\" }"),
        AuthScheme::GoogleServiceAccount => Some("{ google_service_account = { file = \"key.json\" } }"),
        AuthScheme::AzureEntra => Some(
            "{ entra_tenant = \"...\", entra_client_id = \"...\", entra_client_secret = { env = \"NAME\" } }",
        ),
        AuthScheme::XApiKey
        | AuthScheme::Bearer
        | AuthScheme::ApiKey
        | AuthScheme::GoogApiKey
        | AuthScheme::QueryKey => hosted.contains(&provider.host.as_str()).then_some("{ env = \"NAME\" }"),
    }
}

const fn or_observe(auth: AuthScheme) -> &'static str {
    match auth {
        AuthScheme::SigV4 => "",
        AuthScheme::XApiKey
        | AuthScheme::Bearer
        | AuthScheme::ApiKey
        | AuthScheme::GoogApiKey
        | AuthScheme::QueryKey
        | AuthScheme::GoogleServiceAccount
        | AuthScheme::AzureEntra => ", or `credentials = \"caller\"` at the provider",
    }
}

/// Whether such credentials can be what a provider takes: AWS keys sign, tokens are bearers.
const fn fits(grant: &Grant, auth: AuthScheme) -> bool {
    match grant {
        Grant::Aws(_) => matches!(auth, AuthScheme::SigV4),
        Grant::Google(_) => matches!(auth, AuthScheme::GoogleServiceAccount | AuthScheme::Bearer),
        // Azure's hosts take keys and tokens alike.
        Grant::Entra(_) => matches!(
            auth,
            AuthScheme::AzureEntra | AuthScheme::ApiKey | AuthScheme::XApiKey | AuthScheme::Bearer
        ),
    }
}

const fn own_auth(grant: &Grant) -> AuthScheme {
    match grant {
        Grant::Aws(_) => AuthScheme::SigV4,
        Grant::Google(_) => AuthScheme::GoogleServiceAccount,
        Grant::Entra(_) => AuthScheme::AzureEntra,
    }
}

/// A domain under its name here, or under the one its provider uses.
fn either(section: &Section<'_>, ours: &'static str, theirs: &'static str) -> Option<DomainName> {
    let (one, other) = (section.name(ours), section.name(theirs));
    if one.is_some() && other.is_some() {
        section.fault(
            theirs,
            &format!("another word for `{ours}`, which is there already"),
            "remove one of them",
        );
    }
    one.or(other).map(|name| name.value.into())
}

/// Reads one `[[model]]`.
pub(super) fn model(section: &Section<'_>, known: &Known<'_>) -> Option<ModelParams> {
    let name = section.required("name", "write the name that callers use, or a glob such as `claude-*`");
    let name = name.filter(|name| {
        let special =
            name.value.contains(|c: char| c.is_whitespace() || c.is_control() || "?[]{}\\".contains(c));
        if special || name.value.len() > 128 {
            let what = format!("`{}` is not a model's name or glob", name.value.escape_debug());
            section.fault_at(name, &what, "in globs only `*` is special; at most 128 characters");
        }
        !special
    });
    let endpoints = endpoints_of(section, known);
    let upstream_names = upstream_names(section, known);
    let class = section.name("class");
    let long_cache = long_cache(section);
    let (name, endpoints) = (name?, endpoints?);
    if long_cache == Some(true)
        && endpoints.first().and_then(|first| known.family_of(first)) == Some(Family::OpenAi)
    {
        let what = "hosts of the `openai` dialect have no markers that could ask for it";
        section.fault("cache_ttl", what, "remove it");
    }
    Some(ModelParams {
        name: name.value,
        endpoints,
        upstream_names,
        class: class.map(|class| class.value),
        long_cache,
    })
}

/// `upstream = "name"`, or a table from endpoints or providers to the names they know: the model's name
/// there.
fn upstream_names(section: &Section<'_>, known: &Known<'_>) -> Vec<(String, String)> {
    let Some(value) = section.get("upstream") else { return Vec::new() };
    let Some(table) = value.get_ref().as_table() else {
        let name = section.text("upstream").filter(|name| is_upstream_name(section, name));
        return name.map(|name| ("*".to_owned(), name.value)).into_iter().collect();
    };
    let mut names = Vec::with_capacity(table.len());
    for (of, name) in table {
        let at = |what: &str| section.at(&format!("upstream.{what}"), of.span(), ());
        let of = of.get_ref().as_ref();
        let Some(text) = name.get_ref().as_str() else {
            section.fault_at(&at(of), "the name there is text", "write `\"endpoint\" = \"name\"`");
            continue;
        };
        let ours = || known.endpoint_names.iter().chain(&known.provider_names).map(String::as_str);
        if !ours().any(|name| upstream::glob(of, name)) {
            let what = format!("no endpoint or provider is called `{}`", of.escape_debug());
            section.fault_at(&at(of), &what, &known_names(of, ours()));
        }
        let text = section.at(&format!("upstream.{of}"), name.span(), text.to_owned());
        if is_upstream_name(section, &text) {
            names.push((of.to_owned(), text.value));
        }
    }
    // Tables have no order of their own: the more a glob says, the sooner it is asked.
    names.sort_by_key(|(of, _)| (of.contains('*'), std::cmp::Reverse(of.len())));
    names
}

fn is_upstream_name(section: &Section<'_>, name: &At<String>) -> bool {
    let (what, remedy) = if name.value.contains('*') {
        ("a provider knows no globs", "write one name, or leave it out to keep the caller's")
    } else if name.value.trim().is_empty() || name.value.contains(char::is_control) {
        ("not a model's name", "write the name that the provider knows it by, or leave it out")
    } else {
        return true;
    };
    section.fault_at(name, what, remedy);
    false
}

/// `cache_ttl`, of a model or of a caller: whether the client's cache markers ask for the long life.
pub(super) fn long_cache(section: &Section<'_>) -> Option<bool> {
    section.choose("cache_ttl", &[("asked", false), ("1h", true)])
}

fn endpoints_of(section: &Section<'_>, known: &Known<'_>) -> Option<Vec<EndpointName>> {
    let (by_name, by_provider) = (section.texts("endpoints"), section.texts("provider"));
    let is_written = section.get("endpoints").is_some() || section.get("provider").is_some();
    let mut found: Vec<EndpointName> = Vec::new();
    let mut take = |name: &EndpointName| {
        if !found.contains(name) {
            found.push(name.clone());
        }
    };
    let mut is_whole = true;
    for glob in by_name.iter().flatten() {
        let covers = |name: &str| upstream::glob(&glob.value, name);
        let of_it = |endpoint: &&EndpointParams| covers(endpoint.name.as_str());
        known.endpoints.iter().filter(of_it).map(|endpoint| &endpoint.name).for_each(&mut take);
        if !known.endpoint_names.iter().any(|name| covers(name)) {
            unknown_endpoint(section, known, glob);
            is_whole = false;
        }
    }
    for provider in by_provider.iter().flatten() {
        if !known.check_provider(section, provider) {
            is_whole = false;
            continue;
        }
        let of_it = |endpoint: &&EndpointParams| endpoint.provider.as_str() == provider.value;
        known.endpoints.iter().filter(of_it).map(|endpoint| &endpoint.name).for_each(&mut take);
    }
    if !is_written {
        let remedy = "write `provider = \"name\"` for all its endpoints, or `endpoints = [\"name\", ...]`";
        section.fault("endpoints", "missing", remedy);
    } else if found.is_empty() && is_whole && known.endpoint_names.len() == known.endpoints.len() {
        let key = if by_name.is_some() { "endpoints" } else { "provider" };
        section.fault(key, "no endpoint serves this model", "add an `[[endpoint]]` with a key");
    }
    (!found.is_empty()).then_some(found)
}

fn unknown_endpoint(section: &Section<'_>, known: &Known<'_>, name: &At<String>) {
    let names = || known.endpoint_names.iter().map(String::as_str);
    let (what, remedy) = if known.provider_names.contains(&name.value) {
        (
            format!("`{}` is a provider, not an endpoint", name.value),
            format!("write `provider = \"{}\"` for all its endpoints", name.value),
        )
    } else if name.value.contains('*') {
        (
            format!("no endpoint is called `{}`", name.value.escape_debug()),
            format!("known: {}", listed(names())),
        )
    } else {
        let remedy =
            nearest(&name.value, names()).map_or_else(|| format!("known: {}", listed(names())), did_you_mean);
        (format!("unknown endpoint `{}`", name.value.escape_debug()), remedy)
    };
    section.fault_at(name, &what, &remedy);
}

/// The dialect of a model that was read, to tell one name in two dialects from one name twice.
pub(super) fn family_of_model(model: &ModelParams, known: &Known<'_>) -> Option<Family> {
    model.endpoints.iter().find_map(|name| known.family_of(name))
}
