//! `[[caller]]`: who may call.

use super::{
    read::{At, Section},
    target::long_cache,
};
use crate::types::{Access, KeyDigest, Secret, VirtualKey};

/// A token shorter than this can be guessed.
const SHORT: usize = 20;

/// Reads one `[[caller]]`.
pub(super) fn read(caller: &Section<'_>) -> Option<VirtualKey> {
    let name = caller.required_name("name", "give it a name, such as `team-a`: logs and metrics show it");
    let tenant = caller.name("tenant").map_or_else(|| "default".to_owned(), |tenant| tenant.value);
    let token = caller.secret("token");
    let hash = caller.text("token_sha256");
    let models = caller.texts("models");
    if let Some([]) = models.as_deref() {
        caller.fault(
            "models",
            "an empty list allows nothing",
            "list models or globs, or remove the line to allow all",
        );
    }
    let long_cache = long_cache(caller);
    let keep_alive = caller.get("keep_alive").is_some().then(|| caller.flag("keep_alive", false));
    let digest = digest(caller, token.as_ref(), hash.as_ref());
    let weight = thousandths(caller.ratio("weight", 1.0, 0.01..=100.0));
    Some(VirtualKey {
        organisation: tenant.into(),
        access: Access {
            models: models.map(|globs| globs.into_iter().map(|glob| glob.value).collect()),
            ..Access::default()
        },
        weight,
        long_cache,
        keep_alive,
        ..VirtualKey::named(&name?.value, digest?)
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a checked ratio of a few units")]
fn thousandths(ratio: f64) -> u32 {
    (ratio * 1_000.0).round() as u32
}

fn digest(caller: &Section<'_>, token: Option<&At<Secret>>, hash: Option<&At<String>>) -> Option<KeyDigest> {
    let forms = "write `token = { env = \"NAME\" }` or `token_sha256 = \"...\"`";
    let is_written = caller.get("token").is_some();
    match (token, hash) {
        (Some(_), Some(hash)) => {
            caller.fault_at(
                hash,
                "a caller has one token, and `token` is there already",
                "remove one of them",
            );
            None
        }
        (Some(token), None) => {
            if token.value.expose().len() < SHORT {
                let remedy = "take a random one, such as the output of `openssl rand -hex 24`";
                caller.note_at(token, "the token is so short that it can be guessed", remedy);
            }
            Some(token.value.digest())
        }
        (None, Some(hash)) => {
            let digest = KeyDigest::from_hex(&hash.value);
            if digest.is_none() {
                // Not quoted: somebody may have pasted the token itself.
                let remedy = "write the 64 hexadecimal digits of `printf %s \"$TOKEN\" | sha256sum`";
                caller.fault_at(hash, "not a SHA-256 digest", remedy);
            }
            digest
        }
        (None, None) => {
            if !is_written {
                caller.fault("token", "missing", forms);
            }
            None
        }
    }
}
