//! The dashboard's server side: who is let in, what may act, the live stream, the page's files.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};
use warmkey::{
    sim::{Account, Fault},
    types::Dialect,
};

use crate::harness::{Ask, Gateway, PATIENCE, Reply, Setup, Stream, sim, sim_with, within};

const ADMIN: &str = "admin-token-0123456789abcdef";
const READER: &str = "read-token-0123456789abcdef";

/// What every answer carries.
const SECURITY: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
];

fn guarded(setup: Setup) -> Setup {
    setup
        .server("admin_token = { env = \"ADMIN\" }\nread_token = { env = \"READER\" }\nwatch = false")
        .variable("ADMIN", ADMIN)
        .variable("READER", READER)
}

fn ask(gateway: &Gateway, path: &str) -> Ask {
    Ask::new(format!("http://{}{path}", gateway.admin), json!({})).method(Method::GET).raw("")
}

/// A `POST` as the dashboard's own page sends it.
fn post(gateway: &Gateway, path: &str, body: &str) -> Ask {
    ask(gateway, path)
        .method(Method::POST)
        .raw(body.to_owned())
        .header("origin", &format!("http://{}", gateway.admin))
}

/// A browser that has signed in.
struct Browser {
    cookie: String,
    csrf: String,
}

impl Browser {
    async fn sign_in(gateway: &Gateway, token: &str) -> Self {
        let reply = sign_in(gateway, token).await;
        assert_eq!(reply.status, 204, "{}", reply.text());
        let cookie = reply.header("set-cookie").split(';').next().expect("a cookie").to_owned();
        let csrf =
            ask(gateway, "/dashboard/me").header("cookie", &cookie).send().await.json()["csrf"].clone();
        Self { cookie, csrf: csrf.as_str().expect("a word").to_owned() }
    }

    fn ask(&self, gateway: &Gateway, path: &str) -> Ask {
        ask(gateway, path).header("cookie", &self.cookie)
    }

    fn post(&self, gateway: &Gateway, path: &str) -> Ask {
        post(gateway, path, "").header("cookie", &self.cookie).header("x-warmkey-csrf", &self.csrf)
    }

    async fn watch(&self, gateway: &Gateway, query: &str) -> Stream {
        let stream = self.ask(gateway, &format!("/dashboard/events?{query}")).open().await;
        assert_eq!(stream.status, 200);
        stream
    }
}

async fn sign_in(gateway: &Gateway, token: &str) -> Reply {
    post(gateway, "/dashboard/sign-in", &json!({"token": token}).to_string()).send().await
}

#[track_caller]
fn refused(reply: &Reply, status: u16) {
    assert_eq!(reply.status.as_u16(), status, "{}", reply.text());
    assert!(
        reply.json()["error"]["message"].as_str().is_some_and(|text| !text.is_empty()),
        "{}",
        reply.text()
    );
    secure(reply);
}

#[track_caller]
fn secure(reply: &Reply) {
    for (name, value) in SECURITY {
        assert_eq!(reply.header(name), value, "{name} of {}", reply.text());
    }
}

/// The data of all frames of this name.
fn frames(text: &str, name: &str) -> Vec<Value> {
    let start = format!("event: {name}\ndata: ");
    let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
    let data = whole.split("\n\n").filter_map(|frame| frame.strip_prefix(&start));
    data.map(|data| serde_json::from_str(data).unwrap_or_else(|fault| panic!("{fault}: {data}"))).collect()
}

