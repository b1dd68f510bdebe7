//! Services that somebody else runs. Many clusters share one, so a good answer to one of them is an answer to all who come the
//! same way; and nobody tells when such a service stops answering, so it is asked again while everything else rests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use milvus_core::names::ClusterKey;
use milvus_core::probe::{ProbeId, ProbeResult};
use milvus_platform::Dial;

use crate::ask::Question;
use crate::pass::{Asked, ask_one};

/// Answers that are older are forgotten: nobody asks for them any more.
const FORGET: Duration = Duration::from_secs(60);

/// Whose way an answer came: that of one cluster, or the one that all share.
pub type Via = Option<ClusterKey>;

/// Good answers of services that somebody else runs, for all clusters.
#[derive(Debug, Default)]
pub struct ExternalAnswers(Mutex<BTreeMap<(Via, String, u16), Vec<Answer>>>);

#[derive(Debug)]
struct Answer {
    question: Question,
    result: ProbeResult,
    at: Instant,
}

impl ExternalAnswers {
    /// The answer to this question, if there is one that is younger than `fresh`.
    pub(crate) fn recall(
        &self,
        via: &Via,
        asked: &Asked,
        fresh: Duration,
        now: Instant,
    ) -> Option<ProbeResult> {
        let key = (via.clone(), asked.host.clone(), asked.port);
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answers = all.get(&key)?.iter();
        let answer = answers.find(|a| a.question == asked.question)?;
        (now.saturating_duration_since(answer.at) < fresh).then(|| answer.result.clone())
    }

    /// Keeps a good answer.
    pub(crate) fn learn(&self, via: &Via, asked: &Asked, result: &ProbeResult, now: Instant) {
        if result.outcome.is_err() {
            return;
        }
        let key = (via.clone(), asked.host.clone(), asked.port);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, answers| {
            answers.retain(|a| now.saturating_duration_since(a.at) < FORGET);
            !answers.is_empty()
        });
        let answers = all.entry(key).or_default();
        answers.retain(|a| a.question != asked.question);
        answers.push(Answer {
            question: asked.question.clone(),
            result: result.clone(),
            at: now,
        });
    }
}

/// The external services of one cluster as a pass found them.
#[derive(Clone)]
pub struct Watched {
    dial: Arc<dyn Dial>,
    via: Via,
    /// What they were asked, and whether the answer was good.
    asked: Vec<(Asked, bool)>,
}

impl Watched {
    /// What a pass asked over `dial`, and what came of it; `None` where nothing of the cluster is external.
    pub(crate) fn of(
        dial: Arc<dyn Dial>,
        via: Via,
        asked: Vec<Asked>,
        answers: &BTreeMap<ProbeId, ProbeResult>,
    ) -> Option<Self> {
        let good = |id: &ProbeId| answers.get(id).is_some_and(|result| result.outcome.is_ok());
        let asked: Vec<(Asked, bool)> = asked
            .into_iter()
            .map(|asked| {
                let good = good(&asked.id);
                (asked, good)
            })
            .collect();
        (!asked.is_empty()).then_some(Self { dial, via, asked })
    }

    /// Asks again; true when one of them answers otherwise than the pass found. A good answer to another cluster counts when it is
    /// younger than `fresh`.
    pub async fn changed(&self, answers: &ExternalAnswers, fresh: Duration) -> bool {
        for (asked, good) in &self.asked {
            if let Some(result) = answers.recall(&self.via, asked, fresh, Instant::now()) {
                if result.outcome.is_ok() != *good {
                    return true;
                }
                continue;
            }
            let result = ask_one(self.dial.as_ref(), asked).await;
            answers.learn(&self.via, asked, &result, Instant::now());
            if result.outcome.is_ok() != *good {
                return true;
            }
        }
        false
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use futures::future::BoxFuture;
    use jiff::Timestamp;
    use milvus_core::component::Component;
    use milvus_core::probe::ProbeDetail;
    use milvus_platform::{Connection, DialError};

    use super::*;

    fn asked(question: Question) -> Asked {
        Asked {
            id: ProbeId::target(Component::Minio, "s3:9000"),
            host: "s3".to_owned(),
            port: 9000,
            others: Vec::new(),
            question,
            outside: false,
            external: true,
        }
    }

    fn good() -> ProbeResult {
        ProbeResult {
            at: Timestamp::UNIX_EPOCH,
            outcome: Ok(ProbeDetail::default()),
        }
    }

    #[test]
    fn a_good_answer_counts_for_a_while_for_its_question_and_its_way() {
        let (answers, now) = (ExternalAnswers::default(), Instant::now());
        let second = Duration::from_secs(1);
        let recall = |via: &Via, question: Question, after: u64| {
            let now = now + Duration::from_millis(after);
            answers.recall(via, &asked(question), second, now)
        };
        assert_eq!(recall(&None, Question::AnyHttp { tls: false }, 0), None);
        answers.learn(
            &None,
            &asked(Question::AnyHttp { tls: false }),
            &good(),
            now,
        );
        assert_eq!(
            recall(&None, Question::AnyHttp { tls: false }, 900),
            Some(good())
        );
        assert_eq!(recall(&None, Question::Tcp, 900), None);
        let other = Some(ClusterKey::new("default", "demo"));
        assert_eq!(recall(&other, Question::AnyHttp { tls: false }, 900), None);
        assert_eq!(recall(&None, Question::AnyHttp { tls: false }, 1100), None);
    }

    /// Takes connections, or not; counts them.
    #[derive(Default)]
    struct Switch {
        up: std::sync::atomic::AtomicBool,
        dialled: AtomicUsize,
    }

    impl Dial for Switch {
        fn dial(
            &self,
            host: &str,
            _: u16,
        ) -> BoxFuture<'_, Result<Box<dyn Connection>, DialError>> {
            self.dialled.fetch_add(1, Ordering::SeqCst);
            let host = host.to_owned();
            let up = self.up.load(Ordering::SeqCst);
            async move {
                let (ours, _) = tokio::io::duplex(64);
                up.then(|| Box::new(ours) as Box<dyn Connection>)
                    .ok_or(DialError::Refused(host))
            }
            .boxed()
        }
    }

    #[tokio::test]
    async fn one_that_stops_answering_is_noticed_and_clusters_share_the_question() {
        let switch = Arc::new(Switch::default());
        switch.up.store(true, Ordering::SeqCst);
        let (answers, fresh) = (ExternalAnswers::default(), Duration::from_secs(10));
        let asked = asked(Question::Tcp);
        let found = BTreeMap::from([(asked.id.clone(), good())]);
        let watch = || Watched::of(switch.clone(), None, vec![asked.clone()], &found);
        let (one, other) = (watch().expect("watched"), watch().expect("watched"));
        assert!(!one.changed(&answers, fresh).await);
        assert!(!other.changed(&answers, fresh).await);
        assert_eq!(switch.dialled.load(Ordering::SeqCst), 1);
        switch.up.store(false, Ordering::SeqCst);
        assert!(one.changed(&answers, Duration::ZERO).await);
        assert!(Watched::of(switch.clone(), None, Vec::new(), &found).is_none());
    }
}
