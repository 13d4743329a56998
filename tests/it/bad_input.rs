//! Input that nobody should send: a clear answer in the caller's dialect, nothing at the provider,
//! and a gateway that is as sound afterwards as it was before.

use std::io::Write as _;

use bytes::Bytes;
use http::Method;
use serde_json::json;
use warmkey::{
    sim::{Fault, Sim},
    types::Dialect,
};

use crate::{
    harness::{Gateway, Reply, Setup, body, model, path},
    wire::{Wire, head, roomy, sha256},
};

/// What callers of these tests have in their hands, and must never be seen anywhere else.
const TOKEN: &str = "caller-token-7f3a9c";
/// Its holder may do everything, too.
const UPSTREAM: &str = "upstream-secret-";

/// A gateway under trial, and what it must have booked in the end.
struct Trial {
    sim: Sim,
    gateway: Gateway,
    denied: u32,
    ok: u32,
    refused: u32,
}

impl Trial {
    async fn begin() -> Self {
        Self::with(|setup| setup).await
    }

    async fn with(change: impl FnOnce(Setup) -> Setup) -> Self {
        let sim = roomy().await;
        let setup = Setup::over(&sim).server("max_body = \"1MiB\"\nupload_timeout = \"1s\"");
        let gateway = change(setup).start().await;
        Self { sim, gateway, denied: 0, ok: 0, refused: 0 }
    }

    fn posts(&self) -> usize {
        self.sim.seen().iter().filter(|request| request.method == Method::POST).count()
    }

