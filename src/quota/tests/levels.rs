use super::*;
use crate::types::{Scope, TeamName};

fn of_team(team: &str, limits: Limits) -> Arc<VirtualKey> {
    let key = VirtualKey::clone(&limited(limits));
    Arc::new(VirtualKey { team: Some(team.into()), ..key })
}

fn rpm(rpm: u64) -> Limits {
    Limits { rpm: Some(rpm), ..Limits::default() }
}

#[test]
fn every_level_must_admit_and_a_refusal_takes_nothing() {
    let allow = |rpm_: u64| Allowance { limits: rpm(rpm_), ..Allowance::default() };
    let team: TeamName = "ops".into();
    for (organisation, team_limit, own, every, whose) in [
        (2, 9, 9, 9, Scope::Organisation("default".into())),
        (9, 2, 9, 9, Scope::Team("default".into(), team.clone())),
        (9, 9, 2, 9, Scope::Key("ci".into())),
        (9, 9, 9, 2, Scope::Session(SessionKey(7 << 64))),
    ] {
        let mut levels = Levels { sessions: allow(every), ..Levels::default() };
        levels.organisations.insert("default".into(), allow(organisation));
        levels.teams.insert(("default".into(), team.clone()), allow(team_limit));
        let desk = Desk::with(of_team("ops", rpm(own)), levels);
        for _ in 0..2 {
            let _charged = desk.granted().settle(&used(1, 1), None, desk.now);
        }
        let refusal = desk.denied();
        assert_eq!((&refusal.scope, refusal.what, refusal.limit, refusal.used), (&whose, What::Rpm, 2, 2));
        assert_eq!(refusal.why, Why::Used);
        for _ in 0..20 {
            desk.denied();
        }
        assert_eq!(desk.stands(What::Rpm).0, 2, "refusals of {whose:?} took something");
    }
}

#[test]
fn the_minute_rolls_and_says_when() {
    let mut desk = Desk::new(limited(rpm(2)));
    drop(desk.granted());
    desk.pass(30);
    drop(desk.granted());
    let refusal = desk.denied();
    assert_eq!(refusal.retry_after, Some(Duration::from_secs(31)));
    assert!(!refusal.is_budget() && refusal.may_retry());
    assert_eq!(refusal.figures().requests.map(|figure| figure.remaining), Some(0));
    desk.pass(30);
    desk.denied();
    desk.pass(1);
    desk.granted();
    desk.denied();
}

#[test]
fn a_time_of_day_that_jumps_moves_no_limit() {
    let mut desk = Desk::new(limited(rpm(1)));
    drop(desk.granted());
    for at in [0, NOON + 100 * 365 * 86_400, NOON - 86_400] {
        desk.at = at;
        assert_eq!(desk.denied().what, What::Rpm);
    }
    // The monotonic clock never goes back; who comes late with an older moment does no harm.
    let late = desk.now;
    desk.pass(61);
    drop(desk.granted());
    desk.now = late;
    desk.denied();
}

#[test]
fn a_request_larger_than_its_limit_is_told_that_it_never_fits() {
    let mut desk = Desk::new(limited(Limits { itpm: Some(999), ..Limits::default() }));
    let refusal = desk.denied();
    assert_eq!((refusal.why, refusal.retry_after, refusal.asked), (Why::TooLarge, None, 1_000));
    assert_eq!(refusal.retry_after_s(), None);
    desk.input = 999;
    desk.granted();
}

#[test]
fn who_is_under_way_makes_room_when_it_is_over_however_it_ends() {
    let desk = Desk::new(limited(Limits { concurrent: Some(2), ..Limits::default() }));
    let (one, two) = (desk.granted(), desk.granted());
    let refusal = desk.denied();
    assert_eq!((refusal.what, refusal.used, refusal.retry_after_s()), (What::Concurrent, 2, Some(1)));
    let _charged = one.settle(&used(1, 1), None, desk.now);
    let three = desk.granted();
    drop(two);
    let four = desk.granted();
    three.release(desk.now);
    drop(four);
    assert_eq!(desk.stands(What::Concurrent).0, 0);
}

#[test]
fn sessions_count_for_five_minutes_and_a_known_one_is_let_in() {
    let mut desk = Desk::new(limited(Limits { sessions: Some(2), ..Limits::default() }));
    let session = |n: u128| Some(SessionKey(n << 64));
    for n in [1, 2, 1] {
        desk.session = session(n);
        drop(desk.granted());
        desk.pass(100);
    }
    desk.session = session(3);
    assert_eq!(desk.denied().what, What::Sessions);
    // Number two was heard of 200 s ago; number one 100 s ago.
    desk.pass(100);
    drop(desk.granted());
    desk.session = session(2);
    desk.denied();
    desk.session = None;
    drop(desk.granted());
    assert_eq!(desk.stands(What::Sessions).0, 2);
}

#[test]
fn turns_are_of_one_session_and_the_smallest_number_holds() {
    let turns = |turns| Limits { turns: Some(turns), ..Limits::default() };
    let every = Allowance { limits: turns(5), ..Allowance::default() };
    let mut desk = Desk::with(limited(turns(3)), Levels { sessions: every, ..Levels::default() });
    for _ in 0..3 {
        let charged = desk.granted().settle(&used(1, 1), None, desk.now);
        assert_eq!(charged.iter().map(|one| one.amount).collect::<Vec<_>>(), [1]);
        desk.pass(1_000);
    }
    desk.granted_is_refused_for_good();
    desk.session = Some(SessionKey(8 << 64));
    // What never went anywhere was no turn.
    for _ in 0..5 {
        desk.granted().release(desk.now);
    }
    desk.session = None;
    for _ in 0..5 {
        drop(desk.granted());
    }
}

