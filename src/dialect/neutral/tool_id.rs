//! Ids of tool calls that fit a provider's rules.

use xxhash_rust::xxh3::xxh3_128;

use super::Escaped;

/// `id` where it is at most `most` characters long and made of letters and digits (and `-` and `_`,
/// where `marks` allows them); else one made of its hash, the same each time, so that the call and its
/// result still agree and a cached prefix stays the same.
pub(in crate::dialect) fn fit<'a>(id: &Escaped<'a>, most: usize, marks: bool) -> Escaped<'a> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || (marks && matches!(byte, b'-' | b'_'));
    if !id.is_empty() && id.raw().len() <= most && id.raw().bytes().all(fits) {
        return id.clone();
    }
    let hash = format!("{:032x}", xxh3_128(id.raw().as_bytes()));
    Escaped::plain(hash.get(..most.min(hash.len())).unwrap_or(&hash)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_fits_stays_and_another_is_always_the_same() {
        assert_eq!(fit(&Escaped::plain("toolu_01-a"), 64, true).raw(), "toolu_01-a");
        let hashed = fit(&Escaped::plain("toolu_01-a"), 9, false);
        assert_eq!(hashed.raw().len(), 9);
        assert_eq!(hashed, fit(&Escaped::plain("toolu_01-a"), 9, false));
        assert_eq!(fit(&Escaped::plain(&"x".repeat(100)), 64, true).raw().len(), 32);
        assert_eq!(fit(&Escaped::plain(""), 40, true).raw().len(), 32);
    }
}
