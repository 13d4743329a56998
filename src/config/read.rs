//! Reading one file: sections, their keys, and every fault on the way.
//!
//! A [`Section`] is asked for each key that the gateway knows; what nobody asked for is unknown, and
//! the keys that were asked for are what a typing error is compared with. The list of knobs is
//! therefore never kept by hand.
//!
//! Invariant: a bad value is reported and its default goes on in its place, so that one fault does
//! not hide the next. Faults quote keys and plain values, never the text of a secret.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fmt::Display,
    ops::Range,
    path::{Path, PathBuf},
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Host,
    fault::{Fault, Faults},
    shown::Shown,
};
use crate::snapshot::Setting;

/// One file being read.
pub(super) struct Reader<'a> {
    pub(super) host: &'a dyn Host,
    file: &'a Path,
    text: &'a str,
    faults: RefCell<Vec<Fault>>,
    notes: RefCell<Vec<Fault>>,
    knobs: RefCell<BTreeSet<String>>,
    files: RefCell<Vec<PathBuf>>,
    pub(super) shown: RefCell<Shown>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str, host: &'a dyn Host) -> Self {
        Self {
            host,
            file,
            text,
            faults: RefCell::default(),
            notes: RefCell::default(),
            knobs: RefCell::default(),
            files: RefCell::default(),
            shown: RefCell::default(),
        }
    }

    /// Parses the text; all syntax errors at once.
    pub(super) fn parse(&self) -> Result<Spanned<DeTable<'a>>, Faults> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Ok(table);
        }
        let syntax = |error: &toml::de::Error| Fault {
            file: self.file.to_owned(),
            line: error.span().map(|span| self.line(span.start)),
            path: String::new(),
            what: format!("not TOML: {}", error.message().replace('\n', ", ")),
            remedy: "text stands in quotes, a list in [ ], and each key only once".into(),
        };
        let mut faults: Vec<Fault> = errors.iter().map(syntax).collect();
        faults.sort_by_key(|fault| fault.line);
        Err(Faults(faults))
    }

    /// The file as a whole.
    pub(super) fn root<'t>(&'t self, table: &'t DeTable<'t>) -> Section<'t> {
        Section::new(self, Some(table), 0..0, String::new(), String::new())
    }

    /// A path in the file, relative to the file's folder.
    pub(super) fn beside(&self, path: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// Remembers a file that the configuration depends on.
    pub(super) fn depends_on(&self, path: PathBuf) {
        self.files.borrow_mut().push(path);
    }

    /// Takes over what reading another file found.
    pub(super) fn adopt(&self, faults: Vec<Fault>) {
        self.faults.borrow_mut().extend(faults);
    }

    /// What was found, in the order of the file.
    pub(super) fn finish(self) -> Findings {
        let in_order = |mut list: Vec<Fault>| {
            list.sort_by_key(|fault| (fault.file != self.file, fault.line));
            list.dedup();
            list
        };
        Findings {
            faults: in_order(self.faults.into_inner()),
            notes: in_order(self.notes.into_inner()),
            knobs: self.knobs.into_inner(),
            files: self.files.into_inner(),
            settings: self.shown.into_inner().settings(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

/// What reading found beside the values.
pub(super) struct Findings {
    pub(super) faults: Vec<Fault>,
    pub(super) notes: Vec<Fault>,
    /// Every key that was asked for: `server.listen`, `provider.timeouts.idle`.
    pub(super) knobs: BTreeSet<String>,
    pub(super) files: Vec<PathBuf>,
    /// What is in force, in the order of reading.
    pub(super) settings: Vec<Setting>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
    pub(super) path: String,
}

/// One table being read; absent tables read as empty ones.
pub(super) struct Section<'t> {
    reader: &'t Reader<'t>,
    table: Option<&'t DeTable<'t>>,
    span: Range<usize>,
    /// `provider[2].timeouts`
    path: String,
    /// `provider.timeouts`
    kind: String,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t> Section<'t> {
    fn new(
        reader: &'t Reader<'t>,
        table: Option<&'t DeTable<'t>>,
        span: Range<usize>,
        path: String,
        kind: String,
    ) -> Self {
        Self { reader, table, span, path, kind, asked: RefCell::default() }
    }

    /// The file this section is read from.
    pub(super) fn reader(&self) -> &'t Reader<'t> {
        self.reader
    }

    /// Whether the file has this section at all.
    pub(super) fn is_present(&self) -> bool {
        self.table.is_some()
    }

    /// Whether the section holds no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.table.is_none_or(|table| table.is_empty())
    }

    /// Where the section itself stands.
    pub(super) fn here(&self) -> At<()> {
        At { value: (), span: self.span.clone(), path: self.path.clone() }
    }

    /// The raw value of `key`, marked as known.
    pub(super) fn get(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        let value = self.look(key);
        if value.is_none() {
            self.reader.shown.borrow_mut().unset(&self.kind, &self.path, key);
        }
        value
    }

    /// The same of a table or a list of them, whose keys show for themselves.
    fn look(&self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.borrow_mut().push(key);
        self.reader.knobs.borrow_mut().insert(join(&self.kind, key));
        self.table?.get(key)
    }

    /// What `key` is, for people who look at the settings in force. What is said last holds.
    pub(super) fn shows(&self, key: &str, value: impl Display) {
        self.reader.shown.borrow_mut().set(&self.kind, &self.path, key, value.to_string());
    }

    /// Whether `key` is written, without making it known.
    pub(super) fn get_quietly(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.get(key).is_some())
    }

    /// A value of `key` that stands at `span`.
    pub(super) fn at<T>(&self, key: &str, span: Range<usize>, value: T) -> At<T> {
        At { value, span, path: join(&self.path, key) }
    }

    /// The section inside this one called `key`.
    pub(super) fn table<T>(&self, key: &'static str, read: impl FnOnce(&Section<'t>) -> T) -> T {
        self.table_of(&join(&self.kind, key), key, read)
    }

    /// The same, where many keys hold a table of one kind.
    pub(super) fn table_of<T>(
        &self,
        kind: &str,
        key: &'static str,
        read: impl FnOnce(&Section<'t>) -> T,
    ) -> T {
        let value = self.look(key);
        let table = value.and_then(|value| {
            let table = value.get_ref().as_table();
            if table.is_none() {
                self.wrong_type(key, value, "a table", &format!("write it as `[{}]`", join(&self.kind, key)));
            }
            table
        });
        let span = value.map_or(0..0, Spanned::span);
        let inner = Section::new(self.reader, table, span, join(&self.path, key), kind.to_owned());
        let result = read(&inner);
        inner.refuse_unknown();
        result
    }

    /// The sections of a list of tables (`[[key]]`), in order.
    pub(super) fn tables<T>(&self, key: &'static str, read: impl FnMut(&Section<'t>) -> T) -> Vec<T> {
        self.tables_of(&join(&self.kind, key), key, read)
    }

    /// The same, where many keys hold lists of one kind.
    pub(super) fn tables_of<T>(
        &self,
        kind: &str,
        key: &'static str,
        mut read: impl FnMut(&Section<'t>) -> T,
    ) -> Vec<T> {
        let Some(value) = self.look(key) else { return Vec::new() };
        let items =
            value.get_ref().as_array().filter(|items| items.iter().all(|item| item.get_ref().is_table()));
        let Some(items) = items else {
            // What stands within a section is written in a line.
            let remedy = match self.kind.as_str() {
                "" => format!("write each one as `[[{kind}]]`"),
                _ if join(&self.kind, key) == kind => format!("write each one as `[[{kind}]]`"),
                _ => format!("write `{key} = [{{ ... }}, {{ ... }}]`"),
            };
            self.wrong_type(key, value, "a list of tables", &remedy);
            return Vec::new();
        };
        let mut results = Vec::with_capacity(items.len());
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{}]", join(&self.path, key), n + 1);
            let inner =
                Section::new(self.reader, item.get_ref().as_table(), item.span(), path, kind.to_owned());
            results.push(read(&inner));
            inner.refuse_unknown();
        }
        results
    }

    /// Reports every key that nobody asked for. [`Section::table`] and [`Section::tables`] call it.
    pub(super) fn refuse_unknown(&self) {
        let asked = self.asked.borrow();
        for (key, _) in self.table.into_iter().flatten() {
            let name = key.get_ref().as_ref();
            if !asked.contains(&name) {
                let remedy = nearest(name, asked.iter().copied())
                    .map_or_else(|| format!("known here: {}", listed(asked.iter().copied())), did_you_mean);
                self.fault_at(&self.at(name, key.span(), ()), "unknown key", &remedy);
            }
        }
    }

    /// Says that the value of `key` is of the wrong type. Never quotes the value.
    pub(super) fn wrong_type(&self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, remedy: &str) {
        let found = match value.get_ref().type_str() {
            "array" => "a list",
            "boolean" => "`true` or `false`",
            "datetime" => "a date",
            "float" => "a fraction",
            "integer" => "a whole number",
            "string" => "text",
            "table" => "a table",
            other => other,
        };
        self.fault_at(
            &self.at(key, value.span(), ()),
            &format!("{wanted} is needed, this is {found}"),
            remedy,
        );
    }

    /// Says that `key` is wrong: at its line, or at the section's where it is missing.
    pub(super) fn fault(&self, key: &str, what: &str, remedy: &str) {
        let span =
            self.table.and_then(|table| table.get(key)).map_or_else(|| self.span.clone(), Spanned::span);
        self.fault_at(&self.at(key, span, ()), what, remedy);
    }

    /// Says that what stands at `at` is wrong.
    pub(super) fn fault_at<T>(&self, at: &At<T>, what: &str, remedy: &str) {
        self.reader.faults.borrow_mut().push(self.finding(at, what, remedy));
    }

    /// Says that what stands at `at` is allowed, but worth a second look.
    pub(super) fn note_at<T>(&self, at: &At<T>, what: &str, remedy: &str) {
        self.reader.notes.borrow_mut().push(self.finding(at, what, remedy));
    }

    fn finding<T>(&self, at: &At<T>, what: &str, remedy: &str) -> Fault {
        Fault {
            file: self.reader.file.to_owned(),
            // An absent section stands nowhere.
            line: (at.span != (0..0)).then(|| self.reader.line(at.span.start)),
            path: at.path.clone(),
            what: what.to_owned(),
            remedy: remedy.to_owned(),
        }
    }
}

pub(super) fn join(outer: &str, key: &str) -> String {
    if outer.is_empty() { key.to_owned() } else { format!("{outer}.{key}") }
}

/// The known name that `name` is most probably a misspelling of.
pub(super) fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().min(name.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The remedy for a misspelling.
pub(super) fn did_you_mean(name: impl Display) -> String {
    format!("did you mean `{name}`?")
}

/// Names as a person reads them; long lists are cut.
pub(super) fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    const SHOWN: usize = 24;
    let names: BTreeSet<&str> = names.collect();
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text.push_str("none");
    }
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

/// The remedy for a name that is not known: a guess, or what there is.
pub(super) fn known_names<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    nearest(name, known.clone()).map_or_else(|| format!("known: {}", listed(known)), did_you_mean)
}
