//! Bytes on a socket: requests that no client library would send, and a provider whose answers are
//! fixed to the byte.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
};

use warmkey::sim::Sim;

use crate::harness::{Reply, sim_with, within};

/// SHA-256 in hex, as the simulated provider shows it.
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A provider that answers at once and limits nobody.
pub async fn roomy() -> Sim {
    sim_with(|config| {
        for account in &mut config.accounts {
            *account = account.clone().limits(0, 0, 0);
        }
    })
    .await
}

/// The head of a JSON POST, ready for a body of `length` bytes.
pub fn head(path: &str, length: usize) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// A connection on which anything can be said.
pub struct Wire {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    pub async fn connect(to: SocketAddr) -> Self {
        Self { tcp: within("a connection", TcpStream::connect(to)).await.expect("listening"), read: vec![] }
    }

    /// Takes up hardly anything that it does not read.
    pub async fn connect_narrow(to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        Self { tcp: within("a connection", socket.connect(to)).await.expect("listening"), read: vec![] }
    }

    /// Says something; the other side may be gone already.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("bytes are taken", self.tcp.write_all(bytes.as_ref())).await;
    }

    async fn more(&mut self) -> bool {
        within("bytes from the other side", self.more_or_gone()).await
    }

    /// Reads on until this was said.
    pub async fn read_until(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.read).contains(text) {
            assert!(self.more().await, "closed before `{text}`: {}", String::from_utf8_lossy(&self.read));
        }
    }

    /// Everything up to the close of the connection, whatever it is.
    pub async fn until_closed(mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// The other side closes, having said nothing more.
    pub async fn assert_closed(mut self) {
        assert!(
            !self.more().await && self.read.is_empty(),
            "it went on: {}",
            String::from_utf8_lossy(&self.read)
        );
    }

    /// One answer; 1xx are left out.
    pub async fn reply(&mut self) -> Reply {
        loop {
            let end = loop {
                if let Some(at) = find(&self.read, b"\r\n\r\n") {
                    break at + 4;
                }
                assert!(self.more().await, "no answer: {:?}", String::from_utf8_lossy(&self.read));
            };
            let head: Vec<u8> = self.read.drain(..end).collect();
            let (status, headers) = parse(&String::from_utf8_lossy(&head));
            if status.is_informational() {
                continue;
            }
            let (body, broken) = self.body(&headers).await;
            return Reply { status, headers, body: body.into(), broken };
        }
    }

    async fn body(&mut self, headers: &HeaderMap) -> (Vec<u8>, bool) {
        if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
            return self.chunks().await;
        }
        let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        let wanted = length.unwrap_or(usize::MAX);
        while self.read.len() < wanted && self.more().await {}
        let broken = length.is_some() && self.read.len() < wanted;
        (self.read.drain(..wanted.min(self.read.len())).collect(), broken)
    }

    async fn chunks(&mut self) -> (Vec<u8>, bool) {
        let mut body = Vec::new();
        loop {
            let line = loop {
                if let Some(at) = find(&self.read, b"\r\n") {
                    break at;
                }
                if !self.more().await {
                    return (body, true);
                }
            };
            let size = String::from_utf8_lossy(&self.read[..line]).into_owned();
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
            while self.read.len() < line + 2 + size + 2 {
                if !self.more().await {
                    return (body, true);
                }
            }
            body.extend_from_slice(&self.read[line + 2..line + 2 + size]);
            self.read.drain(..line + 2 + size + 2);
            if size == 0 {
                return (body, false);
            }
        }
    }
}

fn parse(head: &str) -> (StatusCode, HeaderMap) {
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status");
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::from_str(value.trim()).unwrap())
        })
        .collect();
    (status, headers)
}

fn find(within: &[u8], what: &[u8]) -> Option<usize> {
    within.windows(what.len()).position(|window| window == what)
}

/// The head of a streamed answer.
pub const STREAM: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// Bytes as one chunk of a body; nothing is its end.
pub fn chunk(bytes: &str) -> Bytes {
    format!("{:x}\r\n{bytes}\r\n", bytes.len()).into()
}

