//! A Google service account's key, and the assertion that buys a token with it.
//!
//! <https://developers.google.com/identity/protocols/oauth2/service-account>: a JWT that the account
//! signs for itself (RS256) is posted to `token_uri`, which gives a bearer token for an hour.

use std::fmt;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use ring::{rand::SystemRandom, rsa, signature::RSA_PKCS1_SHA256};
use serde::Deserialize;

use crate::{clock::UnixTime, types::Secret};

/// What the assertion is called where it is posted.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Vertex and the Gemini API take it.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
/// The longest that Google takes.
const LIFE: u64 = 3_600;

/// A service account's key.
#[derive(Clone)]
pub struct ServiceAccount {
    email: String,
    key_id: String,
    /// PKCS #8, as PEM.
    private_key: Secret,
    token_uri: String,
}

impl fmt::Debug for ServiceAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServiceAccount").field(&self.email).finish()
    }
}

/// The file that Google gives out.
#[derive(Deserialize)]
struct File {
    client_email: String,
    #[serde(default)]
    private_key_id: String,
    private_key: String,
    #[serde(default = "usual_token_uri")]
    token_uri: String,
}

fn usual_token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

impl ServiceAccount {
    /// Reads the JSON file that Google gives out.
    ///
    /// # Errors
    /// What is wrong with it, without a word of it.
    pub fn read(json: &str) -> Result<Self, &'static str> {
        // serde's own words could quote the key.
        let Ok(kind) = serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json) else {
            return Err("is not JSON");
        };
        if kind.get("type").and_then(serde_json::Value::as_str) != Some("service_account") {
            return Err("is not the key of a service account (`\"type\": \"service_account\"`)");
        }
        let file: File = serde_json::from_str(json).map_err(
            |_| "lacks `client_email` or `private_key`, or holds them as something else than text",
        )?;
        let account = Self {
            email: file.client_email,
            key_id: file.private_key_id,
            private_key: Secret::new(file.private_key),
            token_uri: file.token_uri,
        };
        account.key_pair().ok_or("holds a `private_key` that is no RSA key in PEM (PKCS #8)")?;
        Ok(account)
    }

    /// Whose key it is.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// Which of its keys.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Where tokens are bought.
    #[must_use]
    pub fn token_uri(&self) -> &str {
        &self.token_uri
    }

    /// What is posted there: a JWT that is good for an hour from `now`. `None` only for a key that
    /// [`Self::read`] would have refused.
    #[must_use]
    pub fn assertion(&self, now: UnixTime) -> Option<Secret> {
        let head = serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": self.key_id });
        let claims = serde_json::json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now.0.as_secs(),
            "exp": now.0.as_secs() + LIFE,
        });
        let part = |json: &serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", part(&head), part(&claims));
        let pair = self.key_pair()?;
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature).ok()?;
        Some(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    fn key_pair(&self) -> Option<rsa::KeyPair> {
        let pem = self.private_key.expose();
        let text = pem.split_once("-----BEGIN PRIVATE KEY-----")?.1;
        let text = text.split_once("-----END PRIVATE KEY-----")?.0;
        let text: String = text.split_whitespace().collect();
        let der = secrecy::SecretSlice::from(STANDARD.decode(text).ok()?);
        rsa::KeyPair::from_pkcs8(secrecy::ExposeSecret::expose_secret(&der)).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// Made for this test with `openssl genpkey -algorithm RSA`; it opens nothing.
    const KEY: &str = include_str!("../../../tests/data/service-account.json");

    #[test]
    fn the_assertion_is_signed_with_the_accounts_key() {
        let account = ServiceAccount::read(KEY).expect("a key");
        assert_eq!(account.email(), "warmkey@example.iam.gserviceaccount.com");
        let now = UnixTime(Duration::from_secs(1_800_000_000));
        let jwt = account.assertion(now).expect("signed");
        let parts: Vec<&str> = jwt.expose().split('.').collect();
        let [head, claims, signature] = parts[..] else { panic!("three parts") };
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64")).expect("JSON")
        };
        assert_eq!(json(head), serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        assert_eq!(
            json(claims),
            serde_json::json!({
                "iss": "warmkey@example.iam.gserviceaccount.com",
                "scope": "https://www.googleapis.com/auth/cloud-platform",
                "aud": "https://oauth2.googleapis.com/token",
                "iat": 1_800_000_000_u64,
                "exp": 1_800_003_600_u64,
            })
        );
        let pair = account.key_pair().expect("a pair");
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public());
        let signed = format!("{head}.{claims}");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        assert!(public.verify(signed.as_bytes(), &signature).is_ok());
        assert!(public.verify(b"something else", &signature).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused_without_quoting_it() {
        let check = |json: &str, words: &str| {
            let why = ServiceAccount::read(json).expect_err("refused");
            assert!(why.contains(words), "{why}");
        };
        check("-----BEGIN", "not JSON");
        check(r#"{"type":"authorized_user"}"#, "service account");
        check(r#"{"type":"service_account","client_email":"a"}"#, "private_key");
        let broken = r#"{"type":"service_account","client_email":"a","private_key":"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"}"#;
        check(broken, "RSA");
    }

    #[test]
    fn debug_output_shows_no_key() {
        let account = ServiceAccount::read(KEY).expect("a key");
        assert_eq!(format!("{account:?}"), r#"ServiceAccount("warmkey@example.iam.gserviceaccount.com")"#);
    }
}
