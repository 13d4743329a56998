//! The conversation: user and assistant in turns, beginning with the user.

use super::{Job, content::Block};
use crate::dialect::neutral::{At, Message, Role, Weight, Writer};

/// What is said where the API demands words and there are none: before an assistant that begins, and
/// beside a document that comes alone. A constant, so that the bytes stay the same.
const STAND_IN: &str = ".";

/// Messages of one role in a row.
struct Turn<'a> {
    role: Role,
    blocks: Vec<Block<'a>>,
}

impl<'j> Job<'j, '_> {
    pub(super) fn messages(&mut self, w: &mut Writer<'_>) {
        let mut turns = self.turns();
        for turn in &mut turns {
            lend_words(turn);
        }
        if turns.first().is_some_and(|turn| turn.role == Role::Assistant) {
            turns.insert(0, Turn { role: Role::User, blocks: vec![Block::Words(STAND_IN)] });
        }
        self.mark(&mut turns);
        w.key("messages").array(|w| {
            for turn in &turns {
                w.object(|w| {
                    w.key("role").text(match turn.role {
                        Role::User => "user",
                        Role::Assistant => "assistant",
                        Role::System => "system",
                    });
                    w.key("content").array(|w| turn.blocks.iter().for_each(|block| block.write(w)));
                });
            }
        });
    }

    fn turns(&mut self) -> Vec<Turn<'j>> {
        let messages: &'j [Message<'j>] = &self.request.messages;
        let mut turns: Vec<Turn<'j>> = Vec::with_capacity(messages.len() + 1);
        for message in messages {
            let role = self.role(message);
            let blocks = self.blocks(&message.parts, None);
            match turns.last_mut().filter(|turn| turn.role == role) {
                Some(turn) => turn.blocks.extend(blocks),
                None if blocks.is_empty() => {}
                None => turns.push(Turn { role, blocks }),
            }
        }
        turns
    }

    fn role(&mut self, message: &Message<'_>) -> Role {
        let place = message.parts.first().map(|part| match part.at {
            At::Content(i, _) => At::Item(i),
            at @ (At::System(_) | At::Item(_) | At::Tool(_)) => at,
        });
        if let Some(at) = place.filter(|_| message.name.is_some()) {
            let field = format!("{}.name", at.path(self.request.origin));
            self.losses.add(field, Weight::Hint, "has no counterpart there");
        }
        match message.role {
            Role::System if !self.model.takes_system_messages() => {
                if let Some(at) = place {
                    let field = format!("{}.role", at.path(self.request.origin));
                    self.losses.add(field, Weight::Hint, "is written as the user's, whose place it keeps");
                }
                Role::User
            }
            role @ (Role::User | Role::Assistant | Role::System) => role,
        }
    }

    /// Puts cache points at the last message, and at the user's before it.
    fn mark(&self, turns: &mut [Turn<'_>]) {
        let users = turns.iter_mut().rev().filter(|turn| turn.role == Role::User);
        for (turn, mark) in users.zip([self.points.last, self.points.before]) {
            if let Some(mark) = mark
                && !matches!(turn.blocks.last(), None | Some(Block::Point(_)))
            {
                turn.blocks.push(Block::Point(mark));
            }
        }
    }
}

/// A document needs words beside it (botocore: `Message`).
fn lend_words(turn: &mut Turn<'_>) {
    let is_document = |block: &Block<'_>| matches!(block, Block::Media(file) if file.is_document());
    let is_text = |block: &Block<'_>| matches!(block, Block::Text(_));
    if turn.blocks.iter().any(is_document) && !turn.blocks.iter().any(is_text) {
        // In front: a cache point may stand at the end.
        turn.blocks.insert(0, Block::Words(STAND_IN));
    }
}
