//! AWS Bedrock: `Converse`, and Claude through `InvokeModel`. A provider's dialect.

mod claude;
mod embeddings;
mod fault;
mod frames;
mod models;
mod read_answer;
mod write_request;

pub(super) use claude::{ClaudeReader, write_claude_request};
pub(super) use embeddings::{read_count, read_embeddings, write_embeddings};
pub(super) use frames::EventStream;
pub(super) use read_answer::{AnswerReader, read_answer};
pub(super) use write_request::{counts, write_count, write_request};

use self::read_answer::REDACTED;
use crate::{dialect::translate::segment, types::ProviderDialect};

/// The path of a call. A model's id may be an ARN: whatever is not unreserved in it is escaped, as AWS's
/// own clients do (`anthropic.claude-v2%3A1`).
pub(super) fn path(dialect: ProviderDialect, model: &str, stream: bool) -> String {
    let call = match (dialect, stream) {
        (ProviderDialect::BedrockClaude, false) => "invoke",
        (ProviderDialect::BedrockClaude, true) => "invoke-with-response-stream",
        (_, false) => "converse",
        (_, true) => "converse-stream",
    };
    path_of(model, call)
}

fn path_of(model: &str, call: &str) -> String {
    format!("/model/{}/{call}", segment(model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_id_is_one_segment_of_the_path() {
        let of = |model| path(ProviderDialect::Bedrock, model, true);
        assert_eq!(of("us.amazon.nova-pro-v1:0"), "/model/us.amazon.nova-pro-v1%3A0/converse-stream");
        let arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/x";
        assert_eq!(
            of(arn),
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Ainference-profile%2Fx/converse-stream"
        );
        assert_eq!(path(ProviderDialect::BedrockClaude, "m", false), "/model/m/invoke");
    }
}
