//! Reading the body of a request, within its bounds.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use pingora::protocols::http::ServerSession;

/// From the head to the last byte of a body.
const UPLOAD: Duration = Duration::from_secs(10);

/// Why a body could not be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum BodyFault {
    /// The client or its framing broke.
    Broken,
    /// It is too large.
    Large,
    /// It did not arrive in time.
    Slow,
}

impl BodyFault {
    /// For people.
    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Broken => "the body cannot be read",
            Self::Large => "the body is too large",
            Self::Slow => "the body did not arrive within ten seconds",
        }
    }
}

/// The whole body, `most` bytes at most.
pub(super) async fn read(session: &mut ServerSession, most: usize) -> Result<Bytes, BodyFault> {
    let read = async {
        let mut whole = BytesMut::new();
        while let Some(chunk) = session.read_request_body().await.map_err(|_| BodyFault::Broken)? {
            if whole.len() + chunk.len() > most {
                return Err(BodyFault::Large);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    pingora_timeout::timeout(UPLOAD, read).await.map_err(|_| BodyFault::Slow)?
}
