//! Agents of a trace, as tasks: each sends its next turn when the answer before is over, its pause is
//! over, and its sub-agents are done.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use warmkey::replay::{Agent, Trace};

use super::{fleet::Fleet, prompt::Prompts};

/// Where requests go.
pub enum Way {
    /// To a gateway.
    Gateway(String),
    /// Straight to a provider, over its keys, as many gateways do.
    Keys(String, Mutex<Fleet>),
}

/// What clients noted.
#[derive(Default, Debug)]
pub struct Noted {
    /// Requests that were answered in full.
    pub answered: AtomicU64,
    /// 429s that a client got to see, because nobody was left to ask.
    pub denied: AtomicU64,
    /// 429s of the provider that a way of its own dealt with.
    pub refused: AtomicU64,
    /// How long a gateway held each request, in seconds of this world.
    pub waits: Mutex<Vec<f64>>,
}

pub struct World {
    pub trace: Arc<Trace>,
    /// So many times faster than life.
    pub faster: f64,
    pub way: Way,
    pub noted: Noted,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl World {
    pub fn new(trace: &Arc<Trace>, faster: f64, way: Way) -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Arc::new(Self { trace: Arc::clone(trace), faster, way, noted: Noted::default(), client })
    }

    /// Runs all agents to their end.
    pub async fn run(self: &Arc<Self>) {
        let began = Instant::now();
        let main = |(_, agent): &(usize, &Agent)| agent.parent.is_none();
        let tasks: Vec<_> = self.trace.agents.iter().enumerate().filter(main).map(|(n, _)| n).collect();
        let tasks: Vec<_> =
            tasks.into_iter().map(|n| tokio::spawn(live(Arc::clone(self), n, began))).collect();
        for task in tasks {
            task.await.expect("an agent came to its end");
        }
    }

    fn real(&self, span: Duration) -> Duration {
        span.div_f64(self.faster)
    }

    async fn send(
        &self,
        url: &str,
        key: Option<&str>,
        agent: &Agent,
        body: &Bytes,
    ) -> (StatusCode, HeaderMap) {
        let mut request = Request::post(format!("{url}/v1/messages"))
            .header("content-type", "application/json")
            .header("anthropic-version", "2023-06-01")
            .header("x-claude-code-session-id", format!("tight-{}", agent.session));
        if agent.parent.is_some() {
            request = request.header("x-claude-code-agent-id", &*agent.name);
        }
        if let Some(key) = key {
            request = request.header("x-api-key", key);
        }
        let request = request.body(Full::new(body.clone())).expect("a request");
        let answer = self.client.request(request).await.expect("an answer");
        let (head, body) = answer.into_parts();
        let body = body.collect().await.expect("a whole answer").to_bytes();
        if head.status == 200 {
            assert!(body.ends_with(b"\n\n") && body.windows(12).any(|w| w == b"message_stop"), "{body:?}");
        }
        (head.status, head.headers)
    }

    /// One turn, tried until it is answered, as a well-behaved client would.
    async fn turn(&self, id: usize, body: &Bytes) {
        let agent = &self.trace.agents[id];
        loop {
            let again = match &self.way {
                Way::Gateway(url) => {
                    let (status, headers) = self.send(url, None, agent, body).await;
                    if status == 200 {
                        let text = headers.get("x-warmkey-wait").and_then(|value| value.to_str().ok());
                        let seconds = text.and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
                        self.noted.waits.lock().push(seconds.unwrap_or(0.0) * self.faster);
                        None
                    } else {
                        assert_eq!(status, 429, "{headers:?}");
                        Some(retry_after(&headers))
                    }
                }
                Way::Keys(url, fleet) => self.over_keys(url, fleet, agent, body).await,
            };
            let Some(again) = again else { break };
            self.noted.denied.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(again).await;
        }
        self.noted.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// From key to key, until one takes it (then `None`) or nobody is left to ask.
    async fn over_keys(
        &self,
        url: &str,
        fleet: &Mutex<Fleet>,
        agent: &Agent,
        body: &Bytes,
    ) -> Option<Duration> {
        let order = fleet.lock().order(&agent.session);
        let mut tried = Vec::new();
        loop {
            let open = fleet.lock().open(&order, &tried, Instant::now());
            let (at, key) = match open {
                Ok(open) => open,
                Err(reopens) => {
                    // As whole seconds of this world, as a gateway would say.
                    let seconds = (reopens.as_secs_f64() * self.faster).ceil().max(1.0);
                    return Some(self.real(Duration::from_secs_f64(seconds)));
                }
            };
            let (status, headers) = self.send(url, Some(&key), agent, body).await;
            if status == 200 {
                return None;
            }
            assert_eq!(status, 429, "{headers:?}");
            self.noted.refused.fetch_add(1, Ordering::Relaxed);
            fleet.lock().cool(at, Instant::now() + retry_after(&headers));
            tried.push(at);
        }
    }
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let millis = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1_000));
    Duration::from_millis(millis.expect("a 429 says when to come back"))
}

type Life = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An agent's life; `from` is when it was spawned.
fn live(world: Arc<World>, id: usize, from: Instant) -> Life {
    Box::pin(async move {
        let agent = &world.trace.agents[id];
        let prompts = Prompts::of(agent);
        let mut ready = from + world.real(agent.start);
        for turn in &agent.turns {
            tokio::time::sleep_until((ready + world.real(turn.gap)).into()).await;
            let body = Bytes::from(prompts.body(agent, turn));
            world.turn(id, &body).await;
            let now = Instant::now();
            let children: Vec<_> =
                turn.spawns.iter().map(|child| tokio::spawn(live(Arc::clone(&world), *child, now))).collect();
            for child in children {
                child.await.expect("a sub-agent came to its end");
            }
            ready = Instant::now();
        }
    })
}
