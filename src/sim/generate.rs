//! The calls that produce an answer: read, look up, admit, answer, bill.

use super::{
    answer::{Answer as Said, End, fresh_id},
    anthropic::{self, Ground},
    bedrock::{self, Deed},
    deliver::{self, Given, Responding, Tongue},
    fault::Fault,
    form,
    gemini::{self, Manner},
    handler::{Answer, Call},
    json::Json,
    models::Maker,
    objects::Segments,
    openai::{self, Links, Shape},
    pour::BodyError,
    prompt::Ask,
    refusal::Refusal,
    script::Facts,
    time::unix_seconds,
    wants::Directives,
};
use crate::types::Usage;

/// Answers a generating call.
pub(super) async fn answer(mut call: Call) -> Result<Answer, BodyError> {
    let (ask, tongue) = match understand(&call) {
        Ok(understood) => understood,
        Err(refusal) => return Ok(call.refuse(&refusal)),
    };
    call.visit.note(|seen| {
        seen.model.clone_from(&ask.model_name);
        seen.stream = ask.stream;
    });
    let late = late_fault(&call, &ask);
    if let Some(fault) = late {
        call.visit.note(|seen| seen.fault = Some(format!("{fault:?}")));
        call.fault = Some(fault);
        if let Some(refusal) =
            call.fault.as_ref().and_then(|f| Refusal::of_fault(f, call.maker, &ask.model_name))
        {
            return Ok(call.refuse(&refusal));
        }
    }
    let started = call.core.time.now();
    let look = match call.core.admit(&call.account, ask.model, &ask.chain) {
        Ok(look) => look,
        Err(refused) => {
            let organization = call.account.organization.clone();
            let refusal = Refusal::limited(refused, &organization, |span| call.core.time.real(span));
            return Ok(call.refuse_with_limits(&refusal, ask.model));
        }
    };
    let said = say(&call, &ask);
    let usage = Usage { output: said.tokens(), reasoning: reasoning(&call, &said), ..look.usage };
    call.visit.bill(ask.model, look.usage);
    let given = Given { ask, said, usage, look, started };
    if let Tongue::Responses(responding) = &tongue
        && responding.links.background
        && !given.ask.stream
    {
        return Ok(deliver::in_background(call, given, responding));
    }
    let mut wait = call.core.first_byte_time(&given.look.usage);
    if !given.ask.stream {
        wait += call.core.generation_time(given.usage.output);
    }
    if !wait.is_zero() {
        tokio::time::sleep(wait).await;
    }
    Ok(deliver::now(call, given, tongue))
}

/// Faults that depend on what the body says.
fn late_fault(call: &Call, ask: &Ask) -> Option<Fault> {
    if call.fault.is_some() {
        return None;
    }
    let facts = Facts {
        account: &call.account,
        path: &call.path,
        headers: &call.headers,
        generating: true,
        model: Some(&ask.model_name),
        has_stream_options: ask.has_stream_options,
    };
    call.core.script.lock().take(facts)
}

fn understand(call: &Call) -> Result<(Ask, Tongue), Refusal> {
    if call.headers.contains_key("content-encoding") {
        return Err(Refusal::new(415, "content-encoding is not supported"));
    }
    let body = Json::parse(&call.body).map_err(Refusal::bad)?;
    let header = call.headers.get("x-sim").and_then(|value| value.to_str().ok()).unwrap_or("");
    let directives = Directives::from_header(header);
    let ground =
        Ground { account: &call.account, directives: &directives, tool_rounds: call.core.config.tool_rounds };
    let created = unix_seconds();
    match bedrock::route(&call.path) {
        Some((model, Deed::Converse { stream })) => {
            return Ok((bedrock::ask(&model, &body, ground, stream)?, Tongue::Converse));
        }
        Some((model, Deed::Invoke { stream })) => {
            return Ok((bedrock::invoke_ask(&model, &body, ground, stream)?, Tongue::Invoke));
        }
        Some((_, Deed::Count | Deed::Embed)) | None => {}
    }
    if let Some((model, name)) = gemini::route(&call.path) {
        let ask = gemini::ask(model, &body, ground, name == "streamGenerateContent")?;
        return Ok((ask, Tongue::Gemini(Manner::of(model, &call.query, &body))));
    }
    match call.path.as_str() {
        "/v1/messages" => Ok((anthropic::ask(&body, ground)?, Tongue::Messages)),
        "/v1/chat/completions" => Ok((openai::chat_ask(&body, ground)?, Tongue::Chat { created })),
        "/v1/completions" => {
            Ok((openai::chat_ask(&as_chat(&body)?, ground)?, Tongue::Completions { created }))
        }
        _ => {
            let links = Links::of(&body);
            let mut items = earlier(call, &links)?;
            items.push(openai::input_items(&body)?.into());
            let flat: Vec<Json> = items.iter().flat_map(|segment| segment.iter().cloned()).collect();
            let ask = openai::responses_ask(&body, &flat, ground)?;
            let shape = Shape::of(&body, ask.model, &ask.model_name, created);
            Ok((ask, Tongue::Responses(Box::new(Responding { shape, links, items }))))
        }
    }
}

/// A legacy completion is a chat with one message.
fn as_chat(body: &Json) -> Result<Json, Refusal> {
    let prompt = body.text_of("prompt").ok_or_else(|| Refusal::bad("you must provide a prompt"))?;
    let text = |text: &str| Json::Text(text.to_owned());
    let message = Json::Map(vec![("role".to_owned(), text("user")), ("content".to_owned(), text(prompt))]);
    let mut pairs = vec![("messages".to_owned(), Json::List(vec![message]))];
    for key in ["model", "stream", "stream_options", "max_tokens"] {
        if let Some(value) = body.get(key) {
            pairs.push((key.to_owned(), value.clone()));
        }
    }
    Ok(Json::Map(pairs))
}

/// What a response continues; only its own account has it.
fn earlier(call: &Call, links: &Links) -> Result<Segments, Refusal> {
    let mut objects = call.core.objects.lock();
    if let Some(id) = &links.previous {
        return objects.items(&call.scope(), id).ok_or_else(|| {
            Refusal::bad(format!("Previous response with id '{id}' not found."))
                .code("previous_response_not_found")
                .param("previous_response_id")
        });
    }
    if let Some(id) = &links.conversation {
        return objects.items(&call.scope(), id).ok_or_else(|| {
            Refusal::new(404, format!("Conversation with id '{id}' not found.")).param("conversation")
        });
    }
    Ok(Segments::new())
}

fn say(call: &Call, ask: &Ask) -> Said {
    if ask.max_output == Some(0) {
        Said::empty(fresh_id())
    } else {
        let (id, config) = (fresh_id(), &call.core.config);
        let seed = if config.varied { config.seed ^ super::prompt::hash_of(&[&id]) } else { config.seed };
        let said = Said::to(ask, seed, id);
        match form::wanted(&call.body).filter(|_| said.calls.is_empty()) {
            Some(text) => Said { text, end: End::Done, ..said },
            None => said,
        }
    }
}

/// Anthropic's thought stands in the answer; the others report it apart.
fn reasoning(call: &Call, said: &Said) -> u64 {
    match call.maker {
        Maker::Anthropic | Maker::Aws => 0,
        Maker::OpenAi | Maker::Google => said.thinking_tokens(),
    }
}
