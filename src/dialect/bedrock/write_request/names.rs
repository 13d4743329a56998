//! Names of documents, by Bedrock's rule.

use std::collections::BTreeSet;

use crate::dialect::neutral::Escaped;

/// Of 200 characters; the rest is for what tells equal names apart.
const MOST: usize = 180;

/// The names given so far. No two documents of a request may have the same.
#[derive(Default)]
pub(super) struct Names {
    given: BTreeSet<String>,
}

impl Names {
    /// A name of letters, digits, single spaces, hyphens, parentheses and brackets. It depends on the
    /// documents before it alone: a longer history names its old documents as before.
    pub(super) fn fit(&mut self, name: Option<&Escaped<'_>>) -> String {
        let said = name.map(Escaped::decode).unwrap_or_default();
        let mut name = String::with_capacity(said.len().min(MOST));
        for c in said.chars().take(MOST) {
            let c = match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '(' | ')' | '[' | ']' => c,
                c if c.is_whitespace() => ' ',
                _ => '-',
            };
            if c != ' ' || !(name.is_empty() || name.ends_with(' ')) {
                name.push(c);
            }
        }
        name.truncate(name.trim_end().len());
        if name.is_empty() {
            name.push_str("document");
        }
        if self.given.contains(&name) {
            let base = name;
            // Ends: there are finitely many names given.
            name = (2_u32..)
                .map(|n| format!("{base} ({n})"))
                .find(|name| !self.given.contains(name))
                .unwrap_or(base);
        }
        self.given.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_and_differ() {
        let mut names = Names::default();
        let mut check = |said: Option<&str>, expected: &str| {
            let said = said.map(Escaped::of);
            assert_eq!(names.fit(said.as_ref()), expected);
        };
        check(Some("Q3 report (final).pdf"), "Q3 report (final)-pdf");
        check(Some("  a \n\t b_é "), "a b--");
        check(None, "document");
        check(Some(""), "document (2)");
        check(Some("document (2)"), "document (2) (2)");
        check(Some(&"x".repeat(999)), &"x".repeat(180));
    }
}
