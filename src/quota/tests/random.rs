//! Random callers in random order, against sums that anybody can follow.

use std::{collections::HashMap, thread};

use proptest::prelude::*;

use super::*;
use crate::types::{EndpointName, ProviderName, Scope};

#[derive(Clone, Debug)]
enum Step {
    Admit { who: usize, session: Option<u8>, input: u64, likely: u64, streamed: bool },
    Bind { which: usize, endpoint: u8, dear: bool },
    Report { which: usize, input: u64 },
    Flow { which: usize, more: u64 },
    Settle { which: usize, output: u64 },
    Drop(usize),
    Release(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let which = any::<usize>();
    prop_oneof![
        6 => (0_usize..3, proptest::option::of(0_u8..3), 0_u64..3_000, 0_u64..2_000, any::<bool>()).prop_map(
            |(who, session, input, likely, streamed)| Step::Admit { who, session, input, likely, streamed }),
        3 => (which, 0_u8..2, any::<bool>())
            .prop_map(|(which, endpoint, dear)| Step::Bind { which, endpoint, dear }),
        2 => (which, 0_u64..4_000).prop_map(|(which, input)| Step::Report { which, input }),
        4 => (which, 0_u64..900).prop_map(|(which, more)| Step::Flow { which, more }),
        3 => (which, 0_u64..900).prop_map(|(which, output)| Step::Settle { which, output }),
        1 => which.prop_map(Step::Drop),
        1 => which.prop_map(Step::Release),
        2 => (0_u64..30_000).prop_map(Step::Wait),
    ]
}

fn allowance() -> impl Strategy<Value = Allowance> {
    let some = |most: u64| proptest::option::of(1..most);
    let limits = (some(20), some(20_000), some(20_000), some(9_000), some(5), some(3), some(20));
    let budget = (any::<bool>(), 1_u64..30 * CENT, 0_usize..5, proptest::bool::weighted(0.2)).prop_map(
        |(dollars, amount, per, soft)| {
            let per = Period::ALL[per];
            let budget = if dollars { usd(amount, per) } else { tokens(amount / 10_000 + 1, per) };
            Budget { soft, ..budget }
        },
    );
    let budgets = || proptest::collection::vec(budget.clone(), 0..3);
    (limits, budgets(), budgets()).prop_map(
        |((rpm, tpm, itpm, otpm, concurrent, sessions, turns), budgets, session_budgets)| Allowance {
            limits: Limits { rpm, tpm, itpm, otpm, count_cached: false, concurrent, sessions, turns },
            budgets,
            session_budgets,
        },
    )
}

/// One open request: what it is expected to be charged.
struct Open {
    permit: Permit,
    flown: u64,
    input: u64,
    likely: u64,
    streamed: bool,
    stopped: bool,
}

/// A conversation of this caller's: whose budgets hold for it is its caller's matter.
fn session_of(who: usize, n: u8) -> SessionKey {
    SessionKey((who as u128 * 16 + u128::from(n)) << 64)
}

struct World {
    desks: Vec<Desk>,
    provider: ProviderName,
    open: Vec<Open>,
    /// What everybody was charged, by counter.
    ledger: HashMap<CounterId, u64>,
}

impl World {
    fn new(own: [Allowance; 3], organisation: Allowance, every: Allowance, upstream: u64) -> Self {
        let mut levels = Levels { sessions: every, ..Levels::default() };
        levels.organisations.insert("default".into(), organisation);
        levels.providers.insert("p".into(), vec![usd(upstream, Period::Day)]);
        levels.endpoints.insert("e0".into(), vec![usd(upstream / 2 + 1, Period::Day)]);
        let quota = Arc::new(Quota::new(QuotaParams::default(), None));
        quota.configure(Arc::new(levels));
        let desks = (0..)
            .zip(own)
            .map(|(n, own)| {
                let plain = key(own);
                let id = format!("k{n}");
                let markup = [1_000, 1_500, 800][n];
                let own = VirtualKey { id: id.as_str().into(), markup, ..VirtualKey::clone(&plain) };
                Desk::on(Arc::clone(&quota), Arc::new(own))
            })
            .collect();
        Self { desks, provider: "p".into(), open: Vec::new(), ledger: HashMap::new() }
    }

    fn charge(&mut self, charged: Vec<Charged>) {
        for one in charged {
            *self.ledger.entry(one.id).or_default() += one.amount;
        }
    }

