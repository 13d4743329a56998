use super::*;
use crate::store::ledger::{Ledger, LedgerParams};

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("ledger.db");
    (folder, file)
}

#[tokio::test]
async fn every_change_by_anybody_raises_the_version() {
    let (_folder, file) = file();
    let gateway = SqliteDocuments::open(&file).expect("documents");
    let command = SqliteDocuments::open(&file).expect("the same documents");
    assert_eq!(gateway.version().await, Ok(0));
    command.put("key", "k1", "{}").await.expect("put");
    assert_eq!(gateway.version().await, Ok(1));
    command.put("key", "k1", r#"{"a":1}"#).await.expect("put");
    gateway.put("team", "k1", "[]").await.expect("put");
    assert_eq!(gateway.version().await, Ok(3));
    let all = gateway.all().await.expect("all");
    let seen: Vec<_> =
        all.iter().map(|one| (one.kind.as_str(), one.id.as_str(), one.body.as_str())).collect();
    assert_eq!(seen, [("key", "k1", r#"{"a":1}"#), ("team", "k1", "[]")]);
    assert!(all[0].changed > UnixTime::default());
    assert_eq!(command.delete("key", "nobody").await, Ok(false));
    assert_eq!(gateway.version().await, Ok(3), "nothing changed");
    assert_eq!(command.delete("key", "k1").await, Ok(true));
    assert_eq!(gateway.version().await, Ok(4));
    assert_eq!(gateway.all().await.expect("all").len(), 1);
}

#[tokio::test]
async fn documents_are_for_everybody_while_a_gateway_keeps_its_ledger_in_the_file() {
    let (_folder, file) = file();
    let ledger = Ledger::open(&LedgerParams::of(&file)).expect("a ledger").ledger;
    let documents = SqliteDocuments::open(&file).expect("documents");
    documents.put("key", "k1", "{}").await.expect("put");
    assert!(ledger.flush().await);
    assert!(ledger.stop().await);
    assert_eq!(documents.version().await, Ok(1));
}

#[tokio::test]
async fn many_writers_lose_nothing() {
    let (_folder, file) = file();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let documents = SqliteDocuments::open(&file).expect("documents");
        tasks.spawn(async move {
            for n in 0..25 {
                documents.put("key", &format!("{writer}-{n}"), "{}").await.expect("put");
            }
        });
    }
    tasks.join_all().await;
    let documents = SqliteDocuments::open(&file).expect("documents");
    assert_eq!(documents.version().await, Ok(100));
    assert_eq!(documents.all().await.expect("all").len(), 100);
}

#[tokio::test]
async fn a_mirror_is_what_it_mirrors() {
    let (_folder, file) = file();
    let documents = SqliteDocuments::open(&file).expect("documents");
    documents.put("key", "old", "{}").await.expect("put");
    let theirs = vec![Document {
        kind: "key".to_owned(),
        id: "new".to_owned(),
        body: "{}".to_owned(),
        changed: UnixTime(Duration::from_millis(1_234)),
    }];
    documents.mirror(41, theirs.clone()).await.expect("mirrored");
    assert_eq!(documents.all().await, Ok(theirs));
    assert_eq!(documents.version().await, Ok(41));
}

#[tokio::test]
async fn a_fault_names_the_file_and_not_the_document() {
    let (_folder, file) = file();
    let documents = SqliteDocuments::open(&file).expect("documents");
    Connection::open(&file).expect("the file").execute("DROP TABLE documents", []).expect("dropped");
    let fault = documents.put("key", "k1", "very private").await.expect_err("no table").to_string();
    assert!(fault.contains("ledger.db") && fault.contains("documents"), "{fault}");
    assert!(!fault.contains("private"), "{fault}");
}
