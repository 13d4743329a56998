//! AWS's event stream: lengths, check sums, headers.

use bytes::Bytes;
use serde_json::Value;

/// An event.
pub(super) fn event(kind: &str, payload: &Value) -> Bytes {
    let mut padded = payload.clone();
    // Bedrock pads its events, so that their lengths tell nothing.
    padded["p"] = "abcdefghijkl".into();
    message(
        &[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")],
        &padded,
    )
}

/// An exception in place of (more) events.
pub(super) fn exception(kind: &str, payload: &Value) -> Bytes {
    let headers =
        [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    message(&headers, payload)
}

/// An event whose check sum is wrong.
pub(in crate::sim) fn broken() -> Bytes {
    let mut bytes = event("contentBlockDelta", &serde_json::json!({"contentBlockIndex": 0})).to_vec();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    bytes.into()
}

fn message(headers: &[(&str, &str)], payload: &Value) -> Bytes {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend(name.as_bytes());
        // A string.
        head.push(7);
        head.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend(value.as_bytes());
    }
    let payload = payload.to_string();
    let four = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = Vec::with_capacity(16 + head.len() + payload.len());
    out.extend(four(16 + head.len() + payload.len()));
    out.extend(four(head.len()));
    out.extend(crc32(&out).to_be_bytes());
    out.extend(head);
    out.extend(payload.as_bytes());
    out.extend(crc32(&out).to_be_bytes());
    out.into()
}

/// CRC-32 as zip has it, a bit at a time: the gateway's way of computing it must not agree with itself.
fn crc32(bytes: &[u8]) -> u32 {
    let mut sum = u32::MAX;
    for byte in bytes {
        sum ^= u32::from(*byte);
        for _ in 0..8 {
            sum = (sum >> 1) ^ (0xedb8_8320 * (sum & 1));
        }
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_sum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
