//! What hosts call the thinking that they show, which is no member of OpenAI's.
//!
//! Those that show it want it back within a loop of tool calls (DeepSeek and Kimi answer 400 without),
//! under the same name. So it is sealed for its maker, and the seal holds the name.

/// DeepSeek, Kimi, xAI, older vLLM.
pub(super) const REASONING_CONTENT: &str = "reasoning_content";
/// OpenRouter, Groq, newer vLLM.
pub(super) const REASONING: &str = "reasoning";
/// Mistral: parts of type `thinking` within the content.
pub(super) const PARTS: &str = "thinking";

/// The name in a seal, if it is one of these.
pub(super) fn member(name: &str) -> Option<&'static str> {
    [REASONING_CONTENT, REASONING, PARTS].into_iter().find(|known| *known == name)
}
