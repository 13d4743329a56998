//! nginx as a gateway that knows nothing of conversations: round-robin over a provider's accounts.

use std::{
    fmt::Write as _,
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    time::Duration,
};

use warmkey::sim::Sim;

use crate::harness::{PATIENCE, within};

const BINARY: &str = "/usr/sbin/nginx";

/// A running nginx, killed when dropped.
pub struct Nginx {
    child: Child,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// One front, and behind it a server for each account that puts that account's key in; `None` where
    /// nginx is not installed.
    pub async fn over(sim: &Sim) -> Option<Self> {
        if !std::path::Path::new(BINARY).exists() {
            println!("not checked: round-robin, for want of nginx");
            return None;
        }
        let dir = tempfile::tempdir().expect("a folder");
        let folder = dir.path().display();
        let addresses = free_addresses(sim.config().accounts.len() + 1);
        let (front, backs) = addresses.split_first().expect("one");
        let mut text = format!(
            "daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;\n\
             events {{}}\nhttp {{ access_log off; client_max_body_size 64m;\n"
        );
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            writeln!(text, "{kind}_temp_path {folder}/{kind};").expect("memory");
        }
        text.push_str("upstream accounts {\n");
        for back in backs {
            writeln!(text, "server {back};").expect("memory");
        }
        text.push_str("}\n");
        let passed = "proxy_http_version 1.1; proxy_buffering off;";
        writeln!(text, "server {{ listen {front}; location / {{ {passed} proxy_pass http://accounts; }} }}")
            .expect("memory");
        for (back, account) in backs.iter().zip(&sim.config().accounts) {
            let key =
                format!("proxy_set_header x-api-key {}; proxy_set_header authorization \"\";", account.key);
            let to = sim.addr();
            writeln!(
                text,
                "server {{ listen {back}; location / {{ {passed} {key} proxy_pass http://{to}; }} }}"
            )
            .expect("memory");
        }
        text.push_str("}\n");
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, &text).expect("a file");
        let child = Command::new(BINARY)
            .arg("-p")
            .arg(dir.path())
            .arg("-e")
            .arg(dir.path().join("error.log"))
            .arg("-c")
            .arg(&file)
            .stdin(Stdio::null())
            .spawn()
            .expect("nginx");
        let mut nginx = Self { child, address: *front, _dir: dir };
        nginx.listens().await;
        Some(nginx)
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn listens(&mut self) {
        let (address, child) = (self.address, &mut self.child);
        within("nginx listens", async {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                let ended = child.try_wait().expect("a child");
                assert!(ended.is_none(), "nginx ended: {ended:?} ({PATIENCE:?})");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_addresses(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address")).collect()
}
