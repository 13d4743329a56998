//! What a path asks for.
//!
//! Pure: a method and a path in, a [`Route`] out. Every path is normalised before anything is decided
//! on it, so that `/v1/../v1/files` cannot slip past a rule that was written for `/v1/files`.

use crate::{dialect::PinKind, types::Operation};

/// A path without a prefix, and what it means here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Target {
    /// A provider's name or a family in front of the path (`/anthropic/v1/messages`).
    pub prefix: Option<String>,
    /// The normalised path behind the prefix.
    pub path: String,
    /// What it asks for.
    pub route: Route,
}

/// What a path asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Route {
    /// `/`: clients probe it before their first call.
    Root,
    /// `/healthz`
    Health,
    /// `/v1/models`, or one of them.
    Models(Option<String>),
    /// A call that we drive.
    Call(Operation),
    /// A stored object, by id.
    Object {
        /// Its kind.
        kind: PinKind,
        /// Its id.
        id: String,
    },
    /// `/v1/feedback`: what somebody thinks of an answer.
    Feedback,
    /// Something else: allowed only where a provider's `passthrough` says so.
    Other,
}

/// Why a path was not understood at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BadPath(pub &'static str);

/// Reads a raw request path. `is_prefix` says whether a first segment names a provider.
pub(crate) fn target(raw: &str, is_prefix: impl Fn(&str) -> bool) -> Result<Target, BadPath> {
    let path = normalise(raw)?;
    let first = path.trim_start_matches('/').split('/').next().unwrap_or("");
    let (prefix, rest) = if !first.is_empty() && is_prefix(first) {
        let rest = &path[1 + first.len()..];
        (Some(first.to_owned()), if rest.is_empty() { "/" } else { rest })
    } else {
        (None, path.as_str())
    };
    Ok(Target { prefix, path: rest.to_owned(), route: route(rest) })
}

fn route(path: &str) -> Route {
    match path {
        "/" => return Route::Root,
        "/healthz" => return Route::Health,
        _ => {}
    }
    let below = path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path);
    match below {
        "/models" => Route::Models(None),
        // The Anthropic paths exist below `/v1` only, as at the provider.
        "/messages" if path.starts_with("/v1/") => Route::Call(Operation::Messages),
        "/messages/count_tokens" if path.starts_with("/v1/") => Route::Call(Operation::CountTokens),
        "/chat/completions" => Route::Call(Operation::ChatCompletions),
        "/feedback" if path.starts_with("/v1/") => Route::Feedback,
        "/responses" => Route::Call(Operation::Responses),
        "/embeddings" => Route::Call(Operation::Embeddings),
        "/completions" => Route::Call(Operation::Completions),
        _ => nested(below),
    }
}

/// What stands where an id would, but is a call of its own.
const VERBS: [&str; 2] = ["compact", "input_tokens"];

fn nested(below: &str) -> Route {
    if let Some(id) = below.strip_prefix("/models/").filter(|id| !id.is_empty()) {
        return Route::Models(Some(id.to_owned()));
    }
    let Some(rest) = below.strip_prefix("/responses/") else { return Route::Other };
    let (id, action) = rest.split_once('/').unwrap_or((rest, ""));
    if VERBS.contains(&id) {
        return Route::Other;
    }
    match action {
        "" | "cancel" | "input_items" if !id.is_empty() => {
            Route::Object { kind: PinKind::Response, id: id.to_owned() }
        }
        _ => Route::Other,
    }
}

/// Decodes what needs no encoding, folds `//`, `.` and `..`, and refuses what could mean one thing
/// to us and another to the provider.
pub(crate) fn normalise(raw: &str) -> Result<String, BadPath> {
    if !raw.starts_with('/') {
        return Err(BadPath("the path must begin with `/`"));
    }
    let decoded = decode(raw)?;
    let mut parts: Vec<&str> = Vec::new();
    for part in decoded.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                if parts.pop().is_none() {
                    return Err(BadPath("the path climbs above its root"));
                }
            }
            part => parts.push(part),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

fn decode(raw: &str) -> Result<String, BadPath> {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(raw.len());
    let mut i = 0;
    while let Some(&byte) = bytes.get(i) {
        let (decoded, used) = if byte == b'%' {
            let pair = raw.get(i + 1..i + 3).ok_or(BadPath("the path holds a broken `%` escape"))?;
            let value =
                u8::from_str_radix(pair, 16).map_err(|_| BadPath("the path holds a broken `%` escape"))?;
            (value, 3)
        } else {
            (byte, 1)
        };
        match decoded {
            b'/' | b'\\' | 0 if used == 3 => return Err(BadPath("the path holds an encoded separator")),
            b'\\' => return Err(BadPath("the path holds a backslash")),
            b if b.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=:@".contains(&b) => out.push(char::from(b)),
            b if used == 3 => out.push_str(&format!("%{b:02X}")),
            _ => return Err(BadPath("the path holds a character that must be escaped")),
        }
        i += used;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(raw: &str) -> Target {
        target(raw, |first| first == "anthropic" || first == "openai").expect("a good path")
    }

    #[test]
    fn the_known_calls_are_known_with_and_without_prefix() {
        assert_eq!(at("/v1/messages").route, Route::Call(Operation::Messages));
        assert_eq!(at("/anthropic/v1/messages").route, Route::Call(Operation::Messages));
        assert_eq!(at("/anthropic/v1/messages").prefix.as_deref(), Some("anthropic"));
        assert_eq!(at("/chat/completions").route, Route::Call(Operation::ChatCompletions));
        assert_eq!(at("/openai/responses").route, Route::Call(Operation::Responses));
        assert_eq!(at("/messages").route, Route::Other);
        assert_eq!(at("/v1/models/claude-sonnet-4-6").route, Route::Models(Some("claude-sonnet-4-6".into())));
        assert_eq!(at("/openai").route, Route::Root);
    }

    #[test]
    fn responses_by_id_are_objects_and_nothing_deeper() {
        let object = |id: &str| Route::Object { kind: PinKind::Response, id: id.into() };
        assert_eq!(at("/v1/responses/resp_1").route, object("resp_1"));
        assert_eq!(at("/v1/responses/resp_1/cancel").route, object("resp_1"));
        assert_eq!(at("/v1/responses/resp_1/other").route, Route::Other);
        assert_eq!(at("/v1/responses/compact").route, Route::Other);
    }

    #[test]
    fn a_path_is_normalised_before_it_is_read() {
        assert_eq!(at("/v1//messages/").route, Route::Call(Operation::Messages));
        assert_eq!(at("/v1/files/../messages").route, Route::Call(Operation::Messages));
        assert_eq!(at("/%76%31/messages").route, Route::Call(Operation::Messages));
        assert_eq!(normalise("/a%20b").expect("fine"), "/a%20b");
    }

    #[test]
    fn a_path_that_could_mean_two_things_is_refused() {
        for raw in
            ["/v1/files%2f..%2fmessages", "/../etc", "/v1\\messages", "/%", "/%zz", "/a%00", "v1", "/a b"]
        {
            assert!(normalise(raw).is_err(), "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_read_without_panic_and_normalising_twice_changes_nothing(raw in "/[ -~é]{0,40}") {
            if let Ok(once) = normalise(&raw) {
                proptest::prop_assert_eq!(normalise(&once).expect("still fine"), once);
            }
        }
    }
}
