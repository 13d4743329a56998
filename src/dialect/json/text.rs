//! The few JSON strings that we decode, and those that we write.

use serde_json::Value;

/// Ids longer than this are nobody's: they are left alone rather than copied.
const LONGEST_ID: usize = 512;

/// What a JSON string says, quotes included in `quoted`. `None` for what no text can say (a lone
/// surrogate, a broken escape).
pub(crate) fn decode(quoted: &[u8]) -> Option<String> {
    serde_json::from_slice(quoted).ok()
}

/// The same for ids, which are short.
pub(crate) fn decode_id(quoted: &[u8]) -> Option<String> {
    if quoted.len() > LONGEST_ID {
        return None;
    }
    decode(quoted).filter(|id| !id.is_empty())
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
