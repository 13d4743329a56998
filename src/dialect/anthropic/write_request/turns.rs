//! Who speaks when.
//!
//! The provider joins consecutive messages of one role; they are joined here, because results of tools
//! must stand in the one message right behind the calls, before anything else in it.

use super::{Scribe, content::is_said};
use crate::dialect::neutral::{At, Content, Message, Part, Role, Weight};

/// One message as it goes up.
pub(super) struct Turn<'r> {
    pub role: Role,
    pub parts: Vec<&'r Part<'r>>,
    /// So many of its parts are tools' results, and stand first.
    results: usize,
}

impl<'r> Scribe<'r, '_> {
    /// The conversation in turns, without what cannot be said.
    pub(super) fn turns(&mut self) -> Vec<Turn<'r>> {
        let request = self.request;
        let leading = request.messages.iter().take_while(|message| message.role == Role::System).count();
        let mut turns = Turns::default();
        for message in request.messages.iter().skip(leading) {
            let role = self.role(message);
            for part in &message.parts {
                if is_said(part) && self.can_say(part) {
                    turns.add(role, part);
                }
            }
            if let (Some(_), Some(part)) = (&message.name, message.parts.first()) {
                let field = format!("{}.name", message_of(part).path(request.origin));
                self.losses.add(field, Weight::Hint, "is unknown to Anthropic");
            }
        }
        turns.done
    }

    /// The role of a message there: old models know no instructions in the midst of a conversation.
    fn role(&mut self, message: &Message<'_>) -> Role {
        if message.role != Role::System || self.is_native() || self.age.takes_system_messages() {
            return message.role;
        }
        if let Some(part) = message.parts.first() {
            let field = format!("{}.role", message_of(part).path(self.request.origin));
            self.losses.add(field, Weight::Hint, "is the user's for this model, which knows no other here");
        }
        Role::User
    }
}

/// The place of the message that a part stands in.
const fn message_of(part: &Part<'_>) -> At {
    match part.at {
        At::Content(message, _) => At::Item(message),
        other @ (At::System(_) | At::Item(_) | At::Tool(_)) => other,
    }
}

#[derive(Default)]
struct Turns<'r> {
    done: Vec<Turn<'r>>,
    /// The first turn behind the model's last one.
    since: usize,
}

impl<'r> Turns<'r> {
    fn add(&mut self, role: Role, part: &'r Part<'r>) {
        if matches!(part.content, Content::ToolResult { .. }) && role == Role::User {
            return self.result(part);
        }
        match self.done.last_mut() {
            Some(turn) if turn.role == role => turn.parts.push(part),
            _ => self.done.push(Turn { role, parts: vec![part], results: 0 }),
        }
        if role == Role::Assistant {
            self.since = self.done.len();
        }
    }

    fn result(&mut self, part: &'r Part<'r>) {
        match self.done.get_mut(self.since) {
            Some(turn) if turn.role == Role::User => {
                turn.parts.insert(turn.results, part);
                turn.results += 1;
            }
            _ => self.done.insert(self.since, Turn { role: Role::User, parts: vec![part], results: 1 }),
        }
    }
}

/// The last block that may carry a mark: its turn, and its place in it.
pub(super) fn last_markable(turns: &[Turn<'_>]) -> Option<(usize, usize)> {
    let last = |turn: &Turn<'_>| turn.parts.iter().rposition(|part| is_markable(part));
    turns.iter().enumerate().rev().find_map(|(at, turn)| Some((at, last(turn)?)))
}

/// Thinking is cached as part of the history, but takes no mark (providers: 1.1).
const fn is_markable(part: &Part<'_>) -> bool {
    !matches!(part.content, Content::Thinking { .. })
}

/// The model waits for results of tools that it called without thinking first: a model that thinks by a
/// budget refuses such a history while its thinking is on.
pub(super) fn called_without_thinking(turns: &[Turn<'_>]) -> bool {
    let Some(last) = turns.iter().rposition(|turn| turn.role == Role::Assistant) else { return false };
    let (Some(turn), Some(next)) = (turns.get(last), turns.get(last + 1)) else { return false };
    let thinks = turn.parts.first().is_some_and(|part| matches!(part.content, Content::Thinking { .. }));
    next.results > 0 && !thinks
}
