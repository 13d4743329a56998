//! `generationConfig`, `serviceTier`.

use super::{Model, tier_of};
use crate::{
    dialect::neutral::{Effort, Format, Json, Losses, Reasoning, Request, Weight, Writer},
    types::Dialect,
};

/// Gemini takes no more stop sequences.
const MOST_STOPS: usize = 5;

pub(super) fn write(w: &mut Writer<'_>, request: &Request<'_>, model: Model, losses: &mut Losses) {
    note_lost_sampling(request, losses);
    let mut config = Vec::new();
    Writer::new(&mut config).object(|w| {
        sampling(w, request);
        format(w, request, losses);
        if let Some(reasoning) = &request.reasoning {
            thinking(w, reasoning, request.origin, model, losses);
        }
    });
    if config != b"{}"
        && let Ok(config) = String::from_utf8(config)
    {
        w.key("generationConfig").json(&Json::from_text(config));
    }
    if let Some(tier) = request.tier.as_ref().and_then(tier_of).filter(|tier| !tier.is_empty()) {
        w.key("serviceTier").text(tier);
    }
}

fn sampling(w: &mut Writer<'_>, request: &Request<'_>) {
    if let Some(most) = request.max_output {
        w.key("maxOutputTokens").number(most);
    }
    let sampling = &request.sampling;
    for (name, value) in [
        ("temperature", &sampling.temperature),
        ("topP", &sampling.top_p),
        ("topK", &sampling.top_k),
        ("frequencyPenalty", &sampling.frequency_penalty),
        ("presencePenalty", &sampling.presence_penalty),
    ] {
        if let Some(value) = value {
            w.key(name).json(value);
        }
    }
    if let Some(seed) = sampling.seed.as_ref().filter(|seed| fits_seed(seed)) {
        w.key("seed").json(seed);
    }
    if !sampling.stop.is_empty() {
        w.key("stopSequences").array(|w| {
            sampling.stop.iter().take(MOST_STOPS).for_each(|stop| w.escaped(stop));
        });
    }
}

/// Google's is an `int32`.
fn fits_seed(seed: &Json<'_>) -> bool {
    seed.as_str().parse::<i32>().is_ok()
}

fn note_lost_sampling(request: &Request<'_>, losses: &mut Losses) {
    let sampling = &request.sampling;
    if sampling.stop.len() > MOST_STOPS {
        let field = if request.origin == Dialect::Anthropic { "stop_sequences" } else { "stop" };
        losses.add(field, Weight::Meaning, "holds more than the 5 sequences that Gemini takes");
    }
    if sampling.seed.as_ref().is_some_and(|seed| !fits_seed(seed)) {
        losses.add("seed", Weight::Hint, "is no 32-bit number, as Gemini wants it");
    }
    if sampling.choices.is_some_and(|choices| choices > 1) {
        losses.add("n", Weight::Meaning, "must be 1: one answer is translated");
    }
    if sampling.logprobs.is_some() {
        let responses = request.origin == Dialect::OpenAiResponses;
        let field = if responses { "top_logprobs" } else { "logprobs" };
        losses.add(field, Weight::Meaning, "is not translated");
    }
    if sampling.logit_bias.is_some() {
        losses.add("logit_bias", Weight::Meaning, "is not known to Gemini");
    }
}

fn format(w: &mut Writer<'_>, request: &Request<'_>, losses: &mut Losses) {
    let Some(format) = &request.format else { return };
    w.key("responseMimeType").text("application/json");
    match format {
        Format::JsonObject => {}
        // The name means nothing to the model; Gemini follows every schema to the letter.
        Format::Schema { name: _, description, schema, strict: _ } => {
            w.key("responseJsonSchema").json(schema);
            if description.is_some() {
                let field = match request.origin {
                    Dialect::OpenAiChat => "response_format.json_schema.description",
                    Dialect::OpenAiResponses => "text.format.description",
                    Dialect::Anthropic => "output_config.format.description",
                };
                losses.add(field, Weight::Hint, "has no place beside Gemini's schema");
            }
        }
    }
}

