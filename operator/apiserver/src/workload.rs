//! What the requests of one user may take at once: places, bytes of bodies, and work that keeps a processor busy. Others
//! have places of their own, so one user's many or heavy requests leave them answered.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::status::ApiError;

/// Requests of one user at once; more wait.
const REQUESTS: usize = 16;
/// Requests of one user that wait.
const WAITING: usize = 1024;
const WAIT: Duration = Duration::from_secs(20);
/// KiB of bodies that are being received and handled, of one user and of all.
const BODIES_OF_USER: usize = 8 << 10;
const BODIES: usize = 32 << 10;
/// Bodies above this are handled one at a time per user, and not by a thread that serves connections.
const HEAVY: usize = 64 << 10;
/// Users that are remembered without requests.
const USERS: usize = 256;

struct User {
    requests: Arc<Semaphore>,
    waiting: AtomicUsize,
    bodies: Arc<Semaphore>,
    heavy: Arc<Semaphore>,
}

/// The work of all users.
pub(crate) struct Workload {
    wait: Duration,
    users: Mutex<HashMap<String, Arc<User>>>,
    bodies: Arc<Semaphore>,
}

impl Default for Workload {
    fn default() -> Self {
        Self {
            wait: WAIT,
            users: Mutex::default(),
            bodies: Arc::new(Semaphore::new(BODIES)),
        }
    }
}

fn busy() -> ApiError {
    ApiError::too_many_requests("Too many requests, please try again later.")
}

impl Workload {
    fn user(&self, name: &str) -> Arc<User> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() > USERS {
            users.retain(|_, user| Arc::strong_count(user) > 1);
        }
        let fresh = || {
            Arc::new(User {
                requests: Arc::new(Semaphore::new(REQUESTS)),
                waiting: AtomicUsize::new(0),
                bodies: Arc::new(Semaphore::new(BODIES_OF_USER)),
                heavy: Arc::new(Semaphore::new(1)),
            })
        };
        users.entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    /// Waits for one of the user's places.
    pub(crate) async fn turn(&self, name: &str) -> Result<Turn, ApiError> {
        let user = self.user(name);
        let place = match user.requests.clone().try_acquire_owned() {
            Ok(place) => place,
            Err(_) => {
                let _waiting = Waiting::enter(&user)?;
                timeout(self.wait, user.requests.clone().acquire_owned())
                    .await
                    .map_err(|_| busy())?
                    .map_err(ApiError::internal)?
            }
        };
        Ok(Turn {
            bounded: Some((user, self.bodies.clone())),
            held: vec![place],
            received: 0,
        })
    }
}

/// One of those who wait, also when the client hangs up meanwhile.
struct Waiting<'a>(&'a User);

impl<'a> Waiting<'a> {
    fn enter(user: &'a User) -> Result<Self, ApiError> {
        if user.waiting.fetch_add(1, Ordering::Relaxed) >= WAITING {
            user.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(busy());
        }
        Ok(Self(user))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A place for one request, and what it holds.
pub(crate) struct Turn {
    bounded: Option<(Arc<User>, Arc<Semaphore>)>,
    held: Vec<OwnedSemaphorePermit>,
    /// KiB of the body.
    received: usize,
}

impl Turn {
    /// For the program's own requests.
    pub(crate) fn unbounded() -> Self {
        Self {
            bounded: None,
            held: Vec::new(),
            received: 0,
        }
    }

    /// Makes room for a body that has grown to so many bytes.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), ApiError> {
        let needed = bytes.div_ceil(1024);
        let more = u32::try_from(needed.saturating_sub(self.received)).unwrap_or(u32::MAX);
        if let (Some((user, all)), true) = (&self.bounded, more > 0) {
            for bound in [&user.bodies, all] {
                let permit = bound.clone().try_acquire_many_owned(more);
                self.held.push(permit.map_err(|_| busy())?);
            }
            self.received = needed;
        }
        Ok(())
    }

    /// Waits until no other heavy request of the user is being handled, if this is one.
    pub(crate) async fn heavy(&mut self, bytes: usize) -> Result<(), ApiError> {
        if let Some((user, _)) = self.bounded.as_ref().filter(|_| bytes > HEAVY) {
            let permit = timeout(WAIT, user.heavy.clone().acquire_owned())
                .await
                .map_err(|_| busy())?
                .map_err(ApiError::internal)?;
            self.held.push(permit);
        }
        Ok(())
    }
}

/// Runs work on a body of so many bytes: on this thread, which serves no connections meanwhile if it is much.
pub(crate) fn work<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let threads = Handle::try_current().map(|handle| handle.runtime_flavor());
    match threads {
        Ok(RuntimeFlavor::MultiThread) if bytes > HEAVY => tokio::task::block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_user_s_requests_wait_and_another_s_do_not() {
        let workload = Workload {
            wait: Duration::from_millis(30),
            ..Workload::default()
        };
        let mut taken = Vec::new();
        for _ in 0..REQUESTS {
            taken.push(workload.turn("ann").await.unwrap());
        }
        assert!(workload.turn("ben").await.is_ok());
        let refused = workload.turn("ann").await.err().unwrap();
        assert_eq!((refused.code, refused.retry_after), (429, Some(1)));
        taken.pop();
        assert!(workload.turn("ann").await.is_ok());
        assert_eq!(workload.user("ann").waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn bodies_of_a_user_are_bounded_and_given_back() {
        let workload = Workload::default();
        let mut turns = Vec::new();
        for _ in 0..8 {
            let mut turn = workload.turn("ann").await.unwrap();
            for bytes in [1, 500 << 10, 1 << 20] {
                turn.grow(bytes).unwrap();
            }
            turns.push(turn);
        }
        let mut turn = workload.turn("ann").await.unwrap();
        assert_eq!(turn.grow(1).unwrap_err().code, 429);
        assert!(workload.turn("ben").await.unwrap().grow(3 << 20).is_ok());
        turns.clear();
        drop(turn);
        assert!(workload.turn("ann").await.unwrap().grow(3 << 20).is_ok());
        assert_eq!(workload.bodies.available_permits(), BODIES);
    }
}
