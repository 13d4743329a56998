//! What an operator may do to an endpoint: take it out, take it in, let it rest.

use std::time::Duration;

use http::StatusCode;

use super::{Answer, JSON, text};
use crate::{clock::Moment, config::parse_duration, live::Live};

/// How long an endpoint rests when nobody says for how long.
const REST: Duration = Duration::from_secs(60);
/// And at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `POST /endpoints/NAME/ACTION`.
pub(super) fn act(live: &Live, path: &str, query: &str, now: Moment) -> Answer {
    let rest = path.trim_start_matches("/endpoints/");
    let Some((name, action)) = rest.rsplit_once('/') else {
        return text(StatusCode::NOT_FOUND, "name an endpoint and an action: /endpoints/NAME/drain\n");
    };
    let snapshot = live.snapshot.load();
    let Some(endpoint) = snapshot.pool.endpoint(name) else {
        return text(
            StatusCode::NOT_FOUND,
            "no endpoint of this name is configured; `GET /status` lists them\n",
        );
    };
    match action {
        "drain" => endpoint.drain(),
        "readmit" => endpoint.readmit(now),
        "cool" => match span(query) {
            Some(span) => endpoint.cool(span, now),
            None => {
                return text(
                    StatusCode::BAD_REQUEST,
                    "`for` takes a time up to a day: `?for=60s`, `?for=1h30m`\n",
                );
            }
        },
        _ => return text(StatusCode::NOT_FOUND, "the actions are `drain`, `readmit` and `cool`\n"),
    }
    tracing::warn!(endpoint = %name, action, "operator's action");
    match serde_json::to_vec(&endpoint.view(now)) {
        Ok(body) => (StatusCode::OK, JSON, body),
        Err(_) => text(StatusCode::OK, "done\n"),
    }
}

fn span(query: &str) -> Option<Duration> {
    let Some(given) = query.split('&').find_map(|pair| pair.strip_prefix("for=")) else { return Some(REST) };
    let seconds = given.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| parse_duration(given)).filter(|span| !span.is_zero() && *span <= LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_is_a_minute_unless_it_is_said_and_a_day_at_most() {
        assert_eq!(span(""), Some(REST));
        assert_eq!(span("for=5s"), Some(Duration::from_secs(5)));
        assert_eq!(span("for=90"), Some(Duration::from_secs(90)));
        // As `warmkey endpoint cool` writes it.
        assert_eq!(span("for=1m"), Some(REST));
        assert_eq!(span("for=1h30m"), Some(Duration::from_secs(5_400)));
        for bad in ["for=0", "for=-1", "for=x", "for=2d", "for=999999999"] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
