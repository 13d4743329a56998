//! Embeddings: OpenAI's call, in the words of hosts that have one of their own.
//!
//! The neutral form of it is small: texts in, vectors out. A host that speaks OpenAI's dialect gets the
//! body as it came, and not from here.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::{Target, Untranslatable};
use crate::{
    dialect::{
        answer::MAX_DEPTH,
        bedrock, gemini,
        json::{self, Fault, Kind, Walker},
        neutral::{Escaped, Json, Losses, Lost, Malformed, Refused, Weight, Writer},
        signal::Signal,
    },
    types::{ProviderDialect, ReportedUsage},
};

/// An embedding request in a provider's words.
#[derive(Clone, Debug)]
pub struct TranslatedEmbeddings {
    /// Path and query below the provider's base path.
    pub path: String,
    /// The body.
    pub body: Bytes,
    /// Members of the client's body that were left out.
    pub dropped: Vec<Lost>,
    /// What its answer has to be written by.
    pub asked: EmbeddingsAsked,
}

/// A request as far as its answer depends on it. Outlives the request's body.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EmbeddingsAsked {
    /// The model in the provider's words.
    pub model: String,
    /// `encoding_format: "base64"`: vectors as little-endian 32-bit floats, which is what the official
    /// Python client asks for by itself.
    pub base64: bool,
    /// How many vectors there must be.
    pub inputs: usize,
    /// Bytes of the texts, for an estimate where the provider reports no usage.
    pub bytes: usize,
}

/// Texts to embed.
pub(in crate::dialect) struct Embeddings<'a> {
    pub inputs: Vec<Escaped<'a>>,
    pub dimensions: Option<u64>,
}

/// What came back.
#[derive(Default)]
pub(in crate::dialect) struct Vectors<'a> {
    /// A JSON array of numbers each, in the order of the texts.
    pub vectors: Vec<Json<'a>>,
    /// Tokens of all texts, where the provider says.
    pub tokens: Option<u64>,
}

/// Writes `POST /v1/embeddings` in the words of `target`.
///
/// # Errors
/// When the body is malformed, or holds what the target cannot express and may not be lost.
pub fn translate_embeddings(
    body: &[u8],
    target: &Target<'_>,
) -> Result<TranslatedEmbeddings, Untranslatable> {
    let mut losses = Losses::default();
    let (request, base64) = read(body, &mut losses)?;
    let (path, written) = match target.dialect {
        ProviderDialect::Gemini => gemini::write_embeddings(&request, target.model)?,
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => {
            bedrock::write_embeddings(&request, target.model)?
        }
        ProviderDialect::Anthropic | ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => {
            return Err(none());
        }
    };
    let dropped = losses.settle(target.on_loss).map_err(Untranslatable::Refused)?;
    let asked = EmbeddingsAsked {
        model: target.model.to_owned(),
        base64,
        inputs: request.inputs.len(),
        bytes: request.inputs.iter().map(|input| input.raw().len()).sum(),
    };
    Ok(TranslatedEmbeddings { path, body: written.into(), dropped, asked })
}

