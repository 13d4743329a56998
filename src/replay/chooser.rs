//! What an engine asks of whoever chooses accounts, and what it tells.
//!
//! The same questions as a gateway has: a request has come; a time has come; an answer has begun; a
//! provider has refused. A chooser sees what a gateway sees, and never the provider's caches or levels.

use http::HeaderMap;
use smallvec::SmallVec;

use super::trace::{Agent, Turn};
use crate::{
    clock::Moment,
    sim::{Chain, Refused},
    types::Usage,
};

/// A request that wants to go somewhere.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    /// The agent, which has one request at a time.
    pub id: usize,
    /// Its nature and its prompts.
    pub agent: &'a Agent,
    /// How many turns of it were before.
    pub number: usize,
    /// This turn.
    pub turn: &'a Turn,
    /// The prompt, as a cache would see it.
    pub chain: &'a Chain,
    /// How often the client has sent this turn before and was denied.
    pub denied: u32,
}

/// What becomes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It goes to this account now.
    Go(usize),
    /// It is held; ask again then, unless it is woken before.
    Until(Moment),
    /// The client is told no.
    Deny(Denial),
}

/// The no that a client is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// 429; come back after so many seconds, where it is said.
    Limited {
        /// `retry-after`.
        retry_after: Option<u64>,
    },
    /// 529 or 503: come back when you like.
    Unavailable,
}

/// Requests that were held and must be asked about now.
pub type Woken = SmallVec<[usize; 8]>;

/// The headers of an answer, made when they are asked for.
pub type Headers<'a> = &'a mut dyn FnMut() -> HeaderMap;

/// Chooses accounts.
pub trait Chooser {
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

    /// The first byte of its answer: which of those who are held shall be asked about?
    fn answered(
        &mut self,
        call: &Call<'_>,
        account: usize,
        usage: &Usage,
        headers: Headers<'_>,
        now: Moment,
    ) -> Woken;

    /// Its answer is complete.
    fn finished(&mut self, call: &Call<'_>, account: usize, usage: &Usage, now: Moment) -> Woken;

    /// The operator has changed which accounts there are.
    fn listed(&mut self, accounts: &[bool], now: Moment);
}
