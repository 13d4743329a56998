//! Reading an answer into the neutral form.
//!
//! A chunk of a stream and a whole answer are the same object. No chunk says that it is the last: the
//! answer is over when the stream ends after a finish reason, and until then the usage may still change.

mod part;
mod usage;

#[cfg(test)]
mod tests;

use part::Part;
use xxhash_rust::xxh3::xxh3_64;

use super::SealOf;
use crate::dialect::{
    answer::{MAX_DEPTH, error},
    json::{Kind, Walker},
    neutral::{BlockKind, Carrier, Escaped, Event, Json, Maker, Malformed, Seal, Show, Stop, StopReason},
    signal::UpstreamFault,
    translate::Frame,
};
use crate::types::ProviderDialect;

/// Reads a streamed answer.
pub(in crate::dialect) struct AnswerReader {
    maker: Maker,
    started: bool,
    /// Blocks opened so far.
    blocks: u32,
    /// The last of them is open still.
    open: Option<Kept>,
    calls: u32,
    /// What made-up ids of calls are made from, beside the call: it differs from turn to turn.
    salt: u64,
    tiered: bool,
    stop: Option<StopReason>,
    over: bool,
}

/// Blocks that several parts may go into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kept {
    Text,
    Thinking,
}

/// What an answer's object says beside its usage, to be shown in the right order.
#[derive(Default)]
struct Said<'a> {
    id: Option<Escaped<'a>>,
    model: Option<Escaped<'a>>,
    usage: Option<usage::Read>,
    fault: Option<UpstreamFault>,
    /// Where the candidates begin: they come before the id and the model, and are read after them.
    candidates: Option<Walker<'a>>,
    blocked: Option<Blocked<'a>>,
}

/// Why the prompt was not answered at all.
#[derive(Default)]
struct Blocked<'a> {
    reason: Option<Escaped<'a>>,
    message: Option<Escaped<'a>>,
}

impl AnswerReader {
    pub(in crate::dialect) const fn new(maker: Maker) -> Self {
        Self {
            maker,
            started: false,
            blocks: 0,
            open: None,
            calls: 0,
            salt: 0,
            tiered: false,
            stop: None,
            over: false,
        }
    }

