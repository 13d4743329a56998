//! Configuration from the outside: every file we ship, and every sentence a fault is told in.

#![expect(clippy::expect_used, clippy::panic, reason = "a test helper may stop the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proptest::prelude::*;
use warmkey::{
    config::{self, Config, Faults, Host},
    snapshot::Open,
    store::ledger::LedgerParams,
};

#[path = "conf/faults.rs"]
mod faults;

#[path = "conf/levels.rs"]
mod levels;

#[path = "conf/presets.rs"]
mod presets;

#[path = "conf/quirks.rs"]
mod quirks;

#[path = "conf/settings.rs"]
mod settings;

/// A machine that has these variables and 8 GiB.
struct Lab(Vec<(String, String)>);

impl Lab {
    fn with(vars: &[(&str, &str)]) -> Self {
        Self(vars.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl Host for Lab {
    fn var(&self, name: &str) -> Option<String> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }

    fn memory(&self) -> u64 {
        8 << 30
    }
}

const VARIABLES: &[&str] =
    &["ANTHROPIC_API_KEY", "WARMKEY_TEAM_B_TOKEN", "WARMKEY_ADMIN_TOKEN", "WARMKEY_READ_TOKEN"];

const URLS: &[(&str, &str)] = &[
    ("WARMKEY_POSTGRES", "postgres://warmkey:not-a-real-password@db.internal/warmkey"),
    ("WARMKEY_REDIS", "rediss://warmkey:not-a-real-password@redis.internal:6380"),
    ("WARMKEY_WEBHOOK", "https://hooks.example.com/not-a-real-hook"),
];

/// A folder with every file that `conf/warmkey.toml` names, and a machine to go with it.
fn lab() -> (tempfile::TempDir, Lab) {
    let dir = tempfile::tempdir().expect("a folder");
    let files = ["keys/anthropic-2", "keys/aws", "keys/aws-session", "keys/entra", "openai-1"];
    for file in files.into_iter().chain(["tls/cert.pem", "tls/key.pem", "tls/ca.pem"]) {
        let path = dir.path().join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, format!("not-a-real-key-{}\n", file.replace('/', "-"))).expect("written");
    }
    fs::write(dir.path().join("my-prices.toml"), MY_PRICES).expect("written");
    fs::copy("tests/data/service-account.json", dir.path().join("keys/google.json")).expect("copied");
    let aws = dir.path().join("aws-credentials");
    fs::write(&aws, "[work]\naws_access_key_id = A\naws_secret_access_key = not-a-real-key\n")
        .expect("written");
    let mut lab = Lab(Vec::new());
    for name in VARIABLES {
        lab.0.push(((*name).to_owned(), format!("not-a-real-secret-{name}")));
    }
    lab.0.extend(URLS.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    lab.0.push(("AWS_SHARED_CREDENTIALS_FILE".into(), aws.display().to_string()));
    lab.0.push(("CREDENTIALS_DIRECTORY".into(), dir.path().display().to_string()));
    (dir, lab)
}

const MY_PRICES: &str = "[[price]]\nmodel = \"in-house-1\"\ninput = 0.5\noutput = 1.25\n";

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new("conf").join(name)).expect("a shipped file")
}

fn load_text(text: &str) -> Result<(Config, BTreeSet<String>), Faults> {
    let (dir, lab) = lab();
    let file = dir.path().join("warmkey.toml");
    let knobs = config::knobs(text, &file, &lab)?;
    Ok((config::parse(text, &file, &lab)?, knobs))
}

/// Takes the `#` off every knob that is off: those lines have no space after it.
fn all_on(text: &str) -> String {
    let line = |line: &str| {
        let knob = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        knob.unwrap_or(line).to_owned() + "\n"
    };
    text.lines().map(line).collect()
}

#[test]
fn every_shipped_file_passes() {
    let mut names: Vec<PathBuf> =
        fs::read_dir("conf").expect("conf").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    assert!(names.len() >= 4, "files are missing from conf/: {names:?}");
    for path in names {
        let text = fs::read_to_string(&path).expect("readable");
        let text = if path.ends_with("prices.toml") {
            // The price list is read through the file that names it.
            format!(
                "{}\n[metering]\nprices = {:?}\n",
                shipped("minimal.toml"),
                path.canonicalize().expect("a path")
            )
        } else {
            text
        };
        if let Err(faults) = load_text(&text) {
            panic!("{}:\n{faults}", path.display());
        }
    }
}

