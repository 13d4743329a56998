//! Every fault, word for word: an operator reads nothing else of us at three in the morning.

use std::path::Path;

use warmkey::config;

use super::Lab;

/// Ten lines that pass; cases put more below them.
pub(super) const BASE: &str = r#"[[provider]]
name = "anthropic"
dialect = "anthropic"
[[endpoint]]
name = "one"
provider = "anthropic"
key = { env = "KEY" }
[[model]]
name = "claude-*"
provider = "anthropic"
"#;

pub(super) fn lab() -> Lab {
    Lab::with(&[
        ("KEY", "sk-0123456789abcdef0123"),
        ("KEY2", "sk-2-0123456789abcdef0123"),
        ("EMPTY", ""),
        ("SPACED", "a b"),
    ])
}

/// Faults, or the notes of what passes, one a line.
pub(super) fn told(text: &str) -> Vec<String> {
    match config::parse(text, Path::new("w.toml"), &lab()) {
        Ok(config) => config.notes.iter().map(|note| format!("note {note}")).collect(),
        Err(faults) => faults.0.iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn the_base_of_these_cases_passes_without_a_note() {
    assert_eq!(told(BASE), [""; 0]);
}

#[test]
fn syntax_errors_are_told_with_their_lines() {
    assert_eq!(
        told(
            r#"listen = 
[server
"#
        ),
        [
            r#"w.toml:1: not TOML: string values must be quoted, expected literal string; text stands in quotes, a list in [ ], and each key only once"#,
            r#"w.toml:2: not TOML: unclosed table, expected `]`; text stands in quotes, a list in [ ], and each key only once"#,
        ]
    );
}

#[test]
fn a_key_written_twice_is_a_fault() {
    assert_eq!(
        told(
            r#"[server]
listen = "a"
listen = "b"
"#
        ),
        [
            r#"w.toml:3: not TOML: duplicate key; text stands in quotes, a list in [ ], and each key only once"#,
        ]
    );
}

#[test]
fn an_empty_file_says_what_a_gateway_needs() {
    assert_eq!(
        told(r#""#),
        [
            r#"w.toml: `provider`: no provider is configured; a gateway needs a `[[provider]]`, an `[[endpoint]]` and a `[[model]]`"#,
            r#"w.toml: `endpoint`: no endpoint is configured; a gateway needs a `[[provider]]`, an `[[endpoint]]` and a `[[model]]`"#,
        ]
    );
}

#[test]
fn an_empty_provider_says_what_is_missing() {
    assert_eq!(
        told(
            r#"[[provider]]
"#
        ),
        [
            r#"w.toml: `endpoint`: no endpoint is configured; a gateway needs a `[[provider]]`, an `[[endpoint]]` and a `[[model]]`"#,
            r#"w.toml:1: `provider[1].name`: missing; give it a name, such as `anthropic`"#,
            r#"w.toml:1: `provider[1].dialect`: missing; write what the host speaks, such as `anthropic` or `openai`; or its `preset`"#,
        ]
    );
}

#[test]
fn whoever_may_look_is_told_from_whoever_may_act() {
    let faults = |lines: &str| -> Vec<String> {
        let told = told(&format!("{BASE}[server]\n{lines}"));
        told.into_iter().filter(|line| !line.starts_with("note ")).collect()
    };
    assert_eq!(faults("admin_token = \"one-token\"\nread_token = \"another-token\"\n"), [""; 0]);
    assert_eq!(
        faults("admin_token = \"one-token\"\nread_token = \"one-token\"\n"),
        [
            "w.toml:13: `server.read_token`: the same as `admin_token`, so whoever may look could act; make another one, such as with `openssl rand -hex 32`"
        ]
    );
    assert_eq!(
        faults("read_token = \"another-token\"\n"),
        [
            "w.toml:12: `server.read_token`: without `admin_token` there is nothing that it could be less than; add `admin_token = { env = \"NAME\" }`, or remove `read_token`"
        ]
    );
}

#[test]
fn a_misspelt_section_is_guessed() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[serve]
x = 1
"#)
        ),
        [r#"w.toml:11: `serve`: unknown key; did you mean `server`?"#,]
    );
}

#[test]
fn an_unknown_key_is_guessed_or_the_known_ones_are_listed() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
lisen = "127.0.0.1:1"
colour = "red"
"#)
        ),
        [
            r#"w.toml:12: `server.lisen`: unknown key; did you mean `listen`?"#,
            r#"w.toml:13: `server.colour`: unknown key; known here: `admin`, `admin_token`, `drain`, `explain`, `heartbeat`, `hold`, `listen`, `log`, `max_attempts`, `max_body`, `max_buffered`, `max_depth`, `max_header_bytes`, `max_headers`, `open`, `read_token`, `session_headers`, `state_every`, `state_file`, `threads`, `tls`, `upload_timeout`, `watch`, `write_timeout`"#,
        ]
    );
}

