//! Machines that join, come back as another node, or take no work.

use std::collections::BTreeMap;
use std::time::Duration;

use milvus_tests::{client, wait};
use serde_json::{Value, json};

use crate::suite::{DEMO, GONE, REPAIR, SOON, START, Suite, standalone, suite, versions};

/// Until the Swarm has noticed that a node is away.
const NOTICED: Duration = Duration::from_secs(60);

/// What the ledger of a cluster says of its members.
fn members(suite: &Suite, cluster: &str) -> Result<Value, String> {
    let name = format!("ledger.default.{cluster}");
    let path = "jsonpath={.data.ledger\\.json}";
    let get = ["get", "configmap", &name, "-n", "milvus-system", "-o", path];
    let text = suite.kubectl.try_run(&get).result()?;
    let ledger: Value = serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))?;
    Ok(ledger["members"].clone())
}

/// The object of the operator's store that holds the ledger of a cluster.
fn record(suite: &Suite, cluster: &str) -> String {
    let ending = format!("ledger.default.{cluster}");
    let all = suite.docker.all("config");
    let of_it = |config: &Value| {
        let key = &config["Spec"]["Labels"]["io.milvus.operator/key"];
        key.as_str().is_some_and(|key| key.ends_with(&ending))
    };
    let found = all.iter().find(|(_, config)| of_it(config));
    found
        .unwrap_or_else(|| panic!("no record of {ending}"))
        .0
        .clone()
}

/// Volumes of a cluster on all nodes, and where they are.
fn volumes(suite: &Suite, cluster: &str) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    for node in &suite.bed.nodes {
        for name in node.docker().names("volume", &format!("{cluster}_")) {
            all.insert(name, node.name());
        }
    }
    all
}

/// The ledger is lost while the operator is away, and a machine joins that a new placement would choose: every member stays on its
/// node and its volume, and no process is touched.
#[test]
#[ignore = "drill: a machine joins the Swarm, a minute; the suite has the lost ledger, the simulator both"]
fn a_lost_ledger_and_a_new_machine_move_no_member() {
    let mut suite = suite();
    let _story = suite.demo();
    let seen = |suite: &Suite| {
        let mut processes = suite.docker.running_ids("demo_");
        processes.remove("demo_gateway"); // it has one more on the new machine
        (
            members(suite, DEMO),
            processes,
            versions(&suite.docker, "service", "demo_"),
            volumes(suite, DEMO),
        )
    };
    let before = seen(&suite);
    suite.operator.kill();
    let record = record(&suite, DEMO);
    suite.docker.run(&["config", "rm", &record]);
    let joined = suite.bed.join();
    suite.operator.start();
    wait::until("the ledger to be there again", SOON, || {
        members(&suite, DEMO)
    });
    wait::until("a gateway on the new machine", NOTICED, || {
        let gateways = suite.docker.running("demo_gateway");
        let there = gateways.iter().any(|t| t.node == joined.name());
        there.then_some(()).ok_or_else(|| format!("{gateways:?}"))
    });
    suite.ready(DEMO, START);
    assert_eq!(before, seen(&suite));
    client::check(&joined.address);
    suite.bed.leave();
    suite.ready(DEMO, START);
}

/// A machine with the only members of a cluster leaves the Swarm and joins it again: it has another id and the same data, and is
/// taken for what it is without a word.
#[test]
#[ignore = "drill: a machine joins the Swarm and a Milvus starts on it twice, two minutes; the simulator gives nodes new ids"]
fn a_machine_that_comes_back_under_another_id_keeps_its_data() {
    const NAME: &str = "back";
    let mut suite = suite();
    suite.remove(NAME);
    let machine = suite.bed.join();
    let _story = suite.story(NAME);
    let mut resource = standalone(NAME, 19570);
    let there = json!({"constraints": [format!("node.hostname=={}", machine.name())]});
    resource["spec"]["swarm"]["components"] =
        json!({"etcd": there, "minio": there, "standalone": there});
    suite.kubectl.apply(&resource);
    suite.ready(NAME, START);
    let endpoint = format!("{}:19570", machine.address);
    client::fill_at(&endpoint);
    let (before, data) = (members(&suite, NAME).unwrap(), volumes(&suite, NAME));
    assert!(data.len() >= 3, "{data:?}");

    suite.bed.rejoin(machine.number);
    wait::until("the ledger to name the new id", START, || {
        let now = members(&suite, NAME)?;
        (now != before).then_some(()).ok_or(now.to_string())
    });
    suite.ready(NAME, START);
    let after = members(&suite, NAME).unwrap();
    for (member, entry) in before.as_object().unwrap() {
        let mut moved = after[member].clone();
        assert_ne!(moved["node"], entry["node"], "{member}");
        moved["node"] = entry["node"].clone();
        assert_eq!(&moved, entry, "{member}");
    }
    assert_eq!(data, volumes(&suite, NAME));
    client::check_at(&endpoint);
    suite.remove(NAME);
    suite.bed.leave();
}

