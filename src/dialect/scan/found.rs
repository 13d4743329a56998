//! What a scan has found so far.

use std::collections::VecDeque;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::{
    dialect::{
        json::{self, Walker},
        neutral::BEHIND_TOOL_ID,
        scan::ScanError,
        view::{
            Block, BodyIds, HardPin, Mark, MarkLife, PinKind, Place, Prewarm, RequestView, Settings, Span,
            TtlAsked, Value,
        },
    },
    types::{ModelName, Operation, Section},
};

/// As many ids as [`RequestView::tool_result_ids`] promises.
const MAX_RESULTS: usize = 64;
/// As many pins as [`RequestView::pins`] promises.
const MAX_PINS: usize = 64;

/// The view in the making; spans are decoded at the end, and only those that are kept.
pub(crate) struct Found<'a> {
    body: &'a [u8],
    body_start: usize,
    pub(super) empty: bool,
    /// Fields seen, one bit each.
    pub(super) seen: u32,
    pub(super) model: Option<Value<ModelName>>,
    pub(super) stream: bool,
    pub(super) background: bool,
    pub(super) max_output_tokens: Option<u64>,
    pub(super) includes_usage: bool,
    pub(super) stream_options: Option<Span>,
    pub(super) ids: BodyIds,
    pub(super) ttl: TtlAsked,
    /// `cache_control` stands at the top: the last block is a breakpoint.
    pub(super) marks_last: bool,
    settings: Settings,
    signed_thinking: bool,
    images: bool,
    markers: u8,
    marks: Vec<Placed>,
    pub(super) auto_mark: Option<(Span, MarkLife)>,
    pub(super) cache_key: Option<Span>,
    pub(super) max_tokens_at: Option<Span>,
    pub(super) stream_at: Option<Span>,
    /// Something that no request without an answer can have.
    pub(super) wants_answer: bool,
    tools: Vec<Block>,
    system: Vec<Block>,
    messages: Vec<Block>,
    /// Blocks and remembered parts that may still come.
    left: usize,
    has_history: bool,
    results: VecDeque<Span>,
    reply: Vec<Span>,
    /// The last message was made by the model: what follows from it belongs to the same reply.
    in_reply: bool,
    /// The last message held tool results.
    in_results: bool,
    pins: Vec<HardPin>,
    encrypted_content: bool,
}

/// A breakpoint, until the order of the sections is known.
struct Placed {
    /// Its list (tools, system, messages) and its place there; `None` until its block has ended.
    block: Option<(Part, usize)>,
    value: Span,
    life: MarkLife,
}

#[derive(Clone, Copy)]
enum Part {
    Tools,
    System,
    Messages,
}

impl<'a> Found<'a> {
    pub(super) fn new(body: &'a [u8], body_start: usize, max_blocks: usize) -> Self {
        Self {
            body,
            body_start,
            empty: true,
            seen: 0,
            model: None,
            stream: false,
            background: false,
            max_output_tokens: None,
            includes_usage: false,
            stream_options: None,
            ids: BodyIds::default(),
            ttl: TtlAsked::None,
            marks_last: false,
            settings: Settings::default(),
            signed_thinking: false,
            images: false,
            markers: 0,
            marks: Vec::new(),
            auto_mark: None,
            cache_key: None,
            max_tokens_at: None,
            stream_at: None,
            wants_answer: false,
            tools: Vec::new(),
            system: Vec::new(),
            messages: Vec::new(),
            left: max_blocks,
            has_history: false,
            results: VecDeque::new(),
            reply: Vec::new(),
            in_reply: false,
            in_results: false,
            pins: Vec::new(),
            encrypted_content: false,
        }
    }

    /// Counts something that takes memory.
    pub(crate) fn count(&mut self, walker: &Walker<'_>) -> Result<(), ScanError> {
        self.left = self.left.checked_sub(1).ok_or_else(|| ScanError {
            message: "the prompt has too many blocks".to_owned(),
            field: None,
            offset: walker.at(),
        })?;
        Ok(())
    }

