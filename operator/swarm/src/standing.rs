//! What the services of a cluster tell of its members, for a cluster whose ledger is lost: their constraint, their mounts and
//! their arguments. Pure.

use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::Owner;
use milvus_core::rebuild::Standing;
use serde_json::Value;

use crate::api::wire::{Service, Task};
use crate::labels;

/// The constraint that pins a member to its node.
const PINNED: &str = "node.id==";
/// States of a task whose process has not begun.
const NOT_BEGUN: [&str; 9] = [
    "new",
    "allocated",
    "pending",
    "assigned",
    "accepted",
    "preparing",
    "ready",
    "starting",
    "rejected",
];

/// Every workload of a cluster, for whichever resource of its name it was made.
pub(crate) fn standing(
    cluster: &ClusterKey,
    services: &[Service],
    tasks: &[Task],
) -> Vec<Standing> {
    services
        .iter()
        .filter_map(|service| of(cluster, service, tasks))
        .collect()
}

fn of(cluster: &ClusterKey, service: &Service, tasks: &[Task]) -> Option<Standing> {
    let all = service.labels();
    let uid = all.get(labels::CLUSTER_UID)?.clone();
    let made_for = ClusterRef {
        key: cluster.clone(),
        uid: uid.clone(),
        generation: 0,
    };
    if labels::owner_of(&all, &made_for) != Owner::Ours || all.contains_key(labels::NODE_TASK) {
        return None;
    }
    let started = tasks.iter().any(|task| {
        task.service_id == service.id && !NOT_BEGUN.contains(&task.status.state.as_str())
    });
    let mut standing = Standing {
        workload: labels::workload_of(&all)?,
        uid,
        node: texts(service, "/TaskTemplate/Placement/Constraints")
            .find_map(|rule| rule.strip_prefix(PINNED))
            .map(str::to_owned),
        volumes: Vec::new(),
        paths: Vec::new(),
        image: service
            .spec
            .pointer("/TaskTemplate/ContainerSpec/Image")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        args: texts(service, "/TaskTemplate/ContainerSpec/Args")
            .map(str::to_owned)
            .collect(),
        started,
    };
    for mount in list(service, "/TaskTemplate/ContainerSpec/Mounts") {
        let text = |pointer: &str| mount.pointer(pointer).and_then(Value::as_str);
        let source = text("/Source").filter(|source| !source.is_empty());
        match (text("/Type"), source) {
            (Some("volume"), Some(name)) => {
                standing.volumes.push(name.to_owned());
                let options = "/VolumeOptions/DriverConfig/Options";
                if text(&format!("{options}/type")) == Some("none")
                    && let Some(device) = text(&format!("{options}/device"))
                {
                    standing.paths.push(unescaped(device));
                }
            }
            (Some("bind"), Some(path)) => standing.paths.push(unescaped(path)),
            // A volume without a name ends with its container, and so does memory.
            _ => {}
        }
    }
    Some(standing)
}

/// A path as it was before its braces were kept from the engine's templates.
fn unescaped(path: &str) -> String {
    path.replace("{{\"{{\"}}", "{{")
}

fn list<'a>(service: &'a Service, pointer: &str) -> impl Iterator<Item = &'a Value> {
    let found = service.spec.pointer(pointer).and_then(Value::as_array);
    found.into_iter().flatten()
}

fn texts<'a>(service: &'a Service, pointer: &str) -> impl Iterator<Item = &'a str> {
    list(service, pointer).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn service(id: &str, labels: Value, template: Value) -> Service {
        serde_json::from_value(json!({
            "ID": id, "Spec": {"Name": id, "Labels": labels, "TaskTemplate": template}}))
        .unwrap()
    }

    #[test]
    fn services_tell_where_their_members_live() {
        let template = json!({
            "Placement": {"Constraints": ["node.id==n2", "node.labels.disk==ssd"]},
            "ContainerSpec": {
                "Image": "etcd:3@sha256:00",
                "Args": ["--name=etcd-0", "--initial-cluster-token=t"],
                "Mounts": [
                    {"Type": "volume", "Source": "demo_etcd-0-data-c0ffee-e1", "Target": "/data"},
                    {"Type": "volume", "Target": "/tmp"},
                    {"Type": "volume", "Source": "demo_etcd-0-x-c0ffee-e1", "Target": "/x", "VolumeOptions": {
                        "DriverConfig": {"Options": {"type": "none", "device": "/srv/demo/etcd-0-x-c0ffee-e1"}}}},
                    {"Type": "bind", "Source": "/srv/{{\"{{\"}}a/demo/etcd-0-c0ffee-e1", "Target": "/y"}]}});
        let owned = |uid: &str| {
            json!({
                (labels::CLUSTER): "default/demo", (labels::CLUSTER_UID): uid, (labels::COMPONENT): "etcd",
                (labels::ORDINAL): "0"})
        };
        let mut helper = owned("u1");
        helper[labels::NODE_TASK] = json!("make-directory");
        let mut other = owned("u1");
        other[labels::CLUSTER] = json!("team/demo");
        let services = [
            service("s1", owned("u1"), template.clone()),
            service("s2", helper, template.clone()),
            service("s3", other, template.clone()),
            service("s4", json!({}), template.clone()),
            service("s5", owned("u0"), template),
        ];
        let task = |service: &str, state: &str| -> Task {
            serde_json::from_value(
                json!({"ID": "t", "ServiceID": service, "Status": {"State": state}}),
            )
            .unwrap()
        };
        let tasks = [
            task("s1", "pending"),
            task("s1", "running"),
            task("s5", "preparing"),
        ];
        let found = standing(&ClusterKey::new("default", "demo"), &services, &tasks);
        let expected = Standing {
            workload: milvus_core::component::WorkloadKey::member(
                milvus_core::component::Component::Etcd,
                0,
            ),
            uid: "u1".to_owned(),
            node: Some("n2".to_owned()),
            volumes: vec![
                "demo_etcd-0-data-c0ffee-e1".to_owned(),
                "demo_etcd-0-x-c0ffee-e1".to_owned(),
            ],
            paths: vec![
                "/srv/demo/etcd-0-x-c0ffee-e1".to_owned(),
                "/srv/{{a/demo/etcd-0-c0ffee-e1".to_owned(),
            ],
            image: "etcd:3@sha256:00".to_owned(),
            args: vec![
                "--name=etcd-0".to_owned(),
                "--initial-cluster-token=t".to_owned(),
            ],
            started: true,
        };
        let later = Standing {
            uid: "u0".to_owned(),
            started: false,
            ..expected.clone()
        };
        assert_eq!(found, [expected, later]);
    }
}
