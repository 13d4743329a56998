//! `[sim]`: the simulated provider.

use std::net::SocketAddr;

use super::{
    read::Section,
    server::{millis, secs},
};
use crate::snapshot::{SimAccount, SimParams};

/// Reads `[sim]`, if there is one.
pub(super) fn read(sim: &Section<'_>) -> Option<SimParams> {
    let listen = sim.address("listen").unwrap_or(SocketAddr::from(([127, 0, 0, 1], 9099)));
    let params = SimParams {
        listen,
        accounts: sim.tables("account", account).into_iter().flatten().collect(),
        time_to_first_token: sim.duration("time_to_first_token", millis(300), millis(0)..=secs(60)),
        tokens_per_second: sim.ratio("tokens_per_second", 80.0, 0.0..=1e6),
        compress: sim.ratio("compress", 1.0, 0.001..=1e6),
    };
    if !sim.is_present() {
        return None;
    }
    if listen.port() == 0 {
        sim.fault(
            "listen",
            "port 0 is another one at each start",
            "write a fixed port: `base_url = \"sim\"` goes there",
        );
    }
    if !listen.ip().is_loopback() {
        sim.fault(
            "listen",
            &format!("`{listen}` is not on loopback"),
            "the simulated provider is for this machine only",
        );
    }
    if sim.get("account").is_none() {
        sim.fault("account", "missing", "add a `[[sim.account]]` with a `key`");
    }
    Some(params)
}

fn account(account: &Section<'_>) -> Option<SimAccount> {
    let key = account.required("key", "write any text; an endpoint sends the same one");
    let organization = account.name("organization");
    let workspace = account.name("workspace");
    let limits = 0..=u64::from(u32::MAX);
    let (rpm, itpm, otpm) = account.table("limits", |limit| {
        (
            limit.whole("rpm", 4_000, limits.clone()),
            limit.whole("itpm", 2_000_000, limits.clone()),
            limit.whole("otpm", 400_000, limits.clone()),
        )
    });
    let organization = organization.map_or_else(|| "sim".to_owned(), |name| name.value);
    // An account without a workspace has the organisation's own.
    let workspace = workspace.map_or_else(|| organization.clone(), |name| name.value);
    Some(SimAccount { key: key?.value, organization, workspace, rpm, itpm, otpm })
}
