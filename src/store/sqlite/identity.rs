//! Who a ledger is to others: the same over restarts and moves, another for every file.

use std::path::Path;

use rusqlite::params;

use crate::store::ledger::LedgerFault;

/// The identity of the ledger in this file, which is created where it is missing. It stands in the file
/// itself, because where the file lies and what its machine is called may change. Blocks on the disk.
///
/// # Errors
///
/// When the file is not understood or cannot be written.
pub fn identity(file: &Path) -> Result<String, LedgerFault> {
    let db = super::open(file, None)?;
    let fault = |error: rusqlite::Error| super::fault(file, &error);
    let fresh = uuid::Uuid::now_v7().simple().to_string();
    db.execute("INSERT OR IGNORE INTO meta (name, value) VALUES ('identity', ?1)", params![fresh])
        .map_err(fault)?;
    db.query_row("SELECT value FROM meta WHERE name = 'identity'", [], |row| row.get(0)).map_err(fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_identity_when_it_moves_and_no_two_share_one() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one.db"), folder.path().join("two.db"));
        let first = identity(&one).unwrap();
        assert_eq!(identity(&one).unwrap(), first);
        assert_ne!(identity(&two).unwrap(), first);
        let moved = folder.path().join("moved.db");
        std::fs::rename(&one, &moved).unwrap();
        assert_eq!(identity(&moved).unwrap(), first);
    }
}
