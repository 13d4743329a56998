//! Reading an answer into the neutral form.
//!
//! Source: `ConverseStreamOutput` and `ConverseResponse` of botocore's service model.

mod blocks;
mod end;
mod stream;
mod whole;

pub(in crate::dialect::bedrock) use blocks::REDACTED;
pub(in crate::dialect) use stream::AnswerReader;
pub(in crate::dialect) use whole::read_answer;

#[cfg(test)]
mod tests;
