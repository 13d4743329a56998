//! The connection: one, multiplexed, opened again by whoever keeps watch ([`Link::connect`]).
//!
//! A call goes out at once or fails at once. When an answer does not come in time the connection is
//! given up for everybody: whether the server is slow, paused or gone looks the same from here, and
//! what was asked may still happen. So scripts are written so that being asked twice does no harm.

use std::{sync::Arc, time::Duration};

use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, Script as Source, ServerErrorKind, Value,
    aio::MultiplexedConnection,
};
use arc_swap::ArcSwapOption;
use pingora_timeout::fast_timeout::fast_timeout;
use tokio::{sync::Mutex, time::timeout};

use super::params::{BadAddress, RedisParams, said};
use crate::store::counters::Down;

/// No request waits longer for the shared server: a server in the same building answers in one
/// millisecond, and from here on the local view is the better answer.
pub const PATIENCE: Duration = Duration::from_millis(100);
/// Opening a connection takes a few round trips, with TLS, and nobody waits for it.
const OPENING: Duration = Duration::from_secs(2);

/// A script that the server keeps, and what it is called there.
pub(in crate::store) struct Script {
    text: &'static str,
    digest: String,
}

impl Script {
    pub(in crate::store) fn new(text: &'static str) -> Self {
        Self { text, digest: Source::new(text).get_hash().to_owned() }
    }

    /// Begins a call: its keys come first, then its arguments.
    pub(in crate::store) fn call(&self, keys: usize) -> Cmd {
        let mut call = ::redis::cmd("EVALSHA");
        call.arg(&self.digest).arg(keys);
        call
    }

    /// The same call with the script's text, for a server that does not know it.
    fn spelled_out(&self, call: &Cmd) -> Cmd {
        let mut spelled = ::redis::cmd("EVAL");
        spelled.arg(self.text);
        for arg in call.args_iter().skip(2) {
            if let ::redis::Arg::Simple(arg) = arg {
                spelled.arg(arg);
            }
        }
        spelled
    }
}

/// The way to the shared server.
pub struct Link {
    client: Client,
    prefix: String,
    connection: ArcSwapOption<MultiplexedConnection>,
    opening: Mutex<()>,
}

impl Link {
    /// Checks the address; opens nothing yet.
    ///
    /// # Errors
    ///
    /// An address that cannot be used.
    pub fn new(params: &RedisParams) -> Result<Self, BadAddress> {
        Ok(Self {
            client: params.client()?,
            prefix: format!("{{{}}}:", params.prefix),
            connection: ArcSwapOption::empty(),
            opening: Mutex::new(()),
        })
    }

    /// What every key begins with. Braces keep all keys on one node of a cluster.
    pub(in crate::store) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Whether there is a connection that has not failed yet.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// Opens the connection, unless it is open.
    ///
    /// # Errors
    ///
    /// The server cannot be reached, or does not let us in.
    pub async fn connect(&self) -> Result<(), Down> {
        let _alone = self.opening.lock().await;
        if self.is_up() {
            return Ok(());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(OPENING))
            // Calls have a cheaper timer of their own.
            .set_response_timeout(None);
        let open = async {
            let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
            // A server that is paused accepts connections all the same.
            ::redis::cmd("PING").query_async::<()>(&mut connection).await?;
            Ok::<_, RedisError>(connection)
        };
        let connection = match timeout(OPENING, open).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(fault)) => return Err(down(&fault)),
            Err(_) => return Err(Down(format!("no connection within {} s", OPENING.as_secs()))),
        };
        self.connection.store(Some(Arc::new(connection)));
        Ok(())
    }

    /// Calls a script, in one round trip unless the server does not know it.
    pub(in crate::store) async fn run(&self, script: &Script, call: &Cmd) -> Result<Value, Down> {
        let open = self.connection.load_full();
        let Some(open) = open else {
            return Err(Down("there is no connection".to_owned()));
        };
        let mut connection = MultiplexedConnection::clone(&open);
        let asked = async {
            match connection.send_packed_command(call).await.and_then(Value::extract_error) {
                Err(fault) if fault.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    let spelled = script.spelled_out(call);
                    connection.send_packed_command(&spelled).await.and_then(Value::extract_error)
                }
                answer => answer,
            }
        };
        match fast_timeout(PATIENCE, asked).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fault)) => {
                if !is_about_the_call(&fault) {
                    self.give_up(&open);
                }
                Err(down(&fault))
            }
            Err(_) => {
                self.give_up(&open);
                Err(Down(format!("no answer within {} ms", PATIENCE.as_millis())))
            }
        }
    }

    /// Nobody uses this connection any more; a newer one is left alone.
    fn give_up(&self, broken: &Arc<MultiplexedConnection>) {
        self.connection.compare_and_swap(&Some(Arc::clone(broken)), None);
    }
}

/// Whether another call may fare better over the same connection: a script that failed, a key that is
/// not ours to touch, memory that is used up. A server that became a replica, or still loads, does not.
fn is_about_the_call(fault: &RedisError) -> bool {
    matches!(fault.kind(), ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoPerm))
        || matches!(fault.kind(), ErrorKind::Extension)
}

/// The words of the server on scripts and memory, and of the system on connections, hold no secret;
/// those on addresses and credentials might.
fn down(fault: &RedisError) -> Down {
    match (fault.kind(), fault.code(), fault.detail()) {
        (ErrorKind::Server(_) | ErrorKind::Extension, Some(code), Some(detail)) if !code.contains("PASS") => {
            Down(format!("{code}: {detail}"))
        }
        (ErrorKind::Io, ..) => Down(fault.to_string()),
        _ => Down(said(fault)),
    }
}
