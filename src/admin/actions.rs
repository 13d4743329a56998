//! What an operator may do to an endpoint: take it out, take it in, let it rest.

use std::time::Duration;

use http::StatusCode;

use crate::{clock::Moment, config::parse_duration, live::Live, upstream::EndpointView};

/// How long an endpoint rests when nobody says for how long.
const REST: Duration = Duration::from_secs(60);
/// And at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Who acts, for the log.
pub(super) struct Actor {
    /// What they may do.
    pub role: &'static str,
    /// Where they are.
    pub address: String,
}

/// Acts on the endpoint of this name, and returns how it is then.
pub(super) fn act(
    live: &Live,
    name: &str,
    action: &str,
    query: &str,
    by: &Actor,
    now: Moment,
) -> Result<EndpointView, (StatusCode, &'static str)> {
    let snapshot = live.snapshot.load();
    let Some(endpoint) = snapshot.pool.endpoint(name) else {
        return Err((
            StatusCode::NOT_FOUND,
            "no endpoint of this name is configured; `GET /status` lists them",
        ));
    };
    match action {
        "drain" => endpoint.drain(),
        "readmit" => endpoint.readmit(now),
        "cool" => match span(query) {
            Some(span) => endpoint.cool(span, now),
            None => {
                return Err((
                    StatusCode::BAD_REQUEST,
                    "`for` takes a time up to a day: `?for=60s`, `?for=1h30m`",
                ));
            }
        },
        _ => return Err((StatusCode::NOT_FOUND, "the actions are `drain`, `readmit` and `cool`")),
    }
    tracing::warn!(endpoint = %name, action, role = by.role, by = %by.address, "operator's action");
    Ok(endpoint.view(now))
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
