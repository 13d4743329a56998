//! Changes to a body that leave every other byte where it was.

use bytes::{Bytes, BytesMut};

use crate::dialect::{
    json::{self, Fault, Kind, Walker},
    view::{RequestView, Span},
};

/// Bytes put in place of a span; an empty span is an insertion.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Splice {
    /// What goes.
    pub span: Span,
    /// What comes.
    pub with: Bytes,
}

impl Splice {
    /// A text as a JSON string in place of a span.
    #[must_use]
    pub fn text(span: Span, text: &str) -> Self {
        Self { span, with: json::quoted(text).into() }
    }
}

/// The body with these changes made. They may come in any order and must not overlap; one that does
/// not fit the body is left out. Without changes nothing is copied.
#[must_use]
pub fn apply(body: &Bytes, splices: &[Splice]) -> Bytes {
    if splices.is_empty() {
        return body.clone();
    }
    let mut ordered: Vec<&Splice> = splices.iter().collect();
    ordered.sort_by_key(|splice| (splice.span.start, splice.span.end));
    let grown: usize = splices.iter().map(|splice| splice.with.len()).sum();
    let mut out = BytesMut::with_capacity(body.len() + grown);
    let mut done = 0;
    for splice in ordered {
        if splice.span.end < splice.span.start {
            continue;
        }
        let (Some(before), true) = (body.get(done..splice.span.start), splice.span.end <= body.len()) else {
            continue;
        };
        out.extend_from_slice(before);
        out.extend_from_slice(&splice.with);
        done = splice.span.end;
    }
    out.extend_from_slice(body.get(done..).unwrap_or_default());
    out.freeze()
}

impl RequestView {
    /// Names another model.
    #[must_use]
    pub fn splice_model(&self, name: &str) -> Splice {
        Splice::text(self.model.span.clone(), name)
    }

    /// Asks for `stream_options.include_usage`, in the body that this view was made from; `None` when
    /// it is asked for already.
    #[must_use]
    pub fn splice_include_usage(&self, body: &[u8]) -> Option<Splice> {
        const MEMBER: &str = r#""include_usage":true"#;
        if self.includes_usage {
            return None;
        }
        let Some(options) = &self.stream_options else {
            let comma = if self.empty { "" } else { "," };
            let with = format!(r#""stream_options":{{{MEMBER}}}{comma}"#);
            return Some(Splice { span: self.body_start..self.body_start, with: with.into() });
        };
        let text = body.get(options.clone())?;
        if !text.starts_with(b"{") {
            return Some(Splice { span: options.clone(), with: format!("{{{MEMBER}}}").into() });
        }
        if let Some(value) = included(text).ok()? {
            let span = options.start + value.start..options.start + value.end;
            return Some(Splice { span, with: Bytes::from_static(b"true") });
        }
        let empty = text.get(1..)?.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
        let with = if empty { MEMBER.to_owned() } else { format!("{MEMBER},") };
        Some(Splice { span: options.start + 1..options.start + 1, with: with.into() })
    }
}

/// Where the value of `include_usage` stands in the options, if it is there (`false` or `null`).
fn included(options: &[u8]) -> Result<Option<Span>, Fault> {
    let mut walker = Walker::new(options, usize::MAX);
    let mut value = None;
    if walker.kind()? == Kind::Object {
        walker.members(|walker, key| {
            let span = walker.skip()?;
            let quoted = walker.bytes(&(key.start..key.start + key.raw.len() + 2));
            if json::decode_id(quoted).as_deref() == Some("include_usage") {
                value = Some(span);
            }
            Ok::<(), Fault>(())
        })?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
