//! Starts gateways and talks to them.
//!
//! A gateway is the real binary in a process of its own, so that signals, logs and counters are its
//! own too. Nothing here sleeps to synchronise: it waits for a line, an answer, or a state, and
//! gives up after [`PATIENCE`].

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fmt::Write as _,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    process::Stdio,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};
use warmkey::{
    sim::{Account, Alpn, Sim, SimConfig, TlsFiles},
    types::Dialect,
};

/// How long anything may take before a test gives up; generous, because machines are slow at times.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Awaits `work`, or fails the test.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Three organisations of three, three and two accounts, each account a workspace, no limits.
pub fn accounts() -> Vec<Account> {
    (1..=8).map(|n| Account::new(&format!("key-{n}"), org(n), &format!("ws-{n}"))).collect()
}

fn org(n: usize) -> &'static str {
    ["one", "two", "three"][(n - 1) / 3]
}

/// A provider that answers at once.
pub async fn sim() -> Sim {
    sim_with(|_| {}).await
}

/// A provider with other settings.
pub async fn sim_with(change: impl FnOnce(&mut SimConfig)) -> Sim {
    let mut config = SimConfig { accounts: accounts(), ..SimConfig::default() };
    change(&mut config);
    Sim::start(config).await.expect("a free port")
}

/// A configuration over a simulated provider, to be changed before the gateway starts.
pub struct Setup {
    server: String,
    provider: String,
    more: String,
    base_url: String,
    keys: Vec<String>,
    callers: String,
    env: BTreeMap<String, String>,
    dir: tempfile::TempDir,
}

/// A gateway that runs.
pub struct Gateway {
    child: Child,
    pub data: SocketAddr,
    pub admin: SocketAddr,
    pub config: PathBuf,
    log: Arc<Mutex<String>>,
    _dir: Option<tempfile::TempDir>,
}

impl Setup {
    /// Two providers (`anthropic`, `openai`) at `sim`, an endpoint of each for every account
    /// (`a1`, `o1`, ...), models `claude-sonnet-4-6` and `gpt-5.6`.
    pub fn over(sim: &Sim) -> Self {
        let keys = sim.config().accounts.iter().map(|account| account.key.clone()).collect();
        Self::at(&sim.base_url(), keys)
    }

    /// The same at any address.
    pub fn at(base_url: &str, keys: Vec<String>) -> Self {
        Self {
            server: String::new(),
            provider: String::new(),
            more: String::new(),
            base_url: base_url.to_owned(),
            keys,
            callers: String::new(),
            env: BTreeMap::new(),
            dir: tempfile::tempdir().expect("a folder"),
        }
    }

