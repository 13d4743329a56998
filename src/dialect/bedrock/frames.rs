//! AWS's event stream: length-prefixed messages with check sums.
//!
//! A message is: total length (4 bytes), length of its headers (4), CRC-32 of these eight (4), headers,
//! payload, CRC-32 of all before (4); numbers are big-endian. One that lies whole in a chunk is read
//! where it stands; one that is cut is put together.
//!
//! Source: `botocore.eventstream`, and the AWS specification "Amazon Event Stream".

use crate::dialect::{
    json,
    translate::{BadFrame, Frame},
};

/// Lengths, and their check sum.
const PRELUDE: usize = 12;
/// The check sum at the end.
const TRAILER: usize = 4;
/// `AWS_EVENT_STREAM_MAX_MESSAGE_SIZE` of AWS's own C library; its senders make none longer.
const MAX_MESSAGE: usize = 16 << 20;
/// `_MAX_HEADERS_LENGTH` of botocore.
const MAX_HEADERS: usize = 128 << 10;
/// A buffer that grew beyond this for one message is given back after it.
const KEEP_BUFFER: usize = 16 << 10;

/// Cuts a stream into its messages.
#[derive(Default)]
pub(in crate::dialect) struct EventStream {
    /// What earlier chunks brought of the current message.
    carry: Vec<u8>,
    /// The stream cannot be read on: where the next message begins is anybody's guess.
    broken: Option<BadFrame>,
}

impl EventStream {
    /// Takes the next chunk and shows every message that it completes.
    ///
    /// # Errors
    /// When a length or a check sum is wrong; nothing is shown any more from there on.
    pub(in crate::dialect) fn push(
        &mut self,
        chunk: &[u8],
        show: &mut dyn FnMut(Frame<'_>),
    ) -> Result<(), BadFrame> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let read = self.read(chunk, show);
        if let Err(broken) = read {
            self.broken = Some(broken);
            self.carry = Vec::new();
        }
        read
    }

    /// The body ended cleanly.
    ///
    /// # Errors
    /// When it ended in the middle of a message.
    pub(in crate::dialect) fn finish(&mut self) -> Result<(), BadFrame> {
        match self.broken {
            Some(broken) => Err(broken),
            None if !self.carry.is_empty() => Err(BadFrame("it ends in the middle of a message")),
            None => Ok(()),
        }
    }