    /// Adds a block to its section; blocks of messages are placed with [`Self::close_message`].
    pub(crate) fn block(&mut self, walker: &Walker<'_>, block: Block) -> Result<(), ScanError> {
        self.count(walker)?;
        let (part, list) = match block.section {
            Section::Tools => (Part::Tools, &mut self.tools),
            Section::System => (Part::System, &mut self.system),
            Section::User | Section::Assistant => (Part::Messages, &mut self.messages),
        };
        for mark in self.marks.iter_mut().rev().take_while(|mark| mark.block.is_none()) {
            mark.block = Some((part, list.len()));
        }
        list.push(block);
        Ok(())
    }

    /// No breakpoint of ours belongs on the blocks of messages from `first` on.
    pub(crate) fn unmarkable(&mut self, first: usize) {
        for block in self.messages.iter_mut().skip(first) {
            block.place = Place::Nowhere;
        }
    }

    /// Whether a breakpoint was read that belongs to the block which is being read.
    pub(crate) fn has_open_mark(&self) -> bool {
        self.marks.last().is_some_and(|mark| mark.block.is_none())
    }

    /// How many blocks of messages there are.
    pub(crate) fn message_blocks(&self) -> usize {
        self.messages.len()
    }

    /// Whether no block of the system prompt has come yet.
    pub(crate) fn system_is_empty(&self) -> bool {
        self.system.is_empty()
    }

    /// Says whose message the blocks from `first` on are: the role may stand behind the content.
    pub(crate) fn close_message(&mut self, first: usize, section: Section) {
        for block in self.messages.iter_mut().skip(first) {
            block.section = section;
            block.opens_message = false;
        }
        if let Some(block) = self.messages.get_mut(first) {
            block.opens_message = true;
        }
    }

    /// A message by the model. `whole`: it is one reply by itself; otherwise it goes on with the one
    /// before (Responses: reasoning, words and calls are items of one answer).
    pub(crate) fn by_model(&mut self, whole: bool, texts: &[Span]) {
        if whole || !self.in_reply {
            self.reply.clear();
        }
        self.reply.extend_from_slice(texts);
        self.has_history = true;
        self.in_reply = true;
        self.in_results = false;
    }

    /// A message by somebody else, with the results of these tool calls.
    pub(crate) fn by_others(&mut self, results: impl IntoIterator<Item = Span>) {
        self.in_reply = false;
        for result in results {
            if !self.in_results {
                self.results.clear();
                self.in_results = true;
            }
            if self.results.len() == MAX_RESULTS {
                self.results.pop_front();
            }
            self.results.push_back(result);
        }
    }

    /// Pins the request to the account that owns the object whose id stands at `id` (between the quotes).
    pub(crate) fn pin(&mut self, kind: PinKind, field: &'static str, id: &Span) -> Result<(), ScanError> {
        if id.is_empty() {
            return Ok(());
        }
        let id_at = id.start;
        let id = self
            .decode_id(id)
            .ok_or_else(|| ScanError::of(field, "is not an id that an object can have", id.start))?;
        let pin = HardPin { kind, id };
        if !self.pins.contains(&pin) {
            // What is not checked must not pass: it may be somebody else's.
            if self.pins.len() >= MAX_PINS {
                return Err(ScanError::of(field, "names more than 64 objects with the others", id_at));
            }
            self.pins.push(pin);
        }
        Ok(())
    }

    /// Reasoning that only its own account can read.
    pub(crate) const fn encrypted(&mut self) {
        self.encrypted_content = true;
    }

    /// Thinking that its own account has signed.
    pub(crate) const fn signed(&mut self) {
        self.signed_thinking = true;
    }

    /// There is an image among the messages.
    pub(crate) const fn image(&mut self) {
        self.images = true;
    }

