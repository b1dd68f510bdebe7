//! The backends: which there are, which may get a connection, and which gets the next one.
//!
//! No sockets and no clock: callers report what they saw and when. Decisions of a moment are made under one short lock.

use crate::wire::{BackendStats, Draining, NameStats};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// When a backend counts as out.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Failed connection attempts within `fail_window` that take a backend out. 0: never.
    pub max_fails: u32,
    /// The window in which they are counted.
    pub fail_window: Duration,
    /// How long the backend stays out.
    pub down_time: Duration,
    /// Whether a backend must pass a health check before its first connection.
    pub checked: bool,
    /// Health checks in a row that must fail before a backend that was up is down.
    pub unhealthy_after: u32,
    /// How long a backend's host must give no answer at all before its connections are cut, so that clients reconnect
    /// elsewhere instead of waiting for TCP to give up.
    pub cut_after: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_fails: 3,
            fail_window: Duration::from_secs(30),
            down_time: Duration::from_secs(5),
            checked: true,
            unhealthy_after: 2,
            cut_after: Duration::from_secs(6),
        }
    }
}

/// What a health check saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It answered that it is ready.
    Up,
    /// It, or its host, answered otherwise.
    Down(String),
    /// Nothing answered at all: the host or the way to it is gone.
    Silent,
}

struct Backend {
    /// `None`: not checked yet.
    health: Option<Health>,
    misses: u32,
    silent_since: Option<Instant>,
    window_start: Option<Instant>,
    fails: u32,
    down_until: Option<Instant>,
    active: u64,
    served: u64,
    failed: u64,
    cut: CancellationToken,
}

impl Backend {
    fn new() -> Self {
        Self {
            health: None,
            misses: 0,
            silent_since: None,
            window_start: None,
            fails: 0,
            down_until: None,
            active: 0,
            served: 0,
            failed: 0,
            cut: CancellationToken::new(),
        }
    }

    fn up(&self, policy: &Policy) -> bool {
        !policy.checked || self.health == Some(Health::Up)
    }

    fn marked_down(&self, now: Instant) -> bool {
        self.down_until.is_some_and(|until| now < until)
    }
}

struct Name {
    name: String,
    addresses: BTreeSet<SocketAddr>,
    error: Option<String>,
}

#[derive(Default)]
struct State {
    names: Vec<Name>,
    backends: BTreeMap<SocketAddr, Backend>,
    draining: BTreeMap<IpAddr, Instant>,
}

impl State {
    fn listed(&self, address: &SocketAddr) -> bool {
        self.names
            .iter()
            .any(|name| name.addresses.contains(address))
    }

    fn draining(&self, address: &SocketAddr, now: Instant) -> bool {
        self.draining
            .get(&address.ip())
            .is_some_and(|until| now < *until)
    }

    fn live(&self, policy: &Policy, address: &SocketAddr, backend: &Backend, now: Instant) -> bool {
        backend.up(policy) && self.listed(address) && !self.draining(address, now)
    }

    /// Forgets what is no longer listed, as soon as its last connection has ended.
    fn sweep(&mut self) {
        let names = &self.names;
        self.backends.retain(|address, backend| {
            backend.active > 0 || names.iter().any(|name| name.addresses.contains(address))
        });
    }
}

/// The backends of one gateway.
pub struct Pool {
    policy: Policy,
    state: Mutex<State>,
    changed: Notify,
    suspect: Notify,
}

