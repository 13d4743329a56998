//! The state file: what a restart must not forget.
//!
//! Sessions and their homes, what is warm where, what is left of limits, links from tool calls and
//! prefixes, owners of objects. Hashes, names, figures and times only; no prompt text. Written beside
//! and renamed, so that a crash leaves the old file or the new one. A file that cannot be read is
//! reported and ignored: it is a memory, not a ledger.
//!
//! The trap: a gateway that starts with full buckets and no idea of what is warm sends everything
//! everywhere at once. So limits come back as low as they were, less what time has refilled.

use std::{
    cmp::Reverse,
    collections::HashSet,
    fs,
    io::{self, Read, Write},
    path::Path,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    clock::{self, Moment, UnixTime},
    live::Live,
    routing::{SavedTable, SavedWarm},
    session::{LinksDump, OwnersDump},
    upstream::{DomainFacts, Pool},
};

/// Raised when the shape changes; another version's file is ignored.
const VERSION: u32 = 2;

/// A larger file is nobody's memory.
const LARGEST: u64 = 1 << 30;

/// Warm prefixes that are written: those that are warm longest.
const PREFIXES: usize = 250_000;

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct State {
    version: u32,
    sessions: SavedTable,
    warm: SavedWarm,
    limits: SavedLimits,
    links: LinksDump,
    owners: OwnersDump,
}

/// What was left of every rate domain's limits.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct SavedLimits {
    saved_at_unix: u64,
    domains: Vec<DomainFacts>,
}

/// Remembers what the file says.
pub(super) fn restore(live: &Live, file: Option<&Path>) {
    let Some(file) = file else { return };
    let text = match read(file) {
        Ok(text) => text,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return,
        Err(fault) => {
            tracing::warn!(file = %file.display(), %fault, "state file not read, starting cold");
            return;
        }
    };
    match serde_json::from_slice::<State>(&text) {
        Ok(state) if state.version == VERSION => {
            let (now, unix) = (clock::now(), clock::unix_now());
            live.links.restore(&state.links, now, unix);
            live.owners.restore(&state.owners, unix);
            let snapshot = live.snapshot.load();
            let endpoint = |name: &str| snapshot.pool.endpoint(name).cloned();
            let sessions = snapshot.policy.sessions().restore(&state.sessions, endpoint, now, unix);
            let prefixes = snapshot.policy.memory().warm.restore(&state.warm, now, unix);
            let domains = restore_limits(&snapshot.pool, &state.limits, now, unix);
            tracing::info!(file = %file.display(), sessions, prefixes, domains, "state restored");
        }
        Ok(state) => {
            tracing::warn!(file = %file.display(), version = state.version, "state file of another version, starting cold");
        }
        // The fault names a position, never the content.
        Err(fault) => {
            tracing::warn!(file = %file.display(), line = fault.line(), "state file is damaged, starting cold");
        }
    }
}

fn read(file: &Path) -> io::Result<Vec<u8>> {
    let not = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidData, what));
    // Nothing that never ends, and nothing that never begins.
    if !fs::metadata(file)?.is_file() {
        return not("it is no plain file");
    }
    let mut text = Vec::new();
    fs::File::open(file)?.take(LARGEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > LARGEST { not("it is too large") } else { Ok(text) }
}

/// Each rate domain once, by the endpoints that are in it now.
fn limits(pool: &Pool, now: Moment, unix: UnixTime) -> SavedLimits {
    let mut domains: Vec<DomainFacts> = Vec::new();
    for endpoint in pool.endpoints() {
        let facts = endpoint.facts(now);
        match domains.iter_mut().find(|known| known.domain == facts.domain) {
            Some(known) => known.endpoints.extend(facts.endpoints),
            None => domains.push(facts),
        }
    }
    domains.retain(|domain| !domain.classes.is_empty());
    SavedLimits { saved_at_unix: unix.0.as_secs(), domains }
}

/// Lowers every domain that is known yet to where it was. Who shares limits may not be learned again
/// so far: then each endpoint is told, and the strictest counts once they are one.
fn restore_limits(pool: &Pool, saved: &SavedLimits, now: Moment, unix: UnixTime) -> usize {
    let age = unix.0.saturating_sub(Duration::from_secs(saved.saved_at_unix));
    let mut restored = 0;
    for facts in &saved.domains {
        let mut told = HashSet::new();
        for endpoint in facts.endpoints.iter().filter_map(|name| pool.endpoint(name)) {
            if told.insert(endpoint.rate_domain().name().clone()) {
                endpoint.adopt_facts(facts, age, now);
            }
        }
        restored += usize::from(!told.is_empty());
    }
    restored
}

/// One writer at a time: the last save of a drain may meet a periodic one that is not done yet.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes the file.
pub(super) fn save(live: &Live, file: Option<&Path>) {
    let Some(file) = file else { return };
    let _writing = WRITING.lock();
    let (now, unix) = (clock::now(), clock::unix_now());
    let snapshot = live.snapshot.load_full();
    let mut warm = snapshot.policy.memory().warm.dump(now, unix);
    if warm.prefixes.len() > PREFIXES {
        warm.prefixes.select_nth_unstable_by_key(PREFIXES, |prefix| Reverse(prefix.2));
        warm.prefixes.truncate(PREFIXES);
    }
    let state = State {
        version: VERSION,
        sessions: snapshot.policy.sessions().dump(now, unix),
        warm,
        limits: limits(&snapshot.pool, now, unix),
        links: live.links.dump(now, unix),
        owners: live.owners.dump(unix),
    };
    if let Err(fault) = write(file, &state) {
        tracing::warn!(file = %file.display(), %fault, "state file not written");
    }
}

fn write(file: &Path, state: &State) -> io::Result<()> {
    let beside = file.with_extension("new");
    let mut out = io::BufWriter::new(fs::File::create(&beside)?);
    serde_json::to_writer(&mut out, state)?;
    out.flush()?;
    if out.get_ref().metadata()?.len() > LARGEST {
        return Err(io::Error::other("it would be too large to be read again"));
    }
    out.get_ref().sync_all()?;
    fs::rename(&beside, file)
}
