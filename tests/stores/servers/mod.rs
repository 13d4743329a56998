//! Servers of a test's own. Each is killed when its guard goes, also in a panic, and by the kernel
//! when the test's process is killed.

mod postgres;
mod redis;

use std::{net::TcpListener, path::Path, process::Command};

pub use postgres::Postgres;
pub use redis::Redis;

/// Ports that are tried: each may be taken meanwhile, but not all of them.
const ATTEMPTS: usize = 10;

/// A port that was free a moment ago. Servers that cannot listen on port 0 take it; who comes too
/// late asks again.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

/// The first of these that is there.
fn program(named: &[&str], package: &str) -> String {
    let path = std::env::var("PATH").unwrap_or_default();
    let dirs = path.split(':').chain(["/usr/bin", "/usr/sbin", "/usr/local/bin"]);
    dirs.flat_map(|dir| named.iter().map(move |name| format!("{dir}/{name}")))
        .find(|file| Path::new(file).is_file())
        .unwrap_or_else(|| {
            panic!(
                "these tests need {}: install Debian's package `{package}`, or run scripts/setup.sh test",
                named.join(" or ")
            )
        })
}

/// Dies with us.
fn tied(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

fn signal(pid: u32, name: &str) {
    let done = Command::new("kill").args([format!("-{name}"), pid.to_string()]).status();
    assert!(done.expect("kill runs").success(), "signal {name} to {pid}");
}
