//! `[[provider]]`: companies and hosts.

use std::net::SocketAddr;

use super::{
    read::{At, Section},
    server::{millis, secs},
    url::{self, BaseUrl},
};
use crate::{
    types::{Family, NanoUsd},
    upstream::{
        AuthScheme, CacheCare, CacheLife, CacheRule, Cooling, Credentials, HttpVersion, KeepAlive,
        LimitParams, Overload, PassRule, ProviderParams, RoutingMode, Timeouts,
    },
};

/// First parts of the gateway's own paths: a provider of such a name could not be told from them.
const TAKEN: &[&str] = &[
    "v1",
    "chat",
    "completions",
    "embeddings",
    "healthz",
    "livez",
    "messages",
    "models",
    "readyz",
    "responses",
];

/// Reads one `[[provider]]`; `None` where too little is known to go on.
pub(super) fn read(provider: &Section<'_>, sim: Option<SocketAddr>) -> Option<ProviderParams> {
    let name = provider.required_name("name", "give it a name, such as `anthropic`");
    if let Some(name) = name.as_ref().filter(|name| TAKEN.contains(&name.value.as_str())) {
        let what = format!("`{}` is one of the gateway's own paths", name.value);
        provider.fault_at(name, &what, "give it another name, such as `anthropic`");
    }
    let family = dialect(provider);
    let own = family.unwrap_or(Family::Anthropic);
    let url = base_url(provider, own, sim);
    let health_path = health_path(provider);
    let auth =
        [("x-api-key", AuthScheme::XApiKey), ("bearer", AuthScheme::Bearer), ("api-key", AuthScheme::ApiKey)];
    let usual_auth = match own {
        Family::Anthropic => AuthScheme::XApiKey,
        Family::OpenAi => AuthScheme::Bearer,
    };
    let credentials = provider.choice(
        "credentials",
        Credentials::Gateway,
        &[("gateway", Credentials::Gateway), ("caller", Credentials::Caller)],
    );
    // Engines that say how they are stand side by side; hosted services share one front door.
    let usual_overload = if health_path.is_some() { Overload::Move } else { Overload::Stay };
    let http = [("1", HttpVersion::One), ("2", HttpVersion::Two), ("auto", HttpVersion::Auto)];
    let params = ProviderParams {
        name: name.as_ref().map_or("", |name| name.value.as_str()).into(),
        family: own,
        tls: url.tls,
        host: url.host,
        port: url.port,
        base_path: url.base_path,
        address: provider.address("address"),
        ca_file: provider.existing_file("ca_file"),
        auth: provider.choice("auth", usual_auth, &auth),
        credentials,
        overload: provider.choice(
            "overload",
            usual_overload,
            &[("stay", Overload::Stay), ("move", Overload::Move)],
        ),
        http: provider.choice("http", HttpVersion::Auto, &http),
        timeouts: provider.table("timeouts", timeouts),
        cooling: provider.table("cooling", cooling),
        cache: provider.table("cache", |cache| cache_life(cache, own)),
        care: provider.table("care", |care| cache_care(care, own)),
        keep_alive: provider.table("keep_alive", |keep| keep_alive(keep, own, credentials)),
        routing: provider.choice(
            "routing",
            RoutingMode::Cost,
            &[("cost", RoutingMode::Cost), ("pinned", RoutingMode::Pinned)],
        ),
        limits: provider.table("limits", |limits| limits_of(limits, own)),
        inject_usage: provider.flag("inject_usage", own == Family::OpenAi),
        passthrough: passthrough(provider),
        pass_unlisted: provider.choice("unlisted", false, &[("refuse", false), ("pass", true)]),
        health_path,
        health_every: provider.duration("health_every", secs(5), secs(1)..=secs(300)),
        validate_keys: provider.flag("validate_keys", credentials == Credentials::Gateway),
        retry_budget_percent: provider.whole("retry_budget_percent", 20, 0..=100),
    };
    (name.is_some() && family.is_some()).then_some(params)
}

fn dialect(provider: &Section<'_>) -> Option<Family> {
    let choices = [Family::Anthropic, Family::OpenAi].map(|family| (family.label(), family));
    if provider.get("dialect").is_none() {
        provider.fault("dialect", "missing", "write `anthropic` or `openai`: what the host speaks");
    }
    provider.choose("dialect", &choices)
}

