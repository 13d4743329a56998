//! What every engine of counters does: one suite, run on each of them.
//!
//! Each test makes counters of its own (ids end in a fresh request id), so a server may be shared by
//! many runs at once. Nothing here waits for a minute to pass: how windows roll is tested where time
//! can be given.

use std::{fmt, sync::Arc, time::Duration};

use super::{CounterId, Counters, Down, Reserved, Rule, Settlement, Standing, Take};
use crate::{clock::UnixTime, types::RequestId};

/// What an engine did not keep.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken(pub String);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Down> for Broken {
    fn from(down: Down) -> Self {
        Self(down.to_string())
    }
}

type Kept = Result<(), Broken>;

/// Runs all of it.
///
/// # Errors
/// The first clause that is not kept.
pub async fn all(engine: Arc<dyn Counters>) -> Kept {
    let on = &*engine;
    named("a refusal takes nothing and says where it stands", all_or_nothing(on).await)?;
    named("a limit may be reached and not passed", limits_are_inclusive(on).await)?;
    named("windows say when there is room", windows_say_when(on).await)?;
    named("windows are corrected to what was used", windows_are_corrected(on).await)?;
    named("levels are given back in full", levels_come_back(on).await)?;
    named("a member that is known is let in", members_are_let_in(on).await)?;
    named("budgets tell spent from reserved", budgets_are_spent(on).await)?;
    named("anyway goes beyond the limit", anyway_goes_beyond(on).await)?;
    named("a stream reserves again under its id", streams_go_on(on).await)?;
    named("what is given back is free at once", parts_are_given_back(on).await)?;
    named("settling twice counts once", settling_twice_counts_once(on).await)?;
    named("raising never lowers", raising_never_lowers(on).await)?;
    named("nothing can be taken", nothing_can_be_taken(on).await)?;
    named("many at once stay within", many_stay_within(&engine).await)
}

fn named(clause: &str, kept: Kept) -> Kept {
    kept.map_err(|Broken(why)| Broken(format!("{clause}: {why}")))
}

fn ensure(kept: bool, why: impl FnOnce() -> String) -> Kept {
    if kept { Ok(()) } else { Err(Broken(why())) }
}

fn same<T: PartialEq + fmt::Debug>(what: &str, is: &T, should: &T) -> Kept {
    ensure(is == should, || format!("{what} is {is:?}, should be {should:?}"))
}

/// A counter nobody else uses.
fn fresh(kind: &str) -> CounterId {
    CounterId(format!("{kind}/key:{}/test", RequestId::mint()).into())
}

/// In the year 2100: no engine forgets it during a test.
const BUDGET: Rule = Rule::Budget { until: UnixTime(Duration::from_secs(4_102_444_800)) };

const fn member(member: u64) -> Rule {
    Rule::Members { member, idle: Duration::from_secs(300) }
}

fn take(id: &CounterId, rule: Rule, amount: u64, limit: u64) -> Take {
    Take { id: id.clone(), rule, amount, limit, anyway: false }
}

fn settled(id: &CounterId, rule: Rule, reserved: u64, actual: u64, second: u64) -> Settlement {
    Settlement { id: id.clone(), rule, reserved, actual, second }
}

/// Reserves and expects to get it: the second and the standings.
async fn granted(on: &dyn Counters, by: RequestId, takes: &[Take]) -> Result<(u64, Vec<Standing>), Broken> {
    match on.reserve(by, takes).await? {
        Reserved::Granted { second, standings } => {
            same("the number of standings", &standings.len(), &takes.len())?;
            Ok((second, standings))
        }
        refused @ Reserved::Refused { .. } => Err(Broken(format!("{takes:?} was refused: {refused:?}"))),
    }
}

/// Reserves and expects not to get it.
async fn refused(on: &dyn Counters, takes: &[Take]) -> Result<(usize, Standing, Option<Duration>), Broken> {
    match on.reserve(RequestId::mint(), takes).await? {
        Reserved::Refused { index, standing, after } => Ok((index, standing, after)),
        granted @ Reserved::Granted { .. } => Err(Broken(format!("{takes:?} was granted: {granted:?}"))),
    }
}

