//! Who is let in: sign-in with a token, and what a browser holds afterwards.
//!
//! A browser holds 256 random bits in a cookie, and we hold their digest; nothing here outlives the process.
//! What a page sends along with an action is tied to it, so that no other site can act in its name.
//!
//! Invariant: a session ends with the token that it was opened with: when that is changed or removed, when
//! nothing was asked for [`IDLE`], and [`LONGEST`] after it began in any case.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{clock::Moment, types::KeyDigest};

/// How long somebody stays signed in at most.
pub(super) const LONGEST: Duration = Duration::from_secs(12 * 3600);
/// And without a request. An open event stream counts as one: who watches is there.
const IDLE: Duration = Duration::from_secs(2 * 3600);
/// Browsers signed in at once; the one that signed in first goes.
const BROWSERS: usize = 1_000;
/// Wrong tokens in [`WRONG_IN`], whoever sent them.
const WRONG: usize = 10;
const WRONG_IN: Duration = Duration::from_secs(60);

/// What somebody may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Look and act.
    Admin,
    /// Look.
    Reader,
}

impl Role {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Reader => "reader",
        }
    }
}

/// The tokens in force.
#[derive(Clone, Copy, Default)]
pub(super) struct Tokens {
    /// `server.admin_token`.
    pub admin: Option<KeyDigest>,
    /// `server.read_token`.
    pub reader: Option<KeyDigest>,
}

impl Tokens {
    /// Compared by digest, so timing says nothing of a token.
    fn role_of(&self, token: KeyDigest) -> Option<Role> {
        if self.admin == Some(token) {
            Some(Role::Admin)
        } else if self.admin.is_some() && self.reader == Some(token) {
            Some(Role::Reader)
        } else {
            None
        }
    }
}

/// Somebody who is let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Guest {
    /// What they may do.
    pub role: Role,
    /// What their page must send along with an action.
    pub csrf: Arc<str>,
}

/// Why somebody is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The token is wrong.
    Wrong,
    /// Too many were, and the next one is looked at after this time.
    TooOften(Duration),
}

struct Browser {
    opened_with: KeyDigest,
    csrf: Arc<str>,
    since: Moment,
    used: Moment,
}

#[derive(Default)]
struct Inside {
    /// By the digest of what is in the cookie.
    browsers: HashMap<KeyDigest, Browser, ahash::RandomState>,
    /// When wrong tokens came.
    wrong: VecDeque<Moment>,
}

/// The door.
#[derive(Default)]
pub(super) struct Door {
    inside: Mutex<Inside>,
}

impl Door {
    /// Somebody signs in with `token`. Both `id`, for the cookie, and `csrf` are fresh random texts.
    pub(super) fn sign_in(
        &self,
        token: &[u8],
        tokens: &Tokens,
        (id, csrf): (&str, &str),
        now: Moment,
    ) -> Result<Role, Refusal> {
        let token = KeyDigest::of(token);
        let mut inside = self.inside.lock();
        while inside.wrong.front().is_some_and(|at| now.since(*at) >= WRONG_IN) {
            inside.wrong.pop_front();
        }
        // Also before a right one: or else the answer would say which it is.
        if let Some(first) = inside.wrong.front().filter(|_| inside.wrong.len() >= WRONG) {
            return Err(Refusal::TooOften(now.until(*first + WRONG_IN)));
        }
        let Some(role) = tokens.role_of(token) else {
            inside.wrong.push_back(now);
            return Err(Refusal::Wrong);
        };
        inside.browsers.retain(|_, browser| browser.is_in(tokens, now).is_some());
        if inside.browsers.len() >= BROWSERS {
            let oldest = inside.browsers.iter().min_by_key(|(_, browser)| browser.since).map(|(id, _)| *id);
            oldest.and_then(|id| inside.browsers.remove(&id));
        }
        let browser = Browser { opened_with: token, csrf: csrf.into(), since: now, used: now };
        inside.browsers.insert(KeyDigest::of(id.as_bytes()), browser);
        Ok(role)
    }

    /// Who comes with this in its cookie.
    pub(super) fn visit(&self, id: KeyDigest, tokens: &Tokens, now: Moment) -> Option<Guest> {
        let mut inside = self.inside.lock();
        let browser = inside.browsers.get_mut(&id)?;
        let Some(role) = browser.is_in(tokens, now) else {
            inside.browsers.remove(&id);
            return None;
        };
        browser.used = now;
        Some(Guest { role, csrf: Arc::clone(&browser.csrf) })
    }

    /// Whoever came with this leaves.
    pub(super) fn sign_out(&self, id: KeyDigest) {
        self.inside.lock().browsers.remove(&id);
    }
}

