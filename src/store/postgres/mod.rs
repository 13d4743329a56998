//! One Postgres that several gateways share: their ledger and their keys.
//!
//! Nothing on a request's path waits for it. Receipts are written to the gateway's own SQLite ledger and
//! copied from there ([`Shipper`]): while Postgres is away they stay in that file, which is the spool.
//! Keys are read from it and mirrored into the same file ([`SharedDocuments`]), so that a gateway knows
//! them when it starts alone.
//!
//! *Invariant:* a receipt and what it adds to balances are one statement, keyed by the request's id: what
//! is copied twice counts once. *Invariant:* a database that is not understood is not written to.

mod database;
mod documents;
mod ledger;
mod migrate;
mod params;
mod shipper;
mod tls;

pub use database::Database;
pub use documents::{PostgresDocuments, SharedDocuments};
pub use ledger::PostgresLedger;
pub use params::PostgresParams;
pub use shipper::{Shipped, Shipper};

/// Why it cannot be used. Never repeats the address: it may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PostgresFault {
    /// The address.
    #[error(
        "the address of Postgres cannot be used: {0}; it looks like postgres://user:password@host/database?sslmode=require"
    )]
    Address(String),
    /// It cannot be reached, or did not answer in time.
    #[error("Postgres is out of reach: {0}")]
    Away(String),
    /// A later version of warmkey has been here.
    #[error(
        "Postgres has schema {found} of warmkey, written by {by}; this program knows schemas up to {known}: run that version, or name another database in `ledger.postgres`"
    )]
    Newer {
        /// Its schema.
        found: i64,
        /// Ours.
        known: i64,
        /// Who says it wrote it.
        by: String,
    },
    /// It would not do what it was asked.
    #[error("Postgres refused: {0}")]
    Refused(String),
}
