//! Embeddings: Amazon's Titan and Cohere's models, through `InvokeModel`.
//!
//! Source: AWS's model parameters, "Amazon Titan Embeddings models" and "Cohere Embed models".

use super::path_of;
use crate::dialect::{
    answer::{MAX_DEPTH, count},
    json::{Kind, Walker},
    neutral::{Escaped, Json, Malformed, Refused, Writer},
    translate::{Embeddings, Untranslatable, Vectors},
};

/// Texts in one call of Cohere's; more are refused.
const MOST: usize = 96;

/// Whose model it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Titan,
    Cohere,
}

/// Writes a call; gives its path, too.
///
/// # Errors
/// When the model is of neither family, or does not embed so many texts at once, or in such a size.
pub(in crate::dialect) fn write_embeddings(
    request: &Embeddings<'_>,
    model: &str,
) -> Result<(String, Vec<u8>), Untranslatable> {
    let family = if model.contains("titan-embed-text") {
        Family::Titan
    } else if model.contains("cohere.embed") {
        Family::Cohere
    } else {
        return Err(refused("model", "is none of Titan's or Cohere's, which embed here"));
    };
    // Only the newer of each family can be asked for a size.
    let sized = model.contains("titan-embed-text-v2") || model.contains("cohere.embed-v4");
    if request.dimensions.is_some() && !sized {
        return Err(refused("dimensions", "cannot be asked of this model"));
    }
    let mut out =
        Vec::with_capacity(request.inputs.iter().map(|input| input.raw().len() + 8).sum::<usize>() + 96);
    match (family, request.inputs.as_slice()) {
        (Family::Titan, [input]) => titan(input, request.dimensions, &mut out),
        (Family::Titan, _) => {
            return Err(refused("input", "holds several texts, and this model embeds one a call"));
        }
        (Family::Cohere, inputs) if inputs.len() > MOST => {
            return Err(refused("input", "holds more than the 96 texts that this model embeds at once"));
        }
        (Family::Cohere, inputs) => cohere(inputs, request.dimensions, &mut out),
    }
    Ok((path_of(model, "invoke"), out))
}

fn titan(input: &Escaped<'_>, dimensions: Option<u64>, out: &mut Vec<u8>) {
    Writer::new(out).object(|w| {
        w.key("inputText").escaped(input);
        if let Some(dimensions) = dimensions {
            w.key("dimensions").number(dimensions);
        }
    });
}

fn cohere(inputs: &[Escaped<'_>], dimensions: Option<u64>, out: &mut Vec<u8>) {
    Writer::new(out).object(|w| {
        w.key("texts").array(|w| inputs.iter().for_each(|input| w.escaped(input)));
        // It must be said; OpenAI's call does not tell documents from questions.
        w.key("input_type").escaped(&Escaped::plain("search_document"));
        if let Some(dimensions) = dimensions {
            w.key("output_dimension").number(dimensions);
        }
    });
}

fn refused(field: &str, why: &'static str) -> Untranslatable {
    Untranslatable::Refused(Refused { field: field.to_owned(), why: why.into() })
}

/// Reads an answer of either family: `embedding`, `embeddings`, or `embeddings.float`.
pub(in crate::dialect) fn read_embeddings(body: &[u8]) -> Result<Vectors<'_>, Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut read = Vectors::default();
    walker.members(|walker, key| {
        match (key.raw, walker.kind()?) {
            (b"embedding", Kind::Array) => read.vectors.push(Json::read(walker)?),
            (b"embeddings", Kind::Array) => vectors(walker, &mut read)?,
            (b"embeddings", Kind::Object) => {
                walker.members(|walker, key| match (key.raw, walker.kind()?) {
                    (b"float", Kind::Array) => vectors(walker, &mut read),
                    _ => Ok(walker.pass()?),
                })?;
            }
            (b"inputTextTokenCount", _) => read.tokens = count(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish()?;
    Ok(read)
}

fn vectors<'a>(walker: &mut Walker<'a>, read: &mut Vectors<'a>) -> Result<(), Malformed> {
    walker.elements(|walker| {
        match walker.kind()? {
            Kind::Array => read.vectors.push(Json::read(walker)?),
            Kind::Object | Kind::String | Kind::Scalar => walker.pass()?,
        }
        Ok(())
    })
}

/// Reads the figure of `CountTokens`.
pub(in crate::dialect) fn read_count(body: &[u8]) -> Option<u64> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut total = None;
    let read = walker.members(|walker, key| {
        match key.raw {
            b"inputTokens" => total = count(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    });
    read.ok().and(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(model: &str, inputs: usize, dimensions: Option<u64>) -> Result<String, String> {
        let request = Embeddings { inputs: vec![Escaped::plain("a"); inputs], dimensions };
        match write_embeddings(&request, model) {
            Ok((_, body)) => Ok(String::from_utf8(body).unwrap()),
            Err(Untranslatable::Refused(refused)) => Err(refused.field),
            Err(Untranslatable::Malformed(..)) => Err("malformed".to_owned()),
        }
    }

    #[test]
    fn each_family_is_asked_in_its_words_and_within_its_bounds() {
        const TITAN: &str = "amazon.titan-embed-text-v2:0";
        const COHERE: &str = "cohere.embed-english-v3";
        for (model, inputs, dimensions, expected) in [
            (TITAN, 1, Some(256), Ok(r#"{"inputText":"a","dimensions":256}"#)),
            (TITAN, 2, None, Err("input")),
            ("amazon.titan-embed-text-v1", 1, Some(256), Err("dimensions")),
            (COHERE, 2, None, Ok(r#"{"texts":["a","a"],"input_type":"search_document"}"#)),
            (COHERE, 97, None, Err("input")),
            (COHERE, 1, Some(256), Err("dimensions")),
            (
                "us.cohere.embed-v4:0",
                1,
                Some(256),
                Ok(r#"{"texts":["a"],"input_type":"search_document","output_dimension":256}"#),
            ),
            ("meta.llama3", 1, None, Err("model")),
        ] {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(written(model, inputs, dimensions), expected, "{model} {inputs}");
        }
    }

    #[test]
    fn vectors_are_found_in_every_shape() {
        for (body, count, tokens) in [
            (r#"{"embedding":[1,2],"embeddingsByType":{"float":[1,2]},"inputTextTokenCount":3}"#, 1, Some(3)),
            (r#"{"embeddings":[[1],[2]],"id":"x","texts":["a","b"]}"#, 2, None),
            (
                r#"{"embeddings":{"float":[[1],[2]],"int8":[[1]]},"response_type":"embeddings_by_type"}"#,
                2,
                None,
            ),
            (r#"{"embeddings":[1,"x"]}"#, 0, None),
        ] {
            let read = read_embeddings(body.as_bytes()).unwrap();
            assert_eq!((read.vectors.len(), read.tokens), (count, tokens), "{body}");
        }
        assert_eq!(read_count(br#"{"inputTokens":31}"#), Some(31));
        assert_eq!(read_count(b"{}"), None);
    }
}
