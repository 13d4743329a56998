//! The nouns that every part shares: plain values, no behaviour beyond their own arithmetic.
//!
//! Nothing here reads a clock, opens a socket, or knows a part above it.

mod bounds;
mod cache_break;
mod columns;
mod counts;
mod dialect;
mod identity;
mod ids;
mod label;
mod limits;
mod money;
mod receipt;
mod secret;
mod tokens;
mod virtual_key;

pub use bounds::{MAX_TAGS, MOST, MOST_DOLLARS, NAME_FORM, TAG_FORM, is_name, is_tag};
pub use cache_break::{BreakPlace, CacheBreak, ToolsDelta};
pub use columns::{aligned, with_figures};
pub use counts::Counts;
pub use dialect::{Dialect, Family, Operation, ProviderDialect};
pub use identity::{IdSource, PrefixChain, PrefixPoint, Section, SessionKey};
pub use ids::{
    CallerName, DomainName, EndpointName, KeyId, ModelName, ProviderName, RequestId, Tag, TeamName, TenantId,
};
pub use label::{AffinityReason, AffinityResult, AttemptOutcome, Blame, BreakCause, Outcome, Reason};
pub use limits::{Allowance, Budget, Limits, Period, Priority, SESSION_ACTIVE, Span, Unit};
pub use money::{NanoUsd, Rates, plain_decimal};
pub use receipt::{AttemptRecord, CareDone, Flags, Receipt, Timings};
pub use secret::{KeyDigest, Secret};
pub use tokens::{ReportedUsage, Usage};
pub use virtual_key::{Access, Levels, Scope, VirtualKey};
