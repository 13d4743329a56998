//! The provider that answers: every byte of it made before the first request.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use memchr::memmem;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::http::Wire;

/// How far into a body `"stream":true` is looked for: our bodies carry it up front.
const STREAM_WITHIN: usize = 512;

/// What is answered.
pub(crate) struct Script {
    plain: Vec<u8>,
    models: Vec<u8>,
    /// Head, `message_start` and the first text, in one piece: TTFT is then the proxy's alone.
    opening: Vec<u8>,
    delta: Vec<u8>,
    closing: Vec<u8>,
    events: u32,
    interval: Duration,
}

impl Script {
    pub(crate) fn new(events: u32, interval: Duration) -> Self {
        let message = br#"{"id":"msg_01bench","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[{"type":"text","text":"The build is green. I changed two lines in the parser, ran the tests again and all of them pass; the slow case now takes eleven milliseconds."}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":212,"cache_creation_input_tokens":0,"cache_read_input_tokens":9000,"output_tokens":38}}"#;
        let models = br#"{"data":[{"type":"model","id":"claude-sonnet-4-6","display_name":"Bench","created_at":"2026-01-01T00:00:00Z"}],"has_more":false,"first_id":"claude-sonnet-4-6","last_id":"claude-sonnet-4-6"}"#;
        let delta = event(
            "content_block_delta",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" and then it"}}"#,
        );
        let mut opening = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        opening.extend(event("message_start", r#"{"type":"message_start","message":{"id":"msg_01bench","type":"message","role":"assistant","model":"claude-sonnet-4-6","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":212,"cache_creation_input_tokens":0,"cache_read_input_tokens":9000,"output_tokens":1}}}"#));
        opening.extend(event(
            "content_block_start",
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        ));
        opening.extend_from_slice(&delta);
        let mut closing = event("content_block_stop", r#"{"type":"content_block_stop","index":0}"#);
        closing.extend(event("message_delta", r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":60}}"#));
        closing.extend(event("message_stop", r#"{"type":"message_stop"}"#));
        closing.extend_from_slice(b"0\r\n\r\n");
        Self { plain: json(message), models: json(models), opening, delta, closing, events, interval }
    }
}

/// One event as one chunk.
fn event(name: &str, data: &str) -> Vec<u8> {
    let event = format!("event: {name}\ndata: {data}\n\n");
    format!("{:x}\r\n{event}\r\n", event.len()).into_bytes()
}

fn json(body: &[u8]) -> Vec<u8> {
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

/// Serves until it is killed.
pub(crate) async fn serve(listen: SocketAddr, script: Script) -> anyhow::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    let script = Arc::new(script);
    loop {
        let (stream, _) = listener.accept().await?;
        let script = Arc::clone(&script);
        tokio::spawn(async move {
            // A peer that leaves in mid-answer is how every stream run ends.
            let _gone = converse(stream, &script).await;
        });
    }
}

async fn converse(stream: TcpStream, script: &Script) -> anyhow::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(head) = wire.head().await? {
        let mut start = Vec::with_capacity(STREAM_WITHIN);
        wire.body(&head, |piece| {
            let room = STREAM_WITHIN - start.len();
            start.extend(piece.iter().take(room));
        })
        .await?;
        if head.first_line.starts_with("GET ") {
            wire.stream.write_all(&script.models).await?;
        } else if memmem::find(&start, br#""stream":true"#).is_some() {
            talk(&mut wire.stream, script).await?;
        } else {
            wire.stream.write_all(&script.plain).await?;
        }
    }
    Ok(())
}

async fn talk(stream: &mut TcpStream, script: &Script) -> anyhow::Result<()> {
    stream.write_all(&script.opening).await?;
    if script.interval.is_zero() {
        let mut rest = script.delta.repeat(usize::try_from(script.events)?);
        rest.extend_from_slice(&script.closing);
        stream.write_all(&rest).await?;
        return Ok(());
    }
    let mut beat = tokio::time::interval(script.interval);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    beat.tick().await;
    for _ in 0..script.events {
        beat.tick().await;
        stream.write_all(&script.delta).await?;
    }
    stream.write_all(&script.closing).await?;
    Ok(())
}
