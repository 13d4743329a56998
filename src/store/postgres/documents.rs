//! Keys and levels in Postgres, and a copy of them in the gateway's own file.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{Database, PostgresFault};
use crate::{
    clock::{self, UnixTime},
    store::{
        documents::{Document, Documents, DocumentsFault, changed_at},
        sqlite::SqliteDocuments,
    },
};

/// Every change takes this row before it touches a document, so changes are one after another and never
/// wait for each other in a circle; and so are versions.
const RAISE: &str = "UPDATE meta SET value = (value::bigint + 1)::text WHERE name = 'documents_version'";

/// The same without raising it yet.
const TURN: &str = "SELECT 1 FROM meta WHERE name = 'documents_version' FOR UPDATE";

/// Documents in Postgres.
#[derive(Clone)]
pub struct PostgresDocuments {
    database: Arc<Database>,
}

impl PostgresDocuments {
    /// Over this connection.
    #[must_use]
    pub const fn new(database: Arc<Database>) -> Self {
        Self { database }
    }

    fn fault(&self, fault: &PostgresFault) -> DocumentsFault {
        DocumentsFault { place: self.database.place(), why: fault.to_string() }
    }

    /// Everything, and the version that it is.
    ///
    /// # Errors
    ///
    /// Postgres is out of reach.
    pub async fn snapshot(&self) -> Result<(u64, Vec<Document>), DocumentsFault> {
        // One statement sees one state.
        const ALL: &str = "SELECT m.value, d.kind, d.id, d.body, d.changed FROM meta m \
            LEFT JOIN documents d ON true WHERE m.name = 'documents_version' \
            ORDER BY d.kind COLLATE \"C\", d.id COLLATE \"C\"";
        let asked = self.database.ask(async |client| client.query(ALL, &[]).await).await;
        let rows = asked.map_err(|fault| self.fault(&fault))?;
        let version = rows.first().map_or(0, |row| number(row.get(0)));
        let documents = rows.iter().filter_map(|row| {
            let changed = u64::try_from(row.get::<_, Option<i64>>(4)?).unwrap_or(0);
            Some(Document {
                kind: row.get::<_, Option<String>>(1)?,
                id: row.get::<_, Option<String>>(2)?,
                body: row.get::<_, Option<String>>(3)?,
                changed: UnixTime(Duration::from_millis(changed)),
            })
        });
        Ok((version, documents.collect()))
    }

    /// Puts what is not there yet; whoever was first wins.
    async fn put_missing(&self, documents: &[Document]) -> Result<(), DocumentsFault> {
        let sql = format!(
            "WITH turn AS MATERIALIZED ({TURN}), \
             new AS (INSERT INTO documents (kind, id, body, changed) \
             SELECT $1, $2, $3, $4 FROM turn ON CONFLICT DO NOTHING RETURNING 1) \
             {RAISE} AND EXISTS (SELECT 1 FROM new)"
        );
        for document in documents {
            let changed = changed_at(document.changed);
            let put = self.database.ask(async |client| {
                client.execute(&sql, &[&document.kind, &document.id, &document.body, &changed]).await
            });
            put.await.map_err(|fault| self.fault(&fault))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Documents for PostgresDocuments {
    async fn version(&self) -> Result<u64, DocumentsFault> {
        const ASK: &str = "SELECT value FROM meta WHERE name = 'documents_version'";
        let asked = self.database.ask(async |client| client.query_opt(ASK, &[]).await).await;
        let row = asked.map_err(|fault| self.fault(&fault))?;
        Ok(row.map_or(0, |row| number(row.get(0))))
    }

    async fn all(&self) -> Result<Vec<Document>, DocumentsFault> {
        self.snapshot().await.map(|(_, documents)| documents)
    }

    async fn put(&self, kind: &str, id: &str, body: &str) -> Result<(), DocumentsFault> {
        const PUT: &str = "INSERT INTO documents (kind, id, body, changed) \
            SELECT $1, $2, $3, $4 FROM raised \
            ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body, changed = excluded.changed";
        let sql = format!("WITH raised AS ({RAISE} RETURNING 1) {PUT}");
        let changed = changed_at(clock::unix_now());
        let put =
            self.database.ask(async |client| client.execute(&sql, &[&kind, &id, &body, &changed]).await);
        put.await.map(drop).map_err(|fault| self.fault(&fault))
    }

    async fn delete(&self, kind: &str, id: &str) -> Result<bool, DocumentsFault> {
        let sql = format!(
            "WITH turn AS MATERIALIZED ({TURN}), \
             gone AS (DELETE FROM documents USING turn WHERE kind = $1 AND id = $2 RETURNING 1) \
             {RAISE} AND EXISTS (SELECT 1 FROM gone)"
        );
        let deleted = self.database.ask(async |client| client.execute(&sql, &[&kind, &id]).await);
        deleted.await.map(|rows| rows > 0).map_err(|fault| self.fault(&fault))
    }
}

/// Documents that are in Postgres, with a copy in the gateway's own file for when that is away: they can
/// be read then, and not changed.
pub struct SharedDocuments {
    main: PostgresDocuments,
    copy: SqliteDocuments,
    /// Which version the copy is, once that is known.
    copied: Mutex<Option<u64>>,
}

impl SharedDocuments {
    /// Reads and writes `main`, and keeps `copy` equal to it. A `main` that has never held anything takes
    /// over what is in `copy`: the keys of a gateway that was alone so far.
    #[must_use]
    pub fn new(main: PostgresDocuments, copy: SqliteDocuments) -> Self {
        Self { main, copy, copied: Mutex::new(None) }
    }

    /// Brings the copy up to date where it is not `version`.
    async fn follow(&self, version: u64) -> Result<u64, DocumentsFault> {
        let mut copied = self.copied.lock().await;
        if *copied == Some(version) {
            return Ok(version);
        }
        if version == 0 {
            let own = self.copy.all().await?;
            if !own.is_empty() {
                tracing::info!(documents = own.len(), "Postgres is new: the keys of this gateway go there");
                self.main.put_missing(&own).await?;
            }
        }
        let (version, documents) = self.main.snapshot().await?;
        self.copy.mirror(version, documents).await?;
        *copied = Some(version);
        Ok(version)
    }
}

#[async_trait]
impl Documents for SharedDocuments {
    async fn version(&self) -> Result<u64, DocumentsFault> {
        match self.main.version().await {
            Ok(version) => self.follow(version).await,
            Err(_) => self.copy.version().await,
        }
    }

    async fn all(&self) -> Result<Vec<Document>, DocumentsFault> {
        // The copy is as new as the version that was asked for last, so both belong together.
        let known = self.copied.lock().await.is_some();
        if !known && let Ok(version) = self.main.version().await {
            self.follow(version).await?;
        }
        self.copy.all().await
    }

    async fn put(&self, kind: &str, id: &str, body: &str) -> Result<(), DocumentsFault> {
        self.adopt().await?;
        self.main.put(kind, id, body).await
    }

    async fn delete(&self, kind: &str, id: &str) -> Result<bool, DocumentsFault> {
        self.adopt().await?;
        self.main.delete(kind, id).await
    }
}

impl SharedDocuments {
    /// Before the first change: once there is anything, nothing is taken over any more.
    async fn adopt(&self) -> Result<(), DocumentsFault> {
        if self.copied.lock().await.is_some() {
            return Ok(());
        }
        let version = self.main.version().await?;
        self.follow(version).await.map(drop)
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}
