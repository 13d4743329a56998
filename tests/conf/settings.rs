//! The settings in force as people see them: all of them, and no secret.

use std::collections::BTreeSet;

use super::{all_on, lab, load_text, shipped};
use warmkey::{config, snapshot::Setting};

fn rows(text: &str) -> Vec<Setting> {
    let (config, _) = load_text(text).unwrap_or_else(|faults| panic!("{faults}"));
    config.settings.rows
}

fn value<'a>(rows: &'a [Setting], section: &str, knob: &str) -> &'a str {
    let row = rows.iter().find(|row| row.section == section && row.knob == knob);
    row.map_or_else(|| panic!("no `{knob}` under `{section}`"), |row| row.value.as_str())
}

/// `provider.passthrough`, whichever of its entries it is.
fn plain(knob: &str) -> String {
    let mut text = String::new();
    let mut depth = 0_usize;
    for c in knob.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    text
}

#[test]
fn every_knob_that_is_written_shows() {
    let text = all_on(&shipped("warmkey.toml"));
    let (config, knobs) = load_text(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let shown: BTreeSet<String> = config.settings.rows.iter().map(|row| plain(&row.knob)).collect();
    // A table shows by what stands in it; kinds that stand in many places, under each of their names.
    let is_shown = |knob: &&String| {
        let (kind, key) = knob.split_once('.').unwrap_or(("", knob));
        let among = |places: &[&str]| {
            places.iter().any(|place| shown.iter().any(|known| known.ends_with(&format!(".{place}.{key}"))))
        };
        let inside = shown.iter().any(|known| known.starts_with(&format!("{knob}.")));
        inside
            || shown.contains(*knob)
            || match kind {
                "levels" => among(&["limits"]),
                "budgets" => among(&["budgets", "session_budgets"]),
                "secret" => {
                    among(&["key", "token", "admin_token", "read_token", "google_service_account"])
                        || among(&["aws_secret_access_key", "entra_client_secret"])
                }
                _ => false,
            }
    };
    let missing: Vec<_> = knobs.iter().filter(|knob| !is_shown(knob)).collect();
    assert!(missing.is_empty(), "knobs that nobody says the value of (`Section::shows`): {missing:?}");
}

#[test]
fn every_knob_of_the_gateway_shows_without_being_written() {
    let (_, knobs) = load_text(&all_on(&shipped("warmkey.toml"))).unwrap_or_else(|faults| panic!("{faults}"));
    let rows = rows(&shipped("minimal.toml"));
    let shown: BTreeSet<&str> = rows.iter().map(|row| row.knob.as_str()).collect();
    let single = ["server.", "routing.", "metering.", "ledger.", "state.", "alerts.", "trace."];
    let is_table = |knob: &str| knobs.iter().any(|other| other.starts_with(&format!("{knob}.")));
    let missing: Vec<_> = knobs
        .iter()
        .filter(|knob| single.iter().any(|part| knob.starts_with(part)) && !is_table(knob))
        .filter(|knob| !shown.contains(knob.as_str()))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn defaults_show_as_the_manual_writes_them() {
    let rows = rows(&shipped("minimal.toml"));
    for (section, knob, expected) in [
        ("server", "server.listen", "127.0.0.1:8080"),
        ("server", "server.admin", "127.0.0.1:9090"),
        ("server", "server.admin_token", "(not set)"),
        ("server", "server.drain", "5m"),
        ("server", "server.max_body", "32MiB"),
        ("server", "server.hold.responses", "10s"),
        ("server", "server.log.level", "info"),
        ("server", "server.tls.cert", "(not set)"),
        ("routing", "routing.wait_max", "10s"),
        ("routing", "routing.headroom", "1.1"),
        ("ledger", "ledger.when_full", "open"),
        ("ledger", "ledger.keep", "(not set)"),
        ("provider anthropic", "provider.base_url", "https://api.anthropic.com:443"),
        ("provider anthropic", "provider.speaks", "anthropic"),
        ("provider anthropic", "provider.auth", "x-api-key"),
        ("provider anthropic", "provider.timeouts.first_byte", "2m"),
        ("provider anthropic", "provider.cache.rule", "marked"),
    ] {
        assert_eq!(value(&rows, section, knob), expected, "{knob}");
    }
    let prices = value(&rows, "metering", "metering.models");
    assert!(prices.ends_with("models have a price"), "{prices}");
}

#[test]
fn secrets_show_where_they_are_kept_and_callers_tokens_not_at_all() {
    let rows = rows(&all_on(&shipped("warmkey.toml")));
    for (section, knob, expected) in [
        ("server", "server.admin_token", "(secret)"),
        ("server", "server.admin_token.env", "WARMKEY_ADMIN_TOKEN"),
        ("ledger", "ledger.postgres", "(secret)"),
        ("endpoint anthropic-2", "endpoint.key.file", "keys/anthropic-2"),
        ("caller team-a", "caller.token_sha256", "(secret)"),
        ("caller team-b", "caller.token", "(secret)"),
        ("sim", "sim.account[1].key", "(secret)"),
        ("endpoint bedrock-keys", "endpoint.key.aws_access_key_id", "(secret)"),
    ] {
        assert_eq!(value(&rows, section, knob), expected, "{knob}");
    }
    let all = format!("{rows:?}");
    for secret in ["not-a-real", "93fd56d950a0", "AKIAEXAMPLE", "sim-1"] {
        assert!(!all.contains(secret), "`{secret}` shows");
    }
    // Nor where it stands in the file itself.
    let plain =
        shipped("minimal.toml").replace("{ env = \"ANTHROPIC_API_KEY\" }", "\"sk-in-the-file-0123456789\"");
    let rows = self::rows(&plain);
    assert!(rows.iter().any(|row| row.knob == "endpoint.key" && row.value == "(secret)"), "{rows:?}");
    assert!(!format!("{rows:?}").contains("in-the-file"));
}

#[test]
fn the_demo_and_a_file_say_where_they_come_from() {
    let (dir, lab) = lab();
    let path = dir.path().join("warmkey.toml");
    std::fs::write(&path, shipped("minimal.toml")).expect("written");
    let config = config::load(&path, &lab).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(config.settings.file.as_deref(), path.to_str());
    assert_eq!(config::demo(&lab).expect("the demo").settings.file, None);
}
