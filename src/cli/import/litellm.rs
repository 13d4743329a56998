//! LiteLLM's `config.yaml`, as its documentation describes it.

use anyhow::Context as _;
use serde_norway::{Mapping, Value};

use super::plan::{Endpoint, Model, Plan, Provider, Share};

/// How LiteLLM's prefix `xyz/` translates: dialect, base URL where it is not the dialect's own, and
/// the variable that LiteLLM takes the key from when the file names none.
struct Vendor {
    prefix: &'static str,
    dialect: &'static str,
    base_url: Option<&'static str>,
    key_env: Option<&'static str>,
}

const fn vendor(
    prefix: &'static str,
    dialect: &'static str,
    base_url: Option<&'static str>,
    key_env: Option<&'static str>,
) -> Vendor {
    Vendor { prefix, dialect, base_url, key_env }
}

const VENDORS: &[Vendor] = &[
    vendor("anthropic", "anthropic", None, Some("ANTHROPIC_API_KEY")),
    vendor("openai", "openai", None, Some("OPENAI_API_KEY")),
    vendor("azure", "openai", None, Some("AZURE_API_KEY")),
    vendor("hosted_vllm", "openai", None, None),
    vendor("deepseek", "openai", Some("https://api.deepseek.com"), Some("DEEPSEEK_API_KEY")),
    vendor("mistral", "openai", Some("https://api.mistral.ai"), Some("MISTRAL_API_KEY")),
    vendor("xai", "openai", Some("https://api.x.ai"), Some("XAI_API_KEY")),
    vendor("groq", "openai", Some("https://api.groq.com/openai"), Some("GROQ_API_KEY")),
    vendor("openrouter", "openai", Some("https://openrouter.ai/api"), Some("OPENROUTER_API_KEY")),
    vendor("together_ai", "openai", Some("https://api.together.xyz"), Some("TOGETHERAI_API_KEY")),
    vendor("fireworks_ai", "openai", Some("https://api.fireworks.ai/inference"), Some("FIREWORKS_API_KEY")),
];

const NEEDS_URL: &[&str] = &["azure", "hosted_vllm"];

/// Parameters of a deployment that are read below.
const READ: &[&str] = &[
    "model",
    "api_key",
    "api_base",
    "base_url",
    "api_version",
    "organization",
    "rpm",
    "tpm",
    "weight",
    "custom_llm_provider",
];

/// Reads the file; what has no counterpart is listed in the plan.
pub(super) fn read(text: &str) -> anyhow::Result<Plan> {
    let mut file: Value = serde_norway::from_str(text).context("not YAML")?;
    file.apply_merge().context("its `<<` merges do not fit")?;
    let file = file.as_mapping().context("not a LiteLLM configuration: no `model_list`")?;
    let list = file.get("model_list").and_then(Value::as_sequence);
    let list = list.context("not a LiteLLM configuration: no `model_list`")?;
    let mut plan = Plan::default();
    for (n, item) in list.iter().enumerate() {
        deployment(&mut plan, &format!("model_list[{}]", n + 1), item);
    }
    settings(&mut plan, file);
    anyhow::ensure!(!plan.models.is_empty(), "no model can be carried over:\n{}", plan.left.join("\n"));
    Ok(plan)
}

fn deployment(plan: &mut Plan, at: &str, item: &Value) {
    let name = item.get("model_name").and_then(Value::as_str);
    let params = item.get("litellm_params").and_then(Value::as_mapping);
    let model = params.and_then(|params| params.get("model")).and_then(Value::as_str);
    let (Some(name), Some(params), Some(model)) = (name, params, model) else {
        plan.left.push(format!("{at}: needs `model_name` and `litellm_params.model`"));
        return;
    };
    let Some((vendor, upstream)) = vendor_of(model, params) else {
        plan.left.push(format!("{at}: `{model}`: its provider's dialect is not spoken here"));
        return;
    };
    if let Err(why) = nameable(name, model, upstream) {
        plan.left.push(format!("{at}: {why}"));
        return;
    }
    let upstream = (upstream != name && !upstream.contains('*')).then(|| upstream.to_owned());
    if plan.conflicts(name, vendor.dialect, upstream.as_deref()) {
        let why = "a model has one upstream name, and it has another one already";
        plan.left.push(format!("{at}: `{name}` as `{model}`: {why}"));
        return;
    }
    let Some(provider) = provider(plan, at, vendor, params) else { return };
    let key_env = key_env(plan, at, vendor, params);
    let label = key_env.as_deref().map(|env| env.to_ascii_lowercase().replace('_', "-"));
    let endpoint = plan.endpoint(Endpoint {
        name: plain(label.as_deref().unwrap_or(&provider)),
        provider,
        key_env,
        organization: text(params, "organization").map(|name| plain(&name)),
        share: Share {
            weight: number(params, "weight"),
            tpm: number(params, "tpm"),
            rpm: number(params, "rpm"),
        },
    });
    plan.serve(Model { name: name.to_owned(), dialect: vendor.dialect, endpoints: vec![endpoint], upstream });
    leftovers(plan, at, item, params);
}