    /// Adds lines under `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        writeln!(self.server, "{lines}").expect("memory");
        self
    }

    /// Adds lines to both providers.
    pub fn provider(mut self, lines: &str) -> Self {
        writeln!(self.provider, "{lines}").expect("memory");
        self
    }

    /// Adds whole sections.
    pub fn more(mut self, sections: &str) -> Self {
        writeln!(self.more, "{sections}").expect("memory");
        self
    }

    /// Adds a caller with a token.
    pub fn caller(mut self, name: &str, tenant: &str, token: &str) -> Self {
        let variable = format!("TOKEN_{}", name.replace('-', "_").to_uppercase());
        writeln!(
            self.callers,
            "[[caller]]\nname = \"{name}\"\ntenant = \"{tenant}\"\ntoken = {{ env = \"{variable}\" }}"
        )
        .expect("memory");
        self.env.insert(variable, token.to_owned());
        self
    }

    /// Adds a caller with a token and further lines of its own.
    pub fn caller_with(mut self, name: &str, tenant: &str, token: &str, lines: &str) -> Self {
        self = self.caller(name, tenant, token);
        writeln!(self.callers, "{lines}").expect("memory");
        self
    }

    /// Sets a variable that the configuration names.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Uses the first `n` accounts only.
    pub fn accounts(mut self, n: usize) -> Self {
        self.keys.truncate(n);
        self
    }

    /// A folder that lives as long as the gateway.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration's text.
    pub fn text(&self) -> String {
        let mut text =
            format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n{}\n", self.server);
        for (name, letter, model) in [("anthropic", 'a', "claude-sonnet-4-6"), ("openai", 'o', "gpt-5.6")] {
            write!(
                text,
                "[[provider]]\nname = \"{name}\"\ndialect = \"{name}\"\nbase_url = \"{}\"\n{}\n",
                self.base_url, self.provider
            )
            .expect("memory");
            for n in 1..=self.keys.len() {
                write!(
                    text,
                    "[[endpoint]]\nname = \"{letter}{n}\"\nprovider = \"{name}\"\nkey = {{ env = \"KEY_{n}\" }}\n\n"
                )
                .expect("memory");
            }
            write!(text, "[[model]]\nname = \"{model}\"\nprovider = \"{name}\"\n\n").expect("memory");
        }
        text + &self.callers + &self.more
    }

    /// The variables that the configuration names.
    pub fn env(&self) -> BTreeMap<String, String> {
        let mut env = self.env.clone();
        for (n, key) in self.keys.iter().enumerate() {
            env.insert(format!("KEY_{}", n + 1), key.clone());
        }
        env
    }

    /// Starts the gateway and waits until it serves.
    pub async fn start(self) -> Gateway {
        let (text, env) = (self.text(), self.env());
        let mut gateway = Gateway::run(&text, self.dir.path(), &env).await;
        gateway._dir = Some(self.dir);
        gateway
    }
}

impl Gateway {
    /// Runs the binary on `text`, written into `dir`.
    pub async fn run(text: &str, dir: &Path, env: &BTreeMap<String, String>) -> Self {
        let config = dir.join("warmkey.toml");
        std::fs::File::create(&config).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file");
        let mut child = Command::new(env!("CARGO_BIN_EXE_warmkey"))
            .args(["serve", "--config"])
            .arg(&config)
            .envs(env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the binary");
        let log = Arc::new(Mutex::new(String::new()));
        let mut errors = BufReader::new(child.stderr.take().expect("piped")).lines();
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                let mut kept = kept.lock();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (mut data, mut admin) = (None, None);
        within("the gateway starts", async {
            while data.is_none() || admin.is_none() {
                let Ok(Some(line)) = lines.next_line().await else {
                    let _ = child.wait().await;
                    panic!("the gateway did not start:\n{}\n{text}", log.lock());
                };
                let address = || line.rsplit("//").next().and_then(|text| text.parse().ok());
                match line.split_whitespace().next() {
                    Some("gateway") => data = address(),
                    Some("admin") => admin = address(),
                    _ => {}
                }
            }
        })
        .await;
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, data: data.expect("set"), admin: admin.expect("set"), config, log, _dir: None }
    }

    /// Where agents connect.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.data)
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// Waits until it has logged this; returns the log.
    pub async fn logged(&self, text: &str) -> String {
        let looking = async {
            while !self.log().contains(text) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, looking).await.is_err() {
            panic!("`{text}` is not in the log:\n{}", self.log());
        }
        self.log()
    }

