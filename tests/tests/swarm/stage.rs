//! The Swarm as the behaviours see it that every platform promises.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milvus_tests::behaviour::{DEMO, Limits, SINGLE, Stage, Workload};
use milvus_tests::client;
use milvus_tests::docker::Docker;
use milvus_tests::kubectl::Kubectl;
use serde_json::{Value, json};

use crate::suite::{GONE, START, Suite, demo, standalone, versions};

/// Components with data have a service for each member, and the table acts on the first.
fn service(cluster: &str, component: &str) -> String {
    let ordinal = match component {
        "etcd" | "minio" | "zookeeper" | "bookkeeper" | "standalone" => "-0",
        _ => "",
    };
    format!("{cluster}_{component}{ordinal}")
}

/// Where a cluster of the table is reached on each node.
fn port(cluster: &str) -> u16 {
    match cluster {
        DEMO => 19530,
        SINGLE => 19540,
        _ => 19542,
    }
}

/// When a directory of a node (which is on this machine) was made. What the engine calls the creation of a volume moves with the
/// files in it.
fn made(path: &Value) -> String {
    let made = std::fs::metadata(path.as_str().unwrap_or_default()).and_then(|m| m.created());
    format!("{made:?}")
}

fn replicas(docker: &Docker, service: &str) -> Option<u64> {
    docker.inspect("service", service)?["Spec"]["Mode"]["Replicated"]["Replicas"].as_u64()
}

impl Stage for Suite {
    fn kubectl(&self) -> &Kubectl {
        &self.kubectl
    }

    fn demo(&self) -> Value {
        demo()
    }

    fn standalone(&self, name: &str) -> Value {
        standalone(name, port(name))
    }

    fn held(&self, name: &str) -> Value {
        Stage::standalone(self, name)
    }

    fn let_go(&mut self, _cluster: &str) {}

    fn limits(&self) -> Limits {
        Limits {
            start: START,
            gone: GONE,
            repair: Duration::from_secs(60),
            told: Duration::from_secs(30),
            passes: Duration::from_secs(20),
        }
    }

    fn workload(&self, cluster: &str, component: &str) -> Workload {
        let name = service(cluster, component);
        Workload {
            key: format!("service {name}"),
            name,
        }
    }

    fn replicas_field(&self) -> &'static str {
        "Mode.Replicated.Replicas"
    }

    fn endpoints(&self, cluster: &str) -> Vec<String> {
        let port = port(cluster);
        let nodes = self.bed.nodes.iter();
        nodes.map(|n| format!("{}:{port}", n.address)).collect()
    }

    fn own_reasons(&self) -> &'static [&'static str] {
        // Elsewhere the platform itself chooses nodes, and tells what it chose.
        &["Placed", "PlacementAtRisk"]
    }

    fn setting_of_another_platform(&self) -> (&'static str, Value) {
        (
            "spec.kubernetes.components.proxy",
            json!({"hostNetwork": true}),
        )
    }

    fn ledger(&self, cluster: &str) -> (String, String) {
        (
            "milvus-system".to_owned(),
            format!("ledger.default.{cluster}"),
        )
    }

    fn processes(&self, cluster: &str) -> BTreeMap<String, BTreeSet<String>> {
        let prefix = format!("{cluster}_");
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (service, ids) in self.docker.running_ids(&prefix) {
            let name = service.trim_start_matches(&prefix);
            let component = match name.rsplit_once('-') {
                Some((component, ordinal)) if ordinal.parse::<u32>().is_ok() => component,
                _ => name,
            };
            all.entry(component.to_owned()).or_default().extend(ids);
        }
        all
    }

    fn written(&self, cluster: &str) -> BTreeMap<String, String> {
        let prefix = format!("{cluster}_");
        let mut all = BTreeMap::new();
        for kind in ["service", "config", "secret"] {
            for (name, index) in versions(&self.docker, kind, &prefix) {
                all.insert(format!("{kind} {name}"), format!("version {index}"));
            }
        }
        for (name, network) in self.docker.all("network") {
            if name.starts_with(&prefix) {
                all.insert(format!("network {name}"), network["Id"].to_string());
            }
        }
        // What the operator does on single nodes, as removing volumes: none is there at rest, and none may be left.
        for (name, index) in versions(&self.docker, "service", "milvus-node-task") {
            all.insert(format!("service {name}"), format!("version {index}"));
        }
        all
    }

    fn data(&self, cluster: &str) -> BTreeMap<String, String> {
        let prefix = format!("{cluster}_");
        let mut all = BTreeMap::new();
        for node in &self.bed.nodes {
            for (volume, object) in node.docker().all("volume") {
                if volume.starts_with(&prefix) {
                    let place = format!("{volume} on {}", node.name());
                    all.insert(place, made(&object["Mountpoint"]));
                }
            }
        }
        all
    }

    fn replicas(&self, cluster: &str, component: &str) -> Option<u64> {
        replicas(&self.docker, &service(cluster, component))
    }

    fn remove_workload(&mut self, cluster: &str, component: &str) {
        let service = service(cluster, component);
        self.docker.run(&["service", "rm", &service]);
    }

    fn edit_replicas(&mut self, cluster: &str, component: &str, replicas: u64) {
        let asked = format!("{}={replicas}", service(cluster, component));
        self.docker.run(&["service", "scale", "-d", &asked]);
    }

    fn stand_in_the_way(&mut self, cluster: &str, component: &str) {
        let name = service(cluster, component);
        let image = ["milvusdb/etcd:3.6.16", "sleep", "100000"];
        let mut create = vec!["service", "create", "-d", "--name", &name];
        create.extend(image);
        self.docker.run(&create);
    }

    fn in_the_way(&self, cluster: &str, component: &str) -> Option<Value> {
        let name = service(cluster, component);
        let found = self.docker.inspect("service", &name)?;
        let theirs = found["Spec"]["Labels"]
            .as_object()
            .is_none_or(|l| l.is_empty());
        theirs.then(|| json!([found["ID"], found["Version"], found["Spec"]]))
    }

    fn step_aside(&mut self, cluster: &str, component: &str) {
        self.remove_workload(cluster, component);
    }

    fn fill(&mut self, cluster: &str) {
        if cluster == DEMO {
            self.fill_demo();
        } else {
            client::fill_at(&self.endpoints(cluster)[0]);
        }
    }

    fn find(&mut self, cluster: &str) {
        for endpoint in [0, self.bed.nodes.len() - 1] {
            client::check_at(&self.endpoints(cluster)[endpoint]);
        }
    }

    fn kill_operator(&mut self) {
        self.operator.kill();
    }

    fn start_operator(&mut self) {
        if !self.kubectl.try_run(&["get", "--raw", "/readyz"]).ok() {
            self.operator.kill();
            self.operator.start();
        }
    }

    fn tell(&self, cluster: &str) {
        self.story(cluster).tell();
    }
}
