//! The versions of the schema: `PRAGMA user_version` counts the steps that were made.
//!
//! To change the schema, append a step to [`STEPS`] and say in it what it does to old rows; a step that
//! was released is never edited. `schema.sql` is step 1.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use crate::store::ledger::LedgerFault;

/// Each brings the file from one version to the next.
const STEPS: &[&str] = &[include_str!("schema.sql")];

/// The version that this program writes.
pub(super) const CURRENT: i64 = STEPS.len() as i64;

/// Marks a SQLite file as ours: `wkld`.
const APPLICATION: i64 = 0x776b_6c64;

/// The version of the file; 0 for a new one. Refuses what is not ours, and what is newer than we are.
pub(super) fn version(db: &Connection, file: &Path) -> Result<i64, LedgerFault> {
    version_for(db, file, CURRENT)
}

fn version_for(db: &Connection, file: &Path, known: i64) -> Result<i64, LedgerFault> {
    let figure =
        |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).map_err(|error| fault(file, &error));
    let application = figure("PRAGMA application_id")?;
    let found = figure("PRAGMA user_version")?;
    let name = || file.display().to_string();
    if application != APPLICATION {
        if found == 0 && application == 0 && figure("SELECT count(*) FROM sqlite_schema")? == 0 {
            return Ok(0);
        }
        return Err(LedgerFault::Foreign {
            file: name(),
            what: "it is a SQLite database of another program".to_owned(),
        });
    }
    if found > known {
        let by = db.query_row("SELECT value FROM meta WHERE name = 'written_by'", [], |row| row.get(0));
        let by = by.unwrap_or_else(|_| "a later version".to_owned());
        return Err(LedgerFault::Newer { file: name(), found, known, by });
    }
    Ok(found)
}

/// Makes the steps that are missing: all of them, or none.
pub(super) fn migrate(db: &mut Connection, file: &Path) -> Result<(), LedgerFault> {
    migrate_by(db, file, STEPS)
}

fn migrate_by(db: &mut Connection, file: &Path, steps: &[&str]) -> Result<(), LedgerFault> {
    let fault = |error: rusqlite::Error| fault(file, &error);
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    let step = db.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fault)?;
    // Again, now that nobody else can write.
    let found = version_for(&step, file, known)?;
    let done = usize::try_from(found).unwrap_or(usize::MAX);
    for sql in steps.iter().skip(done) {
        step.execute_batch(sql).map_err(fault)?;
    }
    step.pragma_update(None, "application_id", APPLICATION).map_err(fault)?;
    step.pragma_update(None, "user_version", known).map_err(fault)?;
    step.execute(
        "INSERT OR REPLACE INTO meta (name, value) VALUES ('written_by', ?1)",
        [concat!("warmkey ", env!("CARGO_PKG_VERSION"))],
    )
    .map_err(fault)?;
    step.commit().map_err(fault)
}
