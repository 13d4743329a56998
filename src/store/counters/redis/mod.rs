//! Counters in Redis or Valkey, for gateways that act as one: `reserve.lua`, `settle.lua`, `raise.lua`
//! and `beat.lua` are the engine; here is what calls them.
//!
//! A request's reservation is a *record* on the server: what it holds of which budgets and levels, and
//! for which gateway. A gateway lives while it beats ([`RedisCounters::beat`], every [`BEAT`]); what one
//! holds that was not heard of for [`TTL`] is charged by any of the others. Where it had only been cut
//! off, it settles by the difference. What nobody has a record of changes nothing: it was settled, or
//! the server lost its memory, and then the ledger raises what was spent.
//!
//! *Invariant:* a call whose answer did not come is delivered again until one does, and being delivered
//! twice does nothing. *Invariant:* at the start, and after the server has lost its memory, nothing is
//! reserved there until the ledger has spoken ([`Counters::raise`]).
//!
//! Trap: numbers in Lua are doubles. Amounts are passed and added as text, so they are exact up to
//! 2^63; comparisons are exact up to 2^53, nine million dollars, and off by a billionth of a cent there.

mod call;
mod late;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::Notify;

use self::{
    call::{Answer, Names, Scripts, answer},
    late::{Late, Undelivered},
};
use super::{CounterId, Counters, Down, Reserved, Rule, Settlement, Standing, Take};
use crate::{
    store::redis::{Link, RedisParams},
    types::RequestId,
};

/// How often a gateway says that it lives.
pub const BEAT: Duration = Duration::from_secs(2);
/// How long one is believed to live that says nothing.
pub const TTL: Duration = Duration::from_secs(10);

/// Reservations of dead gateways charged in one beat: about ten milliseconds of the server's time.
const CHARGED_AT_ONCE: usize = 500;
/// Budgets raised in one call: about two milliseconds of it.
const RAISED_AT_ONCE: usize = 500;

/// What a beat found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Beat {
    /// Reservations of dead gateways that were charged.
    pub charged: u64,
    /// Gateways that live, this one with them.
    pub gateways: u64,
    /// The server has lost its memory, or we have only just met it: [`Counters::raise`] must tell it what
    /// was spent before anything is reserved.
    pub forgot: bool,
}

/// See the module's description.
pub struct RedisCounters {
    link: Arc<Link>,
    scripts: Scripts,
    /// Empty where it is everybody's.
    ledger: String,
    /// Who we are to the server. Another name when too much could not be delivered.
    gateway: ArcSwap<String>,
    /// Which memory of the server's the ledger has spoken to; empty before the first.
    epoch: ArcSwap<String>,
    tokens: AtomicU64,
    late: Mutex<Undelivered>,
    forgot: AtomicBool,
    /// Somebody should beat at once.
    wanted: Notify,
}

impl RedisCounters {
    /// Counters over `link`. Nothing is asked yet: [`Self::beat`] comes first, then
    /// [`Counters::raise`].
    #[must_use]
    pub fn new(link: Arc<Link>, params: &RedisParams) -> Self {
        Self {
            link,
            scripts: Scripts::new(),
            ledger: params.ledger.clone().unwrap_or_default(),
            gateway: ArcSwap::from_pointee(fresh()),
            epoch: ArcSwap::from_pointee(String::new()),
            tokens: AtomicU64::new(0),
            late: Mutex::default(),
            forgot: AtomicBool::new(false),
            wanted: Notify::new(),
        }
    }

