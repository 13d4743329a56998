//! What gateways tell each other of rate domains: deadlines of 429s, and what each drew.
//!
//! One round trip a second, whatever there is to tell. Nothing here is counted on: what is lost or
//! late costs a 429 of the provider's, which teaches the same. Names are texts: whose they are is the
//! caller's.

use std::{collections::HashMap, sync::Arc, time::Duration};

use ::redis::Value;

use super::link::{Link, Script};
use crate::store::counters::Down;

/// How often gateways tell each other.
pub const EXCHANGE: Duration = Duration::from_secs(1);

/// Names of others that are remembered at most; what is beyond is not applied.
const MOST: usize = 65_536;

/// What one gateway says of one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// Of what: the same on every gateway. Without line breaks.
    pub name: String,
    /// For how long it cools still; zero when it does not.
    pub cools_for: Duration,
    /// What this gateway drew since it started: requests, tokens, input tokens, output tokens.
    pub drawn: [i64; 4],
}

/// What is new.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct News {
    /// Deadlines that were not known before, as what is left of them.
    pub cooling: Vec<(String, Duration)>,
    /// What other gateways drew since the last time.
    pub drawn: Vec<(String, [i64; 4])>,
}

/// See the module's description.
pub struct Shared {
    link: Arc<Link>,
    script: Script,
    /// Deadlines by name, as the server reckons them: told once, so that an operator who lifts one is
    /// not overruled a second later.
    deadlines: HashMap<String, u64>,
    /// By gateway and name, what it had drawn when it was heard last.
    draws: HashMap<(String, String), [i64; 4]>,
}

impl Shared {
    /// Over this connection.
    #[must_use]
    pub fn new(link: Arc<Link>) -> Self {
        let script = Script::new(include_str!("share.lua"));
        Self { link, script, deadlines: HashMap::new(), draws: HashMap::new() }
    }

    /// Tells what `gateway` knows, and returns what is new of what the others know. What a gateway
    /// drew before it was heard of first is left out: nobody knows when that was.
    ///
    /// # Errors
    ///
    /// The server cannot be reached.
    pub async fn exchange(&mut self, gateway: &str, notes: &[Note]) -> Result<News, Down> {
        let prefix = self.link.prefix();
        let begins = [prefix, "d:"].concat();
        let mut call = self.script.call(3);
        call.arg([prefix, "gateways"].concat()).arg([prefix, "cooling"].concat());
        call.arg([&begins, gateway].concat()).arg(gateway).arg(&begins);
        for note in notes {
            let cools =
                u64::try_from(note.cools_for.as_millis()).unwrap_or(u64::MAX).min(u64::from(u32::MAX));
            call.arg(&note.name).arg(cools).arg(written(note.drawn));
        }
        let answer = self.link.run(&self.script, &call).await?;
        let (cooling, drawn) =
            ::redis::from_redis_value::<(Vec<Value>, Vec<String>)>(answer).map_err(|_| odd())?;
        Ok(News { cooling: self.deadlines(cooling)?, drawn: self.differences(drawn) })
    }

    fn deadlines(&mut self, told: Vec<Value>) -> Result<Vec<(String, Duration)>, Down> {
        let told: Vec<(String, u64, u64)> =
            ::redis::from_redis_value(Value::Array(told)).map_err(|_| odd())?;
        let mut new = Vec::new();
        let mut known = HashMap::with_capacity(told.len());
        for (name, until, left) in told.into_iter().take(MOST) {
            if self.deadlines.get(&name).is_none_or(|known| *known < until) {
                new.push((name.clone(), Duration::from_millis(left)));
            }
            known.insert(name, until);
        }
        // What is over is forgotten.
        self.deadlines = known;
        Ok(new)
    }

    fn differences(&mut self, told: Vec<String>) -> Vec<(String, [i64; 4])> {
        let mut new = Vec::new();
        let mut known = HashMap::with_capacity(told.len() / 3);
        let mut told = told.into_iter();
        while let (Some(gateway), Some(name), Some(drawn)) = (told.next(), told.next(), told.next()) {
            let Some(drawn) = read(&drawn) else { continue };
            if known.len() >= MOST {
                break;
            }
            let key = (gateway, name);
            if let Some(before) = self.draws.get(&key) {
                let mut more = drawn;
                more.iter_mut().zip(before).for_each(|(now, before)| *now = now.saturating_sub(*before));
                if more != [0; 4] {
                    new.push((key.1.clone(), more));
                }
            }
            known.insert(key, drawn);
        }
        self.draws = known;
        new
    }
}

fn written(drawn: [i64; 4]) -> String {
    let [requests, tokens, input, output] = drawn;
    format!("{requests} {tokens} {input} {output}")
}

fn read(text: &str) -> Option<[i64; 4]> {
    let mut numbers = text.split(' ').map(|number| number.parse().ok());
    let mut next = || numbers.next().flatten();
    Some([next()?, next()?, next()?, next()?])
}

fn odd() -> Down {
    Down("it answered what no script of ours answers; is something else using its keys?".to_owned())
}
