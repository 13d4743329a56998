//! Anthropic Messages.

mod request;

pub(super) use request::messages;
