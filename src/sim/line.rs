//! One connection, and the ways to break it.
//!
//! Wraps the plain side of a socket (inside TLS, where there is TLS), so that a fault can act on what
//! hyper would never do: reset, close in the middle of a body, die when it is used again, or send a
//! GOAWAY that disowns a stream. Everything else passes through.
//!
//! The trap: what was handed to hyper is not on the wire yet. [`Line::cut`] therefore strikes only
//! when the connection has nothing left to flush.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
};
use tokio_rustls::server::TlsStream;

/// A GOAWAY with last stream 0 and no error: nothing on this connection was processed.
const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// How a connection ends before its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    /// RST.
    Reset,
    /// FIN, whatever was being sent.
    Close,
    /// A GOAWAY that disowns all streams, then FIN.
    GoAway,
}

/// The handle by which a request's handler reaches the connection it came on.
#[derive(Default, Debug)]
pub(super) struct Line {
    state: Mutex<State>,
    retired: Notify,
}

#[derive(Default, Debug)]
struct State {
    cut: Option<Cut>,
    stale: bool,
    written: u64,
    unflushed: bool,
    waker: Option<Waker>,
    writers: Vec<Waker>,
}

impl Line {
    /// Ends the connection as soon as everything handed over is written.
    pub(super) fn cut(&self, cut: Cut) {
        let waker = {
            let mut state = self.state.lock();
            state.cut = Some(cut);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The next bytes that come in find the connection dead.
    pub(super) fn grow_stale(&self) {
        self.state.lock().stale = true;
    }

    /// No further request is taken after the ones in flight (HTTP/2: a graceful GOAWAY).
    pub(super) fn retire(&self) {
        self.retired.notify_one();
    }

    pub(super) async fn retirement(&self) {
        self.retired.notified().await;
    }

    /// Bytes written to the socket so far.
    pub(super) fn written(&self) -> u64 {
        self.state.lock().written
    }

    /// Waits until so many bytes are written in all.
    pub(super) async fn written_at_least(&self, bytes: u64) {
        std::future::poll_fn(|cx| {
            let mut state = self.state.lock();
            if state.written >= bytes && !state.unflushed {
                return Poll::Ready(());
            }
            state.writers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    fn wrote(&self, bytes: usize) {
        let writers = {
            let mut state = self.state.lock();
            state.written += bytes as u64;
            state.unflushed = true;
            std::mem::take(&mut state.writers)
        };
        writers.into_iter().for_each(Waker::wake);
    }

    fn flushed(&self) {
        let writers = {
            let mut state = self.state.lock();
            state.unflushed = false;
            std::mem::take(&mut state.writers)
        };
        writers.into_iter().for_each(Waker::wake);
    }

    /// The cut that is due now. Also remembers whom to wake when one becomes due.
    fn due(&self, cx: &Context<'_>) -> Option<Cut> {
        let mut state = self.state.lock();
        state.waker = Some(cx.waker().clone());
        if state.unflushed { None } else { state.cut }
    }
}

/// The socket itself.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

/// The socket with its handle: what hyper is given.
pub(super) struct Wire {
    socket: Option<Socket>,
    line: Arc<Line>,
    goaway_sent: usize,
    shut: bool,
}

impl Wire {
    pub(super) const fn new(socket: Socket, line: Arc<Line>) -> Self {
        Self { socket: Some(socket), line, goaway_sent: 0, shut: false }
    }

    /// Carries out a cut; ready when the connection is over.
    fn strike(&mut self, cut: Cut, cx: &mut Context<'_>) -> Poll<io::Error> {
        match cut {
            Cut::Reset => {
                if let Some(socket) = self.socket.take() {
                    // Failing to set it leaves an ordinary close.
                    let _ = socket.tcp().set_zero_linger();
                }
            }
            Cut::Close => drop(self.socket.take()),
            Cut::GoAway => ready!(self.say_goodbye(cx)),
        }
        Poll::Ready(io::ErrorKind::ConnectionReset.into())
    }

    /// Writes the GOAWAY, half-closes, and reads on until the peer closes: an early close with unread
    /// bytes would turn into a reset that swallows the GOAWAY.
    fn say_goodbye(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.goaway_sent < GOAWAY.len() {
            let Some(socket) = &mut self.socket else { return Poll::Ready(()) };
            match ready!(Pin::new(socket).poll_write(cx, &GOAWAY[self.goaway_sent..])) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(n) => self.goaway_sent += n,
            }
        }
        let Some(socket) = &mut self.socket else { return Poll::Ready(()) };
        if !self.shut {
            if ready!(Pin::new(&mut *socket).poll_shutdown(cx)).is_err() {
                return Poll::Ready(());
            }
            self.shut = true;
        }
        let mut scratch = [0; 1_024];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut *socket).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(());
            }
        }
    }
}

fn gone() -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(cut) = self.line.due(cx) {
            return self.strike(cut, cx).map(Err);
        }
        let before = buffer.filled().len();
        let Some(socket) = &mut self.socket else { return Poll::Ready(Err(gone())) };
        let read = ready!(Pin::new(socket).poll_read(cx, buffer));
        if buffer.filled().len() > before && self.line.state.lock().stale {
            return self.strike(Cut::Reset, cx).map(Err);
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(Err(gone())) };
        let written = ready!(Pin::new(socket).poll_write(cx, bytes))?;
        self.line.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(Err(gone())) };
        ready!(Pin::new(socket).poll_flush(cx))?;
        self.line.flushed();
        if let Some(cut) = self.line.due(cx) {
            return self.strike(cut, cx).map(Err);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.socket {
            Some(socket) => Pin::new(socket).poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Tls(tls) => Pin::new(tls).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(tls).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}
