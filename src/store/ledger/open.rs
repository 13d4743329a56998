//! Opening the ledger: its lock, its file, and what the process before left open.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    thread,
};

use rusqlite::{Connection, ErrorCode};

use super::{
    Ledger, LedgerFault, LedgerParams, Opened, WhenFull,
    front::{Handle, Queue, Shared},
    reader, row, table,
    writer::Writer,
};
use crate::{
    clock::{self, UnixTime},
    store::{
        counters::{Charged, CounterId},
        sqlite::{self, FileLock},
    },
};

impl Ledger {
    /// Opens or creates the ledger, checks it, closes what a gateway before this one left open, and starts the
    /// thread that writes. Blocks on the disk: for the check, about a second at most.
    ///
    /// # Errors
    ///
    /// When another gateway uses the file, or it is newer, foreign or damaged: it was left as it is then.
    pub fn open(params: &LedgerParams) -> Result<Opened, LedgerFault> {
        let file = &params.file;
        let fault = |error: rusqlite::Error| sqlite::fault(file, &error);
        let lock = FileLock::take(file)?;
        let mut db = sqlite::open(file, Some(&lock))?;
        let left = table::left_open(&db).map_err(fault)?;
        let balances = balances(&db, &left, clock::unix_now()).map_err(fault)?;
        let crashed = u64::try_from(left.len()).unwrap_or(u64::MAX);
        let recover = crashed > 0 && !recovered(&mut db, params)?;
        let (last_seq, shipped) = table::numbers(&db).map_err(fault)?;
        let mut queue = Queue::default();
        (queue.state.last_seq, queue.state.shipped) = (last_seq, shipped);
        let shared = Arc::new(Shared::new(params.clone(), queue));
        let writer = Writer::new(Arc::clone(&shared), db, lock, recover);
        let started = thread::Builder::new().name("ledger".to_owned()).spawn(move || writer.run());
        started.map_err(|error| LedgerFault::Unusable {
            file: file.display().to_string(),
            what: error.to_string(),
        })?;
        let ledger = Self { handle: Arc::new(Handle { shared }) };
        Ok(Opened { ledger, crashed, balances })
    }
}

/// Whether what was left open is closed now. With a full disk it is closed when there is room again, so that a
/// gateway that fails open can start.
fn recovered(db: &mut Connection, params: &LedgerParams) -> Result<bool, LedgerFault> {
    let Err(error) = table::recover(db, clock::unix_now()) else { return Ok(true) };
    let passing = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure | ErrorCode::DatabaseBusy)
    );
    match params.when_full {
        WhenFull::Open if passing => Ok(false),
        WhenFull::Open | WhenFull::Closed => Err(sqlite::fault(&params.file, &error)),
    }
}

/// What is spent once that which was left open is charged.
fn balances(db: &Connection, left: &[row::OpenRow], now: UnixTime) -> rusqlite::Result<Vec<Charged>> {
    let mut sums: BTreeMap<CounterId, Charged> =
        reader::balances(db, now)?.into_iter().map(|one| (one.id.clone(), one)).collect();
    let reserved = left.iter().flat_map(|open| row::charges(&open.reserved));
    for one in reserved.filter(|one| one.until > now) {
        match sums.entry(one.id.clone()) {
            Entry::Occupied(mut known) => {
                known.get_mut().amount = known.get().amount.saturating_add(one.amount);
            }
            Entry::Vacant(free) => {
                free.insert(one);
            }
        }
    }
    Ok(sums.into_values().collect())
}
