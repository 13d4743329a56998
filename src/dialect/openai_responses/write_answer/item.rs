//! One item of the output.

use super::response::Head;
use crate::dialect::{
    answer::MAX_DEPTH,
    json::{Kind as JsonKind, Walker},
    neutral::{Answer, BlockKind, Carrier, Escaped, Json, Malformed, StopReason, Writer, with_carrier},
};

use super::citation;

/// An item as far as it has come.
pub(super) struct Item {
    pub id: String,
    pub kind: Kind,
    /// What was said in it, escaped.
    pub text: String,
    /// Characters of it, to tell where a citation ends. Counted in texts only.
    pub chars: u64,
    pub seal: Option<Escaped<'static>>,
    pub annotations: Vec<Json<'static>>,
    pub status: Status,
}

/// What an item is.
pub(super) enum Kind {
    Text,
    Refusal,
    Thinking,
    Call { id: Escaped<'static>, name: Escaped<'static>, form: Form },
}

/// In what form a call's arguments come, and go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// JSON, to a function.
    Json,
    /// Free text, to a free-form tool.
    Free,
    /// JSON with the free text in it, as from providers that have no free-form tools. It can be taken
    /// out only when it is complete.
    Wrapped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    /// Of what was said last before this stop.
    pub(super) const fn at(stop: Option<StopReason>) -> Self {
        match stop {
            Some(StopReason::MaxTokens | StopReason::ContextWindow) => Self::Incomplete,
            Some(
                StopReason::EndTurn
                | StopReason::ToolUse
                | StopReason::StopSequence
                | StopReason::Refusal
                | StopReason::Pause
                | StopReason::Other,
            )
            | None => Self::Completed,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::InProgress => "in_progress",
            Self::Completed => "completed",
            Self::Incomplete => "incomplete",
        }
    }
}

impl Item {
    /// The item that a block becomes; `at` is its place in the output.
    pub(super) fn new(block: &BlockKind<'_>, at: usize, head: &Head) -> Self {
        let (prefix, kind) = match block {
            BlockKind::Text => ("msg", Kind::Text),
            BlockKind::Refusal => ("msg", Kind::Refusal),
            BlockKind::Thinking => ("rs", Kind::Thinking),
            BlockKind::ToolCall { id, name, carrier, custom } => {
                let form = match (*custom, head.is_free(name)) {
                    (true, _) => Form::Free,
                    (false, true) => Form::Wrapped,
                    (false, false) => Form::Json,
                };
                let id = match carrier {
                    Some(carrier) => with_carrier(id, carrier),
                    None => id.clone().into_owned(),
                };
                let prefix = if form == Form::Json { "fc" } else { "ctc" };
                (prefix, Kind::Call { id, name: name.clone().into_owned(), form })
            }
        };
        Self {
            id: format!("{prefix}_{}_{at}", head.id),
            kind,
            text: String::new(),
            chars: 0,
            seal: None,
            annotations: Vec::new(),
            status: Status::InProgress,
        }
    }

    /// About how much is kept of it.
    pub(super) fn size(&self) -> usize {
        let kind = match &self.kind {
            Kind::Text | Kind::Refusal | Kind::Thinking => 0,
            Kind::Call { id, name, .. } => id.raw().len() + name.raw().len(),
        };
        let seal = self.seal.as_ref().map_or(0, |seal| seal.raw().len());
        let cited: usize = self.annotations.iter().map(|annotation| annotation.as_str().len()).sum();
        self.id.len() + kind + self.text.len() + seal + cited
    }

    pub(super) fn push(&mut self, text: &Escaped<'_>) {
        if matches!(self.kind, Kind::Text) {
            self.chars += text.chars();
        }
        self.text.push_str(text.raw());
    }