/// Whether callers here can ask for `name`.
fn nameable(name: &str, model: &str, upstream: &str) -> Result<(), String> {
    if name.contains('*') && upstream.contains('*') && name != upstream {
        return Err(format!(
            "`{name}` to `{model}`: names cannot be rewritten by pattern; name it `{upstream}`, and let callers leave out the prefix"
        ));
    }
    let special = |c: char| c.is_whitespace() || c.is_control() || "?[]{}\\".contains(c);
    if name.contains(special) || name.is_empty() || name.len() > 128 {
        return Err(format!("`{}` cannot be a model's name here", name.escape_debug()));
    }
    Ok(())
}

/// The vendor and the name it knows the model by.
fn vendor_of<'m>(model: &'m str, params: &Mapping) -> Option<(&'static Vendor, &'m str)> {
    let by_prefix = |prefix: &str| VENDORS.iter().find(|vendor| vendor.prefix == prefix);
    if let Some(named) = params.get("custom_llm_provider").and_then(Value::as_str) {
        let vendor = by_prefix(named)?;
        return Some((
            vendor,
            model.strip_prefix(named).and_then(|rest| rest.strip_prefix('/')).unwrap_or(model),
        ));
    }
    if let Some((prefix, rest)) = model.split_once('/') {
        return Some((by_prefix(prefix)?, rest));
    }
    let known = if model.starts_with("claude") {
        "anthropic"
    } else if ["gpt-", "o1", "o3", "o4", "chatgpt-", "codex-", "text-embedding-"]
        .iter()
        .any(|start| model.starts_with(start))
    {
        "openai"
    } else {
        return None;
    };
    Some((by_prefix(known)?, model))
}

fn provider(plan: &mut Plan, at: &str, vendor: &'static Vendor, params: &Mapping) -> Option<String> {
    let written = text(params, "api_base").or_else(|| text(params, "base_url"));
    if written.as_deref().is_some_and(|url| url.starts_with("os.environ/")) {
        plan.left.push(format!("{at}: its base URL is kept in the environment; only secrets can be"));
        return None;
    }
    if written.is_none() && NEEDS_URL.contains(&vendor.prefix) {
        plan.left.push(format!("{at}: no `api_base`, so nobody knows where `{}` is", vendor.prefix));
        return None;
    }
    let is_azure = vendor.prefix == "azure";
    let base_url =
        written.map(|url| azure_base(is_azure, &url)).or_else(|| vendor.base_url.map(str::to_owned));
    if let Some(why) = base_url.as_deref().and_then(|url| crate::config::parse_base_url(url).err()) {
        plan.left.push(format!("{at}: its base URL cannot be used: {why}"));
        return None;
    }
    if is_azure {
        let what =
            format!("{at}: Azure is asked through its `/openai/v1` paths, which need no `api_version`");
        plan.changed.push(what);
    }
    Some(plan.provider(Provider {
        name: vendor.prefix.replace('_', "-"),
        dialect: vendor.dialect,
        base_url,
        auth: is_azure.then_some("api-key"),
    }))
}

fn azure_base(is_azure: bool, url: &str) -> String {
    let url = url.trim_end_matches('/');
    if !is_azure || url.ends_with("/openai") || url.ends_with("/openai/v1") {
        return url.to_owned();
    }
    format!("{url}/openai")
}

/// The variable that holds the key. A key that stands in the file is not copied.
fn key_env(plan: &mut Plan, at: &str, vendor: &Vendor, params: &Mapping) -> Option<String> {
    let Some(key) = text(params, "api_key") else { return vendor.key_env.map(str::to_owned) };
    if let Some(env) = key.strip_prefix("os.environ/") {
        return Some(env.to_owned());
    }
    if vendor.prefix == "hosted_vllm"
        && matches!(key.to_ascii_lowercase().as_str(), "none" | "empty" | "fake-key")
    {
        return None;
    }
    let env = format!("IMPORTED_KEY_{}", at.chars().filter(char::is_ascii_digit).collect::<String>());
    plan.changed.push(format!("{at}: its key stands in the file and was not copied; put it into `{env}`"));
    Some(env)
}

