//! A model's name in a path.

use std::{borrow::Cow, fmt::Write as _};

/// `name` as one segment of a path. Names may be callers' own text (models that nobody listed), and what
/// stands in a path must not reach beyond its segment: not to another call, not into the query.
#[must_use]
pub fn segment(name: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    if name.bytes().all(|byte| byte == b'.') {
        // An empty segment, or one that means another place.
        return Cow::Borrowed("_");
    }
    if name.bytes().all(plain) {
        return Cow::Borrowed(name);
    }
    let mut out = String::with_capacity(name.len() + 16);
    for byte in name.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            // Writing into a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_within_its_segment() {
        for (name, expected) in [
            ("gemini-3.5-flash", "gemini-3.5-flash"),
            ("anthropic.claude-v2:0", "anthropic.claude-v2%3A0"),
            ("../files?key=", "..%2Ffiles%3Fkey%3D"),
            ("arn:aws:bedrock:us-east-1::x/y", "arn%3Aaws%3Abedrock%3Aus-east-1%3A%3Ax%2Fy"),
            ("a b\r\n", "a%20b%0D%0A"),
            ("..", "_"),
            ("", "_"),
        ] {
            assert_eq!(segment(name), expected, "{name}");
        }
    }
}
