//! What earlier answers taught about the size of tokens, by model class and by session.
//!
//! A lesson is one answer whose figures the provider gave in full. It is one equation for several
//! unknowns (text, arguments, thinking; ASCII or not), so each ratio is corrected by its share in the
//! estimate. Every ratio stays within sane bounds and every lesson moves it by a bounded factor, so
//! that one odd answer (images, hidden tools, a wrong figure) is forgotten after a few good ones.

use std::num::NonZeroUsize;

use ahash::RandomState;
use lru::LruCache;
use parking_lot::Mutex;

use super::{lengths::Lengths, meter::whole, script::Weight};
use crate::types::SessionKey;

/// Classes and sessions kept; the least recently used goes first.
const CLASSES: usize = 512;
const SESSIONS: usize = 16_384;
/// A figure so small says nothing of a ratio.
const SAY_SOMETHING: f64 = 16.0;
/// One lesson changes a ratio by this factor at most.
const STEP: f64 = 4.0;

/// How bytes become tokens, and how fast a silent model thinks. A snapshot: plain numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Ratios {
    /// Tokens per byte of a prompt.
    input: f64,
    /// Factors on the expected weight of output, by kind (text, thinking, arguments), of ASCII and of
    /// everything else.
    output: [[f64; 2]; 3],
    /// Tokens per second that a reasoning model makes while it sends nothing; 0 for one that shows
    /// its thinking, or has none.
    reasoning: f64,
    /// Lessons so far, as far as it matters.
    lessons: u8,
}

impl Default for Ratios {
    /// A prompt is JSON, tool schemas and code: 3.8 bytes a token.
    fn default() -> Self {
        Self { input: 1.0 / 3.8, output: [[1.0; 2]; 3], reasoning: 0.0, lessons: 0 }
    }
}

/// What one complete answer teaches.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Lesson {
    pub(super) prompt_bytes: u64,
    /// All input tokens, cached or not, as reported.
    pub(super) input: Option<u64>,
    /// All output tokens, as reported.
    pub(super) output: Option<u64>,
    /// The part of them that was reasoning, where reported.
    pub(super) reasoning: Option<u64>,
    /// Expected thousandths of tokens by kind.
    pub(super) seen: [Weight; 3],
    /// Seconds in which no words or arguments came.
    pub(super) silent: f64,
}

impl Ratios {
    /// Tokens of a prompt of so many bytes.
    #[must_use]
    pub fn input_tokens(&self, prompt_bytes: u64) -> u64 {
        whole(float(prompt_bytes) * self.input)
    }

    /// Tokens that output of this weight makes; `kind` as in [`Lesson::seen`].
    pub(super) fn output_tokens(&self, kind: usize, weight: Weight) -> f64 {
        let [ascii, other] = self.output.get(kind).copied().unwrap_or([1.0; 2]);
        (float(weight.ascii) * ascii + float(weight.other) * other) / 1000.0
    }

    /// Tokens that the model thought in so many seconds of silence.
    pub(super) fn silent_tokens(&self, seconds: f64) -> f64 {
        self.reasoning * seconds
    }

    /// These ratios after a lesson; `first` and `later` say how far they follow it.
    fn taught(mut self, lesson: &Lesson, first: f64, later: f64) -> Self {
        let gain = if self.lessons == 0 { first } else { later };
        self.lessons = self.lessons.saturating_add(1);
        if let Some(truth) = lesson.input.map(float).filter(|truth| *truth >= SAY_SOMETHING) {
            let estimate = float(lesson.prompt_bytes) * self.input;
            if estimate >= SAY_SOMETHING {
                let step = stepped(truth / estimate);
                self.input = (self.input * (1.0 + gain * (step - 1.0))).clamp(0.01, 1.5);
            }
        }
        let Some(output) = lesson.output.map(float) else { return self };
        let rest = match lesson.reasoning.map(float) {
            Some(reasoning) => {
                self.taught_reasoning(lesson, reasoning, gain);
                (output - reasoning, [true, false, true])
            }
            None => (output, [true; 3]),
        };
        self.taught_output(lesson, rest.0, rest.1, gain);
        self
    }

    /// Thinking is shown word for word, or in summary, or not at all: the first is counted by its
    /// bytes, the others by time.
    fn taught_reasoning(&mut self, lesson: &Lesson, truth: f64, gain: f64) {
        let [_, thinking, _] = lesson.seen;
        let shown = (float(thinking.ascii) + float(thinking.other)) / 1000.0;
        let verbatim = shown >= SAY_SOMETHING && (0.5..=2.0).contains(&(truth / shown));
        if verbatim {
            self.taught_output(lesson, truth, [false, true, false], gain);
        }
        // Less than half a second of silence (an answer in one piece) says nothing of a speed.
        if lesson.silent >= 0.5 {
            let speed = if verbatim { 0.0 } else { (truth / lesson.silent).clamp(0.0, 1000.0) };
            self.reasoning += gain.min(0.7) * (speed - self.reasoning);
        }
    }

