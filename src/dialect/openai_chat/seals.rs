//! Sealed things in a Chat conversation: they travel behind the ids of tool calls.
//!
//! A call may have to bring several home: what its maker wants back with the call, and the thinking
//! that led to it. One alone travels as it is; it is the call's own where its maker's dialect seals
//! calls (Gemini, and Gemini's Chat), else thinking. Several travel as one, whose data are their packed
//! forms with spaces between; the call's own is marked.

use crate::{
    dialect::neutral::{Carrier, Seal},
    types::ProviderDialect,
};

/// Begins the call's own seal among several.
const OWN: &str = "=";
/// How a packed carrier begins.
const PACKED: &str = "wk1-";

/// What a call brings home.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Load {
    pub own: Option<Carrier>,
    pub thinking: Vec<Carrier>,
}

const fn seals_calls(dialect: ProviderDialect) -> bool {
    match dialect {
        ProviderDialect::Gemini | ProviderDialect::OpenAiChat => true,
        ProviderDialect::Anthropic
        | ProviderDialect::OpenAiResponses
        | ProviderDialect::Bedrock
        | ProviderDialect::BedrockClaude => false,
    }
}

impl Load {
    /// As one carrier; `None` where there is nothing to carry.
    pub(super) fn pack(mut self) -> Option<Carrier> {
        match (&self.own, self.thinking.as_slice()) {
            (Some(own), []) if seals_calls(own.seal.dialect) => return self.own,
            (None, [one]) if !seals_calls(one.seal.dialect) => return self.thinking.pop(),
            (Some(_), _) | (None, _) => {}
        }
        let first = self.own.as_ref().or(self.thinking.first())?;
        let (maker, dialect) = (first.maker, first.seal.dialect);
        let own = self.own.iter().map(|own| format!("{OWN}{}", own.pack().raw()));
        let thinking = self.thinking.iter().map(|carrier| carrier.pack().raw().to_owned());
        let data = own.chain(thinking).collect::<Vec<_>>().join(" ");
        Some(Carrier { maker, seal: Seal { dialect, id: String::new(), text: String::new(), data } })
    }

    /// Reads what [`Self::pack`] wrote.
    pub(super) fn unpack(carrier: Carrier) -> Self {
        let data = carrier.seal.data.as_str();
        if data.starts_with(PACKED) || data.strip_prefix(OWN).is_some_and(|data| data.starts_with(PACKED)) {
            let mut load = Self::default();
            for word in data.split(' ') {
                match word.strip_prefix(OWN) {
                    Some(own) => load.own = Carrier::unpack(own),
                    None => load.thinking.extend(Carrier::unpack(word)),
                }
            }
            return load;
        }
        if seals_calls(carrier.seal.dialect) {
            Self { own: Some(carrier), thinking: Vec::new() }
        } else {
            Self { own: None, thinking: vec![carrier] }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::neutral::Maker;

    fn carrier(dialect: ProviderDialect, data: &str) -> Carrier {
        let seal = Seal { dialect, id: "rs_1".into(), text: "so".into(), data: data.into() };
        Carrier { maker: Maker::of("p"), seal }
    }

    #[test]
    fn every_load_comes_home() {
        let claude = || carrier(ProviderDialect::Anthropic, "sig");
        let gemini = || carrier(ProviderDialect::Gemini, "c2ln");
        for (own, thinking) in [
            (None, vec![claude()]),
            (Some(gemini()), vec![]),
            (None, vec![gemini()]),
            (Some(claude()), vec![]),
            (None, vec![claude(), claude()]),
            (Some(gemini()), vec![claude(), gemini()]),
        ] {
            let load = Load { own, thinking };
            assert_eq!(Load::unpack(load.clone().pack().unwrap()), load);
        }
        assert_eq!(Load::default().pack(), None);
    }

    #[test]
    fn one_alone_is_not_wrapped() {
        let claude = carrier(ProviderDialect::Anthropic, "sig");
        let load = Load { own: None, thinking: vec![claude.clone()] };
        assert_eq!(load.pack(), Some(claude));
    }
}
