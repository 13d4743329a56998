//! Who keeps the ledger: a lock on the file beside it, which the kernel takes back from the dead.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::store::ledger::LedgerFault;

/// Held for as long as it lives.
#[derive(Debug)]
pub(in crate::store) struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock of a ledger, or says who has it.
    pub(in crate::store) fn take(ledger: &Path) -> Result<Self, LedgerFault> {
        let path = path_of(ledger);
        let unusable = |error: std::io::Error| LedgerFault::Unusable {
            file: path.display().to_string(),
            what: error.to_string(),
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Only to be helpful: without it the message says less.
                let _ = file.take(32).read_to_string(&mut text);
                let by = text.trim().parse::<u32>().map_or(String::new(), |id| format!(" (process {id})"));
                return Err(LedgerFault::InUse { file: ledger.display().to_string(), by });
            }
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        // On a full disk the lock holds all the same; nobody will know whose it is.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = write!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// `ledger.db.lock` for `ledger.db`.
fn path_of(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}
