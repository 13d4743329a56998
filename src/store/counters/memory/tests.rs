use std::sync::Arc;

use crate::store::counters::{LocalCounters, contract};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counters_in_this_process_keep_the_contract() {
    if let Err(broken) = contract::all(Arc::new(LocalCounters::default())).await {
        panic!("{broken}");
    }
}
