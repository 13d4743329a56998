//! Which neutral block a piece of an item is, and what of it has been shown.

use xxhash_rust::xxh3::xxh3_64;

use super::item::{Item, Piece};
use crate::{
    dialect::neutral::{BlockKind, Carrier, Escaped, Event, Json, Maker, Malformed, Seal, Show},
    types::ProviderDialect,
};

/// Blocks open at a time. A model writes one, or a handful of calls at once; a hostile provider must
/// not make us remember more.
const MOST_OPEN: usize = 256;

/// Where an event belongs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// `output_index`
    pub item: u64,
    /// `content_index`, `summary_index`
    pub part: u64,
}

impl Place {
    pub(super) const fn item(item: u64) -> Self {
        Self { item, part: 0 }
    }
}

/// What is said in an open block.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    Text,
    Refusal,
    Thinking,
    Call,
}

struct Open {
    place: Place,
    number: u32,
    says: Says,
    /// Something has been said in it: what its item repeats is no news.
    said: bool,
    cited: bool,
    /// It has been closed, and is remembered until its item is done, which repeats it.
    closed: bool,
}

impl Open {
    fn close(&mut self, show: Show<'_>) {
        if !self.closed {
            self.closed = true;
            show(Event::Close { block: self.number });
        }
    }
}

/// The blocks of an answer.
pub(super) struct Blocks {
    maker: Maker,
    open: Vec<Open>,
    next: u32,
    /// What made-up ids of calls begin with: those of one conversation must differ.
    answer: u64,
    /// The model called a tool of the client's.
    pub called: bool,
    pub refused: bool,
}

impl Blocks {
    pub(super) const fn new(maker: Maker) -> Self {
        Self { maker, open: Vec::new(), next: 0, answer: 0, called: false, refused: false }
    }

    /// The answer is called so.
    pub(super) fn named(&mut self, id: &Escaped<'_>) {
        self.answer = xxh3_64(id.raw().as_bytes());
    }

    /// Anything has been said.
    pub(super) const fn any(&self) -> bool {
        self.next > 0
    }

    /// An item begins. Calls are opened now, because their names are known; the rest when it is filled:
    /// thinking may turn out to be nothing at all.
    pub(super) fn added(
        &mut self,
        place: Place,
        item: Option<&Item<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        let Some(item) = item else { return Ok(()) };
        match item.kind {
            "function_call" | "custom_tool_call" => {
                self.call(place, item, show)?;
            }
            _ => show(Event::Ping),
        }
        Ok(())
    }

    /// A piece of a message is complete.
    pub(super) fn part_done(&mut self, place: Place, show: Show<'_>) {
        let is_it = |open: &&mut Open| {
            open.place == place && matches!(open.says, Says::Text | Says::Refusal) && open.said
        };
        if let Some(open) = self.open.iter_mut().rev().find(is_it) {
            open.close(show);
        }
    }

    /// An item is complete: says what had not been said, and closes it.
    pub(super) fn done(&mut self, place: Place, item: Item<'_>, show: Show<'_>) -> Result<(), Malformed> {
        match item.kind {
            "function_call" | "custom_tool_call" => {
                let at = match self.find(place, Says::Call) {
                    Some(at) => at,
                    None => self.call(place, &item, show)?,
                };
                self.fill(at, item.arguments, show);
            }
            "message" => {
                for (part, piece) in item.content.into_iter().enumerate() {
                    self.piece(Place { part: part as u64, ..place }, piece, show)?;
                }
            }
            "reasoning" => self.thinking_done(place, item, show)?,
            // Tools that the provider runs itself.
            _ => show(Event::Ping),
        }
        self.close_item(place.item, show);
        Ok(())
    }

    fn piece(&mut self, place: Place, piece: Piece<'_>, show: Show<'_>) -> Result<(), Malformed> {
        let says = if piece.refuses { Says::Refusal } else { Says::Text };
        let at = self.of(place, says, show)?;
        self.fill(at, piece.text, show);
        let Some(open) = self.open.get_mut(at) else { return Ok(()) };
        if !open.cited && !open.closed {
            for citation in piece.annotations {
                show(Event::Citation { block: open.number, citation });
            }
        }
        open.close(show);
        Ok(())
    }

    fn thinking_done(&mut self, place: Place, item: Item<'_>, show: Show<'_>) -> Result<(), Malformed> {
        let pieces = if item.summary.is_empty() { item.content } else { item.summary };
        if self.find(place, Says::Thinking).is_none() {
            for (part, piece) in pieces.into_iter().enumerate() {
                self.thought(Place { part: part as u64, ..place }, piece.text, show)?;
            }
        }
        let Some(encrypted) = item.encrypted.filter(|text| !text.is_empty()) else { return Ok(()) };
        let seal = Seal {
            dialect: ProviderDialect::OpenAiResponses,
            id: item.id.map(|id| id.decode().into_owned()).unwrap_or_default(),
            text: String::new(),
            data: encrypted.decode().into_owned(),
        };
        let at = self.of(place, Says::Thinking, show)?;
        if let Some(open) = self.open.get(at) {
            show(Event::Sealed { block: open.number, carrier: Carrier { maker: self.maker, seal } });
        }
        Ok(())
    }

