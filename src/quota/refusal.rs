//! Why a request may not go, or may not go on.

use std::{fmt, time::Duration};

use jiff::Timestamp;

use super::{Figure, Figures};
use crate::{
    clock::UnixTime,
    types::{Period, Scope, Unit},
};

/// Clients are told to come back after this at most.
const LONGEST: Duration = Duration::from_secs(60);

/// What a limit or a budget is of: a closed set, for labels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum What {
    /// Requests a minute.
    Rpm,
    /// Tokens a minute.
    Tpm,
    /// Input tokens a minute.
    Itpm,
    /// Output tokens a minute.
    Otpm,
    /// Requests at once.
    Concurrent,
    /// Sessions at once.
    Sessions,
    /// Turns of one session.
    Turns,
    /// A budget in dollars.
    Usd(Period),
    /// A budget in tokens.
    Tokens(Period),
}

impl What {
    /// The budget of this unit over this period.
    #[must_use]
    pub const fn budget(unit: Unit, per: Period) -> Self {
        match unit {
            Unit::Usd => Self::Usd(per),
            Unit::Tokens => Self::Tokens(per),
        }
    }

    /// The label in metrics, logs and error codes.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Rpm => "rpm",
            Self::Tpm => "tpm",
            Self::Itpm => "itpm",
            Self::Otpm => "otpm",
            Self::Concurrent => "concurrent",
            Self::Sessions => "sessions",
            Self::Turns => "turns",
            Self::Usd(Period::Hour) => "usd_hour",
            Self::Usd(Period::Day) => "usd_day",
            Self::Usd(Period::Week) => "usd_week",
            Self::Usd(Period::Month) => "usd_month",
            Self::Usd(Period::Total) => "usd_total",
            Self::Tokens(Period::Hour) => "tokens_hour",
            Self::Tokens(Period::Day) => "tokens_day",
            Self::Tokens(Period::Week) => "tokens_week",
            Self::Tokens(Period::Month) => "tokens_month",
            Self::Tokens(Period::Total) => "tokens_total",
        }
    }

    /// Whether it is a budget: waiting a minute does not help.
    #[must_use]
    pub const fn is_budget(self) -> bool {
        matches!(self, Self::Usd(_) | Self::Tokens(_))
    }

    /// An amount of it, for people.
    #[must_use]
    pub fn amount(self, amount: u64) -> String {
        match self {
            Self::Usd(_) => dollars(amount),
            Self::Tpm | Self::Tokens(_) => counted(amount, "token"),
            Self::Itpm => counted(amount, "input token"),
            Self::Otpm => counted(amount, "output token"),
            Self::Rpm | Self::Concurrent => counted(amount, "request"),
            Self::Sessions => counted(amount, "session"),
            Self::Turns => counted(amount, "turn"),
        }
    }
}

fn counted(amount: u64, thing: &str) -> String {
    format!("{amount} {thing}{}", if amount == 1 { "" } else { "s" })
}

/// Up, so that what is denied for a fraction of a cent does not read as if it fitted.
fn dollars(nano: u64) -> String {
    let tenths_of_cents = nano.div_ceil(1_000_000);
    let (whole, rest) = (tenths_of_cents / 1_000, tenths_of_cents % 1_000);
    if rest % 10 == 0 { format!("${whole}.{:02}", rest / 10) } else { format!("${whole}.{rest:03}") }
}

/// What is in the way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Why {
    /// What is in use leaves too little.
    Used,
    /// The shared counters are out of reach, and this gateway's part of the limit is in use.
    Apart,
    /// This one request is larger than the whole limit: it never fits.
    TooLarge,
    /// The budget is in dollars and nobody knows what the model costs.
    NoPrice,
    /// The table of counters is full: whoever is not counted yet cannot be counted.
    Full,
}

/// No: which limit, whose, and how far off. Nothing was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Whose limit or budget.
    pub scope: Scope,
    /// Of what.
    pub what: What,
    /// What is in the way.
    pub why: Why,
    /// The limit: requests, tokens, nano-dollars.
    pub limit: u64,
    /// What of it is in use.
    pub used: u64,
    /// What this request takes.
    pub asked: u64,
    /// When it will fit, 60 s at most; `None` where waiting does not help.
    pub retry_after: Option<Duration>,
    /// When a budget begins anew; `None` where it does not, or is none.
    pub resets_at: Option<UnixTime>,
}

impl Refusal {
    /// Whether it is a budget's: no `retry-after`, and the client is told not to come back.
    #[must_use]
    pub const fn is_budget(&self) -> bool {
        self.what.is_budget()
    }

    /// Whether a budget is used up, rather than one request too large for it.
    pub(super) const fn is_spent(&self) -> bool {
        self.is_budget() && matches!(self.why, Why::Used)
    }

