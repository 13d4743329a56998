//! The door to the SQLite file: opening, checking, migrating, and who may write.
//!
//! The gateway's ledger and its documents live in one file, so that a small set-up has one thing to keep.
//! The lock beside the file says which gateway keeps the ledger; documents and reports need no lock.
//!
//! The invariant: a file that is not understood is never written to. The trap: opening creates what is
//! missing, so whoever only reads opens with `read_only`.

mod documents;
mod identity;
mod lock;
mod migrate;

use std::{fs, path::Path, time::Duration};

use rusqlite::{Connection, Error, ErrorCode, OpenFlags, config::DbConfig};

pub use documents::SqliteDocuments;
pub use identity::identity;
pub(super) use lock::FileLock;

use crate::store::ledger::LedgerFault;

/// How long one process waits for another's transaction, of which none is long.
const BUSY: Duration = Duration::from_secs(5);

/// Files up to this size are checked as a whole at every start (some 300 MB a second); of larger ones
/// everything but the receipts.
const CHECKED: u64 = 256 << 20;

/// Opens the file for writing, creates or migrates it, and checks it. `lock` is held by who keeps the ledger;
/// without it, one is taken for as long as a migration lasts.
pub(super) fn open(file: &Path, lock: Option<&FileLock>) -> Result<Connection, LedgerFault> {
    let fault = |error: Error| fault(file, &error);
    not_a_stub(file)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let mut db = Connection::open_with_flags(file, flags).map_err(fault)?;
    db.busy_timeout(BUSY).map_err(fault)?;
    // Not even what is in the log beside it goes into a file that is not understood.
    keep_log(&db, true).map_err(fault)?;
    let found = migrate::version(&db, file)?;
    if lock.is_some() {
        check(&db, file)?;
    }
    keep_log(&db, false).map_err(fault)?;
    if found < migrate::CURRENT {
        let _held = match lock {
            Some(_) => None,
            None => Some(FileLock::take(file)?),
        };
        // Outside of any transaction, and before the first page is written.
        db.pragma_update(None, "journal_mode", "wal").map_err(fault)?;
        migrate::migrate(&mut db, file)?;
    }
    db.pragma_update(None, "journal_mode", "wal").map_err(fault)?;
    db.pragma_update(None, "synchronous", "normal").map_err(fault)?;
    db.pragma_update(None, "foreign_keys", "on").map_err(fault)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Whether the end of the connection leaves the log beside the file as it is.
fn keep_log(db: &Connection, keep: bool) -> rusqlite::Result<()> {
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep).map(|_| ())
}

/// Opens an existing ledger for reading, also while a gateway writes it.
///
/// # Errors
///
/// When there is none, or it is not understood.
pub(super) fn read_only(file: &Path) -> Result<Connection, LedgerFault> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let unusable = |what: String| LedgerFault::Unusable { file: file.display().to_string(), what };
    match fs::metadata(file) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Err(unusable("it is no plain file".to_owned())),
        Err(error) => return Err(unusable(format!("{error}; name it with `--file`"))),
    }
    let db = Connection::open_with_flags(file, flags).map_err(|error| fault(file, &error))?;
    db.busy_timeout(BUSY).map_err(|error| fault(file, &error))?;
    let found = migrate::version(&db, file)?;
    if found < migrate::CURRENT {
        let what = format!(
            "its schema is {found}, this program reads {}; start the gateway once, which brings it up to date",
            migrate::CURRENT
        );
        return Err(unusable(what));
    }
    Ok(db)
}

/// SQLite takes a file of no use (a folder, a pipe) with errors that help nobody.
fn not_a_stub(file: &Path) -> Result<(), LedgerFault> {
    let what = match fs::metadata(file) {
        Ok(meta) if meta.is_file() => return Ok(()),
        Ok(_) => "it is no plain file".to_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
                format!("the folder {} does not exist", folder.display())
            }
            Some(_) | None => return Ok(()),
        },
        Err(error) => error.to_string(),
    };
    Err(LedgerFault::Unusable { file: file.display().to_string(), what })
}

/// Looks for damage. What decides about money is checked always, receipts while the file is small.
fn check(db: &Connection, file: &Path) -> Result<(), LedgerFault> {
    let size = fs::metadata(file).map_or(0, |meta| meta.len());
    let tables: &[&str] = if size <= CHECKED {
        &[""]
    } else {
        &["('balances')", "('open_requests')", "('documents')", "('meta')"]
    };
    for table in tables {
        let said: String = db
            .query_row(&format!("PRAGMA quick_check{table}"), [], |row| row.get(0))
            .map_err(|error| fault(file, &error))?;
        if said != "ok" {
            let what = said.lines().map(str::trim).collect::<Vec<_>>().join("; ");
            return Err(LedgerFault::Damaged { file: file.display().to_string(), what });
        }
    }
    Ok(())
}

/// What SQLite says, as what it means for the file.
pub(super) fn fault(file: &Path, error: &Error) -> LedgerFault {
    let name = file.display().to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            LedgerFault::Foreign { file: name, what: "it is no SQLite database".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt) => LedgerFault::Damaged { file: name, what: said(error) },
        Some(_) | None => LedgerFault::Unusable { file: name, what: said(error) },
    }
}

/// What SQLite says, without the statement.
pub(super) fn said(error: &Error) -> String {
    if let Error::SqlInputError { msg, .. } = error { msg.clone() } else { error.to_string() }
}
