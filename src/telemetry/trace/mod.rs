//! Agents' traces, for `warmkey replay --trace`: when who sent how much, without a word of it.
//!
//! Off unless configured. A turn is noted when it is admitted and handed over when it is settled, by a
//! bounded channel to a thread that writes: traffic never waits for it, what does not fit is dropped and
//! counted. Sessions, agents and callers become numbers, blocks become salted hashes; the salt is this
//! process's alone. The format is that of `replay::read`.

mod writer;

use std::{
    fs, io,
    path::PathBuf,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use parking_lot::Mutex;

use self::writer::Writer;
use super::Metrics;
use crate::{
    clock::Moment,
    types::{CallerName, ModelName, PrefixPoint, SessionKey},
};

/// Turns on their way to the writer.
const CHANNEL: usize = 1_024;
/// Prompts of more blocks are let go.
const MOST_BLOCKS: usize = 20_000;

/// Where to write, and how much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TraceParams {
    /// The file. One that is there already is kept beside, as `*.old`.
    pub file: PathBuf,
    /// Bytes; then it is full.
    pub max_size: u64,
}

/// A request as it was admitted.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Its session: an agent of its own.
    pub session: Option<SessionKey>,
    /// Whose sub-agent that is.
    pub parent: Option<SessionKey>,
    /// Whose key it was.
    pub caller: CallerName,
    /// What the provider is asked for.
    pub model: ModelName,
    /// Its breakpoints ask for the long life.
    pub long: bool,
    /// Its prompt.
    pub points: Vec<PrefixPoint>,
    /// When it was admitted.
    pub at: Moment,
}

enum Event {
    Began(u64),
    /// `None`: it came to nothing.
    Over(u64, Option<Box<Done>>),
    Close,
}

/// A turn that is over.
struct Done {
    asked: Traced,
    output: u64,
    over: Moment,
}

/// Where turns are handed over.
pub struct Tracer {
    channel: SyncSender<Event>,
    next: AtomicU64,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A turn under way. Dropped, it came to nothing.
pub struct Ticket {
    channel: SyncSender<Event>,
    number: u64,
    asked: Option<Traced>,
}

impl Tracer {
    /// Opens the file and starts to write.
    ///
    /// # Errors
    /// When there can be no such file.
    pub fn open(params: &TraceParams) -> io::Result<Self> {
        if params.file.exists() {
            let mut old = params.file.clone().into_os_string();
            old.push(".old");
            fs::rename(&params.file, old)?;
        }
        let file = io::BufWriter::new(fs::File::create_new(&params.file)?);
        let (channel, events): (SyncSender<Event>, Receiver<Event>) = sync_channel(CHANNEL);
        let writer = Writer::new(file, params.max_size, fastrand::u64(..));
        let thread = std::thread::Builder::new().name("trace".into()).spawn(move || writer.run(&events))?;
        Ok(Self { channel, next: AtomicU64::new(0), writer: Mutex::new(Some(thread)) })
    }

    /// A request is under way. `None` where it cannot be noted.
    #[must_use]
    pub fn began(&self, asked: Traced) -> Option<Ticket> {
        if asked.points.is_empty() || asked.points.len() > MOST_BLOCKS {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if self.channel.try_send(Event::Began(number)).is_err() {
            Metrics::global().traced("dropped");
            return None;
        }
        Some(Ticket { channel: self.channel.clone(), number, asked: Some(asked) })
    }

    /// Writes what is there, and ends. Blocks for as long as that takes.
    pub fn close(&self) {
        if let Some(writer) = self.writer.lock().take() {
            let _ = self.channel.send(Event::Close);
            let _ = writer.join();
        }
    }
}

impl Ticket {
    /// It was answered with so many tokens.
    pub fn over(mut self, output: u64, now: Moment) {
        if let Some(asked) = self.asked.take() {
            self.send(Some(Box::new(Done { asked, output, over: now })));
        }
    }

    fn send(&self, done: Option<Box<Done>>) {
        let counts = done.is_some();
        if let Err(TrySendError::Full(_)) = self.channel.try_send(Event::Over(self.number, done))
            && counts
        {
            Metrics::global().traced("dropped");
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.asked.is_some() {
            self.send(None);
        }
    }
}
