//! What an engine asks of whoever chooses accounts, and what it tells.
//!
//! The same questions as a gateway has: a request has come; a time has come; an answer has begun; a
//! provider has refused. A chooser sees what a gateway sees, and never the provider's caches or levels.

use http::HeaderMap;
use smallvec::SmallVec;

use super::trace::{Agent, Turn};
use crate::{clock::Moment, sim::Refused, types::Usage};

/// A request that wants to go somewhere.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The agent, which has one request at a time.
    pub(super) id: usize,
    /// Its nature and its prompts.
    pub(super) agent: &'a Agent,
    /// How many turns of it were before.
    pub(super) number: usize,
    /// This turn.
    pub(super) turn: &'a Turn,
    /// How often the client has sent this turn before and was denied.
    pub(super) denied: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// It goes to this account now.
    Go(usize),
    /// It is held; ask again then, unless it is woken before.
    Until(Moment),
    /// The client is told no.
    Deny(Denial),
}

/// The no that a client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Denial {
    /// 429; come back after so many seconds, where it is said.
    Limited {
        /// `retry-after`.
        retry_after: Option<u64>,
    },
    /// 529 or 503: come back when you like.
    Unavailable,
}

/// Requests that were held and must be asked about now.
pub(super) type Woken = SmallVec<[usize; 8]>;

/// The headers of an answer, made when they are asked for.
pub(super) type Headers<'a> = &'a mut dyn FnMut() -> HeaderMap;

/// Chooses accounts.
pub(super) trait Chooser {
    /// A request has come.
    fn arrived(&mut self, call: &Call<'_>, now: Moment) -> Answer;

    /// The time has come for a request that was held, or somebody has woken it.
    fn again(&mut self, call: &Call<'_>, now: Moment) -> Answer;

    /// The account refused it.
    fn refused(
        &mut self,
        call: &Call<'_>,
        account: usize,
        why: Refused,
        headers: Headers<'_>,
        now: Moment,
    ) -> Answer;

    /// The first byte of its answer.
    fn answered(&mut self, call: &Call<'_>, account: usize, headers: Headers<'_>, now: Moment);

    /// Its answer is complete.
    fn finished(&mut self, call: &Call<'_>, account: usize, usage: &Usage, now: Moment);

    /// The operator has changed which accounts there are.
    fn listed(&mut self, accounts: &[bool], now: Moment);

    /// Which of those who are held must be asked about at once?
    fn woken(&mut self) -> Woken {
        Woken::new()
    }
}
