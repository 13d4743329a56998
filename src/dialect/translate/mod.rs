//! Any client's request for any provider, and its answer back.
//!
//! Each dialect is read into the neutral form and written from it; this is where one is joined to the
//! other. Nothing here knows what a member is called.
//!
//! Invariant: a request is read anew for each provider it is tried at, and each gets a body of its own;
//! the same history always gives the same bytes.

mod asked;
mod count;
mod embeddings;
mod frame;
mod quirks;
mod request;
mod segment;
mod stream;
mod whole;

pub use asked::Asked;
pub use count::{TranslatedCount, counted, counts, translate_count, translate_count_answer};
pub(in crate::dialect) use embeddings::{Embeddings, Vectors};
pub use embeddings::{
    EmbeddingsAsked, TranslatedEmbeddings, translate_embeddings, translate_embeddings_answer,
};
pub use frame::Framing;
pub(in crate::dialect) use frame::{BadFrame, Frame};
pub use quirks::{AffinityHeader, MaxTokensName, Quirks, ReasoningField};
pub use request::{Target, Translated, Untranslatable, translate_request};
pub use segment::segment;
pub use stream::StreamTranslator;
pub use whole::translate_answer;
