//! Which connections are open, to whom they belong, and which one ends when there are too many. A client that has proved
//! who it is counts for itself; all others count for their address, this host's own like any other. A new connection of
//! an address that has too many takes the place of the oldest: silent ones shut out nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How many connections there may be, and how long without use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// All together.
    pub total: usize,
    /// Of clients that have not proved who they are.
    pub unproven: usize,
    /// Of these from one address.
    pub per_source: usize,
    /// Of one user.
    pub per_user: usize,
    /// From the acceptance to the last byte of the first request's headers.
    pub first_request: Duration,
    /// After the last request of a client that has not proved who it is.
    pub unproven_idle: Duration,
    /// After the last answer to a user.
    pub idle: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            total: 512,
            unproven: 256,
            per_source: 64,
            per_user: 128,
            first_request: Duration::from_secs(20),
            unproven_idle: Duration::from_secs(20),
            // As kube-apiserver.
            idle: Duration::from_secs(90),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Source(IpAddr),
    User(String),
}

impl Holder {
    fn is_user(&self) -> bool {
        matches!(self, Self::User(_))
    }
}

struct Entry {
    holder: Holder,
    requests: usize,
    last: Instant,
    any: bool,
    end: CancellationToken,
}

#[derive(Default)]
struct Open {
    next: u64,
    /// By age.
    entries: BTreeMap<u64, Entry>,
}

impl Open {
    fn count(&self, keep: impl Fn(&Holder) -> bool) -> usize {
        self.entries.values().filter(|e| keep(&e.holder)).count()
    }

    /// Ends the oldest of these. Says whether there was one.
    fn end_oldest(&mut self, which: impl Fn(&Entry) -> bool) -> bool {
        let found = self.entries.iter().find(|(_, e)| which(e));
        let Some(id) = found.map(|(id, _)| *id) else {
            return false;
        };
        if let Some(entry) = self.entries.remove(&id) {
            entry.end.cancel();
        }
        true
    }

    /// Makes room for one more: the oldest that has proved nothing, else one of the user who has most.
    fn make_room(&mut self) {
        if self.end_oldest(|e| !e.holder.is_user()) {
            return;
        }
        let mut held: BTreeMap<Holder, usize> = BTreeMap::new();
        for entry in self.entries.values() {
            *held.entry(entry.holder.clone()).or_default() += 1;
        }
        let most = held.into_iter().max_by_key(|(_, count)| *count);
        if let Some((holder, _)) = most
            && !self.end_oldest(|e| e.holder == holder && e.requests == 0)
        {
            self.end_oldest(|e| e.holder == holder);
        }
    }
}

/// All connections of a server.
pub(crate) struct Connections {
    bounds: Bounds,
    open: Mutex<Open>,
}

impl Connections {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            open: Mutex::default(),
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a connection from an address, in place of an older one where there are too many.
    pub(crate) fn admit(self: &Arc<Self>, source: IpAddr) -> Connection {
        let holder = Holder::Source(network(source));
        let mut open = self.open();
        while open.count(|h| *h == holder) >= self.bounds.per_source {
            open.end_oldest(|e| e.holder == holder);
        }
        while open.count(|h| !h.is_user()) >= self.bounds.unproven {
            open.end_oldest(|e| !e.holder.is_user());
        }
        while open.entries.len() >= self.bounds.total {
            open.make_room();
        }
        let id = open.next;
        open.next += 1;
        let end = CancellationToken::new();
        let entry = Entry {
            holder,
            requests: 0,
            last: Instant::now(),
            any: false,
            end: end.clone(),
        };
        open.entries.insert(id, entry);
        drop(open);
        Connection(Arc::new(Handle {
            id,
            end,
            all: self.clone(),
        }))
    }
}

/// Addresses of one client: of an IPv6 network, any.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into())
        }
        other => other,
    }
}

struct Handle {
    id: u64,
    end: CancellationToken,
    all: Arc<Connections>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.all.open().entries.remove(&self.id);
    }
}

/// One connection. It counts until the last clone is gone.
#[derive(Clone)]
pub(crate) struct Connection(Arc<Handle>);

impl Connection {
    fn update<T>(&self, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        self.0.all.open().entries.get_mut(&self.0.id).map(change)
    }

