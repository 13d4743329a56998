//! Members that say how to answer.

use super::{MAX_TOKENS, Name, Scribe, reasoning::Plan, turns::Turn};
use crate::{
    dialect::neutral::{Format, Json, Weight, Writer},
    types::Dialect,
};

/// What Bedrock has in place of the header `anthropic-version`.
const BEDROCK_VERSION: &str = "bedrock-2023-05-31";
/// `metadata.user_id` may be this long.
const LONGEST_USER: usize = 256;

impl Scribe<'_, '_> {
    /// Writes everything that stands before the prompt.
    pub(super) fn settings(&mut self, w: &mut Writer<'_>, turns: &[Turn<'_>]) {
        let request = self.request;
        if self.is_bedrock() {
            w.key("anthropic_version").text(BEDROCK_VERSION);
        } else {
            w.key("model").text(self.target.model);
        }
        w.key("max_tokens").number(request.max_output.unwrap_or(MAX_TOKENS));
        if request.stream && !self.is_bedrock() {
            w.key("stream").bool(true);
        }
        self.user(w);
        self.tier(w);
        self.stop_sequences(w);
        let plan = self.plan(turns);
        self.sampling(w, plan);
        if let Some(thinking) = plan.thinking {
            self.thinking(w, thinking);
        }
        self.output_config(w, plan);
        self.unknown();
    }

    fn user(&mut self, w: &mut Writer<'_>) {
        let Some(user) = &self.request.user else { return };
        if self.is_bedrock() {
            self.lose(Name::User, Weight::Hint, "is unknown to Bedrock");
        } else if user.raw().len() > LONGEST_USER {
            self.lose(Name::User, Weight::Hint, "is longer than Anthropic takes");
        } else {
            w.key("metadata").object(|w| w.key("user_id").escaped(user));
        }
    }

    /// Anthropic knows `auto`, which is what it does where nothing is said, and `standard_only`.
    fn tier(&mut self, w: &mut Writer<'_>) {
        let Some(tier) = &self.request.tier else { return };
        match tier.raw() {
            "auto" => {}
            "standard_only" | "default" if !self.is_bedrock() => {
                w.key("service_tier").text("standard_only");
            }
            _ => self.lose(Name::Same("service_tier"), Weight::Hint, "is unknown there"),
        }
    }

    fn stop_sequences(&mut self, w: &mut Writer<'_>) {
        let stop = &self.request.sampling.stop;
        let (blank, said): (Vec<_>, Vec<_>) =
            stop.iter().partition(|sequence| sequence.decode().trim().is_empty());
        if !blank.is_empty() {
            self.lose(Name::Stop, Weight::Meaning, "must hold more than white space");
        }
        if !said.is_empty() {
            w.key("stop_sequences").array(|w| said.iter().for_each(|sequence| w.escaped(sequence)));
        }
    }

    fn sampling(&mut self, w: &mut Writer<'_>, plan: Plan) {
        let sampling = &self.request.sampling;
        for (name, value) in
            [("temperature", &sampling.temperature), ("top_p", &sampling.top_p), ("top_k", &sampling.top_k)]
        {
            let Some(value) = value else { continue };
            if self.is_native() {
                // The client knows what its model takes.
                w.key(name).json(value);
            } else if name != "top_k" && is(value, |figure| figure == 1.0) {
                // As if nothing were said.
            } else if !self.age.takes_sampling() {
                self.lose(Name::Same(name), Weight::Meaning, "is not taken by this model");
            } else if plan.thinks() {
                self.lose(Name::Same(name), Weight::Meaning, "cannot be had together with thinking");
            } else if name == "temperature" && is(value, |figure| figure > 1.0) {
                self.lose(Name::Same(name), Weight::Meaning, "must not be above 1");
            } else {
                w.key(name).json(value);
            }
        }
    }

    fn output_config(&mut self, w: &mut Writer<'_>, plan: Plan) {
        let schema = match &self.request.format {
            Some(Format::Schema { schema, description, .. }) => {
                if description.is_some() {
                    let name = match self.request.origin {
                        Dialect::Anthropic | Dialect::OpenAiChat => "response_format.json_schema.description",
                        Dialect::OpenAiResponses => "text.format.description",
                    };
                    self.lose(Name::Same(name), Weight::Hint, "has no place beside the schema");
                }
                Some(schema)
            }
            Some(Format::JsonObject) => {
                self.lose(Name::Format, Weight::Meaning, "must be a JSON schema: Claude has no JSON mode");
                None
            }
            None => None,
        };
        if plan.effort.is_none() && schema.is_none() {
            return;
        }
        w.key("output_config").object(|w| {
            if let Some(effort) = plan.effort {
                w.key("effort").text(effort);
            }
            if let Some(schema) = schema {
                w.key("format").object(|w| {
                    w.key("type").text("json_schema");
                    w.key("schema").json(schema);
                });
            }
        });
    }

    /// What Anthropic has no words for.
    fn unknown(&mut self) {
        let sampling = &self.request.sampling;
        let not_zero =
            |value: &Option<Json<'_>>| value.as_ref().is_some_and(|value| !is(value, |f| f == 0.0));
        let has_bias = sampling.logit_bias.as_ref().is_some_and(|bias| bias.as_str().trim_ascii() != "{}");
        let lost = [
            (not_zero(&sampling.frequency_penalty), Name::Same("frequency_penalty"), Weight::Meaning),
            (not_zero(&sampling.presence_penalty), Name::Same("presence_penalty"), Weight::Meaning),
            (sampling.choices.is_some_and(|choices| choices != 1), Name::Same("n"), Weight::Meaning),
            (sampling.logprobs.is_some(), Name::LogProbs, Weight::Meaning),
            (has_bias, Name::Same("logit_bias"), Weight::Meaning),
            // A wish at best even where it is known.
            (sampling.seed.is_some(), Name::Same("seed"), Weight::Hint),
            (self.request.verbosity.is_some(), Name::Verbosity, Weight::Hint),
        ];
        for (_, name, weight) in lost.into_iter().filter(|(is_said, ..)| *is_said) {
            self.lose(name, weight, "is unknown to Anthropic");
        }
    }
}

/// Whether a number as it was written is such a one.
fn is(value: &Json<'_>, such: impl FnOnce(f64) -> bool) -> bool {
    value.as_str().trim_ascii().parse().is_ok_and(such)
}