/// Writes the answer in OpenAI's words. `see` is shown its usage. `None`: it cannot be read, or is no
/// vector for each text.
pub fn translate_embeddings_answer(
    from: ProviderDialect,
    asked: &EmbeddingsAsked,
    body: &[u8],
    see: &mut dyn FnMut(Signal<'_>),
) -> Option<Bytes> {
    let read = match from {
        ProviderDialect::Gemini => gemini::read_embeddings(body),
        ProviderDialect::Bedrock | ProviderDialect::BedrockClaude => bedrock::read_embeddings(body),
        ProviderDialect::Anthropic | ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => {
            return None;
        }
    };
    let vectors = read.ok().filter(|read| read.vectors.len() == asked.inputs)?;
    if let Some(tokens) = vectors.tokens {
        see(Signal::Usage(ReportedUsage { input: Some(tokens), ..ReportedUsage::default() }));
    }
    see(Signal::Terminal);
    write(&vectors, asked, body.len()).map(Bytes::from)
}

fn none() -> Untranslatable {
    Untranslatable::Refused(Refused {
        field: "model".to_owned(),
        why: "is of a provider that embeds nothing in this dialect".into(),
    })
}

fn read<'a>(body: &'a [u8], losses: &mut Losses) -> Result<(Embeddings<'a>, bool), Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let (mut inputs, mut dimensions, mut base64) = (None, None, false);
    walker.members(|walker, key| {
        match key.raw {
            b"model" => walker.pass()?,
            b"input" => inputs = Some(texts(walker)?),
            b"dimensions" => {
                let value = walker.skip()?;
                let value = walker.bytes(&value);
                dimensions = json::count(value);
                if dimensions.is_none() && value != b"null" {
                    return Err(Malformed::new("dimensions", "must be a whole number"));
                }
            }
            b"encoding_format" => base64 = is_base64(walker)?,
            b"user" => {
                if Escaped::read(walker)?.is_some() {
                    losses.add("user", Weight::Hint, "is not known to this provider");
                }
            }
            other => {
                let name = String::from_utf8_lossy(other).into_owned();
                walker.pass()?;
                losses.add(name, Weight::Meaning, "is not known to this provider");
            }
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish().map_err(Malformed::from)?;
    let inputs = inputs.ok_or_else(|| Malformed::new("input", "is missing"))?;
    Ok((Embeddings { inputs, dimensions }, base64))
}

fn is_base64(walker: &mut Walker<'_>) -> Result<bool, Malformed> {
    let wrong = || Malformed::new("encoding_format", "must be `float` or `base64`");
    let value = walker.skip()?;
    match walker.bytes(&value) {
        b"\"base64\"" => Ok(true),
        b"\"float\"" | b"null" => Ok(false),
        _ => Err(wrong()),
    }
}

/// One text, or several. Tokens of OpenAI's tokenizer mean nothing to another maker's model.
fn texts<'a>(walker: &mut Walker<'a>) -> Result<Vec<Escaped<'a>>, Malformed> {
    const WHAT: &str = "must be a text or texts: token numbers mean nothing to this provider's model";
    if walker.kind()? != Kind::Array {
        let text = Escaped::read(walker)?.ok_or_else(|| Malformed::new("input", WHAT))?;
        return Ok(vec![text]);
    }
    let mut texts = Vec::new();
    walker.elements(|walker| {
        let text = Escaped::read(walker)?;
        texts.push(text.ok_or_else(|| Malformed::new(format!("input[{}]", texts.len()), WHAT))?);
        Ok::<(), Malformed>(())
    })?;
    if texts.is_empty() {
        return Err(Malformed::new("input", "must not be empty"));
    }
    Ok(texts)
}

fn write(vectors: &Vectors<'_>, asked: &EmbeddingsAsked, size: usize) -> Option<Vec<u8>> {
    // Four bytes a token is the usual rule; OpenAI's clients insist on a figure.
    let tokens = vectors.tokens.unwrap_or_else(|| asked.bytes.div_ceil(4) as u64);
    let mut out = Vec::with_capacity(size + 64 * vectors.vectors.len() + 256);
    let mut complete = true;
    Writer::new(&mut out).object(|w| {
        w.key("object").text("list");
        w.key("data").array(|w| {
            for (index, vector) in (0_u64..).zip(&vectors.vectors) {
                w.object(|w| {
                    w.key("object").text("embedding");
                    w.key("index").number(index);
                    if asked.base64 {
                        match packed(vector) {
                            Some(packed) => w.key("embedding").text(&packed),
                            None => complete = false,
                        }
                    } else {
                        w.key("embedding").json(vector);
                    }
                });
            }
        });
        w.key("model").text(&asked.model);
        w.key("usage").object(|w| {
            w.key("prompt_tokens").number(tokens);
            w.key("total_tokens").number(tokens);
        });
    });
    complete.then_some(out)
}

/// Numbers as little-endian 32-bit floats in base64; `None` for what are no numbers.
fn packed(vector: &Json<'_>) -> Option<String> {
    let mut walker = Walker::new(vector.as_str().as_bytes(), MAX_DEPTH);
    let mut floats = Vec::with_capacity(vector.as_str().len() / 2);
    walker
        .elements(|walker| {
            let span = walker.scalar()?;
            let number =
                std::str::from_utf8(walker.bytes(&span)).ok().and_then(|text| text.parse::<f32>().ok());
            match number {
                Some(number) => floats.extend_from_slice(&number.to_le_bytes()),
                None => return walker.fault("a number is expected"),
            }
            Ok::<(), Fault>(())
        })
        .ok()?;
    Some(STANDARD.encode(floats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Maker, OnLoss, Quirks};

    fn translated(body: &str, on_loss: OnLoss) -> Result<TranslatedEmbeddings, Untranslatable> {
        let quirks = Quirks::default();
        let target = Target {
            dialect: ProviderDialect::Gemini,
            maker: Maker::of("google"),
            model: "gemini-embedding-001",
            quirks: &quirks,
            on_loss,
        };
        translate_embeddings(body.as_bytes(), &target)
    }

    fn refused_field(body: &str) -> String {
        match translated(body, OnLoss::DropHints).unwrap_err() {
            Untranslatable::Malformed(field, _) => field,
            Untranslatable::Refused(refused) => refused.field,
        }
    }

    #[test]
    fn texts_become_one_batch() {
        let body =
            r#"{"model":"m","input":["a\n","b"],"dimensions":768,"encoding_format":"base64","user":"u"}"#;
        let translated = translated(body, OnLoss::DropHints).unwrap();
        assert_eq!(translated.path, "/models/gemini-embedding-001:batchEmbedContents");
        assert_eq!(
            std::str::from_utf8(&translated.body).unwrap(),
            r#"{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a\n"}]},"outputDimensionality":768},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"b"}]},"outputDimensionality":768}]}"#
        );
        assert_eq!(translated.dropped, ["user"]);
        assert_eq!((translated.asked.inputs, translated.asked.base64), (2, true));
    }

    #[test]
    fn what_cannot_be_embedded_is_named() {
        assert_eq!(refused_field(r#"{"input":[1,2]}"#), "input[0]");
        assert_eq!(refused_field(r#"{"input":[]}"#), "input");
        assert_eq!(refused_field(r#"{"model":"m"}"#), "input");
        assert_eq!(refused_field(r#"{"input":"a","dimensions":"x"}"#), "dimensions");
        assert_eq!(refused_field(r#"{"input":"a","encoding_format":"int8"}"#), "encoding_format");
        assert_eq!(refused_field(r#"{"input":"a","task":"x"}"#), "task");
        let many = format!(r#"{{"input":[{}]}}"#, vec!["\"a\""; 101].join(","));
        assert_eq!(refused_field(&many), "input");
    }

    fn answered(base64: bool, inputs: usize, body: &str) -> Option<String> {
        let asked = EmbeddingsAsked { model: "m".into(), base64, inputs, bytes: 9 };
        let answer =
            translate_embeddings_answer(ProviderDialect::Gemini, &asked, body.as_bytes(), &mut |_| {});
        answer.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn vectors_come_back_in_either_encoding() {
        let body = r#"{"embeddings":[{"values":[0.5,-1]},{"values":[1e-3]}],"usageMetadata":{"promptTokenCount":7}}"#;
        assert_eq!(
            answered(false, 2, body).unwrap(),
            r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5,-1]},{"object":"embedding","index":1,"embedding":[1e-3]}],"model":"m","usage":{"prompt_tokens":7,"total_tokens":7}}"#
        );
        let packed = answered(true, 2, body).unwrap();
        assert!(packed.contains(r#""embedding":"AAAAPwAAgL8=""#), "{packed}");
    }

    #[test]
    fn an_answer_that_is_none_is_none() {
        for body in ["", "{}", r#"{"embeddings":[{"values":[1]}]}"#, r#"{"embeddings":[{"values":"x"},{}]}"#]
        {
            assert_eq!(answered(false, 2, body), None, "{body}");
        }
        assert_eq!(answered(true, 1, r#"{"embeddings":[{"values":["x"]}]}"#), None);
        let unmetered = answered(false, 1, r#"{"embeddings":[{"values":[1]}]}"#).unwrap();
        assert!(unmetered.contains(r#""prompt_tokens":3"#), "nine bytes are three tokens: {unmetered}");
    }
}
