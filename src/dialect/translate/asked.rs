//! What the writer of an answer has to know of the request.

use crate::types::Dialect;

/// A request as far as its answer depends on it. Outlives the request's body.
#[derive(Clone, Debug)]
pub struct Asked {
    /// In whose words the answer is written.
    pub origin: Dialect,
    /// The client asked for a stream.
    pub stream: bool,
    /// The client wants usage in its stream (Chat).
    pub include_usage: bool,
    /// The model in the caller's words: said where the provider does not name one.
    pub model: String,
    /// Ours, for ids where the provider has none: letters and digits only.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// Members of the request that the answer repeats (Responses), as JSON text.
    pub echo: Vec<(&'static str, String)>,
}