    /// Asserts that nothing panicked so far.
    #[track_caller]
    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked"), "{log}");
    }

    /// Its ledger, to be read while it runs.
    pub fn ledger(&self) -> rusqlite::Connection {
        let file = self.config.with_file_name("warmkey-ledger.db");
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        rusqlite::Connection::open_with_flags(&file, flags)
            .unwrap_or_else(|fault| panic!("{fault}: {}\n{}", file.display(), self.log()))
    }

    /// One number out of the ledger; nothing is 0.
    pub fn ledger_number(&self, sql: &str) -> u64 {
        let number = self.ledger().query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
        let number = number.unwrap_or_else(|fault| panic!("{fault}: {sql}"));
        u64::try_from(number.unwrap_or(0)).expect("nothing is negative")
    }

    /// Waits until the ledger holds so many receipts, and asserts that it is not more.
    pub async fn receipts(&self, count: u64) {
        self.at_rest().await;
        let written = || self.ledger_number("SELECT count(*) FROM receipts");
        let waiting = async {
            while written() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        assert!(in_time && written() == count, "{} and not {count} receipts\n{}", written(), self.log());
    }

    /// Waits until so many requests were booked with this outcome, and asserts that it is not more.
    pub async fn booked(&self, outcome: &str, count: u32) {
        let label = format!("outcome=\"{outcome}\"");
        let waiting = async {
            while self.metric("requests_total", &[&label]).await < f64::from(count) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        let booked = self.metric("requests_total", &[&label]).await;
        assert!(
            in_time && (booked - f64::from(count)).abs() < 0.5,
            "{booked} and not {count} requests ended `{outcome}`\n{}\n{}",
            self.metrics().await,
            self.log()
        );
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        let sent = std::process::Command::new("kill").args([&format!("-{name}"), &id.to_string()]).status();
        assert!(sent.expect("kill").success());
    }

    /// Waits until it has ended by itself; its exit code.
    pub async fn ended(&mut self) -> Option<i32> {
        within("the gateway ends", self.child.wait()).await.expect("a status").code()
    }

    /// `/status`.
    pub async fn status(&self) -> Value {
        let url = format!("http://{}/status?sessions=1000", self.admin);
        let ask = Ask::new(url, Value::Null).method(Method::GET).raw("");
        match ask.try_open().await {
            Ok(stream) => stream.rest().await.json(),
            Err(fault) => panic!("{fault:?}\n{}", self.log()),
        }
    }

    /// `/metrics`, whole.
    pub async fn metrics(&self) -> String {
        String::from_utf8(get(&format!("http://{}/metrics", self.admin)).await.body.to_vec()).expect("text")
    }

    /// The sum of a metric's series whose labels contain all of `labels` (as `name="value"`).
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let is_it = |line: &&str| {
            line.strip_prefix("warmkey_")
                .and_then(|line| line.strip_prefix(name))
                .is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let metrics = self.metrics().await;
        metrics.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }

    /// The same, as the count that it is.
    pub async fn count(&self, name: &str, labels: &[&str]) -> u64 {
        let value = self.metric(name, labels).await;
        let shown = format!("{:.0}", value.abs());
        shown.parse().unwrap_or_else(|_| panic!("{name} is {value}"))
    }

    /// What all requests cost, in nano-dollars; the metric is in dollars.
    pub async fn nano_dollars(&self, labels: &[&str]) -> u64 {
        let dollars = self.metric("cost_usd_total", labels).await.abs();
        format!("{:.0}", dollars * 1e9).parse().expect("an amount")
    }

    /// Waits until the status is as wanted, and returns it.
    pub async fn until(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let waiting = async {
            loop {
                last = self.status().await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, waiting).await.is_err() {
            panic!("{what}: not within {PATIENCE:?}\n{last:#}\n{}", self.log());
        }
        last
    }

    /// Waits until nothing is under way, and asserts that everything was given back.
    pub async fn at_rest(&self) -> Value {
        let status =
            self.until("the gateway comes to rest", |status| status["requests_in_flight"] == 0).await;
        for gauge in ["live_output_tokens", "buffered_bytes", "waiting"] {
            assert_eq!(status[gauge], 0, "{gauge} was not given back\n{status:#}");
        }
        for endpoint in status["endpoints"].as_array().expect("a list") {
            assert_eq!(endpoint["in_flight"], 0, "a slot was not given back: {endpoint}");
        }
        for session in status["sessions"].as_array().expect("a list") {
            assert_eq!(session["in_flight"], 0, "a turn was not given back: {session}");
        }
        status
    }

    /// Asserts that every endpoint is ready.
    pub async fn assert_all_ready(&self) {
        let status = self.at_rest().await;
        for endpoint in status["endpoints"].as_array().expect("a list") {
            assert_eq!(endpoint["state"], "ready", "{endpoint}\n{}", self.log());
        }
    }

    /// A request in a dialect.
    pub fn ask(&self, dialect: Dialect) -> Ask {
        Ask::new(self.url(path(dialect)), body(dialect, "hello"))
    }
}

/// The path of a dialect's main call.
pub fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "/v1/messages",
        Dialect::OpenAiChat => "/v1/chat/completions",
        Dialect::OpenAiResponses => "/v1/responses",
    }
}

