//! The calls beside the main ones: counting, embeddings, model lists, and objects by id.

use http::Method;
use serde_json::{Value, json};

use super::{
    answer::fresh_id,
    anthropic,
    handler::{Answer, Call},
    json::Json,
    models::{self, Maker, tokens},
    objects::{Object, Segments},
    refusal::Refusal,
    time::unix_seconds,
};
use crate::{clock::Moment, types::Usage};

/// Numbers in an embedding.
const DIMENSIONS: usize = 16;

/// Answers every call that is not generating.
pub(super) fn answer(call: Call) -> Answer {
    let path = call.path.clone();
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (get, post) = (call.method == Method::GET, call.method == Method::POST);
    let outcome = match parts.as_slice() {
        ["v1", "messages", "count_tokens"] if post => count(&call),
        ["v1", "embeddings"] if post => return embed(call),
        ["v1", "models"] if get => Ok(model_list(call.maker)),
        ["v1", "models", name] if get => model(call.maker, name),
        ["v1", "files"] if post => Ok(upload(&call)),
        ["v1", "files", id] => file(&call, id),
        ["v1", "conversations"] if post => Ok(conversation(&call)),
        ["v1", "responses", id] => response(&call, id),
        ["v1", "responses", id, "cancel"] if post => cancel(&call, id),
        ["api", "hello"] => Ok(json!({"hello": "world"})),
        _ => Err(Refusal::new(404, format!("{} {path}: no such route", call.method))),
    };
    match outcome {
        Ok(value) => call.say(&value),
        Err(refusal) => call.refuse(&refusal),
    }
}

fn count(call: &Call) -> Result<Value, Refusal> {
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let (model, total) = anthropic::count(&body)?;
    call.visit.note(|seen| model.id.clone_into(&mut seen.model));
    let real = |span| call.core.time.real(span);
    call.core
        .admit_count(&call.account)
        .map_err(|refused| Refusal::limited(refused, &call.account.organization, real))?;
    Ok(json!({"input_tokens": total}))
}

fn embed(mut call: Call) -> Answer {
    let (model, inputs) = match embed_input(&call) {
        Ok(understood) => understood,
        Err(refusal) => return call.refuse(&refusal),
    };
    let total: u64 = inputs.iter().map(|input| tokens(input.len())).sum();
    let chain = super::cache::Chain { positions: Vec::new(), total };
    if let Err(refused) = call.core.admit(&call.account, model, &chain) {
        let refusal = Refusal::limited(refused, &call.account.organization, |span| call.core.time.real(span));
        return call.refuse_with_limits(&refusal, model);
    }
    call.visit.note(|seen| model.id.clone_into(&mut seen.model));
    call.visit.bill(model, Usage { input: total, ..Usage::default() });
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(n, input)| json!({"object": "embedding", "index": n, "embedding": vector(input)}))
        .collect();
    call.say(&json!({
        "object": "list", "data": data, "model": model.id,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }))
}

fn embed_input(call: &Call) -> Result<(&'static models::Model, Vec<String>), Refusal> {
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let name = body.text_of("model").unwrap_or("");
    let model = models::find(name)
        .filter(|model| model.maker == Maker::OpenAi)
        .ok_or_else(|| Refusal::no_model(name))?;
    let inputs = match body.get("input") {
        Some(Json::Text(text)) => vec![text.clone()],
        Some(Json::List(items)) => {
            items.iter().filter_map(|item| item.as_text().map(str::to_owned)).collect()
        }
        _ => return Err(Refusal::bad("input: a text or a list of texts is required").param("input")),
    };
    Ok((model, inputs))
}

pub(super) fn vector(text: &str) -> Vec<f64> {
    let mut rng = fastrand::Rng::with_seed(super::prompt::hash_of(&[text]));
    (0..DIMENSIONS).map(|_| rng.f64() * 2.0 - 1.0).collect()
}

fn model_list(maker: Maker) -> Value {
    let all: Vec<Value> = models::of(maker).map(|model| model_card(maker, model.id)).collect();
    let first = all.first().map(|model| model["id"].clone());
    let last = all.last().map(|model| model["id"].clone());
    match maker {
        Maker::Anthropic => json!({"data": all, "has_more": false, "first_id": first, "last_id": last}),
        Maker::OpenAi | Maker::Aws | Maker::Google => json!({"object": "list", "data": all}),
    }
}