/// Where a budget stands: asks for nothing, and gives it back.
async fn stands(on: &dyn Counters, id: &CounterId) -> Result<Standing, Broken> {
    let by = RequestId::mint();
    let nothing = Take { anyway: true, ..take(id, BUDGET, 0, 1) };
    let (second, standings) = granted(on, by, &[nothing]).await?;
    on.settle(by, &[settled(id, BUDGET, 0, 0, second)]).await?;
    Ok(standings.first().copied().unwrap_or_default())
}

async fn all_or_nothing(on: &dyn Counters) -> Kept {
    let (window, level, budget) = (fresh("w"), fresh("l"), fresh("b"));
    granted(on, RequestId::mint(), &[take(&budget, BUDGET, 90, 100)]).await?;
    let takes =
        [take(&window, Rule::Window, 5, 10), take(&level, Rule::Level, 1, 1), take(&budget, BUDGET, 11, 100)];
    let (index, standing, after) = refused(on, &takes).await?;
    same("the index", &index, &2)?;
    same("the standing", &standing, &Standing { used: 90, spent: 0 })?;
    same("when", &after, &None)?;
    // Had the refused one taken anything, these would not fit.
    granted(
        on,
        RequestId::mint(),
        &[
            take(&window, Rule::Window, 10, 10),
            take(&level, Rule::Level, 1, 1),
            take(&budget, BUDGET, 10, 100),
        ],
    )
    .await?;
    Ok(())
}

async fn limits_are_inclusive(on: &dyn Counters) -> Kept {
    for (kind, rule) in [("w", Rule::Window), ("l", Rule::Level), ("b", BUDGET)] {
        let id = fresh(kind);
        let (_, standings) = granted(on, RequestId::mint(), &[take(&id, rule, 7, 7)]).await?;
        same("used", &standings.first().map(|standing| standing.used), &Some(7))?;
        granted(on, RequestId::mint(), &[take(&id, rule, 0, 7)]).await?;
        refused(on, &[take(&id, rule, 1, 7)]).await?;
        // A limit is the asker's: it may have been raised meanwhile.
        granted(on, RequestId::mint(), &[take(&id, rule, 1, 8)]).await?;
        refused(on, &[take(&fresh(kind), rule, 8, 7)]).await?;
    }
    Ok(())
}

async fn windows_say_when(on: &dyn Counters) -> Kept {
    let id = fresh("w");
    granted(on, RequestId::mint(), &[take(&id, Rule::Window, 10, 10)]).await?;
    let (_, standing, after) = refused(on, &[take(&id, Rule::Window, 1, 10)]).await?;
    same("the standing", &standing, &Standing { used: 10, spent: 0 })?;
    let within = after.is_some_and(|after| after > Duration::ZERO && after <= Duration::from_secs(61));
    ensure(within, || format!("room was promised after {after:?}"))?;
    let (_, _, after) = refused(on, &[take(&id, Rule::Window, 11, 10)]).await?;
    same("when more than the limit fits", &after, &None)
}

async fn windows_are_corrected(on: &dyn Counters) -> Kept {
    let id = fresh("w");
    let by = RequestId::mint();
    let (second, _) = granted(on, by, &[take(&id, Rule::Window, 100, 100)]).await?;
    let standings = on.settle(by, &[settled(&id, Rule::Window, 100, 30, second)]).await?;
    same("after less", &standings, &vec![Standing { used: 30, spent: 0 }])?;
    let by = RequestId::mint();
    let (second, _) = granted(on, by, &[take(&id, Rule::Window, 10, 100)]).await?;
    let standings = on.settle(by, &[settled(&id, Rule::Window, 10, 90, second)]).await?;
    same("after more", &standings, &vec![Standing { used: 120, spent: 0 }])?;
    refused(on, &[take(&id, Rule::Window, 1, 100)]).await?;
    Ok(())
}

async fn levels_come_back(on: &dyn Counters) -> Kept {
    let id = fresh("l");
    let (first, second) = (RequestId::mint(), RequestId::mint());
    granted(on, first, &[take(&id, Rule::Level, 1, 2)]).await?;
    let (at, _) = granted(on, second, &[take(&id, Rule::Level, 1, 2)]).await?;
    let (_, standing, _) = refused(on, &[take(&id, Rule::Level, 1, 2)]).await?;
    same("held", &standing, &Standing { used: 2, spent: 0 })?;
    let standings = on.settle(second, &[settled(&id, Rule::Level, 1, 1, at)]).await?;
    same("held after one is over", &standings, &vec![Standing { used: 1, spent: 0 }])?;
    granted(on, RequestId::mint(), &[take(&id, Rule::Level, 1, 2)]).await?;
    Ok(())
}

