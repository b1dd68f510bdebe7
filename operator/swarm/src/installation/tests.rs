use serde_json::{Value, json};

use super::*;
use crate::api::wire::Task;

fn operator() -> OperatorService {
    OperatorService {
        image: "milvus-operator:dev".to_owned(),
        image_id: None,
        args: vec![
            "run".to_owned(),
            "--platform=swarm".to_owned(),
            "--api-address=a \"b\"".to_owned(),
        ],
        authority_generation: 2,
        docker_socket: "/var/run/docker.sock".to_owned(),
        constraints: vec!["node.hostname==m1".to_owned()],
    }
}

/// What an engine answers for a spec that it was given: ids for names, and fillings of its own.
fn stored(service: &OperatorService) -> wire::Service {
    let mut spec = service.spec(Some(&"k2".to_owned()), Some(&"s".to_owned()));
    spec["TaskTemplate"]["Networks"] = json!([{ "Target": "ry8zx2w1v0", "Aliases": ["operator"] }]);
    spec["TaskTemplate"]["Runtime"] = json!("container");
    spec["TaskTemplate"]["ForceUpdate"] = json!(3);
    spec["TaskTemplate"]["ContainerSpec"]["Isolation"] = json!("default");
    spec["TaskTemplate"]["ContainerSpec"]["DNSConfig"] = json!({});
    serde_json::from_value(json!({ "ID": "x", "Version": { "Index": 9 }, "Spec": spec }))
        .expect("service")
}

fn wanted(service: &OperatorService) -> Value {
    service.spec(Some(&"k2".to_owned()), Some(&"s".to_owned()))
}

#[test]
fn the_engines_form() {
    insta::assert_yaml_snapshot!(wanted(&operator()));
}

#[test]
fn the_compose_form() {
    insta::assert_snapshot!(compose(&operator()));
}

#[test]
fn an_installation_like_that_is_left_alone() {
    assert_eq!(upgrade(wanted(&operator()), &stored(&operator())), None);
}

#[test]
fn an_upgrade_names_what_it_changes() {
    let mut newer = operator();
    newer.image = "milvus-operator:2".to_owned();
    newer.constraints.clear();
    let (changes, spec) = upgrade(wanted(&newer), &stored(&operator())).expect("changes");
    assert_eq!(
        changes,
        [
            "TaskTemplate.ContainerSpec.Image",
            "TaskTemplate.Placement.Constraints"
        ]
    );
    assert_eq!(
        spec["TaskTemplate"]["ForceUpdate"], 3,
        "an update must not also force one"
    );
}

#[test]
fn a_hands_additions_are_taken_back() {
    let mut edited = stored(&operator());
    edited.spec["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["MILVUS_OPERATOR_LOG=trace"]);
    edited.spec["Mode"]["Replicated"]["Replicas"] = json!(0);
    let (changes, _) = upgrade(wanted(&operator()), &edited).expect("changes");
    assert_eq!(
        changes,
        ["Mode.Replicated.Replicas", "TaskTemplate.ContainerSpec.Env"]
    );
}

#[test]
fn another_image_under_the_same_name_restarts_the_operator() {
    let mut rebuilt = operator();
    rebuilt.image_id = Some("sha256:2".to_owned());
    let mut before = operator();
    before.image_id = Some("sha256:1".to_owned());
    let (changes, spec) = upgrade(wanted(&rebuilt), &stored(&before)).expect("changes");
    assert_eq!(changes, ["Labels"]);
    assert_eq!(spec["TaskTemplate"]["ForceUpdate"], 4);
    assert_eq!(upgrade(wanted(&before), &stored(&before)), None);
    // Deployed as a stack in between, which leaves no hash: the label comes back, and nothing restarts.
    let (changes, spec) = upgrade(wanted(&before), &stored(&operator())).expect("changes");
    assert_eq!(changes, ["Labels"]);
    assert_eq!(spec["TaskTemplate"]["ForceUpdate"], 3);
}

#[test]
fn secrets_are_found_by_name_and_the_newest_counts() {
    let file = |name: &str| -> StoredFile {
        serde_json::from_value(json!({ "ID": format!("id-{name}"), "Spec": { "Name": name } }))
            .expect("file")
    };
    let names = [
        "milvus-operator-keys-2",
        "milvus-operator-keys-10",
        "milvus-operator-seal",
        "milvus-operator-keys-x",
        "milvus-operator-other",
    ];
    let secrets = secrets_of(&names.map(file)).expect("secrets");
    assert_eq!(secrets.authority(), Some(10));
    assert_eq!(secrets.authorities.len(), 2);
    assert_eq!(secrets.sealing.as_deref(), Some("id-milvus-operator-seal"));
    assert_eq!(secrets_of(&[]).expect("none"), Secrets::default());
}

#[test]
fn the_newest_task_tells_how_the_operator_is() {
    let service = stored(&operator());
    let task = |state: &str, err: &str, spec: &Value| -> Task {
        serde_json::from_value(json!({
            "ID": "t", "NodeID": "n1", "Spec": spec,
            "Status": { "State": state, "Message": "started", "Err": err },
        }))
        .expect("task")
    };
    let current = service.spec["TaskTemplate"].clone();
    let old = json!({ "ContainerSpec": { "Image": "milvus-operator:old" } });
    let tasks = [
        task("running", "", &current),
        task("failed", "exit 1", &current),
        task("shutdown", "", &old),
    ];
    let state = state_of(&service, &tasks);
    assert_eq!(state.failures, ["exit 1"]);
    let newest = state.task.clone().expect("task");
    assert!(newest.current);
    assert_eq!(
        (
            newest.state.as_str(),
            newest.message.as_str(),
            newest.node.as_str()
        ),
        ("running", "started", "n1")
    );
    assert_eq!(state.last_failure.as_deref(), Some("exit 1"));
    let before = [
        task("running", "", &current),
        task("failed", "exit 3", &old),
    ];
    let state = state_of(&service, &before);
    assert_eq!(
        state.failures,
        Vec::<String>::new(),
        "what an earlier spec did is not held against this one"
    );
    assert_eq!(state.last_failure.as_deref(), Some("exit 3"));
    let state = state_of(&service, &tasks[2..]);
    assert!(!state.task.expect("task").current);
}

#[test]
fn an_operator_that_has_not_ended_is_named_with_its_node() {
    let task = |node: &str, state: &str| -> Task {
        serde_json::from_value(json!({ "ID": "t", "NodeID": node, "Status": { "State": state } }))
            .expect("task")
    };
    let node = |id: &str, name: &str, state: &str| -> wire::Node {
        serde_json::from_value(json!({
            "ID": id, "Description": { "Hostname": name }, "Status": { "State": state },
        }))
        .expect("node")
    };
    let nodes = [node("n1", "m1", "ready"), node("n2", "m2", "down")];
    let tasks = [
        task("n1", "shutdown"),
        task("n1", "running"),
        task("n2", "starting"),
        task("", "pending"),
    ];
    let found: Vec<(String, bool)> = state::running_of(&tasks, &nodes)
        .into_iter()
        .map(|task| (task.node, task.node_answers))
        .collect();
    let wanted = [("m1", true), ("m2", false), ("", true)];
    assert_eq!(
        found,
        wanted.map(|(node, answers)| (node.to_owned(), answers))
    );
}