impl Desk {
    fn granted_is_refused_for_good(&self) {
        let refusal = self.denied();
        assert_eq!((refusal.what, refusal.limit, refusal.used), (What::Turns, 3, 3));
        assert!(!refusal.may_retry());
        assert!(refusal.message().contains("the limit of 3 turns of session `0000000000000007`"));
    }
}

#[test]
fn tokens_count_as_reserved_and_then_as_they_were() {
    let limits = Limits { tpm: Some(10_000), itpm: Some(8_000), otpm: Some(2_000), ..Limits::default() };
    let mut desk = Desk::new(limited(limits));
    desk.most = Some(300);
    let mut permit = desk.granted();
    let stands = |desk: &Desk| [What::Tpm, What::Itpm, What::Otpm].map(|what| desk.stands(what).0);
    // 500 are likely, 300 allowed.
    assert_eq!(stands(&desk), [1_300, 1_000, 300]);
    let usage = Usage { input: 100, cached_read: 800, write_5m: 50, ..Usage::default() };
    permit.reported(&usage, desk.now);
    assert_eq!(stands(&desk), [450, 150, 300]);
    desk.pass(5);
    let _charged = permit.settle(&Usage { output: 120, ..usage }, None, desk.now);
    assert_eq!(stands(&desk), [270, 150, 120]);
    desk.pass(56);
    assert_eq!(stands(&desk), [0, 0, 0]);
}

#[test]
fn cached_reads_count_where_they_are_to() {
    let limits = Limits { itpm: Some(8_000), tpm: Some(9_000), count_cached: true, ..Limits::default() };
    let desk = Desk::new(limited(limits));
    let usage = Usage { input: 100, cached_read: 800, write_5m: 50, output: 7, ..Usage::default() };
    let mut permit = desk.granted();
    permit.reported(&usage, desk.now);
    assert_eq!(desk.stands(What::Itpm).0, 950);
    let _charged = permit.settle(&usage, None, desk.now);
    assert_eq!([What::Itpm, What::Tpm].map(|what| desk.stands(what).0), [950, 957]);
}

#[test]
fn more_input_than_was_thought_is_booked_when_it_is_known() {
    let desk = Desk::new(limited(Limits { itpm: Some(2_000), ..Limits::default() }));
    let mut permit = desk.granted();
    permit.reported(&used(1_900, 0), desk.now);
    assert_eq!(desk.stands(What::Itpm).0, 1_900);
    desk.denied();
    let _charged = permit.settle(&used(1_900, 10), None, desk.now);
    assert_eq!(desk.stands(What::Itpm).0, 1_900);
}

#[test]
fn the_figures_for_headers_are_those_of_the_tightest_level() {
    let every = Allowance {
        limits: Limits { rpm: Some(3), otpm: Some(50_000), ..Limits::default() },
        ..Allowance::default()
    };
    let desk = Desk::with(limited(rpm(100)), Levels { sessions: every, ..Levels::default() });
    let figures = desk.granted().standing();
    let requests = figures.requests.expect("a limit of requests");
    assert_eq!((requests.limit, requests.remaining, requests.reset.as_secs()), (3, 2, 60));
    assert_eq!(figures.output_tokens.map(|figure| figure.remaining), Some(49_500));
    assert_eq!((figures.tokens, figures.input_tokens), (None, None));
}

#[test]
fn callers_without_a_key_are_held_to_their_organisation() {
    let mut levels = Levels::default();
    levels.organisations.insert("default".into(), Allowance { limits: rpm(1), ..Allowance::default() });
    let desk = Desk::with(limited(Limits::default()), levels);
    let anonymous = || at_once(desk.quota.admit(Ask { key: None, ..desk.ask() }));
    assert!(anonymous().is_ok());
    assert!(anonymous().is_err());
    assert_eq!(desk.denied().scope, Scope::Organisation("default".into()));
}

#[test]
fn limits_that_change_hold_at_once_and_what_is_in_use_stays() {
    let mut desk = Desk::new(limited(rpm(1)));
    drop(desk.granted());
    desk.denied();
    desk.key = limited(rpm(3));
    drop(desk.granted());
    assert_eq!(desk.stands(What::Rpm).0, 2);
    let mut levels = Levels::default();
    levels.organisations.insert("default".into(), Allowance { limits: rpm(1), ..Allowance::default() });
    desk.quota.configure(Arc::new(levels));
    drop(desk.granted());
    assert_eq!(desk.denied().scope, Scope::Organisation("default".into()));
}

#[test]
fn a_name_with_a_slash_is_nobody_elses() {
    use crate::quota::plan::scope_name;
    let one = scope_name(&Scope::Team("a/b".into(), "c".into()));
    let other = scope_name(&Scope::Team("a".into(), "b/c".into()));
    assert_eq!((one.as_str(), other.as_str()), ("team:a%2Fb/c", "team:a/b%2Fc"));
    assert_eq!(scope_name(&Scope::Session(SessionKey(255))), format!("session:{:032x}", 255));
}
