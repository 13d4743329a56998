//! Answers for people that took long to find (the ledger was read, a hundred thousand sessions were
//! sorted): twenty who look at the same thing ask once.
//!
//! Bounds: so many questions remembered, and so many threads at work at a time.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};

use crate::clock::Moment;

/// Questions remembered.
const QUESTIONS: usize = 64;

/// Threads at work at a time, for each of [`Work`]; others wait their turn.
const AT_ONCE: usize = 2;

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(2);

/// One question; whoever asks it meanwhile waits for the same answer.
struct Question {
    text: String,
    since: Moment,
    answer: Arc<OnceCell<Arc<Vec<u8>>>>,
}

/// What a thread is at: who waits for the disk keeps nobody from looking at memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Work {
    /// The ledger's file.
    Disk,
    /// Sessions, keys.
    Memory,
}

/// The last questions, and their answers.
pub struct Asked {
    questions: Mutex<Vec<Question>>,
    disk: Semaphore,
    memory: Semaphore,
}

impl Default for Asked {
    fn default() -> Self {
        let turns = || Semaphore::new(AT_ONCE);
        Self { questions: Mutex::default(), disk: turns(), memory: turns() }
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
        answer.get_or_try_init(async || find.await.map(Arc::new)).await.map(Arc::clone)
    }

    /// A turn of a thread: to be held while it works. `None` never comes, as turns are never closed.
    pub async fn turn(&self, work: Work) -> Option<SemaphorePermit<'_>> {
        let turns = match work {
            Work::Disk => &self.disk,
            Work::Memory => &self.memory,
        };
        turns.acquire().await.ok()
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
    async fn two_work_at_a_time_at_each_kind() {
        let asked = Asked::default();
        let held = [asked.turn(Work::Disk).await, asked.turn(Work::Disk).await];
        assert!(held.iter().all(Option::is_some));
        assert!(asked.turn(Work::Memory).await.is_some(), "the disk keeps nobody from memory");
        let mut third = std::pin::pin!(asked.turn(Work::Disk));
        assert!(poll_once(third.as_mut()).is_pending());
        drop(held);
        assert!(third.await.is_some());
    }

    fn poll_once<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> std::task::Poll<T> {
        future.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
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
