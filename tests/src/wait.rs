//! Waits that say what they wait for, and at the end what was missing.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(200);
const SHORT: Duration = Duration::from_millis(10);
const SAY_AGAIN: Duration = Duration::from_secs(15);

/// Tries until `look` is content; returns what it found. Panics with the last reason when the time is up.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    let mut said = start;
    println!("  waiting for {what}, at most {} s", limit.as_secs());
    loop {
        let why = match look() {
            Ok(found) => {
                println!("  {what}: after {:.1} s", start.elapsed().as_secs_f64());
                return found;
            }
            Err(why) => why,
        };
        assert!(
            start.elapsed() < limit,
            "waited {} s for {what}; the last word was: {why}",
            limit.as_secs()
        );
        if said.elapsed() > SAY_AGAIN {
            said = Instant::now();
            println!("    {:.0} s: {why}", start.elapsed().as_secs_f64());
        }
        thread::sleep(PAUSE);
    }
}

/// Watches for a while that something stays true.
#[track_caller]
pub fn throughout(what: &str, time: Duration, mut look: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    println!("  watching for {} s that {what}", time.as_secs());
    while start.elapsed() < time {
        if let Err(why) = look() {
            panic!(
                "after {:.1} s it is no longer so that {what}: {why}",
                start.elapsed().as_secs_f64()
            );
        }
        thread::sleep(PAUSE);
    }
}

/// Like [`until`], looking every few milliseconds: returns what was found and the time that it took.
#[track_caller]
pub fn timed<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<T, String>,
) -> (T, Duration) {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => {
                let took = start.elapsed();
                println!("  {what}: after {:.2} s", took.as_secs_f64());
                return (found, took);
            }
            Err(why) => assert!(
                start.elapsed() < limit,
                "waited {} s for {what}; the last word was: {why}",
                limit.as_secs()
            ),
        }
        thread::sleep(SHORT);
    }
}
