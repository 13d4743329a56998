//! Keys, levels, ledger and state: what is read, and every fault of them word for word.

use std::path::{Path, PathBuf};

use warmkey::{
    config::{self, Config},
    snapshot::Open,
    store::ledger::WhenFull,
    types::{Budget, Limits, Period, Priority, Unit},
};

use super::{
    Lab,
    faults::{BASE, lab, told},
};

fn read(text: &str) -> Config {
    config::parse(&(BASE.to_owned() + text), Path::new("/etc/w/w.toml"), &lab()).expect("it passes")
}

const CALLER: &str = "[[caller]]\nname = \"ci\"\ntoken = { env = \"KEY2\" }\n";

#[test]
fn a_caller_carries_all_that_a_stored_key_does() {
    let config = read(&format!(
        r#"[[organisation]]
name = "acme"
budgets = [{{ usd = 1_000, per = "month" }}]
[[team]]
name = "search"
organisation = "acme"
limits = {{ concurrent = 20 }}
{CALLER}organisation = "acme"
team = "search"
tags = ["env=ci", "nightly"]
expires = "2999-01-31T01:00:00+01:00"
disabled = true
providers = ["anthropic"]
priority = "batch"
markup = 1.25
limits = {{ rpm = 60, tpm = 1_000_000, count_cached = true, turns = 40 }}
budgets = [{{ usd = 0.1, per = "hour" }}, {{ tokens = 5_000_000, per = "day", soft = true }}]
session_budgets = [{{ usd = 2 }}]
"#
    ));
    assert!(config.notes.is_empty(), "{:?}", config.notes);
    let key = &config.callers[0];
    assert_eq!(key.id.as_str(), "ci");
    assert_eq!(
        (key.organisation.as_str(), key.team.as_ref().map(|team| team.as_str())),
        ("acme", Some("search"))
    );
    assert_eq!(key.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>(), ["env=ci", "nightly"]);
    assert_eq!(key.expires.map(|at| at.rfc3339()).as_deref(), Some("2999-01-31T00:00:00Z"));
    assert_eq!((key.disabled, key.priority, key.markup), (true, Priority::Batch, 1_250));
    let limits = Limits {
        rpm: Some(60),
        tpm: Some(1_000_000),
        count_cached: true,
        turns: Some(40),
        ..Limits::default()
    };
    assert_eq!(key.allowance.limits, limits);
    let budget = |unit, amount, per, soft| Budget { unit, amount, per, soft };
    assert_eq!(
        key.allowance.budgets,
        [
            budget(Unit::Usd, 100_000_000, Period::Hour, false),
            budget(Unit::Tokens, 5_000_000, Period::Day, true)
        ]
    );
    assert_eq!(key.allowance.session_budgets, [budget(Unit::Usd, 2_000_000_000, Period::Total, false)]);
    let team = config.levels.teams.get(&("acme".into(), "search".into())).expect("the team");
    assert_eq!(team.limits.concurrent, Some(20));
    assert_eq!(config.levels.organisations["acme"].budgets[0].amount, 1_000_000_000_000);
}

#[test]
fn budgets_stand_with_models_providers_endpoints_tags_and_sessions() {
    let base = BASE
        .replace("dialect = ", "budgets = [{ usd = 3, per = \"day\" }]\ndialect = ")
        .replace("key = ", "budgets = [{ usd = 2, per = \"day\" }]\nkey = ")
        .replace("[[model]]\n", "[[model]]\nbudgets = [{ usd = 1, per = \"day\" }]\n");
    let text = base
        + "[session]\nlimits = { turns = 9 }\nbudgets = [{ usd = 7, per = \"day\" }]\n[[tag]]\nname = \"x\"\nbudgets = [{ tokens = 4, per = \"week\" }]\n";
    let levels =
        config::parse(&text, Path::new("w.toml"), &lab()).unwrap_or_else(|faults| panic!("{faults}")).levels;
    assert_eq!(levels.providers["anthropic"][0].amount, 3_000_000_000);
    assert_eq!(levels.endpoints["one"][0].amount, 2_000_000_000);
    assert_eq!(levels.models["claude-*"][0].amount, 1_000_000_000);
    assert_eq!((levels.tags["x"][0].amount, levels.tags["x"][0].per), (4, Period::Week));
    assert_eq!((levels.sessions.limits.turns, levels.sessions.budgets[0].per), (Some(9), Period::Day));
}

