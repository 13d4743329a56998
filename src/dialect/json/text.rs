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

/// A count, however the number is written (`100`, `1e2`, `1.0E+2`); `None` for what is no count.
pub(crate) fn count(text: &[u8]) -> Option<u64> {
    /// Whole numbers up to here are exact in a double.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let text = std::str::from_utf8(text).ok()?;
    if let Ok(count) = text.parse() {
        return Some(count);
    }
    let number: f64 = text.parse().ok().filter(|number| (0.0..=EXACT).contains(number))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 2^53: fits, and a fraction of a token is none"
    )]
    let count = number as u64;
    Some(count)
}

/// Text that counts as none (`" "`, `"\\n"`), between its quotes.
pub(crate) fn is_blank(text: &[u8]) -> bool {
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b' ' => {}
            b'\\' if matches!(bytes.next(), Some(b'n' | b'r' | b't')) => {}
            _ => return false,
        }
    }
    true
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
