//! Reading a request into the neutral form.
//!
//! What OpenAI documents is understood, and what its compatible hosts are sent beyond that (`top_k`,
//! `reasoning`, `thinking`, `cache_control`, `reasoning_content`). Source: openai 3.54.0,
//! `types/chat/completion_create_params.py`.

mod content;
mod media;
mod messages;
mod settings;
#[cfg(test)]
mod tests;
mod tools;
mod value;

use crate::{
    dialect::{
        answer::MAX_DEPTH,
        json::{Key, Walker},
        neutral::{Escaped, Losses, Malformed, Request, Weight},
    },
    types::Dialect,
};

/// Reads a request's body.
pub(in crate::dialect) fn read_request<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Request<'a>, Malformed> {
    let mut found = Found {
        request: Request::new(Dialect::OpenAiChat),
        losses,
        max_tokens: None,
        user: None,
        has_messages: false,
    };
    let mut walker = Walker::new(body, MAX_DEPTH);
    walker.members(|walker, key| found.member(walker, key))?;
    walker.finish()?;
    found.settle()
}

/// What has been read so far.
struct Found<'a, 'l> {
    request: Request<'a>,
    losses: &'l mut Losses,
    /// `max_tokens`, the older name: `max_completion_tokens` goes before it.
    max_tokens: Option<u64>,
    /// `user`, the older name: `safety_identifier` goes before it.
    user: Option<Escaped<'a>>,
    has_messages: bool,
}

impl<'a> Found<'a, '_> {
    fn member(&mut self, walker: &mut Walker<'a>, key: Key<'a>) -> Result<(), Malformed> {
        match key.raw {
            b"messages" => {
                self.has_messages = value::is_array(walker, &"messages")?;
                if self.has_messages {
                    messages::read(walker, &mut self.request, self.losses)?;
                }
                Ok(())
            }
            // The target's name for it goes up in its place.
            b"model" => value::string(walker, &"model").map(drop),
            b"tools" => tools::definitions(walker, &mut self.request.tools, self.losses),
            b"tool_choice" => {
                self.request.tool_choice = tools::choice(walker, self.losses)?;
                Ok(())
            }
            b"parallel_tool_calls" => {
                self.request.parallel_tools = value::bool(walker, &"parallel_tool_calls")?;
                Ok(())
            }
            _ => self.setting(walker, key.raw),
        }
    }

    fn settle(mut self) -> Result<Request<'a>, Malformed> {
        if !self.has_messages {
            return Err(Malformed::new("messages", "is missing"));
        }
        let request = &mut self.request;
        request.max_output = request.max_output.or(self.max_tokens);
        match (&request.user, self.user) {
            (Some(one), Some(other)) if *one != other => {
                self.losses.add("user", Weight::Hint, "is left out: `safety_identifier` says who it is");
            }
            (None, Some(user)) => request.user = Some(user),
            (Some(_) | None, _) => {}
        }
        Ok(self.request)
    }
}