impl Browser {
    fn is_in(&self, tokens: &Tokens, now: Moment) -> Option<Role> {
        let in_time = now.since(self.since) < LONGEST && now.since(self.used) < IDLE;
        tokens.role_of(self.opened_with).filter(|_| in_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADMIN: &[u8] = b"admin-token";
    const READER: &[u8] = b"read-token";

    fn tokens() -> Tokens {
        Tokens { admin: Some(KeyDigest::of(ADMIN)), reader: Some(KeyDigest::of(READER)) }
    }

    fn hours(n: u64) -> Moment {
        Moment::from_millis(n * 3_600_000)
    }

    fn id(text: &str) -> KeyDigest {
        KeyDigest::of(text.as_bytes())
    }

    #[test]
    fn each_token_opens_the_door_to_its_role_and_no_other_does() {
        let door = Door::default();
        assert_eq!(door.sign_in(ADMIN, &tokens(), ("1", "c1"), hours(1)), Ok(Role::Admin));
        assert_eq!(door.sign_in(READER, &tokens(), ("2", "c2"), hours(1)), Ok(Role::Reader));
        assert_eq!(door.sign_in(b"", &tokens(), ("3", "c3"), hours(1)), Err(Refusal::Wrong));
        let guest = door.visit(id("1"), &tokens(), hours(1)).unwrap();
        assert_eq!((guest.role, &*guest.csrf), (Role::Admin, "c1"));
        assert_eq!(door.visit(id("2"), &tokens(), hours(1)).unwrap().role, Role::Reader);
        assert_eq!(door.visit(id("3"), &tokens(), hours(1)), None);
        door.sign_out(id("1"));
        assert_eq!(door.visit(id("1"), &tokens(), hours(1)), None);
        // Without any token nobody comes in, whatever they send.
        let none = Tokens::default();
        assert_eq!(door.sign_in(b"", &none, ("4", "c4"), hours(1)), Err(Refusal::Wrong));
    }

    #[test]
    fn a_session_ends_when_it_rests_and_when_it_is_old() {
        let door = Door::default();
        door.sign_in(ADMIN, &tokens(), ("1", "c"), hours(1)).unwrap();
        door.sign_in(ADMIN, &tokens(), ("2", "c"), hours(1)).unwrap();
        assert!(door.visit(id("1"), &tokens(), hours(2)).is_some());
        assert_eq!(door.visit(id("2"), &tokens(), hours(3)), None, "two hours without a request");
        for hour in 3..13 {
            assert!(door.visit(id("1"), &tokens(), hours(hour)).is_some(), "{hour}");
        }
        assert_eq!(door.visit(id("1"), &tokens(), hours(13)), None, "twelve hours");
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let door = Door::default();
        door.sign_in(ADMIN, &tokens(), ("1", "c"), hours(1)).unwrap();
        door.sign_in(READER, &tokens(), ("2", "c"), hours(1)).unwrap();
        let changed = Tokens { admin: Some(KeyDigest::of(b"another")), ..tokens() };
        assert_eq!(door.visit(id("1"), &changed, hours(1)), None);
        assert!(door.visit(id("2"), &changed, hours(1)).is_some());
        // Nor does the old one come back with its sessions.
        assert_eq!(door.visit(id("1"), &tokens(), hours(1)), None);
        let removed = Tokens { reader: None, ..tokens() };
        assert_eq!(door.visit(id("2"), &removed, hours(1)), None);
        // Who may look now may act with the same token later: nobody keeps a role that is not in force.
        door.sign_in(READER, &tokens(), ("3", "c"), hours(1)).unwrap();
        let swapped = Tokens { admin: Some(KeyDigest::of(READER)), reader: Some(KeyDigest::of(ADMIN)) };
        assert_eq!(door.visit(id("3"), &swapped, hours(1)).unwrap().role, Role::Admin);
    }

    #[test]
    fn guessing_is_slow_and_the_table_is_bounded() {
        let door = Door::default();
        let at = |second: u64| hours(1) + Duration::from_secs(second);
        for second in 0..10 {
            assert_eq!(door.sign_in(b"x", &tokens(), ("1", "c"), at(second)), Err(Refusal::Wrong));
        }
        let refused = Err(Refusal::TooOften(Duration::from_secs(50)));
        assert_eq!(door.sign_in(ADMIN, &tokens(), ("1", "c"), at(10)), refused);
        assert_eq!(door.sign_in(ADMIN, &tokens(), ("1", "c"), at(60)), Ok(Role::Admin));
        for n in 0..=1_000 {
            let id = format!("more {n}");
            door.sign_in(ADMIN, &tokens(), (&id, "c"), at(100 + n)).unwrap();
        }
        assert_eq!(door.inside.lock().browsers.len(), BROWSERS);
        assert_eq!(door.visit(id("1"), &tokens(), at(1_101)), None, "the oldest is out");
        assert!(door.visit(id("more 1000"), &tokens(), at(1_101)).is_some());
    }
}