    pub(super) fn text(&self) -> Escaped<'_> {
        Escaped::plain(&self.text)
    }

    /// No more will be said, and it is not whole.
    pub(super) fn break_off(&mut self) {
        if self.status == Status::InProgress {
            self.status = Status::Incomplete;
        }
    }

    /// Everything has been said: brings a call's arguments into the form that the client expects. Whether
    /// no delta has said them in that form.
    pub(super) fn settle(&mut self) -> bool {
        let Kind::Call { form, .. } = &self.kind else { return false };
        match form {
            Form::Free => false,
            Form::Json => {
                let is_silent = self.text.trim().is_empty();
                if is_silent {
                    "{}".clone_into(&mut self.text);
                }
                is_silent
            }
            Form::Wrapped => {
                if let Some(inside) = unwrapped(&self.text()) {
                    self.text = inside;
                }
                true
            }
        }
    }

    /// Writes it as far as it has come.
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("id").escaped(&Escaped::plain(&self.id));
            match &self.kind {
                Kind::Text | Kind::Refusal => self.message(w),
                Kind::Thinking => self.thinking(w),
                Kind::Call { id, name, form } => {
                    let (kind, arguments) = match form {
                        Form::Json => ("function_call", "arguments"),
                        Form::Free | Form::Wrapped => ("custom_tool_call", "input"),
                    };
                    w.key("type").escaped(&Escaped::plain(kind));
                    // The official type of a free-form call has no status.
                    if *form == Form::Json {
                        w.key("status").escaped(&Escaped::plain(self.status.label()));
                    }
                    w.key("call_id").escaped(id);
                    w.key("name").escaped(name);
                    w.key(arguments).escaped(&self.shown());
                }
            }
        });
    }

    /// What may be shown of its text now.
    fn shown(&self) -> Escaped<'_> {
        if self.status == Status::InProgress { Escaped::default() } else { self.text() }
    }

    fn message(&self, w: &mut Writer<'_>) {
        w.key("type").text("message");
        w.key("status").escaped(&Escaped::plain(self.status.label()));
        w.key("role").text("assistant");
        w.key("content").array(|w| {
            if self.status != Status::InProgress {
                self.part(w);
            }
        });
    }

    /// The one piece of a message.
    pub(super) fn part(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            if matches!(self.kind, Kind::Refusal) {
                w.key("type").text("refusal");
                w.key("refusal").escaped(&self.shown());
                return;
            }
            w.key("type").text("output_text");
            w.key("text").escaped(&self.shown());
            w.key("annotations").array(|w| {
                for annotation in self.annotations.iter().filter(|_| self.status != Status::InProgress) {
                    w.json(annotation);
                }
            });
            w.key("logprobs").array(|_| {});
        });
    }

    fn thinking(&self, w: &mut Writer<'_>) {
        w.key("type").text("reasoning");
        w.key("summary").array(|w| {
            if self.status != Status::InProgress && !self.text.is_empty() {
                self.summary(w);
            }
        });
        if let Some(seal) = &self.seal {
            w.key("encrypted_content").escaped(seal);
        }
    }

    /// The one piece of a summary.
    pub(super) fn summary(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("type").text("summary_text");
            w.key("text").escaped(&self.shown());
        });
    }
}

/// The free text in the arguments of a function that takes nothing else: the one string in it, as it
/// stands.
fn unwrapped(arguments: &Escaped<'_>) -> Option<String> {
    let object = arguments.spelled()?;
    let mut walker = Walker::new(object.as_str().as_bytes(), MAX_DEPTH);
    let mut found = None;
    let mut members = 0;
    let read = walker.members(|walker, _| {
        members += 1;
        if walker.kind()? == JsonKind::String {
            found = Escaped::read(walker)?.map(Escaped::into_owned);
            return Ok(());
        }
        walker.pass().map_err(Malformed::from)
    });
    found.filter(|_| read.is_ok() && members == 1).map(|text| text.raw().to_owned())
}

/// The items of a whole answer.
pub(super) fn of(answer: &Answer, head: &Head) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::with_capacity(answer.blocks.len());
    for block in &answer.blocks {
        let joins = matches!(block.kind, BlockKind::Text)
            && items.last().is_some_and(|last| matches!(last.kind, Kind::Text));
        if !joins {
            let at = items.len();
            items.push(Item::new(&block.kind, at, head));
        }
        let Some(item) = items.last_mut() else { continue };
        item.push(&block.text());
        for source in &block.citations {
            item.annotations.extend(citation::annotation(source, item.chars));
        }
        item.seal = block.seal.as_ref().filter(|_| matches!(item.kind, Kind::Thinking)).map(Carrier::pack);
    }
    let last = items.len().saturating_sub(1);
    for (at, item) in items.iter_mut().enumerate() {
        item.status = if at == last { Status::at(answer.stop) } else { Status::Completed };
        item.settle();
    }
    items
}
