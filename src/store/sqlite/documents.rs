//! Documents in the ledger's file. Several processes may use them at once: the gateway polls the version,
//! the command line writes.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _, Transaction, TransactionBehavior, params};

use crate::{
    clock::{self, UnixTime},
    store::{
        documents::{Document, Documents, DocumentsFault, changed_at},
        ledger::LedgerFault,
    },
};

const RAISE: &str = "UPDATE meta SET value = value + 1 WHERE name = 'documents_version'";
const PUT: &str = "INSERT OR REPLACE INTO documents (kind, id, body, changed) VALUES (?1, ?2, ?3, ?4)";

/// Documents in a SQLite file; clones share one connection.
#[derive(Clone)]
pub struct SqliteDocuments {
    inner: Arc<Inner>,
}

struct Inner {
    file: PathBuf,
    db: Mutex<Connection>,
}

impl SqliteDocuments {
    /// Opens or creates the file. Needs no lock: a gateway may keep its ledger in it meanwhile. Blocks on
    /// the disk.
    ///
    /// # Errors
    ///
    /// When the file is not understood; then it was left as it is.
    pub fn open(file: &Path) -> Result<Self, LedgerFault> {
        let db = super::open(file, None)?;
        Ok(Self { inner: Arc::new(Inner { file: file.to_owned(), db: Mutex::new(db) }) })
    }

    /// Makes everything equal to `documents`, and their version `version`, in one step: the local copy of
    /// a store that is elsewhere. Their times are kept.
    ///
    /// # Errors
    ///
    /// When the file cannot be written; then nothing has changed.
    pub async fn mirror(&self, version: u64, documents: Vec<Document>) -> Result<(), DocumentsFault> {
        self.change(move |step| {
            step.execute("DELETE FROM documents", [])?;
            for document in &documents {
                let changed = changed_at(document.changed);
                step.prepare_cached(PUT)?.execute(params![
                    document.kind,
                    document.id,
                    document.body,
                    changed
                ])?;
            }
            let version = i64::try_from(version).unwrap_or(i64::MAX);
            step.execute("UPDATE meta SET value = ?1 WHERE name = 'documents_version'", [version])?;
            Ok(())
        })
        .await
    }

    /// Runs a change as one transaction, on a thread that may block.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DocumentsFault> {
        self.run(move |db| {
            let step = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = change(&step)?;
            step.commit()?;
            Ok(done)
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, DocumentsFault> {
        let inner = Arc::clone(&self.inner);
        let place = self.inner.file.display().to_string();
        let done = tokio::task::spawn_blocking(move || work(&mut inner.db.lock())).await;
        match done {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(DocumentsFault { place, why: super::said(&error) }),
            Err(_) => Err(DocumentsFault { place, why: "the work was broken off".to_owned() }),
        }
    }
}

#[async_trait]
impl Documents for SqliteDocuments {
    async fn version(&self) -> Result<u64, DocumentsFault> {
        self.run(|db| {
            let mut ask = db.prepare_cached("SELECT value FROM meta WHERE name = 'documents_version'")?;
            let version: Option<i64> = ask.query_row([], |row| row.get(0)).optional()?;
            Ok(version.and_then(|version| u64::try_from(version).ok()).unwrap_or(0))
        })
        .await
    }

    async fn all(&self) -> Result<Vec<Document>, DocumentsFault> {
        self.run(|db| {
            let mut ask =
                db.prepare_cached("SELECT kind, id, body, changed FROM documents ORDER BY kind, id")?;
            let rows = ask.query_map([], |row| {
                let changed = u64::try_from(row.get::<_, i64>(3)?).unwrap_or(0);
                let changed = UnixTime(Duration::from_millis(changed));
                Ok(Document { kind: row.get(0)?, id: row.get(1)?, body: row.get(2)?, changed })
            })?;
            rows.collect()
        })
        .await
    }

    async fn put(&self, kind: &str, id: &str, body: &str) -> Result<(), DocumentsFault> {
        let (kind, id, body) = (kind.to_owned(), id.to_owned(), body.to_owned());
        let changed = changed_at(clock::unix_now());
        self.change(move |step| {
            step.prepare_cached(PUT)?.execute(params![kind, id, body, changed])?;
            step.execute(RAISE, []).map(|_| ())
        })
        .await
    }

    async fn delete(&self, kind: &str, id: &str) -> Result<bool, DocumentsFault> {
        let (kind, id) = (kind.to_owned(), id.to_owned());
        self.change(move |step| {
            let gone = step.execute("DELETE FROM documents WHERE kind = ?1 AND id = ?2", [kind, id])? > 0;
            if gone {
                step.execute(RAISE, [])?;
            }
            Ok(gone)
        })
        .await
    }
}

#[cfg(test)]
#[path = "documents_tests.rs"]
mod tests;
