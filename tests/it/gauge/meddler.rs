//! A small proxy that changes what passes, as faulty gateways do.

use std::{convert::Infallible, net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use warmkey::sim::Sim;

type Up = dyn Fn(&mut Value) + Send + Sync;
type Down = dyn Fn(String) -> String + Send + Sync;

/// In front of a provider. Dropped: nothing listens there any more.
pub struct Meddler {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Meddler {
    /// Changes bodies on their way up and answers on their way down.
    pub async fn over(
        sim: &Sim,
        up: impl Fn(&mut Value) + Send + Sync + 'static,
        down: impl Fn(String) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let to = sim.base_url();
        let (up, down): (Arc<Up>, Arc<Down>) = (Arc::new(up), Arc::new(down));
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (to, up, down, client) = (to.clone(), Arc::clone(&up), Arc::clone(&down), client.clone());
                let service = service_fn(move |request| {
                    let (to, up, down) = (to.clone(), Arc::clone(&up), Arc::clone(&down));
                    let client = client.clone();
                    async move {
                        Ok::<_, Infallible>(pass(&client, &to, request, (up.as_ref(), down.as_ref())).await)
                    }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { address, task }
    }

    pub fn url(&self) -> String {
        format!("KEY=http://{}", self.address)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(
    client: &Client<HttpConnector, Full<Bytes>>,
    to: &str,
    request: Request<Incoming>,
    (up, down): (&Up, &Down),
) -> Response<Full<Bytes>> {
    let (mut head, body) = request.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let mut body: Value = serde_json::from_slice(&body).expect("JSON");
    up(&mut body);
    head.uri = format!("{to}{}", head.uri.path()).parse().expect("a URL");
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::HOST);
    let body = Full::new(Bytes::from(body.to_string()));
    let answer = client.request(Request::from_parts(head, body)).await.expect("an answer");
    let (mut head, body) = answer.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let text = down(String::from_utf8(body.to_vec()).expect("text"));
    head.headers.remove(header::CONTENT_LENGTH);
    head.headers.remove(header::TRANSFER_ENCODING);
    Response::from_parts(head, Full::new(Bytes::from(text)))
}

/// Takes a member out of a document, wherever it stands.
pub fn strip(value: &mut Value, name: &str) {
    match value {
        Value::Object(members) => {
            members.remove(name);
            members.values_mut().for_each(|member| strip(member, name));
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| strip(element, name)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The same in every event of a stream.
pub fn strip_events(text: &str, name: &str) -> String {
    let line = |line: &str| match line.strip_prefix("data: ").map(serde_json::from_str::<Value>) {
        Some(Ok(mut event)) => {
            strip(&mut event, name);
            format!("data: {event}\n")
        }
        Some(Err(_)) | None => format!("{line}\n"),
    };
    text.lines().map(line).collect()
}
