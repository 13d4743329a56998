//! Whatever is said in a dialect is what a provider of any dialect understands, and the more is said, the
//! more of the provider's cache is used: what was sent before is how the next request begins.

use std::collections::BTreeMap;

use proptest::{prelude::*, test_runner::TestCaseError};
use serde_json::value::RawValue;
use warmkey::{
    dialect::OnLoss,
    types::{Dialect, Operation, ProviderDialect},
};

use crate::{
    ends::{CLIENTS, dialect, send},
    render::body,
    talk::{Choice, Item, Talk, talks},
    understand::{View, view},
};

/// Texts that stand side by side are one text to a model.
fn joined(items: Vec<Item>) -> Vec<Item> {
    let mut all: Vec<Item> = Vec::new();
    for item in items {
        match (all.last_mut(), item) {
            (Some(Item::User(before)), Item::User(text)) | (Some(Item::Said(before)), Item::Said(text)) => {
                *before += &text;
            }
            (_, item) => all.push(item),
        }
    }
    all
}

/// What can be said both by such a client and to such a provider.
fn common(mut talk: Talk, client: Dialect, provider: ProviderDialect) -> Talk {
    if client == Dialect::OpenAiResponses || provider == ProviderDialect::OpenAiResponses {
        talk.stop.clear();
    }
    if provider == ProviderDialect::Anthropic {
        // Its newest models choose the next token by themselves.
        talk.temperature = None;
    }
    talk
}

fn is_understood(talk: &Talk, operation: Operation, provider: ProviderDialect) -> Result<(), TestCaseError> {
    let talk = common(talk.clone(), dialect(operation), provider);
    let sent = send(operation, &body(&talk, dialect(operation)), provider, OnLoss::Refuse);
    let sent = sent.map_err(|why| TestCaseError::fail(format!("{operation:?} at {provider:?}: {why:?}")))?;
    let mut found = view(provider, &sent.body);
    found.items = joined(found.items);
    let expected = View {
        system: talk.system.clone().unwrap_or_default(),
        items: joined(talk.items()),
        tools: talk.tools.clone(),
        choice: talk.choice.clone(),
        max_output: Some(talk.max_output),
        temperature: talk.temperature,
        stop: talk.stop.clone(),
    };
    prop_assert_eq!(found, expected, "{:?} at {:?}: {:?}", operation, provider, sent.body);
    Ok(())
}

/// A body's conversation, and everything else in it, as they stand; marks for the cache are taken out, as
/// they move with the conversation's end.
fn halves(body: &[u8]) -> (String, BTreeMap<String, String>) {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(body).expect("JSON");
    let mut members: BTreeMap<_, _> =
        members.into_iter().map(|(name, value)| (name, unmarked(value.get()))).collect();
    let list = ["messages", "input", "contents"].iter().find_map(|name| members.remove(*name));
    (list.expect("a conversation"), members)
}

fn unmarked(json: &str) -> String {
    json.replace(r#","cache_control":{"type":"ephemeral"}"#, "")
        .replace(r#",{"cachePoint":{"type":"default"}}"#, "")
}

fn begins_alike(talk: &Talk, operation: Operation, provider: ProviderDialect) -> Result<(), TestCaseError> {
    let mut before: Option<(String, BTreeMap<String, String>)> = None;
    for talk in (1..=talk.turns.len()).filter_map(|turns| talk.after(turns)) {
        let sent = send(operation, &body(&talk, dialect(operation)), provider, OnLoss::Drop);
        let sent = sent.map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
        let (list, members) = halves(&sent.body);
        if let Some((earlier, same)) = before {
            prop_assert_eq!(&members, &same);
            let begin = earlier.trim_end_matches([']', '}']);
            prop_assert!(list.starts_with(begin), "{:?}: {} and then {}", provider, begin, list);
        }
        before = Some((list, members));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_is_understood(talk in talks()) {
        for (operation, _) in CLIENTS {
            for provider in ProviderDialect::ALL {
                is_understood(&talk, operation, provider)?;
            }
        }
    }

    #[test]
    fn what_was_sent_is_how_the_next_request_begins(talk in talks()) {
        for (operation, _) in CLIENTS {
            for provider in ProviderDialect::ALL {
                begins_alike(&talk, operation, provider)?;
            }
        }
    }

    // There and back again: a provider's dialect that is a client's, too, is read as it was written.
    #[test]
    fn the_way_back_ends_where_it_began(talk in talks()) {
        for (there, _) in CLIENTS {
            for (back, _) in CLIENTS {
                let talk = Talk { choice: Choice::Auto, stop: Vec::new(), temperature: None, ..talk.clone() };
                let out = body(&talk, dialect(there));
                let over = send(there, &out, provider_of(back), OnLoss::Drop);
                let over = over.map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
                let home = send(back, &over.body, provider_of(there), OnLoss::Drop);
                let home = home.map_err(|why| TestCaseError::fail(format!("{why:?}")))?;
                let mut found = view(provider_of(there), &home.body);
                found.items = joined(found.items);
                prop_assert_eq!(found.items, joined(talk.items()), "{:?} over {:?}", there, back);
                prop_assert_eq!(found.system, talk.system.unwrap_or_default());
                prop_assert_eq!(found.tools, talk.tools);
                prop_assert_eq!(found.max_output, Some(talk.max_output));
            }
        }
    }
}

/// The provider whose dialect a client's is.
fn provider_of(operation: Operation) -> ProviderDialect {
    match dialect(operation) {
        Dialect::Anthropic => ProviderDialect::Anthropic,
        Dialect::OpenAiChat => ProviderDialect::OpenAiChat,
        Dialect::OpenAiResponses => ProviderDialect::OpenAiResponses,
    }
}