    /// Says that this gateway lives, delivers what could not be delivered, and charges what dead
    /// gateways hold. Opens the connection where there is none: while it is away, call this more
    /// often than every [`BEAT`].
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub async fn beat(&self) -> Result<Beat, Down> {
        self.link.connect().await?;
        let names = self.names();
        let known = self.epoch.load_full();
        let mut call = self.scripts.beat.call(2);
        call.arg(names.gateways()).arg(names.epoch());
        call.arg(self.gateway.load().as_str()).arg(millis(TTL)).arg(CHARGED_AT_ONCE).arg(names.held());
        let (epoch, charged, gateways) = call::beat(self.link.run(&self.scripts.beat, &call).await?)?;
        // Before the ledger has spoken there is none that we know.
        if known.is_empty() || *known != *epoch {
            self.forgot.store(true, Ordering::Release);
        }
        self.deliver().await?;
        Ok(Beat { charged, gateways, forgot: self.forgot.load(Ordering::Acquire) })
    }

    /// Completes when somebody found that the server forgot, or could not reach it: beat now.
    pub async fn beat_wanted(&self) {
        self.wanted.notified().await;
    }

    /// The name of this gateway at the server, for logs; another one after every start.
    #[must_use]
    pub fn gateway(&self) -> Arc<String> {
        self.gateway.load_full()
    }