    fn read(&mut self, mut chunk: &[u8], show: &mut dyn FnMut(Frame<'_>)) -> Result<(), BadFrame> {
        while !self.carry.is_empty() {
            let wanted = if self.carry.len() < PRELUDE { PRELUDE } else { lengths(&self.carry)?.0 };
            let missing = wanted.saturating_sub(self.carry.len()).min(chunk.len());
            let (now, later) = chunk.split_at(missing);
            // It grows by what has come, not by what a length promises.
            self.carry.extend_from_slice(now);
            chunk = later;
            if self.carry.len() < wanted {
                return Ok(());
            }
            if wanted > PRELUDE {
                message(&self.carry, show)?;
                self.carry.clear();
                self.carry.shrink_to(KEEP_BUFFER);
            }
        }
        while chunk.len() >= PRELUDE {
            let (total, _) = lengths(chunk)?;
            let Some((whole, rest)) = chunk.split_at_checked(total) else { break };
            message(whole, show)?;
            chunk = rest;
        }
        self.carry.extend_from_slice(chunk);
        Ok(())
    }
}

/// Length of the message that begins here, and of its headers.
fn lengths(bytes: &[u8]) -> Result<(usize, usize), BadFrame> {
    let mut prelude = Bytes(bytes);
    let (total, headers) = (prelude.length4()?, prelude.length4()?);
    if prelude.u32()? != crc32fast::hash(bytes.get(..8).unwrap_or_default()) {
        return Err(BadFrame("the check sum of a message's lengths is wrong"));
    }
    if total > MAX_MESSAGE || headers > MAX_HEADERS {
        return Err(BadFrame("a message is too long"));
    }
    if total < PRELUDE + headers + TRAILER {
        return Err(BadFrame("a message is shorter than its headers"));
    }
    Ok((total, headers))
}

/// Shows a whole message.
fn message(bytes: &[u8], show: &mut dyn FnMut(Frame<'_>)) -> Result<(), BadFrame> {
    let (total, headers) = lengths(bytes)?;
    let end = total - TRAILER;
    let sum = Bytes(bytes.get(end..).unwrap_or_default()).u32()?;
    if sum != crc32fast::hash(bytes.get(..end).unwrap_or_default()) {
        return Err(BadFrame("the check sum of a message is wrong"));
    }
    let payload = bytes.get(PRELUDE + headers..end).unwrap_or_default();
    let headers = Headers::read(bytes.get(PRELUDE..PRELUDE + headers).unwrap_or_default())?;
    match headers.message_type {
        "exception" => show(Frame { kind: headers.exception_type, is_exception: true, data: payload }),
        // One that no model describes: what it says stands in headers.
        "error" => {
            let data = format!(r#"{{"message":{}}}"#, json::quoted(headers.error_message));
            show(Frame { kind: headers.error_code, is_exception: true, data: data.as_bytes() });
        }
        _ => show(Frame { kind: headers.event_type, is_exception: false, data: payload }),
    }
    Ok(())
}

/// The headers that say what a message is.
#[derive(Default)]
struct Headers<'a> {
    message_type: &'a str,
    event_type: &'a str,
    exception_type: &'a str,
    error_code: &'a str,
    error_message: &'a str,
}

impl<'a> Headers<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, BadFrame> {
        let mut found = Self::default();
        let mut left = Bytes(bytes);
        while !left.0.is_empty() {
            let name = left.u8()?;
            let name = left.take(usize::from(name))?;
            let value = left.value()?;
            let place = match name {
                b":message-type" => &mut found.message_type,
                b":event-type" => &mut found.event_type,
                b":exception-type" => &mut found.exception_type,
                b":error-code" => &mut found.error_code,
                b":error-message" => &mut found.error_message,
                _ => continue,
            };
            if let Some(text) = value {
                *place = std::str::from_utf8(text).map_err(|_| BadFrame("a header is not UTF-8"))?;
            }
        }
        Ok(found)
    }
}

