//! What one provider gave to be given back to it alone: signatures of thinking, encrypted reasoning.
//!
//! A client of another dialect has no place for such a thing, or one for another maker's. So it
//! travels in an opaque text of letters, digits, `-` and `_`, which the client hands back untouched:
//! in Anthropic's `signature` or `data`, in Responses' `encrypted_content`, and behind a tool call's
//! id where there is no other place (Chat). It names its maker, and goes to nobody else.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use xxhash_rust::xxh3::xxh3_64;

use super::Escaped;
use crate::types::ProviderDialect;

/// How a carrier begins.
const MARK: &str = "wk1-";
/// What stands between a tool call's id and its carrier.
pub(in crate::dialect) const BEHIND_TOOL_ID: &str = "-wk1-";
/// A carrier longer than this was not made here: thinking of 64k tokens is a quarter of it.
const LONGEST: usize = 2 << 20;

/// Who made a sealed thing: a provider as configured. Stable over restarts and replicas.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Maker(u64);

impl Maker {
    /// The maker of this name.
    #[must_use]
    pub fn of(provider: &str) -> Self {
        Self(xxh3_64(provider.as_bytes()))
    }
}

/// A sealed thing, in its maker's own words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Seal {
    /// The dialect that it was read from, which alone knows what the fields mean.
    pub dialect: ProviderDialect,
    /// An id that belongs to it (`rs_...`); often empty.
    pub id: String,
    /// Thinking in the clear that belongs to the seal; empty where it travels beside it.
    pub text: String,
    /// The signature, or what is encrypted.
    pub data: String,
}

/// A sealed thing and who made it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::dialect) struct Carrier {
    pub maker: Maker,
    pub seal: Seal,
}

impl Carrier {
    /// As text that any client can hold. It needs no escape in JSON.
    pub(in crate::dialect) fn pack(&self) -> Escaped<'static> {
        let Seal { dialect, id, text, data } = &self.seal;
        let maker = format!("{:016x}", self.maker.0);
        let fields = serde_json::Value::from(vec![
            maker.as_str(),
            dialect.label(),
            id.as_str(),
            text.as_str(),
            data.as_str(),
        ]);
        let packed = format!("{MARK}{}", URL_SAFE_NO_PAD.encode(fields.to_string()));
        Escaped::of(&packed)
    }

    /// Reads what [`Self::pack`] wrote; `None` for anything else.
    pub(in crate::dialect) fn unpack(text: &str) -> Option<Self> {
        if text.len() > LONGEST {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(MARK)?).ok()?;
        let [maker, dialect, id, text, data]: [String; 5] = serde_json::from_slice(&bytes).ok()?;
        let dialect = ProviderDialect::ALL.into_iter().find(|known| known.label() == dialect)?;
        let maker = Maker(u64::from_str_radix(&maker, 16).ok()?);
        Some(Self { maker, seal: Seal { dialect, id, text, data } })
    }

    /// What is sealed, if it is for this maker.
    pub(in crate::dialect) fn open(&self, maker: Maker) -> Option<&Seal> {
        (self.maker == maker).then_some(&self.seal)
    }
}

/// Whether a body may hold a carrier.
#[must_use]
pub fn carries(body: &[u8]) -> bool {
    memchr::memmem::find(body, MARK.as_bytes()).is_some()
}

/// A tool call's id with what has to come back with the call.
pub(in crate::dialect) fn with_carrier(id: &Escaped<'_>, carrier: &Carrier) -> Escaped<'static> {
    let packed = carrier.pack();
    let packed = packed.raw();
    Escaped::of(&format!("{}-{packed}", id.decode()))
}

/// A tool call's id without its carrier, and the carrier if there is one.
pub(in crate::dialect) fn split_tool_id<'a>(id: Escaped<'a>) -> (Escaped<'a>, Option<Carrier>) {
    let Some(at) = id.raw().find(BEHIND_TOOL_ID) else { return (id, None) };
    let carrier = Carrier::unpack(id.raw().get(at + 1..).unwrap_or_default());
    if carrier.is_none() {
        return (id, None);
    }
    let own = id.raw().get(..at).unwrap_or_default().to_owned();
    (Escaped::plain(&own).into_owned(), carrier)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier() -> Carrier {
        let seal = Seal {
            dialect: ProviderDialect::Gemini,
            id: String::new(),
            text: "thought \"so\"".into(),
            data: "c2ln".into(),
        };
        Carrier { maker: Maker::of("google"), seal }
    }

    #[test]
    fn it_comes_back_whole_and_opens_for_its_maker_only() {
        let packed = carrier().pack();
        assert!(packed.raw().bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        let back = Carrier::unpack(packed.raw()).unwrap();
        assert_eq!(back, carrier());
        assert!(back.open(Maker::of("google")).is_some());
        assert!(back.open(Maker::of("anthropic")).is_none());
    }

    #[test]
    fn what_is_none_is_none() {
        for text in ["", "wk1-", "wk1-!!", "ErcBCkgIARAB", "wk1-W10"] {
            assert_eq!(Carrier::unpack(text), None, "{text}");
        }
    }

    #[test]
    fn a_tool_call_brings_it_along() {
        let id = with_carrier(&Escaped::plain("call_1"), &carrier());
        let (own, found) = split_tool_id(id);
        assert_eq!((own.raw(), found), ("call_1", Some(carrier())));
        let (own, found) = split_tool_id(Escaped::plain("call-wk1-x"));
        assert_eq!((own.raw(), found), ("call-wk1-x", None));
    }
}
