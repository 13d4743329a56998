//! `[[provider]]`: companies and hosts.

use std::net::SocketAddr;

use super::{
    place::{base_url, region},
    preset::{self, Preset},
    quirks,
    read::{At, Section, known_names},
    server::{millis, secs},
};
use crate::{
    dialect::OnLoss,
    types::{Family, NanoUsd, ProviderDialect},
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
    let preset = preset::read(provider);
    let dialect = dialect(provider, preset.is_none());
    let speaks = speaks(provider);
    let usual = dialect.or(preset).unwrap_or_else(|| preset::of_dialect(Family::Anthropic));
    let own = if dialect.is_none() && preset.is_none() {
        speaks.first().copied().map_or(usual.family, family_of)
    } else {
        usual.family
    };
    let preset = preset.unwrap_or_else(|| if own == usual.family { usual } else { preset::of_dialect(own) });
    let url = base_url(provider, preset, own, sim);
    let health_path = health_path(provider).or_else(|| preset.health_path.map(str::to_owned));
    let quirks = provider.table("quirks", |quirks| quirks::read(quirks, (preset.quirks)()));
    let auths = AuthScheme::ALL.map(|auth| (auth.label(), auth));
    let auth = provider.choice("auth", preset.auth, &auths);
    let region = region(provider, &url, auth);
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
        speaks: if speaks.is_empty() { dialect.unwrap_or(preset).speaks.to_vec() } else { speaks },
        inject_usage: provider.flag("inject_usage", own == Family::OpenAi && quirks.usage_option),
        quirks,
        on_loss: provider.choice("on_loss", OnLoss::default(), &ON_LOSS),
        tls: url.tls,
        host: url.host,
        port: url.port,
        base_path: url.base_path,
        address: provider.address("address"),
        ca_file: provider.existing_file("ca_file"),
        auth,
        region,
        credentials,
        overload: provider.choice(
            "overload",
            usual_overload,
            &[("stay", Overload::Stay), ("move", Overload::Move)],
        ),
        http: provider.choice("http", HttpVersion::Auto, &http),
        timeouts: provider.table("timeouts", timeouts),
        cooling: provider.table("cooling", cooling),
        cache: provider.table("cache", |cache| cache_life(cache, own, preset)),
        care: provider.table("care", |care| cache_care(care, own)),
        keep_alive: provider.table("keep_alive", |keep| keep_alive(keep, own, credentials)),
        routing: provider.choice(
            "routing",
            RoutingMode::Cost,
            &[("cost", RoutingMode::Cost), ("pinned", RoutingMode::Pinned)],
        ),
        limits: provider.table("limits", |limits| limits_of(limits, own, preset)),
        passthrough: passthrough(provider),
        pass_unlisted: provider.choice("unlisted", false, &[("refuse", false), ("pass", true)]),
        health_path,
        health_every: provider.duration("health_every", secs(5), secs(1)..=secs(300)),
        validate_keys: provider
            .flag("validate_keys", credentials == Credentials::Gateway && preset.lists_models),
        retry_budget_percent: provider.whole("retry_budget_percent", 20, 0..=100),
    };
    show_derived(provider, &params);
    check_signing(provider, &params);
    let known = dialect.is_some() || provider.get_quietly("preset") || provider.get_quietly("speaks");
    (name.is_some() && known).then_some(params)
}

const ON_LOSS: [(&str, OnLoss); 3] =
    [("refuse", OnLoss::Refuse), ("drop-hints", OnLoss::DropHints), ("drop", OnLoss::Drop)];

/// What a preset, a host's name or another key says where the file says nothing.
fn show_derived(provider: &Section<'_>, params: &ProviderParams) {
    let host = if params.host.contains(':') { format!("[{}]", params.host) } else { params.host.clone() };
    let scheme = if params.tls { "https" } else { "http" };
    provider.shows("base_url", format_args!("{scheme}://{host}:{}{}", params.port, params.base_path));
    let speaks: Vec<_> = params.speaks.iter().map(|dialect| dialect.label()).collect();
    provider.shows("speaks", speaks.join(", "));
    for (key, value) in [("region", &params.region), ("health_path", &params.health_path)] {
        if let Some(value) = value {
            provider.shows(key, value);
        }
    }
}

