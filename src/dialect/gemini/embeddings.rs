//! `batchEmbedContents`.

use crate::dialect::{
    answer::{MAX_DEPTH, count, members_or_skip},
    json::{Kind, Walker},
    neutral::{Json, Malformed, Refused, Writer},
    translate::{Embeddings, Untranslatable, Vectors, segment},
};

/// Texts in one call (Google's own limit: a longer batch is a 400 there).
const MOST: usize = 100;

/// Path and body.
pub(in crate::dialect) fn write_embeddings(
    request: &Embeddings<'_>,
    model: &str,
) -> Result<(String, Vec<u8>), Untranslatable> {
    if request.inputs.len() > MOST {
        let why = format!("holds more than the {MOST} texts that this provider embeds at once");
        return Err(Untranslatable::Refused(Refused { field: "input".to_owned(), why: why.into() }));
    }
    let size: usize = request.inputs.iter().map(|input| input.raw().len() + model.len() + 96).sum();
    let mut out = Vec::with_capacity(size + 32);
    let name = format!("models/{model}");
    Writer::new(&mut out).object(|w| {
        w.key("requests").array(|w| {
            for input in &request.inputs {
                w.object(|w| {
                    w.key("model").text(&name);
                    w.key("content").object(|w| {
                        w.key("parts").array(|w| w.object(|w| w.key("text").escaped(input)));
                    });
                    if let Some(dimensions) = request.dimensions {
                        w.key("outputDimensionality").number(dimensions);
                    }
                });
            }
        });
    });
    Ok((format!("/models/{}:batchEmbedContents", segment(model)), out))
}

/// Reads the answer.
pub(in crate::dialect) fn read_embeddings(body: &[u8]) -> Result<Vectors<'_>, Malformed> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut read = Vectors::default();
    walker.members(|walker, key| {
        match key.raw {
            b"embeddings" if walker.kind()? == Kind::Array => walker.elements(|walker| {
                walker.members(|walker, key| {
                    match key.raw {
                        b"values" if walker.kind()? == Kind::Array => read.vectors.push(Json::read(walker)?),
                        _ => walker.pass()?,
                    }
                    Ok::<(), Malformed>(())
                })
            })?,
            b"usageMetadata" => members_or_skip(walker, |walker, key| {
                match key.raw {
                    b"promptTokenCount" => read.tokens = count(walker)?,
                    _ => walker.pass()?,
                }
                Ok(())
            })?,
            _ => walker.pass()?,
        }
        Ok::<(), Malformed>(())
    })?;
    walker.finish()?;
    Ok(read)
}
