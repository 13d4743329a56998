//! A plan as TOML that passes `warmkey check`.

use std::fmt::Write as _;

use super::plan::Plan;

pub(super) fn toml(plan: &Plan, source: &str) -> String {
    let mut text = String::new();
    head(&mut text, plan, source);
    if let Some(attempts) = plan.max_attempts {
        let _ = writeln!(text, "\n[server]\nmax_attempts = {attempts}");
    }
    if let Some(env) = &plan.master_env {
        let _ = writeln!(text, "\n[[caller]]\nname = \"master\"\ntoken = {{ env = {} }}", quoted(env));
    }
    providers(&mut text, plan);
    for (endpoint, weight) in plan.endpoints.iter().zip(plan.weights()) {
        let _ = writeln!(
            text,
            "\n[[endpoint]]\nname = {}\nprovider = {}",
            quoted(&endpoint.name),
            quoted(&endpoint.provider)
        );
        if let Some(env) = &endpoint.key_env {
            let _ = writeln!(text, "key = {{ env = {} }}", quoted(env));
        }
        if let Some(organization) = &endpoint.organization {
            let _ = writeln!(text, "organization = {}", quoted(organization));
        }
        if let Some(weight) = weight {
            let _ = writeln!(text, "weight = {weight}");
        }
    }
    for model in &plan.models {
        let names: Vec<String> = model.endpoints.iter().map(|name| quoted(name)).collect();
        let _ =
            writeln!(text, "\n[[model]]\nname = {}\nendpoints = [{}]", quoted(&model.name), names.join(", "));
        if let Some(upstream) = &model.upstream {
            let _ = writeln!(text, "upstream = {}", quoted(upstream));
        }
    }
    text
}

fn head(text: &mut String, plan: &Plan, source: &str) {
    let _ =
        writeln!(text, "# Imported from {}. Check it with `warmkey check --live FILE`.", one_line(source));
    if plan.endpoints.iter().any(|endpoint| endpoint.share.tpm.is_some() || endpoint.share.rpm.is_some()) {
        let _ = writeln!(
            text,
            "# rpm and tpm became weights; the limits themselves are learned from the providers' answers."
        );
    }
    for (title, items) in [("Carried over in another form", &plan.changed), ("Not carried over", &plan.left)]
    {
        if !items.is_empty() {
            let _ = writeln!(text, "#\n# {title}:");
        }
        for item in items {
            let _ = writeln!(text, "#   {}", one_line(item));
        }
    }
}

fn providers(text: &mut String, plan: &Plan) {
    for provider in &plan.providers {
        let _ = writeln!(
            text,
            "\n[[provider]]\nname = {}\ndialect = {}",
            quoted(&provider.name),
            quoted(provider.dialect)
        );
        if let Some(url) = &provider.base_url {
            let _ = writeln!(text, "base_url = {}", quoted(url));
        }
        if let Some(auth) = provider.auth {
            let _ = writeln!(text, "auth = {}", quoted(auth));
        }
        if let Some(total) = plan.total_secs {
            // The wait for the first byte lies within the whole.
            let first = total.min(120);
            let _ = writeln!(text, "[provider.timeouts]\nfirst_byte = \"{first}s\"\ntotal = \"{total}s\"");
        }
        if plan.allowed_fails.is_some() || plan.cooldown_secs.is_some() {
            let _ = writeln!(text, "[provider.cooling]");
        }
        if let Some(fails) = plan.allowed_fails {
            let _ = writeln!(text, "allowed_fails = {fails}");
        }
        if let Some(secs) = plan.cooldown_secs {
            let _ = writeln!(text, "base = \"{secs}s\"\nmax = \"{}s\"", secs.max(120));
        }
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A comment cannot be left by what stands in it.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
