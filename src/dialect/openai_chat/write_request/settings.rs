//! Everything beside messages and tools.

use super::{Lost, Member};
use crate::{
    dialect::{
        neutral::{CacheMark, Effort, Escaped, Format, Json, Reasoning, Request, Weight, Writer, fit},
        translate::{MaxTokensName, ReasoningField, Target},
    },
    types::Dialect,
};

/// `OpenAI` takes no longer `user`. Source: its 400 for the JSON that Claude Code sends.
const LONGEST_USER: usize = 64;
/// `OpenAI` takes no more stop sequences. Source: openai 3.54.0, `completion_create_params.py`.
const MOST_STOPS: usize = 4;
const UNKNOWN: &str = "is not understood there";

pub(super) fn write(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let quirks = target.quirks;
    if request.stream {
        w.key("stream").bool(true);
        if quirks.usage_option {
            w.key("stream_options").object(|w| w.key("include_usage").bool(true));
        }
    }
    if let Some(most) = request.max_output {
        w.key(match quirks.max_tokens {
            MaxTokensName::MaxCompletionTokens => "max_completion_tokens",
            MaxTokensName::MaxTokens => "max_tokens",
        })
        .number(most);
    }
    if let Some(wanted) = &request.reasoning {
        reasoning(w, wanted, target, lost);
    }
    if let Some(form) = &request.format {
        format(w, form, target, lost);
    }
    sampling(w, request, target, lost);
    cache(w, request, target, lost);
    hints(w, request, target, lost);
}

fn reasoning(w: &mut Writer<'_>, wanted: &Reasoning<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let Reasoning { effort, summary } = wanted;
    match target.quirks.reasoning {
        ReasoningField::Effort => w.key("reasoning_effort").text(effort.level()),
        ReasoningField::Object => w.key("reasoning").object(|w| match effort {
            Effort::Off => w.key("enabled").bool(false),
            Effort::Adaptive(None) => w.key("enabled").bool(true),
            Effort::Budget(tokens) => w.key("max_tokens").number(*tokens),
            Effort::Adaptive(Some(level)) | Effort::Level(level) => w.key("effort").escaped(level),
        }),
        ReasoningField::Switch => {
            let kind = match effort {
                Effort::Off => "disabled",
                Effort::Adaptive(_) | Effort::Level(_) | Effort::Budget(_) => "enabled",
            };
            w.key("thinking").object(|w| w.key("type").text(kind));
            match effort {
                Effort::Off | Effort::Adaptive(None) => {}
                Effort::Adaptive(Some(_)) | Effort::Level(_) | Effort::Budget(_) => {
                    lost.hint(Member::Effort, "can only be on or off there");
                }
            }
        }
        ReasoningField::None => {
            if *effort != Effort::Off {
                lost.hint(Member::Effort, UNKNOWN);
            }
        }
    }
    if summary.is_some() {
        lost.hint(Member::Summary, "is the host's own choice there");
    }
}

fn format(w: &mut Writer<'_>, form: &Format<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    match form {
        Format::Schema { name, description, schema, strict } if target.quirks.json_schema => {
            w.key("response_format").object(|w| {
                w.key("type").text("json_schema");
                w.key("json_schema").object(|w| {
                    let unnamed = Escaped::plain("response");
                    w.key("name").escaped(name.as_ref().unwrap_or(&unnamed));
                    if let Some(description) = description {
                        w.key("description").escaped(description);
                    }
                    w.key("schema").json(schema);
                    if let Some(strict) = strict {
                        w.key("strict").bool(*strict);
                    }
                });
            });
        }
        Format::JsonObject | Format::Schema { .. } => {
            w.key("response_format").object(|w| w.key("type").text("json_object"));
            if matches!(form, Format::Schema { .. }) {
                lost.meaning(Member::Format, "can follow no schema there");
            }
        }
    }
}

