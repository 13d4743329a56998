//! What is remembered of one session: where it is warm, and what it came to.

use std::time::Duration;

use super::{
    policy::Start,
    saved::{SavedSession, SessionView},
};
use crate::{
    clock::Moment,
    types::{AffinityResult, DomainName, EndpointName, ModelName, NanoUsd, SessionKey},
    upstream::{Endpoint, Homed},
};

/// Somewhere a session is warm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// XXH3 of its name.
    pub id: u64,
    /// The endpoints that share its cache.
    pub cache: DomainName,
    /// Until when, by the provider's rules.
    pub warm_until: Moment,
}

/// A session's last move, for the sake of its signed thinking.
#[derive(Clone)]
pub(super) struct Moved {
    /// Where it was answered before.
    from: Place,
    /// The rate domain that would not take what was made there.
    pub(super) refused: Option<DomainName>,
}

pub(super) struct Entry {
    pub(super) model: ModelName,
    pub(super) parent: Option<SessionKey>,
    pub(super) home: Place,
    pub(super) prior: Option<Place>,
    pub(super) moved: Option<Box<Moved>>,
    /// Counts at home; `None` when cold.
    pub(super) homed: Option<Homed>,
    /// The count at the prior home, kept until the move has proven good.
    pub(super) prior_homed: Option<Homed>,
    /// An answer has come from home.
    pub(super) confirmed: bool,
    pub(super) last_start: Moment,
    /// The deadline of its item in the heap: others of it are stale.
    pub(super) queued: Option<Moment>,
    /// How often the model had spoken when it was here last.
    pub(super) turns: u32,
    /// Some of its turns go through other gateways.
    pub(super) strays: bool,
    pub(super) counts: Counts,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) turns: u64,
    pub(super) hits: u64,
    pub(super) moved: u64,
    pub(super) in_flight: u32,
    pub(super) context_bytes: u64,
    pub(super) context_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) charged: NanoUsd,
}

impl Place {
    pub(super) fn new(endpoint: &Endpoint, warm_until: Moment) -> Self {
        Self {
            endpoint: endpoint.name().clone(),
            id: endpoint.id(),
            cache: endpoint.cache_domain(),
            warm_until,
        }
    }

    /// Whether the provider still has the prompt at `now`.
    #[must_use]
    pub fn is_warm(&self, now: Moment) -> bool {
        now < self.warm_until
    }
}

impl Entry {
    pub(super) fn new(start: &Start<'_>, home: Place, now: Moment) -> Self {
        Self {
            model: start.model.clone(),
            parent: start.parent,
            home: Place { warm_until: Moment::ZERO, ..home },
            prior: None,
            moved: None,
            homed: None,
            prior_homed: None,
            confirmed: false,
            last_start: now,
            queued: None,
            turns: start.prompt.turns,
            strays: false,
            counts: Counts::default(),
        }
    }

    pub(super) fn restored(
        saved: &SavedSession,
        endpoint: &Endpoint,
        warm_until: Moment,
        now: Moment,
    ) -> Self {
        Self {
            model: saved.model.as_str().into(),
            parent: saved.parent(),
            home: Place::new(endpoint, warm_until),
            prior: None,
            moved: None,
            homed: Some(endpoint.adopt()),
            prior_homed: None,
            confirmed: true,
            last_start: now - Duration::from_millis(saved.idle_ms),
            queued: Some(warm_until),
            turns: u32::MAX,
            strays: false,
            counts: Counts {
                turns: saved.turns,
                hits: saved.hits,
                moved: saved.moved,
                in_flight: 0,
                context_bytes: saved.context_bytes,
                context_tokens: saved.context_tokens,
                output_tokens: saved.output_tokens,
                charged: NanoUsd(saved.charged_nano_usd),
            },
        }
    }

    /// Returns until when it was warm at this endpoint before.
    pub(super) fn start(&mut self, start: &Start<'_>, place: &Place, now: Moment) -> Moment {
        self.counts.turns += u64::from(start.first_try);
        self.counts.in_flight = self.counts.in_flight.saturating_add(1);
        self.counts.context_bytes = start.context_bytes;
        self.last_start = now;
        self.note_turns(start);
        if self.home.id != place.id {
            self.move_to(Place { warm_until: Moment::ZERO, ..place.clone() }, now);
        }
        let before = self.home.warm_until;
        self.home.warm_until = self.home.warm_until.max(place.warm_until);
        self.home.cache = place.cache.clone();
        if self.homed.is_none() {
            self.homed = Some(start.endpoint.adopt());
        }
        before
    }

