//! Which reservations this gateway has, so that what the server holds for others can be given back.
//!
//! A server that is replaced by one that lagged behind knows of reservations whose settlement it has lost.
//! Their gateway lives, so nobody would charge them; they would be held until it ends. So after every new
//! connection, and now and then, the two lists are compared.
//!
//! The invariant: an id is in the list before the server hears of it, and until the server has heard of
//! its end. So whatever is on the server and not here is over.

use std::collections::HashSet;

use ::redis::Value;
use parking_lot::Mutex;

use super::super::Down;
use crate::types::RequestId;

/// Requests that have, or may have, something reserved.
#[derive(Default)]
pub(super) struct Open {
    ids: Mutex<HashSet<RequestId, ahash::RandomState>>,
}

impl Open {
    /// Notes one; whether it is new.
    pub(super) fn begin(&self, by: RequestId) -> bool {
        self.ids.lock().insert(by)
    }

    /// It is over, or waits to be told.
    pub(super) fn end(&self, by: RequestId) {
        self.ids.lock().remove(&by);
    }

    /// Of the records on the server, whose names end in ids, those that are not open here.
    pub(super) fn strangers(&self, records: Value, also_known: &[RequestId]) -> Result<Vec<String>, Down> {
        let records: Vec<String> = ::redis::from_redis_value(records)
            .map_err(|_| Down("its list of reservations is no list".to_owned()))?;
        if records.is_empty() {
            return Ok(records);
        }
        let ids = self.ids.lock();
        let known: HashSet<String> = ids.iter().chain(also_known).map(ToString::to_string).collect();
        drop(ids);
        let is_known = |record: &String| record.rsplit(':').next().is_some_and(|id| known.contains(id));
        Ok(records.into_iter().filter(|record| !is_known(record)).collect())
    }
}
