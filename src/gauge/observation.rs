//! One request as it was seen: the only thing that driving and reading logs have in common.

use std::{sync::Arc, time::Duration};

use crate::types::{CacheBreak, Dialect, ModelName, Usage};

/// Why there was no answer, or none that could be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The host is unknown, refused, or did not let us connect in time; what the system said.
    Connect(String),
    /// A certificate or handshake that cannot be trusted; what TLS said.
    Tls(String),
    /// Nothing came within so long.
    Silent(Duration),
    /// It was answered, but not in HTTP, or the answer broke off; what the parser said.
    Broken(String),
    /// It was answered with something else than a model's answer, such as a page: its content type.
    NotModel(String),
    /// An error of the provider's dialect: its status, its type where it names one, its message, cut short.
    Refused {
        /// The status.
        status: u16,
        /// `rate_limit_error` and the like.
        kind: Option<String>,
        /// For people; at most 200 characters without control characters.
        message: String,
    },
}

/// One request, and what came back.
#[derive(Clone, PartialEq, Debug)]
pub struct Observation {
    /// Which conversation; of sub-agents their own. A name that is only compared.
    pub conversation: Arc<str>,
    /// It belongs to a sub-agent.
    pub sub_agent: bool,
    /// Which request of the conversation, from 0.
    pub turn: u32,
    /// When it was sent, since some common start.
    pub at: Duration,
    /// From the end of the conversation's last answer to this request; `None` for its first.
    pub gap: Option<Duration>,
    /// In which dialect.
    pub dialect: Dialect,
    /// The model that was asked for.
    pub model: Option<ModelName>,
    /// The status; 0 when there was no answer at all.
    pub status: u16,
    /// Why it came to nothing.
    pub trouble: Option<Trouble>,
    /// What the provider says it used; `None` where it did not say.
    pub usage: Option<Usage>,
    /// Tokens of the prompt that had been sent before, estimated: by its conversation, or, of its first request,
    /// by an agent that begins as it does and was answered. What a warm cache would have read; `None` where
    /// that cannot be known.
    pub repeated: Option<u64>,
    /// The request marked what is to be cached; `None` in dialects without marks, or where bodies are not known.
    pub marked: Option<bool>,
    /// The account that answered, as far as headers tell (`anthropic-organization-id`, `x-warmkey-endpoint`, ...).
    pub account: Option<Arc<str>>,
    /// From sending to the first token of content.
    pub first_token: Option<Duration>,
    /// Between pieces of content.
    pub between: Vec<Duration>,
    /// From sending to the end.
    pub total: Option<Duration>,
    /// Where its prompt left the conversation's last one, where bodies are known and it did.
    pub broke: Option<CacheBreak>,
}
