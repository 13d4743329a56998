//! The last requests, as a list, and the filters that lists and streams of them take.

use super::query::Query;
use crate::{
    live::{Live, ROWS, TailFilter, TailPage},
    types::Outcome,
};

/// Members of a query that choose among requests.
pub(super) const FILTERS: [&str; 5] = ["caller", "model", "endpoint", "outcome", "session"];
/// Rows unless a number is given.
const LIMIT: u64 = 200;

/// Reads the filters.
pub(super) fn filter(query: &Query) -> Result<TailFilter, String> {
    let text = |name: &str| query.text(name).map(str::to_owned);
    let outcome = query.text("outcome").map(outcome).transpose()?;
    let session = query.text("session").map(session).transpose()?;
    Ok(TailFilter {
        caller: text("caller"),
        model: text("model"),
        endpoint: text("endpoint"),
        outcome,
        session,
    })
}

fn outcome(label: &str) -> Result<Outcome, String> {
    Outcome::ALL.iter().copied().find(|outcome| outcome.label() == label).ok_or_else(|| {
        let all: Vec<&str> = Outcome::ALL.iter().map(|outcome| outcome.label()).collect();
        format!("`outcome` is one of `{}`", all.join("`, `"))
    })
}

fn session(id: &str) -> Result<u64, String> {
    let digits = Some(id).filter(|id| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let number = digits.and_then(|id| u64::from_str_radix(id, 16).ok());
    number.ok_or_else(|| "`session` takes the 16 digits that logs and lists show".to_owned())
}

/// `GET /dashboard/api/requests`.
pub(super) fn list(live: &Live, query: &str) -> Result<TailPage, String> {
    let known: Vec<&'static str> = std::iter::once("limit").chain(FILTERS).collect();
    let query = Query::read(query, &known)?;
    let limit = query.whole("limit", 1..=ROWS as u64)?.unwrap_or(LIMIT);
    Ok(live.tail.latest(&filter(&query)?, usize::try_from(limit).unwrap_or(ROWS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<TailFilter, String> {
        filter(&Query::read(query, &FILTERS)?)
    }

    #[test]
    fn filters_are_read_and_what_is_none_is_refused() {
        let filter = read("caller=ann&outcome=denied&session=0000000000000abc").unwrap();
        assert_eq!(filter.caller.as_deref(), Some("ann"));
        assert_eq!((filter.outcome, filter.session), (Some(Outcome::Denied), Some(0xabc)));
        assert_eq!(read(""), Ok(TailFilter::default()));
        for bad in ["outcome=fine", "session=abc", "session=+000000000000abc", "tenant=a"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