#[test]
fn the_ledger_is_on_and_lies_where_state_lies() {
    let file = |config: Config| config.ledger.expect("a ledger").params.file;
    assert_eq!(file(read("")), PathBuf::from("/etc/w/warmkey-ledger.db"));
    let beside = "[server]\nstate_file = \"/var/lib/w/state.json\"\n";
    assert_eq!(file(read(beside)), PathBuf::from("/var/lib/w/ledger.db"));
    assert_eq!(file(read("[ledger]\nfile = \"a.db\"\n")), PathBuf::from("/etc/w/a.db"));
    let systemd =
        Lab::with(&[("KEY", "sk-0123456789abcdef0123"), ("STATE_DIRECTORY", "/var/lib/warmkey:/x")]);
    let config = config::parse(BASE, Path::new("/etc/w/w.toml"), &systemd).expect("it passes");
    assert_eq!(file(config), PathBuf::from("/var/lib/warmkey/ledger.db"));
    assert!(read("[ledger]\nenabled = false\n").ledger.is_none());
    let closed = read("[ledger]\nwhen_full = \"closed\"\nkeep = \"30d\"\n").ledger.expect("a ledger").params;
    assert_eq!(
        (closed.when_full, closed.keep.map(|keep| keep.as_secs())),
        (WhenFull::Closed, Some(2_592_000))
    );
}

#[test]
fn a_gateway_of_stored_keys_alone_may_listen_to_the_world() {
    let config = read("[server]\nopen = false\nlisten = \"0.0.0.0:8080\"\n");
    assert_eq!(config.server.open, Open::Never);
    assert_eq!(read("").server.open, Open::UntilKeys);
    assert_eq!(read("[server]\nopen = true\n").server.open, Open::Everybody);
}

#[test]
fn limits_of_nothing_negative_and_absurd_ones_are_faults() {
    assert_eq!(
        told(&format!(
            r#"{BASE}{CALLER}limits = {{ rpm = 0, tpm = -1, itpm = 1_000_000_000_000_001, otpm = "9", rmp = 1 }}
budgets = [
  {{ usd = 0, per = "day" }},
  {{ usd = -5, per = "day" }},
  {{ usd = 1e9, per = "day" }},
  {{ usd = 1_000_000_001, per = "week" }},
  {{ usd = "5", per = "week" }},
  {{ tokens = 0, per = "week" }},
  {{ tokens = 1 }},
  {{ tokens = 1, usd = 1, per = "day" }},
  {{ per = "day" }},
  {{ usd = 1, per = "year" }},
]
"#
        )),
        [
            r#"w.toml:14: `caller[1].limits.rpm`: `0` is out of range; write a whole number from 1 to 1000000000000000"#,
            r#"w.toml:14: `caller[1].limits.tpm`: `-1` is out of range; write a whole number from 1 to 1000000000000000"#,
            r#"w.toml:14: `caller[1].limits.itpm`: `1000000000000001` is out of range; write a whole number from 1 to 1000000000000000"#,
            r#"w.toml:14: `caller[1].limits.otpm`: a whole number is needed, this is text; write a whole number from 1 to 1000000000000000"#,
            r#"w.toml:14: `caller[1].limits.rmp`: unknown key; did you mean `rpm`?"#,
            r#"w.toml:16: `caller[1].budgets[1].usd`: nothing could ever be spent; write more, or `disabled = true` at a key"#,
            r#"w.toml:17: `caller[1].budgets[2].usd`: `-5` is not an amount; write dollars above 0 and up to 1000000000, such as `5` or `0.25`, with at most nine decimals"#,
            r#"w.toml:18: `caller[1].budgets[3].usd`: `1e9` is not an amount; write dollars above 0 and up to 1000000000, such as `5` or `0.25`, with at most nine decimals"#,
            r#"w.toml:19: `caller[1].budgets[4].usd`: `1000000001` is not an amount; write dollars above 0 and up to 1000000000, such as `5` or `0.25`, with at most nine decimals"#,
            r#"w.toml:20: `caller[1].budgets[5].usd`: a number of dollars is needed, this is text; write dollars above 0 and up to 1000000000, such as `5` or `0.25`, with at most nine decimals"#,
            r#"w.toml:21: `caller[1].budgets[6].tokens`: `0` is out of range; write a whole number from 1 to 1000000000000000"#,
            r#"w.toml:22: `caller[1].budgets[7].per`: missing; write `hour`, `day`, `week`, `month` or `total`"#,
            r#"w.toml:23: `caller[1].budgets[8].tokens`: a budget is in dollars or in tokens, and `usd` is there already; write two budgets: `{ usd = ... }, { tokens = ... }`"#,
            r#"w.toml:24: `caller[1].budgets[9].usd`: missing; write `usd = 5` or `tokens = 1_000_000`"#,
            r#"w.toml:25: `caller[1].budgets[10].per`: unknown word `year`; write `hour` or `day` or `week` or `month` or `total`"#,
        ]
    );
}

