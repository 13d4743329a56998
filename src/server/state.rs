//! The state file: what a restart must not forget.
//!
//! Sessions and their homes, links from tool calls and prefixes, owners of objects. Hashes, names and
//! times only; no prompt text. Written beside and renamed, so that a crash leaves the old file or the
//! new one. A file that cannot be read is reported and ignored: it is a memory, not a ledger.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::{
    clock,
    live::Live,
    routing::SavedTable,
    session::{LinksDump, OwnersDump},
};

/// Raised when the shape changes; another version's file is ignored.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct State {
    version: u32,
    sessions: SavedTable,
    links: LinksDump,
    owners: OwnersDump,
}

/// Remembers what the file says.
pub(super) fn restore(live: &Live, file: Option<&Path>) {
    let Some(file) = file else { return };
    let text = match fs::read(file) {
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
            tracing::info!(file = %file.display(), sessions, "state restored");
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

/// One writer at a time: the last save of a drain may meet a periodic one that is not done yet.
static WRITING: Mutex<()> = Mutex::new(());

/// Writes the file.
pub(super) fn save(live: &Live, file: Option<&Path>) {
    let Some(file) = file else { return };
    let _writing = WRITING.lock();
    let (now, unix) = (clock::now(), clock::unix_now());
    let state = State {
        version: VERSION,
        sessions: live.snapshot.load().policy.sessions().dump(now, unix),
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
    out.get_ref().sync_all()?;
    fs::rename(&beside, file)
}
