//! Everything that is neither conversation nor tools.

use super::{super::models::Model, Job, Words};
use crate::dialect::neutral::{Escaped, Format, Json, Weight, Writer};

const MAX_OUTPUT: Words =
    Words { anthropic: "max_tokens", chat: "max_completion_tokens", responses: "max_output_tokens" };
const FORMAT: Words =
    Words { anthropic: "output_config.format", chat: "response_format", responses: "text.format" };
const USER: Words = Words { anthropic: "metadata.user_id", chat: "user", responses: "user" };
const VERBOSITY: Words = Words { anthropic: "verbosity", chat: "verbosity", responses: "text.verbosity" };
const PARALLEL: Words = Words {
    anthropic: "tool_choice.disable_parallel_tool_use",
    chat: "parallel_tool_calls",
    responses: "parallel_tool_calls",
};
const LOGPROBS: Words = Words { anthropic: "logprobs", chat: "logprobs", responses: "top_logprobs" };
const UNKNOWN: &str = "has no counterpart there";

/// Members of `additionalModelRequestFields` with their JSON.
type Extras = Vec<(&'static str, String)>;

impl Job<'_, '_> {
    pub(super) fn settings(&mut self, w: &mut Writer<'_>) {
        self.lose_unknown();
        let mut extras = Extras::new();
        self.inference(w, &mut extras);
        let thought = self.thought();
        extras.extend(thought.field);
        if self.is_serial() {
            extras.push(("tool_choice", self.serial_choice()));
        } else if self.request.parallel_tools == Some(false) && !self.request.tools.is_empty() {
            self.lost(PARALLEL, Weight::Meaning, "cannot be asked of this model");
        }
        self.output(w, thought.effort);
        if !extras.is_empty() {
            w.key("additionalModelRequestFields").object(|w| {
                for (name, json) in &extras {
                    w.key(name).json(&Json::written(json));
                }
            });
        }
        if self.model.is_claude() && !self.request.sampling.stop.is_empty() {
            // Which one it ran into. A host fills the one or the other, and ignores what it has not.
            w.key("additionalModelResponseFieldPaths")
                .json(&Json::written(r#"["/stop_sequence","/delta/stop_sequence"]"#));
        }
        self.tier(w);
        self.user(w);
    }

    fn inference(&mut self, w: &mut Writer<'_>, extras: &mut Extras) {
        let sampling = &self.request.sampling;
        let max = self.request.max_output.filter(|max| *max > 0);
        if self.request.max_output == Some(0) {
            self.lost(MAX_OUTPUT, Weight::Meaning, "must be at least 1 there");
        }
        let temperature = sampling.temperature.as_ref().filter(|value| self.is_share("temperature", value));
        let top_p = sampling.top_p.as_ref().filter(|value| self.is_share("top_p", value));
        if let Some(top_k) = &sampling.top_k {
            match self.model {
                Model::Claude(..) | Model::Mistral if self.model.takes_sampling() => {
                    extras.push(("top_k", top_k.as_str().to_owned()));
                }
                Model::Nova(_) => {
                    extras.push(("inferenceConfig", format!(r#"{{"topK":{}}}"#, top_k.as_str())));
                }
                Model::Cohere => extras.push(("k", top_k.as_str().to_owned())),
                Model::Claude(..) | Model::Mistral | Model::Gpt | Model::Other => {
                    self.lost(Words::same("top_k"), Weight::Meaning, "cannot be asked of this model");
                }
            }
        }
        let stop: Vec<&Escaped<'_>> = sampling.stop.iter().filter(|text| !text.is_empty()).collect();
        if max.is_none() && temperature.is_none() && top_p.is_none() && stop.is_empty() {
            return;
        }
        w.key("inferenceConfig").object(|w| {
            if let Some(max) = max {
                w.key("maxTokens").number(max);
            }
            if let Some(temperature) = temperature {
                w.key("temperature").json(temperature);
            }
            if let Some(top_p) = top_p {
                w.key("topP").json(top_p);
            }
            if !stop.is_empty() {
                w.key("stopSequences").array(|w| stop.iter().for_each(|text| w.escaped(text)));
            }
        });
    }

    /// Whether the model takes this figure, which must be between 0 and 1. 1 is what it would be anyway.
    fn is_share(&mut self, name: &'static str, value: &Json<'_>) -> bool {
        let number = value.as_str().parse::<f64>().unwrap_or(f64::NAN);
        if !self.model.takes_sampling() {
            if (number - 1.0).abs() > f64::EPSILON {
                self.lost(Words::same(name), Weight::Meaning, "cannot be asked of this model");
            }
            return false;
        }
        let is_share = (0.0..=1.0).contains(&number);
        if !is_share {
            self.lost(Words::same(name), Weight::Meaning, "must be between 0 and 1 there");
        }
        is_share
    }

    fn output(&mut self, w: &mut Writer<'_>, effort: Option<&'static str>) {
        let schema = match &self.request.format {
            Some(Format::Schema { name, description, schema, .. }) => Some((name, description, schema)),
            Some(Format::JsonObject) => {
                self.lost(FORMAT, Weight::Meaning, "must be a schema there");
                None
            }
            None => None,
        };
        if schema.is_none() && effort.is_none() {
            return;
        }
        w.key("outputConfig").object(|w| {
            if let Some((name, description, schema)) = schema {
                w.key("textFormat").object(|w| {
                    w.key("type").escaped(&Escaped::plain("json_schema"));
                    w.key("structure").object(|w| {
                        w.key("jsonSchema").object(|w| {
                            w.key("schema").escaped(&schema.spelled());
                            if let Some(name) = name {
                                w.key("name").escaped(name);
                            }
                            if let Some(description) = description {
                                w.key("description").escaped(description);
                            }
                        });
                    });
                });
            }
            if let Some(effort) = effort {
                w.key("effort").escaped(&Escaped::plain(effort));
            }
        });
    }

    /// What Converse has no member for, whichever the model.
    fn lose_unknown(&mut self) {
        let sampling = &self.request.sampling;
        let is_set = |value: &Option<Json<'_>>| {
            value.as_ref().is_some_and(|value| value.as_str().parse::<f64>() != Ok(0.0))
        };
        let gone = [
            (is_set(&sampling.frequency_penalty), Words::same("frequency_penalty"), Weight::Meaning),
            (is_set(&sampling.presence_penalty), Words::same("presence_penalty"), Weight::Meaning),
            (sampling.logit_bias.is_some(), Words::same("logit_bias"), Weight::Meaning),
            (sampling.logprobs.is_some(), LOGPROBS, Weight::Meaning),
            (sampling.choices.is_some_and(|n| n != 1), Words::same("n"), Weight::Meaning),
            (sampling.seed.is_some(), Words::same("seed"), Weight::Hint),
            (self.request.verbosity.is_some(), VERBOSITY, Weight::Hint),
        ];
        for (_, words, weight) in gone.into_iter().filter(|(is_gone, ..)| *is_gone) {
            self.lost(words, weight, UNKNOWN);
        }
    }

    fn tier(&mut self, w: &mut Writer<'_>) {
        let Some(tier) = &self.request.tier else { return };
        let tier = match tier.raw() {
            "auto" => return,
            "default" | "standard_only" => "default",
            "priority" => "priority",
            "flex" => "flex",
            _ => {
                self.lost(Words::same("service_tier"), Weight::Hint, UNKNOWN);
                return;
            }
        };
        w.key("serviceTier").object(|w| w.key("type").escaped(&Escaped::plain(tier)));
    }

    /// Only words of its own alphabet are taken; Claude Code's, which is JSON, is not.
    fn user(&mut self, w: &mut Writer<'_>) {
        /// `RequestMetadataValueString` of botocore.
        const LONGEST: usize = 256;
        let Some(user) = &self.request.user else { return };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte);
        if user.raw().len() <= LONGEST && user.raw().bytes().all(fits) {
            w.key("requestMetadata").object(|w| w.key("user_id").escaped(user));
        } else {
            self.lost(USER, Weight::Hint, "does not fit the rules for metadata there");
        }
    }
}
