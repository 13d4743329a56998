//! Secrets: where they are kept, and reading them.
//!
//! Invariant: a fault says where a secret was looked for, never what was found.

use std::{fs, path::Path};

use super::{
    read::{At, Section},
    shown::SECRET,
};
use crate::types::Secret;

const FORMS: &str = "write `{ env = \"NAME\" }`, `{ file = \"path\" }` or `{ credential = \"name\" }`";

/// No key or token of any provider comes near this; a larger file is the wrong file.
const MAX_SECRET: u64 = 64 * 1024;

/// Whether a text can be what it is needed for; says so where it cannot.
type Usable<'t> = fn(&Section<'t>, &At<()>, &str, &str) -> Option<At<Secret>>;

impl<'t> Section<'t> {
    /// A secret, if there is one.
    pub(super) fn secret(&self, key: &'static str) -> Option<At<Secret>> {
        self.secret_or(key, &[])
    }

    /// The same; texts in `public` open nothing real, and may stand in the file without a note.
    pub(super) fn secret_or(&self, key: &'static str, public: &[&str]) -> Option<At<Secret>> {
        self.kept(key, public, Self::usable)
    }

    /// A secret of many lines, such as a JSON file that holds a key.
    pub(super) fn document(&self, key: &'static str) -> Option<At<Secret>> {
        self.kept(key, &[], |_, at, text, _| {
            Some(At { value: Secret::new(text.to_owned()), span: at.span.clone(), path: at.path.clone() })
        })
    }

    fn kept(&self, key: &'static str, public: &[&str], usable: Usable<'t>) -> Option<At<Secret>> {
        let value = self.get(key)?;
        self.shows(key, SECRET);
        let at = self.at(key, value.span(), ());
        if let Some(text) = value.get_ref().as_str() {
            if !public.contains(&text) {
                let what = "the secret itself stands in the file";
                self.note_at(&at, what, &FORMS.replacen("write", "keep it outside:", 1));
            }
            return usable(self, &at, text, "the text");
        }
        if !value.get_ref().is_table() {
            self.wrong_type(key, value, "a secret's place", FORMS);
            return None;
        }
        self.table_of("secret", key, |place| {
            let sources = [place.text("env"), place.text("file"), place.text("credential")];
            match sources {
                [Some(name), None, None] => self.in_env(&at, &name.value, usable),
                [None, Some(path), None] => {
                    let path = self.reader().beside(&path.value);
                    self.in_file(&at, &path, usable)
                }
                [None, None, Some(name)] => self.in_credential(&at, &name.value, usable),
                // A misspelt or mistyped place is reported by itself.
                [None, None, None] if !place.is_empty() => None,
                [_, _, _] => {
                    self.fault_at(&at, "a secret has exactly one place", FORMS);
                    None
                }
            }
        })
    }

    fn in_env(&self, at: &At<()>, name: &str, usable: Usable<'t>) -> Option<At<Secret>> {
        let Some(text) = self.reader().host.var(name) else {
            let what = format!("environment variable `{name}` is not set");
            self.fault_at(at, &what, &format!("set it (`export {name}=...`), or name another place"));
            return None;
        };
        usable(self, at, &text, &format!("environment variable `{name}`"))
    }

    fn in_credential(&self, at: &At<()>, name: &str, usable: Usable<'t>) -> Option<At<Secret>> {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            self.fault_at(at, &format!("`{name}` is not a credential's name"), "write the name alone");
            return None;
        }
        let Some(folder) = self.reader().host.var("CREDENTIALS_DIRECTORY") else {
            self.fault_at(
                at,
                "`$CREDENTIALS_DIRECTORY` is not set",
                &format!("run under systemd with `LoadCredential={name}:/path/to/it`, or name another place"),
            );
            return None;
        };
        self.in_file(at, &Path::new(&folder).join(name), usable)
    }

    fn in_file(&self, at: &At<()>, path: &Path, usable: Usable<'t>) -> Option<At<Secret>> {
        self.reader().depends_on(path.to_owned());
        let text = match fs::metadata(path) {
            Ok(meta) if meta.len() > MAX_SECRET => Err("it is too large for a secret".to_owned()),
            Ok(_) => fs::read_to_string(path).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match text {
            Ok(text) => usable(self, at, &text, &format!("`{}`", path.display())),
            Err(why) => {
                let what = format!("cannot read `{}`: {why}", path.display());
                self.fault_at(at, &what, "name a file that the gateway's user may read");
                None
            }
        }
    }

    /// Without one trailing newline (editors add it), a secret must be what a header can carry.
    fn usable(&self, at: &At<()>, text: &str, place: &str) -> Option<At<Secret>> {
        let text = text.strip_suffix('\n').map_or(text, |rest| rest.strip_suffix('\r').unwrap_or(rest));
        let what = if text.is_empty() {
            "is empty"
        } else if text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            "holds a space, a line break or another character that no key has"
        } else {
            let secret = Secret::new(text.to_owned());
            return Some(At { value: secret, span: at.span.clone(), path: at.path.clone() });
        };
        self.fault_at(at, &format!("{place} {what}"), "put the key there and nothing else");
        None
    }
}
