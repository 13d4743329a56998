//! The calls beside the main ones: counting, and embeddings of Titan and Cohere.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::Method;
use serde_json::{Value, json};

use super::{
    super::{
        anthropic,
        cache::Chain,
        handler::{Answer, Call},
        json::Json,
        models::tokens,
        refusal::Refusal,
        small::vector,
    },
    Deed, ask, invoke, model_of, route,
};
use crate::types::Usage;

/// Texts in one call of Cohere's.
const MOST_TEXTS: usize = 96;

/// Answers every call that is not generating.
pub(in crate::sim) fn answer(mut call: Call) -> Answer {
    let outcome = match route(&call.path).filter(|_| call.method == Method::POST) {
        Some((id, Deed::Count)) => count(&call, &id),
        Some((id, Deed::Embed)) => embed(&mut call, &id),
        Some((_, Deed::Converse { .. } | Deed::Invoke { .. })) | None => {
            let refusal = Refusal::new(404, format!("{} {}: no such route", call.method, call.path));
            Err(refusal.code("UnknownOperationException"))
        }
    };
    match outcome {
        Ok(value) => call.say(&value),
        Err(refusal) => call.refuse(&refusal),
    }
}

fn count(call: &Call, id: &str) -> Result<Value, Refusal> {
    let model = model_of(id)?;
    if !id.contains("claude") {
        return Err(Refusal::bad("The provided model doesn't support counting tokens."));
    }
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let input = body.get("input").ok_or_else(|| Refusal::bad("input: is missing"))?;
    let total = match (input.get("converse"), input.get("invokeModel")) {
        (Some(converse), None) => ask::total(converse, model)?,
        (None, Some(invoke)) => {
            let bytes = STANDARD.decode(invoke.text_of("body").unwrap_or(""));
            let bytes = bytes.map_err(|_| Refusal::bad("input.invokeModel.body: must be base64"))?;
            let body = Json::parse(&bytes).map_err(Refusal::bad)?;
            invoke::check(&body)?;
            anthropic::total(&body)?
        }
        _ => return Err(Refusal::bad("input: must be one of converse and invokeModel")),
    };
    call.visit.note(|seen| id.clone_into(&mut seen.model));
    let real = |span| call.core.time.real(span);
    call.core
        .admit_count(&call.account)
        .map_err(|refused| Refusal::limited(refused, &call.account.organization, real))?;
    Ok(json!({"inputTokens": total}))
}

fn embed(call: &mut Call, id: &str) -> Result<Value, Refusal> {
    let model = model_of(id)?;
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let titan = id.contains("titan");
    let texts: Vec<String> = if titan {
        let text = body.text_of("inputText");
        vec![text.ok_or_else(|| Refusal::bad("#: required key [inputText] not found"))?.to_owned()]
    } else {
        let texts = body.get("texts").and_then(Json::as_list).unwrap_or(&[]);
        if texts.is_empty() || texts.len() > MOST_TEXTS || body.text_of("input_type").is_none() {
            return Err(Refusal::bad("Malformed input request: 1 to 96 texts, and an input_type"));
        }
        texts.iter().filter_map(|text| text.as_text().map(str::to_owned)).collect()
    };
    let total: u64 = texts.iter().map(|text| tokens(text.len())).sum();
    let chain = Chain { positions: Vec::new(), total };
    let real = |span| call.core.time.real(span);
    call.core
        .admit(&call.account, model, &chain)
        .map_err(|refused| Refusal::limited(refused, &call.account.organization, real))?;
    call.visit.note(|seen| id.clone_into(&mut seen.model));
    call.visit.bill(model, Usage { input: total, ..Usage::default() });
    let vectors: Vec<Vec<f64>> = texts.iter().map(|text| vector(text)).collect();
    Ok(if titan {
        json!({
            "embedding": vectors[0], "inputTextTokenCount": total, "embeddingsByType": {"float": vectors[0]},
        })
    } else {
        json!({"id": call.request_id, "texts": texts, "embeddings": vectors, "response_type": "embeddings_floats"})
    })
}
