//! Pools for the tests of this module and of `routing`.

use std::time::Duration;

use super::{
    AuthScheme, CacheCare, CacheLife, CacheRule, Cooling, Credentials, EndpointParams, HttpVersion,
    KeepAlive, LimitParams, LimitsGiven, Overload, Pool, ProviderParams, RoutingMode, Timeouts,
};
use crate::{
    dialect::{OnLoss, Quirks},
    types::{Family, ProviderDialect, Secret},
};

/// A provider that behaves like a shared one.
pub(crate) fn provider(name: &str) -> ProviderParams {
    ProviderParams {
        name: name.into(),
        family: Family::Anthropic,
        speaks: vec![ProviderDialect::Anthropic],
        quirks: Quirks::default(),
        on_loss: OnLoss::default(),
        tls: true,
        host: format!("{name}.test"),
        port: 443,
        base_path: String::new(),
        address: None,
        ca_file: None,
        auth: AuthScheme::XApiKey,
        region: None,
        credentials: Credentials::Gateway,
        overload: Overload::Stay,
        http: HttpVersion::Auto,
        timeouts: Timeouts::default(),
        cooling: Cooling::default(),
        care: CacheCare::default(),
        keep_alive: KeepAlive::default(),
        cache: CacheLife {
            rule: CacheRule::Marked,
            min_tokens: 1_024,
            short: Duration::from_secs(300),
            long: Duration::from_secs(3_600),
        },
        routing: RoutingMode::Pinned,
        limits: LimitParams::usual(Family::Anthropic),
        trace_context: false,
        inject_usage: false,
        passthrough: Vec::new(),
        pass_unlisted: false,
        health_path: None,
        health_every: Duration::from_secs(5),
        validate_keys: false,
        retry_budget_percent: 20,
    }
}

/// An endpoint of `provider`, in the rate domain `domain` where that is not empty.
pub(crate) fn endpoint(name: &str, provider: &str, domain: &str) -> EndpointParams {
    EndpointParams {
        name: name.into(),
        provider: provider.into(),
        key: Some(Secret::new(format!("sk-{name}"))),
        grant: None,
        rate_domain: (!domain.is_empty()).then(|| domain.into()),
        cache_domain: None,
        region: None,
        weight: 1,
        limits: LimitsGiven::default(),
    }
}

/// One provider `p` and these (endpoint, rate domain).
pub(crate) fn pool(endpoints: &[(&str, &str)]) -> Pool {
    let endpoints = endpoints.iter().map(|(name, domain)| endpoint(name, "p", domain)).collect();
    Pool::build(vec![provider("p")], endpoints, None).expect("a sound pool")
}

/// Eight endpoints in three organisations: 3 + 3 + 2.
pub(crate) fn eight() -> Pool {
    pool(&[
        ("a1", "org-a"),
        ("a2", "org-a"),
        ("a3", "org-a"),
        ("b1", "org-b"),
        ("b2", "org-b"),
        ("b3", "org-b"),
        ("c1", "org-c"),
        ("c2", "org-c"),
    ])
}
