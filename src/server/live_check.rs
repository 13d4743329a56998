//! `warmkey check --live`: asks every provider with every key, and says which keys share limits.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tokio::task::JoinSet;

use super::{build, tokens};
use crate::{
    clock,
    config::Config,
    proxy::{Checked, Upstreams, check_key},
    upstream::Pool,
};

/// What asking the providers found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LiveReport {
    /// For people, such as `8 keys = 3 organisations: 3 limits, not 8`.
    pub lines: Vec<String>,
    /// Whether every key was accepted.
    pub ok: bool,
}

/// Asks each provider with each key for its models, which is free.
///
/// # Errors
///
/// Settings that do not fit together, or no runtime.
pub fn live_check(config: &Config) -> anyhow::Result<LiveReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let pool = build::pool(config)?;
    let found = runtime.block_on(ask_all(&pool));
    Ok(report(&pool, &found))
}

async fn ask_all(pool: &Pool) -> BTreeMap<String, Checked> {
    let upstreams = Arc::new(Upstreams::new(build::POOLED));
    tokens::first(pool).await;
    let mut checks = JoinSet::new();
    for endpoint in pool.endpoints() {
        let Some(check) = endpoint.claim_first_check(clock::now()) else { continue };
        let (upstreams, endpoint) = (Arc::clone(&upstreams), Arc::clone(endpoint));
        checks.spawn(async move {
            let found = check_key(&upstreams, &endpoint, check, None).await;
            (endpoint.name().to_string(), found)
        });
    }
    checks.join_all().await.into_iter().collect()
}

fn report(pool: &Pool, found: &BTreeMap<String, Checked>) -> LiveReport {
    let mut lines = Vec::new();
    let mut ok = true;
    for endpoint in pool.endpoints() {
        let name = endpoint.name();
        let words = match found.get(name.as_str()) {
            Some(Checked::Good(Some(organisation))) => format!("good, organisation {organisation}"),
            Some(Checked::Good(None)) => {
                "good; its provider does not say which organisation it belongs to".to_owned()
            }
            Some(Checked::Bad(trouble)) => {
                ok = false;
                format!("refused by its provider: {trouble}")
            }
            Some(Checked::Unknown) => {
                ok = false;
                "not checked: its provider did not answer".to_owned()
            }
            None => "not checked: it has no key of its own".to_owned(),
        };
        lines.push(format!("{name}: {words}"));
    }
    for provider in pool.providers() {
        let of = |e: &&Arc<crate::upstream::Endpoint>| e.provider().params.name == provider.params.name;
        let keys = pool.endpoints().iter().filter(of).filter(|endpoint| endpoint.key().is_some()).count();
        let domains: BTreeSet<_> = pool
            .endpoints()
            .iter()
            .filter(of)
            .map(|endpoint| endpoint.rate_domain().name().clone())
            .collect();
        lines.push(summary(provider.params.name.as_str(), keys, domains.len()));
    }
    LiveReport { lines, ok }
}

fn summary(provider: &str, keys: usize, domains: usize) -> String {
    let plural = |n: usize, one: &str, many: &str| format!("{n} {}", if n == 1 { one } else { many });
    let organisations = plural(domains, "organisation", "organisations");
    let limits = plural(domains, "limit", "limits");
    let but = if domains < keys { format!(", not {keys}") } else { String::new() };
    format!("{provider}: {} = {organisations}: {limits}{but}", plural(keys, "key", "keys"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_counts_limits_and_not_keys() {
        assert_eq!(summary("anthropic", 8, 3), "anthropic: 8 keys = 3 organisations: 3 limits, not 8");
        assert_eq!(summary("openai", 1, 1), "openai: 1 key = 1 organisation: 1 limit");
    }
}