    /// A breakpoint on a block.
    pub(crate) fn breakpoint(&mut self, value: Span, life: MarkLife) {
        self.markers = self.markers.saturating_add(1);
        if self.marks.len() < RequestView::MARKS {
            self.marks.push(Placed { block: None, value, life });
        }
    }

    /// A setting of the cache key: `messages` says that it reaches no further than those.
    pub(super) fn setting(&mut self, name: &str, value: &Span, messages: bool) {
        let Some(value) = self.body.get(value.clone()).filter(|value| *value != b"null") else { return };
        let hash = xxh3_64_with_seed(value, xxh3_64(name.as_bytes()));
        let layer = if messages { &mut self.settings.messages } else { &mut self.settings.all };
        // A sum: the order of an object's members means nothing.
        *layer = layer.wrapping_add(hash);
    }

    /// A cache marker with this life.
    pub(crate) fn marked(&mut self, long: bool) {
        self.ttl = match (self.ttl, long) {
            (TtlAsked::Long, _) | (_, true) => TtlAsked::Long,
            (TtlAsked::None | TtlAsked::Short, false) => TtlAsked::Short,
        };
    }

    /// The id between these quotes.
    pub(crate) fn decode_id(&self, inner: &Span) -> Option<String> {
        json::decode_id(self.body.get(inner.start.checked_sub(1)?..inner.end + 1)?)
    }

    pub(super) fn into_view(mut self, operation: Operation) -> Result<RequestView, ScanError> {
        let Some(model) = self.model.take() else {
            return Err(ScanError::of("model", "is missing", self.body_start));
        };
        if self.images && matches!(operation, Operation::Messages | Operation::CountTokens) {
            self.settings.messages = self.settings.messages.wrapping_add(xxh3_64(b"images"));
        }
        // What a translated answer's id carries behind it is no part of it.
        let own = |id: &Span| {
            let raw = self.body.get(id.clone())?;
            let end = memchr::memmem::find(raw, BEHIND_TOOL_ID.as_bytes()).unwrap_or(raw.len());
            json::decode_id(&[b"\"", raw.get(..end)?, b"\""].concat())
        };
        let tool_result_ids = self.results.iter().filter_map(own).collect();
        let (tools, system) = (self.tools.len(), self.system.len());
        let mut blocks = self.tools;
        blocks.append(&mut self.system);
        blocks.append(&mut self.messages);
        if self.marks_last
            && let Some(block) = blocks.last_mut()
        {
            block.marker.get_or_insert(block.span.end..block.span.end);
        }
        let index = |(part, at): (Part, usize)| match part {
            Part::Tools => at,
            Part::System => tools + at,
            Part::Messages => tools + system + at,
        };
        let placed =
            |mark: Placed| Some(Mark { block: index(mark.block?), value: mark.value, life: mark.life });
        let mut marks: Vec<Mark> = self.marks.into_iter().filter_map(placed).collect();
        marks.sort_by_key(|mark| mark.block);
        let last = blocks.len().checked_sub(1);
        let auto_mark = last.zip(self.auto_mark).map(|(block, (value, life))| Mark { block, value, life });
        let prewarm = self
            .max_tokens_at
            .filter(|_| operation == Operation::Messages && !self.wants_answer)
            .map(|max_tokens| Prewarm { max_tokens, stream: self.stream_at });
        Ok(RequestView {
            operation,
            model,
            stream: self.stream,
            background: self.background,
            max_output_tokens: self.max_output_tokens,
            includes_usage: self.includes_usage,
            stream_options: self.stream_options,
            body_start: self.body_start,
            empty: self.empty,
            blocks,
            has_history: self.has_history,
            tool_result_ids,
            last_reply: self.reply,
            pins: self.pins,
            encrypted_content: self.encrypted_content,
            ids: self.ids,
            ttl: self.ttl,
            settings: self.settings,
            signed_thinking: self.signed_thinking,
            markers: self.markers,
            auto_marker: self.marks_last,
            marks,
            auto_mark,
            cache_key: self.cache_key,
            prewarm,
        })
    }
}
