//! The count of one answer, signal by signal.

use std::time::Duration;

use super::{
    learned::{Lesson, Ratios, float},
    script::Scale,
};
use crate::{
    clock::Moment,
    dialect::{DeltaKind, Signal},
    types::{Operation, ReportedUsage, Usage},
};

/// A tool call costs its name and its frame, in thousandths of tokens.
const CALL: u64 = 8_000;
/// A pause in an answer that is longer than this may be thinking.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows one answer: what was reported, and what has been streamed since.
#[derive(Clone, Debug)]
pub struct Meter {
    operation: Operation,
    ratios: Ratios,
    prompt_bytes: u64,
    started: Moment,
    reported: ReportedUsage,
    /// What has been streamed, by kind: text, thinking, arguments.
    seen: [Scale; 3],
    first_byte: Option<Moment>,
    first_token: Option<Moment>,
    last_token: Option<Moment>,
    /// The last words or arguments: what is not thinking.
    last_content: Option<Moment>,
    silent: Duration,
    ended: Option<Moment>,
    terminal: bool,
    failed: bool,
    /// The last report of output, and our own estimate when it came.
    anchor: Option<(u64, f64)>,
    /// The provider named the output after the last of it had come.
    output_final: bool,
}

/// What a signal was to the caller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    /// The first token of the answer: time to first token ends here.
    pub first: bool,
    /// Since the token before, for every one but the first.
    pub gap: Option<Duration>,
}

/// What an answer used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metered {
    /// Tokens.
    pub usage: Usage,
    /// Some of it is our own estimate.
    pub estimated: bool,
    /// Output as the live count had it, whatever was reported: shows how good the count is.
    pub output_live: u64,
}

impl Meter {
    /// A meter for one attempt, started at `now`. `prompt_bytes` is the length of what is sent to the
    /// model (the last point of the prefix chain), not of the whole body.
    #[must_use]
    pub fn new(operation: Operation, prompt_bytes: u64, ratios: Ratios, now: Moment) -> Self {
        Self {
            operation,
            ratios,
            prompt_bytes,
            started: now,
            reported: ReportedUsage::default(),
            seen: [Scale::default(); 3],
            first_byte: None,
            first_token: None,
            last_token: None,
            last_content: None,
            silent: Duration::ZERO,
            ended: None,
            terminal: false,
            failed: false,
            anchor: None,
            output_final: false,
        }
    }

    /// Takes the next signal of the answer.
    pub fn see(&mut self, signal: &Signal<'_>, now: Moment) -> Seen {
        self.first_byte.get_or_insert(now);
        match signal {
            Signal::Started { .. } | Signal::Model(_) | Signal::Tier(_) | Signal::Lifecycle => {}
            Signal::Delta { kind, raw } => return self.delta(*kind, raw, now),
            Signal::ToolCall { .. } => {
                let [_, _, arguments] = &mut self.seen;
                arguments.add(CALL);
                self.content(now);
            }
            Signal::Usage(usage) => {
                self.reported.overwrite(usage);
                if let Some(output) = usage.output {
                    self.anchor = self.first_token.map(|_| (output, self.streamed(now)));
                    self.output_final = true;
                }
            }
            Signal::Stop(_) => self.end(now),
            Signal::Terminal => {
                self.terminal = true;
                self.end(now);
            }
            Signal::Error(_) => {
                self.failed = true;
                self.end(now);
            }
        }
        Seen::default()
    }

    /// Output tokens so far: a gauge, which a report of the provider's may also correct downwards.
    #[must_use]
    pub fn live_output(&self, now: Moment) -> u64 {
        let streamed = self.streamed(now);
        let live = match self.anchor {
            Some((reported, then)) => float(reported) + (streamed - then).max(0.0),
            None => streamed,
        };
        whole(live).max(self.reported.output.unwrap_or(0))
    }

    /// What we expect the prompt to be: for reservations, before anything is reported.
    #[must_use]
    pub fn input_estimate(&self) -> u64 {
        self.ratios.input_tokens(self.prompt_bytes)
    }

    /// What the provider has said so far.
    #[must_use]
    pub const fn reported(&self) -> &ReportedUsage {
        &self.reported
    }

    /// The time to the first token, from the start of the attempt.
    #[must_use]
    pub fn first_token(&self) -> Option<Duration> {
        self.first_token.map(|at| at.since(self.started))
    }

    /// The model has stopped: a clean end from here on is a complete answer.
    #[must_use]
    pub const fn stopped(&self) -> bool {
        self.ended.is_some() && !self.failed
    }