fn base_url(provider: &Section<'_>, family: Family, sim: Option<SocketAddr>) -> BaseUrl {
    let host = match family {
        Family::Anthropic => "api.anthropic.com",
        Family::OpenAi => "api.openai.com",
    };
    let usual = BaseUrl { tls: true, host: host.into(), port: 443, base_path: String::new() };
    let Some(text) = provider.text("base_url") else { return usual };
    if text.value == "sim" {
        let Some(sim) = sim else {
            provider.fault_at(&text, "there is no simulated provider in this file", "add a `[sim]` section");
            return usual;
        };
        return BaseUrl {
            tls: false,
            host: sim.ip().to_string(),
            port: sim.port(),
            base_path: String::new(),
        };
    }
    match url::parse(&text.value) {
        Ok(url) => {
            let near = matches!(url.host.as_str(), "localhost" | "127.0.0.1" | "::1");
            if !url.tls && !near {
                let what = format!("keys and prompts travel to `{}` in the clear", url.host);
                provider.note_at(&text, &what, "use `https://` unless you trust every wire between");
            }
            url
        }
        Err(why) => {
            // Not quoted: a pasted URL may hold a password.
            provider.fault_at(&text, &format!("not a base URL: {why}"), &format!("write `https://{host}`"));
            usual
        }
    }
}

fn health_path(provider: &Section<'_>) -> Option<String> {
    let path = provider.text("health_path")?;
    if !path.value.starts_with('/') || path.value.parse::<http::uri::PathAndQuery>().is_err() {
        let what = format!("`{}` is not a path", path.value.escape_debug());
        provider.fault_at(&path, &what, "write it as in `/health`");
        return None;
    }
    Some(path.value)
}

fn timeouts(timeouts: &Section<'_>) -> Timeouts {
    let d = Timeouts::default();
    let read = Timeouts {
        connect: timeouts.duration("connect", d.connect, millis(50)..=secs(60)),
        first_byte: timeouts.duration("first_byte", d.first_byte, secs(1)..=secs(3600)),
        idle: timeouts.duration("idle", d.idle, secs(1)..=secs(3600)),
        total: timeouts.duration("total", d.total, secs(1)..=secs(24 * 3600)),
        write: timeouts.duration("write", d.write, secs(1)..=secs(600)),
        pool_idle: timeouts.duration("pool_idle", d.pool_idle, secs(1)..=secs(3600)),
    };
    if read.first_byte > read.total {
        timeouts.fault(
            "first_byte",
            "longer than `total`, so it could never end a request",
            "lower `first_byte`, or raise `total`",
        );
    }
    read
}

fn cooling(cooling: &Section<'_>) -> Cooling {
    let d = Cooling::default();
    let read = Cooling {
        default_429: cooling.duration("default_429", d.default_429, millis(100)..=secs(3600)),
        warn_above: cooling.duration("warn_above", d.warn_above, secs(1)..=secs(24 * 3600)),
        allowed_fails: cooling.whole("allowed_fails", d.allowed_fails, 1..=100),
        base: cooling.duration("base", d.base, millis(100)..=secs(600)),
        max: cooling.duration("max", d.max, millis(100)..=secs(3600)),
        pace: cooling.duration("pace", d.pace, millis(0)..=secs(10)),
        recheck: cooling.duration("recheck", d.recheck, secs(1)..=secs(3600)),
        stay_delay: cooling.duration("stay_delay", d.stay_delay, millis(10)..=secs(30)),
        stay_max: cooling.duration("stay_max", d.stay_max, millis(0)..=secs(60)),
    };
    if read.base > read.max {
        cooling.fault("base", "longer than `max`", "lower `base`, or raise `max`");
    }
    read
}

fn cache_life(cache: &Section<'_>, family: Family) -> CacheLife {
    // providers: Anthropic 1.1 (5 m, 1 h), OpenAI 2.1 (30 m, retention 24 h).
    let (short, long) = match family {
        Family::Anthropic => (secs(300), secs(3600)),
        Family::OpenAi => (secs(1800), secs(24 * 3600)),
    };
    let range = millis(100)..=secs(7 * 24 * 3600);
    let usual = match family {
        Family::Anthropic => CacheRule::Marked,
        Family::OpenAi => CacheRule::Anywhere,
    };
    let rules =
        [("marked", CacheRule::Marked), ("anywhere", CacheRule::Anywhere), ("never", CacheRule::Never)];
    let read = CacheLife {
        rule: cache.choice("rule", usual, &rules),
        min_tokens: cache.whole("min_tokens", 1_024, 0..=1_000_000),
        short: cache.duration("short", short, range.clone()),
        long: cache.duration("long", long, range),
    };
    if read.short > read.long {
        cache.fault("short", "longer than `long`", "lower `short`, or raise `long`");
    }
    read
}

