//! Writing a request from the neutral form: `Converse`.
//!
//! What does not grow with the conversation stands first, so that the next turn's body begins like this
//! one's.
//!
//! Source: `ConverseRequest` of botocore's service model, which `tests/judges/bedrock.py` holds every
//! body against.

mod content;
mod media;
mod messages;
mod names;
mod points;
mod reasoning;
mod settings;
mod tools;

use base64::{Engine, engine::general_purpose::STANDARD};

use self::{names::Names, points::Points};
use super::models::Model;
use crate::{
    dialect::{
        neutral::{Content, Losses, Maker, Part, Request, Weight, Writer},
        translate::Target,
    },
    types::{Dialect, ProviderDialect},
};

/// Writes a request's body.
pub(in crate::dialect) fn write_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(size(request));
    let mut job = Job::new(request, target, losses);
    Writer::new(&mut out).object(|w| {
        job.system(w);
        job.tools(w);
        job.settings(w);
        job.messages(w);
    });
    out
}

/// Whether `CountTokens` counts for this model: for Claude only (Bedrock user guide, "Count tokens").
pub(in crate::dialect) fn counts(dialect: ProviderDialect, model: &str) -> bool {
    dialect == ProviderDialect::BedrockClaude || Model::of(model).is_claude()
}

/// Writes the body of `CountTokens`; gives its path, too.
pub(in crate::dialect) fn write_count(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> (String, Vec<u8>) {
    let mut out = Vec::with_capacity(size(request));
    Writer::new(&mut out).object(|w| {
        w.key("input").object(|w| {
            if target.dialect == ProviderDialect::BedrockClaude {
                let body = super::write_claude_request(request, target, losses);
                w.key("invokeModel").object(|w| w.key("body").text(&STANDARD.encode(body)));
            } else {
                let mut job = Job::new(request, target, losses);
                w.key("converse").object(|w| {
                    job.system(w);
                    job.tools(w);
                    job.messages(w);
                });
            }
        });
    });
    (super::path_of(target.model, "count-tokens"), out)
}

/// One body on its way.
struct Job<'j, 'r> {
    request: &'j Request<'r>,
    model: Model,
    maker: Maker,
    losses: &'j mut Losses,
    points: Points,
    documents: Names,
    /// Calls that were left out, whose results go with them.
    gone: Vec<&'j str>,
}

impl<'j, 'r> Job<'j, 'r> {
    fn new(request: &'j Request<'r>, target: &Target<'_>, losses: &'j mut Losses) -> Self {
        let model = Model::of(target.model);
        let points = Points::of(request, model, losses);
        Self {
            request,
            model,
            maker: target.maker,
            losses,
            points,
            documents: Names::default(),
            gone: Vec::new(),
        }
    }

    /// Writes down what is lost, in the word that the caller's dialect has for it.
    fn lost(&mut self, words: Words, weight: Weight, why: &'static str) {
        self.losses.add(words.of(self.request.origin), weight, why);
    }

    fn system(&mut self, w: &mut Writer<'_>) {
        let blocks = self.blocks(&self.request.system, None);
        if blocks.is_empty() {
            return;
        }
        let point = self.points.system.filter(|_| !self.points.asked);
        w.key("system").array(|w| {
            for block in &blocks {
                block.write(w);
            }
            if let Some(mark) = point {
                points::write(w, mark);
            }
        });
    }
}

/// What a member is called in each of the clients' dialects; empty where there is no such member.
#[derive(Clone, Copy)]
struct Words {
    anthropic: &'static str,
    chat: &'static str,
    responses: &'static str,
}

impl Words {
    /// The same in all of them.
    const fn same(word: &'static str) -> Self {
        Self { anthropic: word, chat: word, responses: word }
    }

    const fn of(self, origin: Dialect) -> &'static str {
        match origin {
            Dialect::Anthropic => self.anthropic,
            Dialect::OpenAiChat => self.chat,
            Dialect::OpenAiResponses => self.responses,
        }
    }
}

/// About as many bytes as the body will have.
fn size(request: &Request<'_>) -> usize {
    const EACH: usize = 96;
    let parts = |parts: &[Part<'_>]| parts.iter().map(length).sum::<usize>();
    let messages: usize = request.messages.iter().map(|message| EACH + parts(&message.parts)).sum();
    let tools: usize = request.tools.iter().map(tools::length).sum();
    EACH * 4 + parts(&request.system) + messages + tools
}

fn length(part: &Part<'_>) -> usize {
    const EACH: usize = 64;
    EACH + match &part.content {
        Content::Text(text) | Content::Refusal(text) => text.raw().len(),
        Content::Media(media) => media::length(media),
        Content::ToolCall { id, name, arguments, .. } => {
            id.raw().len() + name.raw().len() + arguments.as_str().len()
        }
        Content::ToolResult { id, parts, .. } => id.raw().len() + parts.iter().map(length).sum::<usize>(),
        Content::Thinking { text, .. } => 2 * text.raw().len(),
    }
}

#[cfg(test)]
mod tests;