#[test]
fn cache_care_that_a_host_does_not_know_is_a_fault() {
    let openai = |lines: &str| {
        format!(
            r#"{BASE}[[provider]]
name = "open"
dialect = "openai"
{lines}[[endpoint]]
name = "two"
provider = "open"
key = {{ env = "KEY2" }}
[[model]]
name = "gpt-*"
provider = "open"
"#
        )
    };
    assert_eq!(
        told(&openai("care = { markers = true }\nkeep_alive = { enabled = true }\n")),
        [
            r#"w.toml:14: `provider[2].care.markers`: hosts of the `openai` dialect cache without markers; remove it; `cache_key` is what helps there"#,
            r#"w.toml:15: `provider[2].keep_alive.enabled`: only Anthropic has requests that warm the cache and bill no output; remove it"#,
        ]
    );
    assert_eq!(
        told(&(openai("") + "cache_ttl = \"1h\"\n")),
        [
            r#"w.toml:21: `model[2].cache_ttl`: hosts of the `openai` dialect have no markers that could ask for it; remove it"#
        ]
    );
    let observed = r#"dialect = "anthropic"
credentials = "caller"
care = { cache_key = true }
keep_alive = { enabled = true, max_pings = 0, budget_usd = -1 }
"#;
    let text = BASE.replace("dialect = \"anthropic\"\n", observed).replace("key = { env = \"KEY\" }\n", "");
    assert_eq!(
        told(&text),
        [
            r#"w.toml:5: `provider[1].care.cache_key`: hosts of the `anthropic` dialect know no cache keys; remove it; `markers` is what helps there"#,
            r#"w.toml:6: `provider[1].keep_alive.budget_usd`: `-1` is out of range; write a number from 0 to 1000000"#,
            r#"w.toml:6: `provider[1].keep_alive.max_pings`: `0` is out of range; write a whole number from 1 to 100"#,
            r#"w.toml:6: `provider[1].keep_alive.enabled`: requests of our own need a key of our own, and `credentials` is `caller`; remove it"#,
        ]
    );
    assert_eq!(
        told(&(BASE.to_owned() + "cache_ttl = \"2h\"\n")),
        [r#"w.toml:11: `model[1].cache_ttl`: unknown word `2h`; did you mean `1h`?"#]
    );
}

#[test]
fn without_callers_only_loopback_may_connect() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
listen = "0.0.0.0:8080"
"#)
        ),
        [
            r#"w.toml:12: `server.listen`: no `[[caller]]` is configured, so anyone who reaches `0.0.0.0:8080` could spend your keys; add a `[[caller]]` with a `name` and a `token`, or `open = false` to let in only the keys of `warmkey key create`, or listen on 127.0.0.1"#,
        ]
    );
}

#[test]
fn an_open_gateway_stays_on_loopback() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[caller]]
name = "a"
token = { env = "KEY2" }
[server]
open = true
listen = ["127.0.0.1:8080", ":8080"]
"#)
        ),
        [
            r#"w.toml:16: `server.listen`: `open = true`, so anyone who reaches `0.0.0.0:8080` could spend your keys; remove `open`, or listen on 127.0.0.1"#,
        ]
    );
}

#[test]
fn server_values_are_of_their_kind_and_in_range() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
listen = []
threads = -1
max_attempts = 0
drain = "0s"
upload_timeout = "60"
write_timeout = 30
max_body = "32"
max_headers = "many"
explain = "yes"
session_headers = ["x y", "Authorization"]
max_depth = 1.5
"#)
        ),
        [
            r#"w.toml:12: `server.listen`: an empty list; write at least one address, such as `127.0.0.1:8080`"#,
            r#"w.toml:13: `server.threads`: `-1` is out of range; write a whole number from 0 to 1024"#,
            r#"w.toml:14: `server.max_attempts`: `0` is out of range; write a whole number from 1 to 10"#,
            r#"w.toml:15: `server.drain`: `0s` is out of range; write a time from 1s to 1h, such as `5m`"#,
            r#"w.toml:16: `server.upload_timeout`: `60` is not a time; write a time from 1s to 1h, such as `1m`"#,
            r#"w.toml:17: `server.write_timeout`: a time in quotes is needed, this is a whole number; write a time from 1s to 10m, such as `30s`"#,
            r#"w.toml:18: `server.max_body`: `32` is not a size; write a size from 1KiB to 1GiB, such as `32MiB`"#,
            r#"w.toml:19: `server.max_headers`: a whole number is needed, this is text; write a whole number from 16 to 1000"#,
            r#"w.toml:20: `server.explain`: `true` or `false` is needed, this is text; write it without quotes"#,
            r#"w.toml:21: `server.session_headers`: `x y` is not a header's name; write it as in `x-my-session`"#,
            r#"w.toml:21: `server.session_headers`: `authorization` carries a credential, which many sessions share; name a header that differs from conversation to conversation"#,
            r#"w.toml:22: `server.max_depth`: a whole number is needed, this is a fraction; write a whole number from 16 to 1024"#,
        ]
    );
}

