//! Secrets that cannot be printed, and digests of tokens that we accept.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// A secret text. `Debug` shows only that there is one; there is no `Display` and no `Serialize`.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps `text`; wiped from memory when dropped.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    /// The text itself: only for the header that carries it to its provider.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Its digest, to see whether a re-read secret changed without keeping the old one around.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest::of(self.expose().as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// SHA-256 of a token: what the configuration may hold instead of the token, and what we look
/// callers up by, so that a look-up's timing says nothing of any token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyDigest([u8; 32]);

impl KeyDigest {
    /// The digest of a token's bytes.
    #[must_use]
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Reads 64 hexadecimal digits, with or without a leading `sha256:`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if hex.len() != 64 || !hex.is_ascii() {
            return None;
        }
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(hex.as_bytes().chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
        }
        Some(Self(digest))
    }
}

impl From<[u8; 32]> for KeyDigest {
    /// A digest that was made elsewhere, of several parts.
    fn from(digest: [u8; 32]) -> Self {
        Self(digest)
    }
}

impl KeyDigest {
    /// 64 hexadecimal digits: what [`Self::from_hex`] reads.
    #[must_use]
    pub fn to_hex(self) -> String {
        use fmt::Write as _;

        self.0.iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a text cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_never_shows_in_debug_output() {
        assert_eq!(format!("{:?}", Secret::new("sk-very-secret".into())), "Secret(..)");
    }

    #[test]
    fn hex_digests_are_read_with_and_without_prefix() {
        let hex = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        assert_eq!(KeyDigest::from_hex(hex), Some(KeyDigest::of(b"secret")));
        assert_eq!(KeyDigest::from_hex(&format!("sha256:{hex}")), Some(KeyDigest::of(b"secret")));
        assert_eq!(KeyDigest::of(b"secret").to_hex(), hex);
        assert_eq!(KeyDigest::from_hex("zz"), None);
        assert_eq!(KeyDigest::from_hex(&"é".repeat(32)), None);
    }
}