    /// Corrects the factors of the chosen kinds so that they would have made `truth`.
    fn taught_output(&mut self, lesson: &Lesson, truth: f64, kinds: [bool; 3], gain: f64) {
        let mut parts = [[0.0; 2]; 3];
        for (((part, weight), factor), _) in
            parts.iter_mut().zip(lesson.seen).zip(self.output).zip(kinds).filter(|(_, chosen)| *chosen)
        {
            *part = [float(weight.ascii) * factor[0] / 1000.0, float(weight.other) * factor[1] / 1000.0];
        }
        let sum: f64 = parts.iter().flatten().sum();
        if sum < SAY_SOMETHING || truth < SAY_SOMETHING {
            return;
        }
        let off = stepped(truth / sum) - 1.0;
        let squares: f64 = parts.iter().flatten().map(|part| (part / sum).powi(2)).sum();
        // A short answer says less.
        let gain = gain * truth / (truth + 16.0);
        for (factor, part) in self.output.iter_mut().flatten().zip(parts.iter().flatten()) {
            // Thinking in summary is billed at many times its length.
            *factor = (*factor * (1.0 + gain * off * (part / sum) / squares)).clamp(0.25, 12.0);
        }
    }
}

/// Everything learned, bounded, shared by all requests.
#[derive(Debug)]
pub struct Learned {
    classes: Mutex<LruCache<String, Ratios, RandomState>>,
    sessions: Mutex<LruCache<SessionKey, Ratios, RandomState>>,
    lengths: Mutex<LruCache<String, Lengths, RandomState>>,
}

impl Default for Learned {
    fn default() -> Self {
        Self::new()
    }
}

impl Learned {
    /// Nothing learned yet.
    #[must_use]
    pub fn new() -> Self {
        let bound = |entries| NonZeroUsize::new(entries).unwrap_or(NonZeroUsize::MIN);
        Self {
            classes: Mutex::new(LruCache::with_hasher(bound(CLASSES), RandomState::new())),
            sessions: Mutex::new(LruCache::with_hasher(bound(SESSIONS), RandomState::new())),
            lengths: Mutex::new(LruCache::with_hasher(bound(CLASSES), RandomState::new())),
        }
    }

    /// The best ratios known: the session's own, else its model class's, else what holds in general.
    #[must_use]
    pub fn ratios(&self, class: &str, session: Option<SessionKey>) -> Ratios {
        session
            .and_then(|session| self.sessions.lock().get(&session).copied())
            .or_else(|| self.classes.lock().get(class).copied())
            .unwrap_or_default()
    }

    /// The output tokens that ninety-nine of a hundred answers of a model class do not exceed.
    #[must_use]
    pub fn likely_output(&self, class: &str) -> u64 {
        self.lengths.lock().get(class).map_or_else(|| Lengths::default().likely(), Lengths::likely)
    }

    /// Takes a lesson: a session follows its own answers closely, a class slowly.
    pub fn learn(&self, class: &str, session: Option<SessionKey>, lesson: &Lesson) {
        if let Some(output) = lesson.output {
            let mut lengths = self.lengths.lock();
            if let Some(known) = lengths.get_mut(class) {
                known.add(output);
            } else {
                let mut first = Lengths::default();
                first.add(output);
                lengths.put(class.to_owned(), first);
            }
        }
        let before = {
            let mut classes = self.classes.lock();
            let before = classes.get(class).copied().unwrap_or_default();
            let after = before.taught(lesson, 0.5, 0.1);
            if let Some(known) = classes.get_mut(class) {
                *known = after;
            } else {
                classes.put(class.to_owned(), after);
            }
            before
        };
        if let Some(session) = session {
            let mut sessions = self.sessions.lock();
            let start = Ratios { lessons: 0, ..before };
            let known = sessions.get(&session).copied().unwrap_or(start);
            sessions.put(session, known.taught(lesson, 1.0, 0.6));
        }
    }
}

fn stepped(factor: f64) -> f64 {
    factor.clamp(1.0 / STEP, STEP)
}

#[expect(clippy::cast_precision_loss, reason = "an estimate; exact up to nine thousand million million")]
pub(super) const fn float(number: u64) -> f64 {
    number as f64
}