    fn pick(&mut self, which: usize) -> Option<usize> {
        (!self.open.is_empty()).then(|| which % self.open.len())
    }

    /// What a drop will charge, by the rule that `Permit` states.
    fn step(&mut self, step: Step) {
        match step {
            Step::Admit { who, session, input, likely, streamed } => {
                let desk = &mut self.desks[who];
                desk.session = session.map(|n| session_of(who, n));
                (desk.input, desk.likely, desk.streamed) = (input, likely, streamed);
                if let Ok(permit) = desk.go() {
                    self.open.push(Open { permit, flown: 0, input, likely, streamed, stopped: false });
                }
            }
            Step::Bind { which, endpoint, dear } => {
                let Some(at) = self.pick(which) else { return };
                let times = if dear { 3 } else { 1 };
                let rates = Rates { output: RATES.output * times, write_5m: RATES.write_5m * times, ..RATES };
                let endpoint: EndpointName = format!("e{endpoint}").into();
                let (now, unix) = (self.desks[0].now, self.desks[0].unix());
                let _room =
                    at_once(self.open[at].permit.bind(&self.provider, &endpoint, Some(rates), now, unix));
            }
            Step::Report { which, input } => {
                let Some(at) = self.pick(which) else { return };
                let now = self.desks[0].now;
                self.open[at].permit.reported(&used(input, 0), now);
                self.open[at].input = input;
            }
            Step::Flow { which, more } => {
                let Some(at) = self.pick(which) else { return };
                let now = self.desks[0].now;
                let open = &mut self.open[at];
                if open.streamed {
                    open.flown += more;
                    let _flow = open.permit.flowed(open.flown, now);
                }
            }
            Step::Settle { which, output } => {
                let Some(at) = self.pick(which) else { return };
                let open = self.open.swap_remove(at);
                let output = if open.streamed { open.flown } else { output };
                let charged = open.permit.settle(&used(open.input, output), None, self.desks[0].now);
                self.charge(charged);
            }
            Step::Drop(which) => {
                let Some(at) = self.pick(which) else { return };
                let open = self.open.swap_remove(at);
                // An answer in one piece is charged what it reserved; a stream no more than that and
                // what has flowed.
                let before = self.spent();
                let reserved = open.permit.reserved();
                drop(open.permit);
                let after = self.spent();
                for (id, spent) in after {
                    let more = spent - before.get(&id).copied().unwrap_or(0);
                    if more > 0 {
                        let held = reserved.iter().find(|one| one.id == id).map_or(0, |one| one.amount);
                        assert!(open.streamed || more == held, "{id}: {more} of {held}");
                        *self.ledger.entry(id).or_default() += more;
                    }
                }
            }
            Step::Release(which) => {
                let Some(at) = self.pick(which) else { return };
                let open = self.open.swap_remove(at);
                let before = self.spent();
                open.permit.release(self.desks[0].now);
                assert_eq!(self.spent(), before);
            }
            Step::Wait(millis) => {
                for desk in &mut self.desks {
                    desk.now = desk.now + Duration::from_millis(millis);
                    desk.at += millis / 1_000;
                }
            }
        }
    }

    fn spent(&self) -> HashMap<CounterId, u64> {
        let quota = &self.desks[0].quota;
        quota.memory.spent().into_iter().collect()
    }

    fn views(&self) -> Vec<CounterView> {
        let desk = &self.desks[0];
        let mut views: Vec<_> = self
            .desks
            .iter()
            .enumerate()
            .flat_map(|(who, desk)| {
                let mut views = desk.quota.view_key(&desk.key, desk.now, desk.unix());
                for n in 0..3 {
                    let session = session_of(who, n);
                    views.extend(desk.quota.view_session(&desk.key, session, desk.now, desk.unix()));
                }
                views
            })
            .collect();
        for scope in [Scope::Provider("p".into()), Scope::Endpoint("e0".into())] {
            views.extend(desk.quota.view(&scope, desk.now, desk.unix()));
        }
        views
    }

