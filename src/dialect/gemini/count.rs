//! `countTokens`.

use super::write_request;
use crate::dialect::{
    answer::{MAX_DEPTH, count},
    json::{Fault, Walker},
    neutral::{Losses, Request},
    translate::{Target, segment},
};

/// Path and body: the whole request, tools and instructions included. (`contents` beside it would count
/// the conversation alone.)
pub(in crate::dialect) fn write_count(
    request: &Request<'_>,
    target: &Target<'_>,
    losses: &mut Losses,
) -> (String, Vec<u8>) {
    let body = write_request(request, target, losses);
    let model = target.model;
    let mut out = Vec::with_capacity(body.len() + model.len() + 64);
    out.extend_from_slice(b"{\"generateContentRequest\":{\"model\":");
    out.extend_from_slice(crate::dialect::json::quoted(&format!("models/{model}")).as_bytes());
    // The request is an object that is never empty: its own members follow.
    out.push(b',');
    out.extend_from_slice(body.get(1..).unwrap_or_default());
    out.push(b'}');
    (format!("/models/{}:countTokens", segment(model)), out)
}

/// Reads the figure.
pub(in crate::dialect) fn read_count(body: &[u8]) -> Option<u64> {
    let mut walker = Walker::new(body, MAX_DEPTH);
    let mut total = None;
    let read = walker.members(|walker, key| {
        match key.raw {
            b"totalTokens" => total = count(walker)?,
            _ => walker.pass()?,
        }
        Ok::<(), Fault>(())
    });
    read.ok().and(total)
}
