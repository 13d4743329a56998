//! Reading a request into the neutral form.
//!
//! One pass. State that lives at one provider (`previous_response_id`, `conversation`, `prompt`,
//! references to stored items) cannot be carried anywhere and is written down as a loss of meaning.

mod content;
mod input;
mod options;
mod take;
mod tools;

use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Key, Kind, Walker},
    neutral::{At, Content, Losses, Malformed, Part, Request, Weight},
};
use crate::types::Dialect;

use take::Here;

/// Why a member of a state that one provider keeps cannot be carried.
const STATE: &str = "names a state that only the provider keeps that made it";
const ELSEWHERE: &str = "is unknown to the provider";

/// Reads a request's body.
pub(in crate::dialect) fn read_request<'a>(
    body: &'a [u8],
    losses: &mut Losses,
) -> Result<Request<'a>, Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    if walker.kind()? != Kind::Object {
        return Err(Malformed::new("", "it must be an object"));
    }
    let mut reading = Reading {
        losses,
        request: Request::new(Dialect::OpenAiResponses),
        instructions: None,
        has_input: false,
        has_state: false,
        wants_logprobs: false,
    };
    walker.members(|walker, key| reading.member(walker, &key))?;
    walker.finish()?;
    reading.finish()
}

/// A request while it is read.
struct Reading<'a, 'l> {
    losses: &'l mut Losses,
    request: Request<'a>,
    /// Stands before the input, wherever it stands in the body.
    instructions: Option<Part<'a>>,
    has_input: bool,
    /// What is to be answered lies at a provider, and need not be in the body.
    has_state: bool,
    wants_logprobs: bool,
}

impl<'a> Reading<'a, '_> {
    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>) -> Result<(), Malformed> {
        walker.kind()?;
        let start = walker.at();
        if !self.known(walker, key.raw)? && !self.setting(walker, key.raw)? && !self.left(walker, key.raw)? {
            let name = take::name(key.raw);
            if !take::is_unset(walker)? {
                self.losses.add(name, Weight::Meaning, ELSEWHERE);
            }
        }
        if let Some(name) = echoed(key.raw) {
            let value = take::spelled(walker, start)?;
            if value.as_str() != "null" {
                self.request.echo.retain(|(known, _)| *known != name);
                self.request.echo.push((name, value));
            }
        }
        Ok(())
    }

    /// Reads a member that the neutral form has a place for.
    fn known(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<bool, Malformed> {
        let request = &mut self.request;
        let here = Here::top;
        match key {
            b"model" => walker.pass()?,
            b"input" => {
                self.has_input = true;
                input::read(walker, request, self.losses)?;
            }
            b"instructions" => {
                let text = take::string(walker, here("instructions"))?;
                self.instructions =
                    text.map(|text| Part { at: At::System(0), content: Content::Text(text), mark: None });
            }
            b"tools" => tools::read(walker, request, self.losses)?,
            b"tool_choice" => request.tool_choice = tools::choice(walker, self.losses)?,
            b"stream" => request.stream = take::boolean(walker, here("stream"))?.unwrap_or(false),
            b"max_output_tokens" => request.max_output = take::count(walker, here("max_output_tokens"))?,
            b"temperature" => request.sampling.temperature = take::number(walker, here("temperature"))?,
            b"top_p" => request.sampling.top_p = take::number(walker, here("top_p"))?,
            b"parallel_tool_calls" => {
                request.parallel_tools = take::boolean(walker, here("parallel_tool_calls"))?;
            }
            b"reasoning" => options::reasoning(walker, request, self.losses)?,
            b"text" => options::text(walker, request, self.losses)?,
            b"prompt_cache_key" => request.cache.key = take::string(walker, here("prompt_cache_key"))?,
            b"prompt_cache_retention" => options::retention(walker, request)?,
            b"prompt_cache_options" => options::cache(walker, request, self.losses)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Reads a member that tells more about another one, or about the caller.
    fn setting(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<bool, Malformed> {
        let request = &mut self.request;
        match key {
            b"include" => self.wants_logprobs |= options::include(walker, self.losses)?,
            b"top_logprobs" => {
                let most = take::count(walker, Here::top("top_logprobs"))?;
                request.sampling.logprobs = most.filter(|most| *most > 0);
            }
            b"safety_identifier" => {
                request.user = take::string(walker, Here::top("safety_identifier"))?.or(request.user.take());
            }
            b"user" => {
                let user = take::string(walker, Here::top("user"))?;
                request.user = request.user.take().or(user);
            }
            b"service_tier" => {
                let tier = take::string(walker, Here::top("service_tier"))?;
                request.tier = tier.filter(|tier| tier.raw() != "auto");
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Passes a member that no other dialect has a word for.
    fn left(&mut self, walker: &mut Walker<'a>, key: &[u8]) -> Result<bool, Malformed> {
        let (name, weight, why) = match key {
            // We keep nothing, and say so in the answer.
            b"store" | b"stream_options" => {
                walker.pass()?;
                return Ok(true);
            }
            b"previous_response_id" => ("previous_response_id", Weight::Meaning, STATE),
            b"conversation" => ("conversation", Weight::Meaning, STATE),
            b"prompt" => ("prompt", Weight::Meaning, STATE),
            b"background" => ("background", Weight::Meaning, STATE),
            b"moderation" => ("moderation", Weight::Meaning, ELSEWHERE),
            b"metadata" => ("metadata", Weight::Hint, ELSEWHERE),
            b"client_metadata" => ("client_metadata", Weight::Hint, ELSEWHERE),
            b"max_tool_calls" => ("max_tool_calls", Weight::Hint, "counts the calls of hosted tools only"),
            b"background_options" => ("background_options", Weight::Hint, ELSEWHERE),
            b"context_management" => ("context_management", Weight::Hint, ELSEWHERE),
            b"access_programs" => ("access_programs", Weight::Hint, ELSEWHERE),
            b"image" => ("image", Weight::Hint, ELSEWHERE),
            b"truncation" => {
                let how = take::string(walker, Here::top("truncation"))?;
                if how.is_some_and(|how| how.raw() != "disabled") {
                    self.losses.add("truncation", Weight::Hint, ELSEWHERE);
                }
                return Ok(true);
            }
            _ => return Ok(false),
        };
        if !take::is_unset(walker)? {
            self.has_state |= why == STATE;
            self.losses.add(name, weight, why);
        }
        Ok(true)
    }

    fn finish(self) -> Result<Request<'a>, Malformed> {
        let Self { mut request, instructions, has_input, has_state, wants_logprobs, .. } = self;
        if !has_input && !has_state {
            return Err(Malformed::new("input", "is missing"));
        }
        if let Some(part) = instructions {
            request.system.insert(0, part);
        }
        if wants_logprobs && request.sampling.logprobs.is_none() {
            request.sampling.logprobs = Some(0);
        }
        Ok(request)
    }
}

/// The name of a member that the answer repeats.
fn echoed(key: &[u8]) -> Option<&'static str> {
    const ECHOED: [&str; 15] = [
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "parallel_tool_calls",
        "prompt_cache_key",
        "reasoning",
        "safety_identifier",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
    ];
    ECHOED.into_iter().find(|name| name.as_bytes() == key)
}

#[cfg(test)]
mod tests;
