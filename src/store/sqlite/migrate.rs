//! The versions of the schema: `PRAGMA user_version` counts the steps that were made.
//!
//! To change the schema, append a step to [`STEPS`] and say in it what it does to old rows; a step that
//! was released is never edited. `schema.sql` is step 1.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::fault;
use crate::store::ledger::LedgerFault;

/// Each brings the file from one version to the next.
const STEPS: &[&str] = &[include_str!("schema.sql"), include_str!("step2.sql")];

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

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "ALTER TABLE receipts ADD COLUMN weather TEXT; UPDATE receipts SET weather = 'fair'";

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("ledger.db");
        (folder, file)
    }

    /// The ledger of a first version, as its release wrote it: a dump that is never made anew.
    fn first_version(file: &Path) -> Connection {
        let db = Connection::open(file).expect("a database");
        db.execute_batch(include_str!("fixtures/v1.sql")).expect("the dump");
        db
    }

    fn column(db: &Connection, sql: &str) -> Vec<String> {
        let mut ask = db.prepare(sql).expect("sql");
        let rows = ask.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("texts")
    }

    #[test]
    fn an_older_ledger_is_brought_up_to_date_with_all_it_holds() {
        let (_folder, file) = file();
        let mut db = first_version(&file);
        assert_eq!(version(&db, &file), Ok(1));
        migrate_by(&mut db, &file, &[STEPS[0], V2]).expect("migrated");
        assert_eq!(version_for(&db, &file, 2), Ok(2));
        assert_eq!(column(&db, "SELECT id || weather FROM receipts"), ["wk_1fair", "wk_2fair"]);
        assert_eq!(column(&db, "SELECT body FROM documents"), ["{}"]);
        // Again: there is nothing to do.
        migrate_by(&mut db, &file, &[STEPS[0], V2]).expect("migrated");
        assert_eq!(column(&db, "SELECT id FROM receipts"), ["wk_1", "wk_2"]);
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let (_folder, file) = file();
        let mut db = first_version(&file);
        let before = column(&db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
        let broken = format!("{V2}; UPDATE nothing SET a = 1");
        let fault = migrate_by(&mut db, &file, &[STEPS[0], &broken]).expect_err("a broken step");
        assert!(fault.to_string().contains("nothing"), "{fault}");
        assert_eq!(version(&db, &file), Ok(1));
        assert_eq!(column(&db, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL"), before);
    }

    /// Whoever edits `schema.sql` after its release breaks files that were made with it.
    #[test]
    fn the_first_schema_is_the_one_that_was_released() {
        let (_folder, file) = file();
        let released = first_version(&file);
        let mut fresh = Connection::open_in_memory().expect("a database");
        migrate_by(&mut fresh, &file, &STEPS[..1]).expect("made");
        let tables = "SELECT t.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk
            FROM sqlite_schema t, pragma_table_info(t.name) c WHERE t.type IN ('table', 'view') ORDER BY 1";
        assert_eq!(column(&fresh, tables), column(&released, tables));
    }

    #[test]
    fn a_ledger_that_is_only_read_is_not_migrated() {
        let (_folder, file) = file();
        let mut db = first_version(&file);
        db.pragma_update(None, "user_version", 0).expect("older");
        let fault = super::super::read_only(&file).expect_err("too old");
        assert!(fault.to_string().contains("start the gateway once"), "{fault}");
        assert_eq!(version(&db, &file), Ok(0));
        db.pragma_update(None, "user_version", 1).expect("as it was");
        migrate(&mut db, &file).expect("migrated");
        assert!(super::super::read_only(&file).is_ok());
    }
}
