//! The ring over a real store, over two at once, and over one that fails.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;

use super::*;
use crate::{
    store::{documents::Document, sqlite::SqliteDocuments},
    types::{Allowance, Budget, KeyDigest, Limits, Period, Secret, Unit},
};

const NOW: UnixTime = UnixTime(Duration::from_secs(1_800_000_000));

fn later(seconds: u64) -> UnixTime {
    UnixTime(NOW.0 + Duration::from_secs(seconds))
}

fn caller(name: &str, token: &str) -> VirtualKey {
    VirtualKey::named(name, KeyDigest::of(token.as_bytes()))
}

fn named(name: &str) -> KeySettings {
    KeySettings { name: name.into(), ..KeySettings::default() }
}

struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn store(&self) -> Arc<dyn Documents> {
        Arc::new(SqliteDocuments::open(&self.dir.path().join("ledger.db")).unwrap())
    }

    async fn ring(&self) -> KeyRing {
        let ring = KeyRing::new(Vec::new(), Levels::default(), Some(self.store()));
        ring.refresh().await.unwrap();
        ring
    }
}

/// A store that can be taken away.
struct Shaky {
    inner: Arc<dyn Documents>,
    away: AtomicBool,
}

impl Shaky {
    fn check(&self) -> Result<(), DocumentsFault> {
        if self.away.load(Ordering::SeqCst) {
            return Err(DocumentsFault { place: "here".into(), why: "away".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Documents for Shaky {
    async fn version(&self) -> Result<u64, DocumentsFault> {
        self.check()?;
        self.inner.version().await
    }

    async fn all(&self) -> Result<Vec<Document>, DocumentsFault> {
        self.check()?;
        self.inner.all().await
    }

    async fn put(&self, kind: &str, id: &str, body: &str) -> Result<(), DocumentsFault> {
        self.check()?;
        self.inner.put(kind, id, body).await
    }

    async fn delete(&self, kind: &str, id: &str) -> Result<bool, DocumentsFault> {
        self.check()?;
        self.inner.delete(kind, id).await
    }
}

fn holder(ring: &KeyRing, token: &Secret, now: UnixTime) -> Option<String> {
    match ring.find(token.expose().as_bytes(), now) {
        Found::Key(key) => Some(key.name.to_string()),
        Found::Expired(_) | Found::Disabled(_) | Found::Malformed | Found::Unknown | Found::Unready => None,
    }
}

#[test]
fn a_caller_is_found_by_its_token_and_by_nothing_else() {
    let ring = KeyRing::new(vec![caller("ann", "wk-1"), caller("bob", "wk-2")], Levels::default(), None);
    assert!(matches!(ring.find(b"wk-2", NOW), Found::Key(key) if key.name.as_str() == "bob"));
    assert!(matches!(ring.find(b"sk-3", NOW), Found::Unknown));
    assert!(matches!(ring.find(b"", NOW), Found::Unknown));
    assert!(matches!(ring.find(b"wk-3", NOW), Found::Malformed));
}

#[tokio::test]
async fn a_key_is_found_by_its_token_here_and_on_another_gateway() {
    let lab = Lab::new();
    let (here, there) = (lab.ring().await, lab.ring().await);
    let settings = KeySettings {
        tags: vec!["env=ci".into()],
        limits: Limits { rpm: Some(9), ..Limits::default() },
        budgets: serde_json::from_str(r#"[{"usd": 0.10, "per": "day"}, {"tokens": 5, "per": "hour"}]"#)
            .unwrap(),
        ..named("ci")
    };
    let made = here.create(&settings, NOW).await.unwrap();
    assert_eq!(holder(&here, &made.token, NOW).as_deref(), Some("ci"));
    assert!(matches!(there.find(made.token.expose().as_bytes(), NOW), Found::Unknown), "not read yet");
    assert!(there.refresh().await.unwrap());
    assert_eq!(holder(&there, &made.token, NOW).as_deref(), Some("ci"));
    assert!(!there.refresh().await.unwrap(), "nothing is new");
    assert!(!here.refresh().await.unwrap(), "its own change is no news");
    let key = there.entry("ci").unwrap();
    assert_eq!(*key.key, *made.entry.key);
    assert_eq!(key.key.allowance.budgets[0].amount, 100_000_000);
    assert_eq!(
        key.facts.map(|facts| (facts.prefix(), facts.created)),
        Some((made.token.expose()[..8].to_owned(), NOW))
    );
}

#[tokio::test]
async fn no_token_is_in_the_store_or_in_any_debug_output() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let made = ring.create(&named("ci"), NOW).await.unwrap();
    let rotated = ring.rotate(&made.entry.key.id, Duration::from_secs(60), NOW).await.unwrap();
    let documents = lab.store().all().await.unwrap();
    let everything = format!("{documents:?} {made:?} {rotated:?}");
    for token in [&made.token, &rotated.token] {
        assert!(!everything.contains(&token.expose()[8..]), "a token can be read");
    }
}

#[tokio::test]
async fn a_rotated_key_keeps_its_old_token_for_the_grace_time() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let first = ring.create(&named("ci"), NOW).await.unwrap();
    let id = first.entry.key.id.clone();
    let second = ring.rotate(&id, Duration::from_secs(60), NOW).await.unwrap();
    let fresh = lab.ring().await;
    for ring in [&ring, &fresh] {
        assert_eq!(holder(ring, &second.token, later(600)).as_deref(), Some("ci"));
        assert_eq!(holder(ring, &first.token, later(59)).as_deref(), Some("ci"));
        assert_eq!(holder(ring, &first.token, later(60)), None);
    }
    let third = ring.rotate(&id, Duration::ZERO, NOW).await.unwrap();
    assert_eq!(holder(&ring, &third.token, NOW).as_deref(), Some("ci"));
    assert_eq!((holder(&ring, &second.token, NOW), holder(&ring, &first.token, NOW)), (None, None));
    let month = Duration::from_secs(31 * 24 * 3_600);
    assert!(matches!(ring.rotate(&id, month, NOW).await, Err(KeyFault::Bad(_))));
}

#[tokio::test]
async fn expired_and_disabled_keys_are_told_apart_and_revoked_ones_are_nobodys() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let settings = KeySettings { expires: Some(later(10).rfc3339()), ..named("ci") };
    let made = ring.create(&settings, NOW).await.unwrap();
    let (id, token) = (made.entry.key.id.clone(), made.token.expose().as_bytes());
    assert!(matches!(ring.find(token, later(9)), Found::Key(_)));
    assert!(matches!(ring.find(token, later(10)), Found::Expired(_)));
    let changed = ring.change(&id, &json!({"disabled": true, "expires": null})).await.unwrap();
    assert_eq!((changed.key.disabled, changed.key.expires), (true, None));
    assert!(matches!(ring.find(token, later(10)), Found::Disabled(_)));
    ring.revoke(&id).await.unwrap();
    assert!(matches!(ring.find(token, NOW), Found::Unknown));
    assert_eq!(ring.revoke(&id).await, Err(KeyFault::Missing));
    assert!(lab.ring().await.is_empty());
}

#[tokio::test]
async fn a_gateway_that_ever_had_a_stored_key_stays_closed() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    assert!(ring.is_open(Open::UntilKeys) && !ring.is_open(Open::Never));
    let made = ring.create(&named("ci"), NOW).await.unwrap();
    assert!(!ring.is_open(Open::UntilKeys));
    ring.revoke(&made.entry.key.id).await.unwrap();
    assert!(!ring.is_open(Open::UntilKeys) && ring.is_open(Open::Everybody));
    assert!(!lab.ring().await.is_open(Open::UntilKeys), "nor after a restart");
    let unread = KeyRing::new(Vec::new(), Levels::default(), Some(lab.store()));
    assert!(!unread.is_open(Open::UntilKeys), "nor while nobody knows");
    assert!(matches!(unread.find(b"sk-1", NOW), Found::Unready));
}

#[tokio::test]
async fn the_last_known_keys_stay_valid_while_the_store_is_away() {
    let lab = Lab::new();
    let shaky = Arc::new(Shaky { inner: lab.store(), away: AtomicBool::new(false) });
    let ring = KeyRing::new(Vec::new(), Levels::default(), Some(Arc::<Shaky>::clone(&shaky)));
    ring.refresh().await.unwrap();
    let made = ring.create(&named("ci"), NOW).await.unwrap();
    shaky.away.store(true, Ordering::SeqCst);
    assert!(ring.refresh().await.is_err());
    assert!(ring.state().failing.is_some());
    assert_eq!(holder(&ring, &made.token, NOW).as_deref(), Some("ci"));
    assert!(matches!(ring.create(&named("more"), NOW).await, Err(KeyFault::Store(_))));
    assert!(matches!(ring.revoke(&made.entry.key.id).await, Err(KeyFault::Store(_))));
    assert_eq!(holder(&ring, &made.token, NOW).as_deref(), Some("ci"), "it was not revoked");
    shaky.away.store(false, Ordering::SeqCst);
    ring.refresh().await.unwrap();
    assert_eq!(ring.state().failing, None);
}

#[tokio::test]
async fn the_configuration_goes_before_the_store() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let made = ring.create(&named("ci"), NOW).await.unwrap();
    let team = LevelName::Team("default".into(), "core".into());
    let stored: LevelSettings = read_settings(r#"{"limits": {"rpm": 1}}"#).unwrap();
    ring.put_level(&team, &stored).await.unwrap();
    let mut levels = Levels::default();
    let limits = Limits { rpm: Some(2), ..Limits::default() };
    levels.teams.insert(("default".into(), "core".into()), Allowance { limits, ..Allowance::default() });
    ring.configure(vec![caller("ci", "another-token")], levels);
    assert!(matches!(ring.find(b"another-token", NOW), Found::Key(_)));
    assert!(matches!(ring.find(made.token.expose().as_bytes(), NOW), Found::Unknown));
    assert_eq!(
        ring.level(&team).map(|level| (level.allowance.limits.rpm, level.configured)),
        Some((Some(2), true))
    );
    assert!(matches!(ring.put_level(&team, &stored).await, Err(KeyFault::Configured)));
    assert_eq!(ring.revoke(&"ci".into()).await, Err(KeyFault::Configured));
    // It comes back with the next configuration, and is still there to be revoked.
    ring.configure(Vec::new(), Levels::default());
    assert_eq!(holder(&ring, &made.token, NOW).as_deref(), Some("ci"));
    assert_eq!(ring.level(&team).and_then(|level| level.allowance.limits.rpm), Some(1));
}

#[tokio::test]
async fn levels_of_the_store_are_told_and_guarded() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let mut changes = ring.changes();
    let acme = LevelName::Organisation("acme".into());
    let settings: LevelSettings = read_settings(
        r#"{"budgets": [{"usd": "1000.5", "per": "month"}], "session_budgets": [{"usd": 2e0}]}"#,
    )
    .unwrap();
    ring.put_level(&acme, &settings).await.unwrap();
    assert!(changes.has_changed().unwrap());
    let budget = |amount, per| Budget { unit: Unit::Usd, amount, per, soft: false };
    let known = changes.borrow_and_update().organisations["acme"].clone();
    assert_eq!(known.budgets, [budget(1_000_500_000_000, Period::Month)]);
    assert_eq!(known.session_budgets, [budget(2_000_000_000, Period::Total)]);
    let team = LevelName::Team("acme".into(), "core".into());
    ring.put_level(&team, &LevelSettings::default()).await.unwrap();
    let elsewhere = LevelName::Team("acne".into(), "core".into());
    assert!(matches!(ring.put_level(&elsewhere, &LevelSettings::default()).await, Err(KeyFault::Bad(_))));
    let of_team = KeySettings { organisation: "acme".into(), team: Some("core".into()), ..named("a") };
    let made = ring.create(&of_team, NOW).await.unwrap();
    assert!(matches!(ring.remove_level(&team).await, Err(KeyFault::Conflict(_))));
    assert!(matches!(ring.remove_level(&acme).await, Err(KeyFault::Conflict(_))));
    let nowhere = KeySettings { team: Some("core".into()), ..named("b") };
    assert!(matches!(ring.create(&nowhere, NOW).await, Err(KeyFault::Bad(problem)) if problem.at == "team"));
    ring.revoke(&made.entry.key.id).await.unwrap();
    ring.remove_level(&team).await.unwrap();
    ring.remove_level(&acme).await.unwrap();
    assert!(ring.levels_listed().is_empty() && ring.levels().organisations.is_empty());
    assert!(!ring.refresh().await.unwrap(), "its own changes are no news");
}

#[tokio::test]
async fn what_cannot_be_read_lets_nobody_in_and_hides_nobody() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    let made = ring.create(&named("good"), NOW).await.unwrap();
    let store = lab.store();
    store.put("key", "k_newer", r#"{"v": 2, "settings": {}}"#).await.unwrap();
    store.put("key", "k_broken", "{").await.unwrap();
    store.put("team", "without-organisation", r#"{"v": 1, "settings": {}}"#).await.unwrap();
    store.put("riddle", "x", "{}").await.unwrap();
    ring.refresh().await.unwrap();
    let state = ring.state();
    assert_eq!((state.keys, state.unreadable), (1, 4));
    assert_eq!(holder(&ring, &made.token, NOW).as_deref(), Some("good"));
    ring.revoke(&"k_broken".into()).await.unwrap();
    ring.refresh().await.unwrap();
    assert_eq!(ring.state().unreadable, 3);
}

#[tokio::test]
async fn settings_that_cannot_be_are_told_with_their_place() {
    let ring = Lab::new().ring().await;
    for (text, at) in [
        (r#"{}"#, "name"),
        (r#"{"name": "a b"}"#, "name"),
        (r#"{"name": "a", "limits": {"rpm": 0}}"#, "limits.rpm"),
        (r#"{"name": "a", "limits": {"tpm": 1000000000000001}}"#, "limits.tpm"),
        (r#"{"name": "a", "limits": {"rmp": 1}}"#, ""),
        (r#"{"name": "a", "limits": {"rpm": -1}}"#, ""),
        (r#"{"name": "a", "budgets": [{"usd": 0, "per": "day"}]}"#, "budgets[0]"),
        (r#"{"name": "a", "budgets": [{"usd": -1, "per": "day"}]}"#, "budgets[0]"),
        (r#"{"name": "a", "budgets": [{"usd": 1e12, "per": "day"}]}"#, "budgets[0]"),
        (r#"{"name": "a", "budgets": [{"usd": 1}]}"#, "budgets[0]"),
        (r#"{"name": "a", "budgets": [{"usd": 1, "tokens": 1, "per": "day"}]}"#, "budgets[0]"),
        (
            r#"{"name": "a", "budgets": [{"usd": 1, "per": "day"}, {"usd": 2, "per": "day", "soft": true}]}"#,
            "budgets[1]",
        ),
        (r#"{"name": "a", "budgets": [{"usd": {"a": 1}, "per": "day"}]}"#, "budgets[0]"),
        (r#"{"name": "a", "tags": ["x", "x"]}"#, "tags[1]"),
        (r#"{"name": "a", "tags": ["x y"]}"#, "tags[0]"),
        (r#"{"name": "a", "models": []}"#, "models"),
        (r#"{"name": "a", "expires": "soon"}"#, "expires"),
        (r#"{"name": "a", "weight": 0}"#, "weight"),
        (r#"{"name": "a", "markup": 1000}"#, "markup"),
        (r#"{"name": "a", "team": "nobody"}"#, "team"),
        (r#"{"name": "a", "colour": "red"}"#, ""),
        ("[]", ""),
    ] {
        let told = match read_settings::<KeySettings>(text) {
            Ok(settings) => match ring.create(&settings, NOW).await {
                Err(KeyFault::Bad(problem)) => problem,
                other => panic!("{text}: {other:?}"),
            },
            Err(problem) => problem,
        };
        assert_eq!(told.at, at, "{text}: {told}");
        assert!(!told.what.is_empty() && !told.remedy.is_empty(), "{text}: {told}");
    }
    ring.create(&named("a"), NOW).await.unwrap();
    assert!(
        matches!(ring.create(&named("a"), NOW).await, Err(KeyFault::Conflict(_))),
        "a name is taken once"
    );
}

#[tokio::test]
async fn a_patch_touches_what_it_names() {
    let ring = Lab::new().ring().await;
    let settings = KeySettings {
        limits: Limits { rpm: Some(1), tpm: Some(2), ..Limits::default() },
        models: Some(vec!["claude-*".into()]),
        ..named("a")
    };
    let id = ring.create(&settings, NOW).await.unwrap().entry.key.id.clone();
    let patch = json!({"limits": {"rpm": null, "turns": 7}, "models": null, "budgets": [{"usd": 0.25, "per": "day"}]});
    let key = ring.change(&id, &patch).await.unwrap().key;
    assert_eq!(key.allowance.limits, Limits { tpm: Some(2), turns: Some(7), ..Limits::default() });
    assert_eq!((key.access.models.as_ref(), key.allowance.budgets[0].amount), (None, 250_000_000));
    let again = ring.change(&id, &json!({})).await.unwrap().key;
    assert_eq!(*again, *key, "what is written is read back");
    assert!(matches!(ring.change(&id, &json!({"name": ""})).await, Err(KeyFault::Bad(_))));
    assert!(matches!(ring.change(&id, &json!([])).await, Err(KeyFault::Bad(_))));
    assert!(matches!(ring.change(&"k_0".into(), &json!({})).await, Err(KeyFault::Missing)));
}

#[tokio::test]
async fn pages_show_every_key_once() {
    let lab = Lab::new();
    let ring = lab.ring().await;
    ring.configure(vec![caller("file", "a-token-of-the-file")], Levels::default());
    for n in 0..7 {
        let tags = if n % 2 == 0 { vec!["even".into()] } else { Vec::new() };
        ring.create(&KeySettings { tags, ..named(&format!("k{n}")) }, NOW).await.unwrap();
    }
    let pages = |filter: Filter| {
        let (mut names, mut after) = (Vec::new(), None);
        loop {
            let (page, next) = ring.list(&filter, after.as_ref(), 3);
            assert!(page.len() <= 3);
            names.extend(page.iter().map(|entry| entry.key.name.to_string()));
            after = next;
            if after.is_none() {
                names.sort();
                return names;
            }
        }
    };
    assert_eq!(pages(Filter::default()), ["file", "k0", "k1", "k2", "k3", "k4", "k5", "k6"]);
    assert_eq!(pages(Filter { tag: Some("even".into()), ..Filter::default() }), ["k0", "k2", "k4", "k6"]);
    assert!(pages(Filter { organisation: Some("acme".into()), ..Filter::default() }).is_empty());
}
