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
    /// Health checks in a row without any answer from the host after which its connections are cut, so that clients
    /// reconnect elsewhere instead of waiting for TCP to give up.
    pub cut_after: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            max_fails: 3,
            fail_window: Duration::from_secs(30),
            down_time: Duration::from_secs(5),
            checked: true,
            unhealthy_after: 2,
            cut_after: 4,
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
    silences: u32,
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
            silences: 0,
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
    appeared: Notify,
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
            appeared: Notify::new(),
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

    /// Resolves when a backend appeared that has not been checked.
    pub async fn appeared(&self) {
        self.appeared.notified().await;
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
        self.appeared.notify_one();
        self.changed.notify_waiters();
    }

    /// The name at `index` could not be resolved: the addresses before stay.
    pub fn unresolved(&self, index: usize, error: String) {
        if let Some(name) = self.state().names.get_mut(index) {
            if name.error.is_none() {
                tracing::warn!(name = %name.name, kept = name.addresses.len(), %error, "look-up failed");
            }
            name.error = Some(error);
        }
    }

    /// Backends whose health should be checked: the listed ones, and those that still hold connections.
    pub fn to_check(&self) -> Vec<SocketAddr> {
        self.state().backends.keys().copied().collect()
    }

    /// A health check of `address` ended.
    pub fn checked(&self, address: SocketAddr, seen: Health) {
        let mut state = self.state();
        let Some(backend) = state.backends.get_mut(&address) else {
            return;
        };
        backend.silences = if seen == Health::Silent {
            backend.silences.saturating_add(1)
        } else {
            0
        };
        backend.misses = if seen == Health::Up {
            0
        } else {
            backend.misses.saturating_add(1)
        };
        if backend.silences == self.policy.cut_after && backend.active > 0 {
            tracing::warn!(%address, connections = backend.active, "host does not answer, cutting its connections");
            std::mem::take(&mut backend.cut).cancel();
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
mod tests {
    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 1, last], 19530))
    }

    fn pool(policy: Policy, last: &[u8]) -> Arc<Pool> {
        let pool = Pool::new(policy, ["proxy:19530".to_owned()]);
        pool.resolved(0, last.iter().map(|l| address(*l)).collect());
        pool
    }

    fn pick(pool: &Arc<Pool>, now: Instant) -> Option<Lease> {
        let lease = pool.pick(now, &BTreeSet::new());
        if let Some(lease) = &lease {
            lease.connected();
        }
        lease
    }

    fn unchecked() -> Policy {
        Policy {
            checked: false,
            ..Policy::default()
        }
    }

    #[test]
    fn least_connections_then_least_served() {
        let now = Instant::now();
        let pool = pool(unchecked(), &[1, 2, 3]);
        let mut leases: Vec<_> = (0..6).map(|_| pick(&pool, now).unwrap()).collect();
        for last in 1..=3 {
            let n = leases
                .iter()
                .filter(|l| l.address() == address(last))
                .count();
            assert_eq!(n, 2);
        }
        leases.retain(|lease| lease.address() != address(2));
        assert_eq!(pick(&pool, now).unwrap().address(), address(2));
        drop(leases);
        // All idle: 2 has served three, the others two.
        assert_ne!(pick(&pool, now).unwrap().address(), address(2));
        assert_eq!(pool.active(), 0);
    }

    #[test]
    fn an_unchecked_backend_waits_for_its_first_check() {
        let now = Instant::now();
        let pool = pool(Policy::default(), &[1]);
        assert!(pick(&pool, now).is_none());
        pool.checked(address(1), Health::Down("500".into()));
        assert!(pick(&pool, now).is_none());
        pool.checked(address(1), Health::Up);
        assert!(pick(&pool, now).is_some());
        pool.checked(address(1), Health::Silent);
        assert!(pick(&pool, now).is_some(), "one miss is tolerated");
        pool.checked(address(1), Health::Silent);
        assert!(pick(&pool, now).is_none());
    }

    #[test]
    fn drain_ends_by_itself() {
        let now = Instant::now();
        let pool = pool(unchecked(), &[1, 2]);
        let held: Vec<_> = (0..4).map(|_| pick(&pool, now).unwrap()).collect();
        let open = pool.drain(&[address(1).ip()], now + Duration::from_secs(60));
        assert_eq!(open.len(), 1);
        assert_eq!(open[0].active, 2);
        let more: Vec<_> = (0..4).map(|_| pick(&pool, now).unwrap()).collect();
        assert!(more.iter().all(|lease| lease.address() == address(2)));
        let later = now + Duration::from_secs(61);
        assert_eq!(pick(&pool, later).unwrap().address(), address(1));
        pool.drain(&[], now);
        assert_eq!(pick(&pool, now).unwrap().address(), address(1));
        drop(held);
    }

    #[test]
    fn failures_within_the_window_take_a_backend_out_but_never_the_last() {
        let now = Instant::now();
        let pool = pool(unchecked(), &[1, 2]);
        let tried_two = BTreeSet::from([address(2)]);
        for second in [0, 40, 50, 60] {
            let at = now + Duration::from_secs(second);
            pool.pick(at, &tried_two).unwrap().failed(at);
        }
        let at = now + Duration::from_secs(60);
        let out = |at| {
            let (_, backends) = pool.stats(at);
            backends.iter().filter(|b| b.marked_down).count()
        };
        assert_eq!(out(at), 1, "the failure of second 0 is outside the window");
        for _ in 0..3 {
            assert_eq!(
                pool.pick(at, &BTreeSet::new()).unwrap().address(),
                address(2)
            );
        }
        assert_eq!(pool.pick(at, &tried_two).unwrap().address(), address(1));
        assert_eq!(out(at + Duration::from_secs(5)), 0);
    }

    #[test]
    fn a_backend_that_left_is_kept_until_its_last_connection_ends() {
        let now = Instant::now();
        let pool = pool(unchecked(), &[1]);
        let lease = pick(&pool, now).unwrap();
        pool.resolved(0, BTreeSet::new());
        assert!(pick(&pool, now).is_none());
        assert_eq!(pool.to_check(), [address(1)]);
        drop(lease);
        assert!(pool.to_check().is_empty());
    }

    #[test]
    fn a_failed_lookup_keeps_the_addresses() {
        let now = Instant::now();
        let pool = pool(unchecked(), &[1]);
        pool.unresolved(0, "no answer".into());
        assert!(pick(&pool, now).is_some());
        assert_eq!(pool.stats(now).0[0].error.as_deref(), Some("no answer"));
    }

    #[test]
    fn silence_cuts_once_and_only_silence() {
        let now = Instant::now();
        let pool = pool(Policy::default(), &[1]);
        pool.checked(address(1), Health::Up);
        let lease = pick(&pool, now).unwrap();
        for _ in 0..10 {
            pool.checked(address(1), Health::Down("500".into()));
        }
        for _ in 0..3 {
            pool.checked(address(1), Health::Silent);
        }
        assert!(!lease.cut.is_cancelled());
        pool.checked(address(1), Health::Silent);
        assert!(lease.cut.is_cancelled());
        pool.checked(address(1), Health::Up);
        assert!(!pick(&pool, now).unwrap().cut.is_cancelled());
    }
}
