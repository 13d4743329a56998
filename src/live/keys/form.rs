//! How keys and levels are written as JSON: in the store, and over the admin API.
//!
//! Unknown members are refused, so that a misspelt limit does not let everything through. Amounts are
//! read from the number's own text: no dollar passes through floating point.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::{
    clock::UnixTime,
    types::{
        Access, Allowance, Budget, KeyDigest, KeyId, Limits, MAX_TAGS, MOST, MOST_DOLLARS, NAME_FORM,
        NanoUsd, Period, Priority, TAG_FORM, Unit, VirtualKey, is_name, is_tag, plain_decimal,
    },
};

/// Globs, providers or regions of one key.
const MAX_ALLOWED: usize = 64;

/// What can be said of a key, by whoever makes it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeySettings {
    /// For logs and metrics; its own among keys.
    pub name: String,
    /// Its trust boundary, and the level above its team.
    pub organisation: String,
    /// The level above it.
    pub team: Option<String>,
    /// For reports and budgets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// From then on it is refused: RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// It is refused for now.
    pub disabled: bool,
    /// Globs of models; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub models: Option<Vec<String>>,
    /// Providers; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub providers: Option<Vec<String>>,
    /// Regions of endpoints; without it all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regions: Option<Vec<String>>,
    /// By the minute.
    pub limits: Limits,
    /// By the period.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetForm>,
    /// What each of its sessions may spend.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub session_budgets: Vec<BudgetForm>,
    /// Its share of a queue.
    pub weight: f64,
    /// Who goes first.
    pub priority: Priority,
    /// What its charges are multiplied by.
    pub markup: f64,
    /// `asked` or `1h`; without it the model's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_ttl: Option<CacheTtl>,
    /// Whether its resting sessions are kept warm; without it the provider's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<bool>,
}

impl Default for KeySettings {
    fn default() -> Self {
        Self {
            name: String::new(),
            organisation: "default".to_owned(),
            team: None,
            tags: Vec::new(),
            expires: None,
            disabled: false,
            models: None,
            providers: None,
            regions: None,
            limits: Limits::default(),
            budgets: Vec::new(),
            session_budgets: Vec::new(),
            weight: 1.0,
            priority: Priority::Interactive,
            markup: 1.0,
            cache_ttl: None,
            keep_alive: None,
        }
    }
}

/// How long caches are asked to keep what a key's own markers mark.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum CacheTtl {
    /// As the requests say.
    #[serde(rename = "asked")]
    Asked,
    /// For an hour.
    #[serde(rename = "1h")]
    Hour,
}

/// A budget as it is written: `{"usd": 5, "per": "day"}`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetForm {
    /// Dollars: a number, or the same as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<Box<RawValue>>,
    /// Tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Over what; of sessions in total, unless it is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per: Option<Period>,
    /// It warns and lets pass.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub soft: bool,
}

/// What can be said of an organisation or a team.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LevelSettings {
    /// By the minute.
    pub limits: Limits,
    /// By the period.
    pub budgets: Vec<BudgetForm>,
    /// What each of its sessions may spend.
    pub session_budgets: Vec<BudgetForm>,
}

impl KeySettings {
    /// The settings of a key.
    #[must_use]
    pub fn of(key: &VirtualKey) -> Self {
        let texts = |list: &[String]| list.to_vec();
        Self {
            name: key.name.to_string(),
            organisation: key.organisation.to_string(),
            team: key.team.as_ref().map(ToString::to_string),
            tags: key.tags.iter().map(ToString::to_string).collect(),
            expires: key.expires.map(UnixTime::rfc3339),
            disabled: key.disabled,
            models: key.access.models.as_deref().map(texts),
            providers: key.access.providers.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
            regions: key.access.regions.as_deref().map(texts),
            limits: key.allowance.limits,
            budgets: key.allowance.budgets.iter().map(BudgetForm::of).collect(),
            session_budgets: key.allowance.session_budgets.iter().map(BudgetForm::of).collect(),
            weight: f64::from(key.weight) / 1_000.0,
            priority: key.priority,
            markup: f64::from(key.markup) / 1_000.0,
            cache_ttl: key.long_cache.map(|long| if long { CacheTtl::Hour } else { CacheTtl::Asked }),
            keep_alive: key.keep_alive,
        }
    }