async fn members_are_let_in(on: &dyn Counters) -> Kept {
    let id = fresh("m");
    let by = RequestId::mint();
    let (second, _) = granted(on, by, &[take(&id, member(1), 1, 2)]).await?;
    granted(on, RequestId::mint(), &[take(&id, member(u64::MAX), 1, 2)]).await?;
    let (_, standings) = granted(on, RequestId::mint(), &[take(&id, member(1), 1, 2)]).await?;
    same("members", &standings, &vec![Standing { used: 2, spent: 0 }])?;
    let (_, standing, _) = refused(on, &[take(&id, member(3), 1, 2)]).await?;
    same("members that are in", &standing, &Standing { used: 2, spent: 0 })?;
    // Who is done with a request is still a member.
    on.settle(by, &[settled(&id, member(1), 1, 1, second)]).await?;
    refused(on, &[take(&id, member(3), 1, 2)]).await?;
    Ok(())
}

async fn budgets_are_spent(on: &dyn Counters) -> Kept {
    let id = fresh("b");
    let by = RequestId::mint();
    let (second, standings) = granted(on, by, &[take(&id, BUDGET, 60, 100)]).await?;
    same("reserved", &standings, &vec![Standing { used: 60, spent: 0 }])?;
    let standings = on.settle(by, &[settled(&id, BUDGET, 60, 25, second)]).await?;
    same("settled", &standings, &vec![Standing { used: 25, spent: 25 }])?;
    let by = RequestId::mint();
    let (second, standings) = granted(on, by, &[take(&id, BUDGET, 75, 100)]).await?;
    same("reserved again", &standings, &vec![Standing { used: 100, spent: 25 }])?;
    let standings = on.settle(by, &[settled(&id, BUDGET, 75, 80, second)]).await?;
    same("overshot", &standings, &vec![Standing { used: 105, spent: 105 }])?;
    let (_, standing, after) = refused(on, &[take(&id, BUDGET, 1, 100)]).await?;
    same("refused at", &standing, &Standing { used: 105, spent: 105 })?;
    same("when", &after, &None)
}

async fn anyway_goes_beyond(on: &dyn Counters) -> Kept {
    for (kind, rule) in [("w", Rule::Window), ("l", Rule::Level), ("b", BUDGET)] {
        let id = fresh(kind);
        let beyond = Take { anyway: true, ..take(&id, rule, 15, 10) };
        let (_, standings) = granted(on, RequestId::mint(), &[beyond]).await?;
        same("used", &standings.first().map(|standing| standing.used), &Some(15))?;
        refused(on, &[take(&id, rule, 1, 10)]).await?;
    }
    let id = fresh("m");
    for one in 0..3 {
        granted(on, RequestId::mint(), &[Take { anyway: true, ..take(&id, member(one), 1, 1) }]).await?;
    }
    refused(on, &[take(&id, member(9), 1, 3)]).await?;
    Ok(())
}

async fn streams_go_on(on: &dyn Counters) -> Kept {
    let (id, late) = (fresh("b"), fresh("b"));
    let by = RequestId::mint();
    let (second, _) = granted(on, by, &[take(&id, BUDGET, 10, 100)]).await?;
    granted(on, by, &[take(&id, BUDGET, 20, 100), take(&late, BUDGET, 5, 100)]).await?;
    let (_, standings) = granted(on, by, &[take(&id, BUDGET, 30, 100)]).await?;
    same("reserved in all", &standings, &vec![Standing { used: 60, spent: 0 }])?;
    // The last slice was granted and nobody heard of it: what counts is what the engine knows.
    let over = [settled(&id, BUDGET, 30, 41, second), settled(&late, BUDGET, 5, 2, second)];
    let standings = on.settle(by, &over).await?;
    same("settled", &standings, &vec![Standing { used: 41, spent: 41 }, Standing { used: 2, spent: 2 }])
}

