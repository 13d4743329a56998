//! What was read of files.

use std::collections::BTreeMap;

use serde::Serialize;

use super::counted;

/// How reading went. Whatever was left out is counted here.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Reading {
    /// Files that were read.
    pub files: u64,
    /// How many of them are of which format; those without a line that we know are of none.
    pub formats: BTreeMap<&'static str, u64>,
    /// All lines.
    pub lines: u64,
    /// Their bytes, unpacked.
    pub bytes: u64,
    /// Lines that are no JSON, or not what their format says.
    pub bad_lines: u64,
    /// Lines over 64 MiB.
    pub too_long_lines: u64,
    /// Last lines that were broken off: a file that is being written ends so.
    pub unfinished_lines: u64,
    /// Lines that are sound, and no request.
    pub other_lines: u64,
    /// Files that could not be opened.
    pub unreadable_files: u64,
    /// Answers that stand in several files, counted once.
    pub repeated_answers: u64,
    /// Requests that were over before one of their conversation that was read earlier.
    pub out_of_order: u64,
    /// Requests that neither name their conversation nor show their prompt: each counts as a conversation.
    pub without_conversation: u64,
    /// Requests that do not say when they were: nothing is known of the pauses before and after.
    pub without_time: u64,
    /// The first thing that was wrong, with file and line.
    pub first_fault: Option<String>,
}

impl Reading {
    /// A line told what its file is.
    pub(in crate::gauge) fn note(&mut self, format: Option<&'static str>) {
        if let Some(format) = format {
            *self.formats.entry(format).or_default() += 1;
        }
    }

    /// What is to be known of the figures.
    pub(in crate::gauge) fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let formats: Vec<String> =
            self.formats.iter().map(|(name, files)| format!("{name} ({files})")).collect();
        remarks.push(format!("Read {}: {}.", lines_of(self.lines, self.files), formats.join(", ")));
        let left_out = [
            (self.bad_lines, "lines that cannot be read"),
            (self.too_long_lines, "lines over 64 MiB"),
            (self.unreadable_files, "files that cannot be opened"),
        ];
        let left_out: Vec<String> = left_out
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        if !left_out.is_empty() {
            let first = self.first_fault.as_deref().unwrap_or_default();
            remarks.push(format!("Left out: {}. The first: {first}", left_out.join(", ")));
        }
        if self.out_of_order > 0 {
            remarks.push(format!(
                "{} requests were over before one of their conversation that was read earlier: sort the files by \
                 time for exact pauses.",
                self.out_of_order
            ));
        }
        if self.without_conversation > 0 {
            remarks.push(format!(
                "{} requests neither name a conversation nor show a prompt: each counts as a conversation of one turn.",
                self.without_conversation
            ));
        }
        if self.without_time > 0 {
            remarks.push(format!(
                "{} requests do not say when they were: pauses are unknown, and taken for none.",
                self.without_time
            ));
        }
        remarks
    }
}

fn lines_of(lines: u64, files: u64) -> String {
    format!("{} of {}", counted(lines, "line"), counted(files, "file"))
}