    /// Whether there is a connection.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.link.is_up()
    }

    /// Calls that wait to be delivered.
    #[must_use]
    pub fn undelivered(&self) -> usize {
        self.late.lock().len()
    }

    fn names(&self) -> Names<'_> {
        Names(self.link.prefix())
    }

    /// Delivers what could not be delivered, oldest first.
    async fn deliver(&self) -> Result<(), Down> {
        // What fails meanwhile is for the next time.
        let waiting = self.late.lock().len();
        for _ in 0..waiting {
            let Some(late) = self.late.lock().pop() else { break };
            let done = match &late {
                Late::Settle(by, settlements) => self.settle_once(*by, settlements, true).await.map(drop),
                Late::Cancel(by, token) => self.cancel_once(*by, token).await,
            };
            if let Err(down) = done {
                self.late.lock().put_back(late);
                return Err(down);
            }
        }
        Ok(())
    }

    fn keep(&self, late: Late) {
        if !self.late.lock().push(late) {
            tracing::warn!(
                "too much could not be told to the shared state: what is held there will be charged"
            );
            self.gateway.store(Arc::new(fresh()));
        }
        self.wanted.notify_one();
    }

    async fn settle_once(
        &self,
        by: RequestId,
        settlements: &[Settlement],
        late: bool,
    ) -> Result<Vec<Standing>, Down> {
        let names = self.names();
        let mut call = self.scripts.settle.call(1 + settlements.len());
        call.arg(names.record(by));
        for settlement in settlements {
            call.arg(names.counter(&settlement.id));
        }
        call.arg(u8::from(late)).arg(names.held());
        settlements.iter().for_each(|one| call::settlement(&mut call, one));
        call::standings(self.link.run(&self.scripts.settle, &call).await?)
    }

    async fn cancel_once(&self, by: RequestId, token: &str) -> Result<(), Down> {
        let names = self.names();
        let mut call = self.scripts.cancel.call(1);
        call.arg(names.record(by)).arg(token).arg(names.held());
        self.link.run(&self.scripts.cancel, &call).await.map(drop)
    }

    /// Tells the server, in parts, and takes over its epoch once it knows everything.
    async fn raise_all(&self, spent: &[(CounterId, Rule, u64)]) -> Result<(), Down> {
        let budgets: Vec<_> = spent
            .iter()
            .filter_map(|(id, rule, amount)| match rule {
                Rule::Budget { until } => Some((id, until.0.as_secs(), *amount)),
                Rule::Window | Rule::Level | Rule::Members { .. } => None,
            })
            .collect();
        let parts = budgets.len().div_ceil(RAISED_AT_ONCE).max(1);
        for part in 0..parts {
            let some = budgets.iter().skip(part * RAISED_AT_ONCE).take(RAISED_AT_ONCE);
            let last = part + 1 == parts;
            let names = self.names();
            let mut call = self.scripts.raise.call(1 + some.len());
            call.arg(names.epoch());
            some.clone().for_each(|(id, _, _)| {
                call.arg(names.counter(id));
            });
            let epoch = if last { fresh() } else { String::new() };
            call.arg(&self.ledger).arg(epoch);
            some.for_each(|(_, until, amount)| call::raised(&mut call, *amount, *until));
            let epoch = call::word(self.link.run(&self.scripts.raise, &call).await?)?;
            if last {
                self.epoch.store(Arc::new(epoch));
                self.forgot.store(false, Ordering::Release);
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Counters for RedisCounters {
    async fn reserve(&self, by: RequestId, takes: &[Take]) -> Result<Reserved, Down> {
        let names = self.names();
        let gateway = self.gateway.load_full();
        let token = format!("{gateway}:{}", self.tokens.fetch_add(1, Ordering::Relaxed));
        let mut call = self.scripts.reserve.call(4 + takes.len());
        call.arg(names.record(by))
            .arg(names.held() + gateway.as_str())
            .arg(names.epoch())
            .arg(names.gateways());
        for take in takes {
            call.arg(names.counter(&take.id));
        }
        call.arg(self.epoch.load().as_str()).arg(gateway.as_str()).arg(&token).arg(&self.ledger);
        takes.iter().for_each(|take| call::take(&mut call, take));
        if !self.link.is_up() {
            // Nothing was asked: nothing has to be taken back.
            self.wanted.notify_one();
            return Err(Down("there is no connection".to_owned()));
        }
        // Also where whoever asked goes away before the answer comes.
        let mut unanswered = Unanswered { counters: self, by, token: Some(token) };
        match self.link.run(&self.scripts.reserve, &call).await.and_then(answer)? {
            Answer::Reserved(reserved) => {
                unanswered.token = None;
                Ok(reserved)
            }
            Answer::Forgot => {
                unanswered.token = None;
                self.forgot.store(true, Ordering::Release);
                self.wanted.notify_one();
                Err(Down("it has lost its memory, and the ledger has not told it yet".to_owned()))
            }
            // Taken back already.
            Answer::Late => {
                unanswered.token = None;
                Err(Down("the call was given up".to_owned()))
            }
        }
    }

    /// Not delivered again where it gets lost: what it would have given back stays reserved until its
    /// request is settled, and of windows until the minute is over.
    async fn give_back(&self, by: RequestId, parts: &[Settlement]) -> Result<Vec<Standing>, Down> {
        let names = self.names();
        let mut call = self.scripts.give_back.call(1 + parts.len());
        call.arg(names.record(by));
        for part in parts {
            call.arg(names.counter(&part.id));
        }
        parts.iter().for_each(|part| call::settlement(&mut call, part));
        call::standings(self.link.run(&self.scripts.give_back, &call).await?)
    }

    async fn settle(&self, by: RequestId, settlements: &[Settlement]) -> Result<Vec<Standing>, Down> {
        // Kept also where whoever asked goes away before the answer comes.
        let mut unsettled = Unsettled { counters: self, call: Some((by, settlements)) };
        let standings = self.settle_once(by, settlements, false).await?;
        unsettled.call = None;
        Ok(standings)
    }

    async fn raise(&self, spent: &[(CounterId, Rule, u64)]) -> Result<(), Down> {
        self.link.connect().await?;
        // What waits to be settled is in the ledger already: once it has arrived, it is known twice
        // unless it comes first.
        self.deliver().await?;
        self.raise_all(spent).await
    }
}

/// A call of reserve under way: taken back unless its answer comes.
struct Unanswered<'a> {
    counters: &'a RedisCounters,
    by: RequestId,
    token: Option<String>,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.counters.keep(Late::Cancel(self.by, token));
        }
    }
}

/// A settlement under way: delivered later unless its answer comes.
struct Unsettled<'a> {
    counters: &'a RedisCounters,
    call: Option<(RequestId, &'a [Settlement])>,
}

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        if let Some((by, settlements)) = self.call.take() {
            self.counters.keep(Late::Settle(by, settlements.to_vec()));
        }
    }
}

/// A name that nobody has had.
fn fresh() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
