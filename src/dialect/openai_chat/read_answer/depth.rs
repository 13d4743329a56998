//! Whether the text of an object has come to its end.

/// Follows a JSON text as it comes, as far as brackets go.
#[derive(Default)]
pub(super) struct Depth {
    depth: usize,
    begun: bool,
    in_string: bool,
    /// The last character escapes the next.
    escape: bool,
}

impl Depth {
    pub(super) fn read(&mut self, text: &str) {
        for byte in text.bytes() {
            if self.in_string {
                match byte {
                    _ if self.escape => self.escape = false,
                    b'\\' => self.escape = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => {
                    self.begun = true;
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
    }

    pub(super) const fn is_complete(&self) -> bool {
        self.begun && self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[&str], complete: bool) {
        let mut depth = Depth::default();
        for piece in pieces {
            depth.read(piece);
        }
        assert_eq!(depth.is_complete(), complete, "{pieces:?}");
    }

    #[test]
    fn an_object_ends_with_its_last_bracket() {
        check(&[], false);
        check(&["{}"], true);
        check(&["{\"a\":", "[1,{}]"], false);
        check(&["{\"a\":", "[1,{}]}"], true);
        check(&["{\"a\":\"}", "\\\"}\\", "\\\"}"], true);
        check(&["{\"a\":\"}\\", "\"}"], false);
        check(&["}", "{"], false);
    }
}
