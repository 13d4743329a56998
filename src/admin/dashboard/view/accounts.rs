//! `accounts`: endpoints with their state and what went wrong, and rate domains with what is left of them.

use serde::Serialize;

use crate::{
    clock::{self, Moment},
    live::{Live, TroubleView},
    upstream::{DomainView, EndpointView},
};

/// Everything that is sent to, at one look. Also a frame of the live stream.
#[derive(Serialize)]
pub(in super::super) struct Accounts {
    at_unix: f64,
    domains: Vec<DomainView>,
    endpoints: Vec<Account>,
}

#[derive(Serialize)]
struct Account {
    #[serde(flatten)]
    view: EndpointView,
    /// Seconds until its state changes for the better by itself; `null` where nobody knows, or nothing is wrong.
    opens_in_s: Option<f64>,
    /// The latest first.
    errors: Vec<TroubleView>,
}

/// How all accounts are.
pub(in super::super) fn frame(live: &Live, now: Moment) -> Accounts {
    let snapshot = live.snapshot.load();
    let mut troubles = live.troubles.views();
    let endpoints = snapshot.pool.endpoints().iter().map(|endpoint| Account {
        view: endpoint.view(now),
        opens_in_s: endpoint.opens(now).map(|at| now.until(at).as_secs_f64()),
        errors: troubles.remove(endpoint.name()).unwrap_or_default(),
    });
    let endpoints = endpoints.collect();
    Accounts {
        at_unix: clock::unix_now().0.as_secs_f64(),
        domains: snapshot.pool.domain_views(now),
        endpoints,
    }
}
