//! What an answer's words rest on, in this dialect's words.

use crate::dialect::{
    answer::{MAX_DEPTH, count},
    json::{Key, Kind, Walker},
    neutral::{Escaped, Json, Malformed, Writer},
};

/// What a citation of whichever dialect says.
#[derive(Default)]
struct Found<'a> {
    kind: Option<Escaped<'a>>,
    url: Option<Escaped<'a>>,
    title: Option<Escaped<'a>>,
    start: Option<u64>,
    end: Option<u64>,
}

/// The annotation that a citation becomes; `chars` have been said before it. `None`: it names nothing
/// that this dialect can point to.
pub(super) fn annotation(citation: &Json<'_>, chars: u64) -> Option<Json<'static>> {
    let mut found = Found::default();
    let mut walker = Walker::new(citation.as_str().as_bytes(), MAX_DEPTH);
    walker.members(|walker, key| found.member(walker, &key)).ok()?;
    let kind = found.kind.as_ref().map(Escaped::raw);
    if matches!(kind, Some("file_citation" | "container_file_citation" | "file_path")) {
        // A line break between two members would end the event that it stands in.
        return Some(Json::from_text(citation.as_str().replace(['\n', '\r'], " ")));
    }
    let url = found.url?;
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("type").text("url_citation");
        w.key("start_index").number(found.start.unwrap_or(0));
        w.key("end_index").number(found.end.unwrap_or(chars));
        w.key("url").escaped(&url);
        w.key("title").escaped(found.title.as_ref().unwrap_or(&url));
    });
    String::from_utf8(out).ok().map(Json::from_text)
}

impl<'a> Found<'a> {
    fn member(&mut self, walker: &mut Walker<'a>, key: &Key<'a>) -> Result<(), Malformed> {
        match (key.raw, walker.kind()?) {
            (b"type", _) => self.kind = Escaped::read(walker)?,
            (b"url" | b"uri", Kind::String) => self.url = Escaped::read(walker)?,
            (b"title", Kind::String) => self.title = Escaped::read(walker)?,
            (b"start_index" | b"startIndex", _) => self.start = count(walker)?,
            (b"end_index" | b"endIndex", _) => self.end = count(walker)?,
            // Chat, Bedrock and Gemini put the source into an object of its own.
            (b"url_citation" | b"web" | b"location", Kind::Object) => {
                return walker.members(|walker, key| self.member(walker, &key));
            }
            _ => walker.pass()?,
        }
        Ok(())
    }
}
