//! A gateway that says one thing, for tests of the commands that ask.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// One canned answer on a port of its own. Dropped: nothing listens there any more.
pub(super) struct Canned {
    pub(super) url: String,
    task: Option<JoinHandle<String>>,
}

impl Canned {
    /// The request that was answered.
    pub(super) async fn request(mut self) -> String {
        self.task.take().expect("asked once").await.expect("a request")
    }
}

impl Drop for Canned {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Answers the first request with `status` and `body`.
pub(super) async fn serve(status: u16, body: &'static str) -> Canned {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let request = read_request(&mut stream).await;
        let head =
            format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).await.expect("written");
        request
    });
    Canned { url, task: Some(task) }
}

async fn read_request(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().expect("a length")) {
                return text;
            }
        }
        let mut chunk = [0; 4096];
        let n = stream.read(&mut chunk).await.expect("bytes");
        assert!(n > 0, "the client left in its request");
        bytes.extend_from_slice(&chunk[..n]);
    }
}
