//! Whose key an endpoint is asked with.

use anyhow::{anyhow, bail};

use crate::{
    config::{Host, parse_base_url},
    gauge::Target,
    types::Secret,
};

/// Where warmkey's own clients keep their token.
const OWN: &str = "WARMKEY_TOKEN";

/// Reads `URL` or `NAME=URL`; `named` is the variable of `--key-env`.
pub(super) fn target(text: &str, named: Option<&str>, host: &dyn Host) -> anyhow::Result<Target> {
    let (inline, url) = match text.split_once('=') {
        Some((name, url)) if is_variable(name) => (Some(name), url),
        Some(_) | None => (None, text),
    };
    if let (Some(inline), Some(named)) = (inline, named) {
        bail!("two variables hold the key of {url}: `{inline}` and `{named}`; name one");
    }
    let (variable, key) = match inline.or(named) {
        Some(name) => {
            let key = host.var(name).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
            let key =
                key.ok_or_else(|| anyhow!("the variable {name} is not set; export it, or name another one"))?;
            (Some(name), Some(key))
        }
        None => {
            let usual = usual(url);
            let key = host.var(usual).map(|key| key.trim().to_owned()).filter(|key| !key.is_empty());
            (key.is_some().then_some(usual), key)
        }
    };
    Target::new(url, variable, key.map(Secret::new)).map_err(|sentence| anyhow!(sentence))
}

/// A provider's key goes to that provider only; anybody else would learn it.
fn usual(url: &str) -> &'static str {
    match parse_base_url(url).map(|url| url.host).as_deref() {
        Ok("api.anthropic.com") => "ANTHROPIC_API_KEY",
        Ok("api.openai.com") => "OPENAI_API_KEY",
        Ok(_) | Err(_) => OWN,
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
