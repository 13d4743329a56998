//! Where a provider stands: base URL and region.

use std::net::SocketAddr;

use super::{
    preset::Preset,
    read::Section,
    url::{self, BaseUrl},
};
use crate::{types::Family, upstream::AuthScheme};

/// Where signatures are good: named, or a part of the host's name.
pub(super) fn region(provider: &Section<'_>, url: &BaseUrl, auth: AuthScheme) -> Option<String> {
    let named = provider.name("region").map(|region| region.value);
    let hosts = |host: &str| {
        let rest =
            host.strip_prefix("bedrock-runtime.").or_else(|| host.strip_prefix("bedrock-runtime-fips."));
        rest?.strip_suffix(".amazonaws.com").map(str::to_owned)
    };
    let region = named.or_else(|| hosts(&url.host));
    if region.is_none() && auth == AuthScheme::SigV4 && provider.get_quietly("base_url") {
        let what = "missing, and signatures are for one region";
        provider.fault("region", what, "write `region = \"us-east-1\"`: where the host stands");
    }
    region
}

/// Its base URL: written, the simulator's, or its preset's.
pub(super) fn base_url(
    provider: &Section<'_>,
    preset: &Preset,
    family: Family,
    sim: Option<SocketAddr>,
) -> BaseUrl {
    let written = provider.get_quietly("base_url");
    let text = preset.url(provider, !written);
    let parsed = text.as_deref().and_then(|text| url::parse(text).ok());
    // Where something is missing, that was said; what goes on in its place is never used.
    let host = "api.example.com".to_owned();
    let usual = parsed.unwrap_or(BaseUrl { tls: true, host, port: 443, base_path: String::new() });
    let url = written_url(provider, &usual, sim).unwrap_or(usual);
    // Google's paths have their version in front: people leave it out, as they do elsewhere.
    let bare = family == Family::Gemini && url.base_path.is_empty();
    BaseUrl { base_path: if bare { "/v1beta".to_owned() } else { url.base_path }, ..url }
}

fn written_url(provider: &Section<'_>, usual: &BaseUrl, sim: Option<SocketAddr>) -> Option<BaseUrl> {
    let host = &usual.host;
    let text = provider.text("base_url")?;
    if text.value == "sim" {
        let Some(sim) = sim else {
            provider.fault_at(&text, "there is no simulated provider in this file", "add a `[sim]` section");
            return None;
        };
        let (host, port) = (sim.ip().to_string(), sim.port());
        return Some(BaseUrl { tls: false, host, port, base_path: String::new() });
    }
    match url::parse(&text.value) {
        Ok(url) => {
            let near = matches!(url.host.as_str(), "localhost" | "127.0.0.1" | "::1");
            if !url.tls && !near {
                let what = format!("keys and prompts travel to `{}` in the clear", url.host);
                provider.note_at(&text, &what, "use `https://` unless you trust every wire between");
            }
            Some(url)
        }
        Err(why) => {
            // Not quoted: a pasted URL may hold a password.
            provider.fault_at(&text, &format!("not a base URL: {why}"), &format!("write `https://{host}`"));
            None
        }
    }
}
