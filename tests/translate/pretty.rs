//! JSON spread over lines for people, not a token changed: numbers, escapes and the order of members
//! stay as they were written.

/// `json` with two spaces a level.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut rest = json.trim_start();
    while let Some(next) = rest.chars().next() {
        let token = if next == '"' { string(rest) } else { &rest[..next.len_utf8()] };
        rest = &rest[token.len()..];
        match token {
            "{" | "[" => {
                out.push_str(token);
                rest = rest.trim_start();
                if rest.starts_with(['}', ']']) {
                    out.push_str(&rest[..1]);
                    rest = &rest[1..];
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            "}" | "]" => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push_str(token);
            }
            "," => {
                out.push_str(token);
                line(&mut out, depth);
            }
            ":" => out.push_str(": "),
            other if other.trim().is_empty() => {}
            other => out.push_str(other),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.push_str(&"  ".repeat(depth));
}

/// The string that `text` begins with, quotes and all.
fn string(text: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &text[..=at],
            _ => {}
        }
    }
    text
}

#[test]
fn tokens_stay_as_they_are() {
    let spread = pretty(r#"{"a":[1.50, {}],"b":"x: {\"y\"}","c":[]}"#);
    assert_eq!(
        spread,
        "{\n  \"a\": [\n    1.50,\n    {}\n  ],\n  \"b\": \"x: {\\\"y\\\"}\",\n  \"c\": []\n}"
    );
}
