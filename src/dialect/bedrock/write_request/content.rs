//! Content blocks.

use super::{
    super::REDACTED,
    Job, media,
    points::{self, mark_of},
};
use crate::{
    dialect::neutral::{At, CacheMark, Content, Escaped, Json, Part, Seals, Weight, Writer, fit},
    types::Dialect,
};

/// `ToolUseId` of botocore: 64 characters; dots and colons are new, and older hosts refuse them.
const LONGEST_ID: usize = 64;

/// A block, ready to be written.
pub(super) enum Block<'a> {
    Text(&'a Escaped<'a>),
    /// Words of ours, in need of no escape.
    Words(&'static str),
    Media(media::File<'a>),
    Call {
        id: Escaped<'a>,
        name: &'a Escaped<'a>,
        input: &'a Json<'a>,
    },
    Result {
        id: Escaped<'a>,
        is_error: bool,
        content: Vec<Block<'a>>,
    },
    Thinking {
        text: Escaped<'a>,
        signature: Escaped<'a>,
    },
    Redacted(Escaped<'a>),
    Point(CacheMark),
}

impl Block<'_> {
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        match self {
            Self::Text(text) => w.object(|w| w.key("text").escaped(text)),
            Self::Words(text) => w.object(|w| w.key("text").escaped(&Escaped::plain(text))),
            Self::Media(file) => file.write(w),
            Self::Call { id, name, input } => w.object(|w| {
                w.key("toolUse").object(|w| {
                    w.key("toolUseId").escaped(id);
                    w.key("name").escaped(name);
                    w.key("input").json(input);
                });
            }),
            Self::Result { id, is_error, content } => w.object(|w| {
                w.key("toolResult").object(|w| {
                    w.key("toolUseId").escaped(id);
                    w.key("content").array(|w| content.iter().for_each(|block| block.write(w)));
                    if *is_error {
                        w.key("status").escaped(&Escaped::plain("error"));
                    }
                });
            }),
            Self::Thinking { text, signature } => w.object(|w| {
                w.key("reasoningContent").object(|w| {
                    w.key("reasoningText").object(|w| {
                        w.key("text").escaped(text);
                        w.key("signature").escaped(signature);
                    });
                });
            }),
            Self::Redacted(data) => w.object(|w| {
                w.key("reasoningContent").object(|w| w.key("redactedContent").escaped(data));
            }),
            Self::Point(mark) => points::write(w, *mark),
        }
    }
}

impl<'j> Job<'j, '_> {
    /// Parts as blocks, with the client's own cache points. What has no place is written down.
    /// `within`: the message that they are of, where they are a tool's result.
    pub(super) fn blocks(&mut self, parts: &'j [Part<'j>], within: Option<At>) -> Vec<Block<'j>> {
        let mut blocks = Vec::with_capacity(parts.len() + 1);
        for part in parts {
            let Some(block) = self.block(part) else { continue };
            let thinking = matches!(block, Block::Thinking { .. } | Block::Redacted(_));
            blocks.push(block);
            if self.points.known
                && within.is_none()
                && !thinking
                && let Some(mark) = mark_of(part)
            {
                let mark = if self.model.caches_long() { mark } else { self.shorter(part.at, mark) };
                blocks.push(Block::Point(mark));
            }
        }
        blocks
    }

    fn shorter(&mut self, at: At, mark: CacheMark) -> CacheMark {
        if mark == CacheMark::Long {
            let field = format!("{}.cache_control.ttl", at.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "is not known to this model");
        }
        CacheMark::Short
    }

    fn block(&mut self, part: &'j Part<'j>) -> Option<Block<'j>> {
        match &part.content {
            // A blank text is refused ("The text field in the ContentBlock object is blank").
            Content::Text(text) | Content::Refusal(text) => (!text.is_blank()).then_some(Block::Text(text)),
            Content::Media(media) => self.media(media, part.at).map(Block::Media),
            Content::ToolCall { id, name, arguments, .. } => {
                if !arguments.is_object() {
                    self.lose(part.at, "is free text, and only objects are understood");
                    self.gone.push(id.raw());
                    return None;
                }
                Some(Block::Call { id: fit(id, LONGEST_ID, true), name, input: arguments })
            }
            // The call was named already; a result without its call is refused.
            Content::ToolResult { id, .. } if self.gone.contains(&id.raw()) => None,
            Content::ToolResult { id, is_error, parts } => {
                let is_error = *is_error && self.takes_status(part.at);
                let content = self.blocks(parts, Some(part.at));
                Some(Block::Result { id: fit(id, LONGEST_ID, true), is_error, content })
            }
            Content::Thinking { text, seal } => self.thinking(text, seal),
        }
    }

    fn takes_status(&mut self, at: At) -> bool {
        let takes = self.model.takes_status();
        if !takes {
            let field = format!("{}.is_error", at.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "is not known to this model; the text says it all the same");
        }
        takes
    }

    pub(super) fn lose(&mut self, at: At, why: &'static str) {
        self.losses.add(at.path(self.request.origin), Weight::Meaning, why);
    }

    /// Thinking goes to its maker only.
    pub(super) fn thinking(&self, text: &'j Escaped<'j>, seal: &'j Seals<'j>) -> Option<Block<'j>> {
        let (text, data, redacted) = match seal {
            Seals::None => return None,
            // A native turn of Anthropic's: any Claude reads it. Nobody reads one of OpenAI's.
            Seals::Native(data) | Seals::Redacted(data) => {
                let is_read = self.request.origin == Dialect::Anthropic && self.model.is_claude();
                let data = is_read.then(|| data.clone())?;
                (text.clone(), data, matches!(seal, Seals::Redacted(_)))
            }
            Seals::Carried(carrier) => {
                let seal = carrier.open(self.maker)?;
                let own = if seal.text.is_empty() { text.clone() } else { Escaped::of(&seal.text) };
                (own, Escaped::of(&seal.data), seal.id == REDACTED)
            }
        };
        Some(if redacted { Block::Redacted(data) } else { Block::Thinking { text, signature: data } })
    }
}
