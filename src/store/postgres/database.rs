//! The connection: opened when it is needed, given up when it fails, brought up to date at the door.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Mutex as Turn, time::timeout};
use tokio_postgres::{Client, Config, Error, config::SslMode};

use super::{PostgresFault, migrate, params::PostgresParams, tls::Tls};
use crate::clock::{self, Moment};

/// How long anything may take there. Nothing that a request waits for is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// After it could not be reached, nobody tries again for so long.
const REST: Duration = Duration::from_secs(1);

/// One Postgres. Everybody shares a connection: there are two or three of them, and none is in a hurry.
pub struct Database {
    config: Config,
    tls: Tls,
    client: Turn<Option<Arc<Client>>>,
    /// When it could not be reached last, and why.
    away: Mutex<Option<(Moment, String)>>,
}

impl Database {
    /// Checks the address; opens nothing yet. Reads the authority's file.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub fn new(params: &PostgresParams) -> Result<Self, PostgresFault> {
        let (config, root) = params.read()?;
        let tls = Tls::new(root.as_deref())?;
        Ok(Self { config, tls, client: Turn::new(None), away: Mutex::new(None) })
    }

    /// Connects, and brings the schema up to date, if that has not happened yet.
    ///
    /// # Errors
    ///
    /// It cannot be reached, or a later version wrote it.
    pub async fn open(&self) -> Result<(), PostgresFault> {
        self.client().await.map(drop)
    }

    /// Since when it could not be reached, and why; `None`: the last attempt went well.
    #[must_use]
    pub fn away(&self) -> Option<(Moment, String)> {
        self.away.lock().clone()
    }

    /// Where it is, without credentials.
    pub(super) fn place(&self) -> String {
        let hosts: Vec<_> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                tokio_postgres::config::Host::Tcp(name) => name.clone(),
                tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        format!("Postgres at {}", hosts.join(", "))
    }

    /// Asks something, within [`PATIENCE`]. A connection that failed is given up.
    pub(super) async fn ask<T, F>(&self, question: impl FnOnce(Arc<Client>) -> F) -> Result<T, PostgresFault>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let client = self.client().await?;
        match timeout(PATIENCE, question(Arc::clone(&client))).await {
            Ok(Ok(answer)) => {
                *self.away.lock() = None;
                Ok(answer)
            }
            Ok(Err(error)) => {
                let fault = fault(&error);
                if client.is_closed() || matches!(fault, PostgresFault::Away(_)) {
                    self.give_up(&client, &fault).await;
                }
                Err(fault)
            }
            Err(_) => {
                let fault = PostgresFault::Away(format!("no answer within {} s", PATIENCE.as_secs()));
                self.give_up(&client, &fault).await;
                Err(fault)
            }
        }
    }

    async fn give_up(&self, broken: &Arc<Client>, why: &PostgresFault) {
        let mut client = self.client.lock().await;
        if client.as_ref().is_some_and(|client| Arc::ptr_eq(client, broken)) {
            *client = None;
            self.note(why);
        }
    }

    fn note(&self, why: &PostgresFault) {
        let mut away = self.away.lock();
        let since = away.as_ref().map_or_else(clock::now, |(since, _)| *since);
        *away = Some((since, why.to_string()));
    }

    async fn client(&self) -> Result<Arc<Client>, PostgresFault> {
        let mut client = self.client.lock().await;
        if let Some(open) = client.as_ref().filter(|open| !open.is_closed()) {
            return Ok(Arc::clone(open));
        }
        *client = None;
        let opened = match timeout(PATIENCE, self.connect()).await {
            Ok(opened) => opened,
            Err(_) => Err(PostgresFault::Away("no connection in time".to_owned())),
        };
        match opened {
            Ok(opened) => {
                let opened = Arc::new(opened);
                *client = Some(Arc::clone(&opened));
                *self.away.lock() = None;
                Ok(opened)
            }
            Err(why) => {
                self.note(&why);
                // Whoever comes next waits a little: held here, so that nobody knocks in a loop.
                tokio::time::sleep(REST).await;
                Err(why)
            }
        }
    }

    async fn connect(&self) -> Result<Client, PostgresFault> {
        let mut opened = if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) =
                self.config.connect(tokio_postgres::NoTls).await.map_err(|error| fault(&error))?;
            tokio::spawn(async move { drop(connection.await) });
            client
        } else {
            let (client, connection) =
                self.config.connect(self.tls.clone()).await.map_err(|error| fault(&error))?;
            tokio::spawn(async move { drop(connection.await) });
            client
        };
        migrate::migrate(&mut opened).await?;
        Ok(opened)
    }
}

/// What the driver says. The server's message without its detail, which quotes rows.
pub(super) fn fault(error: &Error) -> PostgresFault {
    use std::error::Error as _;
    match error.as_db_error() {
        // 08: connection, 57P: it is being stopped or starts, 53: it has no room, 28: it does not let us in.
        Some(said) => {
            let code = said.code().code();
            let words = format!("{} ({code})", said.message());
            if ["08", "57P", "53", "28", "3D"].iter().any(|class| code.starts_with(class)) {
                PostgresFault::Away(words)
            } else {
                PostgresFault::Refused(words)
            }
        }
        None => {
            let why = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            PostgresFault::Away(format!("{error}{why}"))
        }
    }
}