/// The model that is asked for in a dialect.
pub fn model(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic => "claude-sonnet-4-6",
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "gpt-5.6",
    }
}

/// A first turn in a dialect.
pub fn body(dialect: Dialect, text: &str) -> Value {
    let model = model(dialect);
    match dialect {
        Dialect::Anthropic => {
            json!({"model": model, "max_tokens": 1000, "messages": [{"role": "user", "content": text}]})
        }
        Dialect::OpenAiChat => json!({"model": model, "messages": [{"role": "user", "content": text}]}),
        Dialect::OpenAiResponses => json!({"model": model, "input": text}),
    }
}

/// A request to be sent.
#[derive(Clone)]
pub struct Ask {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    pub body: Bytes,
    http2: bool,
    /// Without a length, in pieces of this many bytes.
    pieces: Option<usize>,
    /// The body never ends.
    stalls: bool,
}

type Outgoing = BoxBody<Bytes, Infallible>;

/// A body that does not say how long it is.
struct Pieces {
    rest: Bytes,
    bytes: usize,
    stalls: bool,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let n = self.bytes.min(self.rest.len());
        if n == 0 && self.stalls {
            return Poll::Pending;
        }
        Poll::Ready((n > 0).then(|| Ok(Frame::data(self.rest.split_to(n)))))
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body broke off.
    pub broken: bool,
}

/// An answer being read.
pub struct Stream {
    pub status: StatusCode,
    pub headers: HeaderMap,
    body: Incoming,
    read: Vec<u8>,
}

impl Ask {
    pub fn new(url: String, body: Value) -> Self {
        let body = serde_json::to_vec(&body).expect("JSON").into();
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        Self { method: Method::POST, url, headers, body, http2: false, pieces: None, stalls: false }
    }

