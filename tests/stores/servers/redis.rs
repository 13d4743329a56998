//! A Redis (or Valkey) server.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Stdio},
    sync::Arc,
};

use tempfile::TempDir;
use warmkey::{
    store::{
        counters::{Counters, redis::RedisCounters},
        redis::{Link, RedisParams},
    },
    types::Secret,
};

use super::{ATTEMPTS, free_port, program, signal, tied};

/// See the module's description.
pub struct Redis {
    dir: TempDir,
    port: u16,
    child: Child,
    more: Vec<String>,
}

impl Redis {
    /// Starts one that keeps everything in memory only.
    pub fn start() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts one that writes every change to disk before it answers.
    pub fn start_durable() -> Self {
        Self::start_with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts one with these settings.
    pub fn start_with(more: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let more: Vec<_> = more.iter().map(|&one| one.to_owned()).collect();
        for _ in 0..ATTEMPTS {
            let port = free_port();
            // Somebody else may have taken the port meanwhile: the server says so and ends.
            if let Some(child) = launch(&dir, port, &more) {
                return Self { dir, port, child, more };
            }
        }
        panic!("Redis does not start on any port");
    }

    /// Starts one that speaks TLS alone, knows one user alone, and lets it touch our keys alone. Its
    /// authority is in `ca.pem` of [`Self::dir`].
    pub fn start_locked() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]);
        let made = made.expect("a certificate");
        std::fs::write(dir.path().join("ca.pem"), made.cert.pem()).expect("written");
        std::fs::write(dir.path().join("key.pem"), made.signing_key.serialize_pem()).expect("written");
        let settings = "tls-cert-file ca.pem\ntls-key-file key.pem\ntls-ca-cert-file ca.pem\n\
                        tls-auth-clients no\nuser default off\n\
                        user gateway on >let-me-in ~{warmkey}:* +@all -@dangerous\n";
        std::fs::write(dir.path().join("locked.conf"), settings).expect("written");
        let more = vec!["--include".to_owned(), "locked.conf".to_owned()];
        for _ in 0..ATTEMPTS {
            let port = free_port();
            if let Some(child) = launch_on(&dir, &["--port", "0", "--tls-port", &port.to_string()], &more) {
                return Self { dir, port, child, more };
            }
        }
        panic!("Redis does not start on any port");
    }

    /// Where it runs.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Settings of a gateway that shares it.
    pub fn params(&self) -> RedisParams {
        RedisParams {
            url: Secret::new(self.url()),
            ca_file: None,
            prefix: "warmkey".to_owned(),
            ledger: None,
        }
    }

    /// A gateway's counters, with their first beat and a ledger that knows of nothing.
    pub async fn counters(&self) -> Arc<RedisCounters> {
        self.counters_with(&self.params()).await
    }

    pub async fn counters_with(&self, params: &RedisParams) -> Arc<RedisCounters> {
        let link = Arc::new(Link::new(params).expect("an address"));
        let counters = Arc::new(RedisCounters::new(link, params));
        assert!(counters.beat().await.expect("a server").forgot, "they have only just met");
        counters.raise(&[]).await.expect("a server");
        counters
    }

    /// Speaks to the server beside the gateways.
    pub fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("an address");
        let mut connection = client.get_connection().expect("a connection");
        let (first, rest) = words.split_first().expect("a command");
        let mut command = redis::cmd(first);
        rest.iter().for_each(|word| {
            command.arg(*word);
        });
        command.query(&mut connection).expect("an answer")
    }

    pub fn pause(&self) {
        signal(self.child.id(), "STOP");
    }

    pub fn resume(&self) {
        signal(self.child.id(), "CONT");
    }

    /// It is gone, as by a power cut.
    pub fn kill(&mut self) {
        self.child.kill().expect("it ran");
        self.child.wait().expect("it ends");
    }

    /// Starts again where it was.
    pub fn restart(&mut self) {
        self.child = launch(&self.dir, self.port, &self.more).expect("its port is still free");
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(dir: &TempDir, port: u16, more: &[String]) -> Option<Child> {
    launch_on(dir, &["--port", &port.to_string()], more)
}

fn launch_on(dir: &TempDir, port: &[&str], more: &[String]) -> Option<Child> {
    let server = program(&["redis-server", "valkey-server"], "redis-server");
    let mut child = tied(&server)
        .args(["--bind", "127.0.0.1", "--daemonize", "no", "--loglevel", "notice"])
        .args(port)
        .arg("--dir")
        .arg(dir.path())
        .current_dir(dir.path())
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
    if !ready {
        let _ = child.wait();
        return None;
    }
    // Whatever it says from now on: a full pipe would stop it.
    std::thread::spawn(move || lines.for_each(drop));
    Some(child)
}