    /// A piece of a message's text.
    pub(super) fn text(
        &mut self,
        place: Place,
        text: Option<Escaped<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        let at = self.of(place, Says::Text, show)?;
        self.say(at, text, show);
        Ok(())
    }

    /// A piece of a refusal.
    pub(super) fn refusal(
        &mut self,
        place: Place,
        text: Option<Escaped<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        let at = self.of(place, Says::Refusal, show)?;
        self.say(at, text, show);
        Ok(())
    }

    /// A piece of thinking. The parts of one item are one block, with an empty line between them.
    pub(super) fn thought(
        &mut self,
        place: Place,
        text: Option<Escaped<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        if text.as_ref().is_none_or(Escaped::is_empty) {
            return Ok(());
        }
        let at = self.of(place, Says::Thinking, show)?;
        if let Some(open) = self.open.get_mut(at)
            && open.place.part != place.part
        {
            open.place.part = place.part;
            if open.said {
                show(Event::Delta { block: open.number, text: Escaped::plain(r"\n\n") });
            }
        }
        self.say(at, text, show);
        Ok(())
    }

    /// A piece of a call's arguments. Those of a call that nobody has heard of are nobody's.
    pub(super) fn arguments(&mut self, place: Place, text: Option<Escaped<'_>>, show: Show<'_>) {
        match self.find(place, Says::Call) {
            Some(at) => self.say(at, text, show),
            None => show(Event::Ping),
        }
    }

    /// Something has been said at this place: what repeats all of it is no news.
    pub(super) fn has_said(&self, place: Place) -> bool {
        self.open.iter().any(|open| open.place == place && open.said)
    }

    /// A source that a text cites.
    pub(super) fn cites(
        &mut self,
        place: Place,
        citation: Option<Json<'_>>,
        show: Show<'_>,
    ) -> Result<(), Malformed> {
        let Some(citation) = citation else { return Ok(()) };
        let at = self.of(place, Says::Text, show)?;
        if let Some(open) = self.open.get_mut(at) {
            open.cited = true;
            if open.closed {
                return Ok(());
            }
            show(Event::Citation { block: open.number, citation });
        }
        Ok(())
    }

    /// Closes every block.
    pub(super) fn close(&mut self, show: Show<'_>) {
        for mut open in self.open.drain(..) {
            open.close(show);
        }
    }

    fn close_item(&mut self, item: u64, show: Show<'_>) {
        self.open.retain_mut(|open| {
            if open.place.item == item {
                open.close(show);
            }
            open.place.item != item
        });
    }

    fn find(&self, place: Place, says: Says) -> Option<usize> {
        self.open.iter().rposition(|open| match says {
            // One block an item, whatever the part.
            Says::Call | Says::Thinking => open.says == says && open.place.item == place.item,
            Says::Text | Says::Refusal => open.says == says && open.place == place,
        })
    }

    /// The block of this place, opened if it is not.
    fn of(&mut self, place: Place, says: Says, show: Show<'_>) -> Result<usize, Malformed> {
        if let Some(at) = self.find(place, says) {
            return Ok(at);
        }
        let kind = match says {
            Says::Refusal => BlockKind::Refusal,
            Says::Thinking => BlockKind::Thinking,
            Says::Text | Says::Call => BlockKind::Text,
        };
        self.refused |= says == Says::Refusal;
        self.open(place, says, kind, show)
    }

    fn call(&mut self, place: Place, item: &Item<'_>, show: Show<'_>) -> Result<usize, Malformed> {
        self.called = true;
        let id = item.call_id.clone().or_else(|| item.id.clone()).filter(|id| !id.is_empty());
        let kind = BlockKind::ToolCall {
            id: id.unwrap_or_else(|| Escaped::of(&format!("call_{:016x}_{}", self.answer, self.next))),
            name: item.name.clone().unwrap_or_default(),
            carrier: None,
            custom: item.kind == "custom_tool_call",
        };
        self.open(place, Says::Call, kind, show)
    }

    fn open(
        &mut self,
        place: Place,
        says: Says,
        kind: BlockKind<'_>,
        show: Show<'_>,
    ) -> Result<usize, Malformed> {
        if self.open.len() >= MOST_OPEN {
            return Err(Malformed::new("", "it writes into too many items at once"));
        }
        let number = self.next;
        self.next = self.next.checked_add(1).ok_or_else(|| Malformed::new("", "it has too many items"))?;
        show(Event::Open { block: number, kind });
        self.open.push(Open { place, number, says, said: false, cited: false, closed: false });
        Ok(self.open.len() - 1)
    }

    fn say(&mut self, at: usize, text: Option<Escaped<'_>>, show: Show<'_>) {
        let Some(text) = text.filter(|text| !text.is_empty()) else { return };
        if let Some(open) = self.open.get_mut(at).filter(|open| !open.closed) {
            open.said = true;
            show(Event::Delta { block: open.number, text });
        }
    }

    /// Says the whole of a block in which nothing has been said.
    fn fill(&mut self, at: usize, text: Option<Escaped<'_>>, show: Show<'_>) {
        if self.open.get(at).is_some_and(|open| !open.said) {
            self.say(at, text, show);
        }
    }
}
