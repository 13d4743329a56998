//! Reading a request's body: framing checked first, then bounded in size, in time and, over all
//! requests, in memory.

use std::{io::Read, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use pingora_proxy::Session;

use super::denial::Denial;
use crate::{
    live::{Buffers, Held},
    snapshot::Bounds,
    types::Reason,
};

/// What a body may make us allocate before its first byte has arrived.
const PRESIZE: u64 = 1 << 20;

/// The largest window that a packed body may ask for: 8 MiB, as RFC 8878 recommends.
const WINDOW_LOG: u32 = 23;
/// What Pingora calls chunks that are none; the names are its own, and not exported.
const MALFORMED: &[&str] = &["InvalidChunk", "InvalidTrailerEnd"];

/// How a body is packed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A body, and the share of the buffers that it takes up.
pub(crate) struct Upload {
    /// The body, unpacked.
    pub body: Bytes,
    /// Its share; dropped together with the body.
    pub held: Held,
}

/// Checks everything that the head says of the body, so that a body which cannot be served is never
/// asked for (`Expect: 100-continue`).
pub(crate) fn check_head(session: &Session, bounds: &Bounds) -> Result<(), Denial> {
    let headers = &session.req_header().headers;
    if headers.contains_key(header::TRANSFER_ENCODING) && has_both_framings(session) {
        return Err(Denial::new(
            Reason::BadRequest,
            "the request has both `content-length` and `transfer-encoding`; send one of them",
        )
        .closing());
    }
    check_type(headers).map_err(Denial::closing)?;
    packing(headers).map_err(Denial::closing)?;
    if content_length(headers).is_some_and(|length| length > bounds.max_body) {
        return Err(too_large(bounds).closing());
    }
    Ok(())
}

/// Bounds the head itself; the parser's own bound is far higher than any client's need.
pub(crate) fn check_size(headers: &HeaderMap, bounds: &Bounds) -> Result<(), Denial> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > bounds.max_headers || bytes > bounds.max_header_bytes {
        return Err(Denial::new(
            Reason::HeadersTooLarge,
            format!(
                "the request has {} header fields of {bytes} bytes; at most {} fields of {} bytes are read",
                headers.len(),
                bounds.max_headers,
                bounds.max_header_bytes
            ),
        )
        .closing());
    }
    Ok(())
}

/// Pingora drops `content-length` when both are there, so only the raw head can tell.
fn has_both_framings(session: &Session) -> bool {
    let raw = session.to_h1_raw();
    raw.split(|&byte| byte == b'\n')
        .any(|line| line.get(..15).is_some_and(|name| name.eq_ignore_ascii_case(b"content-length:")))
}

fn check_type(headers: &HeaderMap) -> Result<(), Denial> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if text == "application/json" || (text.starts_with("application/") && text.ends_with("+json")) {
        return Ok(());
    }
    Err(Denial::new(Reason::UnsupportedMedia, "the `content-type` must be `application/json`"))
}

