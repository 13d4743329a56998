//! Writing an answer from the neutral form.
//!
//! Source: openai 3.54.0, `types/chat/chat_completion_chunk.py` and `chat_completion.py`. Thinking is no
//! member of OpenAI's; most hosts call it `reasoning_content`, and so do we.

mod sealed;
mod shared;
#[cfg(test)]
mod tests;
mod whole;

use self::sealed::Sealed;
pub(in crate::dialect) use self::whole::write_answer;
use crate::{
    dialect::{
        neutral::{BlockKind, Carrier, Escaped, Event, Stop, Writer},
        signal::UpstreamFault,
        translate::Asked,
    },
    types::ReportedUsage,
};

/// What stands between one thought and the next.
const BETWEEN: &str = "\\n\\n";
/// Blocks open at a time; those beyond are a hostile provider's, and say nothing more.
const MOST_OPEN: usize = 1_024;

/// Writes a streamed answer.
pub(in crate::dialect) struct AnswerWriter {
    asked: Asked,
    /// How every chunk begins: `{"id":...,"model":...`.
    head: Vec<u8>,
    open: Vec<Open>,
    /// Calls so far.
    calls: u64,
    has_thought: bool,
    has_refusal: bool,
    sealed: Sealed,
    usage: ReportedUsage,
    tier: Option<&'static str>,
    over: bool,
}

/// An open block.
struct Open {
    block: u32,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Text,
    /// The first of them is the first thing thought.
    Thinking {
        begun: bool,
    },
    Refusal,
    /// By its index. Whether anything has come of its arguments.
    Call {
        index: u64,
        begun: bool,
    },
    Custom {
        index: u64,
    },
}

impl AnswerWriter {
    pub(in crate::dialect) fn new(asked: Asked) -> Self {
        Self {
            asked,
            head: Vec::new(),
            open: Vec::new(),
            calls: 0,
            has_thought: false,
            has_refusal: false,
            sealed: Sealed::default(),
            usage: ReportedUsage::default(),
            tier: None,
            over: false,
        }
    }