    /// Shows what one event of the stream says.
    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.over || frame.data.is_empty() {
            return;
        }
        if let Err(malformed) = self.read(frame.data, show) {
            let message = format!("an event of the provider's cannot be read: {}", malformed.what);
            self.fail("api_error", "malformed_event", message, show);
        }
    }

    /// The stream ended cleanly.
    pub(in crate::dialect) fn end(&mut self, show: Show<'_>) {
        let Some(reason) = self.stop.take().filter(|_| !self.over) else { return };
        self.close(show);
        self.over = true;
        show(Event::Stop(Stop { reason, sequence: None }));
        show(Event::End);
    }

    fn fail(&mut self, kind: &str, code: &str, message: String, show: Show<'_>) {
        self.over = true;
        let (kind, code) = (kind.to_owned(), code.to_owned());
        show(Event::Error(UpstreamFault { kind, code, message, ..UpstreamFault::default() }));
    }

    fn read(&mut self, data: &[u8], show: Show<'_>) -> Result<(), Malformed> {
        let said = said(data)?;
        if let Some(fault) = said.fault {
            self.over = true;
            show(Event::Error(fault));
            return Ok(());
        }
        if !self.started {
            self.started = true;
            self.salt = said.id.as_ref().map_or(0, |id| xxh3_64(id.raw().as_bytes()));
            show(Event::Start { id: said.id, model: said.model });
        }
        if let Some(usage) = said.usage {
            if self.salt == 0 {
                // No id: at least the prompt grows from turn to turn.
                self.salt = usage.reported.input.unwrap_or(0);
            }
            show(Event::Usage(usage.reported));
            if let Some(tier) = usage.tier.filter(|_| !self.tiered) {
                self.tiered = true;
                show(Event::Tier(Escaped::plain(tier)));
            }
        }
        if let Some(blocked) = said.blocked {
            self.blocked(&blocked, show);
        }
        let Some(mut walker) = said.candidates else { return Ok(()) };
        let mut first = true;
        walker.elements(|walker| {
            // More than one is never asked for.
            if std::mem::take(&mut first) && walker.kind()? == Kind::Object {
                return self.candidate(walker, show);
            }
            walker.pass().map_err(Malformed::from)
        })
    }

    /// The prompt was refused: in words, because there will be no others.
    fn blocked(&mut self, blocked: &Blocked<'_>, show: Show<'_>) {
        let Some(reason) = &blocked.reason else { return };
        self.close(show);
        let block = self.next(show, BlockKind::Refusal);
        let text = match &blocked.message {
            Some(message) => message.clone(),
            None => Escaped::of(&format!("The prompt was blocked ({}).", reason.decode())),
        };
        show(Event::Delta { block, text });
        show(Event::Close { block });
        self.stop = Some(StopReason::Refusal);
    }

    fn candidate<'a>(&mut self, walker: &mut Walker<'a>, show: Show<'_>) -> Result<(), Malformed> {
        let (mut finish, mut message, mut sources) = (None, None, Vec::new());
        walker.members(|walker, key| {
            match key.raw {
                b"content" if walker.kind()? == Kind::Object => walker.members(|walker, key| {
                    if key.raw != b"parts" || walker.kind()? != Kind::Array {
                        return walker.pass().map_err(Malformed::from);
                    }
                    walker.elements(|walker| {
                        let part = Part::read(walker)?;
                        if !self.over {
                            self.part(part, show);
                        }
                        Ok::<(), Malformed>(())
                    })
                })?,
                b"finishReason" => finish = Escaped::read(walker)?,
                b"finishMessage" => message = Escaped::read(walker)?,
                b"groundingMetadata" => citations(walker, &[b"groundingChunks"], &mut sources)?,
                b"citationMetadata" => citations(walker, &[b"citationSources", b"citations"], &mut sources)?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        if self.over {
            return Ok(());
        }
        if self.open == Some(Kept::Text) {
            let block = self.blocks.saturating_sub(1);
            sources.into_iter().for_each(|citation| show(Event::Citation { block, citation }));
        }
        if let Some(reason) = finish {
            self.finish(&reason, message.as_ref(), show);
        }
        Ok(())
    }

    fn finish(&mut self, reason: &Escaped<'_>, message: Option<&Escaped<'_>>, show: Show<'_>) {
        match reason.raw() {
            // A call that cannot be read, or none that was offered: an answer without its end, which
            // must not look like a turn that is done.
            "MALFORMED_FUNCTION_CALL" | "UNEXPECTED_TOOL_CALL" | "MALFORMED_RESPONSE" => {
                self.broken("api_error", reason, message, show);
            }
            "MISSING_THOUGHT_SIGNATURE" => self.broken("invalid_request_error", reason, message, show),
            other => self.stop = Some(stop_of(other, self.calls > 0)),
        }
    }

    fn broken(&mut self, kind: &str, reason: &Escaped<'_>, message: Option<&Escaped<'_>>, show: Show<'_>) {
        let message = match message {
            Some(message) => message.decode().into_owned(),
            None => format!("The model's answer ended with {}.", reason.decode()),
        };
        self.fail(kind, &reason.decode().to_ascii_lowercase(), message, show);
    }

    fn part(&mut self, part: Part<'_>, show: Show<'_>) {
        if let Some(kind) = part.unspeakable {
            let message = format!("The model answered with `{kind}`, for which this API has no place.");
            return self.fail("invalid_request_error", "unsupported_output", message, show);
        }
        let carrier = part.signature.as_ref().map(|signature| self.seal(signature, &part));
        if let Some(call) = part.call {
            return self.call(call, carrier, show);
        }
        let kind = if part.thought { Kept::Thinking } else { Kept::Text };
        if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            let block = self.keep(kind, show);
            show(Event::Delta { block, text });
        }
        // The signature of a text is left out: Google would like it back, and demands it of calls only,
        // while to a client it would be a thought behind the answer's last words.
        if let Some(carrier) = carrier.filter(|_| part.thought) {
            let block = self.keep(kind, show);
            show(Event::Sealed { block, carrier });
            self.close(show);
        }
    }

    fn seal(&self, signature: &Escaped<'_>, part: &Part<'_>) -> Carrier {
        let of = if part.call.is_some() { SealOf::Call } else { SealOf::Thought };
        let seal = Seal {
            dialect: ProviderDialect::Gemini,
            id: of.id().to_owned(),
            text: String::new(),
            data: signature.decode().into_owned(),
        };
        Carrier { maker: self.maker, seal }
    }

    fn call(&mut self, call: part::Call<'_>, carrier: Option<Carrier>, show: Show<'_>) {
        self.close(show);
        self.calls = self.calls.saturating_add(1);
        let arguments = call.arguments.unwrap_or(Json::written("{}"));
        let id = match call.id {
            Some(id) if fits(&id) => id,
            Some(_) | None => made_up(self.calls, self.salt, &call.name, &arguments),
        };
        let block = self.next(show, BlockKind::ToolCall { id, name: call.name, carrier, custom: false });
        show(Event::Delta { block, text: arguments.spelled() });
        show(Event::Close { block });
    }

    /// The open block of this kind; opens one where there is none.
    fn keep(&mut self, kind: Kept, show: Show<'_>) -> u32 {
        if self.open == Some(kind) {
            return self.blocks.saturating_sub(1);
        }
        self.close(show);
        self.open = Some(kind);
        let kind = match kind {
            Kept::Text => BlockKind::Text,
            Kept::Thinking => BlockKind::Thinking,
        };
        self.next(show, kind)
    }

    fn next(&mut self, show: Show<'_>, kind: BlockKind<'_>) -> u32 {
        let block = self.blocks;
        self.blocks = self.blocks.saturating_add(1);
        show(Event::Open { block, kind });
        block
    }

    fn close(&mut self, show: Show<'_>) {
        if self.open.take().is_some() {
            show(Event::Close { block: self.blocks.saturating_sub(1) });
        }
    }
}

