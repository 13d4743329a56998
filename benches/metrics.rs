//! `/metrics` of a gateway with a thousand endpoints, each used with three models, over its own socket.
//!
//! The gateway is the real binary with the built-in provider. Before it is measured, so many turns of
//! sessions of their own go through it that most endpoints' limits are known; the output says how many lines
//! a scrape then has.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a bench stops where it fails, and tells what it measures"
)]

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use criterion::{Criterion, criterion_group, criterion_main};

const ENDPOINTS: usize = 1_000;
const TURNS: usize = 4_000;
const MODELS: [&str; 3] = ["claude-sonnet-4-6", "claude-haiku-4-5", "claude-opus-4-8"];

fn config(sim: u16) -> String {
    let mut text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nlog = {{ level = \"error\" }}\n\
         [ledger]\nenabled = false\n\
         [sim]\nlisten = \"127.0.0.1:{sim}\"\ntime_to_first_token = \"0s\"\ntokens_per_second = 0\n\
         [[provider]]\nname = \"anthropic\"\ndialect = \"anthropic\"\nbase_url = \"sim\"\nvalidate_keys = false\n"
    );
    for n in 0..ENDPOINTS {
        let _ = write!(
            text,
            "[[endpoint]]\nname = \"account-{n}\"\nprovider = \"anthropic\"\nkey = \"sim-{n}\"\n\
             [[sim.account]]\nkey = \"sim-{n}\"\norganization = \"org-{n}\"\nworkspace = \"ws-{n}\"\n"
        );
    }
    for model in MODELS {
        let _ = write!(text, "[[model]]\nname = \"{model}\"\nprovider = \"anthropic\"\n");
    }
    text
}

/// Ends with the bench.
struct Gateway(Child);

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One request on a connection that lives on; the answer's body.
fn ask(tcp: &mut BufReader<TcpStream>, request: &str) -> Vec<u8> {
    tcp.get_mut().write_all(request.as_bytes()).expect("sent");
    let (mut length, mut line) = (0, String::new());
    loop {
        line.clear();
        tcp.read_line(&mut line).expect("a line");
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    tcp.read_exact(&mut body).expect("a body");
    body
}

fn connect(to: &str) -> BufReader<TcpStream> {
    BufReader::with_capacity(1 << 20, TcpStream::connect(to).expect("listening"))
}

fn scrape(bench: &mut Criterion) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|tcp| tcp.local_addr()).expect("a port");
    let dir = tempfile::tempdir().expect("a folder");
    let file = dir.path().join("warmkey.toml");
    std::fs::write(&file, config(free.port())).expect("written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_warmkey"));
    let child = command.args(["serve", "--config"]).arg(&file).stdout(Stdio::piped()).spawn();
    let mut gateway = Gateway(child.expect("the binary"));
    let mut lines = BufReader::new(gateway.0.stdout.take().expect("piped")).lines();
    let mut address = |word: &str| {
        let line = lines.find_map(|line| line.ok().filter(|line| line.starts_with(word))).expect("it starts");
        line.rsplit("//").next().expect("an address").trim().to_owned()
    };
    let (data, admin) = (address("gateway"), address("admin"));
    for n in 0..TURNS {
        let model = MODELS[n % MODELS.len()];
        let body = format!(
            "{{\"model\":\"{model}\",\"max_tokens\":9,\"messages\":[{{\"role\":\"user\",\"content\":\"turn {n}\"}}]}}"
        );
        let length = body.len();
        let mut tcp = connect(&data);
        tcp.get_mut().write_all(
            format!(
                "POST /v1/messages HTTP/1.1\r\nhost: bench\r\nx-session-id: session-{n}\r\n\
                 connection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        )
        .expect("sent");
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).expect("an answer");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
    let mut tcp = connect(&admin);
    let forms = [("classic", "text/plain"), ("openmetrics", "application/openmetrics-text;version=1.0.0")];
    for (name, accept) in forms {
        let request = format!("GET /metrics HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\n\r\n");
        let lines = ask(&mut tcp, &request).split(|byte| *byte == b'\n').count();
        println!("metrics/{name}: {ENDPOINTS} endpoints, {lines} lines");
        bench.bench_function(&format!("metrics/{name}"), |bench| bench.iter(|| ask(&mut tcp, &request)));
    }
}

criterion_group!(metrics, scrape);
criterion_main!(metrics);
