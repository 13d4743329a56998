//! `[server]` and what stands under it.

use std::{net::SocketAddr, ops::RangeInclusive, time::Duration};

use super::{
    read::{At, Section},
    scalar::size_remedy,
    value,
};
use crate::{
    routing::Weights,
    snapshot::{Bounds, Heartbeat, Hold, Open, RoutingParams, ServerParams, TlsParams},
    telemetry::{LogFormat, LogParams, TraceParams},
    types::Secret,
};

pub(super) const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

pub(super) const fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

const MIB: u64 = 1 << 20;

/// Reads `[server]`. `has_callers`: without any, nobody but this machine may connect.
pub(super) fn read(server: &Section<'_>, has_callers: bool) -> ServerParams {
    let admin = server.address("admin").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9090)));
    server.shows("admin", admin);
    let open = match server.get("open").map(|_| server.flag("open", false)) {
        Some(true) => Open::Everybody,
        Some(false) => Open::Never,
        None => {
            server.shows("open", "until there is a key");
            Open::UntilKeys
        }
    };
    let admin_token = server.secret("admin_token");
    let read_token = read_token(server, admin_token.as_ref());
    let params = ServerParams {
        listen: listen(server, open, has_callers),
        admin,
        admin_token: admin_token.map(|token| token.value),
        read_token,
        tls: server.table("tls", tls),
        threads: server.whole("threads", 0, 0..=1024),
        open,
        explain: server.flag("explain", true),
        drain: server.duration("drain", secs(300), secs(1)..=secs(3600)),
        bounds: bounds(server),
        heartbeat: server.table("heartbeat", |heartbeat| Heartbeat {
            enabled: heartbeat.flag("enabled", false),
            after: heartbeat.duration("after", secs(15), secs(1)..=secs(300)),
            every: heartbeat.duration("every", secs(10), secs(1)..=secs(300)),
        }),
        hold: server.table("hold", |hold| Hold {
            default: hold.duration("default", millis(250), millis(0)..=secs(30)),
            responses: hold.duration("responses", secs(10), millis(0)..=secs(60)),
        }),
        max_attempts: server.whole("max_attempts", 3, 1..=10),
        session_headers: session_headers(server),
        state_file: server.path("state_file").map(|path| path.value),
        state_every: server.duration("state_every", secs(30), secs(1)..=secs(3600)),
        log: server.table("log", log),
        watch: server.flag("watch", true),
    };
    if !admin.ip().is_loopback() && params.admin_token.is_none() {
        server.note_at(
            &server.at("admin", server.get("admin").map_or(0..0, toml::Spanned::span), ()),
            "the admin listener is open to others and has no token: only `/metrics`, `/livez` and `/readyz` will answer",
            "add `admin_token = { env = \"NAME\" }`, or listen on loopback",
        );
    }
    if let Some(other) = params.listen.iter().find(|other| clash(**other, admin)) {
        server.fault(
            "admin",
            &format!("`{admin}` and `listen` at `{other}` are one port"),
            "give the admin listener its own port",
        );
    }
    params
}

/// Somebody who may look must be told from somebody who may act.
fn read_token(server: &Section<'_>, admin_token: Option<&At<Secret>>) -> Option<Secret> {
    let token = server.secret("read_token")?;
    match admin_token {
        Some(admin) if admin.value.digest() == token.value.digest() => server.fault(
            "read_token",
            "the same as `admin_token`, so whoever may look could act",
            "make another one, such as with `openssl rand -hex 32`",
        ),
        None if server.get("admin_token").is_none() => server.fault(
            "read_token",
            "without `admin_token` there is nothing that it could be less than",
            "add `admin_token = { env = \"NAME\" }`, or remove `read_token`",
        ),
        Some(_) | None => {}
    }
    Some(token.value)
}

