//! The members at the top of a body.

use crate::{
    dialect::{
        anthropic, json,
        json::{Key, Kind, Walker},
        openai_chat, openai_responses,
        scan::{
            Content, Found, ScanError, blocks, content,
            settings::{keyed, wants_answer},
            tools,
        },
        view::{PinKind, Span, TtlAsked, Value},
    },
    types::{ModelName, Operation, Section},
};

/// A model's name may be this long, quotes included: it becomes a label.
const LONGEST_MODEL: usize = 256;
/// Client ids that hold more than this are not ids. Claude Code's is a JSON text of some 200 bytes.
const LONGEST_CLIENT_ID: usize = 2_048;

macro_rules! fields {
    ($($variant:ident => $name:literal,)+) => {
        /// A member that some operation reads.
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Field {
            $($variant,)+
        }

        impl Field {
            fn named(name: &[u8]) -> Option<Self> {
                $(if name == $name.as_bytes() {
                    return Some(Self::$variant);
                })+
                None
            }

            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

fields! {
    Model => "model",
    Stream => "stream",
    Messages => "messages",
    System => "system",
    Tools => "tools",
    Input => "input",
    Instructions => "instructions",
    Prompt => "prompt",
    MaxTokens => "max_tokens",
    MaxCompletionTokens => "max_completion_tokens",
    MaxOutputTokens => "max_output_tokens",
    StreamOptions => "stream_options",
    Metadata => "metadata",
    Background => "background",
    PreviousResponseId => "previous_response_id",
    Conversation => "conversation",
    Container => "container",
    CacheControl => "cache_control",
    PromptCacheKey => "prompt_cache_key",
    PromptCacheRetention => "prompt_cache_retention",
    PromptCacheOptions => "prompt_cache_options",
    SessionId => "session_id",
    LitellmSessionId => "litellm_session_id",
}

impl Field {
    /// Whether this operation's body has such a member; elsewhere the name means nothing to us.
    const fn belongs_to(self, operation: Operation) -> bool {
        use Operation::{ChatCompletions, Completions, CountTokens, Embeddings, Messages, Responses};
        match self {
            Self::Model | Self::Stream | Self::Metadata | Self::SessionId | Self::LitellmSessionId => true,
            Self::Messages => matches!(operation, Messages | CountTokens | ChatCompletions),
            Self::System | Self::Container | Self::CacheControl => {
                matches!(operation, Messages | CountTokens)
            }
            Self::Tools => !matches!(operation, Embeddings | Completions),
            Self::Input
            | Self::Instructions
            | Self::MaxOutputTokens
            | Self::Background
            | Self::PreviousResponseId
            | Self::Conversation => matches!(operation, Responses),
            Self::Prompt => matches!(operation, Completions),
            Self::MaxTokens => !matches!(operation, Embeddings | Responses),
            Self::MaxCompletionTokens => matches!(operation, ChatCompletions),
            Self::StreamOptions => matches!(operation, ChatCompletions | Completions),
            Self::PromptCacheKey | Self::PromptCacheRetention | Self::PromptCacheOptions => {
                matches!(operation, ChatCompletions | Responses)
            }
        }
    }
}

/// Reads one member at the top.
pub(super) fn member(
    operation: Operation,
    walker: &mut Walker<'_>,
    key: Key<'_>,
    found: &mut Found<'_>,
) -> Result<(), ScanError> {
    let field = unescaped(walker, &key, Field::named).filter(|field| field.belongs_to(operation));
    let Some(field) = field else {
        // Whatever these hold is the provider's to judge, twice or not: we only tell them apart.
        let Some((name, messages)) = unescaped(walker, &key, |name| keyed(operation, name)) else {
            return walker.pass().map_err(ScanError::from);
        };
        let value = walker.skip()?;
        found.setting(name, &value, messages);
        found.wants_answer |= wants_answer(name, walker.bytes(&value));
        return Ok(());
    };
    let bit = 1 << field as u32;
    if found.seen & bit != 0 {
        return Err(ScanError::of(field.name(), "stands in the body twice", key.start));
    }
    found.seen |= bit;
    prompt(operation, field, walker, found)
}

/// Finds a key's meaning; `"mod\u0065l"` is `model` to every JSON reader, so it is to us.
pub(super) fn unescaped<T>(
    walker: &Walker<'_>,
    key: &Key<'_>,
    meaning: impl Fn(&[u8]) -> Option<T>,
) -> Option<T> {
    if !key.raw.contains(&b'\\') {
        return meaning(key.raw);
    }
    let quoted = walker.bytes(&(key.start..key.start + key.raw.len() + 2));
    json::decode_id(quoted).and_then(|name| meaning(name.as_bytes()))
}

/// The members that hold the prompt.
fn prompt(
    operation: Operation,
    field: Field,
    walker: &mut Walker<'_>,
    found: &mut Found<'_>,
) -> Result<(), ScanError> {
    match field {
        Field::Tools => tools(walker, found),
        Field::System => content(walker, found, Section::System, &mut Content::default()),
        Field::Messages => match operation {
            Operation::ChatCompletions => openai_chat::messages(walker, found),
            Operation::Messages
            | Operation::CountTokens
            | Operation::Responses
            | Operation::Embeddings
            | Operation::Completions => anthropic::messages(walker, found),
        },
        Field::Instructions => openai_responses::instructions(walker, found),
        Field::Input => openai_responses::input(walker, found),
        Field::Prompt => {
            let (first, span) = (found.message_blocks(), walker.skip()?);
            found.block(walker, blocks::plain(Section::User, span))?;
            found.close_message(first, Section::User);
            Ok(())
        }
        Field::Model
        | Field::Stream
        | Field::MaxTokens
        | Field::MaxCompletionTokens
        | Field::MaxOutputTokens
        | Field::StreamOptions
        | Field::Metadata
        | Field::Background
        | Field::PreviousResponseId
        | Field::Conversation
        | Field::Container
        | Field::CacheControl
        | Field::PromptCacheKey
        | Field::PromptCacheRetention
        | Field::PromptCacheOptions
        | Field::SessionId
        | Field::LitellmSessionId => setting(field, walker, found),
    }
}

/// The members around the prompt.
fn setting(field: Field, walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    match field {
        Field::Model => found.model = Some(model(walker)?),
        Field::Stream => {
            walker.kind()?;
            let start = walker.at();
            found.stream = flag(field, walker)?;
            found.stream_at = Some(start..walker.at());
        }
        Field::Background => found.background = flag(field, walker)?,
        Field::MaxTokens | Field::MaxCompletionTokens | Field::MaxOutputTokens => {
            walker.kind()?;
            let start = walker.at();
            found.max_output_tokens = found.max_output_tokens.max(count(walker)?);
            if field == Field::MaxTokens {
                found.max_tokens_at = Some(start..walker.at());
            }
        }
        Field::StreamOptions => stream_options(walker, found)?,
        Field::Metadata => metadata(walker, found)?,
        Field::PreviousResponseId => pin(field, PinKind::Response, walker, found)?,
        Field::Conversation => pin(field, PinKind::Conversation, walker, found)?,
        Field::Container => pin(field, PinKind::Container, walker, found)?,
        Field::CacheControl => {
            found.auto_mark = blocks::read_marker(walker, found)?;
            found.marks_last = found.auto_mark.is_some();
        }
        Field::PromptCacheOptions => {
            blocks::read_marker(walker, found)?;
        }
        Field::PromptCacheRetention => {
            let value = walker.string_or_skip()?;
            if value.is_some_and(|value| walker.bytes(&value) == b"24h") {
                found.ttl = TtlAsked::Long;
            }
        }
        Field::PromptCacheKey => {
            walker.kind()?;
            let start = walker.at();
            found.ids.prompt_cache_key = client_id(walker)?;
            let span = start..walker.at();
            found.setting(field.name(), &span, false);
            found.cache_key = Some(span);
        }
        Field::SessionId => found.ids.session_id = client_id(walker)?,
        Field::LitellmSessionId => {
            let id = client_id(walker)?;
            found.ids.session_id = found.ids.session_id.take().or(id);
        }
        Field::Messages
        | Field::System
        | Field::Tools
        | Field::Input
        | Field::Instructions
        | Field::Prompt => walker.pass()?,
    }
    Ok(())
}

fn model(walker: &mut Walker<'_>) -> Result<Value<ModelName>, ScanError> {
    if walker.kind()? != Kind::String {
        return Err(ScanError::of("model", "must be a string", walker.at()));
    }
    let inner = walker.string()?;
    let span = inner.start - 1..inner.end + 1;
    if span.len() > LONGEST_MODEL {
        return Err(ScanError::of("model", "is longer than any model's name", span.start));
    }
    match json::decode(walker.bytes(&span)) {
        Some(name) if !name.is_empty() => Ok(Value { value: ModelName::from(name), span }),
        Some(_) => Err(ScanError::of("model", "is empty", span.start)),
        None => Err(ScanError::of("model", "is not a readable string", span.start)),
    }
}

/// `true`, `false`, or `null` for `false`.
fn flag(field: Field, walker: &mut Walker<'_>) -> Result<bool, ScanError> {
    boolean(walker)?.ok_or_else(|| ScanError::of(field.name(), "must be true or false", walker.at()))
}

fn boolean(walker: &mut Walker<'_>) -> Result<Option<bool>, ScanError> {
    let span = walker.skip()?;
    Ok(match walker.bytes(&span) {
        b"true" => Some(true),
        b"false" | b"null" => Some(false),
        _ => None,
    })
}

/// A count of tokens; `None` for what is no count: the provider says what it thinks of that.
fn count(walker: &mut Walker<'_>) -> Result<Option<u64>, ScanError> {
    let span = walker.skip()?;
    Ok(json::count(walker.bytes(&span)))
}

fn client_id(walker: &mut Walker<'_>) -> Result<Option<String>, ScanError> {
    let Some(inner) = walker.string_or_skip()? else { return Ok(None) };
    let span = inner.start - 1..inner.end + 1;
    if span.len() > LONGEST_CLIENT_ID {
        return Ok(None);
    }
    Ok(json::decode(walker.bytes(&span)).filter(|id| !id.is_empty()))
}

/// An id, or an object with an `id`.
fn pin(field: Field, kind: PinKind, walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    let mut id: Option<Span> = None;
    match walker.kind()? {
        Kind::String => id = Some(walker.string()?),
        Kind::Object => walker.members(|walker, key| {
            let value = walker.string_or_skip()?;
            if key.raw == b"id" {
                id = value;
            }
            Ok::<(), ScanError>(())
        })?,
        Kind::Array | Kind::Scalar => {
            let span = walker.skip()?;
            if walker.bytes(&span) != b"null" {
                return Err(ScanError::of(field.name(), "must be an id", span.start));
            }
        }
    }
    id.map_or(Ok(()), |id| found.pin(kind, field.name(), &id))
}

fn stream_options(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    let kind = walker.kind()?;
    let start = walker.at();
    if kind == Kind::Object {
        let mut seen = false;
        walker.members(|walker, key| {
            if unescaped(walker, &key, |name| (name == b"include_usage").then_some(())).is_none() {
                return walker.pass().map_err(ScanError::from);
            }
            if std::mem::replace(&mut seen, true) {
                return Err(ScanError::of("stream_options.include_usage", "stands there twice", key.start));
            }
            found.includes_usage = boolean(walker)?.ok_or_else(|| {
                ScanError::of("stream_options.include_usage", "must be true or false", walker.at())
            })?;
            Ok(())
        })?;
    } else {
        let span = walker.skip()?;
        if walker.bytes(&span) != b"null" {
            return Err(ScanError::of("stream_options", "must be an object", start));
        }
    }
    found.stream_options = Some(start..walker.at());
    Ok(())
}

fn metadata(walker: &mut Walker<'_>, found: &mut Found<'_>) -> Result<(), ScanError> {
    if walker.kind()? != Kind::Object {
        return walker.pass().map_err(ScanError::from);
    }
    let (mut users, mut sessions) = (0_u8, 0_u8);
    walker.members(|walker, key| {
        let meaning = unescaped(walker, &key, |name| match name {
            b"user_id" => Some(true),
            b"session_id" => Some(false),
            _ => None,
        });
        match meaning {
            Some(true) => {
                users += 1;
                found.ids.user_id = client_id(walker)?;
            }
            Some(false) => {
                sessions += 1;
                found.ids.metadata_session_id = client_id(walker)?;
            }
            None => walker.pass()?,
        }
        if users > 1 {
            return Err(ScanError::of("metadata.user_id", "stands there twice", key.start));
        }
        if sessions > 1 {
            return Err(ScanError::of("metadata.session_id", "stands there twice", key.start));
        }
        Ok(())
    })
}