/// Twenty clusters whose data is in part on a drained node are deleted: they wait for it and say so, and none of them holds up
/// the repair of another cluster. One is given up there, the others go when the node takes work again.
#[test]
#[ignore = "drill: twenty clusters come and go, three minutes; the simulator drains nodes"]
fn a_drained_node_holds_up_what_is_on_it_alone() {
    let mut suite = suite();
    let _story = suite.demo();
    let names: Vec<String> = (0..20).map(|n| format!("going-{n}")).collect();
    suite.kubectl.run(&[
        "create",
        "secret",
        "generic",
        "going",
        "--from-literal=accesskey=nobody",
        "--from-literal=secretkey=a-long-password",
    ]);
    for (name, port) in names.iter().zip(19600..) {
        suite.kubectl.apply(&waiting(name, port));
    }
    let (first, last) = (&names[0], &names[19]);
    wait::until("all of them to have their places", START, || {
        let missing: Vec<&String> = names
            .iter()
            .filter(|name| members(&suite, name).is_err())
            .collect();
        missing
            .is_empty()
            .then_some(())
            .ok_or_else(|| format!("not yet: {missing:?}"))
    });
    let placed = members(&suite, first).unwrap();
    let node = placed["standalone-0"]["nodeName"]
        .as_str()
        .unwrap()
        .to_owned();
    println!("  {node} is drained");
    let available = |as_what: &str| {
        suite
            .docker
            .run(&["node", "update", "--availability", as_what, &node])
    };
    available("drain");
    for name in &names {
        suite
            .kubectl
            .run(&["delete", "milvuscluster", name, "--wait=false"]);
    }

    for _ in 0..3 {
        suite.docker.run(&["service", "rm", "demo_datanode"]);
        let (_, took) = wait::timed("demo_datanode to be back", SOON, || {
            let back = suite.docker.inspect("service", "demo_datanode");
            back.map(drop).ok_or("it is not there".to_owned())
        });
        assert!(took <= REPAIR, "{took:?}");
    }
    wait::until("the last one to say what it waits for", NOTICED, || {
        let found = suite.kubectl.cluster(last).ok_or("it is gone")?;
        let status = found["status"]["conditions"].to_string();
        let words = [&node, "drained", "abandon-node"];
        let named = words.iter().all(|word| status.contains(*word));
        named.then_some(()).ok_or(status)
    });
    let given_up = format!("operator.milvus.io/abandon-node={node}");
    suite
        .kubectl
        .run(&["annotate", "milvuscluster", first, &given_up]);
    gone(&suite, std::slice::from_ref(first));
    for name in &names[1..] {
        assert!(suite.kubectl.cluster(name).is_some(), "{name} is gone");
    }
    available("active");
    gone(&suite, &names);
    suite.kubectl.run(&["delete", "secret", "going"]);
    suite.ready(DEMO, START);
    client::check(&suite.bed.nodes[0].address);
}

/// A cluster whose Milvus has its place, and waits for external services that do not answer. Its gateway is on the first node alone.
fn waiting(name: &str, port: u16) -> Value {
    let mut resource = standalone(name, port);
    let spec = &mut resource["spec"];
    spec["deletionPolicy"] = json!("Delete");
    spec["config"] = json!({"etcd": {"rootPath": name}});
    spec["dependencies"]["etcd"] = json!({"external": true, "endpoints": ["192.0.2.1:2379"]});
    spec["dependencies"]["storage"] = json!({"external": true, "endpoint": "192.0.2.1:9000", "bucket": "going", "rootPath": name,
        "secretRef": "going"});
    spec["swarm"]["gateway"]["constraints"] = json!(["node.hostname==node1"]);
    resource
}

#[track_caller]
fn gone(suite: &Suite, names: &[String]) {
    wait::until(
        &format!("{} clusters to be gone", names.len()),
        GONE,
        || {
            let list = ["get", "milvusclusters", "-o", "name"];
            let left = suite.kubectl.try_run(&list).result()?;
            let left: Vec<&String> = names
                .iter()
                .filter(|name| left.lines().any(|l| l.ends_with(&format!("/{name}"))))
                .collect();
            left.is_empty()
                .then_some(())
                .ok_or_else(|| format!("left: {left:?}"))
        },
    );
}
