//! Claude through `InvokeModel`: Anthropic's bodies, in AWS's wrapping.

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;

use super::fault::{exception, unreadable};
use crate::{
    dialect::{
        answer::{MAX_DEPTH, count, members_or_skip},
        anthropic,
        json::Walker,
        neutral::{Escaped, Event, Losses, Maker, Malformed, Request, Show},
        translate::{Frame, Target},
    },
    types::ReportedUsage,
};

/// What AWS adds to Anthropic's last event.
const METRICS: &[u8] = b"amazon-bedrock-invocationMetrics";

/// Writes a request's body: Anthropic's, with the version in the body and the model in the path.
pub(in crate::dialect) fn write_claude_request(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Vec<u8> {
    anthropic::write_request(request, target, losses)
}

/// Reads a streamed answer: `chunk` events with one of Anthropic's in base64 each.
pub(in crate::dialect) struct ClaudeReader {
    inner: anthropic::AnswerReader,
    /// What Anthropic's own events said of the tokens.
    usage: ReportedUsage,
    scratch: Vec<u8>,
    over: bool,
}

impl ClaudeReader {
    pub(in crate::dialect) const fn new(maker: Maker) -> Self {
        Self {
            inner: anthropic::AnswerReader::new(maker),
            usage: ReportedUsage {
                input: None,
                cached_read: None,
                write_5m: None,
                write_1h: None,
                output: None,
                reasoning: None,
            },
            scratch: Vec::new(),
            over: false,
        }
    }

    pub(in crate::dialect) fn frame(&mut self, frame: &Frame<'_>, show: Show<'_>) {
        if self.over {
            return;
        }
        if frame.is_exception {
            self.over = true;
            show(Event::Error(exception(frame.kind, frame.data)));
        } else if frame.kind == "chunk"
            && let Err(malformed) = self.chunk(frame.data, show)
        {
            self.over = true;
            show(Event::Error(unreadable(&malformed.what)));
        }
    }

    pub(in crate::dialect) fn end(&mut self, show: Show<'_>) {
        if !self.over {
            self.inner.end(show);
        }
    }

    fn chunk(&mut self, data: &[u8], show: Show<'_>) -> Result<(), Malformed> {
        let mut bytes = None;
        let mut walker = Walker::new(data, MAX_DEPTH);
        walker.members(|walker, key| {
            match key.raw {
                b"bytes" => bytes = Escaped::read(walker)?,
                _ => walker.pass()?,
            }
            Ok::<(), Malformed>(())
        })?;
        let Some(bytes) = bytes else { return Ok(()) };
        self.scratch.clear();
        if STANDARD.decode_vec(bytes.decode().as_bytes(), &mut self.scratch).is_err() {
            return Err(Malformed::new("bytes", "a chunk is no base64"));
        }
        let Self { inner, usage, scratch, .. } = self;
        if memmem::find(scratch, METRICS).is_some()
            && let Some(rest) = metrics(scratch, usage)
        {
            show(Event::Usage(rest));
        }
        inner.frame(&Frame { kind: "", is_exception: false, data: scratch }, &mut |event| {
            if let Event::Usage(said) = &event {
                usage.overwrite(said);
            }
            show(event);
        });
        Ok(())
    }
}

/// AWS's own count, where Anthropic's events did not say: `None` if it adds nothing.
fn metrics(event: &[u8], said: &ReportedUsage) -> Option<ReportedUsage> {
    let mut found = ReportedUsage::default();
    let mut walker = Walker::new(event, MAX_DEPTH);
    let read = walker.members(|walker, key| {
        if key.raw != METRICS {
            return walker.pass();
        }
        members_or_skip(walker, |walker, key| {
            match key.raw {
                b"inputTokenCount" => found.input = count(walker)?,
                b"outputTokenCount" => found.output = count(walker)?,
                b"cacheReadInputTokenCount" => found.cached_read = count(walker)?,
                b"cacheWriteInputTokenCount" => found.write_5m = count(walker)?,
                _ => walker.pass()?,
            }
            Ok(())
        })
    });
    read.ok()?;
    let known_write = said.write_5m.is_some() || said.write_1h.is_some();
    let rest = ReportedUsage {
        input: found.input.filter(|_| said.input.is_none()),
        cached_read: found.cached_read.filter(|_| said.cached_read.is_none()),
        write_5m: found.write_5m.filter(|_| !known_write),
        write_1h: None,
        output: found.output.filter(|_| said.output.is_none()),
        reasoning: None,
    };
    (rest != ReportedUsage::default()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of these events of Anthropic's, wrapped.
    fn shown(chunks: &[&str]) -> Vec<String> {
        let mut reader = ClaudeReader::new(Maker::of("aws"));
        let mut seen = Vec::new();
        for chunk in chunks {
            let data = format!(r#"{{"bytes":"{}","p":"abcd"}}"#, STANDARD.encode(chunk));
            let frame = Frame { kind: "chunk", is_exception: false, data: data.as_bytes() };
            reader.frame(&frame, &mut |event| seen.push(format!("{event:?}")));
        }
        seen
    }

    #[test]
    fn what_aws_counted_is_told_where_nothing_else_is_known() {
        let seen = shown(&[
            r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":3,"invocationLatency":9}}"#,
        ]);
        assert!(seen[0].contains("input: Some(7)") && seen[0].contains("output: Some(3)"), "{seen:?}");
        let said = ReportedUsage { input: Some(5), output: Some(3), ..ReportedUsage::default() };
        let event = br#"{"amazon-bedrock-invocationMetrics":{"inputTokenCount":7,"outputTokenCount":9}}"#;
        assert_eq!(metrics(event, &said), None);
    }

    #[test]
    fn exceptions_and_nonsense_are_errors_and_the_last_word() {
        for (kind, is_exception, data) in [
            ("throttlingException", true, r#"{"message":"slow"}"#),
            ("chunk", false, r#"{"bytes":"!!"}"#),
            ("chunk", false, r#"{"bytes":"#),
        ] {
            let mut reader = ClaudeReader::new(Maker::of("aws"));
            let mut seen = Vec::new();
            for _ in 0..2 {
                let frame = Frame { kind, is_exception, data: data.as_bytes() };
                reader.frame(&frame, &mut |event| seen.push(format!("{event:?}")));
            }
            assert_eq!(seen.len(), 1, "{data}");
            assert!(seen[0].starts_with("Error"), "{data}");
        }
    }
}
