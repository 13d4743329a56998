//! One contract for every engine of documents; and the copy that outlasts Postgres.

use std::sync::Arc;

use warmkey::store::{
    documents::Documents,
    postgres::{PostgresDocuments, SharedDocuments},
    sqlite::SqliteDocuments,
};

use crate::servers::Postgres;

fn local() -> (tempfile::TempDir, SqliteDocuments) {
    let folder = tempfile::tempdir().unwrap();
    let documents = SqliteDocuments::open(&folder.path().join("ledger.db")).unwrap();
    (folder, documents)
}

/// Kind, id and body of everything.
async fn texts(on: &dyn Documents) -> Vec<[String; 3]> {
    on.all().await.unwrap().into_iter().map(|one| [one.kind, one.id, one.body]).collect()
}

fn text(kind: &str, id: &str, body: &str) -> [String; 3] {
    [kind, id, body].map(str::to_owned)
}

/// What every engine keeps. `one` and `two` are two gateways' views of the same documents.
async fn contract(one: &dyn Documents, two: &dyn Documents) {
    assert!(texts(one).await.is_empty());
    let at_first = one.version().await.unwrap();
    one.put("key", "k_2", r#"{"name":"bob's \"key\" ü"}"#).await.unwrap();
    two.put("key", "k_10", "{}").await.unwrap();
    two.put("team", "k_2", "").await.unwrap();
    let filled = one.version().await.unwrap();
    assert!(filled >= at_first + 3, "{filled} after {at_first}");
    assert_eq!(two.version().await.unwrap(), filled, "versions agree");
    let all = [
        text("key", "k_10", "{}"),
        text("key", "k_2", r#"{"name":"bob's \"key\" ü"}"#),
        text("team", "k_2", ""),
    ];
    assert_eq!(texts(one).await, all);
    assert_eq!(texts(two).await, all, "in the same order");
    changes_are_seen(one, two, filled).await;
}

async fn changes_are_seen(one: &dyn Documents, two: &dyn Documents, filled: u64) {
    one.put("key", "k_10", "changed").await.unwrap();
    assert!(two.version().await.unwrap() > filled, "replacing raises the version");
    assert_eq!(texts(two).await[0], text("key", "k_10", "changed"));
    let changed = one.all().await.unwrap()[0].changed;
    assert!(warmkey::clock::unix_now().0.abs_diff(changed.0).as_secs() < 600, "{changed:?}");
    let before = one.version().await.unwrap();
    assert!(!one.delete("key", "nobody").await.unwrap());
    assert_eq!(two.version().await.unwrap(), before, "nothing happened");
    assert!(two.delete("key", "k_10").await.unwrap());
    assert!(one.version().await.unwrap() > before);
    assert_eq!(texts(one).await.len(), 2);
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    let (folder, one) = local();
    let two = SqliteDocuments::open(&folder.path().join("ledger.db")).unwrap();
    contract(&one, &two).await;
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    let server = Postgres::start();
    contract(&PostgresDocuments::new(server.database()), &PostgresDocuments::new(server.database())).await;
}

#[tokio::test]
async fn postgres_with_copies_keeps_the_contract() {
    let server = Postgres::start();
    let ((_a, one), (_b, two)) = (local(), local());
    let one = SharedDocuments::new(PostgresDocuments::new(server.database()), one);
    let two = SharedDocuments::new(PostgresDocuments::new(server.database()), two);
    contract(&one, &two).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_once_are_all_there_and_all_counted() {
    let server = Postgres::start();
    let mut tasks = tokio::task::JoinSet::new();
    for gateway in 0..4 {
        // All four make the schema at once, too.
        let documents = Arc::new(PostgresDocuments::new(server.database()));
        tasks.spawn(async move {
            for n in 0..20 {
                documents.put("key", &format!("k_{}", n % 5), &format!("{gateway}/{n}")).await.unwrap();
                if n % 7 == 0 {
                    documents.delete("key", &format!("k_{}", n % 5)).await.unwrap();
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let documents = PostgresDocuments::new(server.database());
    let (version, all) = documents.snapshot().await.unwrap();
    assert_eq!(all.len(), 5);
    assert!(version >= 80, "{version}");
}

#[tokio::test]
async fn a_gateway_knows_its_keys_without_postgres_and_may_not_change_them() {
    let mut server = Postgres::start();
    let (folder, copy) = local();
    let shared = SharedDocuments::new(PostgresDocuments::new(server.database()), copy);
    shared.put("key", "k_1", "one").await.unwrap();
    let version = shared.version().await.unwrap();
    assert_eq!(texts(&shared).await, [text("key", "k_1", "one")]);
    server.kill();
    // It starts again, alone.
    let copy = SqliteDocuments::open(&folder.path().join("ledger.db")).unwrap();
    let shared = SharedDocuments::new(PostgresDocuments::new(server.database()), copy);
    assert_eq!(shared.version().await.unwrap(), version);
    assert_eq!(texts(&shared).await, [text("key", "k_1", "one")]);
    let fault = shared.put("key", "k_2", "two").await.unwrap_err().to_string();
    assert!(fault.contains("out of reach"), "{fault}");
    assert!(shared.delete("key", "k_1").await.is_err());
    server.restart();
    shared.put("key", "k_2", "two").await.unwrap();
    assert!(shared.version().await.unwrap() > version);
    assert_eq!(texts(&shared).await.len(), 2);
}

#[tokio::test]
async fn keys_of_gateways_that_were_alone_so_far_move_to_a_new_postgres() {
    let server = Postgres::start();
    let ((_a, one), (_b, two)) = (local(), local());
    for (documents, own) in [(&one, "of-one"), (&two, "of-two")] {
        documents.put("key", own, "{}").await.unwrap();
    }
    let one = SharedDocuments::new(PostgresDocuments::new(server.database()), one);
    let copy = two.clone();
    let two = SharedDocuments::new(PostgresDocuments::new(server.database()), two);
    one.version().await.unwrap();
    assert_eq!(texts(&one).await, [text("key", "of-one", "{}")]);
    // The second one comes to a store that is in use, and takes that over.
    two.version().await.unwrap();
    assert_eq!(texts(&two).await, [text("key", "of-one", "{}")]);
    assert_eq!(texts(&copy).await, [text("key", "of-one", "{}")]);
}