    /// Whether it is a provider's or an endpoint's: the request may still go elsewhere.
    #[must_use]
    pub const fn is_upstream(&self) -> bool {
        matches!(self.scope, Scope::Provider(_) | Scope::Endpoint(_))
    }

    /// What is said when an engine refuses what it was not asked for.
    pub(super) fn unknown() -> Self {
        Self {
            scope: Scope::Organisation("?".into()),
            what: What::Concurrent,
            why: Why::Full,
            limit: 0,
            used: 0,
            asked: 0,
            retry_after: None,
            resets_at: None,
        }
    }

    /// Whether the client may try again soon.
    #[must_use]
    pub const fn may_retry(&self) -> bool {
        self.retry_after.is_some()
    }

    /// `retry-after` in whole seconds, 1 to 60.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        let span = self.retry_after?.min(LONGEST);
        Some(span.as_secs() + u64::from(span.subsec_nanos() > 0)).map(|seconds| seconds.max(1))
    }

    /// The rate-limit headers' figures of a denial: those of the limit that was in the way.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let reset = self.retry_after.unwrap_or(LONGEST);
        let figure = Figure { limit: self.limit, remaining: self.limit.saturating_sub(self.used), reset };
        let mut figures = Figures::default();
        match self.what {
            What::Rpm => figures.requests = Some(figure),
            What::Tpm => figures.tokens = Some(figure),
            What::Itpm => figures.input_tokens = Some(figure),
            What::Otpm => figures.output_tokens = Some(figure),
            What::Concurrent | What::Sessions | What::Turns | What::Usd(_) | What::Tokens(_) => {}
        }
        figures
    }

    /// For the client: which limit, whose, how far off, what to do.
    #[must_use]
    pub fn message(&self) -> String {
        let what = Titled(self.what, self.limit);
        let whose = Whose(&self.scope);
        let asked = self.what.amount(self.asked);
        match self.why {
            Why::NoPrice => format!(
                "Since {whose} has {what} and no price is known for this model, it is not let through. \
                 Ask for a price to be configured, or use another model."
            ),
            Why::TooLarge => format!(
                "This request may take {asked}, more than {what} of {whose} can ever hold. Make it smaller, \
                 or have the limit raised."
            ),
            Why::Full => format!(
                "The gateway counts for as many keys and sessions as it can, and cannot check {what} of \
                 {whose}."
            ),
            Why::Used | Why::Apart => {
                let used = self.what.amount(self.used);
                let mut text = if self.used >= self.limit {
                    format!("All of {what} of {whose} is in use.")
                } else {
                    format!("This request may take {asked}, and {what} of {whose} has {used} in use.")
                };
                if self.why == Why::Apart {
                    text.push_str(
                        " The gateways cannot reach their shared counters, and each gives out its part only.",
                    );
                }
                if let Some(seconds) = self.retry_after_s() {
                    text.push_str(&format!(" Try again in {seconds} s."));
                } else if let Some(at) = self.resets_at.and_then(readable) {
                    text.push_str(&format!(" It begins anew at {at}."));
                }
                text
            }
        }
    }
}

fn readable(at: UnixTime) -> Option<Timestamp> {
    Timestamp::from_second(i64::try_from(at.0.as_secs()).ok()?).ok()
}

/// A limit with its article.
struct Titled(What, u64);

impl fmt::Display for Titled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(what, limit) = *self;
        let amount = what.amount(limit);
        match what {
            What::Rpm | What::Tpm | What::Itpm | What::Otpm => write!(f, "the limit of {amount} a minute"),
            What::Concurrent | What::Sessions => write!(f, "the limit of {amount} at once"),
            What::Turns => write!(f, "the limit of {amount}"),
            What::Usd(Period::Total) | What::Tokens(Period::Total) => {
                write!(f, "the budget of {amount} in all")
            }
            What::Usd(per) | What::Tokens(per) => {
                let article = if per == Period::Hour { "an" } else { "a" };
                write!(f, "the budget of {amount} {article} {}", per.label())
            }
        }
    }
}

/// A scope in words.
struct Whose<'a>(&'a Scope);

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Scope::Organisation(name) => write!(f, "organisation `{name}`"),
            Scope::Team(organisation, name) => write!(f, "team `{organisation}/{name}`"),
            // Whoever reads this holds it, and knows it by another name than we do.
            Scope::Key(_) => f.write_str("your key"),
            Scope::Session(session) => write!(f, "session `{session}`"),
            Scope::Tag(tag) => write!(f, "tag `{tag}`"),
            Scope::Model(name) => write!(f, "model `{name}`"),
            Scope::Provider(name) => write!(f, "provider `{name}`"),
            Scope::Endpoint(name) => write!(f, "endpoint `{name}`"),
        }
    }
}
