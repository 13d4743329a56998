//! What is noted of a sampled request along its way: times, and where it was tried.

use super::SpanId;
use crate::{
    clock::Moment,
    types::{EndpointName, ProviderName},
};

/// What a caller wrote is not repeated beyond this many characters.
pub(super) const SHOWN: usize = 200;

/// Methods that HTTP knows; the conventions have one word for all others.
const KNOWN: &[&str] =
    &["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];

/// What was noted of a sampled request along its way.
#[derive(Clone, Debug)]
pub struct Stages {
    /// When its head had arrived.
    pub since: Moment,
    /// `POST`, mostly.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// It was known who asks, and what for.
    pub identified: Option<Moment>,
    /// It was let in, and what it may cost was reserved.
    pub admitted: Option<Moment>,
    /// Every choice.
    pub chosen: Vec<Chosen>,
    /// Waits on purpose: for an account, and for one that is overloaded.
    pub waits: Vec<(Moment, Moment)>,
    /// Every try, in the order of the receipt's.
    pub tried: Vec<Tried>,
    /// The answer that was passed on began.
    pub answered: Option<Moment>,
}

/// A choice.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// It was asked for.
    pub began: Moment,
    /// It was made.
    pub ended: Moment,
    /// What was chosen; `None` where nothing was open.
    pub endpoint: Option<EndpointName>,
    /// How it was called: `hit`, `moved`, `new`, and why.
    pub affinity: Option<(&'static str, &'static str)>,
}

/// A try.
#[derive(Clone, Debug)]
pub struct Tried {
    /// Its span, which the provider was told of where that is wanted.
    pub span: SpanId,
    /// It began.
    pub began: Moment,
    /// Where.
    pub endpoint: EndpointName,
    /// Whose that is.
    pub provider: ProviderName,
    /// The provider as the GenAI conventions call it.
    pub system: &'static str,
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The model as it was asked for there.
    pub model: Option<String>,
}

impl Stages {
    /// Nothing but its head is known.
    #[must_use]
    pub fn new(since: Moment, method: &str, path: &str) -> Self {
        Self {
            since,
            method: if KNOWN.contains(&method) { method } else { "_OTHER" }.to_owned(),
            path: path.chars().take(SHOWN).collect(),
            identified: None,
            admitted: None,
            chosen: Vec::new(),
            waits: Vec::new(),
            tried: Vec::new(),
            answered: None,
        }
    }
}
