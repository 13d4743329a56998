//! The loops that keep several gateways in step.
//!
//! *Beat*: this gateway lives, what could not be delivered is, what dead gateways held is charged.
//! *Exchange*: 429s and draws of every rate domain. *Reconcile*: what the ledger knows to be spent, so that
//! counters which lost something learn it again. *Ship*: receipts to Postgres. No request waits for any
//! of them.
//!
//! The trap: a receipt is in the ledger a moment before or after its settlement is in Redis. Told at
//! once, the ledger's word and the settlement would both count. So balances are told a while after they
//! were read: by then the settlement has arrived, or counts as late, which is told apart there.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{sleep, timeout},
};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    clock::{self, Moment, UnixTime},
    live::{Fleet, FleetPostgres, FleetRedis, Live},
    store::{
        counters::{
            Charged, Counters, Down, Rule,
            redis::{BEAT, RedisCounters},
        },
        postgres::Shipper,
        redis::{EXCHANGE, Link, Note, Shared},
    },
    types::DomainName,
    upstream::Endpoint,
};

/// How soon to look again for a server that is away.
const KNOCK: Duration = Duration::from_millis(250);
/// How often the ledger is compared with the counters.
const RECONCILE: Duration = Duration::from_secs(5);
/// How long after they were read balances are told: many times what a settlement takes to arrive.
const SETTLED: Duration = Duration::from_secs(1);
/// How often all balances are compared, and not only those that changed.
const ALL: Duration = Duration::from_secs(300);
/// At the end: how long the last words to the servers may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// Meets the servers, as far as they are there, and starts the loops; they end with the set. The first
/// word of the ledger is told before anything serves.
pub(super) async fn start(live: &Arc<Live>, link: Option<Arc<Link>>, tasks: &mut JoinSet<()>) {
    let forgot = Arc::new(Notify::new());
    if let Some(redis) = &live.fleet.redis {
        let mut books = Books::new(live);
        if beat(redis).await
            && let Err(why) = books.tell(&redis.counters, true).await
        {
            tracing::warn!(%why, "what was spent could not be told to the shared counters yet");
        }
        tasks.spawn(keep_beating(Arc::clone(live), Arc::clone(&forgot)));
        tasks.spawn(reconcile(Arc::clone(live), books, forgot));
        if let Some(link) = link {
            tasks.spawn(exchange(Arc::clone(live), Shared::new(link)));
        }
    }
    if live.fleet.postgres.is_some() {
        tasks.spawn(ship(Arc::clone(live)));
    }
}

/// After the last request: what still waits goes out, if it can be done soon.
pub(super) async fn farewell(fleet: &Fleet) {
    let all = async {
        if let Some(redis) = &fleet.redis {
            beat(redis).await;
        }
        if let Some(FleetPostgres { shipper, .. }) = &fleet.postgres {
            while shipper.step().await.is_ok_and(|step| step.read > 0) {}
        }
    };
    if timeout(FAREWELL, all).await.is_err() {
        tracing::warn!("not everything was told to the shared servers; the ledger's file has it");
    }
}

/// Whether the counters need the ledger's word.
async fn beat(redis: &FleetRedis) -> bool {
    match redis.counters.beat().await {
        Ok(beat) => {
            if redis.away.lock().take().is_some() {
                tracing::info!(gateways = beat.gateways, "the shared counters can be reached");
            }
            *redis.gateways.lock() = beat.gateways;
            if beat.charged > 0 {
                tracing::warn!(requests = beat.charged, "what a dead gateway held was charged");
            }
            beat.forgot
        }
        Err(Down(why)) => {
            let mut away = redis.away.lock();
            if away.is_none() {
                tracing::warn!(%why, "the shared counters are out of reach");
                *away = Some((clock::now(), why));
            }
            false
        }
    }
}

async fn keep_beating(live: Arc<Live>, forgot: Arc<Notify>) {
    let Some(redis) = &live.fleet.redis else { return };
    loop {
        let pause = if redis.counters.is_up() { BEAT } else { KNOCK };
        tokio::select! {
            () = sleep(pause) => {}
            // Not in a row, whatever happens.
            () = redis.counters.beat_wanted() => sleep(KNOCK / 5).await,
        }
        if beat(redis).await {
            forgot.notify_one();
        }
    }
}

async fn reconcile(live: Arc<Live>, mut books: Books, forgot: Arc<Notify>) {
    let Some(redis) = &live.fleet.redis else { return };
    loop {
        let at_once = tokio::select! {
            () = sleep(RECONCILE) => false,
            () = forgot.notified() => true,
        };
        if let Err(why) = books.tell(&redis.counters, at_once).await
            && at_once
        {
            tracing::warn!(%why, "what was spent could not be told to the shared counters");
        }
    }
}

/// What ledgers know to be spent, and what of it was told.
struct Books {
    live: Arc<Live>,
    /// Amounts by the hash of their counter.
    told: HashMap<u64, u64>,
    since: Option<UnixTime>,
    whole_at: Option<Moment>,
}