fn cache_care(care: &Section<'_>, family: Family) -> CacheCare {
    let read = CacheCare { markers: care.flag("markers", false), cache_key: care.flag("cache_key", false) };
    if read.markers && family != Family::Anthropic {
        let what = "hosts of the `openai` dialect cache without markers";
        care.fault("markers", what, "remove it; `cache_key` is what helps there");
    }
    if read.cache_key && family != Family::OpenAi {
        let what = "hosts of the `anthropic` dialect know no cache keys";
        care.fault("cache_key", what, "remove it; `markers` is what helps there");
    }
    read
}

fn keep_alive(keep: &Section<'_>, family: Family, credentials: Credentials) -> KeepAlive {
    let d = KeepAlive::default();
    let dollars = keep.ratio("budget_usd", d.budget.as_usd(), 0.0..=1_000_000.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked: at most 10^15")]
    let budget = NanoUsd((dollars * 1e9).round() as u64);
    let read = KeepAlive {
        enabled: keep.flag("enabled", d.enabled),
        budget,
        max_pings: keep.whole("max_pings", d.max_pings, 1..=100),
        min_tokens: keep.whole("min_tokens", d.min_tokens, 0..=10_000_000),
        max_utilisation: keep.ratio("max_utilisation", d.max_utilisation, 0.0..=1.0),
        max_bytes: keep.size("max_bytes", d.max_bytes, 1 << 20..=1 << 40),
    };
    if read.enabled && family != Family::Anthropic {
        let what = "only Anthropic has requests that warm the cache and bill no output";
        keep.fault("enabled", what, "remove it");
    }
    if read.enabled && credentials == Credentials::Caller {
        let what = "requests of our own need a key of our own, and `credentials` is `caller`";
        keep.fault("enabled", what, "remove it");
    }
    read
}

fn limits_of(limits: &Section<'_>, family: Family) -> LimitParams {
    let d = LimitParams::usual(family);
    LimitParams {
        window: limits.duration("window", d.window, millis(100)..=secs(3600)),
        cached_reads_count: limits.flag("cached_reads_count", d.cached_reads_count),
        max_waiting: limits.whole("max_waiting", d.max_waiting, 0..=100_000),
        max_waiting_bytes: limits.size("max_waiting_bytes", d.max_waiting_bytes, 0..=1 << 40),
    }
}

fn passthrough(provider: &Section<'_>) -> Vec<PassRule> {
    let rules = provider.texts("passthrough").unwrap_or_default();
    rules.iter().filter_map(|rule| pass_rule(provider, rule)).collect()
}

fn pass_rule(provider: &Section<'_>, rule: &At<String>) -> Option<PassRule> {
    let remedy = "write a method and a path, such as `GET /v1/files/*`";
    let refuse = |why: &str| {
        provider.fault_at(rule, &format!("`{}` is not a rule: {why}", rule.value.escape_debug()), remedy);
        None
    };
    let Some((method, path)) = rule.value.split_once(' ') else { return refuse("it has no method") };
    let path = path.trim_start();
    let upper = method.bytes().all(|byte| byte.is_ascii_uppercase());
    if method != "*" && (method.is_empty() || !upper) {
        return refuse("its method is not upper case or `*`");
    }
    if !path.starts_with('/') || path.contains(['?', '#', ' ', '\\']) {
        return refuse("its path does not begin with `/`, or has a query");
    }
    if path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
        return refuse("its path is not plain, and requests are matched on their plain path");
    }
    let Ok(pass) = PassRule::new(method, path) else { return refuse("its path is not a glob") };
    if path.starts_with("/*") {
        let what = format!("`{}` opens paths that nobody here knows: they are not metered", rule.value);
        provider.note_at(rule, &what, "name the paths that you need");
    }
    Some(pass)
}
