//! What one request holds of the shared counters.
//!
//! Everything that is not waited for is done by tasks, one after the other in the order in which it
//! was asked: a settlement never overtakes a slice that was asked for before it.
//!
//! Trap: whoever gives up before the first answer does not know in which second of the server's its
//! windows were charged; what they count of it they count for their minute.

use std::sync::Arc;

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use super::shared::Shared;
use crate::{
    clock::Moment,
    store::counters::{Down, Reserved, Settlement, Standing, Take},
    types::RequestId,
};

/// The answer to a slice that was asked for.
pub(super) type Answer = oneshot::Receiver<Result<Reserved, Down>>;

pub(super) struct Lease {
    shared: Arc<Shared>,
    by: RequestId,
    /// The second of the server's in which windows were charged.
    pub(super) second: u64,
    /// The server was asked for something.
    asked: bool,
    tail: Option<JoinHandle<()>>,
}

impl Lease {
    pub(super) const fn new(shared: Arc<Shared>, by: RequestId) -> Self {
        Self { shared, by, second: 0, asked: false, tail: None }
    }

    /// Whether the server is to be asked now.
    pub(super) fn may_ask(&self, now: Moment) -> bool {
        self.shared.may_be_asked(now)
    }

    /// Takes everything or nothing, and waits for it.
    pub(super) async fn reserve(&mut self, takes: &[Take], now: Moment) -> Result<Reserved, Down> {
        if let Some(tail) = self.tail.take() {
            let _ended = tail.await;
        }
        self.asked = true;
        let answer = self.shared.engine.reserve(self.by, takes).await;
        match &answer {
            Ok(Reserved::Granted { second, .. }) if self.second == 0 => self.second = *second,
            Ok(_) => {}
            Err(down) => self.shared.failed(down, now),
        }
        answer
    }

    /// Asks for a slice.
    pub(super) fn renew(&mut self, takes: Vec<Take>, now: Moment) -> Answer {
        let (tell, answer) = oneshot::channel();
        let by = self.by;
        self.asked = true;
        self.then(move |shared| async move {
            let answer = shared.engine.reserve(by, &takes).await;
            if let Err(down) = &answer {
                shared.failed(down, now);
            }
            // Nobody listens any more where the stream is over; the settlement comes next.
            let _heard = tell.send(answer);
        });
        answer
    }

    /// Gives back parts.
    pub(super) fn give_back(&mut self, parts: Vec<Settlement>, now: Moment) {
        let by = self.by;
        self.then(move |shared| async move {
            if shared.answers()
                && let Err(down) = shared.engine.give_back(by, &parts).await
            {
                shared.failed(&down, now);
            }
        });
    }

    /// It is over; nothing happens where the server was never asked. `told` hears where the counters stand, or that nobody knows.
    pub(super) fn settle(
        mut self,
        settlements: Vec<Settlement>,
        now: Moment,
        told: impl FnOnce(Option<Vec<Standing>>) + Send + 'static,
    ) {
        if !self.asked {
            return told(None);
        }
        let by = self.by;
        self.then(move |shared| async move {
            // Whether it answers or not: the engine delivers it when it can.
            match shared.engine.settle(by, &settlements).await {
                Ok(standings) => told(Some(standings)),
                Err(down) => {
                    shared.failed(&down, now);
                    told(None);
                }
            }
        });
    }

    fn then<F: Future<Output = ()> + Send + 'static>(
        &mut self,
        what: impl FnOnce(Arc<Shared>) -> F + Send + 'static,
    ) {
        // Only a process that is about to end has no runtime; its leases end with it.
        let Ok(runtime) = Handle::try_current() else { return };
        let (shared, tail) = (Arc::clone(&self.shared), self.tail.take());
        self.tail = Some(runtime.spawn(async move {
            if let Some(tail) = tail {
                let _ended = tail.await;
            }
            what(shared).await;
        }));
    }
}