#[test]
fn addresses_logs_and_tls_are_checked() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
listen = "127.0.0.1:9090"
admin = "nowhere"
max_buffered = "1MiB"
[server.log]
level = "loud=bar=x"
format = "jsn"
[server.tls]
cert = "/nonexistent/cert.pem"
"#)
        ),
        [
            r#"w.toml:13: `server.admin`: `nowhere` is not an address with a port; write `127.0.0.1:8080` or `[::1]:8080`"#,
            r#"w.toml:13: `server.admin`: `127.0.0.1:9090` and `listen` at `127.0.0.1:9090` are one port; give the admin listener its own port"#,
            r#"w.toml:14: `server.max_buffered`: `1MiB` in all is less than one body may have; raise it to at least `32MiB`, or lower `max_body`"#,
            r#"w.toml:16: `server.log.level`: `loud=bar=x` is not a log level; write `error`, `warn`, `info`, `debug` or `trace`"#,
            r#"w.toml:17: `server.log.format`: unknown word `jsn`; did you mean `json`?"#,
            r#"w.toml:18: `server.tls.key`: missing; name a PEM file; TLS needs both `cert` and `key`"#,
            r#"w.toml:19: `server.tls.cert`: cannot read `/nonexistent/cert.pem`: No such file or directory (os error 2); name a file that the gateway's user may read"#,
        ]
    );
}

#[test]
fn two_listeners_cannot_share_an_address() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
listen = "127.0.0.1:9090"
max_buffered = "95%"
"#)
        ),
        [
            r#"w.toml:11: `server.admin`: `127.0.0.1:9090` and `listen` at `127.0.0.1:9090` are one port; give the admin listener its own port"#,
            r#"w.toml:13: `server.max_buffered`: `95%` is out of range; write a share of memory from 1% to 90%, such as `25%`"#,
        ]
    );
}

#[test]
fn a_section_is_not_a_value() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
max_buffered = "lots"
heartbeat = true
admin = "0.0.0.0:9090"
"#)
        ),
        [
            r#"w.toml:12: `server.max_buffered`: `lots` is not a size in range; write a size from 1MiB to 1024GiB, such as `1GiB`; or a share of memory, such as `25%`"#,
            r#"w.toml:13: `server.heartbeat`: a table is needed, this is `true` or `false`; write it as `[server.heartbeat]`"#,
        ]
    );
}

#[test]
fn routing_values_are_in_range() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[routing]
headroom = 0.5
wait_max = "1m"
max_waiting = 99999999999999999999999
"#)
        ),
        [
            r#"w.toml:12: `routing.headroom`: `0.5` is out of range; write a number from 1 to 10"#,
            r#"w.toml:13: `routing.wait_max`: `1m` is out of range; write a time from 0s to 30s, such as `10s`"#,
            r#"w.toml:14: `routing.max_waiting`: `99999999999999999999999` is out of range; write a whole number from 0 to 100000"#,
        ]
    );
}

