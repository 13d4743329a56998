//! Just enough HTTP/1.1 for peers that we know: heads, and bodies by length or in chunks.

use anyhow::{Context as _, bail, ensure};
use bytes::{Buf as _, BytesMut};
use memchr::memmem;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// A head is refused beyond this many bytes.
const MAX_HEAD: usize = 64 * 1024;
/// Room for one read; a 400 KB body then takes a few reads, not a hundred.
const READ: usize = 64 * 1024;

/// A connection and what was read of it but not used yet.
pub(crate) struct Wire {
    pub(crate) stream: TcpStream,
    buffer: BytesMut,
}

/// The first line of a message, and how its body ends.
pub(crate) struct Head {
    pub(crate) first_line: String,
    framing: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> anyhow::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::with_capacity(4096) })
    }

    /// The next head, or `None` when the peer closed between two messages.
    pub(crate) async fn head(&mut self) -> anyhow::Result<Option<Head>> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return Head::parse(&head).map(Some);
            }
            ensure!(self.buffer.len() < MAX_HEAD, "the head is too long");
            if self.fill().await? == 0 {
                ensure!(self.buffer.is_empty(), "closed inside a head");
                return Ok(None);
            }
        }
    }

    /// Reads the body to its end, showing each piece as it comes.
    pub(crate) async fn body(&mut self, head: &Head, mut piece: impl FnMut(&[u8])) -> anyhow::Result<()> {
        match head.framing {
            Framing::Length(length) => self.exactly(length, &mut piece).await,
            Framing::Chunked => loop {
                let length = self.chunk_size().await?;
                if length == 0 {
                    // No peer of ours sends trailers: an empty line follows.
                    return self.exactly(2, &mut |_| {}).await;
                }
                self.exactly(length, &mut piece).await?;
                self.exactly(2, &mut |_| {}).await?;
            },
        }
    }

    async fn exactly(&mut self, mut left: usize, piece: &mut impl FnMut(&[u8])) -> anyhow::Result<()> {
        while left > 0 {
            if self.buffer.is_empty() {
                ensure!(self.fill().await? > 0, "closed inside a body");
            }
            let take = left.min(self.buffer.len());
            if let Some(bytes) = self.buffer.get(..take) {
                piece(bytes);
            }
            self.buffer.advance(take);
            left -= take;
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> anyhow::Result<usize> {
        loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                let line = std::str::from_utf8(&line)?.trim_end();
                let digits = line.split(';').next().unwrap_or_default();
                return usize::from_str_radix(digits.trim(), 16).context("bad chunk size");
            }
            ensure!(self.fill().await? > 0, "closed inside a chunk size");
        }
    }

    async fn fill(&mut self) -> std::io::Result<usize> {
        self.buffer.reserve(READ);
        self.stream.read_buf(&mut self.buffer).await
    }
}

impl Head {
    fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(bytes)?;
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        let mut framing = Framing::Length(0);
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(value.trim().parse().context("bad content-length")?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
        Ok(Self { first_line, framing })
    }

    /// The status of a response.
    pub(crate) fn status(&self) -> anyhow::Result<u16> {
        match self.first_line.split(' ').nth(1) {
            Some(status) => Ok(status.parse()?),
            None => bail!("no status in {:?}", self.first_line),
        }
    }
}
