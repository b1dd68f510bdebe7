//! Digests of images as their registries have them, asked through the engine. An answer, good or not, counts for a moment for all
//! clusters: those that are made together run one build, and a registry that is away is not waited for again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::time::{Instant, timeout};

use crate::api::Engine;

/// How long a new cluster waits for registries. All are asked at once.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long an answer counts.
const FRESH: Duration = Duration::from_secs(60);

/// Answers of registries by reference; no digest where there was none to be had.
#[derive(Debug, Default)]
pub(crate) struct Digests(Mutex<BTreeMap<String, (Instant, Option<String>)>>);

impl Digests {
    /// Digests of these images, as far as their registries give them in time. No login is shown: images that need one are absent.
    pub(crate) async fn ask(
        &self,
        engine: &Engine,
        images: &BTreeSet<String>,
    ) -> BTreeMap<String, String> {
        self.ask_with(images, |image| async move {
            engine.registry_digest(&image, None).await.ok()
        })
        .await
    }

    async fn ask_with<F: Future<Output = Option<String>>>(
        &self,
        images: &BTreeSet<String>,
        registry: impl Fn(String) -> F,
    ) -> BTreeMap<String, String> {
        let now = Instant::now();
        let mut known: BTreeMap<String, Option<String>> = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            all.retain(|_, (at, _)| now.saturating_duration_since(*at) < FRESH);
            let asked = images.iter().filter_map(|image| all.get_key_value(image));
            asked
                .map(|(image, (_, digest))| (image.clone(), digest.clone()))
                .collect()
        };
        let questions = images
            .iter()
            .filter(|image| !known.contains_key(*image))
            .map(|image| {
                let answer = registry(image.clone());
                async move {
                    (
                        image.clone(),
                        timeout(PATIENCE, answer).await.ok().flatten(),
                    )
                }
            });
        let answers = join_all(questions).await;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (image, digest) in answers {
            let digest = digest.filter(|digest| is_digest(digest));
            all.insert(image.clone(), (Instant::now(), digest.clone()));
            known.insert(image, digest);
        }
        known
            .into_iter()
            .filter_map(|(image, digest)| Some((image, digest?)))
            .collect()
    }
}

/// `ALGORITHM:HEXADECIMAL`, as references have them.
fn is_digest(text: &str) -> bool {
    text.split_once(':').is_some_and(|(algorithm, sum)| {
        let plain = |c: char| c.is_ascii_alphanumeric();
        !algorithm.is_empty()
            && algorithm.chars().all(plain)
            && sum.len() >= 32
            && sum.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DIGEST: &str = "sha256:00112233445566778899aabbccddeeff";

    #[tokio::test(start_paused = true)]
    async fn what_answers_in_time_counts_for_a_while() {
        let (digests, asked) = (Digests::default(), AtomicUsize::new(0));
        let registry = |image: String| {
            asked.fetch_add(1, Ordering::SeqCst);
            async move {
                match image.as_str() {
                    "silent:1" => std::future::pending().await,
                    "strange:1" => Some("latest".to_owned()),
                    "known:1" => Some(DIGEST.to_owned()),
                    _ => None,
                }
            }
        };
        let images = ["known:1", "unknown:1", "strange:1", "silent:1"];
        let images = images.map(str::to_owned).into();
        let began = Instant::now();
        let expected = BTreeMap::from([("known:1".to_owned(), DIGEST.to_owned())]);
        assert_eq!(digests.ask_with(&images, registry).await, expected);
        assert_eq!(began.elapsed(), PATIENCE, "all are asked at once");
        assert_eq!(digests.ask_with(&images, registry).await, expected);
        assert_eq!(began.elapsed(), PATIENCE);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
        tokio::time::advance(FRESH).await;
        assert_eq!(digests.ask_with(&images, registry).await, expected);
        assert_eq!(asked.load(Ordering::SeqCst), 8);
    }
}
