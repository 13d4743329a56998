//! How calls of the scripts are written, and how their answers are read.

use std::time::Duration;

use ::redis::{Cmd, Value};

use super::super::{CounterId, Down, Reserved, Rule, Settlement, Standing, Take};
use crate::{store::redis::Script, types::RequestId};

/// The scripts.
pub(super) struct Scripts {
    pub(super) reserve: Script,
    pub(super) settle: Script,
    pub(super) give_back: Script,
    pub(super) cancel: Script,
    pub(super) raise: Script,
    pub(super) beat: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            reserve: Script::new(concat!(include_str!("common.lua"), include_str!("reserve.lua"))),
            settle: Script::new(concat!(include_str!("common.lua"), include_str!("settle.lua"))),
            give_back: Script::new(concat!(include_str!("common.lua"), include_str!("give_back.lua"))),
            cancel: Script::new(concat!(include_str!("common.lua"), include_str!("cancel.lua"))),
            raise: Script::new(concat!(include_str!("common.lua"), include_str!("raise.lua"))),
            beat: Script::new(concat!(include_str!("common.lua"), include_str!("beat.lua"))),
        }
    }
}

/// The names of keys.
pub(super) struct Names<'a>(pub(super) &'a str);

impl Names<'_> {
    pub(super) fn counter(&self, id: &CounterId) -> String {
        [self.0, &id.0].concat()
    }

    pub(super) fn record(&self, by: RequestId) -> String {
        format!("{}r:{by}", self.0)
    }

    /// What the names of gateways' sets of records begin with.
    pub(super) fn held(&self) -> String {
        [self.0, "g:"].concat()
    }

    pub(super) fn epoch(&self) -> String {
        [self.0, "epoch"].concat()
    }

    pub(super) fn gateways(&self) -> String {
        [self.0, "gateways"].concat()
    }
}

const fn letter(rule: &Rule) -> &'static str {
    match rule {
        Rule::Window => "w",
        Rule::Level => "l",
        Rule::Members { .. } => "m",
        Rule::Budget { .. } => "b",
    }
}

/// More than anybody spends, and far enough from where the server's integers end.
const MOST: u64 = 4_000_000_000_000_000_000;

pub(super) fn take(call: &mut Cmd, take: &Take) {
    call.arg(letter(&take.rule))
        .arg(take.amount.min(MOST))
        .arg(take.limit.min(MOST))
        .arg(u8::from(take.anyway));
    match take.rule {
        Rule::Window | Rule::Level => call.arg(0).arg(0),
        Rule::Members { member, idle } => {
            // A server's shortest life is a millisecond.
            call.arg(u64::try_from(idle.as_millis()).unwrap_or(u64::MAX).clamp(1, MOST / 1_000_000))
                .arg(member)
        }
        Rule::Budget { until } => call.arg(until.0.as_secs()).arg(0),
    };
}

pub(super) fn settlement(call: &mut Cmd, settlement: &Settlement) {
    call.arg(letter(&settlement.rule))
        .arg(settlement.reserved.min(MOST))
        .arg(settlement.actual.min(MOST))
        .arg(settlement.second);
}

pub(super) fn raised(call: &mut Cmd, spent: u64, until: u64) {
    call.arg(spent.min(MOST)).arg(until);
}

/// What became of a call of `reserve`.
pub(super) enum Answer {
    Reserved(Reserved),
    /// The server knows another epoch, or none.
    Forgot,
    /// It was given up before it arrived.
    Late,
}

/// Reads the answer of `reserve`.
pub(super) fn answer(value: Value) -> Result<Answer, Down> {
    let mut words = Words::of(value)?;
    match words.word()?.as_str() {
        "ok" => {
            let second = words.number()?;
            Ok(Answer::Reserved(Reserved::Granted { second, standings: words.standings()? }))
        }
        "no" => {
            let index = usize::try_from(words.number()?).map_err(|_| odd())?;
            let standing = Standing { used: words.number()?, spent: words.number()? };
            let after = u64::try_from(words.signed()?).ok().map(Duration::from_micros);
            Ok(Answer::Reserved(Reserved::Refused { index, standing, after }))
        }
        "forgot" => Ok(Answer::Forgot),
        "late" => Ok(Answer::Late),
        _ => Err(odd()),
    }
}

/// Reads the answer of `settle` and of `give_back`: where things stand, whether or not the reservation was known.
pub(super) fn standings(value: Value) -> Result<Vec<Standing>, Down> {
    let mut words = Words::of(value)?;
    words.word()?;
    words.standings()
}

/// Reads the answer of `beat`: the epoch, records charged, gateways.
pub(super) fn beat(value: Value) -> Result<(String, u64, u64), Down> {
    let mut words = Words::of(value)?;
    Ok((words.word()?, words.number()?, words.number()?))
}

/// Reads a lone word.
pub(super) fn word(value: Value) -> Result<String, Down> {
    Words(vec![value].into_iter()).word()
}

fn odd() -> Down {
    Down("it answered what no script of ours answers; is something else using its keys?".to_owned())
}

struct Words(std::vec::IntoIter<Value>);

impl Words {
    fn of(value: Value) -> Result<Self, Down> {
        value.into_sequence().map(|values| Self(values.into_iter())).map_err(|_| odd())
    }

    fn word(&mut self) -> Result<String, Down> {
        let word = self.0.next().ok_or_else(odd)?;
        ::redis::from_redis_value(word).map_err(|_| odd())
    }

    fn signed(&mut self) -> Result<i64, Down> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(odd()),
        }
    }

    fn number(&mut self) -> Result<u64, Down> {
        // A sum is never below zero; a script that says so has met somebody else's key.
        self.signed().map(|number| u64::try_from(number).unwrap_or(0))
    }

    fn standings(&mut self) -> Result<Vec<Standing>, Down> {
        let mut standings = Vec::with_capacity(self.0.len() / 2);
        while self.0.len() > 0 {
            standings.push(Standing { used: self.number()?, spent: self.number()? });
        }
        Ok(standings)
    }
}
