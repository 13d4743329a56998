//! Which files, in which order, and what is in them.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    lines::{Line, Lines},
    members::{Members, time},
};

/// Files of one folder, subfolders included.
const MOST_FILES: usize = 200_000;
/// Folders within folders.
const DEEPEST: usize = 16;
/// Bytes of a file in which a time is looked for.
const HEAD: usize = 256 * 1024;
const HEAD_LINES: usize = 20;

/// Where lines say when they were written.
pub(super) const TIMES: [&str; 11] = [
    "startTime",
    "start_time",
    "timestamp",
    "time",
    "@timestamp",
    "created_at",
    "createdAt",
    "request_time",
    "ts",
    "date",
    "at",
];

/// A file, and when its first line was written, where it says so.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    at: Option<Duration>,
}

/// The files at a path in the order of their first lines' times: logs that were rotated follow each other.
/// Of a folder those that are called `*.jsonl`, `*.ndjson`, or the same with something behind it, such as
/// `.gz` or `.1`.
///
/// The second part says whether there were more than are read.
pub(super) fn find(path: &Path) -> io::Result<(Vec<Entry>, bool)> {
    if !fs::metadata(path)?.is_dir() {
        return Ok((vec![Entry { path: path.to_owned(), at: None }], false));
    }
    let (mut found, mut folders, mut more) = (Vec::new(), vec![(path.to_owned(), 0)], false);
    while let Some((folder, depth)) = folders.pop() {
        let listed = match fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(error) if depth == 0 => return Err(error),
            // One that we may not look into is no reason to leave the others out.
            Err(_) => continue,
        };
        for entry in listed.flatten() {
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && depth < DEEPEST {
                folders.push((entry.path(), depth + 1));
            } else if kind.is_file() && is_log(&entry.file_name().to_string_lossy()) {
                more |= found.len() >= MOST_FILES;
                if !more {
                    found.push(entry.path());
                }
            }
        }
    }
    found.sort();
    let mut entries: Vec<Entry> =
        found.into_iter().map(|path| Entry { at: first_time(&path), path }).collect();
    entries.sort_by_key(|entry| entry.at);
    Ok((entries, more))
}

fn is_log(name: &str) -> bool {
    name.contains(".jsonl") || name.contains(".ndjson")
}

/// A file's text, unpacked where it is packed, whatever it is called.
pub(super) fn open(path: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut file = BufReader::with_capacity(256 * 1024, File::open(path)?);
    let packed = file.fill_buf()?.starts_with(&[0x1f, 0x8b]);
    Ok(if packed {
        Box::new(BufReader::with_capacity(256 * 1024, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

fn first_time(path: &Path) -> Option<Duration> {
    let head = open(path).ok()?.take(u64::try_from(HEAD).ok()?);
    let mut lines = Lines::new(BufReader::new(head), HEAD);
    for _ in 0..HEAD_LINES {
        let Ok(Some((Line::Whole | Line::Unfinished, text))) = lines.next() else { break };
        let at = Members::of(text).and_then(|members| time(members.first(&TIMES)?));
        if at.is_some() {
            return at;
        }
    }
    None
}