/// Bytes from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], BadFrame> {
        let Some((taken, left)) = self.0.split_at_checked(len) else {
            return Err(BadFrame("a message's headers are cut off"));
        };
        self.0 = left;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], BadFrame> {
        self.take(N)?.try_into().map_err(|_| BadFrame("a message is cut off"))
    }

    fn u8(&mut self) -> Result<u8, BadFrame> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, BadFrame> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn length4(&mut self) -> Result<usize, BadFrame> {
        usize::try_from(self.u32()?).map_err(|_| BadFrame("a message is too long"))
    }

    fn length2(&mut self) -> Result<usize, BadFrame> {
        Ok(usize::from(u16::from_be_bytes(self.array()?)))
    }

    /// Passes a header's value; gives it if it is a string.
    fn value(&mut self) -> Result<Option<&'a [u8]>, BadFrame> {
        let (len, is_string) = match self.u8()? {
            // true, false
            0 | 1 => (0, false),
            // byte, short, int, long
            2 => (1, false),
            3 => (2, false),
            4 => (4, false),
            5 => (8, false),
            // bytes, string
            6 => (self.length2()?, false),
            7 => (self.length2()?, true),
            // time, UUID
            8 => (8, false),
            9 => (16, false),
            _ => return Err(BadFrame("a header is of an unknown type")),
        };
        let value = self.take(len)?;
        Ok(is_string.then_some(value))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A message as AWS packs it; headers are written as they are given.
    pub(in crate::dialect::bedrock) fn pack(headers: &[u8], payload: &[u8]) -> Vec<u8> {
        let total = PRELUDE + headers.len() + payload.len() + TRAILER;
        let mut out = Vec::new();
        out.extend(u32::try_from(total).unwrap().to_be_bytes());
        out.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out.extend(headers);
        out.extend(payload);
        out.extend(crc32fast::hash(&out).to_be_bytes());
        out
    }

    /// A header with a string.
    pub(in crate::dialect::bedrock) fn header(name: &str, value: &str) -> Vec<u8> {
        let mut out = vec![u8::try_from(name.len()).unwrap()];
        out.extend(name.as_bytes());
        out.push(7);
        out.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        out.extend(value.as_bytes());
        out
    }

    pub(in crate::dialect::bedrock) fn event(kind: &str, payload: &str) -> Vec<u8> {
        let mut headers = header(":event-type", kind);
        headers.extend(header(":content-type", "application/json"));
        headers.extend(header(":message-type", "event"));
        pack(&headers, payload.as_bytes())
    }

    type Seen = (Vec<(String, bool, String)>, Result<(), BadFrame>);

    fn cut(chunks: &[&[u8]]) -> Seen {
        let mut stream = EventStream::default();
        let mut seen = Vec::new();
        let mut all = Ok(());
        for chunk in chunks {
            let pushed = stream.push(chunk, &mut |frame| {
                let data = String::from_utf8_lossy(frame.data).into_owned();
                seen.push((frame.kind.to_owned(), frame.is_exception, data));
            });
            all = all.and(pushed);
        }
        (seen, all.and(stream.finish()))
    }

    fn three() -> Vec<u8> {
        let mut bytes = event("messageStart", r#"{"role":"assistant"}"#);
        // Each type of header once.
        let mut headers = Vec::new();
        for (kind, len) in [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)] {
            headers.extend([1, b'x', kind]);
            headers.extend(vec![0xff; len]);
        }
        headers.extend([1, b'y', 6, 0, 2, 0xff, 0xff]);
        headers.extend(header(":message-type", "exception"));
        headers.extend(header(":exception-type", "throttlingException"));
        bytes.extend(pack(&headers, br#"{"message":"slow"}"#));
        let mut headers = header(":message-type", "error");
        headers.extend(header(":error-code", "InternalError"));
        headers.extend(header(":error-message", "so \"it\" is"));
        bytes.extend(pack(&headers, b""));
        bytes
    }

    #[test]
    fn messages_are_what_their_headers_say() {
        let (seen, end) = cut(&[&three()]);
        assert_eq!(end, Ok(()));
        let expected = [
            ("messageStart", false, r#"{"role":"assistant"}"#),
            ("throttlingException", true, r#"{"message":"slow"}"#),
            ("InternalError", true, r#"{"message":"so \"it\" is"}"#),
        ];
        assert_eq!(seen, expected.map(|(kind, bad, data)| (kind.to_owned(), bad, data.to_owned())));
    }

    #[test]
    fn every_cut_gives_the_same_messages() {
        let bytes = three();
        let whole = cut(&[&bytes]);
        for at in 0..=bytes.len() {
            let (head, tail) = bytes.split_at(at);
            assert_eq!(cut(&[head, tail]), whole, "cut at {at}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(cut(&single), whole);
    }

    #[test]
    fn a_flipped_bit_anywhere_is_noticed() {
        let bytes = event("metadata", r#"{"usage":{}}"#);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (seen, end) = cut(&[&bad]);
            assert!(seen.is_empty() && end.is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lengths_that_cannot_be_are_refused_before_anything_is_kept() {
        for (total, headers) in [(0_u32, 0_u32), (15, 0), (20, 8), (u32::MAX, 0), (1 << 20, 1 << 18)] {
            let mut bytes = [total.to_be_bytes(), headers.to_be_bytes()].concat();
            bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
            assert!(cut(&[&bytes]).1.is_err(), "{total} {headers}");
        }
    }

    #[test]
    fn what_follows_a_broken_message_is_not_shown() {
        let mut bad = event("a", "{}");
        let last = bad.len() - 1;
        bad[last] ^= 1;
        let good = event("b", "{}");
        assert!(cut(&[&bad, &good]).0.is_empty());
        assert!(cut(&[&good[..good.len() - 1]]).1.is_err(), "a cut end is no end");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(chunks: Vec<Vec<u8>>) {
            let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
            let _seen = cut(&chunks);
        }

        #[test]
        fn arbitrary_headers_never_panic(headers: Vec<u8>, payload: Vec<u8>) {
            let _seen = cut(&[&pack(&headers, &payload)]);
        }
    }
}