fn model(maker: Maker, name: &str) -> Result<Value, Refusal> {
    models::find(name)
        .filter(|model| model.maker == maker)
        .map(|_| model_card(maker, name))
        .ok_or_else(|| Refusal::no_model(name))
}

fn model_card(maker: Maker, id: &str) -> Value {
    match maker {
        Maker::Anthropic => {
            json!({"type": "model", "id": id, "display_name": id, "created_at": "2026-01-01T00:00:00Z"})
        }
        Maker::OpenAi | Maker::Aws | Maker::Google => {
            json!({"id": id, "object": "model", "created": 1_767_225_600, "owned_by": "sim"})
        }
    }
}

fn upload(call: &Call) -> Value {
    let size = call.body.len();
    let (id, body) = match call.maker {
        Maker::Anthropic => {
            let id = format!("file_011{}", fresh_id());
            let body = json!({
                "id": id, "type": "file", "filename": "upload", "mime_type": "application/octet-stream",
                "size_bytes": size, "created_at": "2026-01-01T00:00:00Z", "downloadable": false,
            });
            (id, body)
        }
        Maker::OpenAi | Maker::Aws | Maker::Google => {
            let id = format!("file-{}", fresh_id());
            let body = json!({
                "id": id, "object": "file", "bytes": size, "created_at": unix_seconds(),
                "filename": "upload", "purpose": "user_data", "status": "processed",
            });
            (id, body)
        }
    };
    call.core.objects.lock().put(&call.scope(), &id, Object::File { body: body.clone() });
    body
}

fn file(call: &Call, id: &str) -> Result<Value, Refusal> {
    let missing = || Refusal::new(404, format!("No such File object: {id}"));
    let mut objects = call.core.objects.lock();
    let Some(Object::File { body }) = objects.get(&call.scope(), id) else { return Err(missing()) };
    if call.method == Method::GET {
        return Ok(body.clone());
    }
    if call.method != Method::DELETE {
        return Err(Refusal::new(405, "method not allowed"));
    }
    objects.remove(&call.scope(), id);
    Ok(match call.maker {
        Maker::Anthropic => json!({"id": id, "type": "file_deleted"}),
        Maker::OpenAi | Maker::Aws | Maker::Google => json!({"id": id, "object": "file", "deleted": true}),
    })
}

fn conversation(call: &Call) -> Value {
    let id = format!("conv_{}", fresh_id());
    call.core.objects.lock().put(&call.scope(), &id, Object::Conversation { items: Segments::new() });
    json!({"id": id, "object": "conversation", "created_at": unix_seconds(), "metadata": {}})
}

fn response(call: &Call, id: &str) -> Result<Value, Refusal> {
    let mut objects = call.core.objects.lock();
    let Some(Object::Response { body, ready, .. }) = objects.get(&call.scope(), id) else {
        return Err(no_response(id));
    };
    if call.method == Method::GET {
        return Ok(as_of(body, *ready, call.core.time.now()));
    }
    if call.method != Method::DELETE {
        return Err(Refusal::new(405, "method not allowed"));
    }
    objects.remove(&call.scope(), id);
    Ok(json!({"id": id, "object": "response", "deleted": true}))
}

fn cancel(call: &Call, id: &str) -> Result<Value, Refusal> {
    let mut objects = call.core.objects.lock();
    let Some(Object::Response { body, ready, .. }) = objects.get(&call.scope(), id) else {
        return Err(no_response(id));
    };
    if body["background"] != true {
        return Err(Refusal::bad("Cannot cancel a synchronous response."));
    }
    if *ready > call.core.time.now() {
        body["status"] = "cancelled".into();
        body["output"] = json!([]);
        body["usage"] = Value::Null;
        *ready = Moment::ZERO;
    }
    Ok(body.clone())
}

fn no_response(id: &str) -> Refusal {
    Refusal::new(404, format!("Response with id '{id}' not found."))
}

/// A response that is not ready yet has neither output nor usage.
fn as_of(body: &Value, ready: Moment, now: Moment) -> Value {
    let mut body = body.clone();
    if now < ready {
        body["status"] = "in_progress".into();
        body["output"] = json!([]);
        body["usage"] = Value::Null;
    }
    body
}
