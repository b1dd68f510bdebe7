//! Decisions of the pool, with made-up addresses and times.

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
    pool.checked(address(1), Health::Down("500".into()), now);
    assert!(pick(&pool, now).is_none());
    pool.checked(address(1), Health::Up, now);
    assert!(pick(&pool, now).is_some());
    pool.checked(address(1), Health::Silent, now);
    assert!(pick(&pool, now).is_some(), "one miss is tolerated");
    pool.checked(address(1), Health::Silent, now);
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
    pool.unresolved(0, "no answer".into(), false);
    assert!(pick(&pool, now).is_some());
    assert_eq!(pool.stats(now).0[0].error.as_deref(), Some("no answer"));
    pool.unresolved(0, "no such name".into(), true);
    assert!(pick(&pool, now).is_none());
    assert!(pool.to_check().is_empty());
    pool.resolved(0, BTreeSet::from([address(1)]));
    assert!(pick(&pool, now).is_some());
}

#[test]
fn lasting_silence_cuts_and_nothing_else_does() {
    let start = Instant::now();
    let at = |second| start + Duration::from_secs(second);
    let pool = pool(Policy::default(), &[1]);
    pool.checked(address(1), Health::Up, start);
    let lease = pick(&pool, start).unwrap();
    pool.checked(address(1), Health::Down("500".into()), at(0));
    pool.checked(address(1), Health::Down("500".into()), at(60));
    for second in 61..67 {
        pool.checked(address(1), Health::Silent, at(second));
    }
    pool.checked(address(1), Health::Up, at(67));
    pool.checked(address(1), Health::Silent, at(68));
    pool.checked(address(1), Health::Silent, at(73));
    assert!(!lease.cut.is_cancelled());
    pool.checked(address(1), Health::Silent, at(74));
    assert!(lease.cut.is_cancelled());
    pool.checked(address(1), Health::Silent, at(75));
    pool.checked(address(1), Health::Up, at(76));
    assert!(!pick(&pool, at(76)).unwrap().cut.is_cancelled());
}
