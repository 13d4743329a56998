//! Answers for people that took long to find (the ledger was read, a hundred thousand sessions were
//! sorted): twenty who look at the same thing ask once.
//!
//! Bounds: so many questions remembered, and so many worked on at a time.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use crate::clock::Moment;

/// Questions remembered.
const QUESTIONS: usize = 64;

/// Questions worked on at a time; the others wait their turn. Each holds a thread, and a reader of the
/// ledger keeps its file from being folded.
const AT_ONCE: usize = 2;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(2);

/// One question; whoever asks it meanwhile waits for the same answer.
struct Question {
    text: String,
    since: Moment,
    answer: Arc<OnceCell<Arc<Vec<u8>>>>,
}

/// The last questions, and their answers.
pub struct Asked {
    questions: Mutex<Vec<Question>>,
    turns: Semaphore,
}

impl Default for Asked {
    fn default() -> Self {
        Self { questions: Mutex::default(), turns: Semaphore::new(AT_ONCE) }
    }
}

impl Asked {
    /// The answer to `question`: one that was found within two seconds before `now`, or what `find` finds. An error
    /// is not kept.
    ///
    /// # Errors
    /// What `find` says.
    pub async fn once<E>(
        &self,
        question: &str,
        now: Moment,
        find: impl Future<Output = Result<Vec<u8>, E>>,
    ) -> Result<Arc<Vec<u8>>, E> {
        let answer = self.place(question, now);
        let found = answer.get_or_try_init(async || {
            // Never closed.
            let _turn = self.turns.acquire().await;
            find.await.map(Arc::new)
        });
        found.await.map(Arc::clone)
    }

    fn place(&self, question: &str, now: Moment) -> Arc<OnceCell<Arc<Vec<u8>>>> {
        let mut questions = self.questions.lock();
        // Also those that are worked on: whoever waits for one holds it.
        let is_asked = |known: &Question| !known.answer.initialized() && Arc::strong_count(&known.answer) > 1;
        questions.retain(|known| now.since(known.since) < FRESH || is_asked(known));
        if let Some(known) = questions.iter().find(|known| known.text == question) {
            return Arc::clone(&known.answer);
        }
        if questions.len() >= QUESTIONS {
            questions.remove(0);
        }
        let answer = Arc::default();
        questions.push(Question { text: question.to_owned(), since: now, answer: Arc::clone(&answer) });
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_are_told_the_same() {
        let asked = Asked::default();
        let count = std::sync::atomic::AtomicU32::new(0);
        let ask = async |question: &str, at: u64| {
            let find = async {
                tokio::task::yield_now().await;
                let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, Infallible>(format!("{question} {n}").into_bytes())
            };
            let answer = asked.once(question, Moment::from_millis(at), find).await.unwrap();
            String::from_utf8(answer.to_vec()).unwrap()
        };
        let (one, other, third) = tokio::join!(ask("a", 1_000), ask("a", 1_001), ask("b", 1_002));
        assert_eq!(one, other);
        assert!(third.starts_with('b'), "{third}");
        assert_eq!(ask("a", 2_999).await, one);
        assert_eq!(ask("a", 3_001).await, "a 2", "it has grown old, and was found once before");
        for n in 0..1_000 {
            ask(&format!("q{n}"), 3_002).await;
        }
        assert_eq!(asked.questions.lock().len(), QUESTIONS);
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_kept() {
        let asked = Asked::default();
        let now = Moment::from_millis(1);
        assert_eq!(asked.once("a", now, async { Err("no") }).await, Err("no"));
        let answer = asked.once("a", now, async { Ok::<_, ()>(vec![1]) }).await;
        assert_eq!(answer, Ok(Arc::new(vec![1])));
    }
}