    /// Who skips turns has them elsewhere: another gateway serves it too.
    fn note_turns(&mut self, start: &Start<'_>) {
        let seen_before = self.counts.turns > u64::from(start.first_try);
        self.strays |= seen_before && start.prompt.turns > self.turns.saturating_add(1);
        self.turns = start.prompt.turns;
    }

    /// The old home is remembered while it is warm: it is where to go if this one must be left too.
    fn move_to(&mut self, place: Place, now: Moment) {
        let returning = self.prior.take_if(|prior| prior.id == place.id && prior.is_warm(now));
        let back = returning.is_some();
        let old = std::mem::replace(&mut self.home, returning.unwrap_or(place));
        let (homed, prior_homed) = (self.homed.take(), self.prior_homed.take());
        if self.confirmed {
            let refused = self.moved.take().and_then(|moved| moved.refused);
            self.moved = Some(Box::new(Moved { from: old.clone(), refused }));
        }
        let proven = std::mem::replace(&mut self.confirmed, back) && old.is_warm(now);
        if proven {
            self.prior = Some(old);
        }
        match (back, proven) {
            // It counts here again, and no longer where it was.
            (true, _) => self.homed = prior_homed,
            // It counts at its old home until an answer proves the move.
            (false, true) => self.prior_homed = homed,
            (false, false) => self.prior_homed = prior_homed,
        }
    }

    /// `endpoint`, of the rate domain `by`, has refused thinking in the history: the session goes back
    /// to where it was answered before. Returns where that is.
    pub(super) fn thinking_refused(&mut self, endpoint: u64, by: &DomainName) -> Option<EndpointName> {
        let moved = self.moved.as_mut().filter(|moved| moved.from.id != endpoint)?;
        moved.refused = Some(by.clone());
        if self.home.id == endpoint {
            self.home = moved.from.clone();
            self.confirmed = true;
            (self.prior, self.homed, self.prior_homed) = (None, None, None);
        }
        Some(self.home.endpoint.clone())
    }

    pub(super) fn go_cold(&mut self) {
        self.home.warm_until = Moment::ZERO;
        self.prior = None;
        self.homed = None;
        self.prior_homed = None;
    }

    pub(super) fn answered(&mut self, place: &Place, affinity: AffinityResult) {
        match affinity {
            AffinityResult::Hit => self.counts.hits += 1,
            AffinityResult::Moved => self.counts.moved += 1,
            AffinityResult::New => {}
        }
        if self.home.id == place.id {
            self.confirmed = true;
            self.prior_homed = None;
            self.home.warm_until = self.home.warm_until.max(place.warm_until);
        }
    }

    /// A turn ended without an answer: what it promised does not hold.
    pub(super) fn unanswered(&mut self, place: &Place, started: Moment, warm_before: Moment) {
        if self.home.id != place.id || self.last_start != started {
            return;
        }
        if self.confirmed {
            if self.home.warm_until == place.warm_until {
                self.home.warm_until = warm_before;
            }
        } else if let Some(prior) = self.prior.take() {
            self.home = prior;
            self.confirmed = true;
            self.homed = self.prior_homed.take();
        } else {
            self.go_cold();
        }
        if self.home.warm_until == Moment::ZERO {
            self.homed = None;
        }
    }

    pub(super) fn view(&self, session: SessionKey, now: Moment) -> SessionView {
        SessionView {
            session: session.to_string(),
            parent: self.parent.map(|parent| parent.to_string()),
            model: self.model.to_string(),
            endpoint: self.home.endpoint.to_string(),
            warm_seconds: now.until(self.home.warm_until).as_secs_f64(),
            idle_seconds: now.since(self.last_start).as_secs_f64(),
            turns: self.counts.turns,
            hits: self.counts.hits,
            moved: self.counts.moved,
            in_flight: self.counts.in_flight,
            context_bytes: self.counts.context_bytes,
            context_tokens: self.counts.context_tokens,
            output_tokens: self.counts.output_tokens,
            charged_nano_usd: self.counts.charged.0,
        }
    }

    pub(super) fn save(&self, session: SessionKey, now: Moment) -> SavedSession {
        SavedSession {
            session: format!("{:032x}", session.0),
            parent: self.parent.map(|parent| format!("{:032x}", parent.0)),
            model: self.model.to_string(),
            endpoint: self.home.endpoint.to_string(),
            warm_ms: millis(now.until(self.home.warm_until)),
            idle_ms: millis(now.since(self.last_start)),
            turns: self.counts.turns,
            hits: self.counts.hits,
            moved: self.counts.moved,
            context_bytes: self.counts.context_bytes,
            context_tokens: self.counts.context_tokens,
            output_tokens: self.counts.output_tokens,
            charged_nano_usd: self.counts.charged.0,
        }
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
