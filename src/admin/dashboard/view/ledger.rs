//! Asking the ledger's file: by a connection of its own, on a thread that may block, and not for long.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::Fault;
use crate::{
    live::{Live, Work},
    store::ledger::{Interrupter, LedgerFault, LedgerFile},
};

/// A question is broken off after so long: a reader keeps the gateway from folding its log into the file.
const LONGEST: Duration = Duration::from_secs(10);

/// Breaks off a question that nobody waits for any more.
struct Stop(oneshot::Receiver<Interrupter>);

impl Drop for Stop {
    fn drop(&mut self) {
        if let Ok(interrupter) = self.0.try_recv() {
            interrupter.interrupt();
        }
    }
}

/// What the ledger answers.
pub(super) async fn ask<T: Send + 'static>(
    live: &Arc<Live>,
    question: impl FnOnce(&LedgerFile) -> Result<T, LedgerFault> + Send + 'static,
) -> Result<T, Fault> {
    let file = live.ledger.as_ref().ok_or_else(Fault::no_ledger)?.file().to_owned();
    let _turn = live.asked.turn(Work::Disk).await;
    let (tell, told) = oneshot::channel();
    let work = tokio::task::spawn_blocking(move || {
        let file = LedgerFile::open(&file)?;
        if tell.send(file.interrupter()).is_err() {
            // Whoever asked has left.
            return Ok(None);
        }
        question(&file).map(Some)
    });
    let _stop = Stop(told);
    match pingora_timeout::timeout(LONGEST, work).await {
        Ok(Ok(Ok(Some(found)))) => Ok(found),
        Ok(Ok(Err(fault))) => Err(Fault::ledger(&fault)),
        Ok(Ok(Ok(None)) | Err(_)) => Err(Fault::internal()),
        Err(_) => Err(Fault::slow()),
    }
}
