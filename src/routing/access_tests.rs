//! Where a caller may go goes before where it is warm, under either policy.

use crate::{
    clock::Moment,
    routing::{
        Ask, Decision, RouterParams,
        testkit::{Kit, at, gone, lane, provider},
    },
    types::{Access, AffinityReason as Why, AffinityResult as Result_, Reason},
    upstream::{Availability, EndpointParams, Pool, ProviderParams, RoutingMode, testing},
};

/// Sixteen endpoints of `p` in each of the regions `eu` and `us`, more than are weighed whole.
fn kit(routing: RoutingMode) -> Kit {
    let names = (0..16).flat_map(|n| [("eu", n), ("us", n)]);
    let endpoints = names.map(|(region, n)| EndpointParams {
        region: Some(region.to_owned()),
        ..testing::endpoint(&format!("{region}{n}"), "p", &format!("org-{region}{n}"))
    });
    let provider = ProviderParams { routing, ..provider() };
    Kit::with(Pool::build(vec![provider], endpoints.collect(), None).unwrap(), RouterParams::default())
}

fn only(region: &str) -> Access {
    Access { regions: Some(vec![region.to_owned()]), ..Access::default() }
}

const BOTH: [RoutingMode; 2] = [RoutingMode::Cost, RoutingMode::Pinned];

#[test]
fn nobody_goes_where_its_key_may_not() {
    for routing in BOTH {
        let (kit, access) = (kit(routing), only("eu"));
        for session in 0..200 {
            let ask = Ask { allowed: Some(&access), ..kit.ask(session, session.wrapping_mul(0x9E37_79B9)) };
            let (endpoint, ..) = gone(kit.decide(&ask, at(1)));
            assert_eq!(endpoint.region(), Some("eu"), "{routing:?} {session}");
        }
    }
}

#[test]
fn a_session_whose_home_is_no_longer_allowed_moves_and_stays() {
    for routing in BOTH {
        let kit = kit(routing);
        let home = kit.get("us3");
        let mut turn = kit.start(1, home, Result_::New, at(1));
        turn.answered();
        drop(turn);
        assert_eq!(kit.turn(1, 7, at(2)).0, "us3", "{routing:?}: warm there");
        let access = only("eu");
        let ask = Ask { allowed: Some(&access), ..kit.ask(1, 7) };
        let (endpoint, result, why) = gone(kit.decide(&ask, at(3)));
        assert_eq!((endpoint.region(), result, why), (Some("eu"), Result_::Moved, Why::Withdrawn));
        kit.start(1, &endpoint, result, at(3)).answered();
        let (again, ..) = gone(kit.decide(&ask, at(4)));
        assert_eq!(again.name(), endpoint.name(), "{routing:?}");
    }
}

#[test]
fn an_access_that_fits_nobody_is_denied() {
    for routing in BOTH {
        let (kit, access) = (kit(routing), only("mars"));
        let ask = Ask { allowed: Some(&access), ..kit.ask(1, 1) };
        let denied = kit.decide(&ask, at(1));
        assert!(matches!(denied, Decision::Deny { reason: Reason::NoEndpoint, .. }), "{denied:?}");
    }
}

#[test]
fn where_the_budget_is_spent_nobody_goes_until_its_period_ends() {
    for routing in BOTH {
        let kit = kit(routing);
        let (home, until): (_, Moment) = (kit.get("eu1"), at(100));
        kit.start(1, home, Result_::New, at(1)).answered();
        assert!(home.close_spent(until, at(2)) && !home.close_spent(until, at(2)), "news once");
        assert_eq!(home.availability(lane(), at(2)), Availability::Spent { until });
        let (endpoint, result, why) = gone(kit.decide(&kit.ask(1, 7), at(2)));
        assert_ne!(endpoint.name(), home.name());
        assert_eq!((result, why), (Result_::Moved, Why::Unavailable), "{routing:?}");
        assert!(home.availability(lane(), until).usable());
        home.close_spent(at(200), at(101));
        home.reopen_spent();
        assert!(home.availability(lane(), at(102)).usable(), "the budget was raised");
    }
}

#[test]
fn when_all_budgets_are_spent_the_denial_knows_until_when() {
    for routing in BOTH {
        let kit = kit(routing);
        for endpoint in kit.pool.endpoints() {
            endpoint.close_spent(at(31), at(1));
        }
        let Decision::Deny { reason, retry_after } = kit.decide(&kit.ask(1, 1), at(1)) else {
            panic!("{routing:?}: somebody may go");
        };
        assert_eq!((reason, retry_after), (Reason::NoEndpoint, 30));
    }
}
