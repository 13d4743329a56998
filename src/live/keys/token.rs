//! Tokens: how they are made, and how a typing error is told from a wrong one.
//!
//! `wk-`, forty random characters of 62 (238 bits), and six more: the CRC-32 of the forty, in the
//! same alphabet. Scanners for leaked secrets can tell one from a word that looks like it, and nobody
//! needs to ask a server about a token that was cut off.

use crate::types::{KeyDigest, KeyId, Secret};

/// What our tokens begin with.
const PREFIX: &str = "wk-";
const RANDOM: usize = 40;
const CHECK: usize = 6;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How much of a token is kept for people: `wk-` and five characters.
const SHOWN: usize = 8;

/// A fresh token. It is shown once and kept nowhere.
#[derive(Debug)]
pub struct Minted {
    /// The token itself.
    pub token: Secret,
    /// What is kept of it.
    pub digest: KeyDigest,
    /// Its first characters, for people who hold several.
    pub prefix: String,
}

/// Makes a token.
///
/// # Errors
/// The kernel gives no random numbers.
pub fn mint() -> Result<Minted, getrandom::Error> {
    let mut text = random(PREFIX, RANDOM)?;
    let check = check(text.as_bytes().get(PREFIX.len()..).unwrap_or_default());
    text.extend(check.iter().map(|byte| char::from(*byte)));
    let prefix = text.chars().take(SHOWN).collect();
    let digest = KeyDigest::of(text.as_bytes());
    Ok(Minted { token: Secret::new(text), digest, prefix })
}

/// Makes an id: no secret, but nobody meets another's by chance.
pub(super) fn mint_id() -> Result<KeyId, getrandom::Error> {
    random("k_", 16).map(KeyId::from)
}

/// `prefix` and so many random characters.
fn random(prefix: &str, length: usize) -> Result<String, getrandom::Error> {
    let length = prefix.len() + length;
    let mut text = String::with_capacity(length + CHECK);
    text.push_str(prefix);
    let mut bytes = [0; 64];
    while text.len() < length {
        getrandom::fill(&mut bytes)?;
        let room = length - text.len();
        // Of 256 values the last eight are dropped, or the first eight characters were likelier.
        let fair = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < 248);
        text.extend(fair.filter_map(|byte| ALPHABET.get(byte % 62)).map(|byte| char::from(*byte)).take(room));
    }
    Ok(text)
}

/// Whether a token has the form of ours: `None` where it does not even begin like one.
#[must_use]
pub fn well_formed(token: &[u8]) -> Option<bool> {
    let rest = token.strip_prefix(PREFIX.as_bytes())?;
    let (random, sum) = rest.split_at_checked(RANDOM).unwrap_or((rest, &[]));
    Some(random.iter().all(u8::is_ascii_alphanumeric) && random.len() == RANDOM && sum == check(random))
}

fn check(random: &[u8]) -> [u8; CHECK] {
    let mut crc = flate2::Crc::new();
    crc.update(random);
    let mut rest = crc.sum();
    let mut text = [b'0'; CHECK];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(rest % 62).unwrap_or(0);
        *place = ALPHABET.get(digit).copied().unwrap_or(b'0');
        rest /= 62;
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_minted_token_has_our_form_and_differs_from_the_next() {
        let (one, other) = (mint().unwrap(), mint().unwrap());
        let text = one.token.expose();
        assert_eq!(text.len(), 49);
        assert_eq!(well_formed(text.as_bytes()), Some(true));
        assert_eq!(one.prefix, text[..8]);
        assert_eq!(one.digest, KeyDigest::of(text.as_bytes()));
        assert_ne!(text, other.token.expose());
    }

    #[test]
    fn the_check_sum_is_a_crc_that_others_can_compute() {
        // CRC-32 of forty `a`, as `zlib.crc32` gives it.
        assert_eq!(&check(&[b'a'; 40]), CRC_OF_FORTY_A);
    }

    const CRC_OF_FORTY_A: &[u8; 6] = b"3gcfED";

    #[test]
    fn one_wrong_character_or_a_cut_is_noticed() {
        let minted = mint().unwrap();
        let text = minted.token.expose().as_bytes();
        for at in 3..text.len() {
            let mut wrong = text.to_vec();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(well_formed(&wrong), Some(false), "at {at}");
            assert_eq!(well_formed(&text[..at]), Some(false), "cut at {at}");
        }
        assert_eq!(well_formed(b"sk-ant-api03-something"), None);
    }

    proptest! {
        #[test]
        fn no_token_makes_the_check_panic(token in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = well_formed(&token);
            let _ = well_formed(&[b"wk-".as_slice(), &token].concat());
        }
    }
}