#[test]
fn the_minimal_file_has_ten_lines_and_serves_one_key() {
    let text = shipped("minimal.toml");
    assert!(text.lines().count() <= 10);
    let (config, _) = load_text(&text).expect("it passes");
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    let endpoint = &config.endpoints[0];
    assert_eq!(endpoint.key.as_ref().map(|key| key.expose()), Some("not-a-real-secret-ANTHROPIC_API_KEY"));
    assert_eq!(config.models[0].endpoints, std::slice::from_ref(&endpoint.name));
    assert_eq!(config.providers[0].host, "api.anthropic.com");
    assert_eq!(config.server.open, Open::UntilKeys, "nobody is configured, so loopback is open");
}

#[test]
fn the_demo_is_built_in_and_needs_nothing() {
    let config = config::demo(&Lab::with(&[])).expect("the demo passes");
    assert_eq!(config.server.listen, ["127.0.0.1:8080".parse().expect("an address")]);
    assert_eq!(config.server.admin, "127.0.0.1:9090".parse().expect("an address"));
    let sim = config.sim.expect("a simulated provider");
    let organizations: BTreeSet<&str> =
        sim.accounts.iter().map(|account| account.organization.as_str()).collect();
    let workspaces: BTreeSet<&str> = sim.accounts.iter().map(|account| account.workspace.as_str()).collect();
    assert_eq!((sim.accounts.len(), organizations.len(), workspaces.len()), (8, 3, 7));
    assert_eq!(
        config.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>(),
        ["claude-sonnet-4-6", "gpt-5.6"]
    );
    for model in &config.models {
        assert_eq!(model.endpoints.len(), 8, "{}", model.name);
    }
    for endpoint in &config.endpoints {
        let key = endpoint.key.as_ref().expect("a key").expose();
        let account = sim.accounts.iter().find(|account| account.key == key).expect("an account");
        assert_eq!(
            endpoint.rate_domain.as_ref().map(|name| name.as_str()),
            Some(account.organization.as_str())
        );
        assert_eq!(
            endpoint.cache_domain.as_ref().map(|name| name.as_str()),
            Some(account.workspace.as_str())
        );
    }
    for provider in &config.providers {
        assert_eq!(
            (provider.tls, provider.host.as_str(), provider.port),
            (false, "127.0.0.1", sim.listen.port())
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever somebody does to a file, reading it ends in a configuration or in faults.
    #[test]
    fn no_edit_of_a_file_makes_reading_panic(at in 0_usize..12_000, len in 0_usize..200, new in "\\PC{0,40}") {
        let mut text: Vec<char> = shipped("warmkey.toml").chars().collect();
        let from = at.min(text.len());
        let to = (from + len).min(text.len());
        text.splice(from..to, new.chars());
        let text: String = text.into_iter().collect();
        if let Err(faults) = config::parse(&text, Path::new("w.toml"), &Lab::with(&[])) {
            prop_assert!(!faults.0.is_empty());
        }
    }
}

/// `provider.timeouts.idle`, for every key of `table`.
fn keys_of(table: &toml::Table, outer: &str, keys: &mut BTreeSet<String>) {
    for (key, value) in table {
        let path = if outer.is_empty() { key.clone() } else { format!("{outer}.{key}") };
        keys.insert(path.clone());
        // Kinds of tables that stand in many places.
        let inner = match (path.as_str(), key.as_str()) {
            ("server.admin_token" | "server.read_token" | "caller.token" | "endpoint.key", _)
            | ("ledger.postgres" | "state.redis" | "alerts.webhook", _) => "secret",
            (path, _) if path.starts_with("secret.") => "secret",
            ("organisation.limits" | "team.limits" | "caller.limits" | "session.limits", _) => "levels",
            (_, "budgets" | "session_budgets") => "budgets",
            (path, _) => path,
        };
        match value {
            toml::Value::Table(table) => keys_of(table, inner, keys),
            toml::Value::Array(items) => {
                items.iter().filter_map(toml::Value::as_table).for_each(|table| keys_of(table, inner, keys));
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => {}
        }
    }
}

#[test]
fn the_long_file_names_every_knob_and_no_other() {
    let text = all_on(&shipped("warmkey.toml"));
    let (_, knobs) = load_text(&text).unwrap_or_else(|faults| panic!("{faults}\n"));
    let mut written = BTreeSet::new();
    keys_of(&text.parse().expect("TOML"), "", &mut written);
    let missing: Vec<_> = knobs.difference(&written).collect();
    assert!(missing.is_empty(), "knobs that conf/warmkey.toml does not show: {missing:?}");
    assert_eq!(written, knobs);
}

#[test]
fn the_long_file_shows_defaults() {
    /// What has no default, or is there as an example.
    const GIVEN: &[&str] = &[
        "name",
        "dialect",
        "preset",
        "region",
        "project",
        "location",
        "resource",
        "provider",
        "endpoints",
        "key",
        "token",
        "token_sha256",
        "models",
        "upstream",
        "class",
        "rate_domain",
        "cache_domain",
    ];
    let text = shipped("warmkey.toml");
    let is_given = |line: &&str| line.split_once(" = ").is_none_or(|(key, _)| GIVEN.contains(&key));
    let short: String = text.lines().filter(is_given).map(|line| line.to_owned() + "\n").collect();
    assert!(short.lines().count() + 40 < text.lines().count(), "most knobs were taken out");
    let (long, _) = load_text(&text).unwrap_or_else(|faults| panic!("{faults}"));
    let (short, _) = load_text(&short).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(format!("{:#?}", long.server), format!("{:#?}", short.server));
    assert_eq!(format!("{:#?}", long.routing), format!("{:#?}", short.routing));
    assert_eq!(format!("{:#?}", long.providers), format!("{:#?}", short.providers));
    assert_eq!(format!("{:#?}", long.endpoints), format!("{:#?}", short.endpoints));
    assert_eq!(format!("{:#?}", long.callers), format!("{:#?}", short.callers));
    let (long, short) = (long.ledger.expect("a ledger"), short.ledger.expect("a ledger"));
    assert_eq!(long.params.file.file_name(), short.params.file.file_name());
    assert_eq!(
        LedgerParams { file: PathBuf::new(), ..long.params },
        LedgerParams { file: PathBuf::new(), ..short.params }
    );
}

#[test]
fn the_commented_simulator_shows_defaults() {
    let on = all_on(&shipped("warmkey.toml"));
    let (shown, _) = load_text(&on).unwrap_or_else(|faults| panic!("{faults}"));
    let bare = format!("{}\n[sim]\n[[sim.account]]\nkey = \"sim-1\"\n", shipped("minimal.toml"));
    let (bare, _) = load_text(&bare).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(format!("{:#?}", shown.sim), format!("{:#?}", bare.sim));
}

#[test]
fn secrets_come_without_their_newline_and_never_show_in_debug_output() {
    let (config, _) = load_text(&shipped("warmkey.toml")).unwrap_or_else(|faults| panic!("{faults}"));
    let keys: Vec<_> = config
        .endpoints
        .iter()
        .filter_map(|endpoint| endpoint.key.as_ref())
        .map(|key| key.expose())
        .collect();
    assert_eq!(
        keys,
        ["not-a-real-secret-ANTHROPIC_API_KEY", "not-a-real-key-keys-anthropic-2", "not-a-real-key-openai-1"]
    );
    assert!(!format!("{config:?}").contains("not-a-real"), "a secret shows in Debug output");
}

#[test]
fn the_watcher_is_told_of_every_file() {
    let (dir, lab) = lab();
    let path = dir.path().join("warmkey.toml");
    fs::write(&path, all_on(&shipped("warmkey.toml"))).expect("written");
    let config = config::load(&path, &lab).unwrap_or_else(|faults| panic!("{faults}"));
    let mut files: Vec<_> =
        config.files.iter().filter_map(|file| file.strip_prefix(dir.path()).ok()).collect();
    files.sort();
    let wanted = [
        "aws-credentials",
        "keys/anthropic-2",
        "keys/aws",
        "keys/aws-session",
        "keys/entra",
        "keys/google.json",
        "my-prices.toml",
        "openai-1",
        "tls/ca.pem",
        "tls/cert.pem",
        "tls/key.pem",
        "warmkey.toml",
    ];
    assert_eq!(files, wanted.map(Path::new));
}

#[test]
fn the_operators_prices_replace_the_built_in_rows_of_their_models() {
    let (dir, lab) = lab();
    let built_in = config::demo(&lab).expect("the demo").prices;
    let model = built_in[0].model.clone();
    let own = format!(
        "[[price]]\nmodel = {model:?}\ninput = 1.5\noutput = 7\n[[price.above]]\ninput_tokens = 200000\ninput = 3\n{MY_PRICES}"
    );
    fs::write(dir.path().join("own.toml"), own).expect("written");
    let text = format!("{}\n[metering]\nprices = \"own.toml\"\n", shipped("minimal.toml"));
    let prices = config::parse(&text, &dir.path().join("w.toml"), &lab)
        .unwrap_or_else(|faults| panic!("{faults}"))
        .prices;
    assert_eq!(prices.len(), built_in.len() + 1);
    let row = prices.iter().find(|row| row.model == model).expect("the replaced row");
    assert_eq!(
        (row.rates.input, row.rates.cached_read, row.rates.output),
        (1_500_000_000, 1_500_000_000, 7_000_000_000)
    );
    let (above, rates) = row.tiers[0];
    assert_eq!((above, rates.input, rates.output), (200_000, 3_000_000_000, 7_000_000_000));
}