    /// The key that these settings describe.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn key(
        &self,
        id: KeyId,
        digest: KeyDigest,
        old: Option<(KeyDigest, UnixTime)>,
    ) -> Result<VirtualKey, Problem> {
        name("name", &self.name)?;
        name("organisation", &self.organisation)?;
        if let Some(team) = &self.team {
            name("team", team)?;
        }
        let expires = self.expires.as_deref().map(|text| {
            let remedy = "write it with its zone, such as `2027-01-31T00:00:00Z`";
            UnixTime::parse(text).ok_or_else(|| Problem::new("expires", "not a point in time", remedy))
        });
        Ok(VirtualKey {
            id,
            name: self.name.as_str().into(),
            digest,
            old,
            organisation: self.organisation.as_str().into(),
            team: self.team.as_deref().map(Into::into),
            tags: tags(&self.tags)?.into_iter().map(Into::into).collect(),
            expires: expires.transpose()?,
            disabled: self.disabled,
            access: Access {
                models: allowed("models", self.models.as_deref())?,
                providers: allowed("providers", self.providers.as_deref())?
                    .map(|all| all.into_iter().map(Into::into).collect()),
                regions: allowed("regions", self.regions.as_deref())?,
            },
            allowance: allowance(&self.limits, &self.budgets, &self.session_budgets)?,
            weight: thousandths("weight", self.weight, 0.01)?,
            priority: self.priority,
            markup: thousandths("markup", self.markup, 0.0)?,
            long_cache: self.cache_ttl.map(|ttl| ttl == CacheTtl::Hour),
            keep_alive: self.keep_alive,
        })
    }
}

impl LevelSettings {
    /// The settings of a level.
    #[must_use]
    pub fn of(allowance: &Allowance) -> Self {
        Self {
            limits: allowance.limits,
            budgets: allowance.budgets.iter().map(BudgetForm::of).collect(),
            session_budgets: allowance.session_budgets.iter().map(BudgetForm::of).collect(),
        }
    }

    /// What they allow.
    ///
    /// # Errors
    /// The first setting that cannot be.
    pub fn allowance(&self) -> Result<Allowance, Problem> {
        allowance(&self.limits, &self.budgets, &self.session_budgets)
    }
}

impl BudgetForm {
    fn of(budget: &Budget) -> Self {
        let dollars = || RawValue::from_string(NanoUsd(budget.amount).dollars()).ok();
        Self {
            usd: if budget.unit == Unit::Usd { dollars() } else { None },
            tokens: (budget.unit == Unit::Tokens).then_some(budget.amount),
            per: Some(budget.per),
            soft: budget.soft,
        }
    }

    fn budget(&self, at: &str, usual: Option<Period>) -> Result<Budget, Problem> {
        let (unit, amount) = match (&self.usd, self.tokens) {
            (Some(usd), None) => (Unit::Usd, dollars(usd.get())),
            (None, Some(tokens)) => (Unit::Tokens, Some(tokens).filter(|tokens| *tokens <= MOST)),
            (Some(_), Some(_)) | (None, None) => {
                let remedy = "write `{\"usd\": 5, ...}` or `{\"tokens\": 1000000, ...}`";
                return Err(Problem::new(at, "a budget is in `usd` or in `tokens`", remedy));
            }
        };
        let Some(amount) = amount.filter(|amount| *amount > 0) else {
            let remedy = format!(
                "write dollars above 0 and up to {MOST_DOLLARS} with at most nine decimals, or tokens from 1 to {MOST}"
            );
            return Err(Problem::new(at, "not an amount", remedy));
        };
        let per = self.per.or(usual).ok_or_else(|| {
            let remedy = "write `hour`, `day`, `week`, `month` or `total`";
            Problem::new(at, "`per` is missing", remedy)
        })?;
        Ok(Budget { unit, amount, per, soft: self.soft })
    }
}

