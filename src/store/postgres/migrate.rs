//! The versions of the schema: `warmkey.meta` says which steps were made.
//!
//! Many gateways may start at once: whoever holds the lock makes the steps, the others find them made. A
//! step that was released is never edited.

use tokio_postgres::{Client, GenericClient};

use super::{PostgresFault, database::fault};

/// Each brings the database from one version to the next.
const STEPS: &[&str] = &[include_str!("schema.sql"), include_str!("step2.sql")];

/// `wkld`: the number of our lock.
const LOCK: i64 = 0x776b_6c64;

/// Brings the schema up to date, and makes it the connection's own.
pub(super) async fn migrate(client: &mut Client) -> Result<(), PostgresFault> {
    migrate_by(client, STEPS).await?;
    let ours = "SET search_path TO warmkey; SET statement_timeout TO '10s'; SET lock_timeout TO '5s'";
    client.batch_execute(ours).await.map_err(|error| fault(&error))
}

async fn migrate_by(client: &mut Client, steps: &[&str]) -> Result<(), PostgresFault> {
    let known = i64::try_from(steps.len()).unwrap_or(i64::MAX);
    if version(&*client, known).await? == known {
        return Ok(());
    }
    let away = |error: tokio_postgres::Error| fault(&error);
    let step = client.transaction().await.map_err(away)?;
    step.execute("SELECT pg_advisory_xact_lock($1)", &[&LOCK]).await.map_err(away)?;
    // Again, now that nobody else makes them.
    let found = version(&step, known).await?;
    if found == 0 {
        let there = "SELECT 1 FROM pg_namespace WHERE nspname = 'warmkey'";
        if step.query_opt(there, &[]).await.map_err(away)?.is_none() {
            step.batch_execute("CREATE SCHEMA warmkey").await.map_err(away)?;
        }
    }
    step.batch_execute("SET LOCAL search_path TO warmkey").await.map_err(away)?;
    let made = usize::try_from(found).unwrap_or(usize::MAX);
    for sql in steps.iter().skip(made) {
        step.batch_execute(sql).await.map_err(away)?;
    }
    let note = "INSERT INTO meta (name, value) VALUES ('schema', $1), ('written_by', $2) \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    let by = concat!("warmkey ", env!("CARGO_PKG_VERSION"));
    step.execute(note, &[&known.to_string(), &by]).await.map_err(away)?;
    step.commit().await.map_err(away)
}

/// The version that is there; 0 for none. Refuses one that is newer than we are.
async fn version(client: &impl GenericClient, known: i64) -> Result<i64, PostgresFault> {
    let away = |error: tokio_postgres::Error| fault(&error);
    // Asked as a table: `to_regclass` answers from a cache, which does not see what another gateway made
    // while we waited for the lock.
    let there = "SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                 WHERE n.nspname = 'warmkey' AND c.relname = 'meta')";
    if !client.query_one(there, &[]).await.map_err(away)?.get::<_, bool>(0) {
        return Ok(0);
    }
    let value = "SELECT value FROM warmkey.meta WHERE name = $1";
    let read = async |name: &str| {
        let row = client.query_opt(value, &[&name]).await.map_err(away)?;
        Ok::<_, PostgresFault>(row.map(|row| row.get::<_, String>(0)))
    };
    let Some(found) = read("schema").await? else {
        return Err(PostgresFault::Refused("its schema `warmkey` is not ours".to_owned()));
    };
    let found = found.parse().unwrap_or(i64::MAX);
    if found > known {
        let by = read("written_by").await?.unwrap_or_else(|| "a later version".to_owned());
        return Err(PostgresFault::Newer { found, known, by });
    }
    Ok(found)
}
