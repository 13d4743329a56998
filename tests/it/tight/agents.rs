//! Agents of a trace, as tasks: each sends its next turn when the answer before is over, its pause is
//! over, and its sub-agents are done.
//!
//! The trap: milliseconds of a busy machine are many in compressed time, and a closed loop adds them up
//! until the traffic is thinner than the trace's. So a pause counts from when the answer was due by the
//! provider's own speed, not from when we got to read it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use parking_lot::Mutex;
use warmkey::{
    clock::{self, Moment},
    replay::{Agent, Trace},
};

use super::{fleet::Fleet, prompt::Prompts};

/// Where requests go.
pub enum Way {
    /// To a gateway.
    Gateway(String),
    /// Straight to a provider, over its keys, as many gateways do.
    Keys(String, Mutex<Fleet>),
}

/// Time in which a refusal travels.
const REFUSAL: Duration = Duration::from_millis(100);

/// What clients noted.
#[derive(Default, Debug)]
pub struct Noted {
    /// Requests that were answered in full.
    pub answered: AtomicU64,
    /// 429s that a client got to see, because nobody was left to ask.
    pub denied: AtomicU64,
    /// How long a gateway held each request, in seconds of this world.
    pub waits: Mutex<Vec<f64>>,
}

pub struct World {
    pub trace: Arc<Trace>,
    /// So many times faster than life.
    pub faster: f64,
    /// How long an answer takes, in this world, by uncached input and output.
    pub speed: fn(u64, u64) -> Duration,
    pub way: Way,
    pub noted: Noted,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl World {
    pub fn new(trace: &Arc<Trace>, faster: f64, speed: fn(u64, u64) -> Duration, way: Way) -> Arc<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Arc::new(Self { trace: Arc::clone(trace), faster, speed, way, noted: Noted::default(), client })
    }

    /// Runs all agents to their end.
    pub async fn run(self: &Arc<Self>) {
        let began = clock::now();
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
    ) -> (StatusCode, HeaderMap, u64) {
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
        let mut fresh = 0;
        if head.status == 200 {
            let text = String::from_utf8_lossy(&body);
            assert!(text.contains("message_stop") && text.ends_with("\n\n"), "{text}");
            fresh = uncached(&text);
        }
        (head.status, head.headers, fresh)
    }

    /// One turn that was due at `due`, tried until it is answered, as a well-behaved client would; says
    /// when the answer was due.
    async fn turn(&self, id: usize, body: &Bytes, due: Moment, output: u64) -> Moment {
        let agent = &self.trace.agents[id];
        let mut began = due;
        let (fresh, held) = loop {
            let again = match &self.way {
                Way::Gateway(url) => {
                    let (status, headers, fresh) = self.send(url, None, agent, body).await;
                    if status == 200 {
                        let text = headers.get("x-warmkey-wait").and_then(|value| value.to_str().ok());
                        let seconds = text.and_then(|text| text.strip_suffix('s')?.parse::<f64>().ok());
                        let seconds = seconds.unwrap_or(0.0);
                        self.noted.waits.lock().push(seconds * self.faster);
                        break (fresh, Duration::from_secs_f64(seconds));
                    }
                    assert_eq!(status, 429, "{headers:?}");
                    retry_after(&headers)
                }
                Way::Keys(url, fleet) => match self.over_keys(url, fleet, agent, body).await {
                    Ok(fresh_and_refusals) => break fresh_and_refusals,
                    Err(again) => again,
                },
            };
            self.noted.denied.fetch_add(1, Ordering::Relaxed);
            began = clock::now() + again;
            tokio::time::sleep(again).await;
        };
        self.noted.answered.fetch_add(1, Ordering::Relaxed);
        (began + held + self.real((self.speed)(fresh, output))).min(clock::now())
    }

    /// From key to key, until one takes it (what it did not find in its cache, and the time that refusals
    /// took), or nobody is left to ask.
    async fn over_keys(
        &self,
        url: &str,
        fleet: &Mutex<Fleet>,
        agent: &Agent,
        body: &Bytes,
    ) -> Result<(u64, Duration), Duration> {
        let order = fleet.lock().order(&agent.session);
        let mut tried = Vec::new();
        loop {
            let open = fleet.lock().open(&order, &tried, clock::now());
            let (at, key) = match open {
                Ok(open) => open,
                Err(reopens) => {
                    // As whole seconds of this world, as a gateway would say.
                    let seconds = (reopens.as_secs_f64() * self.faster).ceil().max(1.0);
                    return Err(self.real(Duration::from_secs_f64(seconds)));
                }
            };
            let (status, headers, fresh) = self.send(url, Some(&key), agent, body).await;
            if status == 200 {
                return Ok((fresh, self.real(REFUSAL) * u32::try_from(tried.len()).expect("few")));
            }
            assert_eq!(status, 429, "{headers:?}");
            // A refusal travels for as long as in replay; until then others run into it, too.
            tokio::time::sleep(self.real(REFUSAL)).await;
            fleet.lock().cool(at, clock::now() + retry_after(&headers));
            tried.push(at);
        }
    }
}

/// What the first event of an answer says was not read from the cache.
fn uncached(text: &str) -> u64 {
    let number = |name: &str| {
        let after = text.split_once(&format!("\"{name}\":")).expect("usage").1.trim_start();
        let end = after.find(|c: char| !c.is_ascii_digit()).expect("an end");
        after[..end].parse::<u64>().expect("a number")
    };
    number("input_tokens") + number("cache_creation_input_tokens")
}

fn retry_after(headers: &HeaderMap) -> Duration {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let millis = number("retry-after-ms").or_else(|| Some(number("retry-after")? * 1_000));
    Duration::from_millis(millis.expect("a 429 says when to come back"))
}

type Life = Pin<Box<dyn Future<Output = Moment> + Send>>;

/// An agent's life; `from` is when it was spawned. Says when it was over.
fn live(world: Arc<World>, id: usize, from: Moment) -> Life {
    Box::pin(async move {
        let agent = &world.trace.agents[id];
        let prompts = Prompts::of(agent);
        let mut ready = from + world.real(agent.start);
        for turn in &agent.turns {
            let due = ready + world.real(turn.gap);
            tokio::time::sleep(clock::now().until(due)).await;
            let body = Bytes::from(prompts.body(agent, turn));
            let now = world.turn(id, &body, due, turn.output).await;
            let children: Vec<_> =
                turn.spawns.iter().map(|child| tokio::spawn(live(Arc::clone(&world), *child, now))).collect();
            ready = now;
            for child in children {
                ready = ready.max(child.await.expect("a sub-agent came to its end"));
            }
        }
        ready
    })
}
