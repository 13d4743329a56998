//! What stands behind the `?` of a path.

/// The value of `name`, decoded; `None` where it is missing, or no text.
pub(super) fn value(query: &str, name: &str) -> Option<String> {
    let raw = query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    })?;
    decoded(raw).filter(|text| !text.is_empty())
}

/// Percent-decoded; a plus is a space. `None`: it is no text.
pub(in crate::admin) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(rest.next())? * 16 + digit(rest.next())?;
                u8::try_from(value).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_and_decoded() {
        let query = "team=a&tag=env%3Dci&empty=&bad=%zz&cut=%4";
        assert_eq!(value(query, "team").as_deref(), Some("a"));
        assert_eq!(value(query, "tag").as_deref(), Some("env=ci"));
        for name in ["empty", "bad", "cut", "am", "none"] {
            assert_eq!(value(query, name), None, "{name}");
        }
    }
}
