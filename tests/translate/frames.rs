//! Recorded streams in the packing that they come in.
//!
//! Fixtures are text, so that people can read them: server-sent events as they were (`.txt`), AWS's events
//! as lines of `{"event": NAME, "payload": {...}}` or `{"exception": NAME, "payload": {...}}` (`.jsonl`).

use std::{fs, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use warmkey::{dialect::Framing, types::ProviderDialect};

/// A provider's stream, packed.
pub(crate) struct Recorded {
    pub name: String,
    pub framing: Framing,
    pub bytes: Vec<u8>,
}

/// The recorded streams of a provider, by name.
pub(crate) fn recorded(root: &Path, provider: ProviderDialect) -> Vec<Recorded> {
    let text = |dialect: &str| crate::golden::files(&root.join(dialect).join("stream"));
    let own = |framing, pack: fn(&str) -> Vec<u8>| {
        let pack = move |(name, bytes): (String, String)| Recorded { name, framing, bytes: pack(&bytes) };
        text(crate::ends::folder(provider)).into_iter().map(pack).collect::<Vec<_>>()
    };
    match provider {
        ProviderDialect::Anthropic | ProviderDialect::OpenAiChat | ProviderDialect::OpenAiResponses => {
            own(Framing::Sse, |text| text.as_bytes().to_vec())
        }
        ProviderDialect::Gemini => {
            // Each of them both ways: events, and the elements of an array.
            let mut all = own(Framing::Sse, |text| text.as_bytes().to_vec());
            let arrays = own(Framing::JsonArray, |text| array(text).into_bytes());
            all.extend(arrays.into_iter().map(|one| Recorded { name: format!("{}.array", one.name), ..one }));
            all
        }
        ProviderDialect::Bedrock => own(Framing::EventStream, |text| text.lines().flat_map(aws).collect()),
        ProviderDialect::BedrockClaude => text("anthropic")
            .into_iter()
            .map(|(name, text)| Recorded {
                name,
                framing: Framing::EventStream,
                bytes: datas(&text).flat_map(chunk).collect(),
            })
            .collect(),
    }
}

/// What stands behind `data:`, line by line.
fn datas(sse: &str) -> impl Iterator<Item = &str> {
    sse.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim)
}

fn array(sse: &str) -> String {
    format!("[{}]", datas(sse).collect::<Vec<_>>().join(",\r\n"))
}

/// One of Anthropic's events as `InvokeModelWithResponseStream` wraps it.
fn chunk(data: &str) -> Vec<u8> {
    let payload = format!(r#"{{"bytes":"{}","p":"abcdefgh"}}"#, STANDARD.encode(data));
    message("event", ":event-type", "chunk", payload.as_bytes())
}

/// One line of a fixture as a message.
fn aws(line: &str) -> Vec<u8> {
    if line.trim().is_empty() {
        return Vec::new();
    }
    let value: Value = serde_json::from_str(line).expect("a line of JSON");
    // Payloads go out as they stand in the file, not as they are parsed.
    let at = line.find(r#""payload""#).expect("a payload");
    let payload = line[at + 9..].trim_start().strip_prefix(':').expect("its value").trim();
    let payload = payload.strip_suffix('}').expect("the line's end").trim_end();
    match (value["event"].as_str(), value["exception"].as_str()) {
        (Some(event), None) => message("event", ":event-type", event, payload.as_bytes()),
        (None, Some(kind)) => message("exception", ":exception-type", kind, payload.as_bytes()),
        _ => panic!("neither event nor exception: {line}"),
    }
}

/// A message of AWS's event stream.
fn message(kind: &str, header: &str, name: &str, payload: &[u8]) -> Vec<u8> {
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", kind), (header, name), (":content-type", "application/json")] {
        headers.push(u8::try_from(name.len()).expect("a short name"));
        headers.extend_from_slice(name.as_bytes());
        headers.push(7);
        headers.extend_from_slice(&u16::try_from(value.len()).expect("a short value").to_be_bytes());
        headers.extend_from_slice(value.as_bytes());
    }
    let length = |bytes: usize| u32::try_from(bytes).expect("a short message").to_be_bytes();
    let mut out = Vec::new();
    out.extend_from_slice(&length(16 + headers.len() + payload.len()));
    out.extend_from_slice(&length(headers.len()));
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(&headers);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

/// CRC-32 bit by bit, so that the gateway's own does not judge itself.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & 0_u32.wrapping_sub(crc & 1)))
    })
}

/// The text of a file, whatever it is called behind its first part.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

#[test]
fn the_sum_is_the_usual_one() {
    assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
}