/// What a [`Fixed`] provider says to a POST, piece by piece, each in a write of its own.
#[derive(Clone)]
pub enum Script {
    /// These, then the connection stays open.
    Pieces(Vec<Bytes>),
    /// These, then silence until the client leaves.
    Silence(Vec<Bytes>),
    /// These, and then the last one for ever.
    Endless(Vec<Bytes>),
    /// The first ones, and the others once the word is given.
    Word(Vec<Bytes>, watch::Receiver<bool>, Vec<Bytes>),
}

/// A provider whose answers are fixed to the byte. Every key is fine with it.
pub struct Fixed {
    addr: SocketAddr,
    script: Arc<Mutex<Script>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    lost: watch::Sender<u32>,
}

impl Fixed {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let script = Arc::new(Mutex::new(Script::Pieces(vec![])));
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let lost = watch::Sender::new(0);
        let (said, kept, gone) = (Arc::clone(&script), Arc::clone(&bodies), lost.clone());
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let _ = tcp.set_nodelay(true);
                tokio::spawn(attend(tcp, Arc::clone(&said), Arc::clone(&kept), gone.clone()));
            }
        });
        Self { addr, script, bodies, lost }
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on this is the answer.
    pub fn says(&self, script: Script) {
        *self.script.lock() = script;
    }

    /// The bodies of all POSTs so far.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.bodies.lock().clone()
    }

    /// Waits until the gateway has left this many answers before their end.
    pub async fn was_left(&self, times: u32) {
        let mut lost = self.lost.subscribe();
        let waiting = lost.wait_for(|lost| *lost >= times);
        assert!(within("the gateway leaves the provider", waiting).await.is_ok());
    }
}

async fn attend(
    tcp: TcpStream,
    script: Arc<Mutex<Script>>,
    bodies: Arc<Mutex<Vec<Vec<u8>>>>,
    lost: watch::Sender<u32>,
) {
    let mut wire = Wire { tcp, read: vec![] };
    loop {
        let end = loop {
            if let Some(at) = find(&wire.read, b"\r\n\r\n") {
                break at + 4;
            }
            if !wire.more_or_gone().await {
                return;
            }
        };
        let head = String::from_utf8_lossy(&wire.read.drain(..end).collect::<Vec<_>>()).to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .map_or(0, |value| value.trim().parse::<usize>().expect("a length"));
        while wire.read.len() < length {
            if !wire.more_or_gone().await {
                return;
            }
        }
        let body: Vec<u8> = wire.read.drain(..length).collect();
        if head.starts_with("get ") {
            const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{\"data\":[]}";
            wire.say(EMPTY).await;
            continue;
        }
        bodies.lock().push(body);
        let script = script.lock().clone();
        if !wire.perform(script).await {
            lost.send_modify(|lost| *lost += 1);
            return;
        }
    }
}

impl Wire {
    /// As `more`, for as long as it takes.
    async fn more_or_gone(&mut self) -> bool {
        self.read.reserve(64 << 10);
        self.tcp.read_buf(&mut self.read).await.is_ok_and(|n| n > 0)
    }

    async fn utter(&mut self, pieces: &[Bytes]) -> bool {
        for piece in pieces {
            if self.tcp.write_all(piece).await.is_err() {
                return false;
            }
            // Another task runs in between, so that pieces are mostly read one by one.
            tokio::task::yield_now().await;
        }
        true
    }

    /// Says a script; `false` when the other side left before its end.
    async fn perform(&mut self, script: Script) -> bool {
        let (Script::Pieces(pieces)
        | Script::Silence(pieces)
        | Script::Endless(pieces)
        | Script::Word(pieces, ..)) = &script;
        if !self.utter(pieces).await {
            return false;
        }
        match script {
            Script::Pieces(_) => true,
            Script::Word(_, mut word, rest) => {
                word.wait_for(|given| *given).await.is_ok() && self.utter(&rest).await
            }
            Script::Silence(_) => {
                while self.more_or_gone().await {}
                false
            }
            Script::Endless(pieces) => {
                let Some(last) = pieces.last() else { return true };
                while self.tcp.write_all(last).await.is_ok() {}
                false
            }
        }
    }
}
