//! A Postgres server. It refuses to run as root, so root's tests run it as `postgres` or `nobody`.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
};

use tempfile::TempDir;
use warmkey::{
    store::postgres::{Database, PostgresParams},
    types::Secret,
};

use super::{ATTEMPTS, free_port, signal};

/// See the module's description.
pub struct Postgres {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Postgres {
    /// Starts a cluster of its own; nothing of it outlives the test, so nothing is synced.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        if let Some((user, group)) = stranger() {
            std::os::unix::fs::chown(dir.path(), Some(user), Some(group)).expect("root may give it away");
        }
        let made = as_stranger(&binary("initdb"))
            .args(["--no-sync", "--auth=trust", "--username=warmkey", "--encoding=UTF8", "--locale=C"])
            .arg("--pgdata")
            .arg(dir.path().join("data"))
            .current_dir(dir.path())
            .output()
            .expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        for _ in 0..ATTEMPTS {
            let port = free_port();
            if let Some(child) = launch(dir.path(), port) {
                return Self { dir, port, child };
            }
        }
        panic!("Postgres does not start on any port");
    }

    pub fn url(&self) -> String {
        format!("postgres://warmkey@127.0.0.1:{}/postgres", self.port)
    }

    /// A gateway's connection.
    pub fn database(&self) -> Arc<Database> {
        Arc::new(Database::new(&PostgresParams { url: Secret::new(self.url()) }).expect("an address"))
    }

    /// Speaks to the server beside the gateways.
    pub async fn client(&self) -> tokio_postgres::Client {
        let (client, connection) =
            tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await.expect("a connection");
        tokio::spawn(async move { drop(connection.await) });
        client
    }

    /// The first column of the first row.
    pub async fn number(&self, sql: &str) -> i64 {
        self.client().await.query_one(sql, &[]).await.expect("an answer").get(0)
    }

    /// It is gone, as by a power cut (of the process: what it wrote is there).
    pub fn kill(&mut self) {
        // QUIT: at once, children too, without a checkpoint. Killing the parent alone would leave those.
        signal(self.child.id(), "QUIT");
        self.child.wait().expect("it ends");
    }

    /// Starts again where it was.
    pub fn restart(&mut self) {
        self.child = launch(self.dir.path(), self.port).expect("its port is still free");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            signal(self.child.id(), "QUIT");
            let _ = self.child.wait();
        }
    }
}

fn launch(dir: &Path, port: u16) -> Option<Child> {
    // Somebody who can read `postmaster.pid` may stop it; what is left of a dead one is in the way.
    let _ = fs::remove_file(dir.join("data/postmaster.pid"));
    let mut child = as_stranger(&binary("postgres"))
        .arg("-D")
        .arg(dir.join("data"))
        .arg("-k")
        .arg(dir)
        .args(["-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "synchronous_commit=on", "-c", "max_connections=30"])
        .args(["-c", "shared_buffers=16MB", "-c", "log_min_messages=log", "-c", "fsync=off"])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    let ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("ready to accept connections"));
    if !ready {
        let _ = child.wait();
        return None;
    }
    std::thread::spawn(move || lines.for_each(drop));
    Some(child)
}

/// The newest of what Debian keeps by version, or what is in the path.
fn binary(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|dir| dir.path().join("bin").join(name)).filter(|file| file.is_file()).collect();
    found.sort();
    found.pop().unwrap_or_else(|| super::program(&[name], "postgresql").into())
}

/// Whom root lets run it: user and group.
fn stranger() -> Option<(u32, u32)> {
    let id = |words: &[&str]| {
        let out = Command::new("id").args(words).output().ok().filter(|out| out.status.success())?;
        String::from_utf8_lossy(&out.stdout).trim().parse::<u32>().ok()
    };
    if id(&["-u"]) != Some(0) {
        return None;
    }
    ["postgres", "nobody"].iter().find_map(|name| Some((id(&["-u", name])?, id(&["-g", name])?)))
}

/// Dies with us, and is not root.
fn as_stranger(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if let Some((user, group)) = stranger() {
        command.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups"]);
    }
    // QUIT, so that its children go as well.
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}
