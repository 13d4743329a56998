//! `[[endpoint]]` and `[[model]]`: what there is to choose from, and what callers call it.

use super::read::{At, Section, did_you_mean, known_names, listed, nearest};
use crate::{
    types::{DomainName, EndpointName, Family},
    upstream::{self, Credentials, EndpointParams, LimitsGiven, ModelParams, ProviderParams},
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
    let key = section.secret_or("key", &known.sim_keys);
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
        check_key(section, params, key.is_some());
    }
    Some(EndpointParams {
        name: name.value.into(),
        provider: provider.value.into(),
        key: key.map(|key| key.value),
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

fn check_key(section: &Section<'_>, provider: &ProviderParams, has_key: bool) {
    let hosted = matches!(provider.host.as_str(), "api.anthropic.com" | "api.openai.com");
    let is_written = section.get("key").is_some();
    match provider.credentials {
        Credentials::Caller if is_written => section.fault(
            "key",
            &format!(
                "provider `{}` uses the caller's own credential, so this key is never sent",
                provider.name
            ),
            "remove the key, or write `credentials = \"gateway\"` at the provider",
        ),
        Credentials::Gateway if hosted && !has_key && !is_written => section.fault(
            "key",
            &format!("missing, and `{}` answers nobody without one", provider.host),
            "write `key = { env = \"NAME\" }`, or `credentials = \"caller\"` at the provider",
        ),
        Credentials::Caller | Credentials::Gateway => {}
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
    let upstream = section.text("upstream");
    if let Some(star) = upstream.as_ref().filter(|upstream| upstream.value.contains('*')) {
        section.fault_at(
            star,
            "a provider knows no globs",
            "write one name, or leave it out to keep the caller's",
        );
    }
    let class = section.name("class");
    let long_cache = long_cache(section);
    let (name, endpoints) = (name?, endpoints?);
    check_family(section, &endpoints, known);
    if long_cache == Some(true)
        && endpoints.first().and_then(|first| known.family_of(first)) == Some(Family::OpenAi)
    {
        let what = "hosts of the `openai` dialect have no markers that could ask for it";
        section.fault("cache_ttl", what, "remove it");
    }
    Some(ModelParams {
        name: name.value,
        endpoints,
        upstream_name: upstream.map(|upstream| upstream.value),
        class: class.map(|class| class.value),
        long_cache,
    })
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

/// Dialects are not translated, so all endpoints of a model speak the same one.
fn check_family(section: &Section<'_>, endpoints: &[EndpointName], known: &Known<'_>) {
    let speaks = |family: Family| endpoints.iter().find(|name| known.family_of(name) == Some(family));
    if let (Some(anthropic), Some(openai)) = (speaks(Family::Anthropic), speaks(Family::OpenAi)) {
        let key = if section.get("endpoints").is_some() { "endpoints" } else { "provider" };
        section.fault(
            key,
            &format!("`{anthropic}` speaks `anthropic` and `{openai}` speaks `openai`"),
            "write one `[[model]]` for each dialect; they may have the same name",
        );
    }
}

/// The dialect of a model that was read, to tell one name in two dialects from one name twice.
pub(super) fn family_of_model(model: &ModelParams, known: &Known<'_>) -> Option<Family> {
    model.endpoints.iter().find_map(|name| known.family_of(name))
}