    /// Appends the client's events, whole ones only, that say what `event` says.
    pub(in crate::dialect) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { model, .. } => self.start(model.as_ref(), out),
            Event::Open { block, kind } => self.open(*block, kind, out),
            Event::Delta { block, text } => self.delta(*block, text, out),
            Event::Sealed { block, carrier } => {
                let is_thinking = |open: &Open| matches!(open.kind, Kind::Thinking { .. });
                if self.find(*block).is_some_and(|open| is_thinking(open)) {
                    self.sealed.seal(carrier);
                }
            }
            Event::Citation { citation, .. } => {
                let mut annotations = Vec::new();
                shared::citation(&mut Writer::new(&mut annotations), citation);
                if !annotations.is_empty() {
                    self.chunk(out, None, |out| {
                        out.extend_from_slice(b"{\"annotations\":[");
                        out.extend_from_slice(&annotations);
                        out.extend_from_slice(b"]}");
                    });
                }
            }
            Event::Close { block } => self.close(*block, out),
            Event::Usage(usage) => self.usage.overwrite(usage),
            Event::Tier(tier) => self.tier = shared::tier(tier),
            Event::Stop(stop) => self.stop(stop, out),
            Event::End => self.end(out),
            Event::Ping => out.extend_from_slice(b": ping\n\n"),
            Event::Error(fault) => self.error(fault, out),
        }
    }

    fn start(&mut self, model: Option<&Escaped<'_>>, out: &mut Vec<u8>) {
        self.set_head(model);
        self.chunk(out, None, |out| {
            out.extend_from_slice(br#"{"role":"assistant","content":"","refusal":null}"#);
        });
    }

    fn set_head(&mut self, model: Option<&Escaped<'_>>) {
        let asked = Escaped::of(&self.asked.model);
        self.head = format!(
            r#"{{"id":"chatcmpl-{}","object":"chat.completion.chunk","created":{},"model":"{}""#,
            self.asked.id,
            self.asked.created,
            model.unwrap_or(&asked).raw()
        )
        .into_bytes();
    }

    /// One chunk with one choice, whose delta `inside` writes.
    fn chunk(&mut self, out: &mut Vec<u8>, finish: Option<&str>, inside: impl FnOnce(&mut Vec<u8>)) {
        if self.head.is_empty() {
            // A provider that never began.
            self.set_head(None);
        }
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&self.head);
        out.extend_from_slice(br#","choices":[{"index":0,"delta":"#);
        inside(out);
        out.extend_from_slice(br#","logprobs":null,"finish_reason":"#);
        match finish {
            None => out.extend_from_slice(b"null}]"),
            Some(reason) => {
                out.push(b'"');
                out.extend_from_slice(reason.as_bytes());
                out.extend_from_slice(b"\"}]");
            }
        }
        if self.asked.include_usage {
            out.extend_from_slice(br#","usage":null"#);
        }
        self.tail(out);
    }

    fn tail(&self, out: &mut Vec<u8>) {
        if let Some(tier) = self.tier {
            out.extend_from_slice(br#","service_tier":""#);
            out.extend_from_slice(tier.as_bytes());
            out.push(b'"');
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn find(&mut self, block: u32) -> Option<&mut Open> {
        self.open.iter_mut().rev().find(|open| open.block == block)
    }

    fn open(&mut self, block: u32, kind: &BlockKind<'_>, out: &mut Vec<u8>) {
        let kind = match kind {
            BlockKind::Text => Kind::Text,
            BlockKind::Thinking => {
                self.sealed.close();
                Kind::Thinking { begun: false }
            }
            BlockKind::Refusal => Kind::Refusal,
            BlockKind::ToolCall { id, name, carrier, custom } => {
                self.open_call(id, name, carrier.as_ref(), *custom, out)
            }
        };
        if self.open.len() < MOST_OPEN {
            self.open.push(Open { block, kind });
        }
    }

    fn open_call(
        &mut self,
        id: &Escaped<'_>,
        name: &Escaped<'_>,
        carrier: Option<&Carrier>,
        custom: bool,
        out: &mut Vec<u8>,
    ) -> Kind {
        let id = self.sealed.call_id(id, carrier);
        let index = self.calls;
        self.calls += 1;
        let (kind, arguments) = if custom { ("custom", "input") } else { ("function", "arguments") };
        self.chunk(out, None, |out| {
            Writer::new(out).object(|w| {
                w.key("tool_calls").array(|w| {
                    w.object(|w| {
                        w.key("index").number(index);
                        w.key("id").escaped(&id);
                        w.key("type").text(kind);
                        w.key(kind).object(|w| {
                            w.key("name").escaped(name);
                            w.key(arguments).text("");
                        });
                    });
                });
            });
        });
        if custom { Kind::Custom { index } } else { Kind::Call { index, begun: false } }
    }

    fn delta(&mut self, block: u32, text: &Escaped<'_>, out: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let has_thought = self.has_thought;
        let Some(open) = self.find(block) else { return };
        let kind = open.kind;
        match &mut open.kind {
            Kind::Call { begun, .. } | Kind::Thinking { begun } => *begun = true,
            Kind::Text | Kind::Refusal | Kind::Custom { .. } => {}
        }
        let raw = text.raw();
        match kind {
            Kind::Text => self.said(out, "content", &[raw]),
            Kind::Refusal => {
                self.has_refusal = true;
                self.said(out, "refusal", &[raw]);
            }
            Kind::Thinking { begun } => {
                self.sealed.think(text);
                self.has_thought = true;
                let between = if begun || !has_thought { "" } else { BETWEEN };
                self.said(out, "reasoning_content", &[between, raw]);
            }
            Kind::Call { index, .. } => self.argued(out, index, ["function", "arguments"], raw),
            Kind::Custom { index } => self.argued(out, index, ["custom", "input"], raw),
        }
    }

    fn said(&mut self, out: &mut Vec<u8>, member: &str, pieces: &[&str]) {
        self.chunk(out, None, |out| Writer::new(out).object(|w| w.key(member).joined(pieces)));
    }

    fn argued(&mut self, out: &mut Vec<u8>, index: u64, [kind, member]: [&str; 2], raw: &str) {
        self.chunk(out, None, |out| {
            Writer::new(out).object(|w| {
                w.key("tool_calls").array(|w| {
                    w.object(|w| {
                        w.key("index").number(index);
                        w.key(kind).object(|w| w.key(member).joined(&[raw]));
                    });
                });
            });
        });
    }

    fn close(&mut self, block: u32, out: &mut Vec<u8>) {
        let Some(at) = self.open.iter().rposition(|open| open.block == block) else { return };
        match self.open.remove(at).kind {
            // Clients read the arguments as JSON, which nothing is not.
            Kind::Call { index, begun: false } => self.argued(out, index, ["function", "arguments"], "{}"),
            Kind::Thinking { .. } => self.sealed.close(),
            Kind::Text | Kind::Refusal | Kind::Call { .. } | Kind::Custom { .. } => {}
        }
    }

    fn stop(&mut self, stop: &Stop<'_>, out: &mut Vec<u8>) {
        while let Some(open) = self.open.first() {
            let block = open.block;
            self.close(block, out);
        }
        let reason = shared::finish(stop.reason, self.calls > 0, self.has_refusal);
        self.chunk(out, Some(reason), |out| out.extend_from_slice(b"{}"));
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        if self.asked.include_usage {
            if self.head.is_empty() {
                self.set_head(None);
            }
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(&self.head);
            out.extend_from_slice(br#","choices":[],"usage":"#);
            shared::usage(&mut Writer::new(out), &self.usage);
            self.tail(out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }

    /// The error, as OpenAI's own streams tell it. Clients read no further.
    fn error(&mut self, fault: &UpstreamFault, out: &mut Vec<u8>) {
        self.over = true;
        let or_null = |w: &mut Writer<'_>, text: &str| {
            if text.is_empty() { w.null() } else { w.text(text) }
        };
        out.extend_from_slice(b"data: ");
        Writer::new(out).object(|w| {
            w.key("error").object(|w| {
                w.key("message").text(&fault.message);
                w.key("type").text(if fault.kind.is_empty() { "server_error" } else { &fault.kind });
                or_null(w.key("param"), &fault.param);
                or_null(w.key("code"), &fault.code);
            });
        });
        out.extend_from_slice(b"\n\n");
    }
}