#[test]
fn two_budgets_of_one_kind_are_a_fault_also_if_one_is_soft() {
    assert_eq!(
        told(&format!(
            "{BASE}{CALLER}budgets = [\n {{ usd = 5, per = \"day\" }},\n {{ usd = 4, per = \"day\", soft = true }},\n {{ usd = 4, per = \"week\" }},\n]\n"
        )),
        [
            r#"w.toml:16: `caller[1].budgets[2]`: `caller[1].budgets[1]` is a budget in usd per day already; keep one of them; alerts tell at 50, 80 and 100 % of it"#,
        ]
    );
}

#[test]
fn unknown_organisations_and_teams_are_guessed() {
    assert_eq!(
        told(&format!(
            r#"{BASE}[[organisation]]
name = "acme"
[[organisation]]
name = "acme"
[[team]]
name = "search"
organisation = "amce"
[[team]]
name = "core"
organisation = "acme"
[[caller]]
name = "a"
token = {{ env = "KEY2" }}
tenant = "akme"
[[caller]]
name = "b"
token_sha256 = "93fd56d950a00c9d57f88dbfbcc5c438e706486dfac71f66acc1762bc6934116"
organisation = "acme"
team = "cor"
[[caller]]
name = "c"
token_sha256 = "03fd56d950a00c9d57f88dbfbcc5c438e706486dfac71f66acc1762bc6934116"
tenant = "acme"
organisation = "acme"
[[caller]]
name = "d"
token_sha256 = "13fd56d950a00c9d57f88dbfbcc5c438e706486dfac71f66acc1762bc6934116"
team = "core"
"#
        )),
        [
            r#"w.toml:14: `organisation[2].name`: `acme` is there already; put all that it may use into one section"#,
            r#"w.toml:17: `team[1].organisation`: unknown organisation `amce`; did you mean `acme`, or add an `[[organisation]]` of this name"#,
            r#"w.toml:24: `caller[1].tenant`: unknown organisation `akme`; did you mean `acme`, or add an `[[organisation]]` of this name"#,
            r#"w.toml:29: `caller[2].team`: organisation `acme` has no team `cor`; did you mean `core`, or add a `[[team]]` of this name"#,
            r#"w.toml:34: `caller[3].organisation`: another word for `tenant`, which is there already; remove one of them"#,
            r#"w.toml:38: `caller[4].team`: organisation `default` has no team `core`; add a `[[team]]` of this name"#,
        ]
    );
}