/// `5`, `0.25`, `1e-3`, or one of them in quotes.
fn dollars(raw: &str) -> Option<u64> {
    let text = raw.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(raw);
    NanoUsd::parse(&plain_decimal(text, 0)?, MOST_DOLLARS).map(|nano| nano.0)
}

fn allowance(limits: &Limits, own: &[BudgetForm], session: &[BudgetForm]) -> Result<Allowance, Problem> {
    let checked = [
        ("limits.rpm", limits.rpm),
        ("limits.tpm", limits.tpm),
        ("limits.itpm", limits.itpm),
        ("limits.otpm", limits.otpm),
        ("limits.concurrent", limits.concurrent),
        ("limits.sessions", limits.sessions),
        ("limits.turns", limits.turns),
    ];
    if let Some((at, _)) = checked.iter().find(|(_, n)| n.is_some_and(|n| !(1..=MOST).contains(&n))) {
        let remedy = format!("write a whole number from 1 to {MOST}, or leave it out");
        return Err(Problem::new(*at, "out of range", remedy));
    }
    Ok(Allowance {
        limits: *limits,
        budgets: budgets("budgets", own, None)?,
        session_budgets: budgets("session_budgets", session, Some(Period::Total))?,
    })
}

fn budgets(key: &str, forms: &[BudgetForm], usual: Option<Period>) -> Result<Vec<Budget>, Problem> {
    let mut found: Vec<Budget> = Vec::new();
    for (n, form) in forms.iter().enumerate() {
        let at = format!("{key}[{n}]");
        let budget = form.budget(&at, usual)?;
        if found.iter().any(|other| (other.unit, other.per) == (budget.unit, budget.per)) {
            let what = format!("a second budget in {} per {}", budget.unit.label(), budget.per.label());
            return Err(Problem::new(at, what, "keep one of them; alerts tell at 50, 80 and 100 % of it"));
        }
        found.push(budget);
    }
    Ok(found)
}

/// A name for people, logs, labels and URLs.
///
/// # Errors
/// It is none.
pub(super) fn name(at: &str, text: &str) -> Result<(), Problem> {
    if text.is_empty() {
        return Err(Problem::new(at, "missing", format!("give it one; {NAME_FORM}")));
    }
    if is_name(text) { Ok(()) } else { Err(Problem::new(at, "not a name", NAME_FORM)) }
}

fn tags(list: &[String]) -> Result<Vec<&str>, Problem> {
    if list.len() > MAX_TAGS {
        let remedy = format!("keep at most {MAX_TAGS}");
        return Err(Problem::new("tags", "too many", remedy));
    }
    let mut found: Vec<&str> = Vec::new();
    for (n, tag) in list.iter().enumerate() {
        if !is_tag(tag) {
            return Err(Problem::new(format!("tags[{n}]"), "not a tag", TAG_FORM));
        }
        if found.contains(&tag.as_str()) {
            return Err(Problem::new(format!("tags[{n}]"), "listed twice", "remove one of them"));
        }
        found.push(tag);
    }
    Ok(found)
}

fn allowed(key: &str, list: Option<&[String]>) -> Result<Option<Vec<String>>, Problem> {
    let Some(list) = list else { return Ok(None) };
    if list.is_empty() {
        return Err(Problem::new(key, "an empty list allows nothing", "leave it out to allow all"));
    }
    let plain =
        |text: &String| (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if list.len() > MAX_ALLOWED || !list.iter().all(plain) {
        let remedy = format!("write at most {MAX_ALLOWED} texts of at most 128 characters");
        return Err(Problem::new(key, "too long, or not plain text", remedy));
    }
    Ok(Some(list.to_vec()))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checked ratio of a few units")]
fn thousandths(at: &str, ratio: f64, least: f64) -> Result<u32, Problem> {
    if !(least..=100.0).contains(&ratio) {
        return Err(Problem::new(at, "out of range", format!("write a number from {least} to 100")));
    }
    Ok((ratio * 1_000.0).round() as u32)
}
