//! What breaks a cached prefix from which layer on (providers, 1.1), one test a sentence.

use serde_json::{Value, json};

use super::tests::{base, control, hashes, read};
use crate::sim::{Ttl, cache::LOOK_BACK, models};

/// How many of the three positions (tools, system, message) are the same after a change.
fn kept(change: impl FnOnce(&mut Value)) -> usize {
    let (before, mut body) = (hashes(&base()), base());
    change(&mut body);
    before.iter().zip(hashes(&body)).take_while(|(before, after)| **before == *after).count()
}

#[test]
fn tool_definitions_invalidate_everything() {
    assert_eq!(kept(|body| body["tools"][0]["name"] = "search".into()), 0);
    assert_eq!(kept(|body| body["tools"][0]["input_schema"]["x"] = 1.into()), 0);
    assert_eq!(kept(|body| body["tools"] = json!([])), 0);
}

#[test]
fn another_model_invalidates_everything() {
    assert_eq!(kept(|body| body["model"] = "claude-opus-5".into()), 0);
    assert_eq!(kept(|body| body["model"] = "claude-sonnet-4-6-20260115".into()), 3, "a dated id is no other");
}

#[test]
fn speed_invalidates_system_and_messages() {
    assert_eq!(kept(|body| body["speed"] = "fast".into()), 1);
}

#[test]
fn effort_thinking_and_parallel_tool_use_invalidate_messages() {
    assert_eq!(kept(|body| body["output_config"] = json!({"effort": "low"})), 2);
    assert_eq!(kept(|body| body["thinking"] = json!({"type": "adaptive"})), 2);
    let choice = json!({"type": "auto", "disable_parallel_tool_use": true});
    assert_eq!(kept(|body| body["tool_choice"] = choice), 2);
}

#[test]
fn an_image_added_anywhere_invalidates_messages_from_the_first_on() {
    let two = |image: bool| {
        let mut body = base();
        let mut last = json!([{"type": "text", "text": "and"}]);
        if image {
            last = json!([{"type": "text", "text": "and"}, {"type": "image", "source": {}}]);
        }
        body["messages"] = json!([
            {"role": "user", "content": "hi"}, {"role": "assistant", "content": "yes?"},
            {"role": "user", "content": last},
        ]);
        hashes(&body)
    };
    let (without, with) = (two(false), two(true));
    assert_eq!(without[..2], with[..2]);
    assert_ne!(without[2], with[2], "the first message is not the last");
}

#[test]
fn what_is_no_content_invalidates_nothing() {
    assert_eq!(kept(|body| body["max_tokens"] = 9.into()), 3);
    assert_eq!(kept(|body| body["metadata"] = json!({"user_id": "u"})), 3);
    assert_eq!(kept(|body| body["stream"] = true.into()), 3);
    assert_eq!(kept(|body| body["temperature"] = 1.into()), 3);
}

#[test]
fn five_minutes_is_the_default_and_an_unknown_scope_is_let_pass() {
    let mark = |control: Value| {
        let mut body = base();
        body["messages"][0]["content"][0]["cache_control"] = control;
        read(&body).unwrap().chain.positions[2].mark
    };
    assert_eq!(mark(json!({"type": "ephemeral"})), Some(Ttl::FiveMinutes));
    assert_eq!(mark(control("1h")), Some(Ttl::Hour));
    assert_eq!(mark(json!({"type": "ephemeral", "scope": "global"})), Some(Ttl::FiveMinutes));
}

#[test]
fn thinking_and_mid_conversation_system_messages_are_part_of_the_prefix() {
    let with = |thought: &str| {
        let mut body = base();
        body["messages"] = json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": thought, "signature": "s"},
                {"type": "text", "text": "yes?"}]},
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "go"},
        ]);
        hashes(&body)
    };
    let (one, other) = (with("a"), with("b"));
    assert_eq!(one.len(), 7);
    assert_eq!(one[..3], other[..3]);
    assert_ne!(one[3], other[3]);
    assert_ne!(one[6], other[6]);
}

#[test]
fn each_model_has_its_own_smallest_prefix() {
    for (model, min) in [
        ("claude-opus-5", 512),
        ("claude-sonnet-5-5", 512),
        ("claude-sonnet-4-6", 1_024),
        ("claude-opus-4-8", 1_024),
        ("claude-haiku-4-5", 4_096),
    ] {
        let rule = models::find(model).unwrap().cache;
        assert_eq!(rule, models::CacheRule::Marked { min }, "{model}");
    }
    assert_eq!(LOOK_BACK, 20);
}

#[test]
fn models_of_one_generation_share_a_class_of_limits_and_others_do_not() {
    let class = |model: &str| models::find(model).unwrap().class;
    assert_eq!(class("claude-sonnet-5"), class("claude-sonnet-5-5"));
    for other in ["claude-sonnet-5", "claude-opus-4-8", "claude-opus-5", "claude-haiku-4-5"] {
        assert_ne!(class("claude-sonnet-4-6"), class(other), "{other}");
    }
}