fn sampling(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let sampling = &request.sampling;
    let seed = if target.quirks.random_seed { "random_seed" } else { "seed" };
    let members: [(&str, &Option<Json<'_>>); 6] = [
        ("temperature", &sampling.temperature),
        ("top_p", &sampling.top_p),
        ("frequency_penalty", &sampling.frequency_penalty),
        ("presence_penalty", &sampling.presence_penalty),
        ("logit_bias", &sampling.logit_bias),
        (seed, &sampling.seed),
    ];
    for (name, value) in members {
        if let Some(value) = value {
            w.key(name).json(value);
        }
    }
    if sampling.top_k.is_some() {
        lost.losses.add("top_k", Weight::Meaning, UNKNOWN);
    }
    if sampling.choices.is_some_and(|choices| choices > 1) {
        lost.losses.add("n", Weight::Meaning, "must be 1 where the answer is translated");
    }
    if sampling.logprobs.is_some() {
        let name = if lost.origin == Dialect::OpenAiChat { "logprobs" } else { "top_logprobs" };
        lost.losses.add(name, Weight::Meaning, "is not told where the answer is translated");
    }
    let mut stops = sampling.stop.as_slice();
    if target.quirks.hints && stops.len() > MOST_STOPS {
        lost.meaning(Member::Stop, "may hold four at most there");
        stops = stops.get(..MOST_STOPS).unwrap_or_default();
    }
    if !stops.is_empty() {
        w.key("stop").array(|w| stops.iter().for_each(|stop| w.escaped(stop)));
    }
}

fn cache(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let quirks = target.quirks;
    if let Some(key) = &request.cache.key {
        if quirks.prompt_cache_key {
            w.key("prompt_cache_key").escaped(key);
        } else if quirks.affinity.is_none() {
            lost.hint(Member::CacheKey, UNKNOWN);
        }
    }
    if request.cache.long {
        if quirks.hints && quirks.prompt_cache_key {
            w.key("prompt_cache_retention").text("24h");
        } else {
            lost.hint(Member::CacheTime, UNKNOWN);
        }
    }
    match request.cache.auto {
        Some(mark) if quirks.cache_control => write_mark(w, mark),
        Some(_) | None => {}
    }
    // Tools are cached with the system prompt behind them, where the host caches by marks.
    if !quirks.cache_control && request.has_marks() {
        lost.hint(Member::CacheMarks, "is not understood there: the host caches as it sees fit");
    }
}

/// `cache_control`, as Claude's hosts know it.
pub(super) fn write_mark(w: &mut Writer<'_>, mark: CacheMark) {
    w.key("cache_control").object(|w| {
        w.key("type").text("ephemeral");
        match mark {
            CacheMark::Short => {}
            CacheMark::Long => w.key("ttl").text("1h"),
        }
    });
}

/// What hosts but `OpenAI` answer 400 to.
fn hints(w: &mut Writer<'_>, request: &Request<'_>, target: &Target<'_>, lost: &mut Lost<'_>) {
    let understood = target.quirks.hints;
    if let Some(user) = &request.user {
        if !understood {
            lost.hint(Member::User, UNKNOWN);
        } else if user.decode().chars().count() <= LONGEST_USER {
            w.key("user").escaped(user);
        } else {
            w.key("user").escaped(&fit(user, LONGEST_USER, true));
        }
    }
    if let Some(tier) = &request.tier {
        // What Anthropic calls `standard_only` is `default` here; its `auto` is ours, too.
        let tier = match (request.origin, tier.raw()) {
            (Dialect::Anthropic, "standard_only") => "default",
            (_, tier) => tier,
        };
        if understood {
            w.key("service_tier").escaped(&Escaped::plain(tier));
        } else if tier != "auto" {
            lost.losses.add("service_tier", Weight::Hint, UNKNOWN);
        }
    }
    if let Some(verbosity) = &request.verbosity {
        if understood {
            w.key("verbosity").escaped(verbosity);
        } else {
            lost.hint(Member::Verbosity, UNKNOWN);
        }
    }
}