/// Whether two listeners cannot both be opened. Port 0 is a free one each time.
fn clash(one: SocketAddr, other: SocketAddr) -> bool {
    let every = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && (every || one.ip() == other.ip())
}

fn listen(server: &Section<'_>, open: Open, has_callers: bool) -> Vec<SocketAddr> {
    let lets_in = match open {
        Open::Everybody => Some(("`open = true`", "remove `open`, or listen on 127.0.0.1")),
        Open::UntilKeys if !has_callers => Some((
            "no `[[caller]]` is configured",
            "add a `[[caller]]` with a `name` and a `token`, or `open = false` to let in only the keys of `warmkey key create`, or listen on 127.0.0.1",
        )),
        Open::UntilKeys | Open::Never => None,
    };
    let default = vec![SocketAddr::from(([127, 0, 0, 1], 8080))];
    let Some(texts) = server.texts("listen") else {
        server.shows("listen", "127.0.0.1:8080");
        return default;
    };
    let mut addresses = Vec::with_capacity(texts.len());
    for text in &texts {
        let Some(address) = server.parse_address(text) else { continue };
        if addresses.contains(&address) {
            server.fault_at(text, &format!("`{address}` is listed twice"), "remove one of them");
            continue;
        }
        if let Some((why, remedy)) = lets_in.filter(|_| !address.ip().is_loopback()) {
            let what = format!("{why}, so anyone who reaches `{address}` could spend your keys");
            server.fault_at(text, &what, remedy);
        }
        addresses.push(address);
    }
    if texts.is_empty() {
        server.fault("listen", "an empty list", "write at least one address, such as `127.0.0.1:8080`");
        return default;
    }
    addresses
}

fn tls(tls: &Section<'_>) -> Option<TlsParams> {
    let (cert, key) = (tls.existing_file("cert"), tls.existing_file("key"));
    if tls.is_present() {
        for required in ["cert", "key"] {
            if tls.get(required).is_none() {
                tls.fault(required, "missing", "name a PEM file; TLS needs both `cert` and `key`");
            }
        }
    }
    Some(TlsParams { cert: cert?, key: key? })
}

fn bounds(server: &Section<'_>) -> Bounds {
    let max_body = server.size("max_body", 32 * MIB, 1024..=1024 * MIB);
    let max_buffered = max_buffered(server, max_body);
    server.shows("max_buffered", value::size_text(max_buffered));
    Bounds {
        max_body,
        max_buffered,
        upload_timeout: server.duration("upload_timeout", secs(60), secs(1)..=secs(3600)),
        write_timeout: server.duration("write_timeout", secs(30), secs(1)..=secs(600)),
        max_headers: server.whole("max_headers", 100, 16..=1000),
        max_header_bytes: usize::try_from(server.size("max_header_bytes", 64 * 1024, 4096..=MIB))
            .unwrap_or(usize::MAX),
        max_depth: server.whole("max_depth", 128, 16..=1024),
    }
}

/// `"25%"` of memory, or a size; room for one body at least, or nothing could ever be sent.
fn max_buffered(server: &Section<'_>, max_body: u64) -> u64 {
    const RANGE: RangeInclusive<u64> = MIB..=1024 * 1024 * MIB;
    let share = |percent: u64| (server.reader().host.memory() / 100 * percent).max(max_body);
    let Some(text) = server.text("max_buffered") else { return share(25) };
    if let Some(percent) = text.value.strip_suffix('%') {
        let percent = percent.parse().ok().filter(|percent| (1..=90).contains(percent));
        return percent.map_or_else(
            || {
                let what = format!("`{}` is out of range", text.value.escape_debug());
                server.fault_at(&text, &what, "write a share of memory from 1% to 90%, such as `25%`");
                max_body
            },
            share,
        );
    }
    let Some(bytes) = value::size(&text.value).filter(|bytes| RANGE.contains(bytes)) else {
        let what = format!("`{}` is not a size in range", text.value.escape_debug());
        let remedy = format!("{}; or a share of memory, such as `25%`", size_remedy(&RANGE, 1024 * MIB));
        server.fault_at(&text, &what, &remedy);
        return max_body;
    };
    if bytes < max_body {
        let what = format!("`{}` in all is less than one body may have", value::size_text(bytes));
        let remedy = format!("raise it to at least `{}`, or lower `max_body`", value::size_text(max_body));
        server.fault_at(&text, &what, &remedy);
    }
    bytes
}