fn packing(headers: &HeaderMap) -> Result<Packing, Denial> {
    let mut values = headers.get_all(header::CONTENT_ENCODING).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::CONTENT_ENCODING) {
            Err(Denial::new(Reason::UnsupportedMedia, "a body may be packed once only"))
        } else {
            Ok(Packing::Plain)
        };
    };
    match value.to_str().unwrap_or("").trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Packing::Plain),
        "gzip" | "x-gzip" => Ok(Packing::Gzip),
        "zstd" => Ok(Packing::Zstd),
        _ => Err(Denial::new(
            Reason::UnsupportedMedia,
            "this `content-encoding` is not read; send the body plain, or packed with `gzip` or `zstd`",
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

fn too_large(bounds: &Bounds) -> Denial {
    Denial::new(Reason::BodyTooLarge, format!("the body is larger than {} bytes", bounds.max_body))
}

fn buffers_full() -> Denial {
    Denial::retry(
        Reason::BuffersFull,
        std::time::Duration::from_secs(1),
        "too many request bodies are held at the moment; try again shortly",
    )
}

/// Reads the whole body.
pub(crate) async fn read(
    session: &mut Session,
    bounds: &Bounds,
    buffers: &Arc<Buffers>,
) -> Result<Upload, Denial> {
    let packing = packing(&session.req_header().headers)?;
    let expects = session
        .req_header()
        .headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    let mut held = buffers.share();
    let announced = content_length(&session.req_header().headers);
    // Asked for at once, so that what cannot be taken is not uploaded; taken as it arrives, so that
    // nobody fills the buffers with announcements.
    let room = bounds.max_buffered.saturating_sub(buffers.held());
    if announced.unwrap_or(0) > room
        || !held.grow_to(announced.unwrap_or(0).min(PRESIZE), bounds.max_buffered)
    {
        return Err(buffers_full().closing());
    }
    let reading = async {
        if expects {
            // Pingora never answers this by itself, and curl waits a second for it.
            session.downstream_session.write_continue_response().await.map_err(|_| client_gone())?;
        }
        receive(session, bounds, &mut held, announced).await
    };
    // HTTP/2 reads have no time limit of their own, HTTP/1's is per read: bound the whole upload.
    let body = pingora_timeout::timeout(bounds.upload_timeout, reading).await.map_err(|_| {
        Denial::new(
            Reason::UploadTimeout,
            format!("the body did not arrive within {} s", bounds.upload_timeout.as_secs()),
        )
        .closing()
    })??;
    let body = match packing {
        Packing::Plain => body,
        Packing::Gzip => unpack(flate2::read::MultiGzDecoder::new(&body[..]), bounds, &mut held)?,
        Packing::Zstd => {
            let mut reader = zstd::Decoder::new(&body[..]).map_err(|_| broken_packing())?;
            // A few bytes may ask for a window of 128 MiB, which nobody counts.
            reader.window_log_max(WINDOW_LOG).map_err(|_| broken_packing())?;
            unpack(reader, bounds, &mut held)?
        }
    };
    Ok(Upload { body, held })
}

async fn receive(
    session: &mut Session,
    bounds: &Bounds,
    held: &mut Held,
    announced: Option<u64>,
) -> Result<Bytes, Denial> {
    let Some(first) = next(session).await? else { return Ok(Bytes::new()) };
    take(held, first.len() as u64, bounds)?;
    if announced == Some(first.len() as u64) {
        // The whole body in one read: the common case of small requests, no copy.
        return match next(session).await? {
            None => Ok(first),
            Some(_) => {
                Err(Denial::new(Reason::BadRequest, "the body is longer than its `content-length`").closing())
            }
        };
    }
    let room = announced.unwrap_or(0).min(PRESIZE).max(first.len() as u64 * 2);
    let mut body = BytesMut::with_capacity(usize::try_from(room).unwrap_or(0));
    body.extend_from_slice(&first);
    while let Some(chunk) = next(session).await? {
        let length = (body.len() + chunk.len()) as u64;
        take(held, length, bounds)?;
        if body.capacity() - body.len() < chunk.len() {
            // What was announced beyond the first megabyte is believed once that much has arrived.
            take(held, announced.unwrap_or(0).max(length), bounds)?;
            let wanted = announced.unwrap_or(0).saturating_sub(body.len() as u64);
            body.reserve(usize::try_from(wanted).unwrap_or(0).max(chunk.len()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// Takes a share of the buffers for a body that is so long by now.
fn take(held: &mut Held, length: u64, bounds: &Bounds) -> Result<(), Denial> {
    if length > bounds.max_body {
        return Err(too_large(bounds).closing());
    }
    if held.grow_to(length, bounds.max_buffered) { Ok(()) } else { Err(buffers_full().closing()) }
}

async fn next(session: &mut Session) -> Result<Option<Bytes>, Denial> {
    session.downstream_session.read_request_body().await.map_err(|fault| {
        if matches!(fault.etype(), pingora::ErrorType::ReadTimedout) {
            Denial::new(Reason::UploadTimeout, "the body stopped arriving").closing()
        } else if MALFORMED.contains(&fault.etype().as_str()) {
            Denial::new(Reason::BadRequest, "the body's chunks are malformed").closing()
        } else {
            client_gone()
        }
    })
}

fn client_gone() -> Denial {
    Denial::new(Reason::ClientGone, "the client left during the upload").closing()
}

fn broken_packing() -> Denial {
    Denial::new(Reason::BadRequest, "the body could not be unpacked as its `content-encoding` says")
}

fn unpack(mut reader: impl Read, bounds: &Bounds, held: &mut Held) -> Result<Bytes, Denial> {
    let mut body = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let n = reader.read(&mut piece).map_err(|_| broken_packing())?;
        if n == 0 {
            return Ok(body.into());
        }
        let length = (body.len() + n) as u64;
        if length > bounds.max_body {
            return Err(too_large(bounds));
        }
        if !held.grow_to(length, bounds.max_buffered) {
            return Err(buffers_full());
        }
        body.extend_from_slice(piece.get(..n).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http::HeaderValue;

    use super::*;

    fn bounds(max_body: u64) -> Bounds {
        Bounds {
            max_body,
            max_buffered: 1 << 30,
            upload_timeout: std::time::Duration::from_secs(1),
            write_timeout: std::time::Duration::from_secs(1),
            max_headers: 100,
            max_header_bytes: 1 << 16,
            max_depth: 128,
        }
    }

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(text).expect("memory");
        packer.finish().expect("memory")
    }

    #[test]
    fn a_bomb_is_refused_at_the_bound_and_not_after_it() {
        let packed = gzip(&vec![b'a'; 50 << 20]);
        let buffers = Arc::new(Buffers::default());
        let mut held = buffers.share();
        let fault = unpack(flate2::read::MultiGzDecoder::new(&packed[..]), &bounds(1 << 20), &mut held);
        assert_eq!(fault.expect_err("too large").reason, Reason::BodyTooLarge);
        assert!(buffers.held() <= 1 << 20);
    }

    #[test]
    fn a_packed_body_is_unpacked_and_a_broken_one_is_the_callers_fault() {
        let mut held = Arc::new(Buffers::default()).share();
        let packed = gzip(b"{}");
        let read = |bytes: &[u8], held: &mut Held| {
            unpack(flate2::read::MultiGzDecoder::new(bytes), &bounds(100), held)
        };
        assert_eq!(read(&packed, &mut held).expect("fine"), "{}");
        assert_eq!(read(&packed[..10], &mut held).expect_err("cut").reason, Reason::BadRequest);
    }

    #[test]
    fn only_json_in_a_packing_that_we_read_is_taken() {
        let with = |name, value| HeaderMap::from_iter([(name, HeaderValue::from_static(value))]);
        assert!(check_type(&with(header::CONTENT_TYPE, "application/json; charset=utf-8")).is_ok());
        assert!(check_type(&HeaderMap::new()).is_ok());
        assert!(check_type(&with(header::CONTENT_TYPE, "text/plain")).is_err());
        assert_eq!(packing(&with(header::CONTENT_ENCODING, "zstd")), Ok(Packing::Zstd));
        assert!(packing(&with(header::CONTENT_ENCODING, "br")).is_err());
        assert!(packing(&with(header::CONTENT_ENCODING, "gzip, gzip")).is_err());
    }
}