#[test]
fn provider_values_are_checked() {
    assert_eq!(
        told(
            r#"[[provider]]
name = "v1"
dialect = "antropic"
base_url = "sim"
[[provider]]
name = "open ai"
dialect = "openai"
base_url = "https://user:pw@h/"
auth = "basic"
address = "1.2.3.4"
ca_file = "none.pem"
health_path = "health"
passthrough = ["/v1/files", "get /v1/files", "GET v1", "GET /a/../b", "GET /v1/{a"]
unlisted = "allow"
[provider.timeouts]
first_byte = "20m"
total = "10m"
[provider.cooling]
base = "10m"
allowed_fails = 0
[provider.cache]
short = "2h"
long = "1h"
"#
        ),
        [
            r#"w.toml: `endpoint`: no endpoint is configured; a gateway needs a `[[provider]]`, an `[[endpoint]]` and a `[[model]]`"#,
            r#"w.toml:2: `provider[1].name`: `v1` is one of the gateway's own paths; give it another name, such as `anthropic`"#,
            r#"w.toml:3: `provider[1].dialect`: unknown word `antropic`; did you mean `anthropic`?"#,
            r#"w.toml:4: `provider[1].base_url`: there is no simulated provider in this file; add a `[sim]` section"#,
            r#"w.toml:6: `provider[2].name`: `open ai` is not a name; names have at most 64 letters, digits, `-`, `_` and `.`"#,
            r#"w.toml:8: `provider[2].base_url`: not a base URL: it holds a user or password; write `https://api.openai.com`"#,
            r#"w.toml:9: `provider[2].auth`: unknown word `basic`; write `x-api-key` or `bearer` or `api-key` or `goog-api-key` or `query-key` or `sigv4` or `google-service-account` or `azure-entra`"#,
            r#"w.toml:10: `provider[2].address`: `1.2.3.4` is not an address with a port; write `127.0.0.1:8080` or `[::1]:8080`"#,
            r#"w.toml:11: `provider[2].ca_file`: cannot read `none.pem`: No such file or directory (os error 2); name a file that the gateway's user may read"#,
            r#"w.toml:12: `provider[2].health_path`: `health` is not a path; write it as in `/health`"#,
            r#"w.toml:13: `provider[2].passthrough`: `/v1/files` is not a rule: it has no method; write a method and a path, such as `GET /v1/files/*`"#,
            r#"w.toml:13: `provider[2].passthrough`: `get /v1/files` is not a rule: its method is not upper case or `*`; write a method and a path, such as `GET /v1/files/*`"#,
            r#"w.toml:13: `provider[2].passthrough`: `GET v1` is not a rule: its path does not begin with `/`, or has a query; write a method and a path, such as `GET /v1/files/*`"#,
            r#"w.toml:13: `provider[2].passthrough`: `GET /a/../b` is not a rule: its path is not plain, and requests are matched on their plain path; write a method and a path, such as `GET /v1/files/*`"#,
            r#"w.toml:13: `provider[2].passthrough`: `GET /v1/{a` is not a rule: its path is not a glob; write a method and a path, such as `GET /v1/files/*`"#,
            r#"w.toml:14: `provider[2].unlisted`: unknown word `allow`; write `refuse` or `pass`"#,
            r#"w.toml:16: `provider[2].timeouts.first_byte`: longer than `total`, so it could never end a request; lower `first_byte`, or raise `total`"#,
            r#"w.toml:19: `provider[2].cooling.base`: longer than `max`; lower `base`, or raise `max`"#,
            r#"w.toml:20: `provider[2].cooling.allowed_fails`: `0` is out of range; write a whole number from 1 to 100"#,
            r#"w.toml:22: `provider[2].cache.short`: longer than `long`; lower `short`, or raise `long`"#,
        ]
    );
}

#[test]
fn names_are_unique_and_references_known() {
    assert_eq!(
        told(
            r#"[[provider]]
name = "anthropic"
[[provider]]
name = "anthropic"
dialect = "anthropic"
[[endpoint]]
name = "one"
provider = "antropic"
key = { env = "KEY" }
[[endpoint]]
provider = "anthropic"
[[endpoint]]
name = "two"
provider = "anthropic"
key = { env = "MISSING" }
rate_domain = "a"
organization = "b"
weight = 0
[[endpoint]]
name = "two"
provider = "anthropic"
key = {}
[[model]]
name = "claude-[4]"
endpoints = ["tow", "x-*", "anthropic"]
[[model]]
name = "x"
[[model]]
name = "x"
provider = "openai"
upstream = "a*"
"#
        ),
        [
            r#"w.toml:1: `provider[1].dialect`: missing; write what the host speaks, such as `anthropic` or `openai`; or its `preset`"#,
            r#"w.toml:4: `provider[2].name`: `anthropic` is the name of `provider[1]` already; give each one its own name"#,
            r#"w.toml:8: `endpoint[1].provider`: unknown provider `antropic`; did you mean `anthropic`?"#,
            r#"w.toml:10: `endpoint[2].name`: missing; give it a name, such as `team-a`: placement hashes it, so keep it"#,
            r#"w.toml:15: `endpoint[3].key`: environment variable `MISSING` is not set; set it (`export MISSING=...`), or name another place"#,
            r#"w.toml:17: `endpoint[3].organization`: another word for `rate_domain`, which is there already; remove one of them"#,
            r#"w.toml:18: `endpoint[3].weight`: `0` is out of range; write a whole number from 1 to 10000"#,
            r#"w.toml:20: `endpoint[4].name`: `two` is the name of `endpoint[3]` already; give each one its own name"#,
            r#"w.toml:22: `endpoint[4].key`: a secret has exactly one place; write `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`"#,
            r#"w.toml:24: `model[1].name`: `claude-[4]` is not a model's name or glob; in globs only `*` is special; at most 128 characters"#,
            r#"w.toml:25: `model[1].endpoints`: unknown endpoint `tow`; did you mean `two`?"#,
            r#"w.toml:25: `model[1].endpoints`: no endpoint is called `x-*`; known: `one`, `two`"#,
            r#"w.toml:25: `model[1].endpoints`: `anthropic` is a provider, not an endpoint; write `provider = "anthropic"` for all its endpoints"#,
            r#"w.toml:26: `model[2].endpoints`: missing; write `provider = "name"` for all its endpoints, or `endpoints = ["name", ...]`"#,
            r#"w.toml:30: `model[3].provider`: unknown provider `openai`; known: `anthropic`"#,
            r#"w.toml:31: `model[3].upstream`: a provider knows no globs; write one name, or leave it out to keep the caller's"#,
        ]
    );
}