async fn parts_are_given_back(on: &dyn Counters) -> Kept {
    let (budget, window, level) = (fresh("b"), fresh("w"), fresh("l"));
    let by = RequestId::mint();
    let (second, _) = granted(
        on,
        by,
        &[
            take(&budget, BUDGET, 80, 100),
            take(&window, Rule::Window, 80, 100),
            take(&level, Rule::Level, 1, 1),
        ],
    )
    .await?;
    let parts = [settled(&budget, BUDGET, 50, 0, second), settled(&window, Rule::Window, 70, 0, second)];
    let standings = on.give_back(by, &parts).await?;
    same("left", &standings, &vec![Standing { used: 30, spent: 0 }, Standing { used: 10, spent: 0 }])?;
    refused(on, &[take(&level, Rule::Level, 1, 1)]).await?;
    let other = RequestId::mint();
    let (at, _) = granted(on, other, &[take(&budget, BUDGET, 70, 100)]).await?;
    on.settle(other, &[settled(&budget, BUDGET, 70, 70, at)]).await?;
    let over = [
        settled(&budget, BUDGET, 30, 28, second),
        settled(&window, Rule::Window, 10, 9, second),
        settled(&level, Rule::Level, 1, 1, second),
    ];
    let standings = on.settle(by, &over).await?;
    let left = [Standing { used: 98, spent: 98 }, Standing { used: 9, spent: 0 }, Standing::default()];
    same("settled", &standings, &left.to_vec())
}

async fn settling_twice_counts_once(on: &dyn Counters) -> Kept {
    let (budget, level) = (fresh("b"), fresh("l"));
    let (by, other) = (RequestId::mint(), RequestId::mint());
    let takes = [take(&budget, BUDGET, 50, 1_000), take(&level, Rule::Level, 1, 10)];
    let (second, _) = granted(on, by, &takes).await?;
    granted(on, other, &takes).await?;
    let over = [settled(&budget, BUDGET, 50, 40, second), settled(&level, Rule::Level, 1, 1, second)];
    on.settle(by, &over).await?;
    on.settle(by, &over).await?;
    same("the budget", &stands(on, &budget).await?, &Standing { used: 90, spent: 40 })?;
    let (_, standing, _) = refused(on, &[take(&level, Rule::Level, 10, 10)]).await?;
    same("the level", &standing, &Standing { used: 1, spent: 0 })?;
    on.settle(other, &over).await?;
    same("both settled", &stands(on, &budget).await?, &Standing { used: 80, spent: 80 })
}

async fn raising_never_lowers(on: &dyn Counters) -> Kept {
    let id = fresh("b");
    for (given, stand) in [(40, 40), (40, 40), (10, 40), (55, 55)] {
        on.raise(&[(id.clone(), BUDGET, given)]).await?;
        same("raised", &stands(on, &id).await?, &Standing { used: stand, spent: stand })?;
    }
    let (_, standing, _) = refused(on, &[take(&id, BUDGET, 46, 100)]).await?;
    same("refused at", &standing, &Standing { used: 55, spent: 55 })
}

async fn nothing_can_be_taken(on: &dyn Counters) -> Kept {
    let by = RequestId::mint();
    granted(on, by, &[]).await?;
    same("standings", &on.settle(by, &[]).await?, &Vec::new())
}

async fn many_stay_within(engine: &Arc<dyn Counters>) -> Kept {
    const TASKS: u64 = 16;
    const EACH: u64 = 25;
    const LIMIT: u64 = 100;
    let (budget, window) = (fresh("b"), fresh("w"));
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (engine, budget, window) = (Arc::clone(engine), budget.clone(), window.clone());
            tokio::spawn(async move {
                let mut won = 0;
                for _ in 0..EACH {
                    let by = RequestId::mint();
                    let takes = [take(&budget, BUDGET, 1, LIMIT), take(&window, Rule::Window, 1, 10 * LIMIT)];
                    if let Reserved::Granted { second, .. } = engine.reserve(by, &takes).await? {
                        won += 1;
                        let over = [
                            settled(&budget, BUDGET, 1, 1, second),
                            settled(&window, Rule::Window, 1, 1, second),
                        ];
                        engine.settle(by, &over).await?;
                    }
                }
                Ok::<u64, Down>(won)
            })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += task.await.map_err(|gone| Broken(gone.to_string()))??;
    }
    same("granted in all", &won, &LIMIT)?;
    same("spent", &stands(&**engine, &budget).await?, &Standing { used: LIMIT, spent: LIMIT })
}
