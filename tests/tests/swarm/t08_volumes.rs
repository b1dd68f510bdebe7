//! A store that begins on an emptied volume while its operator is away.

use std::thread;
use std::time::{Duration, Instant};

use milvus_tests::docker::Docker;
use milvus_tests::{client, wait};
use serde_json::json;

use crate::suite::{GONE, SOON, START, Suite, standalone, suite};

const NAME: &str = "emptied";
const PORT: u16 = 19548;
const ANNOTATION: &str = "operator.milvus.io/accept-data-loss";

/// The node of the one member of a component, and its volume.
fn home(suite: &Suite, component: &str) -> (Docker, String) {
    let service = format!("{NAME}_{component}-0");
    let running = suite.docker.running(&service);
    let [task] = running.as_slice() else {
        panic!("{service}: {running:?}");
    };
    let node = suite.bed.node(&task.node).docker();
    let volumes = node.names("volume", &format!("{service}-data"));
    let mut volumes = volumes.into_iter();
    let (Some(volume), None) = (volumes.next(), volumes.next()) else {
        panic!("{service} does not have one volume");
    };
    (node, volume)
}

/// Empties the volume of a store while the operator sees nothing; it finds the service scaled to nothing.
fn empty(suite: &Suite, component: &str) -> String {
    let (node, volume) = home(suite, component);
    suite.behind_its_back(|docker| {
        let scale = format!("{NAME}_{component}-0=0");
        docker.run(&["service", "scale", "-d", &scale]);
        wait::until("its volume to be free", GONE, || {
            // What has ended still holds it.
            node.try_run(&["container", "prune", "-f"]).result()?;
            node.try_run(&["volume", "rm", &volume]).result()
        });
    });
    volume
}

/// What is lost is named in all conditions, and the cluster is not Ready for a while.
fn lost(suite: &Suite, words: &[&str]) {
    let start = Instant::now();
    wait::until("the loss to be named", Duration::from_secs(60), || {
        let degraded = suite.kubectl.condition(NAME, "Degraded");
        let named = words.iter().all(|word| degraded.message.contains(word));
        (degraded.reason == "DataLost" && named)
            .then_some(())
            .ok_or_else(|| format!("{degraded:?}"))
    });
    println!("  named after {:.1} s", start.elapsed().as_secs_f64());
    wait::throughout("the cluster not to be Ready", SOON, || {
        for kind in ["DependenciesReady", "Ready"] {
            let condition = suite.kubectl.condition(NAME, kind);
            if (condition.status.as_str(), condition.reason.as_str()) != ("False", "DataLost") {
                return Err(format!("{condition:?}"));
            }
        }
        Ok(())
    });
}

/// Milvus makes the bucket that it does not find when it starts.
fn restart_milvus(suite: &Suite) {
    let running = suite.docker.running(&format!("{NAME}_standalone-0"));
    for task in running {
        let format = "{{.Status.ContainerStatus.ContainerID}}";
        let container = suite.docker.run(&["inspect", "--format", format, &task.id]);
        let node = suite.bed.node(&task.node).docker();
        node.try_run(&["kill", container.trim()]);
    }
    lost(suite, &["was made anew"]);
}

fn accept(suite: &Suite, component: &str) {
    let annotations = json!({"metadata": {"annotations": {ANNOTATION: component}}});
    suite.kubectl.patch(NAME, &annotations);
    // Until it has been acted on the conditions are those of before.
    thread::sleep(Duration::from_secs(5));
    suite.ready(NAME, START);
}

#[test]
#[ignore = "drill: Milvus starts three times, for two to three minutes; the simulator plays it at every change"]
fn emptied_volumes_are_seen_before_anything_is_ready() {
    let suite = suite();
    let _story = suite.story(NAME);
    suite.remove(NAME);
    suite.kubectl.apply(&standalone(NAME, PORT));
    suite.ready(NAME, START);
    let endpoint = format!("{}:{PORT}", suite.bed.nodes[0].address);
    client::fill_at(&endpoint);
    client::check_at(&endpoint);

    let volume = empty(&suite, "etcd");
    lost(&suite, &[&volume, "accept-data-loss=etcd"]);
    accept(&suite, "etcd");

    let volume = empty(&suite, "minio");
    lost(&suite, &["bucket", &volume, "accept-data-loss=minio"]);
    restart_milvus(&suite);
    accept(&suite, "minio");
    client::fill_at(&endpoint);
    client::check_at(&endpoint);
    suite.remove(NAME);
}
