//! Many clusters at once, and one more among them.

use std::time::{Duration, Instant};

use milvus_tests::kubectl::is_ready;
use milvus_tests::wait;
use serde_json::json;

use crate::suite::{is_write, suite};

const CLUSTERS: usize = 40;

/// All come up; the operator's requests, CPU and memory for them are told. Bounds are for machines that do other things as well:
/// what it takes on a quiet one is for the benchmark to say.
#[test]
fn they_all_come_up() {
    let mut suite = suite();
    let room = suite.room("many");
    let (requests, cpu) = (suite.requests(), suite.operator.cpu_seconds());
    let start = Instant::now();
    for number in 0..CLUSTERS {
        room.create(&room.cluster(&format!("many{number}")));
    }
    wait::timed("all of them to be Ready", Duration::from_secs(120), || {
        let all = room.api.list("milvusclusters", &room.namespace, "");
        let ready = all.iter().filter(|c| is_ready(c).is_ok()).count();
        (ready == CLUSTERS)
            .then_some(())
            .ok_or(format!("{ready} of {CLUSTERS}"))
    });
    let took = start.elapsed();
    let now = suite.requests();
    let count = |chosen: &dyn Fn(&str, &str) -> bool| -> u64 {
        let of = |all: &std::collections::BTreeMap<(String, String), u64>| -> u64 {
            let chosen = all.iter().filter(|((verb, what), _)| chosen(verb, what));
            chosen.map(|(_, n)| n).sum()
        };
        of(&now) - of(&requests)
    };
    let per = |n: u64| n as f64 / CLUSTERS as f64;
    println!(
        "  {CLUSTERS} clusters: {:.1} s; each {:.1} requests, {:.1} writes, {:.1} events; {:.2} s of CPU, {:.0} MiB",
        took.as_secs_f64(),
        per(count(&|verb, _| verb != "watch")),
        per(count(&|verb, what| is_write(verb) && what != "events")),
        per(count(&|_, what| what == "events")),
        suite.operator.cpu_seconds() - cpu,
        suite.operator.resident_mib(),
    );

    // Repair and one more among them.
    room.change(
        "deployments",
        "many7-proxy",
        &json!({"spec": {"replicas": 2}}),
    );
    let event = room.event("many7", 0, "Repaired", &["many7-proxy"]);
    println!("    {event}");
    room.create(&room.cluster("more"));
    let took = room.ready("more", Duration::from_secs(30));
    assert!(took < Duration::from_secs(10), "{took:?}");

    let start = Instant::now();
    for cluster in room.api.names("milvusclusters", &room.namespace, "") {
        room.api
            .delete(room.at("milvusclusters", &cluster), "Background");
    }
    wait::timed("all of them to be gone", Duration::from_secs(120), || {
        let left = room.api.names("milvusclusters", &room.namespace, "");
        left.is_empty().then_some(()).ok_or(format!("{left:?}"))
    });
    println!("  all gone after {:.1} s", start.elapsed().as_secs_f64());
}