/// Reads a whole answer: shows the same events that a stream of it would.
pub(in crate::dialect) fn read_answer(body: &[u8], maker: Maker, show: Show<'_>) -> Result<(), Malformed> {
    let mut reader = AnswerReader::new(maker);
    reader.read(body, show)?;
    reader.end(show);
    Ok(())
}

fn said(data: &[u8]) -> Result<Said<'_>, Malformed> {
    let mut walker = Walker::new(data, MAX_DEPTH);
    let mut said = Said::default();
    walker.members(|walker, key| {
        match key.raw {
            b"candidates" => {
                let is_list = walker.kind()? == Kind::Array;
                said.candidates = is_list.then(|| walker.clone());
                walker.pass()?;
            }
            b"usageMetadata" => said.usage = usage::read(walker)?,
            b"responseId" => said.id = Escaped::read(walker)?,
            b"modelVersion" => said.model = Escaped::read(walker)?,
            b"error" => said.fault = error(walker)?,
            b"promptFeedback" if walker.kind()? == Kind::Object => {
                let mut blocked = Blocked::default();
                walker.members(|walker, key| {
                    match key.raw {
                        b"blockReason" => blocked.reason = Escaped::read(walker)?,
                        b"blockReasonMessage" => blocked.message = Escaped::read(walker)?,
                        _ => walker.pass()?,
                    }
                    Ok::<(), Malformed>(())
                })?;
                said.blocked = Some(blocked);
            }
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish()?;
    Ok(said)
}

/// Keeps the sources listed under one of these names.
fn citations<'a>(
    walker: &mut Walker<'a>,
    lists: &[&[u8]],
    sources: &mut Vec<Json<'a>>,
) -> Result<(), Malformed> {
    if walker.kind()? != Kind::Object {
        return walker.pass().map_err(Malformed::from);
    }
    walker.members(|walker, key| {
        if !lists.contains(&key.raw) || walker.kind()? != Kind::Array {
            return walker.pass().map_err(Malformed::from);
        }
        walker.elements(|walker| {
            sources.push(Json::read(walker)?);
            Ok::<(), Malformed>(())
        })
    })
}

/// google-genai 3.4.0 `FinishReason`.
fn stop_of(reason: &str, called: bool) -> StopReason {
    match reason {
        "STOP" if called => StopReason::ToolUse,
        // Whether it was a stop sequence is not said.
        "STOP" => StopReason::EndTurn,
        // `CONTINUATION`: a request's own limit is reached, and its token to go on has no place here.
        "MAX_TOKENS" | "CONTINUATION" => StopReason::MaxTokens,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "MODEL_ARMOR"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED" => StopReason::Refusal,
        _ => StopReason::Other,
    }
}

/// Ids that every client's dialect takes, the strictest being Anthropic's.
fn fits(id: &Escaped<'_>) -> bool {
    let id = id.raw().as_bytes();
    (1..=64).contains(&id.len()) && id.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The same for the same call in the same answer, however it is cut; another in another answer.
fn made_up(number: u32, salt: u64, name: &Escaped<'_>, arguments: &Json<'_>) -> Escaped<'static> {
    let of = format!("{salt:x}/{}/{}", name.raw(), arguments.as_str());
    Escaped::of(&format!("call_{number}_{:016x}", xxh3_64(of.as_bytes())))
}
