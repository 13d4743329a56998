//! The index as the state file keeps it: plain values.

use serde::{Deserialize, Serialize};

/// Everything that was warm when a process stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedWarm {
    /// Seconds since 1970.
    pub saved_at_unix: u64,
    /// One each, in no order.
    pub prefixes: Vec<SavedPrefix>,
}

/// One prefix in one cache domain: `[key, domain, milliseconds left, milliseconds of life, tokens]`,
/// the first two in hexadecimal. A tuple, because there may be a hundred thousand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPrefix(pub String, pub String, pub u64, pub u32, pub u32);
