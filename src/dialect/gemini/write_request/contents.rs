//! `systemInstruction`, `contents`.
//!
//! The conversation is first laid out as pieces, because a signature may belong to a piece that stands
//! before or behind it, and because Gemini wants one content a turn: those of one role are written as one.

use ahash::AHashMap;

use super::{super::SealOf, Model};
use crate::{
    dialect::{
        neutral::{
            Content, Escaped, Json, Losses, Maker, Media, MediaKind, Message, Part, Request, Role, Seals,
            Source, Weight, Writer,
        },
        translate::Target,
    },
    types::Dialect,
};

/// What stands in for the signature of a call that Gemini did not make. Gemini 3 refuses the first call
/// of a step without one, and documents this word for histories of other models
/// (ai.google.dev/gemini-api/docs/thought-signatures, questions at the end; Vertex knows it, too).
const FOREIGN: &str = "skip_thought_signature_validator";

/// A request's texts, in Gemini's order.
pub(super) struct Conversation<'r> {
    system: Vec<Escaped<'r>>,
    pieces: Vec<Piece<'r>>,
    model: Model,
}

/// One part, and whose it is.
struct Piece<'r> {
    of_model: bool,
    what: What<'r>,
}

enum What<'r> {
    Text(Escaped<'r>),
    Thought { text: Escaped<'r>, signature: &'r str },
    Inline { media_type: &'r Escaped<'r>, data: &'r Escaped<'r> },
    Link { media_type: Option<&'static str>, uri: &'r Escaped<'r> },
    Call { id: &'r Escaped<'r>, name: &'r Escaped<'r>, arguments: &'r Json<'r>, signature: Option<&'r str> },
    Response(Response<'r>),
}

struct Response<'r> {
    id: &'r Escaped<'r>,
    name: Option<&'r Escaped<'r>>,
    is_error: bool,
    text: Escaped<'r>,
    /// Media type and data.
    media: Vec<(&'r Escaped<'r>, &'r Escaped<'r>)>,
}

impl<'r> Conversation<'r> {
    /// Lays it out.
    pub(super) fn of(
        request: &'r Request<'r>,
        target: &Target<'_>,
        model: Model,
        losses: &mut Losses,
    ) -> Self {
        let origin = request.origin;
        let mut layout = Layout {
            origin,
            maker: target.maker,
            model,
            losses,
            names: names(request),
            pieces: Vec::new(),
            pending: None,
        };
        let mut system: Vec<_> = texts(&request.system).cloned().collect();
        // What stands before the conversation is all instruction, whatever it is called.
        let first = request.messages.iter().position(|message| message.role != Role::System);
        let (before, said) = request.messages.split_at(first.unwrap_or(request.messages.len()));
        system.extend(before.iter().flat_map(|message| texts(&message.parts)).cloned());
        for message in said {
            layout.message(message);
        }
        let mut pieces = layout.pieces;
        if pieces.is_empty() {
            // Gemini answers nothing without contents.
            let text = |text| Piece { of_model: false, what: What::Text(text) };
            pieces = std::mem::take(&mut system).into_iter().map(text).collect();
        }
        Self { system, pieces, model }
    }

    /// About how many bytes it takes.
    pub(super) fn size(&self) -> usize {
        let system: usize = self.system.iter().map(|text| text.raw().len() + 16).sum();
        system + self.pieces.iter().map(|piece| piece.what.size() + 64).sum::<usize>()
    }

    pub(super) fn write_system(&self, w: &mut Writer<'_>) {
        if self.system.is_empty() {
            return;
        }
        w.key("systemInstruction").object(|w| {
            w.key("parts").array(|w| {
                for text in &self.system {
                    w.object(|w| w.key("text").escaped(text));
                }
            });
        });
    }

    pub(super) fn write_contents(&self, w: &mut Writer<'_>) {
        w.key("contents").array(|w| {
            for turn in self.pieces.chunk_by(|a, b| a.of_model == b.of_model) {
                w.object(|w| {
                    let of_model = turn.first().is_some_and(|piece| piece.of_model);
                    w.key("role").text(if of_model { "model" } else { "user" });
                    w.key("parts").array(|w| self.write_turn(w, turn));
                });
            }
        });
    }

    fn write_turn(&self, w: &mut Writer<'_>, turn: &[Piece<'_>]) {
        let mut first_call = true;
        for piece in turn {
            let needs_signature = first_call && !self.model.before_3;
            first_call &= !matches!(piece.what, What::Call { .. });
            w.object(|w| piece.what.write(w, needs_signature));
        }
    }
}

fn texts<'r>(parts: &'r [Part<'r>]) -> impl Iterator<Item = &'r Escaped<'r>> {
    parts.iter().filter_map(|part| match &part.content {
        Content::Text(text) => Some(text).filter(|text| !text.is_empty()),
        Content::Media(_)
        | Content::ToolCall { .. }
        | Content::ToolResult { .. }
        | Content::Thinking { .. }
        | Content::Refusal(_) => None,
    })
}

/// The names of the tools called, by the calls' ids: Gemini wants them with the results.
fn names<'r>(request: &'r Request<'r>) -> AHashMap<&'r str, &'r Escaped<'r>> {
    let parts = request.messages.iter().flat_map(|message| &message.parts);
    parts
        .filter_map(|part| match &part.content {
            Content::ToolCall { id, name, .. } => Some((id.raw(), name)),
            Content::Text(_)
            | Content::Media(_)
            | Content::ToolResult { .. }
            | Content::Thinking { .. }
            | Content::Refusal(_) => None,
        })
        .collect()
}

struct Layout<'r, 'l> {
    origin: Dialect,
    maker: Maker,
    model: Model,
    losses: &'l mut Losses,
    names: AHashMap<&'r str, &'r Escaped<'r>>,
    pieces: Vec<Piece<'r>>,
    /// A signature that came in front of the call that it belongs to.
    pending: Option<&'r str>,
}

impl<'r> Layout<'r, '_> {
    fn push(&mut self, of_model: bool, what: What<'r>) {
        self.pieces.push(Piece { of_model, what });
    }

    fn lost(&mut self, part: &Part<'_>, member: &str, weight: Weight, why: &'static str) {
        self.losses.add(format!("{}{member}", part.at.path(self.origin)), weight, why);
    }

    fn message(&mut self, message: &'r Message<'r>) {
        let of_model = message.role == Role::Assistant;
        if message.name.is_some()
            && let Some(part) = message.parts.first()
        {
            self.lost(part, ".name", Weight::Hint, "has no place there");
        }
        self.pending = None;
        for part in &message.parts {
            match &part.content {
                Content::Text(text) | Content::Refusal(text) if text.is_empty() => {}
                Content::Text(text) if message.role == Role::System => {
                    let why = "becomes the user's, in a `<system>` tag: Gemini knows no system message here";
                    self.lost(part, ".role", Weight::Hint, why);
                    let tagged = format!("<system>\\n{}\\n</system>", text.raw());
                    self.push(false, What::Text(Escaped::plain(&tagged).into_owned()));
                }
                Content::Text(text) | Content::Refusal(text) => {
                    self.push(of_model, What::Text(text.clone()));
                }
                Content::Media(media) => self.media(part, media, of_model),
                Content::ToolCall { id, name, arguments, carrier } => {
                    let own = carrier.as_ref().and_then(|carrier| carrier.open(self.maker));
                    let signature = own.map(|seal| seal.data.as_str()).or(self.pending.take());
                    self.push(true, What::Call { id, name, arguments, signature });
                }
                Content::ToolResult { id, is_error, parts } => self.result(part, id, *is_error, parts),
                Content::Thinking { text, seal } => self.thinking(text, seal),
            }
        }
    }

    fn thinking(&mut self, text: &'r Escaped<'r>, seal: &'r Seals<'r>) {
        let Seals::Carried(carrier) = seal else { return };
        let Some(seal) = carrier.open(self.maker) else { return };
        if seal.id == SealOf::Call.id() {
            self.pending = Some(&seal.data);
        } else {
            // Chat has no place for the text beside the seal.
            let text = if seal.text.is_empty() { text.clone() } else { Escaped::of(&seal.text) };
            self.push(true, What::Thought { text, signature: &seal.data });
        }
    }

    fn media(&mut self, part: &Part<'_>, media: &'r Media<'r>, of_model: bool) {
        self.note_media(part, media);
        match &media.source {
            Source::Base64 { media_type, data } => self.push(of_model, What::Inline { media_type, data }),
            Source::Text(text) => self.push(of_model, What::Text(text.clone())),
            Source::Url(uri) => self.push(of_model, What::Link { media_type: media_type(media, uri), uri }),
            // Written down.
            Source::File(_) => {}
        }
    }

    fn note_media(&mut self, part: &Part<'_>, media: &Media<'_>) {
        if let Source::File(_) = media.source {
            self.lost(part, "", Weight::Meaning, "is a file in another provider's account");
        }
        if media.citations {
            self.lost(part, ".citations", Weight::Meaning, "cannot be asked of Gemini");
        }
        if media.name.is_some() {
            let member = match self.origin {
                Dialect::Anthropic => ".title",
                Dialect::OpenAiChat => ".file.filename",
                Dialect::OpenAiResponses => ".filename",
            };
            self.lost(part, member, Weight::Hint, "has no place there");
        }
        if media.detail.as_ref().is_some_and(|detail| detail.raw() != "auto") {
            let chat = self.origin == Dialect::OpenAiChat;
            let member = if chat { ".image_url.detail" } else { ".detail" };
            self.lost(part, member, Weight::Hint, "has no place there");
        }
    }

    fn result(&mut self, part: &Part<'_>, id: &'r Escaped<'r>, is_error: bool, parts: &'r [Part<'r>]) {
        let name = self.names.get(id.raw()).copied();
        if name.is_none() {
            self.lost(part, "", Weight::Meaning, "answers no call of this conversation");
        }
        let mut response = Response { id, name, is_error, text: Escaped::default(), media: Vec::new() };
        let (mut said, mut beside) = (Vec::new(), Vec::new());
        for inner in parts {
            match &inner.content {
                Content::Text(text) | Content::Refusal(text) => said.push(text),
                Content::Media(media) => match &media.source {
                    Source::Base64 { media_type, data } if !self.model.before_3 => {
                        self.note_media(inner, media);
                        response.media.push((media_type, data));
                    }
                    Source::Text(text) => {
                        self.note_media(inner, media);
                        said.push(text);
                    }
                    Source::Base64 { .. } | Source::Url(_) | Source::File(_) => beside.push((inner, media)),
                },
                Content::ToolCall { .. } | Content::ToolResult { .. } | Content::Thinking { .. } => {}
            }
        }
        response.text = lines(&said);
        self.push(false, What::Response(response));
        // A picture that cannot stand inside stands right behind.
        for (part, media) in beside {
            self.media(part, media, false);
        }
    }
}

/// Texts as lines of one.
fn lines<'r>(texts: &[&Escaped<'r>]) -> Escaped<'r> {
    match texts {
        [] => Escaped::default(),
        [one] => (*one).clone(),
        [..] => {
            let lines: Vec<&str> = texts.iter().map(|text| text.raw()).collect();
            Escaped::plain(&lines.join("\\n")).into_owned()
        }
    }
}

