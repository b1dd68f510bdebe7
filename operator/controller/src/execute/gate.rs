//! What may still be done of a plan: nothing is taken down after an old look, nor by an operator that leads no more. Asks the
//! clock and the fence, and touches nothing else.

use std::time::Duration;

use milvus_core::action::Action;
use tokio::time::Instant;

use crate::seams::Seams;

/// After a look of this age nothing is taken down any more.
const LOOK_AGE: Duration = Duration::from_secs(5);
/// An answer that this operator leads holds for so long.
const CONFIRMED_FOR: Duration = Duration::from_secs(1);

/// Lets the actions of one plan through, in their order.
pub(super) struct Gate {
    /// When the last answer was in that the plan rests on.
    looked: Instant,
    /// When it was last confirmed that this operator leads.
    confirmed: Option<Instant>,
}

/// Whether an action may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    /// It may.
    Open,
    /// What the others are doing may have changed since the look: the next pass looks again.
    OldLook,
    /// Another operator leads, or that cannot be known; the fence's words.
    NotLeading(String),
}

impl Gate {
    pub(super) fn new(looked: Instant) -> Self {
        Self {
            looked,
            confirmed: None,
        }
    }

    /// Whether `action` may be done now.
    pub(super) async fn passage(&mut self, seams: &Seams, action: &Action) -> Passage {
        let now = seams.clock.instant();
        let age = now.saturating_duration_since(self.looked);
        if action.takes_down() && age >= LOOK_AGE {
            return Passage::OldLook;
        }
        let confirmed = self
            .confirmed
            .is_some_and(|at| now.saturating_duration_since(at) < CONFIRMED_FOR);
        if guarded(action)
            && !confirmed
            && let Some(fence) = &seams.fence
        {
            if let Err(why) = fence.confirm().await {
                return Passage::NotLeading(why);
            }
            self.confirmed = Some(seams.clock.instant());
        }
        Passage::Open
    }
}

/// Whether only the operator that leads may do it.
fn guarded(action: &Action) -> bool {
    action.takes_down() || matches!(action, Action::RecordLedger(_) | Action::ForgetLedger)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use jiff::Timestamp;
    use milvus_core::action::CreateCause;
    use milvus_core::outline::ObjectId;

    use super::*;
    use crate::execute::tests::update;
    use crate::seams::{Clock, Fence};

    /// A clock that is put forward, and the answer to who leads.
    struct Surroundings {
        began: Instant,
        passed: Mutex<Duration>,
        leads: Mutex<bool>,
        asked: Mutex<u32>,
    }

    impl Clock for Surroundings {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn instant(&self) -> Instant {
            self.began + *self.passed.lock().expect("the time")
        }
    }

    impl Fence for Surroundings {
        fn confirm(&self) -> BoxFuture<'_, Result<(), String>> {
            *self.asked.lock().expect("the count") += 1;
            let leads = *self.leads.lock().expect("who leads");
            let answer = leads.then_some(()).ok_or("another leads".to_owned());
            std::future::ready(answer).boxed()
        }
    }

    fn surroundings() -> (Arc<Surroundings>, Seams, Gate) {
        let began = Instant::now();
        let all = Arc::new(Surroundings {
            began,
            passed: Mutex::new(Duration::ZERO),
            leads: Mutex::new(true),
            asked: Mutex::new(0),
        });
        let seams = Seams {
            clock: all.clone(),
            fence: Some(all.clone()),
            ..Seams::default()
        };
        (all, seams, Gate::new(began))
    }

    /// One of each kind that takes something down.
    fn harmful() -> Vec<Action> {
        let id = ObjectId::new("service", "proxy");
        vec![
            update("proxy", true),
            Action::Stop {
                id: id.clone(),
                seen: None,
                reason: String::new(),
            },
            Action::Remove {
                id,
                native_id: "s1".to_owned(),
                seen: None,
                cause: milvus_core::action::RemoveCause::Unwanted,
            },
            Action::RemoveVolume {
                node: "n1".to_owned(),
                volume: "v1".to_owned(),
                bind_base: None,
            },
        ]
    }

    /// What takes nothing down and records nothing.
    fn harmless() -> Vec<Action> {
        let create = Action::Create {
            id: ObjectId::new("service", "proxy"),
            cause: CreateCause::New,
        };
        vec![update("proxy", false), create, Action::DropFinalizer]
    }

    #[tokio::test]
    async fn nothing_is_taken_down_after_an_old_look() {
        let (all, seams, mut gate) = surroundings();
        for (passed, expected) in [(4_999, Passage::Open), (5_000, Passage::OldLook)] {
            *all.passed.lock().expect("the time") = Duration::from_millis(passed);
            for action in harmful() {
                assert_eq!(gate.passage(&seams, &action).await, expected, "{action:?}");
            }
            for action in harmless().iter().chain([&Action::ForgetLedger]) {
                assert_eq!(gate.passage(&seams, action).await, Passage::Open);
            }
        }
    }

    #[tokio::test]
    async fn an_operator_that_leads_no_more_takes_nothing_down_and_records_nothing() {
        let (all, seams, mut gate) = surroundings();
        assert_eq!(
            gate.passage(&seams, &update("proxy", true)).await,
            Passage::Open
        );
        *all.leads.lock().expect("who leads") = false;
        // An answer holds for a second, and not for longer.
        *all.passed.lock().expect("the time") = Duration::from_millis(999);
        assert_eq!(
            gate.passage(&seams, &update("proxy", true)).await,
            Passage::Open
        );
        *all.passed.lock().expect("the time") = Duration::from_secs(1);
        let refused = Passage::NotLeading("another leads".to_owned());
        for action in harmful().iter().chain([&Action::ForgetLedger]) {
            assert_eq!(gate.passage(&seams, action).await, refused, "{action:?}");
        }
        let asked = *all.asked.lock().expect("the count");
        for action in harmless() {
            assert_eq!(gate.passage(&seams, &action).await, Passage::Open);
        }
        assert_eq!(*all.asked.lock().expect("the count"), asked);
    }
}
