//! Providers by name: what is known of each, so that nobody has to look it up. A key that is written
//! goes before what stands here.
//!
//! Sources: the official SDKs of 2026-11 where there is one (its request types say what a host knows),
//! the hosts' documents, and the quirks that others found. Hosts that refuse members which they do not
//! know are the rule, so what is not known to be understood is left out.

mod hosts;
mod table;

use std::time::Duration;

use super::read::{Section, did_you_mean, listed, nearest};
use crate::{
    dialect::Quirks,
    types::{Family, ProviderDialect},
    upstream::{AuthScheme, CacheRule},
};
pub(super) use table::PRESETS;

/// What is known of a provider.
#[derive(Debug)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) family: Family,
    pub(super) speaks: &'static [ProviderDialect],
    /// With `{region}` and such, which the section must give; its path without `/v1`.
    pub(super) base_url: &'static str,
    pub(super) auth: AuthScheme,
    pub(super) quirks: fn() -> Quirks,
    pub(super) cache: CacheRule,
    /// A shorter prefix is not kept there; `None`: as usual.
    pub(super) min_tokens: Option<u32>,
    /// How long prompts are kept; `None`: as usual in its family.
    pub(super) short: Option<Duration>,
    /// Whether cached input counts to the limits; `None`: as usual in its family.
    pub(super) cached_reads_count: Option<bool>,
    pub(super) health_path: Option<&'static str>,
    /// `GET /v1/models` tells a good key from a bad one, for free.
    pub(super) lists_models: bool,
}

/// `preset = "name"`.
pub(super) fn read(provider: &Section<'_>) -> Option<&'static Preset> {
    let name = provider.text("preset")?;
    let found = PRESETS.iter().find(|preset| preset.name == name.value);
    if found.is_none() {
        let names = || PRESETS.iter().map(|preset| preset.name);
        let remedy =
            nearest(&name.value, names()).map_or_else(|| format!("known: {}", listed(names())), did_you_mean);
        provider.fault_at(&name, &format!("unknown preset `{}`", name.value.escape_debug()), &remedy);
    }
    found
}

/// What a `dialect` without a preset is like: its maker's.
pub(super) fn of_dialect(family: Family) -> &'static Preset {
    let name = match family {
        Family::Anthropic => "anthropic",
        Family::OpenAi => "openai",
        Family::Gemini => "google",
        Family::Bedrock => "bedrock",
    };
    // All of them are in the table, as a test holds.
    PRESETS.iter().find(|preset| preset.name == name).unwrap_or(&table::HOST)
}

impl Preset {
    /// Its base URL, with the section's `region`, `project`, `location` and `resource` in place. `None` when
    /// one is missing or none; `needed` is whether that is a fault.
    pub(super) fn url(&self, provider: &Section<'_>, needed: bool) -> Option<String> {
        let mut url = self.base_url.to_owned();
        let mut whole = true;
        for (key, example) in OPTIONS {
            let place = format!("{{{key}}}");
            let vertex = *key == "location" && url.contains("{vertex}");
            let given = provider.text(key);
            if !url.contains(&place) {
                if let Some(given) = given.filter(|_| *key != "region") {
                    let what = format!("the base URL of `{}` has no place for it", self.name);
                    provider.fault_at(&given, &what, "remove it");
                }
                continue;
            }
            match given {
                Some(given) if is_part(&given.value) => {
                    if vertex {
                        url = url.replace("{vertex}", &vertex_host(&given.value));
                    }
                    url = url.replace(&place, &given.value);
                }
                Some(given) => {
                    let what = format!("`{}` cannot stand in a URL", given.value.escape_debug());
                    provider.fault_at(&given, &what, &format!("write it as in `{key} = \"{example}\"`"));
                    whole = false;
                }
                None => {
                    if needed {
                        let what = format!("missing, and the base URL of `{}` needs it", self.name);
                        provider.fault(key, &what, &format!("write `{key} = \"{example}\"`, or `base_url`"));
                    }
                    whole = false;
                }
            }
        }
        whole.then_some(url)
    }
}

/// What base URLs have places for, and examples.
const OPTIONS: &[(&str, &str)] = &[
    ("region", "us-east-1"),
    ("project", "my-project"),
    ("location", "global"),
    ("resource", "my-resource"),
];

/// A part of a host or a path, as all of these are.
fn is_part(text: &str) -> bool {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
    plain && !text.starts_with(['.', '-', ':']) && !text.contains("..")
}

/// google-genai 3.4.0, `_api_client.py`: one host a region, and others for what is larger than one.
fn vertex_host(location: &str) -> String {
    match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_preset_has_a_name_of_its_own_and_a_url_that_can_be_read() {
        for (n, preset) in PRESETS.iter().enumerate() {
            assert!(PRESETS[n + 1..].iter().all(|other| other.name != preset.name), "{}", preset.name);
            let url = preset.base_url.replace("{vertex}", "h").replace(['{', '}'], "");
            let read = crate::config::parse_base_url(&url).expect(preset.name);
            assert!(!read.base_path.ends_with("/v1"), "{}", preset.name);
            assert!(!preset.speaks.is_empty(), "{}", preset.name);
        }
        for family in Family::ALL {
            assert_eq!(of_dialect(family).family, family);
        }
    }

    #[test]
    fn locations_of_vertex_have_their_own_hosts() {
        assert_eq!(vertex_host("europe-west4"), "europe-west4-aiplatform.googleapis.com");
        assert_eq!(vertex_host("global"), "aiplatform.googleapis.com");
        assert_eq!(vertex_host("eu"), "aiplatform.eu.rep.googleapis.com");
    }

    #[test]
    fn parts_cannot_lead_elsewhere() {
        assert!(is_part("us-east-1") && is_part("example.com:project"));
        for bad in ["a/b", "a?b", "..", "a..b", "-a", "a b", "a@b", "a#b"] {
            assert!(!is_part(bad), "{bad}");
        }
    }
}
