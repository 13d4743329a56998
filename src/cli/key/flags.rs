//! A key's settings as options, and what they are in JSON.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::{
    clock::{self, UnixTime},
    config::parse_duration,
};

const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 3_600);

/// What can be said of a key.
#[derive(clap::Args, Clone, Default, Debug)]
pub(in crate::cli) struct Settings {
    /// Its organisation
    #[arg(long, value_name = "NAME")]
    organisation: Option<String>,
    /// Its team
    #[arg(long, value_name = "NAME")]
    team: Option<String>,
    /// A tag, such as `env=ci`; may be repeated, and replaces all
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// From then on it is refused: `2027-01-31T00:00:00Z`, or a time from now, such as `30d`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires: Option<UnixTime>,
    /// A model or glob that it may use; may be repeated
    #[arg(long = "model", value_name = "GLOB")]
    models: Vec<String>,
    /// A provider that it may use; may be repeated
    #[arg(long = "provider", value_name = "NAME")]
    providers: Vec<String>,
    /// A region that it may use; may be repeated
    #[arg(long = "region", value_name = "NAME")]
    regions: Vec<String>,
    /// A limit, such as `rpm=60` or `concurrent=20`; `rpm=none` lifts it; may be repeated
    #[arg(long = "limit", value_name = "NAME=N", value_parser = limit)]
    limits: Vec<(String, Value)>,
    /// A budget: `5/day` is dollars, `tokens=1000000/month` tokens; `,soft` warns only; may be repeated
    #[arg(long = "budget", value_name = "AMOUNT/PERIOD", value_parser = budget)]
    budgets: Vec<Value>,
    /// What each of its sessions may spend: `2`, or `2/day`; may be repeated
    #[arg(long = "session-budget", value_name = "AMOUNT", value_parser = session_budget)]
    session_budgets: Vec<Value>,
    /// Its share of a queue; 0.01 to 100
    #[arg(long, value_name = "N")]
    weight: Option<f64>,
    /// `interactive` or `batch`
    #[arg(long, value_name = "CLASS", value_parser = ["interactive", "batch"])]
    priority: Option<String>,
    /// What its charges are multiplied by; 0 to 100
    #[arg(long, value_name = "N")]
    markup: Option<f64>,
    /// How long its cache markers ask for: `asked` or `1h`
    #[arg(long, value_name = "LIFE", value_parser = ["asked", "1h"])]
    cache_ttl: Option<String>,
    /// Whether its resting sessions are kept warm
    #[arg(long, value_name = "true|false")]
    keep_alive: Option<bool>,
}

impl Settings {
    /// What was named, as the API reads it.
    pub(super) fn body(&self) -> anyhow::Result<Value> {
        let mut body = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        let list = |all: &[String]| (!all.is_empty()).then(|| json!(all));
        let values = |all: &[Value]| (!all.is_empty()).then(|| json!(all));
        put("organisation", self.organisation.as_ref().map(|name| json!(name)));
        put("team", self.team.as_ref().map(|name| json!(name)));
        put("tags", list(&self.tags));
        put("expires", self.expires.map(|at| json!(at.rfc3339())));
        put("models", list(&self.models));
        put("providers", list(&self.providers));
        put("regions", list(&self.regions));
        let limits: Map<String, Value> = self.limits.iter().cloned().collect();
        put("limits", (!limits.is_empty()).then_some(Value::Object(limits)));
        put("budgets", values(&self.budgets));
        put("session_budgets", values(&self.session_budgets));
        for (name, number) in [("weight", self.weight), ("markup", self.markup)] {
            if number.is_some_and(|number| !number.is_finite()) {
                anyhow::bail!("`--{name}` takes a number from 0 to 100");
            }
            put(name, number.map(|number| json!(number)));
        }
        put("priority", self.priority.as_ref().map(|class| json!(class)));
        put("cache_ttl", self.cache_ttl.as_ref().map(|life| json!(life)));
        put("keep_alive", self.keep_alive.map(|on| json!(on)));
        Ok(Value::Object(body))
    }
}

/// RFC 3339, or a time from now.
fn moment(text: &str) -> Result<UnixTime, String> {
    let from_now = || parse_duration(text).map(|span| UnixTime(clock::unix_now().0.saturating_add(span)));
    UnixTime::parse(text).or_else(from_now).ok_or_else(|| {
        "write a point in time such as `2027-01-31T00:00:00Z`, or a time from now such as `30d`".into()
    })
}

pub(super) fn grace(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|span| *span <= LONGEST_GRACE)
        .ok_or_else(|| "write a time from 0s to 30d, such as `24h`".to_owned())
}

fn limit(text: &str) -> Result<(String, Value), String> {
    const FORM: &str = "write it as in `rpm=60`, `tpm=1000000`, `count_cached=true` or `rpm=none`";
    let (name, value) = text.split_once('=').ok_or(FORM)?;
    let value = match value {
        "none" => Value::Null,
        "true" => json!(true),
        "false" => json!(false),
        number => json!(number.replace('_', "").parse::<u64>().map_err(|_| FORM)?),
    };
    Ok((name.to_owned(), value))
}

fn budget(text: &str) -> Result<Value, String> {
    if !text.contains('/') {
        return Err("write what it is for, as in `5/day` or `tokens=1000000/month`".to_owned());
    }
    session_budget(text)
}

fn session_budget(text: &str) -> Result<Value, String> {
    const PERIODS: [&str; 5] = ["hour", "day", "week", "month", "total"];
    let (text, soft) = text.strip_suffix(",soft").map_or((text, false), |text| (text, true));
    let (amount, per) = text.split_once('/').unwrap_or((text, "total"));
    if !PERIODS.contains(&per) {
        return Err("a period is `hour`, `day`, `week`, `month` or `total`".to_owned());
    }
    let mut budget = match amount.strip_prefix("tokens=") {
        Some(tokens) => {
            let tokens = tokens.replace('_', "").parse::<u64>();
            json!({"tokens": tokens.map_err(|_| "write tokens as in `tokens=1000000/month`")?, "per": per})
        }
        // As text: the store reads dollars exactly.
        None => json!({"usd": amount.strip_prefix('$').unwrap_or(amount), "per": per}),
    };
    if soft {
        budget["soft"] = json!(true);
    }
    Ok(budget)
}
