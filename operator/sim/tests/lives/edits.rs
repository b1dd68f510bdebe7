//! What is edited in a resource.

use milvus_crds::{Component, MilvusCluster};

/// Number of edits that there are.
pub const EDITS: u8 = 21;

/// An image that no node has.
const MISSING: &str = "milvusdb/missing:v2.3.5";
/// More memory than two processes find on a node.
const NO_ROOM: &str = "40Gi";

fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn constrain(resource: &mut MilvusCluster, component: &str, rule: &str) {
    let rules = serde_json::json!({ "constraints": [rule] });
    let mut components = serde_json::to_value(&resource.spec.swarm.components).unwrap();
    components[component] = rules;
    resource.spec.swarm.components = from(components);
}

fn data_node(resource: &mut MilvusCluster) -> &mut Component {
    resource.spec.components.data_node.get_or_insert_default()
}

fn query_node(resource: &mut MilvusCluster) -> &mut Component {
    resource.spec.components.query_node.get_or_insert_default()
}

/// Makes one of the edits.
pub fn edit(r: &mut MilvusCluster, number: u8) {
    match number % EDITS {
        0 => query_node(r).replicas = Some(3),
        1 => query_node(r).replicas = Some(1),
        2 => {
            let debug = serde_json::json!({"level": "debug"});
            r.spec.config.insert("log".to_owned(), debug);
        }
        3 => r.spec.config = serde_json::Map::new(),
        5 => constrain(r, "queryNode", "node.hostname!=node-2"),
        6 => constrain(r, "etcd", "node.hostname!=node-1"),
        12 => query_node(r).image = Some("milvusdb/other:v2.3.5".to_owned()),
        13 => {
            let proxy = r.spec.components.proxy.get_or_insert_default();
            proxy.common.image = Some(MISSING.to_owned());
        }
        14 => constrain(r, "proxy", "node.role==manager"),
        18 => {
            query_node(r).replicas = Some(6);
            query_node(r).resources.requests.memory = Some(from(NO_ROOM.into()));
        }
        19 => {
            let ends = serde_json::json!({"name": "CRASH", "value": "1"});
            data_node(r).env = vec![from(ends)];
        }
        20 => query_node(r).image = None,
        _ => edit_dependencies(r, number % EDITS),
    }
}

fn edit_dependencies(r: &mut MilvusCluster, number: u8) {
    let dependencies = &mut r.spec.dependencies;
    let etcd = &mut dependencies.etcd.in_cluster.values;
    let minio = &mut dependencies.storage.in_cluster.values;
    let pulsar = &mut dependencies.pulsar.in_cluster.values;
    match number {
        4 => etcd.auto_compaction_retention = Some("2000".to_owned()),
        7 => {
            let slow = ("MINIO_SCANNER_SPEED".to_owned(), "slow".to_owned());
            minio.environment.extend([slow]);
        }
        9 => minio.image.tag = Some("RELEASE.other".to_owned()),
        10 => minio.environment.clear(),
        // There may be more bookies, and not less.
        11 if pulsar.bookkeeper.replica_count == Some(3) => {
            pulsar.bookkeeper.replica_count = Some(4);
        }
        15 => minio.resources.requests.memory = Some(from("256Mi".into())),
        16 => pulsar.zookeeper.mem = Some("-Xms64m -Xmx192m".to_owned()),
        17 => {
            let more = "-Xms128m -Xmx384m -XX:MaxDirectMemorySize=256m";
            pulsar.bookkeeper.mem = Some(more.to_owned());
        }
        // Four members are refused; the cluster must stay as it is.
        8 => etcd.replica_count = Some(4),
        _ => {}
    }
}

/// Takes back what no cluster can come to rest with.
pub fn put_right(r: &mut MilvusCluster) {
    let etcd = &mut r.spec.dependencies.etcd.in_cluster.values;
    if etcd.replica_count == Some(4) {
        etcd.replica_count = Some(3);
    }
    // Refused where a member of etcd is on that node.
    r.spec.swarm.components.etcd = None;
    if let Some(proxy) = &mut r.spec.components.proxy
        && proxy.common.image.as_deref() == Some(MISSING)
    {
        proxy.common.image = None;
    }
    if query_node(r).resources.requests.memory == Some(from(NO_ROOM.into())) {
        query_node(r).resources.requests.memory = None;
        query_node(r).replicas = Some(2);
    }
    data_node(r).env.clear();
}