    /// Whatever has been going on: what is spent is what was charged, to the nano-dollar.
    fn check(&self) {
        assert_eq!(
            self.spent(),
            self.ledger.iter().filter(|(_, n)| **n > 0).map(|(id, n)| (id.clone(), *n)).collect()
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_was_reserved_and_not_given_back_is_charged(
        own in [allowance(), allowance(), allowance()],
        organisation in allowance(),
        every in allowance(),
        upstream in 1_u64..20 * CENT,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(own, organisation, every, upstream);
        for step in steps {
            world.step(step);
            world.check();
        }
        while !world.open.is_empty() {
            world.step(Step::Drop(0));
        }
        world.check();
        for view in world.views() {
            match view.what {
                What::Usd(_) | What::Tokens(_) | What::Turns => {
                    prop_assert_eq!(view.used, view.spent, "{:?} is left reserved", view);
                }
                What::Concurrent => prop_assert_eq!(view.used, 0, "{:?} is left held", view),
                What::Rpm | What::Sessions => prop_assert!(view.used <= view.limit, "{:?}", view),
                What::Tpm | What::Itpm | What::Otpm => {}
            }
        }
    }

    /// Whoever keeps to what was reserved: no hard budget and no minute is ever passed.
    #[test]
    fn nobody_who_keeps_to_what_was_reserved_passes_a_budget_or_a_limit(
        own in [allowance(), allowance(), allowance()],
        organisation in allowance(),
        every in allowance(),
        upstream in 1_u64..20 * CENT,
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new(own, organisation, every, upstream);
        // Tokens that had come when their stream was stopped.
        let mut beyond = 0;
        for step in steps {
            match step {
                // One token at a time, and not on when told to stop.
                Step::Flow { which, more } => {
                    let Some(at) = world.pick(which) else { continue };
                    let now = world.desks[0].now;
                    let open = &mut world.open[at];
                    for _ in 0..more {
                        if !open.streamed || open.stopped {
                            break;
                        }
                        open.flown += 1;
                        open.stopped = open.permit.flowed(open.flown, now) != Flow::Go;
                        beyond += u64::from(open.stopped);
                    }
                }
                Step::Settle { which, output } => {
                    let Some(at) = world.pick(which) else { continue };
                    let output = output.min(2 * world.open[at].likely);
                    world.step(Step::Settle { which, output });
                }
                // No more input than was thought, and prices as they were.
                Step::Report { which, input } => {
                    let Some(at) = world.pick(which) else { continue };
                    let input = input.min(world.open[at].input);
                    world.step(Step::Report { which, input });
                }
                Step::Bind { which, endpoint, .. } => world.step(Step::Bind { which, endpoint, dear: false }),
                step @ (Step::Admit { .. } | Step::Drop(_) | Step::Release(_) | Step::Wait(_)) => {
                    world.step(step);
                }
            }
            for view in world.views() {
                // Of output, limits by the minute reserve what is likely and not what is possible.
                let strict = !view.soft && !matches!(view.what, What::Tpm | What::Otpm);
                let slack = match view.what {
                    What::Usd(_) => beyond * 15_000 * 3 / 2,
                    What::Tokens(_) => beyond,
                    What::Rpm | What::Itpm | What::Tpm | What::Otpm => 0,
                    What::Concurrent | What::Sessions | What::Turns => 0,
                };
                prop_assert!(!strict || view.used <= view.limit + slack, "{:?}, {} beyond", view, beyond);
            }
        }
    }
}

#[test]
fn many_threads_on_one_quota_add_up() {
    let own = key(Allowance {
        limits: Limits { concurrent: Some(6), ..Limits::default() },
        budgets: vec![usd(DOLLAR, Period::Day)],
        ..Allowance::default()
    });
    let quota = Arc::new(Quota::new(QuotaParams::default(), None));
    let work = |n: u64| {
        let mut desk = Desk::on(Arc::clone(&quota), Arc::clone(&own));
        desk.session = Some(SessionKey(u128::from(n) << 64));
        let mut charged = 0;
        for round in 0..2_000_u64 {
            let Ok(mut permit) = desk.go() else { continue };
            let flown = round * n % 1_500;
            let _flow = permit.flowed(flown, desk.now);
            match round % 4 {
                0 => permit.release(desk.now),
                _ => {
                    let usage = used(round % 100, flown);
                    charged +=
                        permit.settle(&usage, None, desk.now).iter().map(|one| one.amount).sum::<u64>();
                }
            }
        }
        charged
    };
    let charged: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (1..=8).map(|n| scope.spawn(move || work(n))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    let desk = Desk::on(quota, own);
    assert_eq!(desk.stands(What::Usd(Period::Day)), (charged, charged));
    assert_eq!(desk.stands(What::Concurrent).0, 0);
    assert!(charged > DOLLAR / 2);
}
