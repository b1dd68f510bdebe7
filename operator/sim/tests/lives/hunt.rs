//! The hunt for a life that breaks a promise: over all cores, each life made from a seed of its own, so that one number plays
//! it again.
//!
//! `SIM_CASES` is the number of lives of each kind, `SIM_SEED` the seed of the first one. Where neither is given the lives are
//! the same in every run, so that a change is judged by what it changes; a hunt has new ones each time. `SIM_JOBS` is the number
//! of lives at a time, `SIM_SHRINK` how many shorter stories are tried of one that broke something.

use std::collections::BTreeMap;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::{Life, live, story};

/// Lives that once broke a promise, a line of JSON each: they are played before new ones are made.
const KEPT: &str = include_str!("../faults.regressions");
/// Between two lines of a long hunt.
const PROGRESS: Duration = Duration::from_secs(10);

/// A sort of life.
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The cluster that lives it.
    pub yaml: &'static str,
    /// Lives where `SIM_CASES` says nothing.
    pub cases: u64,
    /// Happenings of the longest story.
    pub longest: usize,
}

/// What became of the lives so far.
#[derive(Default)]
struct Found {
    done: u64,
    /// Why lives broke a promise, by number.
    broken: BTreeMap<u64, String>,
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Plays the lives that were kept, then new ones; the first that breaks a promise fails the test, with what plays it again.
pub fn hunt(kind: &Kind) {
    let mut kept = 0;
    for line in KEPT.lines().filter(|line| line.starts_with('{')) {
        let life: Life = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        if life.kind == kind.name {
            kept += 1;
            if let Err(why) = play(kind, &life) {
                panic!("a {} life that was kept: {why}\n{line}", kind.name);
            }
        }
    }
    let long = number("SIM_CASES");
    let cases = long.unwrap_or(kind.cases);
    let base = number("SIM_SEED").unwrap_or_else(|| long.map_or(0, |_| rand::random()));
    let began = Instant::now();
    let found = all(kind, base, cases, long.is_some());
    if let Some((index, why)) = found.broken.first_key_value() {
        let shrink = number("SIM_SHRINK").unwrap_or(if long.is_some() { 100 } else { 0 });
        panic!("{}", report(kind, base, *index, cases, why, shrink));
    }
    if long.is_some() {
        let seconds = began.elapsed().as_secs_f64().max(0.001);
        say(&format!(
            "sim: {}: {cases} random lives (seeds from {base}) and {kept} kept ones broke no promise, {:.0} s, {:.1} a second",
            kind.name,
            seconds,
            cases as f64 / seconds
        ));
    }
}

fn all(kind: &Kind, base: u64, cases: u64, aloud: bool) -> Found {
    let next = AtomicU64::new(0);
    let found = Mutex::new(Found::default());
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as u64);
    let jobs = number("SIM_JOBS").unwrap_or(cores).clamp(1, cases.max(1));
    let began = Instant::now();
    let reported = Mutex::new(began);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= cases {
                        return;
                    }
                    let result = play(kind, &life(kind, base.wrapping_add(index)).current());
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    found.done += 1;
                    if let Err(why) = result {
                        found.broken.insert(index, why);
                        // Those that others have begun come to their end.
                        next.store(cases, Ordering::Relaxed);
                    }
                    let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
                    if aloud && reported.elapsed() >= PROGRESS {
                        *reported = Instant::now();
                        let rate = found.done as f64 / began.elapsed().as_secs_f64();
                        say(&format!(
                            "sim: {}: {} of {cases} lives, {rate:.1} a second (seeds from {base})",
                            kind.name, found.done
                        ));
                    }
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The life of a seed.
fn life(kind: &Kind, seed: u64) -> impl ValueTree<Value = Life> {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let name = kind.name;
    let lives = (any::<u64>(), any::<bool>(), story(kind.longest));
    let lives = lives.prop_map(move |(seed, slow_stops, story)| Life {
        kind: name.to_owned(),
        seed,
        slow_stops,
        story,
    });
    lives
        .new_tree(&mut runner)
        .unwrap_or_else(|e| panic!("no life comes of seed {seed}: {e}"))
}

/// Lives a life. A panic in it breaks a promise too.
fn play(kind: &Kind, life: &Life) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| live(kind.yaml, life))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("panics: {}", text.unwrap_or("without words")))
    })
}

fn report(kind: &Kind, base: u64, index: u64, cases: u64, why: &str, shrink: u64) -> String {
    let seed = base.wrapping_add(index);
    let (shortest, why) = shortest(kind, seed, why, shrink);
    let line = serde_json::to_string(&shortest).unwrap_or_default();
    format!(
        "{name}: life {number} of {cases} broke a promise: {why}\n\
         to play it again: make sim CASES=1 SEED={seed}\n\
         to keep it, add its shortest form to operator/sim/tests/faults.regressions:\n{line}",
        name = kind.name,
        number = index + 1,
    )
}

/// The shortest life like that of a seed that was found to break a promise too, and how it does.
fn shortest(kind: &Kind, seed: u64, why: &str, tries: u64) -> (Life, String) {
    let mut tree = life(kind, seed);
    let mut best = (tree.current(), why.to_owned());
    if tries == 0 || !tree.simplify() {
        return best;
    }
    for _ in 0..tries {
        let life = tree.current();
        let goes_on = match play(kind, &life) {
            Err(why) => {
                best = (life, why);
                tree.simplify()
            }
            Ok(()) => tree.complicate(),
        };
        if !goes_on {
            break;
        }
    }
    best
}

/// To the terminal at once: the runner of tests keeps what they print until they fail.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
