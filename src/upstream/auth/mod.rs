//! What lets an endpoint in: a key that is sent as it is, or credentials that are fetched and renewed.
//!
//! This module opens no socket and reads no clock: `server` fetches, and tells when it did.
//!
//! Invariant: a token is used until it expires, also while its renewal fails; and never after.

mod credential;
mod google;
mod grant;
mod scheme;
mod sigv4;

pub use credential::{Credential, Granted, Renewal, Token};
pub use google::{GRANT_TYPE, ServiceAccount};
pub use grant::{AwsKeys, AwsSource, ContainerToken, EntraClient, Grant};
pub use scheme::AuthScheme;
pub use sigv4::{Signable, Unsigned, sign};
