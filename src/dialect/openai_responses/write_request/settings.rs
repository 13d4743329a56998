//! What is asked of the model beside the conversation.

use crate::{
    dialect::{
        neutral::{
            CacheMark, Effort, Escaped, Format, Json, Losses, Reasoning, Request, Weight, Writer, fit,
        },
        translate::{ReasoningField, Target},
    },
    types::Dialect,
};

const UNKNOWN: &str = "is unknown to the provider";
/// OpenAI's least limit of the output.
const LEAST_OUTPUT: u64 = 16;
/// OpenAI's longest `safety_identifier` and `prompt_cache_key`.
const LONGEST_NAME: usize = 64;

/// Writes every setting, or why not.
pub(super) fn write(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    output(request, w, losses);
    sampling(request, w, losses);
    if target.quirks.reasoning == ReasoningField::None {
        if let Some(reasoning) = &request.reasoning
            && reasoning.effort != Effort::Off
        {
            losses.add(effort_name(request.origin), Weight::Hint, UNKNOWN);
        }
    } else {
        if let Some(reasoning) = &request.reasoning {
            write_reasoning(reasoning, request.origin, w);
        }
        if may_reason(target.model) {
            w.key("include").array(|w| w.text("reasoning.encrypted_content"));
        }
    }
    text(request, target, w, losses);
    cache(request, target, w, losses);
    hints(request, target, w, losses);
}

fn output(request: &Request<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let Some(most) = request.max_output else { return };
    if most < LEAST_OUTPUT {
        let name = match request.origin {
            Dialect::Anthropic => "max_tokens",
            Dialect::OpenAiChat => "max_completion_tokens",
            Dialect::OpenAiResponses => "max_output_tokens",
        };
        losses.add(name, Weight::Hint, "is 16 at least there");
    }
    w.key("max_output_tokens").number(most.max(LEAST_OUTPUT));
}

fn sampling(request: &Request<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let sampling = &request.sampling;
    if let Some(temperature) = &sampling.temperature {
        w.key("temperature").json(temperature);
    }
    if let Some(top_p) = &sampling.top_p {
        w.key("top_p").json(top_p);
    }
    let is_set = |value: &Option<Json<'_>>| {
        value.as_ref().is_some_and(|value| !matches!(value.as_str(), "0" | "0.0" | "{}"))
    };
    let stop = match request.origin {
        Dialect::Anthropic => "stop_sequences",
        Dialect::OpenAiChat | Dialect::OpenAiResponses => "stop",
    };
    let logprobs = match request.origin {
        Dialect::OpenAiResponses => "top_logprobs",
        Dialect::Anthropic | Dialect::OpenAiChat => "logprobs",
    };
    for (name, is_set, weight) in [
        ("top_k", sampling.top_k.is_some(), Weight::Meaning),
        ("frequency_penalty", is_set(&sampling.frequency_penalty), Weight::Meaning),
        ("presence_penalty", is_set(&sampling.presence_penalty), Weight::Meaning),
        ("logit_bias", is_set(&sampling.logit_bias), Weight::Meaning),
        ("seed", sampling.seed.is_some(), Weight::Hint),
        (stop, !sampling.stop.is_empty(), Weight::Meaning),
        ("n", sampling.choices.is_some_and(|choices| choices > 1), Weight::Meaning),
        // They could be asked for, but no answer is translated with them.
        (logprobs, sampling.logprobs.is_some(), Weight::Meaning),
    ] {
        if is_set {
            losses.add(name, weight, UNKNOWN);
        }
    }
}

const fn effort_name(origin: Dialect) -> &'static str {
    match origin {
        Dialect::Anthropic => "thinking",
        Dialect::OpenAiChat => "reasoning_effort",
        Dialect::OpenAiResponses => "reasoning",
    }
}

fn write_reasoning(reasoning: &Reasoning<'_>, origin: Dialect, w: &mut Writer<'_>) {
    let effort = match &reasoning.effort {
        // Anthropic's `disabled` is what it does unasked: no reason to ask a model that may not know it.
        Effort::Off if origin == Dialect::Anthropic => return,
        // As the model sees fit: that is what it does unasked.
        Effort::Adaptive(None) => None,
        Effort::Off | Effort::Adaptive(Some(_)) | Effort::Level(_) | Effort::Budget(_) => {
            Some(reasoning.effort.level())
        }
    };
    let summary = reasoning.summary.as_ref().map(Escaped::raw).and_then(|summary| match summary {
        "auto" | "concise" | "detailed" => Some(summary),
        "omitted" | "none" | "false" => None,
        // Another dialect's word for yes.
        _ => Some("auto"),
    });
    if effort.is_none() && summary.is_none() {
        return;
    }
    w.key("reasoning").object(|w| {
        if let Some(effort) = effort {
            w.key("effort").escaped(&Escaped::plain(effort));
        }
        if let Some(summary) = summary {
            w.key("summary").text(summary);
        }
    });
}

