//! Kubernetes as the behaviours see it that every platform promises. Its nodes are fake: no client finds anything here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milvus_tests::api::At;
use milvus_tests::behaviour::{Limits, Stage, Workload};
use milvus_tests::kubectl::Kubectl;
use milvus_tests::wait;
use serde_json::{Value, json};

use crate::suite::{ARGUMENTS, Room, SOON, START, Suite};

/// A room of the suite.
pub struct On<'a> {
    pub suite: &'a mut Suite,
    pub room: Room,
}

/// What runs a component.
fn kind(component: &str) -> &'static str {
    match component {
        "etcd" | "minio" | "zookeeper" | "bookkeeper" | "broker" | "standalone" => "statefulsets",
        _ => "deployments",
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl On<'_> {
    fn object(&self, cluster: &str, component: &str) -> Option<Value> {
        self.room.find(kind(component), &name(cluster, component))
    }

    fn of_cluster(&self, kind: &str, cluster: &str) -> Vec<Value> {
        let select = format!("app.kubernetes.io/instance={cluster}");
        self.room.api.list(kind, &self.room.namespace, &select)
    }

    fn at<'a>(&'a self, component: &str, name: &'a str) -> At<'a> {
        self.room.at(kind(component), name)
    }
}

fn name(cluster: &str, component: &str) -> String {
    format!("{cluster}-{component}")
}

impl Stage for On<'_> {
    fn kubectl(&self) -> &Kubectl {
        &self.room.kubectl
    }

    fn demo(&self) -> Value {
        self.room.sample("demo.yaml")
    }

    fn standalone(&self, name: &str) -> Value {
        self.room.standalone(name)
    }

    fn held(&self, name: &str) -> Value {
        let mut resource = self.room.standalone(name);
        let held = json!({"podAnnotations": {"testbed/hold": "yes"}});
        resource["spec"]["kubernetes"] = json!({"components": {"etcd": held}});
        resource
    }

    fn let_go(&mut self, cluster: &str) {
        wait::until("the pod that is held", SOON, || {
            let pod = format!("{cluster}-etcd-0");
            self.room
                .find("pods", &pod)
                .map(drop)
                .ok_or("it is not there".to_owned())
        });
        let free = json!({"metadata": {"annotations": {"testbed/hold": null}}});
        self.room
            .change("pods", &format!("{cluster}-etcd-0"), &free);
    }

    fn limits(&self) -> Limits {
        Limits {
            start: START,
            gone: START,
            repair: SOON,
            told: SOON,
            passes: Duration::from_secs(3),
        }
    }

    fn workload(&self, cluster: &str, component: &str) -> Workload {
        let name = name(cluster, component);
        Workload {
            key: format!("{} {name}", kind(component)),
            name,
        }
    }

    fn replicas_field(&self) -> &'static str {
        "spec.replicas"
    }

    fn endpoints(&self, cluster: &str) -> Vec<String> {
        vec![format!("{cluster}-milvus.{}:19530", self.room.namespace)]
    }

    fn own_reasons(&self) -> &'static [&'static str] {
        &[]
    }

    fn setting_of_another_platform(&self) -> (&'static str, Value) {
        ("spec.swarm.gateway.port", json!(19540))
    }

    fn ledger(&self, cluster: &str) -> (String, String) {
        (self.room.namespace.clone(), format!("{cluster}-ledger"))
    }

    fn processes(&self, cluster: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for pod in self.of_cluster("pods", cluster) {
            let metadata = &pod["metadata"];
            if pod["status"]["phase"] == "Running" && metadata["deletionTimestamp"].is_null() {
                let component = text(&metadata["labels"]["app.kubernetes.io/component"]);
                all.entry(component)
                    .or_default()
                    .insert(text(&metadata["uid"]));
            }
        }
        all
    }

    fn written(&self, cluster: &str) -> BTreeMap<String, String> {
        self.room.identities(cluster)
    }

    fn data(&self, cluster: &str) -> BTreeMap<String, String> {
        let claims = self.of_cluster("persistentvolumeclaims", cluster);
        let one = |claim: &Value| {
            let metadata = &claim["metadata"];
            (text(&metadata["name"]), text(&metadata["uid"]))
        };
        claims.iter().map(one).collect()
    }

    fn replicas(&self, cluster: &str, component: &str) -> Option<u64> {
        self.object(cluster, component)?["spec"]["replicas"].as_u64()
    }

    fn remove_workload(&mut self, cluster: &str, component: &str) {
        let name = name(cluster, component);
        self.room
            .api
            .delete(self.at(component, &name), "Background");
    }

    fn edit_replicas(&mut self, cluster: &str, component: &str, replicas: u64) {
        let patch = json!({"spec": {"replicas": replicas}});
        let name = name(cluster, component);
        self.room.change(kind(component), &name, &patch);
    }

    fn stand_in_the_way(&mut self, cluster: &str, component: &str) {
        let theirs = json!({"metadata": {"name": name(cluster, component), "labels": {"app": "theirs"}}, "spec": {
            "selector": {"matchLabels": {"app": "theirs"}}, "template": {"metadata": {"labels": {"app": "theirs"}},
            "spec": {"containers": [{"name": "theirs", "image": "theirs:1"}]}}}});
        self.room
            .api
            .create(kind(component), &self.room.namespace, &theirs)
            .unwrap();
        wait::until("its controller to be done with it", SOON, || {
            let found = self.object(cluster, component).unwrap_or_default();
            let status = &found["status"];
            (status["readyReplicas"] == 1)
                .then_some(())
                .ok_or(status.to_string())
        });
    }

    fn in_the_way(&self, cluster: &str, component: &str) -> Option<Value> {
        let mut found = self.object(cluster, component)?;
        found["status"] = Value::Null;
        found["metadata"]["resourceVersion"] = Value::Null;
        found["metadata"]["managedFields"] = Value::Null;
        (found["metadata"]["labels"]["app"] == "theirs").then_some(found)
    }

    fn step_aside(&mut self, cluster: &str, component: &str) {
        self.remove_workload(cluster, component);
    }

    fn fill(&mut self, _cluster: &str) {}

    fn find(&mut self, _cluster: &str) {}

    fn kill_operator(&mut self) {
        self.suite.operator.kill();
    }

    fn start_operator(&mut self) {
        if self.suite.operator.health("/readyz").is_err() {
            self.suite.operator.kill();
            self.suite.operator.start_with(&ARGUMENTS);
        }
    }

    fn tell(&self, _cluster: &str) {
        self.room.tell();
    }
}
