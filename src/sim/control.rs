//! `/_sim/*`: scripting and looking in from another process, for demonstrations. Not for the provider's
//! callers: a gateway forwards none of it.

use http::{Method, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    core::Core,
    fault::{Fault, Rule},
    handler::{Answer, json},
    log::{AccountStats, UsageView, hit_share},
    seen::SeenRequest,
};

/// A rule is a few hundred bytes.
const MAX_RULE: usize = 64 * 1024;

/// `{"fault": "rate_limited", "hint": {"retry_after": 5}, "key": "sim-key-1", "times": null}`
#[derive(Deserialize)]
struct Order {
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    organization: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    path: Option<String>,
    #[serde(default)]
    everywhere: bool,
    #[serde(default = "once")]
    times: Option<u64>,
    #[serde(default)]
    from_nth: Option<u64>,
}

/// The keys of an [`Order`]; what is left describes the fault.
const ORDER_KEYS: &[&str] = &["key", "organization", "model", "path", "everywhere", "times", "from_nth"];

/// The keys that some fault has.
const FAULT_KEYS: &[&str] =
    &["fault", "hint", "status", "delay_ms", "events", "after_bytes", "bytes_per_second"];

#[expect(clippy::unnecessary_wraps, reason = "the default of a field where null means `always`")]
fn once() -> Option<u64> {
    Some(1)
}

pub(super) async fn answer(core: &Core, method: &Method, path: &str, body: Incoming) -> Answer {
    let (get, post) = (*method == Method::GET, *method == Method::POST);
    match path {
        "/health" => json(StatusCode::OK, &json!({"status": "ok"})),
        "/_sim/log" if get => {
            let all: Vec<Value> = core.log.seen().iter().map(seen_view).collect();
            json(StatusCode::OK, &Value::Array(all))
        }
        "/_sim/stats" if get => json(StatusCode::OK, &stats_view(core)),
        "/_sim/reset" if post => {
            core.reset();
            json(StatusCode::OK, &json!({"reset": true}))
        }
        "/_sim/faults" if *method == Method::DELETE => {
            core.script.lock().clear();
            json(StatusCode::OK, &json!({"faults": 0}))
        }
        "/_sim/faults" if post => match Limited::new(body, MAX_RULE).collect().await {
            Ok(body) => match rule(&body.to_bytes()) {
                Ok(rule) => {
                    core.script.lock().add(rule);
                    json(StatusCode::OK, &json!({"added": true}))
                }
                Err(why) => json(StatusCode::BAD_REQUEST, &json!({"error": why})),
            },
            Err(_) => json(StatusCode::BAD_REQUEST, &json!({"error": "the body could not be read"})),
        },
        _ => json(StatusCode::NOT_FOUND, &json!({"error": "no such route"})),
    }
}

fn rule(body: &[u8]) -> Result<Rule, String> {
    let mut value: Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let order: Order = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
    if let Some(map) = value.as_object_mut() {
        map.retain(|key, _| !ORDER_KEYS.contains(&key.as_str()));
        // Faults without fields would swallow what they do not know.
        if let Some(key) = map.keys().find(|key| !FAULT_KEYS.contains(&key.as_str())) {
            return Err(format!("unknown key `{key}`"));
        }
    }
    let fault: Fault = serde_json::from_value(value).map_err(|e| e.to_string())?;
    let mut rule = Rule::from(fault);
    rule.left = order.times;
    if order.everywhere {
        rule = rule.everywhere();
    }
    if let Some(path) = &order.path {
        rule = rule.on_path(path);
    }
    if let Some(n) = order.from_nth {
        rule = rule.from_nth(n);
    }
    rule.key = order.key;
    rule.organization = order.organization;
    rule.model = order.model;
    Ok(rule)
}

fn seen_view(seen: &SeenRequest) -> Value {
    json!({
        "number": seen.number, "key": seen.key, "organization": seen.organization, "workspace": seen.workspace,
        "method": seen.method.as_str(), "path": seen.path, "session": session_of(seen),
        "body_sha256": seen.body_sha256, "bytes": seen.body_len, "model": seen.model, "stream": seen.stream,
        "status": seen.status, "usage": UsageView::from(seen.usage), "nano_usd": seen.cost.0,
        "events_sent": seen.events_sent, "cancelled": seen.cancelled, "done": seen.done, "fault": seen.fault,
    })
}

/// The session header of the client that sent it, whichever it is.
fn session_of(seen: &SeenRequest) -> &str {
    ["x-claude-code-session-id", "session-id", "x-session-affinity", "x-session-id", "x-conversation-id"]
        .iter()
        .map(|name| seen.header(name))
        .find(|value| !value.is_empty())
        .unwrap_or("")
}

fn stats_view(core: &Core) -> Value {
    let stats = core.log.stats();
    let mut organizations: Vec<AccountStats> = Vec::new();
    for account in &stats.accounts {
        match organizations.iter_mut().find(|o| o.organization == account.organization) {
            Some(sum) => {
                sum.requests += account.requests;
                sum.refused += account.refused;
                sum.usage += account.usage;
                sum.cost += account.cost;
            }
            None => organizations.push(AccountStats {
                key: String::new(),
                workspace: String::new(),
                ..account.clone()
            }),
        }
    }
    json!({
        "accounts": stats.accounts.iter().map(books).collect::<Vec<_>>(),
        "organizations": organizations.iter().map(books).collect::<Vec<_>>(),
        "total": books(&stats.total()),
    })
}

fn books(account: &AccountStats) -> Value {
    json!({
        "key": account.key, "organization": account.organization, "workspace": account.workspace,
        "requests": account.requests, "refused": account.refused, "usage": UsageView::from(account.usage),
        "nano_usd": account.cost.0, "hit_share": hit_share(&account.usage),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::RetryHint;

    #[test]
    fn a_rule_is_written_as_flat_json() {
        let read = rule(br#"{"fault":"rate_limited","hint":{"retry_after":5},"key":"k","times":3}"#);
        let expected = Fault::RateLimited { hint: RetryHint::RetryAfter(5) }.times(3).on_key("k");
        assert_eq!(read, Ok(expected));
        let read = rule(br#"{"fault":"slow_header","delay_ms":250,"times":null,"everywhere":true}"#);
        let expected = Fault::SlowHeader { delay_ms: Duration::from_millis(250) }.always().everywhere();
        assert_eq!(read, Ok(expected));
        assert_eq!(rule(br#"{"fault":"server_error"}"#), Ok(Fault::ServerError.into()));
    }

    #[test]
    fn a_misspelt_rule_is_refused_with_a_reason() {
        assert!(rule(br#"{"fault":"sever_error"}"#).unwrap_err().contains("sever_error"));
        assert!(rule(br#"{"fault":"server_error","tmes":1}"#).is_err());
    }
}
