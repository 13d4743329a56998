use super::*;
use crate::types::{EndpointName, ProviderName, Scope};

const MONTH: What = What::Usd(Period::Month);

struct Upstream {
    desk: Desk,
    provider: ProviderName,
}

impl Upstream {
    fn new(key: Arc<VirtualKey>, provider: u64, endpoint: u64) -> Self {
        let mut levels = Levels::default();
        levels.providers.insert("anthropic".into(), vec![usd(provider, Period::Month)]);
        levels.endpoints.insert("a1".into(), vec![usd(endpoint, Period::Month)]);
        Self { desk: Desk::with(key, levels), provider: "anthropic".into() }
    }

    fn bind(&self, permit: &mut Permit, endpoint: &str, rates: Option<Rates>) -> Result<(), Refusal> {
        let endpoint: EndpointName = endpoint.into();
        at_once(permit.bind(&self.provider, &endpoint, rates, self.desk.now, self.desk.unix()))
    }

    fn stands(&self, scope: &Scope) -> u64 {
        let views = self.desk.quota.view(scope, self.desk.now, self.desk.unix());
        views.iter().find(|view| view.what == MONTH).expect("a budget").used
    }

    fn both(&self) -> (u64, u64) {
        (self.stands(&Scope::Provider("anthropic".into())), self.stands(&Scope::Endpoint("a1".into())))
    }
}

#[test]
fn budgets_of_provider_and_account_are_taken_for_the_attempt_and_without_markup() {
    let marked_up = VirtualKey { markup: 2_000, ..VirtualKey::clone(&budgeted(&[usd(DOLLAR, Period::Day)])) };
    let up = Upstream::new(Arc::new(marked_up), DOLLAR, DOLLAR);
    let mut permit = up.desk.granted();
    assert_eq!(up.both(), (0, 0));
    assert_eq!(up.bind(&mut permit, "a1", Some(RATES)), Ok(()));
    let reserved = 3_750_000 + 333 * 15_000;
    assert_eq!(up.both(), (reserved, reserved));
    // Another account of the provider: the first gets its own back.
    assert_eq!(up.bind(&mut permit, "a2", Some(RATES)), Ok(()));
    assert_eq!(up.both(), (reserved, 0));
    assert_eq!(up.bind(&mut permit, "a1", Some(RATES)), Ok(()));
    let charged = permit.settle(&used(1_000, 100), None, up.desk.now);
    let cost = 1_000 * 3_000 + 100 * 15_000;
    assert_eq!(up.both(), (cost, cost));
    assert_eq!(charged.iter().map(|one| one.amount).collect::<Vec<_>>(), [2 * cost, cost, cost]);
}

#[test]
fn an_account_without_room_says_no_and_takes_nothing() {
    let up = Upstream::new(budgeted(&[]), DOLLAR, CENT);
    let mut permit = up.desk.granted();
    let refusal = up.bind(&mut permit, "a1", Some(RATES)).expect_err("a cent is not enough");
    assert!(refusal.is_upstream());
    assert_eq!((refusal.scope, refusal.what), (Scope::Endpoint("a1".into()), MONTH));
    assert_eq!(up.both(), (0, 0));
    assert_eq!(up.bind(&mut permit, "a2", Some(RATES)), Ok(()));
    drop(permit);
    // The estimate: a stream whose input went out, and of which nothing came back.
    assert_eq!(up.both(), (3_750_000, 0));
}

#[test]
fn a_stream_is_stopped_by_the_accounts_budget_too() {
    let up = Upstream::new(budgeted(&[]), DOLLAR, 3 * CENT);
    let mut permit = up.desk.granted();
    assert_eq!(up.bind(&mut permit, "a1", Some(RATES)), Ok(()));
    assert_eq!(permit.flowed(1_000, up.desk.now), Flow::Go);
    let Flow::Stop(refusal) = permit.flowed(1_400, up.desk.now) else { panic!("it goes on") };
    assert_eq!(refusal.scope, Scope::Endpoint("a1".into()));
    assert!(up.both().1 <= 3 * CENT);
}

#[test]
fn without_a_price_there_is_no_account_with_a_budget_in_dollars() {
    let up = Upstream::new(budgeted(&[]), DOLLAR, DOLLAR);
    let mut permit = up.desk.granted();
    let refusal = up.bind(&mut permit, "a1", None).expect_err("no price");
    assert_eq!(refusal.why, Why::NoPrice);
    permit.release(up.desk.now);
    assert_eq!(up.both(), (0, 0));
}

#[test]
fn a_dearer_account_takes_more_of_the_keys_budget_and_a_cheaper_one_no_less() {
    let up = Upstream::new(budgeted(&[usd(10 * CENT, Period::Day)]), DOLLAR, DOLLAR);
    let day = What::Usd(Period::Day);
    let times = |n: u64| {
        Some(Rates {
            input: RATES.input * n,
            write_5m: RATES.write_5m * n,
            output: RATES.output * n,
            ..RATES
        })
    };
    let mut permit = up.desk.granted();
    let plain = 3_750_000 + 666 * 15_000;
    assert_eq!(up.bind(&mut permit, "a2", times(3)), Ok(()));
    assert_eq!(up.desk.stands(day).0, 3 * plain);
    assert_eq!(up.bind(&mut permit, "a2", times(1)), Ok(()));
    assert_eq!(up.desk.stands(day).0, 3 * plain);
    let refusal = up.bind(&mut permit, "a2", times(9)).expect_err("more than ten cents");
    assert!(!refusal.is_upstream());
    assert_eq!((refusal.what, up.both()), (day, (0, 0)));
    let charged = permit.settle(&used(1_000, 10), Some(NanoUsd(77)), up.desk.now);
    assert_eq!(charged.iter().map(|one| one.amount).collect::<Vec<_>>(), [77]);
    assert_eq!(up.desk.stands(day), (77, 77));
}