    /// Speaks HTTP/2 from the first byte (prior knowledge).
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Sends the body without a length (HTTP/1.1: chunked), in pieces of this many bytes.
    pub fn pieces(mut self, bytes: usize) -> Self {
        self.pieces = Some(bytes);
        self
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request, sent elsewhere.
    pub fn at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// As a session, by the generic header.
    pub fn session(self, id: &str) -> Self {
        self.header("x-session-id", &format!("session-{id}"))
    }

    pub fn raw(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body in pieces, and never its end.
    pub fn stalling(mut self) -> Self {
        self.stalls = true;
        self.pieces(16)
    }

    /// Changes the JSON body.
    pub fn with(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut value = serde_json::from_slice(&self.body).expect("JSON");
        change(&mut value);
        self.body = serde_json::to_vec(&value).expect("JSON").into();
        self
    }

    /// Asks for a stream.
    pub fn stream(self, stream: bool) -> Self {
        self.with(|body| body["stream"] = json!(stream))
    }

    fn request(&self) -> Request<Outgoing> {
        let mut request = Request::builder().method(self.method.clone()).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = match self.pieces {
            None => Full::new(self.body.clone()).boxed(),
            Some(bytes) => Pieces { rest: self.body.clone(), bytes, stalls: self.stalls }.boxed(),
        };
        request.body(body).expect("a request")
    }

    /// Sends it on a connection of its own, which the stream keeps.
    pub async fn open(&self) -> Stream {
        self.try_open().await.expect("an answer")
    }

    pub async fn try_open(&self) -> Result<Stream, hyper_util::client::legacy::Error> {
        let client: Client<_, Outgoing> =
            Client::builder(TokioExecutor::new()).http2_only(self.http2).build_http();
        let answer = within("an answer begins", client.request(self.request())).await?;
        let (head, body) = answer.into_parts();
        Ok(Stream { status: head.status, headers: head.headers, body, read: Vec::new() })
    }

    /// Sends it and reads the whole answer.
    pub async fn send(&self) -> Reply {
        self.open().await.rest().await
    }
}

/// A plain GET.
pub async fn get(url: &str) -> Reply {
    let nothing = Bytes::new();
    let (url, headers) = (url.to_owned(), Vec::new());
    Ask { method: Method::GET, url, headers, body: nothing, http2: false, pieces: None, stalls: false }
        .send()
        .await
}

impl Stream {
    /// The next piece of the body, as it comes.
    pub async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            match within("a piece of the answer", self.body.frame()).await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.extend_from_slice(&data);
                        return Some(Ok(data));
                    }
                }
                Err(fault) => return Some(Err(fault)),
            }
        }
    }

    /// What was read so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }

    /// Reads on until `enough` says so of what was read in all.
    pub async fn read_until(&mut self, enough: impl Fn(&str) -> bool) {
        while !enough(&String::from_utf8_lossy(&self.read)) {
            match self.next().await {
                Some(Ok(_)) => {}
                other => panic!("the answer ended early: {other:?}\n{}", String::from_utf8_lossy(&self.read)),
            }
        }
    }

    /// Reads the rest.
    pub async fn rest(mut self) -> Reply {
        let mut broken = false;
        loop {
            match self.next().await {
                Some(Ok(_)) => {}
                Some(Err(_)) => {
                    broken = true;
                    break;
                }
                None => break,
            }
        }
        Reply { status: self.status, headers: self.headers, body: self.read.into(), broken }
    }
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|fault| panic!("{fault}: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    pub fn endpoint(&self) -> &str {
        self.header("x-warmkey-endpoint")
    }

    pub fn affinity(&self) -> &str {
        self.header("x-warmkey-affinity")
    }

    /// Asserts a 200 that is complete.
    #[track_caller]
    pub fn assert_ok(self) -> Self {
        assert_eq!(self.status, 200, "{}", self.text());
        assert!(!self.broken, "the answer broke off: {}", self.text());
        self
    }

    /// Asserts an error in the envelope of a dialect.
    #[track_caller]
    pub fn assert_error(self, dialect: Dialect, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let error = self.json();
        assert!(error["error"]["message"].as_str().is_some_and(|text| !text.is_empty()), "{error}");
        if dialect == Dialect::Anthropic {
            assert_eq!(error["type"], "error", "{error}");
        }
        assert!(error["error"]["type"].is_string(), "{error}");
        self
    }

    /// The `data:` payloads of an event stream, parsed (`[DONE]` as a string).
    pub fn events(&self) -> Vec<Value> {
        let text = self.text();
        assert!(text.ends_with("\n\n"), "the stream ends inside an event: {text:?}");
        text.split("\n\n")
            .filter(|event| !event.trim().is_empty())
            .flat_map(|event| event.lines())
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| serde_json::from_str(data).unwrap_or_else(|_| json!(data.trim())))
            .collect()
    }
}

/// A throw-away certificate authority.
pub struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().expect("a key");
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).expect("a certificate") }
    }

    /// Its own certificate, to be trusted.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A certificate for a host, with its key.
    pub fn certify(&self, host: &str) -> TlsFiles {
        let params = rcgen::CertificateParams::new([host.to_owned()]).expect("a name");
        let key = rcgen::KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.issuer).expect("a certificate");
        TlsFiles { cert_pem: cert.pem(), key_pem: key.serialize_pem() }
    }
}

/// What is spoken with the provider.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    Plain,
    /// HTTP/2 without TLS.
    H2c,
    TlsH1,
    TlsH2,
}