/// `dialect = "..."`: like its maker's preset.
fn dialect(provider: &Section<'_>, needed: bool) -> Option<&'static Preset> {
    let claude = ProviderDialect::BedrockClaude.label();
    let named = |name: &str| preset::PRESETS.iter().find(|preset| preset.name == name);
    let [anthropic, openai, gemini, bedrock] =
        Family::ALL.map(|family| (family.label(), Some(preset::of_dialect(family))));
    if needed && !provider.get_quietly("dialect") && !provider.get_quietly("speaks") {
        let remedy = "write what the host speaks, such as `anthropic` or `openai`; or its `preset`";
        if !provider.get_quietly("preset") {
            provider.fault("dialect", "missing", remedy);
        }
    }
    provider.choose("dialect", &[anthropic, openai, gemini, bedrock, (claude, named(claude))]).flatten()
}

/// `speaks = ["openai-chat", ...]`, where the host speaks more or less than its preset says.
fn speaks(provider: &Section<'_>) -> Vec<ProviderDialect> {
    let mut spoken = Vec::new();
    for name in provider.texts("speaks").unwrap_or_default() {
        match ProviderDialect::ALL.into_iter().find(|dialect| dialect.label() == name.value) {
            Some(dialect) if spoken.contains(&dialect) => {
                provider.fault_at(&name, &format!("`{}` stands there already", name.value), "remove it");
            }
            Some(dialect) => spoken.push(dialect),
            None => {
                let labels = ProviderDialect::ALL.map(ProviderDialect::label);
                let remedy = known_names(&name.value, labels.into_iter());
                let what = format!("unknown dialect `{}`", name.value.escape_debug());
                provider.fault_at(&name, &what, &remedy);
            }
        }
    }
    spoken
}

fn family_of(dialect: ProviderDialect) -> Family {
    match dialect {
        ProviderDialect::Anthropic => Family::Anthropic,
        ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => Family::OpenAi,
        ProviderDialect::Gemini => Family::Gemini,
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => Family::Bedrock,
    }
}

/// What signatures make impossible: somebody else's, and bodies that are not read whole.
fn check_signing(provider: &Section<'_>, params: &ProviderParams) {
    if params.auth != AuthScheme::SigV4 {
        return;
    }
    if params.credentials == Credentials::Caller {
        let what = "a caller's signature is for the host that it called, and that is not the provider";
        provider.fault("credentials", what, "write `\"gateway\"`, and keys at the endpoints");
    }
    let writes = |rule: &&PassRule| ["POST", "PUT", "PATCH"].iter().any(|method| rule.is_for(method));
    if params.passthrough.iter().any(|rule| writes(&rule)) {
        let what = "bodies pass through unread, and a signature covers the body";
        provider.fault("passthrough", what, "name methods without a body, such as `GET`");
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

fn cache_life(cache: &Section<'_>, family: Family, preset: &Preset) -> CacheLife {
    // providers: Anthropic 1.1 (5 m, 1 h), OpenAI 2.1 (30 m, retention 24 h).
    let (short, long) = match family {
        Family::Anthropic | Family::Bedrock => (secs(300), secs(3600)),
        Family::OpenAi | Family::Gemini => (secs(1800), secs(24 * 3600)),
    };
    let range = millis(100)..=secs(7 * 24 * 3600);
    let rules =
        [("marked", CacheRule::Marked), ("anywhere", CacheRule::Anywhere), ("never", CacheRule::Never)];
    let read = CacheLife {
        rule: cache.choice("rule", preset.cache, &rules),
        min_tokens: cache.whole("min_tokens", preset.min_tokens.unwrap_or(1_024), 0..=1_000_000),
        short: cache.duration("short", preset.short.unwrap_or(short), range.clone()),
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

fn limits_of(limits: &Section<'_>, family: Family, preset: &Preset) -> LimitParams {
    let d = LimitParams::usual(family);
    let count = preset.cached_reads_count.unwrap_or(d.cached_reads_count);
    LimitParams {
        window: limits.duration("window", d.window, millis(100)..=secs(3600)),
        cached_reads_count: limits.flag("cached_reads_count", count),
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
