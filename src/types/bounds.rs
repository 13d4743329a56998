//! What a name, a tag and an amount may be, wherever they are written: in the file or over the API.

/// Requests, tokens or sessions: whoever writes more has slipped.
pub const MOST: u64 = 1_000_000_000_000_000;

/// More dollars than anybody gives out in one budget.
pub const MOST_DOLLARS: u64 = 1_000_000_000;

/// Tags of one key.
pub const MAX_TAGS: usize = 16;

/// Whether people, logs, labels and URLs can live with it as a name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // A path made of it must not go up.
    (1..=64).contains(&text.len()) && text.bytes().all(plain) && text != "." && text != ".."
}

/// What [`is_name`] asks for.
pub const NAME_FORM: &str = "names have at most 64 letters, digits, `-`, `_` and `.`";

/// Whether it is a tag: a name, or two of them as in `env=ci` or `env:ci`.
#[must_use]
pub fn is_tag(text: &str) -> bool {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'=' | b':' | b'@');
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// What [`is_tag`] asks for.
pub const TAG_FORM: &str = "tags have at most 64 letters, digits, `-`, `_`, `.`, `=`, `:` and `@`";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_tags_are_plain_words() {
        assert!(is_name("team-a.2_x") && is_tag("env=ci") && is_tag("owner:ann@example.com"));
        for text in ["", "a b", "a/b", "ä", "a\n", &"x".repeat(65)] {
            assert!(!is_name(text) && !is_tag(text), "{text:?}");
        }
        assert!(!is_name("..") && !is_name("env=ci"));
    }
}