impl Wire {
    pub const fn is_h2(self) -> bool {
        matches!(self, Self::H2c | Self::TlsH2)
    }

    /// A provider that speaks so, and a gateway's settings for it; the host is called `provider.test`.
    pub async fn provider(self, change: impl FnOnce(&mut SimConfig)) -> (Sim, Setup) {
        let authority = Authority::new();
        let tls = matches!(self, Self::TlsH1 | Self::TlsH2);
        let sim = sim_with(|config| {
            config.alpn = if self.is_h2() { Alpn::H2 } else { Alpn::H1 };
            config.tls = tls.then(|| authority.certify("provider.test"));
            change(config);
        })
        .await;
        let setup = sim_setup(&sim, self, &authority.pem());
        (sim, setup)
    }
}

fn sim_setup(sim: &Sim, wire: Wire, ca: &str) -> Setup {
    let keys = sim.config().accounts.iter().map(|account| account.key.clone()).collect();
    let http = if wire.is_h2() { "2" } else { "1" };
    match wire {
        Wire::Plain | Wire::H2c => Setup::at(&sim.base_url(), keys).provider(&format!("http = \"{http}\"")),
        Wire::TlsH1 | Wire::TlsH2 => {
            let setup = Setup::at(&format!("https://provider.test:{}", sim.addr().port()), keys);
            std::fs::write(setup.dir().join("ca.pem"), ca).expect("a file");
            setup.provider(&format!("http = \"{http}\"\naddress = \"{}\"\nca_file = \"ca.pem\"", sim.addr()))
        }
    }
}

impl Gateway {
    /// One endpoint in a status.
    pub fn endpoint_in(status: &Value, name: &str) -> Value {
        let mut endpoints = status["endpoints"].as_array().expect("a list").iter();
        endpoints.find(|endpoint| endpoint["name"] == name).expect("an endpoint of this name").clone()
    }

    /// The state of one endpoint.
    pub async fn state_of(&self, name: &str) -> String {
        let reply = get(&format!("http://{}/status?sessions=0", self.admin)).await;
        Self::endpoint_in(&reply.json(), name)["state"].as_str().expect("a word").to_owned()
    }

    /// Ends every cooling of an endpoint, as an operator does.
    pub async fn readmit(&self, name: &str) {
        let url = format!("http://{}/endpoints/{name}/readmit", self.admin);
        Ask::new(url, Value::Null).send().await.assert_ok();
    }
}

impl Reply {
    /// The last event of a stream says in-band that it broke off, the dialect's own way; none before
    /// it does.
    #[track_caller]
    pub fn assert_ends_in_error(&self, dialect: Dialect) -> Value {
        assert_eq!(self.status, 200, "{}", self.text());
        let events = self.events();
        let errors: Vec<&Value> = events.iter().filter(|event| is_error(event)).collect();
        assert_eq!(errors.len(), 1, "{dialect}: {}", self.text());
        let last = events.last().expect("an event");
        assert!(is_error(last), "{dialect}: {}", self.text());
        assert!(!self.text().contains("[DONE]"), "{dialect}: {}", self.text());
        last.clone()
    }

    /// A stream that is complete, without an error in it.
    #[track_caller]
    pub fn assert_complete(&self, dialect: Dialect) {
        let events = self.events();
        assert!(!events.iter().any(is_error), "{}", self.text());
        let last = events.last().expect("an event");
        match dialect {
            Dialect::Anthropic => assert_eq!(last["type"], "message_stop"),
            Dialect::OpenAiChat => assert_eq!(last, "[DONE]"),
            Dialect::OpenAiResponses => assert_eq!(last["type"], "response.completed"),
        }
    }
}

impl Ask {
    /// The same to another URL.
    pub fn to(mut self, url: String) -> Self {
        self.url = url;
        self
    }
}

/// An error event of any dialect.
pub fn is_error(event: &Value) -> bool {
    event["type"] == "error" || event["type"] == "response.failed" || event["error"].is_object()
}