impl Books {
    fn new(live: &Arc<Live>) -> Self {
        Self { live: Arc::clone(live), told: HashMap::new(), since: None, whole_at: None }
    }

    /// Tells the counters what is new, or everything where they have forgotten it.
    async fn tell(&mut self, counters: &RedisCounters, forgot: bool) -> Result<(), String> {
        let whole = forgot || self.whole_at.is_none_or(|at| clock::now().since(at) >= ALL);
        if whole {
            self.since = None;
            self.told.clear();
        }
        let (balances, since) = self.read().await?;
        let new: Vec<_> = balances
            .iter()
            .filter(|one| self.told.get(&hash(one)) != Some(&one.amount))
            .map(|one| (one.id.clone(), Rule::Budget { until: one.until }, one.amount))
            .collect();
        // What is unknown there cannot be settled there: nothing to wait for.
        if !forgot {
            if new.is_empty() {
                self.since = since;
                return Ok(());
            }
            sleep(SETTLED).await;
        }
        counters.raise(&new).await.map_err(|Down(why)| why)?;
        // While the counters are away, the local view goes by what everybody spent.
        if self.live.fleet.postgres.is_some() {
            self.live.quota.restore(&balances);
        }
        if whole {
            self.whole_at = Some(clock::now());
        }
        self.since = since;
        self.told.extend(balances.iter().map(|one| (hash(one), one.amount)));
        Ok(())
    }

    /// Of everybody's ledger where there is one, else of our own.
    async fn read(&self) -> Result<(Vec<Charged>, Option<UnixTime>), String> {
        let now = clock::unix_now();
        if let Some(postgres) = &self.live.fleet.postgres {
            let read = postgres.ledger.balances(now, self.since).await;
            return read.map_err(|fault| fault.to_string());
        }
        let Some(ledger) = self.live.ledger.clone() else { return Ok((Vec::new(), None)) };
        let read = tokio::task::spawn_blocking(move || ledger.balances(now)).await;
        match read {
            Ok(Ok(balances)) => Ok((balances, None)),
            Ok(Err(fault)) => Err(fault.to_string()),
            Err(_) => Err("reading the ledger was broken off".to_owned()),
        }
    }
}

fn hash(one: &Charged) -> u64 {
    xxh3_64(one.id.0.as_bytes())
}

async fn ship(live: Arc<Live>) {
    let Some(FleetPostgres { shipper, .. }) = &live.fleet.postgres else { return };
    let mut was_away = false;
    loop {
        let step = shipper.step().await;
        match &step {
            Ok(_) if was_away => tracing::info!("receipts go to Postgres again"),
            Err(fault) if !was_away => {
                tracing::warn!(%fault, "receipts stay in the ledger's file until Postgres takes them");
            }
            Ok(_) | Err(_) => {}
        }
        was_away = step.is_err();
        sleep(Shipper::pause(&step)).await;
    }
}

async fn exchange(live: Arc<Live>, mut shared: Shared) {
    loop {
        sleep(EXCHANGE).await;
        let Some(redis) = &live.fleet.redis else { return };
        if !redis.counters.is_up() {
            continue;
        }
        let domains = domains(&live);
        let notes = notes(&domains);
        // Whether they can be reached is the beat's to say.
        let Ok(news) = shared.exchange(&redis.counters.gateway(), &notes).await else { continue };
        let now = clock::now();
        for (name, cools_for) in &news.cooling {
            if let Some((endpoint, class)) = known(&domains, name) {
                endpoint.cooled_elsewhere(class, *cools_for, now);
            }
        }
        for (name, more) in &news.drawn {
            if let Some((endpoint, class)) = known(&domains, name) {
                endpoint.drawn_elsewhere(class, *more, now);
            }
        }
    }
}

/// One endpoint of each rate domain: whoever is told, the domain knows.
fn domains(live: &Live) -> HashMap<DomainName, Arc<Endpoint>> {
    let snapshot = live.snapshot.load();
    let endpoints = snapshot.pool.endpoints().iter();
    endpoints.map(|endpoint| (endpoint.rate_domain().name().clone(), Arc::clone(endpoint))).collect()
}

/// A domain and a class by one name; neither holds a line break.
fn notes(domains: &HashMap<DomainName, Arc<Endpoint>>) -> Vec<Note> {
    let now = clock::now();
    let shares = domains.values().map(|endpoint| endpoint.shares(now));
    shares
        .flat_map(|(domain, shares)| {
            shares.into_iter().map(move |share| Note {
                name: format!("{domain}\n{}", share.class),
                cools_for: share.cools_for,
                drawn: share.drawn,
            })
        })
        .collect()
}

/// Whom it is about; `None` for what only others have.
fn known<'a>(
    domains: &'a HashMap<DomainName, Arc<Endpoint>>,
    name: &'a str,
) -> Option<(&'a Arc<Endpoint>, &'a str)> {
    let (domain, class) = name.split_once('\n')?;
    Some((domains.get(&DomainName::from(domain))?, class))
}