#[test]
fn a_secret_that_cannot_be_read_says_where_it_was_looked_for() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[endpoint]]
name = "e1"
provider = "anthropic"
key = { env = "EMPTY" }
[[endpoint]]
name = "e2"
provider = "anthropic"
key = { env = "SPACED" }
[[endpoint]]
name = "e3"
provider = "anthropic"
key = { file = "/nonexistent/key" }
[[endpoint]]
name = "e4"
provider = "anthropic"
key = { credential = "key" }
[[endpoint]]
name = "e5"
provider = "anthropic"
key = { credential = "../key" }
[[endpoint]]
name = "e6"
provider = "anthropic"
key = { env = "KEY", file = "x" }
[[endpoint]]
name = "e7"
provider = "anthropic"
key = { evn = "KEY" }
[[endpoint]]
name = "e8"
provider = "anthropic"
key = 5
[[endpoint]]
name = "e9"
provider = "anthropic"
"#)
        ),
        [
            r#"w.toml:14: `endpoint[2].key`: environment variable `EMPTY` is empty; put the key there and nothing else"#,
            r#"w.toml:18: `endpoint[3].key`: environment variable `SPACED` holds a space, a line break or another character that no key has; put the key there and nothing else"#,
            r#"w.toml:22: `endpoint[4].key`: cannot read `/nonexistent/key`: No such file or directory (os error 2); name a file that the gateway's user may read"#,
            r#"w.toml:26: `endpoint[5].key`: `$CREDENTIALS_DIRECTORY` is not set; run under systemd with `LoadCredential=key:/path/to/it`, or name another place"#,
            r#"w.toml:30: `endpoint[6].key`: `../key` is not a credential's name; write the name alone"#,
            r#"w.toml:34: `endpoint[7].key`: a secret has exactly one place; write `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`"#,
            r#"w.toml:38: `endpoint[8].key.evn`: unknown key; did you mean `env`?"#,
            r#"w.toml:42: `endpoint[9].key`: a secret's place is needed, this is a whole number; write `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`"#,
            r#"w.toml:43: `endpoint[10].key`: missing, and `api.anthropic.com` answers nobody without one; write `key = { env = "NAME" }`, or `credentials = "caller"` at the provider"#,
        ]
    );
}

#[test]
fn keys_and_models_agree() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[provider]]
name = "mine"
dialect = "openai"
credentials = "caller"
base_url = "http://10.0.0.7:8000/v1"
passthrough = "* /**"
[[endpoint]]
name = "mine-1"
provider = "mine"
key = "sk-literal-secret"
[[model]]
name = "m"
provider = ["mine", "anthropic"]
[[model]]
name = "claude-*"
endpoints = "one"
"#)
        ),
        [
            r#"w.toml:20: `endpoint[2].key`: provider `mine` uses the caller's own credential, so this key is never sent; remove the key, or write `credentials = "gateway"` at the provider"#,
            r#"w.toml:25: `model[3].name`: `claude-*` is `model[1]` already; list all its endpoints in one `[[model]]`"#,
        ]
    );
}