#[test]
fn what_a_caller_may_use_must_exist() {
    assert_eq!(
        told(&format!(
            r#"{BASE}{CALLER}providers = ["antropic"]
regions = ["eu"]
tags = ["a b", "x", "x"]
expires = "tomorrow"
priority = "urgent"
markup = -1
models = []
"#
        )),
        [
            r#"w.toml:14: `caller[1].providers`: unknown provider `antropic`; did you mean `anthropic`?"#,
            r#"w.toml:15: `caller[1].regions`: no endpoint has the region `eu`; known: none"#,
            r#"w.toml:16: `caller[1].tags`: `a b` is not a tag; tags have at most 64 letters, digits, `-`, `_`, `.`, `=`, `:` and `@`"#,
            r#"w.toml:16: `caller[1].tags`: `x` is listed twice; remove one of them"#,
            r#"w.toml:17: `caller[1].expires`: `tomorrow` is not a point in time; write it with its zone, such as `2027-01-31T00:00:00Z`"#,
            r#"w.toml:18: `caller[1].priority`: unknown word `urgent`; write `interactive` or `batch`"#,
            r#"w.toml:19: `caller[1].markup`: `-1` is out of range; write a number from 0 to 100"#,
            r#"w.toml:20: `caller[1].models`: an empty list allows nothing; list models or globs, or remove the line to allow all"#,
        ]
    );
}

#[test]
fn what_is_allowed_and_odd_is_noted() {
    assert_eq!(
        told(&format!(
            r#"{BASE}[[organisation]]
name = "acme"
budgets = [{{ usd = 10, per = "day" }}]
[[team]]
name = "core"
organisation = "acme"
budgets = [{{ usd = 50.5, per = "day" }}]
[[tag]]
name = "nobody"
[state]
redis = "redis://127.0.0.1:6379"
{CALLER}organisation = "acme"
team = "core"
expires = 2020-01-01T00:00:00Z
budgets = [{{ usd = 60, per = "day" }}]
"#
        )),
        [
            r#"note w.toml:17: `team[1].budgets`: 50.5 usd per day is more than organisation `acme` has (10); both must admit a request, so the smaller one counts"#,
            r#"note w.toml:18: `tag[1]`: a tag without budgets says nothing; write `budgets = [{ usd = 5, per = "day" }]`"#,
            r#"note w.toml:19: `tag[1].name`: no `[[caller]]` has the tag `nobody`; that is fine where stored keys have it; or check its spelling"#,
            r#"note w.toml:20: `state.replicas`: 1: while Redis is out of reach, every gateway would allow the whole of each limit; write how many gateways share it"#,
            r#"note w.toml:27: `caller[1].expires`: this time is over, so the caller is refused; write a later one, or remove it"#,
            r#"note w.toml:28: `caller[1].budgets`: 60 usd per day is more than organisation `acme` has (10); both must admit a request, so the smaller one counts"#,
            r#"note w.toml:28: `caller[1].budgets`: 60 usd per day is more than team `core` has (50.5); both must admit a request, so the smaller one counts"#,
        ]
    );
}

#[test]
fn urls_are_checked_and_never_repeated() {
    let said = told(&format!(
        r#"{BASE}[ledger]
enabled = false
postgres = "mysql://u:secret@h/db"
when_full = "maybe"
buffer = 1
keep = "1h"
[state]
redis = "127.0.0.1:6379"
replicas = 0
[alerts]
webhook = "hooks.example.com/secret"
[session]
limits = {{ sessions = 3 }}
budgets = [{{ usd = 1, per = "day" }}]
"#
    ));
    assert!(said.iter().all(|line| !line.contains("secret@") && !line.contains("/secret")), "{said:?}");
    assert_eq!(
        said,
        [
            r#"w.toml:13: `ledger.postgres`: not a URL of the kind that is needed; write `postgres://...` or `postgresql://...`"#,
            r#"w.toml:14: `ledger.when_full`: unknown word `maybe`; write `open` or `closed`"#,
            r#"w.toml:15: `ledger.buffer`: `1` is out of range; write a whole number from 1000 to 10000000"#,
            r#"w.toml:16: `ledger.keep`: `1h` is out of range; write a time from 1d to 36500d, such as `90d`"#,
            r#"w.toml:18: `state.redis`: not a URL of the kind that is needed; write `redis://...` or `rediss://...`"#,
            r#"w.toml:19: `state.replicas`: `0` is out of range; write a whole number from 1 to 1000"#,
            r#"w.toml:21: `alerts.webhook`: not a URL of the kind that is needed; write `https://...` or `http://...`"#,
            r#"w.toml:23: `session.limits`: `sessions` means nothing for a session; remove it, or write `concurrent`"#,
        ]
    );
}
