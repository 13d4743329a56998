//! How vendors talk: request bodies scanned in place, answers read as they pass.
//!
//! Sync and sans-io: bytes in, spans and signals out, testable at any split. Nothing here parses a
//! whole document, re-serialises anything, or knows a provider, a session or a price.

mod answer;
mod anthropic;
mod bedrock;
mod care;
mod envelope;
mod fault;
mod gemini;
mod json;
mod neutral;
mod openai_chat;
mod openai_responses;
mod scan;
mod signal;
mod splice;
mod sse;
mod stream;
mod translate;
mod view;

pub use care::{MarkerCare, MarkerPlan};
pub use envelope::{ModelListing, error_body, heartbeat, model, models, stream_error};
pub use fault::read_fault;
pub use neutral::{Lost, Maker, OnLoss, Refused, carries};
pub use scan::{ScanError, ScanLimits, scan};
pub use signal::{DeltaKind, Signal, StopKind, UpstreamFault};
pub use splice::{Splice, apply};
pub use stream::{Passed, StreamEnd, StreamReader, read_whole};
pub use translate::{
    AffinityHeader, Asked, EmbeddingsAsked, Framing, MaxTokensName, Quirks, ReasoningField, StreamTranslator,
    Target, Translated, TranslatedCount, TranslatedEmbeddings, Untranslatable, counted, counts, segment,
    translate_answer, translate_count, translate_count_answer, translate_embeddings,
    translate_embeddings_answer, translate_request,
};
pub use view::{
    Block, BodyIds, HardPin, Mark, MarkLife, PinKind, Place, Prewarm, RequestView, Settings, Span, TtlAsked,
    Value,
};