#[test]
fn what_is_allowed_but_odd_is_noted() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[provider]]
name = "mine"
dialect = "openai"
base_url = "http://10.0.0.7:8000/v1"
passthrough = "* /**"
[[endpoint]]
name = "two"
provider = "anthropic"
key = "sk-0123456789abcdef0123"
[[caller]]
name = "b"
token = "short"
[server]
admin = "0.0.0.0:9090"
"#)
        ),
        [
            r#"note w.toml: `endpoint`: provider `mine` has no endpoint, so nothing can go there; add an `[[endpoint]]`, or remove the provider"#,
            r#"note w.toml:14: `provider[2].base_url`: keys and prompts travel to `10.0.0.7` in the clear; use `https://` unless you trust every wire between"#,
            r#"note w.toml:15: `provider[2].passthrough`: `* /**` opens paths that nobody here knows: they are not metered; name the paths that you need"#,
            r#"note w.toml:16: `endpoint[2]`: the same key as endpoint `one`: one account, counted twice; remove one of them, or give each its own key"#,
            r#"note w.toml:19: `endpoint[2].key`: the secret itself stands in the file; keep it outside: `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`"#,
            r#"note w.toml:22: `caller[1].token`: the secret itself stands in the file; keep it outside: `{ env = "NAME" }`, `{ file = "path" }` or `{ credential = "name" }`"#,
            r#"note w.toml:22: `caller[1].token`: the token is so short that it can be guessed; take a random one, such as the output of `openssl rand -hex 24`"#,
            r#"note w.toml:24: `server.admin`: the admin listener is open to others and has no token: only `/metrics`, `/livez` and `/readyz` will answer; add `admin_token = { env = "NAME" }`, or listen on loopback"#,
        ]
    );
}

#[test]
fn callers_have_one_token_of_their_own() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[caller]]
name = "a"
[[caller]]
name = "b"
token = { env = "KEY" }
[[caller]]
name = "b"
token = { env = "KEY2" }
token_sha256 = "x"
[[caller]]
name = "c"
token_sha256 = "my-real-token"
models = []
[[caller]]
name = "d"
token = { env = "KEY2" }
[[caller]]
name = "e"
token = { env = "KEY2" }
tenant = "a b"
"#)
        ),
        [
            r#"w.toml:11: `caller[1].token`: missing; write `token = { env = "NAME" }` or `token_sha256 = "..."`"#,
            r#"w.toml:15: `caller[2].token`: the token is the upstream key of endpoint `one`; issue a token of your own: whoever holds that key needs no gateway"#,
            r#"w.toml:17: `caller[3].name`: `b` is the name of `caller[2]` already; give each one its own name"#,
            r#"w.toml:19: `caller[3].token_sha256`: a caller has one token, and `token` is there already; remove one of them"#,
            r#"w.toml:22: `caller[4].token_sha256`: not a SHA-256 digest; write the 64 hexadecimal digits of `printf %s "$TOKEN" | sha256sum`"#,
            r#"w.toml:23: `caller[4].models`: an empty list allows nothing; list models or globs, or remove the line to allow all"#,
            r#"w.toml:29: `caller[6].token`: the same token as caller `d`; give each caller its own token"#,
            r#"w.toml:30: `caller[6].tenant`: `a b` is not a name; names have at most 64 letters, digits, `-`, `_` and `.`"#,
        ]
    );
}

#[test]
fn the_simulator_stays_at_home_on_a_fixed_port() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[sim]
listen = "0.0.0.0:0"
tokens_per_second = "fast"
compress = 0
"#)
        ),
        [
            r#"w.toml:11: `sim.account`: missing; add a `[[sim.account]]` with a `key`"#,
            r#"w.toml:12: `sim.listen`: port 0 is another one at each start; write a fixed port: `base_url = "sim"` goes there"#,
            r#"w.toml:12: `sim.listen`: `0.0.0.0:0` is not on loopback; the simulated provider is for this machine only"#,
            r#"w.toml:13: `sim.tokens_per_second`: a number is needed, this is text; write a number from 0 to 1000000"#,
            r#"w.toml:14: `sim.compress`: `0` is out of range; write a number from 0.001 to 1000000"#,
        ]
    );
}

#[test]
fn simulated_accounts_have_keys() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[[sim.account]]
organization = "x"
limits = { rmp = 5 }
"#)
        ),
        [
            r#"w.toml:11: `sim.account[1].key`: missing; write any text; an endpoint sends the same one"#,
            r#"w.toml:13: `sim.account[1].limits.rmp`: unknown key; did you mean `rpm`?"#,
        ]
    );
}