    /// The client has proved to be this user. Another of the user's connections ends if there are too many; this one, if
    /// all of them are in use.
    pub(crate) fn prove(&self, user: &str) {
        let known = self.update(|e| e.holder == Holder::User(user.to_owned()));
        if known != Some(false) {
            return;
        }
        let holder = Holder::User(user.to_owned());
        let mut open = self.0.all.open();
        if open.count(|h| *h == holder) >= self.0.all.bounds.per_user
            && !open.end_oldest(|e| e.holder == holder && e.requests == 0)
        {
            self.0.end.cancel();
            return;
        }
        if let Some(entry) = open.entries.get_mut(&self.0.id) {
            entry.holder = holder;
        }
    }

    /// A request has come; it lasts until the guard is dropped.
    pub(crate) fn request(&self) -> InUse {
        self.update(|e| {
            e.requests += 1;
            e.any = true;
            e.last = Instant::now();
        });
        InUse(self.clone())
    }

    /// Returns when there is no place for this connection any more.
    pub(crate) async fn ended(&self) {
        self.0.end.cancelled().await;
    }

    /// Returns once the connection has been without use for too long.
    pub(crate) async fn idle(&self) {
        let bounds = self.0.all.bounds;
        while let Some(until) = self.update(|e| {
            if !e.any {
                e.last + bounds.first_request
            } else if !e.holder.is_user() {
                e.last + bounds.unproven_idle
            } else if e.requests > 0 {
                Instant::now() + bounds.idle
            } else {
                e.last + bounds.idle
            }
        }) {
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

/// A request that is being answered.
pub(crate) struct InUse(Connection);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.update(|e| {
            e.requests = e.requests.saturating_sub(1);
            if e.holder.is_user() {
                e.last = Instant::now();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds() -> Bounds {
        Bounds {
            total: 8,
            unproven: 6,
            per_source: 3,
            per_user: 3,
            ..Bounds::default()
        }
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn ended(connection: &Connection) -> bool {
        connection.0.end.is_cancelled()
    }

    #[test]
    fn the_oldest_of_an_address_makes_room_for_its_next_one() {
        let all = Connections::new(bounds());
        let first: Vec<Connection> = (0..3).map(|_| all.admit(ip(1))).collect();
        let other = all.admit(ip(2));
        let next = all.admit(ip(1));
        assert!(ended(&first[0]));
        assert!(!ended(&first[1]) && !ended(&other) && !ended(&next));
        drop(first);
        assert_eq!(all.open().entries.len(), 2);
    }

    #[test]
    fn silent_connections_end_no_user_s() {
        let all = Connections::new(bounds());
        let users: Vec<Connection> = (0..3).map(|_| all.admit(ip(1))).collect();
        for user in &users {
            user.prove("ann");
        }
        let silent: Vec<Connection> = (0..50).map(|i| all.admit(ip(i % 20))).collect();
        assert!(users.iter().all(|user| !ended(user)));
        assert!(!ended(&silent[49]) && ended(&silent[0]));
        assert!(all.open().entries.len() <= 8);
    }

    #[test]
    fn a_user_s_connections_in_use_are_kept_and_idle_ones_make_room() {
        let all = Connections::new(bounds());
        let user = || {
            let connection = all.admit(ip(1));
            connection.prove("ann");
            connection
        };
        let (first, second, third) = (user(), user(), user());
        let (_a, _c) = (first.request(), third.request());
        let _b = second.request();
        assert!(ended(&user()), "all are in use");
        drop(_b);
        assert!(!ended(&user()));
        assert!(ended(&second) && !ended(&first) && !ended(&third));
    }

    #[tokio::test]
    async fn unused_connections_end() {
        let (short, long) = (Duration::from_millis(50), Duration::from_millis(200));
        let all = Connections::new(Bounds {
            first_request: short,
            unproven_idle: short,
            idle: short,
            ..bounds()
        });
        let began = Instant::now();
        all.admit(ip(1)).idle().await;
        assert!(began.elapsed() >= short);
        let stranger = all.admit(ip(1));
        let _unread = stranger.request();
        stranger.idle().await;
        let user = all.admit(ip(1));
        user.prove("ann");
        let busy = user.request();
        let idle = tokio::spawn({
            let user = user.clone();
            async move { user.idle().await }
        });
        tokio::time::sleep(long).await;
        assert!(!idle.is_finished(), "a watch is use");
        drop(busy);
        tokio::time::timeout(Duration::from_secs(5), idle)
            .await
            .expect("idle by now")
            .unwrap();
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        let address = |text: &str| network(text.parse().unwrap());
        assert_eq!(address("2001:db8::1"), address("2001:db8::2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:10.0.0.1"), address("10.0.0.1"));
        assert_eq!(address("::1").to_string(), "::1");
    }
}
