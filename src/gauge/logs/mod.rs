//! Recorded traffic, as observations: session logs, request logs, traces, receipts.
//!
//! One line at a time, so that a file may be larger than memory. Which format a file has is told by the first
//! line that one of them knows; what the formats hold is said where each is read ([`claude_code`], [`sdk`],
//! [`trace`], [`ledger`]). Lines that cannot be read are counted and never fatal: a log that is being written
//! ends in half a line.

mod claude_code;
mod files;
mod ledger;
mod lines;
mod members;
mod pace;
mod sdk;
mod trace;

use std::{io, path::Path, sync::Arc};

use self::{
    claude_code::ClaudeCode,
    files::Entry,
    lines::{Line, Lines},
    members::Members,
    pace::Pace,
    sdk::Prompts,
    trace::Traces,
};
use super::{Observation, Report, Source, Tally, Via, clean, report::Reading, tally::Extra};
use crate::metering::PriceList;

/// A longer line is skipped: no provider takes a request as large.
const LONGEST_LINE: usize = 64 << 20;
/// Bytes between two words on how far it is.
const TELL_EVERY: u64 = 16 << 20;

/// An observation, and what else its record says.
struct Seen {
    observation: Observation,
    extra: Extra,
}

/// Takes what was read.
type Give<'g> = &'g mut dyn FnMut(Seen);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
    ClaudeCode,
    Requests,
    Trace,
    Ledger,
}

impl Format {
    /// The format that knows this line.
    fn of(line: &Members<'_>) -> Option<Self> {
        // The most telling first: requests are known by little.
        if trace::knows(line) {
            Some(Self::Trace)
        } else if ledger::knows(line) {
            Some(Self::Ledger)
        } else if claude_code::knows(line) {
            Some(Self::ClaudeCode)
        } else {
            sdk::knows(line).then_some(Self::Requests)
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::ClaudeCode => "Claude Code session log",
            Self::Requests => "request log",
            Self::Trace => "warmkey trace",
            Self::Ledger => "warmkey ledger",
        }
    }
}

/// Reads a file or a folder of files and tallies what was recorded. `tell` hears from time to time how many
/// bytes were read.
///
/// # Errors
/// When the path itself cannot be read. What is wrong further inside stands in [`Report::read`].
pub fn read_logs(
    path: &Path,
    priced_as: Option<crate::types::ModelName>,
    prices: Arc<PriceList>,
    beside: Option<&Report>,
    tell: &mut dyn FnMut(u64),
) -> io::Result<Report> {
    let (entries, more) = files::find(path)?;
    let name = path.display().to_string();
    let source = Source { name, via: Via::Logs, dialect: None, model: None, priced_as };
    let mut reader = Reader {
        tally: Tally::new(source, prices),
        formats: Formats::default(),
        reading: Reading::default(),
        told: 0,
    };
    if more {
        reader.fault("more files than are read at once: name subfolders one by one".to_owned());
    }
    let alone = entries.len() == 1;
    for Entry { path: file, .. } in entries {
        if let Err(error) = reader.file(&file, tell) {
            if alone && file == path {
                return Err(error);
            }
            reader.reading.unreadable_files += 1;
            reader.fault(format!("{}: {error}", clean(&file.display().to_string())));
        }
    }
    let Reader { tally, formats, mut reading, .. } = reader;
    reading.repeated_answers = formats.claude.repeated;
    reading.out_of_order = formats.pace.late;
    reading.without_conversation = formats.prompts.alone;
    reading.without_time = formats.prompts.timeless;
    let mut report = tally.finish(beside);
    report.remarks.extend(reading.remarks());
    report.read = Some(reading);
    Ok(report)
}

/// What each format remembers between its lines.
#[derive(Default)]
struct Formats {
    claude: ClaudeCode,
    prompts: Prompts,
    traces: Traces,
    pace: Pace,
}

struct Reader {
    tally: Tally,
    formats: Formats,
    reading: Reading,
    told: u64,
}

impl Reader {
    fn file(&mut self, path: &Path, tell: &mut dyn FnMut(u64)) -> io::Result<()> {
        let mut lines = Lines::new(files::open(path)?, LONGEST_LINE);
        self.reading.files += 1;
        let mut format = None;
        loop {
            let number = lines.number + 1;
            let place = |what: &str| format!("{}:{number}: {what}", clean(&path.display().to_string()));
            let (line, text) = match lines.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                Err(error) => {
                    // Half a packed file: what came before it counts.
                    self.reading.bad_lines += 1;
                    self.fault(place(&format!("cannot be read further: {error}")));
                    break;
                }
            };
            self.reading.lines += 1;
            self.reading.bytes += u64::try_from(text.len()).unwrap_or(0) + 1;
            if self.reading.bytes - self.told >= TELL_EVERY {
                self.told = self.reading.bytes;
                tell(self.told);
            }
            match line {
                Line::TooLong => {
                    self.reading.too_long_lines += 1;
                    self.fault(place("longer than 64 MiB: skipped"));
                }
                Line::Whole | Line::Unfinished => {
                    let text = text.trim_ascii();
                    if text.is_empty() {
                        continue;
                    }
                    let Some(members) = Members::of(text) else {
                        if line == Line::Unfinished {
                            self.reading.unfinished_lines += 1;
                        } else {
                            self.reading.bad_lines += 1;
                            self.fault(place(&Members::fault(text)));
                        }
                        continue;
                    };
                    if format.is_none() {
                        format = Format::of(&members);
                        self.reading.note(format.map(Format::label));
                    }
                    if let Err(what) = self.line(format, &members, text) {
                        self.reading.bad_lines += 1;
                        self.fault(place(&what));
                    }
                }
            }
        }
        let Self { tally, formats, .. } = self;
        formats.claude.end(&mut formats.pace, &mut |seen| tally.note_with(&seen.observation, seen.extra));
        Ok(())
    }

    fn line(&mut self, format: Option<Format>, members: &Members<'_>, text: &[u8]) -> Result<(), String> {
        let Self { tally, formats, reading, .. } = self;
        let mut give = |seen: Seen| tally.note_with(&seen.observation, seen.extra);
        let seen = match format {
            Some(Format::ClaudeCode) => {
                formats.claude.line(members, &mut formats.pace, &mut give);
                return Ok(());
            }
            Some(Format::Requests) => sdk::line(members, &mut formats.prompts, &mut formats.pace),
            Some(Format::Ledger) => ledger::line(members, &mut formats.pace),
            Some(Format::Trace) => Some(formats.traces.line(text)?),
            None => None,
        };
        match seen {
            Some(seen) => give(seen),
            None => reading.other_lines += 1,
        }
        Ok(())
    }

    fn fault(&mut self, what: String) {
        self.reading.first_fault.get_or_insert(what);
    }
}

#[cfg(test)]
mod tests;