    /// The gateway says no by itself.
    #[track_caller]
    fn no(&mut self, what: &str, dialect: Dialect, status: u16, reply: Reply) {
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        assert!(!reply.broken && reply.header("content-type").starts_with("application/json"), "{what}");
        let reply = reply.assert_error(dialect, status);
        let message = reply.json()["error"]["message"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(message.len() > 12 && message.len() < 500, "{what}: helpful, and no copy of it: {message}");
        assert!(!reply.header("x-warmkey-request-id").is_empty(), "{what}");
        assert!(!reply.header("x-warmkey-reason").is_empty(), "{what}");
        self.denied += 1;
        assert_eq!(reply.header("x-warmkey-endpoint"), "", "{what}: {}", reply.text());
    }

    fn yes(&mut self, reply: Reply) -> Reply {
        self.ok += 1;
        reply.assert_ok()
    }

    async fn raw(&self, bytes: impl AsRef<[u8]>) -> Reply {
        let mut wire = Wire::connect(self.gateway.data).await;
        wire.say(bytes).await;
        wire.reply().await
    }

    /// Nothing was harmed, and every request was counted once.
    async fn end(self) {
        self.gateway.assert_all_ready().await;
        self.gateway.assert_no_panic();
        self.gateway.booked("ok", self.ok).await;
        self.gateway.booked("denied", self.denied).await;
        self.gateway.booked("refused", self.refused).await;
        let all = self.gateway.metric("requests_total", &[]).await;
        let sent = f64::from(self.ok + self.denied + self.refused);
        assert!((all - sent).abs() < 0.5, "{all} booked, {sent} sent");
        let lines = self.gateway.log().matches("request_id=").count();
        assert_eq!(lines, usize::try_from(self.ok + self.denied + self.refused).expect("small"));
        // And it still serves everybody.
        for dialect in Dialect::ALL {
            self.gateway.ask(dialect).header("x-api-key", TOKEN).send().await.assert_ok();
        }
    }
}

/// A body in which something stands in for the prompt.
fn around(dialect: Dialect, prompt: &str) -> String {
    let name = if dialect == Dialect::OpenAiResponses { "input" } else { "messages" };
    format!("{{\"model\":\"{}\",\"max_tokens\":5,\"{name}\":{prompt}}}", model(dialect))
}

/// Bodies that are answered with 400, by what is wrong with them.
fn malformed(dialect: Dialect) -> Vec<(&'static str, Vec<u8>)> {
    let good = String::from_utf8(serde_json::to_vec(&body(dialect, "hello")).expect("JSON")).expect("text");
    let and = |more: &str| format!("{{{more},{}", &good[1..]);
    let name = if dialect == Dialect::OpenAiResponses { "input" } else { "messages" };
    let texts = [
        ("nothing", String::new()),
        ("whitespace", "  \n".to_owned()),
        ("no JSON", "hello".to_owned()),
        ("keys without quotes", "{model: \"x\"}".to_owned()),
        ("single quotes", "{'model': 'x'}".to_owned()),
        ("trailing garbage", format!("{good} x")),
        ("two bodies", format!("{good}{good}")),
        ("cut in the middle", good[..good.len() / 2].to_owned()),
        ("cut at the end", good[..good.len() - 1].to_owned()),
        ("an array", format!("[{good}]")),
        ("a string", "\"model\"".to_owned()),
        ("null", "null".to_owned()),
        ("a number", "12".to_owned()),
        ("a BOM", format!("\u{feff}{good}")),
        ("a missing comma", good.replacen(',', " ", 1)),
        ("a double comma", good.replacen(',', ",,", 1)),
        ("a trailing comma", format!("{},}}", &good[..good.len() - 1])),
        ("an unclosed string", format!("{}\"", &good[..good.len() - 1])),
        ("a bad bracket", around(dialect, "[}")),
        ("no model", "{\"max_tokens\":5,\"messages\":[]}".to_owned()),
        ("a model that is a number", good.replace(&format!("\"{}\"", model(dialect)), "5")),
        ("a model that is null", good.replace(&format!("\"{}\"", model(dialect)), "null")),
        ("a model that is a list", good.replace(&format!("\"{}\"", model(dialect)), "[\"x\"]")),
        ("an empty model", good.replace(model(dialect), "")),
        ("a very long model", good.replace(model(dialect), &"m".repeat(100_000))),
        ("a prompt that is a number", around(dialect, "7")),
        ("stream that is a text", and("\"stream\":\"yes\"")),
        ("stream that is a number", and("\"stream\":1")),
        ("nested too deep", around(dialect, &format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)))),
        (
            "nested too deep elsewhere",
            and(&format!("\"x\":{}{}", "{\"a\":".repeat(10_000), "}".repeat(10_000))),
        ),
        ("nested without an end", around(dialect, &"[".repeat(10_000))),
        ("two models", and("\"model\":\"x\"")),
        ("two models, one escaped", and("\"mod\\u0065l\":\"x\"")),
        ("two streams", and("\"stream\":true,\"stream\":false")),
        ("two prompts", and(&format!("\"{name}\":[]"))),
        (
            "two prompts, one escaped",
            and(&format!("\"\\u{:04x}{}\":[]", u32::from(name.as_bytes()[0]), &name[1..])),
        ),
    ];
    let mut all: Vec<_> = texts.into_iter().map(|(what, text)| (what, text.into_bytes())).collect();
    let bad: [(&str, &[u8]); 4] = [
        ("bad UTF-8", b"\xff\xfe"),
        ("half a character", b"\xe2\x82"),
        ("a surrogate in UTF-8", b"\xed\xa0\x80"),
        ("an overlong slash", b"\xc0\xaf"),
    ];
    for (what, bytes) in bad {
        let text =
            String::from_utf8(serde_json::to_vec(&body(dialect, "HERE")).expect("JSON")).expect("text");
        let (before, after) = text.split_once("HERE").expect("it is there");
        all.push((what, [before.as_bytes(), bytes, after.as_bytes()].concat()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn json_that_cannot_be_served_is_refused_in_the_callers_dialect() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        for (what, body) in malformed(dialect) {
            for http2 in [false, true] {
                let reply = trial.gateway.ask(dialect).raw(body.clone()).http2(http2).send().await;
                trial.no(&format!("{dialect}, {what}"), dialect, 400, reply);
            }
        }
        for unknown in ["gpt-unknown", "claude", "x y", "../../etc", "${jndi:ldap://x}", "модель"] {
            let ask = trial.gateway.ask(dialect).with(|body| body["model"] = json!(unknown));
            trial.no(unknown, dialect, 404, ask.send().await);
        }
        // What we do not read, the provider does, and its word is passed on.
        let body =
            String::from_utf8_lossy(&trial.gateway.ask(dialect).body).replacen('{', "{\"x\":\"\u{1}\",", 1);
        let reply = trial.gateway.ask(dialect).raw(body).send().await.assert_error(dialect, 400);
        assert!(reply.text().contains("control character"), "{}", reply.text());
        trial.refused += 1;
    }
    assert_eq!(trial.posts(), 3, "no provider was asked but for what we do not read");
    trial.end().await;
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

#[tokio::test(flavor = "multi_thread")]
async fn types_and_packings_are_checked_and_bounded() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        let ask = trial.gateway.ask(dialect);
        let good = ask.body.clone();
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "x", ""]
        {
            trial.no(kind, dialect, 415, ask.clone().header("content-type", kind).send().await);
        }
        for kind in ["application/json; charset=utf-8", "Application/JSON", "application/vnd.api+json"] {
            trial.yes(ask.clone().header("content-type", kind).send().await);
        }
        let untyped =
            format!("POST {} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", path(dialect), good.len());
        let mut wire = Wire::connect(trial.gateway.data).await;
        wire.say(untyped).await;
        wire.say(&good).await;
        let reply = wire.reply().await;
        trial.yes(reply);
        // Unpacked, and said to be plain, before it goes up.
        let zstd = zstd::encode_all(&good[..], 3).expect("memory");
        for (packing, packed) in [
            ("gzip", gzip(&good)),
            ("x-gzip", gzip(&good)),
            ("zstd", zstd.clone()),
            ("identity", good.to_vec()),
        ] {
            for http2 in [false, true] {
                let ask = ask.clone().header("content-encoding", packing).raw(packed.clone()).http2(http2);
                trial.yes(ask.send().await);
                let seen = trial.sim.seen().pop().expect("seen");
                assert_eq!((seen.body_len, seen.body_sha256), (good.len(), sha256(&good)), "{packing}");
                assert_eq!(seen.headers.get("content-encoding"), None);
            }
        }
        let posts = trial.posts();
        for packing in ["br", "deflate", "compress", "gzip, gzip", "x", "*"] {
            let ask = ask.clone().header("content-encoding", packing);
            trial.no(packing, dialect, 415, ask.send().await);
        }
        // Packed otherwise than it says, broken, cut.
        let broken = [
            ("gzip", good.to_vec()),
            ("zstd", good.to_vec()),
            ("gzip", zstd.clone()),
            ("gzip", gzip(&good)[..30].to_vec()),
            ("zstd", zstd[..zstd.len() - 5].to_vec()),
            ("gzip", vec![]),
            ("zstd", vec![]),
        ];
        for (packing, packed) in broken {
            let ask = ask.clone().header("content-encoding", packing).raw(packed);
            trial.no(&format!("broken {packing}"), dialect, 400, ask.send().await);
        }
        // Bombs: a kilobyte that wants to be many megabytes.
        let zeros = vec![b' '; 50 << 20];
        let bombs = [("gzip", gzip(&zeros)), ("zstd", zstd::encode_all(&zeros[..], 19).expect("memory"))];
        for (packing, packed) in bombs {
            assert!(packed.len() < 100_000);
            let ask = ask.clone().header("content-encoding", packing).raw(packed);
            trial.no(&format!("{packing} bomb"), dialect, 413, ask.send().await);
        }
        assert_eq!(trial.posts(), posts, "no provider was asked");
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_or_too_slow_are_refused() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        let large = Bytes::from(around(dialect, &format!("\"{}\"", "x".repeat(3 << 20))));
        // By its length: before a byte of it is sent, or asked for.
        let announced = head(path(dialect), large.len());
        let reply = trial.raw(&announced).await;
        trial.no("announced", dialect, 413, reply);
        let mut wire = Wire::connect(trial.gateway.data).await;
        wire.say(announced.replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")).await;
        let heard = wire.until_closed().await;
        assert!(heard.starts_with("HTTP/1.1 413 "), "the body is not asked for: {heard}");
        trial.denied += 1;
        let reply = trial.raw(head(path(dialect), usize::MAX / 2)).await;
        trial.no("absurd length", dialect, 413, reply);
        // By a client that sends all of it before it listens.
        for http2 in [false, true] {
            let ask = trial.gateway.ask(dialect).raw(large.clone()).http2(http2);
            trial.no("with a length", dialect, 413, ask.send().await);
            trial.no("without a length", dialect, 413, ask.pieces(10_000).send().await);
        }
        // The rest of the body never comes.
        let reply = trial.raw(head(path(dialect), 1_000) + "{\"model\"").await;
        trial.no("slow", dialect, 408, reply);
        for http2 in [false, true] {
            let ask = trial.gateway.ask(dialect).http2(http2).stalling();
            trial.no("without an end", dialect, 408, ask.send().await);
        }
    }
    assert_eq!(trial.posts(), 0, "no provider was asked");
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_framed_in_two_ways_is_refused() {
    let mut trial = Trial::begin().await;
    let at = trial.gateway.data;
    let post = |headers: &str, body: &str| {
        format!(
            "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
        )
    };
    let good = String::from_utf8(serde_json::to_vec(&body(Dialect::Anthropic, "hello")).expect("JSON"))
        .expect("text");
    let chunks = format!("{:x}\r\n{good}\r\n0\r\n\r\n", good.len());
    let both = [
        format!("content-length: {}\r\ntransfer-encoding: chunked\r\n", chunks.len()),
        format!("transfer-encoding: chunked\r\nContent-Length: {}\r\n", chunks.len()),
        format!("Content-Length : 5\r\ntransfer-encoding: chunked\r\ncontent-length: {}\r\n", chunks.len()),
        "transfer-encoding: chunked\r\ncontent-length: 0\r\n".to_owned(),
    ];
    let smuggled = "GET /v1/models HTTP/1.1\r\nhost: x\r\n\r\n";
    for headers in both {
        let mut wire = Wire::connect(at).await;
        wire.say(post(&headers, &chunks) + smuggled).await;
        let heard = wire.until_closed().await;
        assert!(heard.starts_with("HTTP/1.1 400 "), "{headers}: {heard}");
        assert_eq!(heard.matches("HTTP/1.1").count(), 1, "nothing behind it is answered: {heard}");
        // A space before the colon is no header at all, and nothing that we would book.
        if !headers.contains(" :") {
            assert!(heard.contains("\"type\":\"error\""), "{heard}");
            trial.denied += 1;
        }
    }
    // What is no HTTP has no dialect: the parser says 400, and the connection ends.
    let n = good.len();
    let unparsable = [
        post(&format!("content-length: {n}\r\ncontent-length: {}\r\n", n + 1), &good),
        post("content-length: -1\r\n", &good),
        post("content-length: 1e3\r\n", &good),
        post("content-length: +5\r\n", &good),
        post(&format!("content-length: {n}, {}\r\n", n + 1), &good),
        post("transfer-encoding: chunked, identity\r\n", &chunks),
        post("transfer-encoding: xchunked\r\n", &chunks),
        post(&format!("content length: {n}\r\n"), &good),
        "POST /v1/messages HTTP/1.1\r\n : x\r\n\r\n".to_owned(),
        "POST /v1/messages HTTP/9.9\r\nhost: x\r\n\r\n".to_owned(),
        "\u{16}\u{3}\u{1}\0\u{2}\u{1}\0\0\u{1}\u{fc}\u{3}\u{3}, whatever it is, it is TLS\r\n\r\n".to_owned(),
        "hello\r\n\r\n".to_owned(),
    ];
    for bytes in unparsable {
        let mut wire = Wire::connect(at).await;
        wire.say(bytes.clone() + smuggled).await;
        let heard = wire.until_closed().await;
        assert!(heard.is_empty() || heard.starts_with("HTTP/1.1 400 "), "{bytes}\n{heard}");
        assert!(heard.matches("HTTP/1.1").count() <= 1, "nothing behind it is answered: {heard}");
    }
    // Chunks that are none.
    let bad = [
        "zz\r\nhello\r\n0\r\n\r\n".to_owned(),
        "-5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5\r\nhello world\r\n0\r\n\r\n".to_owned(),
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n".to_owned(),
        ";;;\r\n\r\n".to_owned(),
        format!("{:x} {good}", good.len()),
    ];
    for body in bad {
        let reply = trial.raw(post("transfer-encoding: chunked\r\n", &body)).await;
        trial.no(&body, Dialect::Anthropic, 400, reply);
    }
    // Twice the same length is one length.
    let reply = trial.raw(post(&format!("content-length: {n}\r\ncontent-length: {n}\r\n"), &good)).await;
    trial.yes(reply);
    // Chunk extensions and trailers mean nothing here.
    let extended = format!("{:x};x=\"y\"\r\n{good}\r\n0;z\r\nx-trailer: 1\r\n\r\n", good.len());
    let reply = trial.raw(post("transfer-encoding: chunked\r\n", &extended)).await;
    trial.yes(reply);
    assert_eq!(trial.posts(), 2);
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_are_refused() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        let ask = trial.gateway.ask(dialect);
        let many = (0..150).fold(ask.clone(), |ask, n| ask.header(&format!("x-flood-{n}"), "1"));
        let large = ask.clone().header("x-flood", &"x".repeat(70_000));
        let beta = ask.clone().header("anthropic-beta", &"beta-2026,".repeat(7_000));
        for flood in [many, large, beta] {
            trial.no("flood", dialect, 431, flood.send().await);
        }
        let many = (0..150).fold(ask.clone(), |ask, n| ask.header(&format!("x-flood-{n}"), "1"));
        trial.no("flood, HTTP/2", dialect, 431, many.http2(true).send().await);
        // More than the parser takes at all: it has no dialect, but it has an answer.
        let flood = (0..2_000).fold(String::new(), |all, n| all + &format!("x-flood-{n}: 1\r\n"));
        let reply = trial.raw(format!("POST {} HTTP/1.1\r\nhost: x\r\n{flood}\r\n", path(dialect))).await;
        assert!(matches!(reply.status.as_u16(), 400 | 431), "{}", reply.status);
        let huge = ask.clone().header("x-flood", &"x".repeat(3 << 20)).http2(true).try_open().await;
        // Reset, or answered by us or by the parser.
        if let Ok(reply) = huge {
            assert_eq!(reply.status, 431);
            trial.denied += u32::from(reply.headers.contains_key("x-warmkey-request-id"));
        }
    }
    assert_eq!(trial.posts(), 0, "no provider was asked");
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_and_methods_are_checked() {
    let mut trial = Trial::begin().await;
    let methods = [Method::GET, Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS];
    for dialect in Dialect::ALL {
        for method in methods.clone() {
            let ask = trial.gateway.ask(dialect).method(method.clone());
            let reply = ask.send().await;
            assert_eq!(reply.header("allow"), "POST", "{method}");
            trial.no(method.as_str(), dialect, 405, reply);
        }
    }
    let (anthropic, openai) = (Dialect::Anthropic, Dialect::OpenAiChat);
    for (path, dialect, status) in [
        ("/v1/nothing", openai, 404),
        ("/v1/messages/nothing", openai, 404),
        ("/anthropic/v1/nothing", anthropic, 404),
        ("/openai/v1/nothing", openai, 404),
        ("/openai/v1/messages", anthropic, 404),
        ("/anthropic/v1/chat/completions", openai, 404),
        ("/messages", openai, 404),
        ("/v2/messages", openai, 404),
        ("/V1/MESSAGES", openai, 404),
        ("/v1/files", openai, 404),
        ("/metrics", openai, 404),
        ("/status", openai, 404),
        ("/_sim/log", openai, 404),
        ("/v1%2fmessages", openai, 400),
        ("/v1%5Cmessages", openai, 400),
        ("/v1/messages%00", openai, 400),
        ("/v1/%zz", openai, 400),
        ("/v1/files/..%2f..%2fmessages", openai, 400),
        ("/../../etc/passwd", openai, 400),
        ("/v1/%2e%2e/%2e%2e/etc/passwd", openai, 400),
    ] {
        let text = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        let reply = trial.raw(&text).await;
        trial.no(path, dialect, status, reply);
        let version = text.replace("host: x", "host: x\r\nanthropic-version: 2023-06-01");
        let told = if path.contains("openai") || path.contains("chat") { dialect } else { anthropic };
        let reply = trial.raw(version).await;
        trial.no(path, told, status, reply);
    }
    assert_eq!(trial.posts(), 0, "no provider was asked");
    // Odd ways to say something good.
    let good = trial.gateway.ask(anthropic);
    for path in [
        "/v1//messages",
        "/v1/messages/",
        "/v1/./messages",
        "/v1/x/../messages",
        "/%76%31/messages",
        "/v1/messages?beta=true&x=%2F",
        "/anthropic/v1/messages",
    ] {
        let text = head(path, good.body.len()) + &String::from_utf8_lossy(&good.body);
        let reply = trial.raw(text).await;
        trial.yes(reply);
        let seen = trial.sim.seen().pop().expect("seen");
        assert_eq!(seen.path, "/v1/messages", "{path}");
        assert_eq!(seen.query, path.split_once('?').map_or("", |(_, query)| query));
    }
    // Upgrades are not taken, and do not hang.
    let upgrade = "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (path, status) in [("/v1/responses", 405), ("/v1/realtime?model=gpt-5.6", 404)] {
        let reply = trial.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{upgrade}\r\n")).await;
        trial.no(path, openai, status, reply);
    }
    let text = head("/v1/messages", good.body.len())
        .replace("host: gateway", &format!("host: x\r\n{}", upgrade.trim_end()));
    let reply = trial.raw(text + &String::from_utf8_lossy(&good.body)).await;
    trial.yes(reply);
    let seen = trial.sim.seen().pop().expect("seen");
    for name in ["upgrade", "connection", "sec-websocket-key"] {
        assert_eq!(seen.headers.get(name), None, "{name}");
    }
    let connect = trial.raw("CONNECT example.com:443 HTTP/1.1\r\nhost: example.com\r\n\r\n").await;
    assert!(connect.status.is_client_error());
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_and_pipelining_clients_are_served() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            let body = trial.gateway.ask(dialect).stream(stream).body;
            let post = head(path(dialect), body.len()) + &String::from_utf8_lossy(&body);
            // HTTP/1.0 knows no chunks: the answer ends with the connection.
            let mut wire = Wire::connect(trial.gateway.data).await;
            wire.say(post.replace("HTTP/1.1", "HTTP/1.0")).await;
            let heard = wire.until_closed().await;
            let (head, answer) = heard.split_once("\r\n\r\n").expect("an answer");
            assert!(head.starts_with("HTTP/1.") && head.contains(" 200 "), "{heard}");
            assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{heard}");
            let ended = if stream { answer.ends_with("\n\n") } else { answer.ends_with('}') };
            assert!(ended, "{heard}");
            trial.ok += 1;
            // Two in one breath, and the second one while the first is being answered.
            let mut wire = Wire::connect(trial.gateway.data).await;
            wire.say(format!("{post}{post}")).await;
            for _ in 0..2 {
                let reply = wire.reply().await;
                trial.yes(reply);
            }
            let lockstep = trial.sim.lockstep();
            trial.sim.script(Fault::SlowHeader { delay_ms: std::time::Duration::from_millis(100) });
            let before = trial.posts();
            wire.say(&post).await;
            crate::harness::within(
                "it is under way",
                trial.sim.wait_for(|seen| {
                    seen.iter().filter(|request| request.method == Method::POST).count() > before
                }),
            )
            .await;
            wire.say(&post).await;
            drop(lockstep);
            for _ in 0..2 {
                let reply = wire.reply().await;
                trial.yes(reply);
            }
        }
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_are_not_the_providers_business_stay_here() {
    let mut trial = Trial::with(|setup| setup.caller("agent", "team", TOKEN)).await;
    let odd = "beta-\u{e9},{\"a\":1},,,;;;-2099-01-01, ".repeat(200);
    for dialect in Dialect::ALL {
        for auth in [
            ("x-api-key", TOKEN.to_owned()),
            ("authorization", format!("Bearer {TOKEN}")),
            ("api-key", TOKEN.to_owned()),
        ] {
            for http2 in [false, true] {
                let ask = [
                    ("cookie", "session=1; token=2"),
                    ("x-forwarded-for", "10.0.0.1"),
                    ("x-forwarded-host", "inner.example"),
                    ("x-forwarded-proto", "https"),
                    ("x-real-ip", "10.0.0.1"),
                    ("forwarded", "for=10.0.0.1"),
                    ("via", "1.1 inner"),
                    ("referer", "https://inner.example/secret"),
                    ("origin", "https://inner.example"),
                    ("proxy-authorization", "Basic eDp5"),
                    ("x-goog-api-key", TOKEN),
                    ("x-warmkey-key", TOKEN),
                    ("openai-organization", "org-of-somebody-else"),
                    ("openai-project", "proj-of-somebody-else"),
                    ("anthropic-organization-id", "org-of-somebody-else"),
                    ("anthropic-workspace-id", "ws-of-somebody-else"),
                    ("accept-encoding", "gzip, br"),
                    ("anthropic-beta", odd.trim()),
                    ("anthropic-version", "2023-06-01"),
                    ("x-stainless-lang", "python"),
                ]
                .into_iter()
                .fold(trial.gateway.ask(dialect), |ask, (name, value)| ask.header(name, value));
                trial.yes(ask.header(auth.0, &auth.1).http2(http2).send().await);
                let seen = trial.sim.seen().pop().expect("seen");
                for name in [
                    "cookie",
                    "via",
                    "forwarded",
                    "referer",
                    "origin",
                    "proxy-authorization",
                    "x-real-ip",
                    "x-goog-api-key",
                    "api-key",
                    "openai-organization",
                    "openai-project",
                    "anthropic-organization-id",
                    "anthropic-workspace-id",
                    "x-warmkey-key",
                ] {
                    assert_eq!(seen.headers.get(name), None, "{name}");
                }
                for (name, value) in &seen.headers {
                    let text = String::from_utf8_lossy(value.as_bytes());
                    assert!(!text.contains(TOKEN), "the caller's token went up in {name}");
                    assert!(!name.as_str().starts_with("x-forwarded"), "{name}");
                }
                assert_eq!(seen.header("accept-encoding"), "identity");
                assert_eq!(seen.header("x-stainless-lang"), "python");
                assert_eq!(seen.headers["anthropic-beta"].as_bytes(), odd.trim().as_bytes());
            }
        }
        // Without a token, with a wrong one, with an upstream one: before the body is asked for.
        for auth in ["", "wrong", "Basic eDp5", "Bearer", "Bearer ", "key-1", "Bearer key-1"] {
            let ask = trial.gateway.ask(dialect).header("authorization", auth);
            let reply = ask.send().await;
            assert!(!reply.text().contains("key-1"));
            trial.no(auth, dialect, 401, reply);
        }
        let mut wire = Wire::connect(trial.gateway.data).await;
        wire.say(head(path(dialect), 100).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n")).await;
        let heard = wire.until_closed().await;
        assert!(heard.starts_with("HTTP/1.1 401 "), "{heard}");
        trial.denied += 1;
    }
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callers_odd_header_takes_no_account_out() {
    let mut trial = Trial::begin().await;
    for dialect in Dialect::ALL {
        let odd = trial.gateway.ask(dialect).header("anthropic-beta", "nonsense-1");
        for status in [400, 404, 422] {
            for _ in 0..5 {
                trial.sim.script(Fault::Status { status });
                let reply = odd.send().await;
                assert_eq!(reply.status, status);
                trial.refused += 1;
            }
        }
    }
    assert_eq!(trial.posts(), 45, "nobody was asked twice");
    trial.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_ever_shown() {
    let sim = crate::harness::sim_with(|config| {
        for account in &mut config.accounts {
            account.key = format!("{UPSTREAM}{}", account.key);
        }
    })
    .await;
    let gateway = Setup::over(&sim).caller("agent", "team", TOKEN).start().await;
    let asked = |dialect: Dialect| gateway.ask(dialect).header("x-api-key", TOKEN);
    let mut replies = Vec::new();
    for dialect in Dialect::ALL {
        for stream in [false, true] {
            replies.push(asked(dialect).stream(stream).send().await);
            for fault in [
                Fault::KeyRejected,
                Fault::KeyForbidden,
                Fault::ServerError,
                Fault::ResetBeforeHeader,
                Fault::ErrorFirst,
                Fault::SetCookie,
            ] {
                sim.script(fault);
                replies.push(asked(dialect).stream(stream).send().await);
            }
        }
        replies.push(asked(dialect).raw("{").send().await);
        replies.push(asked(dialect).with(|body| body["model"] = json!(TOKEN)).send().await);
        replies.push(gateway.ask(dialect).header("x-api-key", "wrong-token-5b1e").send().await);
        replies.push(asked(dialect).with(|body| body["prompt_text"] = json!("prompt-text-99")).send().await);
    }
    // The keys that were refused are checked once more, and are fine.
    gateway
        .until("the keys are cleared", |status| {
            let endpoints = status["endpoints"].as_array().expect("a list");
            endpoints.iter().all(|endpoint| endpoint["state"] == "ready")
        })
        .await;
    let mut shown = vec![gateway.log(), gateway.metrics().await, gateway.status().await.to_string()];
    for reply in &replies {
        assert_eq!(reply.headers.get("set-cookie"), None);
        shown.push(format!("{:?}\n{}", reply.headers, reply.text()));
    }
    for text in &shown {
        for secret in [UPSTREAM, "wrong-token-5b1e", "prompt-text-99"] {
            assert!(!text.contains(secret), "{secret} in\n{text}");
        }
    }
    for text in &shown[..3] {
        assert!(!text.contains(TOKEN), "the caller's token in\n{text}");
    }
    gateway.assert_no_panic();
}
