//! What Claude models of different ages understand.
//!
//! A list of the old ones only: it does not grow, and a model that nobody here has heard of is new.

/// A model, as far as its age matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Age {
    /// `(4, 6)`; `None` for a model of somebody else's behind an endpoint like Anthropic's.
    version: Option<(u32, u32)>,
}

impl Age {
    /// By a model's name at any cloud.
    pub(super) fn of(model: &str) -> Self {
        Self { version: claude_version(model) }
    }

    fn since(self, major: u32, minor: u32) -> bool {
        self.version.is_some_and(|version| version >= (major, minor))
    }

    /// `thinking.type: "adaptive"` and `output_config.effort`; older ones know a budget only.
    pub(super) fn thinks_adaptively(self) -> bool {
        self.since(4, 6)
    }

    /// `temperature`, `top_p` and `top_k`: refused from Claude Opus 4.7 on, and no longer in the types of
    /// the official SDK (2.12.0).
    pub(super) fn takes_sampling(self) -> bool {
        !self.since(4, 7)
    }

    /// `thinking.budget_tokens`: likewise.
    pub(super) fn takes_budgets(self) -> bool {
        !self.since(4, 7)
    }

    /// `effort: "xhigh"`.
    pub(super) fn knows_xhigh(self) -> bool {
        self.since(4, 7)
    }

    /// A `system` message in the midst of the conversation (providers: 1.1).
    pub(super) fn takes_system_messages(self) -> bool {
        self.since(4, 8)
    }
}

/// The version in a Claude's name at Anthropic (`claude-opus-4-6`), AWS
/// (`us.anthropic.claude-opus-4-6-v1:0`) or Google (`claude-3-7-sonnet@20250219`). `None`: it is no Claude;
/// a Claude that tells no version is new.
pub(in crate::dialect) fn claude_version(model: &str) -> Option<(u32, u32)> {
    let name = model.get(model.find("claude")?..)?;
    let mut segments = name.split(['-', '.', '@', ':', '/', '_']).skip(1).peekable();
    if segments.next_if(|segment| matches!(*segment, "v2" | "instant")).is_some() {
        return Some((2, 0));
    }
    let number = |segment: &str| -> Option<u32> {
        // A date is no version, nor is what AWS puts behind one (`v1:0`).
        (segment.len() <= 2).then(|| segment.parse().ok()).flatten()
    };
    let Some(major) = segments.by_ref().filter_map(number).find(|major| *major > 0) else {
        return Some((u32::MAX, 0));
    };
    Some((major, segments.next().and_then(number).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_read_from_any_clouds_name() {
        let check = |model: &str, version: Option<(u32, u32)>| {
            assert_eq!(Age::of(model).version, version, "{model}");
        };
        check("claude-opus-4-6", Some((4, 6)));
        check("claude-sonnet-5", Some((5, 0)));
        check("claude-opus-5-5", Some((5, 5)));
        check("claude-sonnet-4-20250514", Some((4, 0)));
        check("claude-3-7-sonnet@20250219", Some((3, 7)));
        check("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some((4, 5)));
        check("anthropic/claude-opus-4.6", Some((4, 6)));
        check("claude-mythos-preview", Some((u32::MAX, 0)));
        check("anthropic.claude-mythos-preview-v1:0", Some((u32::MAX, 0)));
        check("glm-4.6", None);
    }
}