#[test]
fn other_files_must_be_readable() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[metering]
prices = "/nonexistent/prices.toml"
[server]
state_file = ""
name = 1979-05-27
"#)
        ),
        [
            r#"w.toml:12: `metering.prices`: cannot read `/nonexistent/prices.toml`: No such file or directory (os error 2); name a price list that the gateway's user may read"#,
            r#"w.toml:14: `server.state_file`: empty text; write a value, or remove the line"#,
            r#"w.toml:15: `server.name`: unknown key; known here: `admin`, `admin_token`, `drain`, `explain`, `heartbeat`, `hold`, `listen`, `log`, `max_attempts`, `max_body`, `max_buffered`, `max_depth`, `max_header_bytes`, `max_headers`, `open`, `read_token`, `session_headers`, `state_every`, `state_file`, `threads`, `tls`, `upload_timeout`, `watch`, `write_timeout`"#,
        ]
    );
}

#[test]
fn top_level_sections_are_of_their_kind() {
    assert_eq!(
        told(
            r#"server = 5
provider = "x"
endpoint = [1]
"#
        ),
        [
            r#"w.toml:1: `server`: a table is needed, this is a whole number; write it as `[server]`"#,
            r#"w.toml:2: `provider`: a list of tables is needed, this is text; write each one as `[[provider]]`"#,
            r#"w.toml:3: `endpoint`: a list of tables is needed, this is a list; write each one as `[[endpoint]]`"#,
        ]
    );
}