    /// What the answer used, if it ends at `now`: the provider's figures where they are complete, else
    /// our estimate. Call it for answers that began; a request that was refused used nothing.
    ///
    /// Input that no report names is all counted as plain input, the dearest but for writes.
    #[must_use]
    pub fn settle(&self, now: Moment) -> Metered {
        let output_live = self.live_output(now);
        let mut usage = self.reported.settled();
        if self.operation == Operation::CountTokens {
            // Counting is free, and what it reports was not used.
            return Metered { usage: Usage::default(), estimated: false, output_live: 0 };
        }
        let known_input = self.knows_input();
        if !known_input {
            let cached = usage.total_input().saturating_sub(usage.input);
            usage.input = usage.input.max(self.input_estimate().saturating_sub(cached));
        }
        let known_output = self.knows_output();
        if !known_output {
            usage.output = usage.output.max(output_live);
        }
        usage.reasoning = usage.reasoning.min(usage.output);
        Metered { usage, estimated: !(known_input && known_output), output_live }
    }

    /// What this answer teaches; `None` unless the provider's figures are complete.
    #[must_use]
    pub fn lesson(&self) -> Option<Lesson> {
        if !self.stopped() || !self.knows_output() || !self.knows_input() {
            return None;
        }
        let generates = self.operation.generates();
        Some(Lesson {
            prompt_bytes: self.prompt_bytes,
            input: Some(self.reported.settled().total_input()),
            output: self.reported.output.filter(|_| generates),
            reasoning: self.reported.reasoning,
            seen: self.seen.map(|scale| scale.weight()),
            silent: self.silent.as_secs_f64(),
        })
    }

    /// A report of no input at all is a gap in the report: some gateways start their streams so.
    fn knows_input(&self) -> bool {
        self.reported.input.is_some() && self.reported.settled().total_input() > 0
    }

    /// Output is final when it was named behind the last of it, or in one piece with it: a report from
    /// the start of a stream (Anthropic's says 1 or so) is much less than what followed.
    fn knows_output(&self) -> bool {
        if !self.operation.generates() {
            return self.reported.input.is_some();
        }
        let Some(output) = self.reported.output else { return false };
        let streamed =
            self.seen.iter().enumerate().map(|(kind, s)| self.ratios.output_tokens(kind, s.weight()));
        self.stopped() && (self.output_final || float(output) >= streamed.sum::<f64>() / 2.0)
    }

    fn delta(&mut self, kind: DeltaKind, raw: &[u8], now: Moment) -> Seen {
        if raw.is_empty() {
            return Seen::default();
        }
        let [text, thinking, arguments] = &mut self.seen;
        match kind {
            DeltaKind::Text => text.push(raw),
            DeltaKind::Thinking => thinking.push(raw),
            DeltaKind::ToolArguments => arguments.push(raw),
        }
        if kind != DeltaKind::Thinking {
            self.content(now);
        }
        self.output_final = false;
        let gap = self.last_token.replace(now).map(|before| now.since(before));
        let first = self.first_token.is_none();
        self.first_token.get_or_insert(now);
        Seen { first, gap }
    }

    /// Words or arguments came: what was silent before them is over.
    fn content(&mut self, now: Moment) {
        self.silent = self.silence(now);
        self.last_content = Some(now);
    }

    fn end(&mut self, now: Moment) {
        if self.ended.is_none() {
            self.silent = self.silence(now);
            self.ended = Some(now);
        }
    }

    /// How long the model has sent neither words nor arguments, pauses of reading aside.
    fn silence(&self, now: Moment) -> Duration {
        if self.ended.is_some() {
            return self.silent;
        }
        let open = match (self.last_content, self.first_byte) {
            (Some(last), _) => Some(now.since(last)).filter(|pause| *pause > PAUSE),
            (None, Some(first)) => Some(now.since(first)),
            (None, None) => None,
        };
        self.silent.saturating_add(open.unwrap_or_default())
    }

    /// Our own estimate of everything that was made until `now`.
    fn streamed(&self, now: Moment) -> f64 {
        let [text, thinking, arguments] = self.seen.map(|scale| scale.weight());
        let thought = self.ratios.silent_tokens(self.silence(now).as_secs_f64());
        self.ratios.output_tokens(0, text)
            + self.ratios.output_tokens(1, thinking).max(thought)
            + self.ratios.output_tokens(2, arguments)
    }
}

/// Rounds an estimate; nonsense is 0, and too much is as much as there is.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates, which is meant")]
pub(super) fn whole(estimate: f64) -> u64 {
    estimate.round() as u64
}