/// The type of what lies behind a URL, by its ending; Gemini finds out for itself where there is none.
fn media_type(media: &Media<'_>, uri: &Escaped<'_>) -> Option<&'static str> {
    let path = uri.raw().split(['?', '#']).next().unwrap_or_default();
    let ending = path.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let known = match (media.kind, ending.as_deref().unwrap_or_default()) {
        (MediaKind::Image, "png") => "image/png",
        (MediaKind::Image, "jpg" | "jpeg") => "image/jpeg",
        (MediaKind::Image, "webp") => "image/webp",
        (MediaKind::Image, "gif") => "image/gif",
        (MediaKind::Image, "heic") => "image/heic",
        (MediaKind::Document, "txt" | "md") => "text/plain",
        (MediaKind::Document, _) => "application/pdf",
        (MediaKind::Audio, "wav") => "audio/wav",
        (MediaKind::Audio, "mp3") => "audio/mp3",
        (MediaKind::Image | MediaKind::Audio, _) => return None,
    };
    Some(known)
}

impl What<'_> {
    fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.raw().len(),
            Self::Thought { text, signature } => text.raw().len() + signature.len(),
            Self::Inline { data, .. } => data.raw().len(),
            Self::Link { uri, .. } => uri.raw().len(),
            Self::Call { id, name, arguments, signature } => {
                let signature = signature.map_or(FOREIGN.len(), str::len);
                id.raw().len() + name.raw().len() + arguments.as_str().len() + signature
            }
            Self::Response(response) => {
                let media: usize = response.media.iter().map(|(_, data)| data.raw().len() + 64).sum();
                response.id.raw().len() + response.text.raw().len() + media
            }
        }
    }

    /// Writes the members of its part.
    fn write(&self, w: &mut Writer<'_>, needs_signature: bool) {
        match self {
            Self::Text(text) => w.key("text").escaped(text),
            Self::Thought { text, signature } => {
                w.key("text").escaped(text);
                w.key("thought").bool(true);
                w.key("thoughtSignature").text(signature);
            }
            Self::Inline { media_type, data } => w.key("inlineData").object(|w| {
                w.key("mimeType").escaped(media_type);
                w.key("data").escaped(data);
            }),
            Self::Link { media_type, uri } => w.key("fileData").object(|w| {
                if let Some(media_type) = media_type {
                    w.key("mimeType").text(media_type);
                }
                w.key("fileUri").escaped(uri);
            }),
            Self::Call { id, name, arguments, signature } => {
                w.key("functionCall").object(|w| {
                    w.key("id").escaped(id);
                    w.key("name").escaped(name);
                    if arguments.is_object() {
                        w.key("args").json(arguments);
                    } else {
                        // A free-form tool's: an object is wanted here.
                        w.key("args").object(|w| w.key("input").json(arguments));
                    }
                });
                if let Some(signature) = signature.or(needs_signature.then_some(FOREIGN)) {
                    w.key("thoughtSignature").text(signature);
                }
            }
            Self::Response(response) => w.key("functionResponse").object(|w| response.write(w)),
        }
    }
}

impl Response<'_> {
    fn write(&self, w: &mut Writer<'_>) {
        w.key("id").escaped(self.id);
        match self.name {
            Some(name) => w.key("name").escaped(name),
            None => w.key("name").text("unknown"),
        }
        w.key("response").object(|w| {
            w.key(if self.is_error { "error" } else { "output" }).escaped(&self.text);
        });
        if !self.media.is_empty() {
            w.key("parts").array(|w| {
                for (media_type, data) in &self.media {
                    w.object(|w| {
                        w.key("inlineData").object(|w| {
                            w.key("mimeType").escaped(media_type);
                            w.key("data").escaped(data);
                        });
                    });
                }
            });
        }
    }
}