#[test]
fn endpoints_without_models_serve_nobody() {
    assert_eq!(
        told(
            r#"[[provider]]
name = "anthropic"
dialect = "anthropic"
[[endpoint]]
name = "one"
provider = "anthropic"
key = { env = "KEY" }
"#
        ),
        [r#"w.toml: `model`: no model is offered; add a `[[model]]`, or `unlisted = "pass"` at a provider"#,]
    );
}

#[test]
fn buffers_hold_one_body_at_least() {
    assert_eq!(
        told(
            &(BASE.to_owned()
                + r#"[server]
max_buffered = "1MiB"
"#)
        ),
        [
            r#"w.toml:12: `server.max_buffered`: `1MiB` in all is less than one body may have; raise it to at least `32MiB`, or lower `max_body`"#,
        ]
    );
}

#[test]
fn a_provider_is_asked_for_one_model_by_name() {
    assert_eq!(
        told(
            r#"[[provider]]
name = "anthropic"
dialect = "anthropic"
[[endpoint]]
name = "one"
provider = "anthropic"
key = { env = "KEY" }
[[model]]
name = "claude-*"
provider = "anthropic"
upstream = "a*"
"#
        ),
        [
            r#"w.toml:11: `model[1].upstream`: a provider knows no globs; write one name, or leave it out to keep the caller's"#,
        ]
    );
}

#[test]
fn a_model_needs_an_endpoint() {
    assert_eq!(
        told(
            r#"[[provider]]
name = "anthropic"
dialect = "anthropic"
[[provider]]
name = "idle"
dialect = "anthropic"
[[endpoint]]
name = "one"
provider = "anthropic"
key = { env = "KEY" }
[[model]]
name = "claude-*"
provider = "idle"
"#
        ),
        [
            r#"w.toml:13: `model[1].provider`: no endpoint serves this model; add an `[[endpoint]]` with a key"#,
        ]
    );
}

#[test]
fn a_price_list_is_told_of_in_its_own_lines() {
    let dir = tempfile::tempdir().expect("a folder");
    let list = r#"[[price]]
input = -1
output = "3,5"
cached_reed = 1
[[price]]
model = "m"
input = 1e3
[[price]]
model = "m"
input = 1
output = true
above = [{ input = 2 }, { input_tokens = 200 }, { input_tokens = 100 }]
"#;
    std::fs::write(dir.path().join("p.toml"), list).expect("written");
    let text = format!("{BASE}[metering]\nprices = \"p.toml\"\n");
    let faults = config::parse(&text, &dir.path().join("w.toml"), &lab()).expect_err("faults");
    let folder = format!("{}/", dir.path().display());
    let told: Vec<String> = faults.0.iter().map(|fault| fault.to_string().replace(&folder, "")).collect();
    let remedy = "write dollars per million tokens, such as `3.75`, with at most nine decimals";
    assert_eq!(
        told,
        [
            "p.toml:1: `price[1].model`: missing; write the name that the provider uses".to_owned(),
            format!("p.toml:2: `price[1].input`: `-1` is not a price; {remedy}"),
            format!("p.toml:3: `price[1].output`: `3,5` is not a price; {remedy}"),
            "p.toml:4: `price[1].cached_reed`: unknown key; did you mean `cached_read`?".to_owned(),
            format!("p.toml:5: `price[2].output`: missing; {remedy}"),
            format!("p.toml:7: `price[2].input`: `1e3` is not a price; {remedy}"),
            "p.toml:9: `price[3].model`: `m` is priced twice; remove one of them".to_owned(),
            format!("p.toml:11: `price[3].output`: a price is needed, this is `true` or `false`; {remedy}"),
            "p.toml:12: `price[3].above[1].input_tokens`: missing; write the number of input tokens above which these prices hold".to_owned(),
            "p.toml:12: `price[3].above[3].input_tokens`: not above the tier before; write tiers from the lowest to the highest".to_owned(),
        ]
    );
}

#[test]
fn an_empty_list_of_callers_is_none() {
    assert_eq!(
        told(&format!("caller = []\n{BASE}[server]\nlisten = \"0.0.0.0:80\"\n")),
        [
            "w.toml:13: `server.listen`: no `[[caller]]` is configured, so anyone who reaches `0.0.0.0:80` could spend your keys; add a `[[caller]]` with a `name` and a `token`, or `open = false` to let in only the keys of `warmkey key create`, or listen on 127.0.0.1",
        ]
    );
}

#[test]
fn free_ports_do_not_clash_and_every_interface_does() {
    let listeners = |listen: &str, admin: &str| {
        told(&format!(
            "{BASE}[[caller]]\nname = \"a\"\ntoken = {{ env = \"KEY2\" }}\n[server]\nlisten = \"{listen}\"\nadmin = \"{admin}\"\n"
        ))
    };
    assert_eq!(listeners("127.0.0.1:0", "127.0.0.1:0"), [""; 0]);
    assert_eq!(
        listeners("0.0.0.0:9090", "127.0.0.1:9090"),
        [
            "w.toml:16: `server.admin`: `127.0.0.1:9090` and `listen` at `0.0.0.0:9090` are one port; give the admin listener its own port"
        ]
    );
}

#[test]
fn a_collector_is_a_url_and_its_headers_are_secrets() {
    assert_eq!(
        told(&format!(
            "{BASE}[otlp]\nendpoint = \"https://user:word@collector/?key=word\"\nsample = 2\ntimeout = \"1m\"\n\
             headers = [{{ name = \"a b\", value = \"x\" }}, {{ name = \"Host\", value = {{ env = \"SPACED\" }} }}, {{ name = \"x\" }}, {{ name = \"y\", value = {{ env = \"EMPTY\" }} }}]\n"
        )),
        [
            "w.toml:12: `otlp.endpoint`: not the URL of a collector; write `http://HOST:4318` or `https://HOST/...`; user, password and query belong in `headers`",
            "w.toml:13: `otlp.sample`: `2` is out of range; write a number from 0 to 1",
            "w.toml:14: `otlp.timeout`: `1m` is out of range; write a time from 100ms to 10s, such as `5s`",
            "w.toml:15: `otlp.headers[1].name`: `a b` is not a header's name; write it as in `authorization`",
            "w.toml:15: `otlp.headers[2].name`: `host` is the gateway's to set; remove it",
            "w.toml:15: `otlp.headers[3].value`: missing; write where the value is kept, such as `{ env = \"NAME\" }`",
            "w.toml:15: `otlp.headers[4].value`: environment variable `EMPTY` is not what a header can carry; put its value there, in one line of ASCII",
        ]
    );
    assert_eq!(
        told(&format!("{BASE}[otlp]\nsample = 0.5\n")),
        [
            "w.toml:11: `otlp.endpoint`: missing; write where the collector listens, such as `http://127.0.0.1:4318`, or remove the section"
        ]
    );
}

#[test]
fn a_collectors_usual_path_is_added_where_none_is_written() {
    let url = |endpoint: &str| {
        let text = format!("{BASE}[otlp]\nendpoint = \"{endpoint}\"\n");
        let config =
            config::parse(&text, Path::new("w.toml"), &lab()).unwrap_or_else(|faults| panic!("{faults}"));
        config.otlp.expect("traces").url
    };
    assert_eq!(url("http://127.0.0.1:4318"), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(url("https://collector/"), "https://collector/v1/traces");
    assert_eq!(url("https://collector/api/otlp"), "https://collector/api/otlp");
    let none = config::parse(BASE, Path::new("w.toml"), &lab()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(none.otlp.is_none());
    assert!(!none.providers[0].trace_context);
    let engine = BASE.replace("[[endpoint]]", "health_path = \"/health\"\n[[endpoint]]");
    let engine =
        config::parse(&engine, Path::new("w.toml"), &lab()).unwrap_or_else(|faults| panic!("{faults}"));
    assert!(engine.providers[0].trace_context);
}