/// All rows of requests so far.
fn rows(text: &str) -> Vec<Value> {
    let pages = frames(text, "requests");
    pages.iter().flat_map(|page| page["rows"].as_array().expect("a list").clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_in_looks_acts_and_signs_out() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let me = ask(&gateway, "/dashboard/me").send().await.assert_ok();
    let version = env!("CARGO_PKG_VERSION");
    let stranger =
        json!({"signed_in": false, "needs_sign_in": true, "role": null, "csrf": null, "version": version});
    assert_eq!(me.json(), stranger);
    secure(&me);
    for path in ["/dashboard/api/requests", "/dashboard/api/accounts", "/dashboard/events?topics=now"] {
        refused(&ask(&gateway, path).send().await, 401);
        // A bearer's token is for programs, which have /status.
        refused(&ask(&gateway, path).header("authorization", &format!("Bearer {ADMIN}")).send().await, 401);
    }
    let reply = sign_in(&gateway, ADMIN).await;
    assert_eq!((reply.status.as_u16(), reply.body.len()), (204, 0));
    let cookie = reply.header("set-cookie");
    let (id, flags) = cookie.split_once("; ").expect("flags");
    assert_eq!(flags, "HttpOnly; SameSite=Strict; Path=/; Max-Age=43200");
    let digits = id.strip_prefix("warmkey_dashboard=").expect("its name");
    assert!(digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{digits}");
    let behind_tls = post(&gateway, "/dashboard/sign-in", &json!({"token": ADMIN}).to_string())
        .header("x-forwarded-proto", "https");
    assert!(behind_tls.send().await.header("set-cookie").ends_with("; Secure"));

    let admin = Browser::sign_in(&gateway, ADMIN).await;
    let me = admin.ask(&gateway, "/dashboard/me").send().await.json();
    assert_eq!((&me["signed_in"], &me["role"]), (&json!(true), &json!("admin")));
    let drained = admin.post(&gateway, "/dashboard/api/endpoints/%61%31/drain").send().await.assert_ok();
    assert_eq!((&drained.json()["name"], &drained.json()["state"]), (&json!("a1"), &json!("drained")));
    assert_eq!(gateway.state_of("a1").await, "drained");
    let log = gateway.logged("operator's action").await;
    let line = log.lines().find(|line| line.contains("operator's action")).expect("a line");
    assert!(line.contains("admin") && line.contains("127.0.0.1:") && line.contains("drain"), "{line}");
    for (path, status) in
        [("a1/explode", 404), ("nobody/drain", 404), ("a1/cool?for=9d", 400), ("%zz/drain", 400), ("a1", 404)]
    {
        refused(&admin.post(&gateway, &format!("/dashboard/api/endpoints/{path}")).send().await, status);
    }
    admin.post(&gateway, "/dashboard/api/endpoints/a1/readmit").send().await.assert_ok();
    assert_eq!(gateway.state_of("a1").await, "ready");

    let out = admin.post(&gateway, "/dashboard/sign-out").send().await;
    assert_eq!(out.status, 204);
    let gone = "warmkey_dashboard=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";
    assert_eq!(out.header("set-cookie"), gone);
    refused(&admin.ask(&gateway, "/dashboard/api/requests").send().await, 401);
    assert!(!gateway.log().contains(ADMIN) && !gateway.log().contains(digits), "a secret is in the log");
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_read_token_lets_somebody_look_and_not_act() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let reader = Browser::sign_in(&gateway, READER).await;
    let me = reader.ask(&gateway, "/dashboard/me").send().await.json();
    assert_eq!(me["role"], "reader");
    reader.ask(&gateway, "/dashboard/api/requests").send().await.assert_ok();
    let act = reader.post(&gateway, "/dashboard/api/endpoints/a1/drain").send().await;
    refused(&act, 403);
    assert!(act.text().contains("only look"), "{}", act.text());
    assert_eq!(gateway.state_of("a1").await, "ready");
    // Where everybody may look anyway, the API of keys still asks for the other one.
    let bearer = |path: &str| ask(&gateway, path).header("authorization", &format!("Bearer {READER}"));
    assert_eq!(bearer("/api/keys").send().await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_the_read_token_opens_the_status_and_nothing_else() {
    let sim = sim().await;
    let setup = guarded(Setup::over(&sim));
    let text = setup.text().replacen("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"", 1);
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let send = async |method: Method, path: &str, token: &str| {
        let url = format!("http://127.0.0.1:{}{path}", gateway.admin.port());
        let ask = Ask::new(url, json!({})).method(method).raw("");
        ask.header("authorization", &format!("Bearer {token}")).send().await.status.as_u16()
    };
    let session = "/status/sessions/0000000000000abc";
    for (method, path, as_reader, as_admin) in [
        (Method::GET, "/status", 200, 200),
        (Method::HEAD, "/status", 200, 200),
        (Method::POST, "/status", 401, 405),
        (Method::GET, session, 404, 404),
        (Method::POST, "/endpoints/a1/drain", 401, 200),
        (Method::GET, "/api/keys", 401, 200),
        (Method::GET, "/nothing", 401, 404),
        (Method::GET, "/dashboard/api/requests", 401, 401),
    ] {
        assert_eq!(send(method.clone(), path, READER).await, as_reader, "{method} {path}");
        assert_eq!(send(method.clone(), path, ADMIN).await, as_admin, "{method} {path}");
        assert!([401].contains(&send(method.clone(), path, "nobody").await), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_a_token_is_slow() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    for body in ["", "{}", "[]", "{\"token\": 1}", "{\"token\": \"a\", \"more\": 1}", "\u{0}"] {
        refused(&post(&gateway, "/dashboard/sign-in", body).send().await, 400);
    }
    refused(&post(&gateway, "/dashboard/sign-in", &"x".repeat(5_000)).send().await, 400);
    for n in 0..10 {
        refused(&sign_in(&gateway, &format!("guess-{n}")).await, 401);
    }
    let slow = sign_in(&gateway, ADMIN).await;
    refused(&slow, 429);
    let wait: u64 = slow.header("retry-after").parse().expect("seconds");
    assert!((1..=61).contains(&wait), "{wait}");
    assert!(!gateway.log().contains("guess-"), "{}", gateway.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_sites_page_acts_in_somebodys_name() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let admin = Browser::sign_in(&gateway, ADMIN).await;
    let drain = || admin.post(&gateway, "/dashboard/api/endpoints/a1/drain");
    let bare = admin.ask(&gateway, "/dashboard/api/endpoints/a1/drain").method(Method::POST);
    refused(&bare.clone().send().await, 403);
    refused(&bare.clone().header("x-warmkey-csrf", &admin.csrf).send().await, 403);
    refused(&drain().header("origin", "http://evil.example").send().await, 403);
    refused(&drain().header("origin", "null").send().await, 403);
    for site in ["cross-site", "same-site", "none", "?"] {
        refused(&drain().header("sec-fetch-site", site).send().await, 403);
    }
    refused(&drain().header("x-warmkey-csrf", "").send().await, 403);
    refused(&drain().header("x-warmkey-csrf", &"0".repeat(64)).send().await, 403);
    let other = Browser::sign_in(&gateway, ADMIN).await;
    refused(&drain().header("x-warmkey-csrf", &other.csrf).send().await, 403);
    refused(&drain().header("cookie", "warmkey_dashboard=0").send().await, 401);
    let sign_in = post(&gateway, "/dashboard/sign-in", &json!({"token": ADMIN}).to_string());
    refused(&sign_in.clone().header("origin", "http://evil.example").send().await, 403);
    refused(&sign_in.header("sec-fetch-site", "cross-site").send().await, 403);
    // What is shown is not for them either, and no stream's place.
    for path in ["/dashboard/api/requests", "/dashboard/events?topics=now"] {
        refused(&admin.ask(&gateway, path).header("sec-fetch-site", "cross-site").send().await, 403);
    }
    gateway.assert_all_ready().await;
    drain().header("sec-fetch-site", "same-origin").send().await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_the_dashboard_is_open_to_this_machine_alone() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let me = ask(&gateway, "/dashboard/me").send().await.json();
    assert_eq!(
        (&me["signed_in"], &me["needs_sign_in"], &me["role"]),
        (&json!(true), &json!(false), &json!("admin"))
    );
    let csrf = me["csrf"].as_str().expect("a word");
    ask(&gateway, "/dashboard/api/requests").send().await.assert_ok();
    let drain = post(&gateway, "/dashboard/api/endpoints/a1/drain", "");
    refused(&drain.clone().send().await, 403);
    let drain = drain.header("x-warmkey-csrf", csrf);
    // A name that was pointed at this machine is its own origin, and gets nothing.
    let rebound = |ask: Ask| ask.header("host", "evil.example").header("origin", "http://evil.example");
    refused(&rebound(drain.clone()).send().await, 401);
    refused(&rebound(ask(&gateway, "/dashboard/api/requests")).send().await, 401);
    refused(&rebound(ask(&gateway, "/dashboard/events?topics=now")).send().await, 401);
    let me = rebound(ask(&gateway, "/dashboard/me")).send().await.json();
    assert_eq!((&me["signed_in"], &me["csrf"]), (&json!(false), &Value::Null));
    refused(&post(&gateway, "/dashboard/sign-in", "{\"token\": \"\"}").send().await, 403);
    gateway.assert_all_ready().await;
    drain.send().await.assert_ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_without_a_token_nothing_is_open() {
    let sim = sim().await;
    let setup = Setup::over(&sim);
    let text = setup.text().replacen("admin = \"127.0.0.1:0\"", "admin = \"0.0.0.0:0\"", 1);
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let send = async |path: &str| {
        let url = format!("http://127.0.0.1:{}{path}", gateway.admin.port());
        Ask::new(url, json!({})).method(Method::GET).raw("").send().await
    };
    assert_eq!(send("/dashboard/me").await.json()["signed_in"], json!(false));
    for path in ["/dashboard/api/requests", "/dashboard/api/accounts", "/dashboard/events?topics=now"] {
        refused(&send(path).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_token_ends_what_was_opened_with_the_old_one() {
    let sim = sim().await;
    let setup = guarded(Setup::over(&sim));
    let file = setup.dir().join("admin-token");
    std::fs::write(&file, ADMIN).expect("a file");
    let text = setup.text().replacen(
        "admin_token = { env = \"ADMIN\" }",
        &format!("admin_token = {{ file = {file:?} }}"),
        1,
    );
    let gateway = Gateway::run(&text, setup.dir(), &setup.env()).await;
    let (admin, reader) = (Browser::sign_in(&gateway, ADMIN).await, Browser::sign_in(&gateway, READER).await);
    let watched = admin.watch(&gateway, "topics=now").await;
    let mut still = reader.watch(&gateway, "topics=now").await;
    std::fs::write(&file, "another-admin-token-0123456789").expect("a file");
    gateway.signal("HUP");
    gateway.logged("settings reloaded").await;
    refused(&admin.ask(&gateway, "/dashboard/api/requests").send().await, 401);
    let said = watched.rest().await;
    assert!(said.text().ends_with("event: bye\ndata: {}\n\n") && !said.broken, "{}", said.text());
    reader.ask(&gateway, "/dashboard/api/requests").send().await.assert_ok();
    still.read_until(|text| frames(text, "now").len() >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_show_in_the_stream_with_their_figures() {
    let sim = sim_with(|config| config.ttft = Duration::from_millis(20)).await;
    let gateway = Setup::over(&sim).start().await;
    let open = Browser { cookie: String::new(), csrf: String::new() };
    let mut all = open.watch(&gateway, "topics=now,accounts,sessions,requests").await;
    let mut denied = open.watch(&gateway, "topics=requests&outcome=denied").await;
    let head = &all.headers;
    assert_eq!(head["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(head["cache-control"], "no-store");
    for (name, value) in SECURITY {
        assert_eq!(head[name], value);
    }
    all.read_until(|text| ["now", "accounts", "sessions"].iter().all(|name| !frames(text, name).is_empty()))
        .await;
    let long = "word ".repeat(4_000);
    let cached = json!([{"type": "text", "text": long, "cache_control": {"type": "ephemeral"}}]);
    for _ in 0..2 {
        let turn = gateway.ask(Dialect::Anthropic).session("live").stream(true);
        turn.with(|body| body["system"] = cached.clone()).send().await.assert_ok();
    }
    gateway.ask(Dialect::OpenAiChat).stream(true).send().await.assert_ok();
    let hostile = "</script><img src=x onerror=alert(1)>\n\nevent: bye";
    gateway.ask(Dialect::Anthropic).session("<b>").with(|body| body["model"] = json!(hostile)).send().await;
    all.read_until(|text| rows(text).len() >= 4).await;
    denied.read_until(|text| !rows(text).is_empty()).await;
    let listed = ask(&gateway, "/dashboard/api/requests").send().await.assert_ok().json();
    let listed = listed["rows"].as_array().expect("a list");
    assert_eq!(listed.iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    let (first, second) = (&listed[0], &listed[1]);
    assert_eq!((&first["affinity"], &second["affinity"]), (&json!("new"), &json!("hit")));
    assert_eq!(first["session"], second["session"]);
    for (row, seen) in listed.iter().zip(sim.seen().iter().filter(|seen| seen.method == "POST")) {
        assert_eq!((row["status"].as_u64(), row["outcome"].as_str()), (Some(200), Some("ok")));
        let usage = &seen.usage;
        let figures = ["input", "cached_read", "output"].map(|name| row[name].as_u64().unwrap());
        assert_eq!(figures, [usage.input, usage.cached_read, usage.output], "{row}");
        assert!(row["total_ms"].as_f64() >= Some(20.0) && row["usd"].as_f64() > Some(0.0), "{row}");
    }
    assert!(second["cached_read"].as_u64() > Some(1_000), "{second}");
    assert_eq!((&listed[3]["outcome"], &listed[3]["model"]), (&json!("denied"), &Value::Null));
    // History and rates come to the same.
    let sum = async |name: &str| {
        let history = ask(&gateway, "/dashboard/api/history?minutes=15").send().await.assert_ok().json();
        let steps = history["at_unix"].as_array().expect("a list").len();
        let column = history[name].as_array().expect("a list").clone();
        assert_eq!(column.len(), steps, "{name}");
        column.iter().filter_map(Value::as_u64).sum::<u64>()
    };
    within("the last second is over", async {
        while sum("requests").await < 4 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    let total = |name: &str| listed.iter().map(|row| row[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((sum("requests").await, sum("failed").await, sum("throttled").await), (4, 1, 0));
    for name in ["input", "cached_read", "output"] {
        assert_eq!(sum(name).await, total(name), "{name}");
    }
    all.read_until(|text| frames(text, "now").last().is_some_and(|now| now["hit_rate"].is_number())).await;
    let text = all.text();
    assert_eq!(rows(&text), *listed, "the stream shows what the list shows");
    assert!(
        text.lines()
            .all(|line| line.is_empty() || line.starts_with("event: ") || line.starts_with("data: {"))
    );
    assert!(
        !text.contains("<img") && frames(&text, "bye").is_empty(),
        "names of nobody's go nowhere: {text}"
    );
    let refused: Vec<u64> = rows(&denied.text()).iter().map(|row| row["seq"].as_u64().unwrap()).collect();
    assert_eq!(refused, [4], "the filter holds");
    gateway.assert_no_panic();
}

#[tokio::test(flavor = "multi_thread")]
async fn throttled_tries_count_and_filters_choose() {
    let sim = sim().await;
    let gateway = Setup::over(&sim)
        .caller("ann", "acme", "wk-ann-0123456789abcdef0123")
        .caller("bob", "acme", "wk-bob-0123456789abcdef0123")
        .start()
        .await;
    let turn = async |token: &str, dialect: Dialect, session: &str| {
        gateway.ask(dialect).header("x-api-key", token).session(session).send().await
    };
    sim.script(Fault::Overloaded.times(1));
    turn("wk-ann-0123456789abcdef0123", Dialect::Anthropic, "one").await.assert_ok();
    turn("wk-bob-0123456789abcdef0123", Dialect::OpenAiChat, "two").await.assert_ok();
    turn("wk-bob-0123456789abcdef0123", Dialect::Anthropic, "three").await.assert_ok();
    turn("nobody", Dialect::Anthropic, "four").await;
    gateway.at_rest().await;
    let list = async |query: &str| {
        let list = ask(&gateway, &format!("/dashboard/api/requests?{query}")).send().await.assert_ok().json();
        assert_eq!((list["next"].as_u64(), list["missed"].as_u64()), (Some(5), Some(0)));
        list["rows"].as_array().expect("a list").clone()
    };
    let seqs = async |query: &str| {
        list(query).await.iter().map(|row| row["seq"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let all = list("").await;
    assert_eq!(all[0]["attempts"], 2);
    assert_eq!(seqs("caller=bob").await, [2, 3]);
    assert_eq!(seqs("caller=bob&model=gpt-5.6").await, [2]);
    assert_eq!(seqs("outcome=denied").await, [4]);
    assert_eq!(seqs("limit=2").await, [3, 4]);
    let session = all[2]["session"].as_str().expect("a session");
    assert_eq!(seqs(&format!("session={session}")).await, [3]);
    let endpoint = all[1]["endpoint"].as_str().expect("an endpoint");
    assert_eq!(seqs(&format!("endpoint={endpoint}")).await, [2]);
    assert_eq!(seqs("caller=b%6Fb&outcome=ok").await, [2, 3]);
    assert_eq!(seqs("caller=Bob").await, [0_u64; 0]);
    for bad in [
        "limit=0",
        "limit=2001",
        "limit=x",
        "outcome=fine",
        "session=1",
        "colour=red",
        "caller=%zz",
        "caller=a&caller=b",
    ] {
        refused(&ask(&gateway, &format!("/dashboard/api/requests?{bad}")).send().await, 400);
    }
    for bad in ["minutes=0", "minutes=16", "minutes=x"] {
        refused(&ask(&gateway, &format!("/dashboard/api/history?{bad}")).send().await, 400);
    }
    for bad in ["", "topics=everything", "topics=now&outcome=fine"] {
        refused(&ask(&gateway, &format!("/dashboard/events?{bad}")).send().await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_few_and_a_place_is_given_back() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let open = Browser { cookie: String::new(), csrf: String::new() };
    let mut streams = Vec::new();
    for _ in 0..64 {
        streams.push(open.watch(&gateway, "topics=sessions").await);
    }
    let more = ask(&gateway, "/dashboard/events?topics=sessions");
    refused(&more.send().await, 503);
    streams.pop();
    within("a place is free", async {
        while more.open().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The others never noticed.
    streams[0].read_until(|text| frames(text, "sessions").len() >= 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_does_not_read_is_dropped_and_nobody_else() {
    // Frames of two hundred accounts, so that they do not all fit into the kernel's buffers.
    let many = (1..=100).map(|n| Account::new(&format!("key-{n}"), "one", &format!("workspace-{n}")));
    let sim = sim_with(|config| config.accounts = many.collect()).await;
    let gateway = Setup::over(&sim).start().await;
    let open = Browser { cookie: String::new(), csrf: String::new() };
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small one");
    let mut slow = socket.connect(gateway.admin).await.expect("a connection");
    let ask_slowly =
        format!("GET /dashboard/events?topics=accounts HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.admin);
    slow.write_all(ask_slowly.as_bytes()).await.expect("it is open");
    let mut begun = [0; 12];
    slow.read_exact(&mut begun).await.expect("an answer");
    assert_eq!(&begun, b"HTTP/1.1 200");
    let mut others = Vec::new();
    for _ in 0..63 {
        others.push(open.watch(&gateway, "topics=sessions").await);
    }
    let next = ask(&gateway, "/dashboard/events?topics=sessions");
    assert_eq!(next.send().await.status, 503);
    let dropped = async {
        while next.open().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(3 * PATIENCE, dropped).await.expect("the one who does not read is dropped");
    let mut said = Vec::new();
    let _ = within("the end", slow.read_to_end(&mut said)).await;
    assert!(!said.ends_with(b"0\r\n\r\n"), "it was cut, and does not look whole");
    for other in &mut others {
        let before = frames(&other.text(), "sessions").len();
        other.read_until(|text| frames(text, "sessions").len() > before + 3).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_streams_at_once_and_in_good_order() {
    let sim = sim().await;
    let mut gateway = Setup::over(&sim).start().await;
    let open = Browser { cookie: String::new(), csrf: String::new() };
    let mut streams = Vec::new();
    for _ in 0..8 {
        let mut stream = open.watch(&gateway, "topics=now,accounts,requests").await;
        stream.read_until(|text| !frames(text, "now").is_empty()).await;
        streams.push(stream);
    }
    gateway.signal("TERM");
    let stopped = tokio::time::timeout(PATIENCE / 2, gateway.ended()).await;
    assert_eq!(stopped.expect("streams do not hold it up"), Some(0));
    for stream in streams {
        let said = stream.rest().await;
        assert!(said.text().ends_with("event: bye\ndata: {}\n\n") && !said.broken, "{}", said.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_served_with_its_files() {
    let sim = sim().await;
    let gateway = guarded(Setup::over(&sim)).start().await;
    let page = ask(&gateway, "/").send().await.assert_ok();
    secure(&page);
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(page.header("cache-control"), "no-cache");
    assert!(page.text().contains("warmkey"), "{}", page.text());
    let etag = page.header("etag").to_owned();
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let again = ask(&gateway, "/").header("if-none-match", &etag).send().await;
    assert_eq!((again.status.as_u16(), again.body.len(), again.header("etag")), (304, 0, etag.as_str()));
    secure(&again);
    let head = ask(&gateway, "/").method(Method::HEAD).send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), page.body.len().to_string());
    for name in page.text().split('"').filter_map(|text| text.strip_prefix("/assets/")) {
        let file = ask(&gateway, &format!("/assets/{name}")).send().await.assert_ok();
        secure(&file);
        assert!(!file.header("etag").is_empty() && !file.body.is_empty(), "{name}");
    }
    for (method, path, status) in [
        (Method::GET, "/assets/none.js", 404),
        (Method::GET, "/assets/../index.html", 404),
        (Method::GET, "/dashboard", 404),
        (Method::GET, "/dashboard/none", 404),
        (Method::POST, "/", 405),
        (Method::DELETE, "/assets/app.css", 405),
        (Method::POST, "/dashboard/me", 405),
        (Method::GET, "/dashboard/sign-in", 405),
        (Method::GET, "/dashboard/sign-out", 405),
        (Method::POST, "/dashboard/events", 405),
        (Method::HEAD, "/dashboard/events", 405),
        (Method::POST, "/dashboard/api/requests", 405),
        (Method::GET, "/dashboard/api/endpoints/a1/drain", 405),
    ] {
        let reply = ask(&gateway, path).method(method.clone()).send().await;
        assert_eq!(reply.status.as_u16(), status, "{method} {path}");
        assert_eq!(reply.header("allow").is_empty(), status != 405, "{method} {path}");
        secure(&reply);
    }
    let admin = Browser::sign_in(&gateway, ADMIN).await;
    refused(&admin.ask(&gateway, "/dashboard/api/none").send().await, 404);
    let head = admin.ask(&gateway, "/dashboard/api/requests").method(Method::HEAD).send().await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_the_next_request() {
    let sim = sim().await;
    let gateway = Setup::over(&sim).start().await;
    let mut socket = tokio::net::TcpStream::connect(gateway.admin).await.expect("a connection");
    for path in ["/livez", "/dashboard/me", "/status", "/metrics", "/dashboard/none", "/livez"] {
        for method in ["GET", "HEAD"] {
            let ask = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.admin);
            socket.write_all(ask.as_bytes()).await.expect("it is open");
            let mut read = Vec::new();
            let whole = |read: &[u8]| {
                let text = String::from_utf8_lossy(read).to_lowercase();
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
                Some(method == "HEAD" || body.len() >= length.parse::<usize>().ok()?)
            };
            within(path, async {
                while whole(&read) != Some(true) {
                    let n = socket.read_buf(&mut read).await.expect("an answer");
                    assert!(n > 0, "{method} {path}: closed after {}", String::from_utf8_lossy(&read));
                }
            })
            .await;
        }
    }
}
