//! What the families of models on Bedrock understand, told by a model's id.
//!
//! An application inference profile's ARN tells nothing: such a model gets nothing that is not common
//! to all.

use crate::dialect::anthropic::claude_version;

/// A model, as far as requests to it differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Model {
    /// Major and minor version.
    Claude(u32, u32),
    /// Nova, and which generation.
    Nova(u32),
    /// OpenAI's open models.
    Gpt,
    Mistral,
    Cohere,
    Other,
}

impl Model {
    pub(super) fn of(id: &str) -> Self {
        if let Some((major, minor)) = claude_version(id) {
            return Self::Claude(major, minor);
        }
        if let Some((_, rest)) = id.split_once("amazon.nova-") {
            return Self::Nova(if rest.starts_with("2-") { 2 } else { 1 });
        }
        [("openai.gpt", Self::Gpt), ("mistral.", Self::Mistral), ("cohere.", Self::Cohere)]
            .into_iter()
            .find(|(name, _)| id.contains(name))
            .map_or(Self::Other, |(_, model)| model)
    }

    fn claude_since(self, major: u32, minor: u32) -> bool {
        matches!(self, Self::Claude(a, b) if (a, b) >= (major, minor))
    }

    pub(super) const fn is_claude(self) -> bool {
        matches!(self, Self::Claude(..))
    }

    /// `cachePoint` in `system` and `messages`. Others refuse it (Bedrock user guide, "Prompt caching").
    pub(super) fn caches(self) -> bool {
        self.claude_since(3, 5) || matches!(self, Self::Nova(_))
    }

    /// `cachePoint` behind the tools.
    pub(super) fn caches_tools(self) -> bool {
        self.claude_since(3, 5)
    }

    /// `ttl: "1h"` of a `cachePoint`.
    pub(super) fn caches_long(self) -> bool {
        self.claude_since(4, 5)
    }

    /// `thinking.type: "adaptive"` and `outputConfig.effort`; older ones know a budget only.
    pub(super) fn thinks_adaptively(self) -> bool {
        self.claude_since(4, 6)
    }

    /// A budget of thinking is refused.
    pub(super) fn thinks_adaptively_only(self) -> bool {
        self.claude_since(4, 7)
    }

    /// Any thinking at all.
    pub(super) fn thinks(self) -> bool {
        self.claude_since(3, 7)
    }

    /// `temperature`, `top_p` and `top_k`; Claude refuses them from 4.7 on.
    pub(super) fn takes_sampling(self) -> bool {
        !self.claude_since(4, 7)
    }

    /// A message of role `system` in the midst of the conversation (providers: 1.1).
    pub(super) fn takes_system_messages(self) -> bool {
        self.claude_since(4, 8)
    }

    /// `status` of a `toolResult` (botocore's service model).
    pub(super) const fn takes_status(self) -> bool {
        matches!(self, Self::Claude(..) | Self::Nova(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_told_by_the_id() {
        for (id, expected) in [
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Model::Claude(4, 5)),
            ("anthropic.claude-3-7-sonnet-20250219-v1:0", Model::Claude(3, 7)),
            ("anthropic.claude-3-haiku-20240307-v1:0", Model::Claude(3, 0)),
            ("anthropic.claude-sonnet-4-20250514-v1:0", Model::Claude(4, 0)),
            ("anthropic.claude-opus-5-5", Model::Claude(5, 5)),
            ("anthropic.claude-v2:1", Model::Claude(2, 0)),
            ("anthropic.claude-mythos-preview", Model::Claude(u32::MAX, 0)),
            ("anthropic.claude-mythos-preview-v1:0", Model::Claude(u32::MAX, 0)),
            ("us.amazon.nova-pro-v1:0", Model::Nova(1)),
            ("global.amazon.nova-2-lite-v1:0", Model::Nova(2)),
            ("openai.gpt-oss-120b-1:0", Model::Gpt),
            ("meta.llama3-3-70b-instruct-v1:0", Model::Other),
            ("arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc", Model::Other),
        ] {
            assert_eq!(Model::of(id), expected, "{id}");
        }
        assert!(!Model::Claude(3, 0).caches() && Model::Claude(3, 5).caches());
    }
}
