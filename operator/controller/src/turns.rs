//! Who may work now. Passes take turns, so that memory and the queues of the APIs stay flat among thousands of clusters. While
//! a pass waits for the answers of a cluster's processes, others have its turn; and clusters that do not answer wait among
//! themselves, so that many of them delay nobody who does.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// Passes at work at once.
const PASSES: usize = 16;
/// Clusters that are asked at once, of those that answer.
const PROMPT: usize = 64;
/// Clusters that are asked at once, of those that did not answer in time at the last time.
const SLOW: usize = 32;
/// Clusters at rest whose external services are asked again at once.
const AGAIN: usize = 32;
/// In which time a cluster answers. A time-out of a question is several times this.
const IN_TIME: Duration = Duration::from_secs(1);

/// The places for all.
#[derive(Clone)]
pub struct Turns {
    passes: Arc<Semaphore>,
    prompt: Arc<Semaphore>,
    slow: Arc<Semaphore>,
    again: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            passes: places(PASSES),
            prompt: places(PROMPT),
            slow: places(SLOW),
            again: places(AGAIN),
        }
    }
}

impl Turns {
    /// Waits for a turn of one pass.
    pub async fn pass(&self) -> Turn {
        Turn {
            turns: self.clone(),
            place: place(&self.passes).await,
        }
    }
}

impl Turns {
    /// Asks again on behalf of a cluster at rest, in nobody's way.
    pub(crate) async fn again<T>(&self, questions: impl Future<Output = T>) -> T {
        let _place = place(&self.again).await;
        questions.await
    }
}

/// The turn of one pass.
pub struct Turn {
    turns: Turns,
    place: Option<OwnedSemaphorePermit>,
}

impl Turn {
    /// Waits for what concerns others while these have the turn.
    pub(crate) async fn leave<T>(&mut self, wait: impl Future<Output = T>) -> T {
        self.place = None;
        let result = wait.await;
        self.place = place(&self.turns.passes).await;
        result
    }

    /// Waits for answers of a cluster while others have the turn. `slow` is whether it did not answer in time at the last
    /// time, and is set anew.
    pub(crate) async fn ask<T>(
        &mut self,
        slow: &mut bool,
        questions: impl Future<Output = T>,
    ) -> T {
        self.place = None;
        let lane = if *slow {
            &self.turns.slow
        } else {
            &self.turns.prompt
        };
        let asking = place(lane).await;
        let began = Instant::now();
        let mut questions = pin!(questions);
        let answers = match tokio::time::timeout(IN_TIME, &mut questions).await {
            Ok(answers) => answers,
            Err(_) => {
                // Those who answer have its place from now on; its questions come to their end beside them.
                let _waits = slow.then_some(asking);
                questions.await
            }
        };
        *slow = began.elapsed() >= IN_TIME;
        self.place = place(&self.turns.passes).await;
        answers
    }
}

async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // They are never closed.
    places.clone().acquire_owned().await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn pass(turns: Turns, slow: &mut bool, answers_after: Duration) -> Duration {
        let began = Instant::now();
        let mut turn = turns.pass().await;
        // The time runs from the question on, not from the wait for one's turn.
        turn.ask(slow, async { tokio::time::sleep(answers_after).await })
            .await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_for_others_hold_no_turn() {
        let turns = Turns::default();
        for _ in 0..2 * PASSES {
            let turns = turns.clone();
            tokio::spawn(async move {
                let mut turn = turns.pass().await;
                turn.leave(tokio::time::sleep(Duration::from_secs(60)))
                    .await;
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let time = pass(turns, &mut false, Duration::from_millis(5)).await;
        assert!(time <= Duration::from_millis(10), "{time:?}");
    }

    /// One that answers at once, among two hundred that do not answer at all: each of those is asked until its time-out.
    #[tokio::test(start_paused = true)]
    async fn those_who_do_not_answer_delay_nobody_who_does() {
        let turns = Turns::default();
        for _ in 0..200 {
            let turns = turns.clone();
            tokio::spawn(async move {
                let mut slow = false;
                loop {
                    pass(turns.clone(), &mut slow, Duration::from_secs(4)).await;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut slow = false;
        let first = pass(turns.clone(), &mut slow, Duration::from_millis(5)).await;
        assert!(first <= Duration::from_secs(4), "{first:?}");
        // Once they are known they are in nobody's way.
        tokio::time::sleep(Duration::from_secs(30)).await;
        for _ in 0..20 {
            let time = pass(turns.clone(), &mut slow, Duration::from_millis(5)).await;
            assert!(time <= Duration::from_millis(10), "{time:?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        assert!(!slow);
    }
}