fn thinking(
    w: &mut Writer<'_>,
    reasoning: &Reasoning<'_>,
    origin: Dialect,
    model: Model,
    losses: &mut Losses,
) {
    let amount =
        if model.before_3 { budget(&reasoning.effort, model) } else { level(&reasoning.effort, model) };
    if amount.is_less {
        let field = match origin {
            Dialect::Anthropic => "thinking",
            Dialect::OpenAiChat => "reasoning_effort",
            Dialect::OpenAiResponses => "reasoning.effort",
        };
        losses.add(field, Weight::Hint, "is set to the nearest that this model knows");
    }
    let shown = reasoning.effort != Effort::Off && is_shown(reasoning, origin);
    if amount.value.is_none() && !shown {
        return;
    }
    w.key("thinkingConfig").object(|w| {
        match amount.value {
            Some(Amount::Budget(tokens)) => w.key("thinkingBudget").number(tokens),
            Some(Amount::Dynamic) => w.key("thinkingBudget").json(&Json::written("-1")),
            Some(Amount::Level(level)) => w.key("thinkingLevel").text(level),
            None => {}
        }
        if shown {
            w.key("includeThoughts").bool(true);
        }
    });
}

/// Whether the client wants to see the thoughts. Anthropic shows them unless told not to; Chat has no
/// word for it, and those of its clients that know `reasoning_content` look for it wherever a model
/// thinks; Responses shows them when asked.
fn is_shown(reasoning: &Reasoning<'_>, origin: Dialect) -> bool {
    match &reasoning.summary {
        Some(summary) => !matches!(summary.raw(), "omitted" | "none"),
        None => origin != Dialect::OpenAiResponses,
    }
}

enum Amount {
    Budget(u64),
    /// As the model sees fit.
    Dynamic,
    Level(&'static str),
}

struct Thinks {
    /// `None`: the model's own.
    value: Option<Amount>,
    /// It is not quite what was asked for.
    is_less: bool,
}

/// Gemini 2.5: tokens. The bounds are the models' documented ones: Pro 128 to 32,768, Flash up to
/// 24,576 with 0 for none, Flash-Lite the same from 512.
fn budget(effort: &Effort<'_>, model: Model) -> Thinks {
    let (least, most) = match model {
        Model { always_thinks: true, .. } => (128, 32_768),
        Model { lite: true, .. } => (512, 24_576),
        Model { .. } => (0, 24_576),
    };
    let exactly = |value| Thinks { value: Some(value), is_less: false };
    match effort {
        Effort::Off if model.always_thinks => Thinks { value: Some(Amount::Budget(least)), is_less: true },
        Effort::Off => exactly(Amount::Budget(0)),
        Effort::Adaptive(None) => exactly(Amount::Dynamic),
        Effort::Adaptive(Some(_)) | Effort::Level(_) | Effort::Budget(_) => {
            exactly(Amount::Budget(effort.budget().clamp(least, most)))
        }
    }
}

/// Gemini 3: levels. It cannot be turned off; Pro begins at `low`.
fn level(effort: &Effort<'_>, model: Model) -> Thinks {
    let least = if model.always_thinks { "low" } else { "minimal" };
    let (level, is_less) = match effort {
        Effort::Adaptive(None) => return Thinks { value: None, is_less: false },
        // What Google calls minimal is as good as none for most questions; low is not.
        Effort::Off => (least, model.always_thinks),
        Effort::Adaptive(Some(_)) | Effort::Level(_) | Effort::Budget(_) => match effort.level() {
            "none" | "minimal" => (least, model.always_thinks),
            "low" => ("low", false),
            "medium" => ("medium", false),
            "high" => ("high", false),
            // `xhigh`, `max`: which models know Google's own word for more is not documented.
            _ => ("high", true),
        },
    };
    Thinks { value: Some(Amount::Level(level)), is_less }
}
