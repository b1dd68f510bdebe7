//! A cluster at rest is at rest.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use milvus_tests::wait;

use crate::suite::{ARGUMENTS, HOME, KINDS, Room, START, suite};

const WINDOW: Duration = Duration::from_secs(60);

/// Versions of everything in a room, pods and events too.
fn versions(room: &Room) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let others = ["pods", "events", "milvusclusters", "persistentvolumeclaims"];
    for kind in KINDS.into_iter().chain(others) {
        for object in room.api.list(kind, &room.namespace, "") {
            let metadata = &object["metadata"];
            let version = metadata["resourceVersion"].to_string();
            all.insert(format!("{kind} {}", metadata["name"]), version);
        }
    }
    all
}

/// With the election of a leader on: nothing is written, and the operator asks for nothing but the renewal of its Lease and of
/// watches. Of two clusters one has its dependencies in it.
#[test]
fn nothing_is_asked_and_nothing_moves() {
    let mut suite = suite();
    let mut arguments = ARGUMENTS.to_vec();
    arguments.extend(["--leader-elect", "--leader-namespace", HOME]);
    suite.restart_with(&arguments);
    suite.bed.volumes(8);
    let room = suite.room("rest");
    room.create(&room.cluster("rest"));
    room.create(&room.standalone("whole"));
    room.ready("rest", START);
    room.ready("whole", START);
    wait::until("what earlier tests left to be gone", START, || {
        let all = suite.api.list("milvusclusters", "", "");
        let namespaces = all.iter().map(|c| c["metadata"]["namespace"].as_str());
        let others: Vec<_> = namespaces
            .filter(|n| *n != Some(room.namespace.as_str()))
            .collect();
        others.is_empty().then_some(()).ok_or(format!("{others:?}"))
    });
    thread::sleep(Duration::from_secs(3));

    let (before, asked, cpu) = (
        versions(&room),
        suite.requests(),
        suite.operator.cpu_seconds(),
    );
    assert!(before.len() > 40, "{before:#?}");
    println!(
        "  watching {} objects for {} s",
        before.len(),
        WINDOW.as_secs()
    );
    thread::sleep(WINDOW);
    let cpu = suite.operator.cpu_seconds() - cpu;
    let mut asked_more: BTreeMap<(String, String), u64> = suite.requests();
    for (what, count) in &asked {
        if let Some(now) = asked_more.get_mut(what) {
            *now -= count;
        }
    }
    asked_more.retain(|_, count| *count > 0);
    println!(
        "  asked for {asked_more:?}; {cpu:.2} s of CPU, {:.0} MiB",
        suite.operator.resident_mib()
    );
    let after = versions(&room);
    let moved = milvus_tests::moved(&before, &after);
    assert!(moved.is_empty(), "{moved:#?}");
    let others: Vec<_> = asked_more
        .keys()
        .filter(|(verb, what)| verb != "watch" && what != "leases")
        .collect();
    assert!(others.is_empty(), "{others:?}");
    let lease = |verb: &str| {
        let key = (verb.to_owned(), "leases".to_owned());
        asked_more.get(&key).copied().unwrap_or_default()
    };
    // A renewal takes a look and a write, every five seconds.
    assert!((5..=15).contains(&lease("update")), "{asked_more:?}");
    assert!(cpu < 1.0, "{cpu} s of CPU");
    suite.restart_with(&ARGUMENTS);
}