fn session_headers(server: &Section<'_>) -> Vec<String> {
    const CREDENTIALS: &[&str] = &["authorization", "x-api-key", "api-key", "cookie", "proxy-authorization"];
    let named = server.texts("session_headers").unwrap_or_default();
    let check = |text: At<String>| {
        let name = text.value.to_ascii_lowercase();
        if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let what = format!("`{}` is not a header's name", text.value.escape_debug());
            server.fault_at(&text, &what, "write it as in `x-my-session`");
            return None;
        }
        if CREDENTIALS.contains(&name.as_str()) {
            server.fault_at(
                &text,
                &format!("`{name}` carries a credential, which many sessions share"),
                "name a header that differs from conversation to conversation",
            );
            return None;
        }
        Some(name)
    };
    named.into_iter().filter_map(check).collect()
}

fn log(log: &Section<'_>) -> LogParams {
    let level = log.text("level").map_or_else(
        || "info".to_owned(),
        |level| {
            if level.value.parse::<tracing_subscriber::EnvFilter>().is_err() {
                let what = format!("`{}` is not a log level", level.value.escape_debug());
                log.fault_at(&level, &what, "write `error`, `warn`, `info`, `debug` or `trace`");
            }
            level.value
        },
    );
    log.shows("level", &level);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    LogParams { filter: level, format: log.choice("format", LogFormat::Text, &formats) }
}

/// Reads `[trace]`.
pub(super) fn trace(trace: &Section<'_>) -> Option<TraceParams> {
    let file = trace.path("file");
    let max_size = trace.size("max_size", 1024 * MIB, MIB..=1024 * 1024 * MIB);
    if trace.is_present() && trace.get("file").is_none() {
        trace.fault("file", "missing", "name the file to write, or remove the section");
    }
    Some(TraceParams { file: file?.value, max_size })
}

/// Reads `[routing]`.
pub(super) fn routing(routing: &Section<'_>) -> RoutingParams {
    let d = RoutingParams::default();
    RoutingParams {
        wait_max: routing.duration("wait_max", d.wait_max, millis(0)..=secs(30)),
        weights: Weights {
            delay: routing.ratio("delay_usd_per_hour", d.weights.delay * 3_600.0, 0.0..=10_000.0) / 3_600.0,
            crowding: routing.ratio("crowding_usd", d.weights.crowding, 0.0..=100.0),
            share: routing.ratio("share_usd", d.weights.share, 0.0..=1_000.0),
            thinking: routing.ratio("thinking_usd", d.weights.thinking, 0.0..=1_000.0),
            refusal: routing.ratio("refusal_usd", d.weights.refusal, 0.0..=1_000.0),
            ..d.weights
        },
        max_waiting: routing.whole("max_waiting", d.max_waiting, 0..=100_000),
        headroom: routing.ratio("headroom", d.headroom, 1.0..=10.0),
        sessions: routing.whole("sessions", d.sessions, 100..=10_000_000),
        prefixes: routing.whole("prefixes", d.prefixes, 1_000..=100_000_000),
        tool_links: routing.whole("tool_links", d.tool_links, 100..=10_000_000),
        objects: routing.whole("objects", d.objects, 100..=10_000_000),
        forensics: routing.size("forensics", d.forensics, 0..=16 << 30),
        session_idle: routing.duration("session_idle", d.session_idle, secs(60)..=secs(30 * 24 * 3600)),
    }
}