fn leftovers(plan: &mut Plan, at: &str, item: &Value, params: &Mapping) {
    for key in keys(params).filter(|key| !READ.contains(key)) {
        plan.left.push(format!("{at}.litellm_params.{key}: no counterpart"));
    }
    for key in item.as_mapping().into_iter().flat_map(keys) {
        match key {
            "model_name" | "litellm_params" => {}
            "model_info" => plan
                .left
                .push(format!("{at}.model_info: prices stand in a list of their own, `metering.prices`")),
            _ => plan.left.push(format!("{at}.{key}: no counterpart")),
        }
    }
}

/// Everything beside `model_list`.
fn settings(plan: &mut Plan, file: &Mapping) {
    for (section, value) in file {
        let Some(section) = section.as_str().filter(|section| *section != "model_list") else { continue };
        let Some(values) = value.as_mapping() else {
            plan.left.push(format!("{section}: no counterpart"));
            continue;
        };
        for key in keys(values) {
            if !setting(plan, section, key, values) {
                plan.left.push(format!("{section}.{key}: {}", why_not(key)));
            }
        }
    }
}

/// Carries one setting over; `false` if it cannot be.
fn setting(plan: &mut Plan, section: &str, key: &str, values: &Mapping) -> bool {
    let value = number(values, key);
    match (section, key) {
        ("general_settings", "master_key") => {
            let Some(master) = text(values, key) else { return false };
            let named = master.strip_prefix("os.environ/").map(str::to_owned);
            if named.is_none() {
                plan.changed.push("general_settings.master_key: it stands in the file and was not copied; put it into `IMPORTED_MASTER_KEY`".into());
            }
            plan.master_env = Some(named.unwrap_or_else(|| "IMPORTED_MASTER_KEY".into()));
            true
        }
        ("router_settings" | "litellm_settings", "num_retries") => {
            plan.max_attempts = value.map(|retries| retries.saturating_add(1).clamp(1, 10));
            value.is_some()
        }
        ("router_settings", "timeout") | ("litellm_settings", "request_timeout") => {
            plan.total_secs = value.map(|secs| secs.clamp(1, 86_400));
            value.is_some()
        }
        ("router_settings", "allowed_fails") | ("litellm_settings", "allowed_fails") => {
            plan.allowed_fails = value.map(|fails| fails.clamp(1, 100));
            value.is_some()
        }
        ("router_settings", "cooldown_time") | ("litellm_settings", "cooldown_time") => {
            plan.cooldown_secs = value.map(|secs| secs.clamp(1, 600));
            value.is_some()
        }
        _ => false,
    }
}

fn why_not(key: &str) -> &'static str {
    match key {
        "routing_strategy" | "routing_strategy_args" => {
            "sessions stay where their prompt is warm; there is nothing to choose"
        }
        "fallbacks" | "context_window_fallbacks" | "content_policy_fallbacks" | "default_fallbacks" => {
            "one model never stands in for another here; list several endpoints for one model instead"
        }
        "database_url" => "keys and spend in a database are not read; list callers in the file",
        "cache" | "cache_params" | "redis_host" | "redis_port" | "redis_password" | "redis_url" => {
            "no store is needed"
        }
        _ => "no counterpart",
    }
}

fn keys(mapping: &Mapping) -> impl Iterator<Item = &str> {
    mapping.keys().filter_map(Value::as_str)
}

fn text(mapping: &Mapping, key: &str) -> Option<String> {
    mapping.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A whole number; fractions (`timeout: 0.5`) are rounded up, since zero means something else.
fn number(mapping: &Mapping, key: &str) -> Option<u64> {
    let value = mapping.get(key)?;
    if let Some(whole) = value.as_u64() {
        return Some(whole);
    }
    let fraction = value.as_f64().filter(|fraction| (0.0..1e15).contains(fraction))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within range by the line above"
    )]
    Some(fraction.ceil() as u64)
}

/// A name that ours can be: other characters become `-`.
fn plain(name: &str) -> String {
    let kept = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = name.chars().map(kept).take(60).collect();
    if name.is_empty() { "imported".to_owned() } else { name }
}
