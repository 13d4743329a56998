//! `sessions`: a page of the sessions that are remembered, sorted and searched.

use std::sync::Arc;

use serde::Serialize;

use super::{Body, Fault, Query, json, slowly};
use crate::{
    clock::Moment,
    live::Live,
    routing::{Listed, Listing, SessionView, SortBy},
    types::NanoUsd,
};

/// Rows of a page, unless asked for otherwise.
const PAGE: u64 = 100;
/// And at most.
const LARGEST: u64 = 200;
/// Longer texts are in no id and no name.
const LONGEST: usize = 256;

/// A session as a line of a table.
#[derive(Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    view: SessionView,
    /// What its requests cost, where prices are known.
    usd: f64,
    /// The share of its requests that went where it was warm.
    hit_rate: Option<f64>,
}

impl Row {
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub(super) fn of(view: SessionView) -> Self {
        let usd = NanoUsd(view.charged_nano_usd).as_usd();
        let hit_rate = (view.turns > 0).then(|| view.hits as f64 / view.turns as f64);
        Self { view, usd, hit_rate }
    }
}

#[derive(Serialize)]
struct Page {
    known: usize,
    matched: usize,
    offset: usize,
    rows: Vec<Row>,
}

pub(super) async fn answer(live: &Arc<Live>, query: &str, now: Moment) -> Body {
    let listing = read(query)?;
    slowly(live, &format!("sessions {listing:?}"), now, move |live| {
        let snapshot = live.snapshot.load();
        let Listed { known, matched, rows } = snapshot.policy.sessions().list(&listing, now);
        json(&Page { known, matched, offset: listing.offset, rows: rows.into_iter().map(Row::of).collect() })
    })
    .await
}

fn read(query: &str) -> Result<Listing, Fault> {
    let params = Query::read(query, &["sort", "order", "offset", "limit", "q"])?;
    let sorts: Vec<_> = SortBy::ALL.iter().map(|sort| (sort.label(), *sort)).collect();
    let search = params.text("q").unwrap_or_default();
    if search.len() > LONGEST {
        return Err(Fault::bad(format!("`q` takes at most {LONGEST} bytes")));
    }
    let number = |name, usual, range| {
        let found = params.whole(name, range)?.unwrap_or(usual);
        Ok::<_, Fault>(usize::try_from(found).unwrap_or(usize::MAX))
    };
    Ok(Listing {
        sort: params.word("sort", &sorts)?.unwrap_or(SortBy::Heat),
        ascending: params.word("order", &[("desc", false), ("asc", true)])?.unwrap_or(false),
        offset: number("offset", 0, 0..=100_000_000)?,
        limit: number("limit", PAGE, 1..=LARGEST)?,
        search: search.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hottest_come_first_unless_asked_for_otherwise() {
        let usual =
            Listing { sort: SortBy::Heat, ascending: false, offset: 0, limit: 100, search: String::new() };
        assert_eq!(read("").unwrap(), usual);
        let asked = read("sort=hit_rate&order=asc&offset=300&limit=50&q=claude%20x").unwrap();
        let expected = Listing {
            sort: SortBy::HitRate,
            ascending: true,
            offset: 300,
            limit: 50,
            search: "claude x".to_owned(),
        };
        assert_eq!(asked, expected);
        for (bad, part) in [
            ("sort=name", "`heat`, `usd`"),
            ("order=up", "`desc`, `asc`"),
            ("limit=201", "from 1 to 200"),
            ("limit=0", "from 1 to 200"),
            ("offset=x", "whole number"),
            ("page=2", "no such member"),
        ] {
            assert!(read(bad).unwrap_err().message().contains(part), "{bad}");
        }
        assert!(read(&format!("q={}", "x".repeat(257))).is_err());
    }
}
