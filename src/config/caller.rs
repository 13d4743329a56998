//! `[[caller]]`: who may call.

use super::{
    allowance::allowance,
    level::{self, DEFAULT},
    read::{At, Section, did_you_mean, listed, nearest},
    target::{Known, long_cache},
};
use crate::{
    clock,
    types::{Access, KeyDigest, Levels, MAX_TAGS, Priority, Secret, Tag, VirtualKey},
};

/// A token shorter than this can be guessed.
const SHORT: usize = 20;

/// Reads one `[[caller]]`.
pub(super) fn read(caller: &Section<'_>, known: &Known<'_>, levels: &Levels) -> Option<VirtualKey> {
    let name = caller.required_name("name", "give it a name, such as `team-a`: logs and metrics show it");
    let organisation = organisation(caller);
    let team = caller.name("team");
    level::check_caller(caller, levels, organisation.as_ref(), team.as_ref());
    let token = caller.secret("token");
    let hash = caller.text("token_sha256");
    let access = access(caller, known);
    let long_cache = long_cache(caller);
    let keep_alive = caller.get("keep_alive").is_some().then(|| caller.flag("keep_alive", false));
    let digest = digest(caller, token.as_ref(), hash.as_ref());
    let weight = thousandths(caller.ratio("weight", 1.0, 0.01..=100.0));
    let markup = thousandths(caller.ratio("markup", 1.0, 0.0..=100.0));
    let tags = tags(caller);
    let expires = caller.time("expires");
    if let Some(over) = expires.as_ref().filter(|at| at.value <= clock::unix_now()) {
        caller.note_at(
            over,
            "this time is over, so the caller is refused",
            "write a later one, or remove it",
        );
    }
    let priorities = [("interactive", Priority::Interactive), ("batch", Priority::Batch)];
    let priority = caller.choice("priority", Priority::Interactive, &priorities);
    let disabled = caller.flag("disabled", false);
    let allowance = allowance(caller);
    let key = VirtualKey {
        organisation: organisation.map_or_else(|| DEFAULT.to_owned(), |name| name.value).into(),
        team: team.map(|team| team.value.into()),
        tags,
        expires: expires.map(|at| at.value),
        disabled,
        access,
        allowance,
        weight,
        priority,
        markup,
        long_cache,
        keep_alive,
        ..VirtualKey::named(&name?.value, digest?)
    };
    level::note_larger_than_above(caller, &key, levels);
    Some(key)
}

/// `tenant`, or `organisation`: one thing with two names.
fn organisation(caller: &Section<'_>) -> Option<At<String>> {
    let (tenant, organisation) = (caller.name("tenant"), caller.name("organisation"));
    if tenant.is_some() && organisation.is_some() {
        let what = "another word for `tenant`, which is there already";
        caller.fault("organisation", what, "remove one of them");
    }
    let found = tenant.or(organisation);
    if found.is_none() {
        caller.shows("tenant", DEFAULT);
    }
    found
}

fn tags(caller: &Section<'_>) -> Vec<Tag> {
    let written = caller.texts("tags").unwrap_or_default();
    if written.len() > MAX_TAGS {
        caller.fault(
            "tags",
            &format!("more than {MAX_TAGS} tags"),
            "keep those that reports and budgets need",
        );
    }
    let mut tags: Vec<Tag> = Vec::new();
    for text in written {
        let Some(text) = level::tag(caller, text) else { continue };
        if tags.iter().any(|tag| tag.as_str() == text.value) {
            caller.fault_at(&text, &format!("`{}` is listed twice", text.value), "remove one of them");
        }
        tags.push(text.value.into());
    }
    tags
}

fn access(caller: &Section<'_>, known: &Known<'_>) -> Access {
    let models = allowed(caller, "models", "models or globs");
    let providers = allowed(caller, "providers", "providers");
    for name in providers.iter().flatten() {
        known.check_provider(caller, name);
    }
    let regions = allowed(caller, "regions", "regions of endpoints");
    let there = || known.endpoints.iter().filter_map(|endpoint| endpoint.region.as_deref());
    // An endpoint with a fault was not read, and may have been the one.
    let is_whole = known.endpoints.len() == known.endpoint_names.len();
    for region in regions.iter().flatten().filter(|_| is_whole) {
        if there().all(|name| name != region.value) {
            let remedy = nearest(&region.value, there())
                .map_or_else(|| format!("known: {}", listed(there())), did_you_mean);
            let what = format!("no endpoint has the region `{}`", region.value.escape_debug());
            caller.fault_at(region, &what, &remedy);
        }
    }
    let texts = |list: Vec<At<String>>| list.into_iter().map(|at| at.value);
    Access {
        models: models.map(|list| texts(list).collect()),
        providers: providers.map(|list| texts(list).map(Into::into).collect()),
        regions: regions.map(|list| texts(list).collect()),
    }
}

fn allowed(caller: &Section<'_>, key: &'static str, what: &str) -> Option<Vec<At<String>>> {
    let list = caller.texts(key);
    if let Some([]) = list.as_deref() {
        let remedy = format!("list {what}, or remove the line to allow all");
        caller.fault(key, "an empty list allows nothing", &remedy);
    }
    list
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checked ratio of a few units")]
fn thousandths(ratio: f64) -> u32 {
    (ratio * 1_000.0).round() as u32
}

fn digest(caller: &Section<'_>, token: Option<&At<Secret>>, hash: Option<&At<String>>) -> Option<KeyDigest> {
    let forms = "write `token = { env = \"NAME\" }` or `token_sha256 = \"...\"`";
    let is_written = caller.get("token").is_some();
    match (token, hash) {
        (Some(_), Some(hash)) => {
            caller.fault_at(
                hash,
                "a caller has one token, and `token` is there already",
                "remove one of them",
            );
            None
        }
        (Some(token), None) => {
            if token.value.expose().len() < SHORT {
                let remedy = "take a random one, such as the output of `openssl rand -hex 24`";
                caller.note_at(token, "the token is so short that it can be guessed", remedy);
            }
            Some(token.value.digest())
        }
        (None, Some(hash)) => {
            let digest = KeyDigest::from_hex(&hash.value);
            if digest.is_none() {
                // Not quoted: somebody may have pasted the token itself.
                let remedy = "write the 64 hexadecimal digits of `printf %s \"$TOKEN\" | sha256sum`";
                caller.fault_at(hash, "not a SHA-256 digest", remedy);
            }
            digest
        }
        (None, None) => {
            if !is_written {
                caller.fault("token", "missing", forms);
            }
            None
        }
    }
}