impl Pool {
    /// An empty pool that follows `names`.
    #[must_use]
    pub fn new(policy: Policy, names: impl IntoIterator<Item = String>) -> Arc<Self> {
        let names = names
            .into_iter()
            .map(|name| Name {
                name,
                addresses: BTreeSet::new(),
                error: None,
            })
            .collect();
        Arc::new(Self {
            policy,
            state: Mutex::new(State {
                names,
                ..State::default()
            }),
            changed: Notify::new(),
            suspect: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every critical section leaves the state whole, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when a backend may have become available.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Resolves when the next health check should not wait: a backend appeared, or one could not be connected to.
    pub async fn suspect(&self) {
        self.suspect.notified().await;
    }

    /// The name at `index` resolved to `addresses`.
    pub fn resolved(&self, index: usize, addresses: BTreeSet<SocketAddr>) {
        let mut state = self.state();
        let Some(name) = state.names.get_mut(index) else {
            return;
        };
        name.error = None;
        if name.addresses == addresses {
            return;
        }
        let gone: Vec<_> = name.addresses.difference(&addresses).copied().collect();
        tracing::info!(name = %name.name, ?addresses, ?gone, "backends changed");
        name.addresses.clone_from(&addresses);
        for address in addresses {
            state.backends.entry(address).or_insert_with(Backend::new);
        }
        state.sweep();
        drop(state);
        self.suspect.notify_one();
        self.changed.notify_waiters();
    }

    /// The name at `index` could not be resolved: the addresses before stay, unless it was said to have none.
    pub fn unresolved(&self, index: usize, error: String, gone: bool) {
        let mut state = self.state();
        let Some(name) = state.names.get_mut(index) else {
            return;
        };
        if gone {
            name.addresses.clear();
        }
        if name.error.is_none() {
            tracing::warn!(name = %name.name, kept = name.addresses.len(), %error, "look-up failed");
        }
        name.error = Some(error);
        state.sweep();
    }

    /// Backends whose health should be checked: the listed ones, and those that still hold connections.
    pub fn to_check(&self) -> Vec<SocketAddr> {
        self.state().backends.keys().copied().collect()
    }

    /// A health check of `address` ended.
    pub fn checked(&self, address: SocketAddr, seen: Health, now: Instant) {
        let mut state = self.state();
        let Some(backend) = state.backends.get_mut(&address) else {
            return;
        };
        backend.silent_since = match seen {
            Health::Silent => Some(backend.silent_since.unwrap_or(now)),
            Health::Up | Health::Down(_) => None,
        };
        backend.misses = if seen == Health::Up {
            0
        } else {
            backend.misses.saturating_add(1)
        };
        let silent = backend
            .silent_since
            .map(|since| now.saturating_duration_since(since));
        if backend.active > 0
            && silent >= Some(self.policy.cut_after)
            && !backend.cut.is_cancelled()
        {
            tracing::warn!(%address, connections = backend.active, "host does not answer, cutting its connections");
            backend.cut.cancel();
        }
        if silent.is_none() && backend.cut.is_cancelled() {
            backend.cut = CancellationToken::new();
        }
        let was_up = backend.health == Some(Health::Up);
        let tolerated =
            was_up && backend.misses > 0 && backend.misses < self.policy.unhealthy_after;
        if tolerated || backend.health.as_ref() == Some(&seen) {
            return;
        }
        match &seen {
            Health::Up => tracing::info!(%address, "backend is up"),
            Health::Down(reason) => tracing::warn!(%address, %reason, "backend is down"),
            Health::Silent => tracing::warn!(%address, "backend does not answer"),
        }
        let up = seen == Health::Up;
        backend.health = Some(seen);
        drop(state);
        if up {
            self.changed.notify_waiters();
        }
    }

    /// Replaces the list of draining backends until `until`, and says what is still open on them.
    pub fn drain(&self, addresses: &[IpAddr], until: Instant) -> Vec<Draining> {
        let mut state = self.state();
        let next: BTreeMap<IpAddr, Instant> =
            addresses.iter().map(|address| (*address, until)).collect();
        if next.keys().ne(state.draining.keys()) {
            tracing::info!(?addresses, "draining");
        }
        state.draining = next;
        let open = state
            .draining
            .keys()
            .map(|address| Draining {
                address: *address,
                active: state
                    .backends
                    .iter()
                    .filter(|(backend, _)| backend.ip() == *address)
                    .map(|(_, backend)| backend.active)
                    .sum(),
            })
            .collect();
        drop(state);
        self.changed.notify_waiters();
        open
    }

    /// Whether any backend may get a connection.
    pub fn has_live(&self, now: Instant) -> bool {
        let state = self.state();
        state
            .backends
            .iter()
            .any(|(address, backend)| state.live(&self.policy, address, backend, now))
    }

    /// The live backend with the fewest connections, not among `tried`; among equals, the one that served least. A backend that
    /// is marked down comes last instead of never: one try is better than none.
    pub fn pick(self: &Arc<Self>, now: Instant, tried: &BTreeSet<SocketAddr>) -> Option<Lease> {
        let mut state = self.state();
        let chosen = state
            .backends
            .iter()
            .filter(|(address, _)| !tried.contains(address))
            .filter(|(address, backend)| state.live(&self.policy, address, backend, now))
            .min_by_key(|(_, backend)| (backend.marked_down(now), backend.active, backend.served))
            .map(|(address, _)| *address)?;
        let backend = state.backends.get_mut(&chosen)?;
        backend.active += 1;
        Some(Lease {
            pool: Arc::clone(self),
            address: chosen,
            cut: backend.cut.clone(),
        })
    }

    /// Client connections open now, on all backends.
    pub fn active(&self) -> u64 {
        self.state().backends.values().map(|b| b.active).sum()
    }

    /// The state of names and backends.
    pub fn stats(&self, now: Instant) -> (Vec<NameStats>, Vec<BackendStats>) {
        let state = self.state();
        let names = state
            .names
            .iter()
            .map(|name| NameStats {
                name: name.name.clone(),
                addresses: name.addresses.iter().copied().collect(),
                error: name.error.clone(),
            })
            .collect();
        let backends = state
            .backends
            .iter()
            .map(|(address, backend)| BackendStats {
                address: *address,
                live: state.live(&self.policy, address, backend, now) && !backend.marked_down(now),
                listed: state.listed(address),
                draining: state.draining(address, now),
                marked_down: backend.marked_down(now),
                health: match &backend.health {
                    _ if !self.policy.checked => "unchecked".to_owned(),
                    None => "unknown".to_owned(),
                    Some(Health::Up) => "up".to_owned(),
                    Some(Health::Down(reason)) => reason.clone(),
                    Some(Health::Silent) => "no answer".to_owned(),
                },
                active: backend.active,
                served_total: backend.served,
                failed_total: backend.failed,
            })
            .collect();
        (names, backends)
    }
}

/// A place on a backend; given back when dropped.
pub struct Lease {
    pool: Arc<Pool>,
    address: SocketAddr,
    cut: CancellationToken,
}

impl Lease {
    /// The backend to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the backend's host has stopped answering.
    pub async fn cut(&self) {
        self.cut.cancelled().await;
    }

    /// The backend accepted the connection.
    pub fn connected(&self) {
        if let Some(backend) = self.pool.state().backends.get_mut(&self.address) {
            backend.served += 1;
            backend.fails = 0;
            backend.down_until = None;
        }
    }

    /// The backend could not be connected to.
    pub fn failed(&self, now: Instant) {
        let policy = &self.pool.policy;
        let mut state = self.pool.state();
        let Some(backend) = state.backends.get_mut(&self.address) else {
            return;
        };
        backend.failed += 1;
        self.pool.suspect.notify_one();
        let fresh = backend
            .window_start
            .is_some_and(|start| now.duration_since(start) < policy.fail_window);
        if fresh && backend.fails > 0 {
            backend.fails += 1;
        } else {
            backend.window_start = Some(now);
            backend.fails = 1;
        }
        if policy.max_fails > 0 && backend.fails >= policy.max_fails {
            if !backend.marked_down(now) {
                tracing::warn!(address = %self.address, fails = backend.fails, "backend refuses connections, taken out for a while");
            }
            backend.fails = 0;
            backend.down_until = Some(now + policy.down_time);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut state = self.pool.state();
        if let Some(backend) = state.backends.get_mut(&self.address) {
            backend.active = backend.active.saturating_sub(1);
        }
        state.sweep();
    }
}

#[cfg(test)]
mod tests;
