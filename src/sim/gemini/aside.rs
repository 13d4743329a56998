//! The calls beside the main one: counting, embeddings, model lists.

use http::Method;
use serde_json::{Value, json};

use super::{
    super::{
        anthropic::Ground,
        cache::Chain,
        handler::{Answer, Call},
        json::Json,
        models::{self, Maker, tokens},
        refusal::Refusal,
        small::vector,
        wants::{Directives, text_in},
    },
    ask, model_of, route,
};
use crate::types::Usage;

/// Texts in one batch.
const MOST_TEXTS: usize = 100;

/// Answers every call that is not generating.
pub(in crate::sim) fn answer(mut call: Call) -> Answer {
    let path = call.path.clone();
    let outcome = match (&call.method, route(&path)) {
        (&Method::POST, Some((model, "countTokens"))) => count(&call, model),
        (&Method::POST, Some((model, "batchEmbedContents"))) => embed(&mut call, model),
        (&Method::GET, None) => match path.rsplit_once("/models") {
            Some((_, "")) => {
                Ok(json!({"models": models::of(Maker::Google).map(|m| card(m.id)).collect::<Value>()}))
            }
            Some((_, name)) => model_of(name.trim_start_matches('/')).map(|model| card(model.id)),
            None => Err(missing(&call)),
        },
        _ => Err(missing(&call)),
    };
    match outcome {
        Ok(value) => call.say(&value),
        Err(refusal) => call.refuse(&refusal),
    }
}

fn missing(call: &Call) -> Refusal {
    Refusal::new(404, format!("{} {}: no such route", call.method, call.path))
}

fn count(call: &Call, name: &str) -> Result<Value, Refusal> {
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    // The whole request; beside it the conversation alone may be counted.
    let request = match (body.get("generateContentRequest"), body.get("contents")) {
        (Some(_), Some(_)) => {
            return Err(Refusal::bad(
                "* CountTokensRequest: contents and generateContentRequest are mutually exclusive",
            ));
        }
        (Some(request), None) => request,
        (None, _) => &body,
    };
    let directives = Directives::default();
    let ground = Ground { account: &call.account, directives: &directives, tool_rounds: 0 };
    let ask = ask(name, request, ground, false)?;
    call.visit.note(|seen| ask.model.id.clone_into(&mut seen.model));
    let real = |span| call.core.time.real(span);
    call.core
        .admit_count(&call.account)
        .map_err(|refused| Refusal::limited(refused, &call.account.organization, real))?;
    let total = ask.chain.total;
    Ok(json!({"totalTokens": total, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": total}]}))
}

fn embed(call: &mut Call, name: &str) -> Result<Value, Refusal> {
    let model = model_of(name)?;
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let requests = body.get("requests").and_then(Json::as_list).unwrap_or(&[]);
    if requests.is_empty() || requests.len() > MOST_TEXTS {
        return Err(Refusal::bad(
            "* BatchEmbedContentsRequest.requests: at most 100 requests can be in one batch",
        ));
    }
    let mut embeddings = Vec::new();
    let mut total = 0;
    for request in requests {
        if request.text_of("model") != Some(&format!("models/{name}")) {
            return Err(Refusal::bad(
                "* BatchEmbedContentsRequest.requests[].model: must be that of the path",
            ));
        }
        let text = request.get("content").and_then(|content| content.get("parts")).and_then(text_in);
        let text =
            text.ok_or_else(|| Refusal::bad("* EmbedContentRequest.content: contents is not specified"))?;
        total += tokens(text.len());
        let mut values = vector(&text);
        if let Some(dimensions) = request.get("outputDimensionality").and_then(Json::as_u64) {
            values.truncate(usize::try_from(dimensions).unwrap_or(usize::MAX));
        }
        embeddings.push(json!({"values": values}));
    }
    let chain = Chain { positions: Vec::new(), total };
    let real = |span| call.core.time.real(span);
    call.core
        .admit(&call.account, model, &chain)
        .map_err(|refused| Refusal::limited(refused, &call.account.organization, real))?;
    call.visit.note(|seen| model.id.clone_into(&mut seen.model));
    call.visit.bill(model, Usage { input: total, ..Usage::default() });
    Ok(json!({"embeddings": embeddings, "usageMetadata": {"promptTokenCount": total}}))
}

fn card(id: &str) -> Value {
    json!({
        "name": format!("models/{id}"), "version": "001", "displayName": id,
        "inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    })
}