/// Whether the model may think. Those that cannot refuse to be asked for their thinking's seal; all
/// later ones can.
fn may_reason(model: &str) -> bool {
    let name = model.rsplit('/').next().unwrap_or(model);
    !["gpt-3", "gpt-4", "chatgpt-"].iter().any(|older| name.starts_with(older))
}

/// Writes `text`.
fn text(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let mut format = request.format.as_ref();
    if matches!(format, Some(Format::Schema { .. })) && !target.quirks.json_schema {
        let name = match request.origin {
            Dialect::Anthropic => "output_config.format",
            Dialect::OpenAiChat => "response_format",
            Dialect::OpenAiResponses => "text.format",
        };
        losses.add(name, Weight::Meaning, UNKNOWN);
        format = None;
    }
    let mut verbosity = request.verbosity.as_ref();
    if verbosity.is_some() && !target.quirks.hints {
        let name = match request.origin {
            Dialect::OpenAiResponses => "text.verbosity",
            Dialect::Anthropic | Dialect::OpenAiChat => "verbosity",
        };
        losses.add(name, Weight::Hint, UNKNOWN);
        verbosity = None;
    }
    if format.is_none() && verbosity.is_none() {
        return;
    }
    w.key("text").object(|w| {
        match format {
            Some(Format::JsonObject) => w.key("format").object(|w| w.key("type").text("json_object")),
            Some(Format::Schema { name, description, schema, strict }) => w.key("format").object(|w| {
                w.key("type").text("json_schema");
                w.key("name").escaped(name.as_ref().unwrap_or(&Escaped::plain("answer")));
                if let Some(description) = description {
                    w.key("description").escaped(description);
                }
                w.key("schema").json(schema);
                if let Some(strict) = strict {
                    w.key("strict").bool(*strict);
                }
            }),
            None => {}
        }
        if let Some(verbosity) = verbosity {
            w.key("verbosity").escaped(verbosity);
        }
    });
}

fn cache(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let cache = &request.cache;
    if let Some(key) = &cache.key {
        if target.quirks.prompt_cache_key {
            w.key("prompt_cache_key").escaped(&fit(key, LONGEST_NAME, true));
        } else {
            losses.add("prompt_cache_key", Weight::Hint, UNKNOWN);
        }
    }
    if cache.long {
        if target.quirks.prompt_cache_key {
            w.key("prompt_cache_retention").text("24h");
        } else {
            losses.add("prompt_cache_retention", Weight::Hint, UNKNOWN);
        }
    }
    // The usual time is what happens unasked.
    if cache.auto == Some(CacheMark::Long) {
        losses.add("cache_control.ttl", Weight::Hint, UNKNOWN);
    }
}

fn hints(request: &Request<'_>, target: &Target<'_>, w: &mut Writer<'_>, losses: &mut Losses) {
    let takes = target.quirks.hints;
    if let Some(user) = &request.user {
        if takes {
            w.key("safety_identifier").escaped(&fit(user, LONGEST_NAME, true));
        } else {
            let name = match request.origin {
                Dialect::Anthropic => "metadata.user_id",
                Dialect::OpenAiChat => "user",
                Dialect::OpenAiResponses => "safety_identifier",
            };
            losses.add(name, Weight::Hint, UNKNOWN);
        }
    }
    let Some(tier) = &request.tier else { return };
    match (request.origin, tier.raw()) {
        (_, "auto") => {}
        (Dialect::OpenAiChat | Dialect::OpenAiResponses, _) if takes => w.key("service_tier").escaped(tier),
        (Dialect::Anthropic, "standard_only") if takes => w.key("service_tier").text("default"),
        (Dialect::Anthropic | Dialect::OpenAiChat | Dialect::OpenAiResponses, _) => {
            losses.add("service_tier", Weight::Hint, UNKNOWN);
        }
    }
}
