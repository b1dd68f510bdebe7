//! Edits of a running cluster: only what they concern, and nothing of those that cannot be.

use serde_json::{Value, json};

use super::looks::{demo, differing, event, events, only, ready, resource, settled, told};
use super::{DEMO, Stage, repair};
use crate::kubectl::{condition, is_ready};
use crate::wait;

pub(super) fn scaled(stage: &mut dyn Stage) {
    demo(stage);
    let key = stage.workload(DEMO, "querynode").key;
    let (written, processes) = (stage.written(DEMO), stage.processes(DEMO));
    for replicas in [2, 1] {
        let asked = format!("--replicas={replicas}");
        stage
            .kubectl()
            .run(&["scale", "milvuscluster", DEMO, &asked]);
        let found = ready(stage, DEMO);
        let now = stage.processes(DEMO);
        let nodes = &now["querynode"];
        assert_eq!(nodes.len(), replicas, "{nodes:?}");
        let of = &found["status"]["components"]["queryNode"];
        assert_eq!(of["replicas"], replicas, "{of}");
        assert_eq!(of["ready"], replicas, "{of}");
        if replicas == 2 {
            let first = &processes["querynode"];
            assert!(nodes.is_superset(first), "the first was restarted");
            // With the role itself, what goes beside it: a budget is for two or more.
            let differs = differing(&written, &stage.written(DEMO));
            assert!(differs.contains(&key), "{differs:?}");
            let of_it = |name: &String| name.ends_with("querynode");
            assert!(differs.iter().all(of_it), "{differs:?}");
            only("processes", &processes, &now, &["querynode"]);
        } else {
            // Which of two ends is the platform's choice.
            let mut now = now.clone();
            now.insert("querynode".to_owned(), processes["querynode"].clone());
            only("processes", &processes, &now, &[]);
        }
    }
}

pub(super) fn environment(stage: &mut dyn Stage) {
    let found = demo(stage);
    let workload = stage.workload(DEMO, "datanode");
    let (written, processes) = (stage.written(DEMO), stage.processes(DEMO));
    let told = events(stage, DEMO).len();
    // Another value each time, so that it is an edit each time.
    let value = found["metadata"]["generation"].to_string();
    let env = json!([{"name": "EDITED", "value": value}]);
    let patch = json!({"spec": {"components": {"dataNode": {"env": env}}}});
    stage.kubectl().patch(DEMO, &patch);
    let found = waited(stage);
    assert_eq!(found["status"]["components"]["dataNode"]["updated"], 1);
    only("written", &written, &stage.written(DEMO), &[&workload.key]);
    only(
        "processes",
        &processes,
        &stage.processes(DEMO),
        &["datanode"],
    );
    let said = event(stage, DEMO, told, "Updated", &[&workload.name]);
    assert_eq!(said.kind, "Normal", "{said:?}");
}

/// [`DEMO`] as `kubectl wait --for=condition=Ready` lets a script go on, asked for right after an edit: with all of the edit
/// carried out.
#[track_caller]
fn waited(stage: &dyn Stage) -> Value {
    let wait = [
        "wait",
        "--for=condition=Ready",
        "milvuscluster/demo",
        "--timeout=20s",
    ];
    wait::until("kubectl wait to end", stage.limits().start, || {
        stage.kubectl().try_run(&wait).result().map(drop)
    });
    let found = resource(stage, DEMO);
    assert_eq!(is_ready(&found), Ok(()));
    assert_eq!(condition(&found, "Updated").status, "True", "{found:#}");
    found
}

/// A spec with a value at a path (`spec.a.b`).
fn at(path: &str, value: Value) -> Value {
    path.rsplit('.')
        .fold(value, |inner, step| json!({step: inner}))
}

pub(super) fn refused(stage: &mut dyn Stage) {
    demo(stage);
    let (foreign, setting) = stage.setting_of_another_platform();
    let platform: Vec<&str> = foreign.split('.').take(2).collect();
    const SIZE: &str = "spec.dependencies.etcd.inCluster.values.replicaCount";
    for (what, edit, undo, path, reason) in [
        (
            "a change of version",
            at("spec.components.image", json!("milvusdb/milvus:v2.3.0")),
            at("spec.components.image", json!("milvusdb/milvus:v2.3.5")),
            "spec.components.image",
            "NotSupportedYet",
        ),
        (
            "more members of etcd",
            at(SIZE, json!(5)),
            at(SIZE, json!(3)),
            SIZE,
            "NotSupportedYet",
        ),
        (
            "a setting of another platform",
            at(foreign, setting),
            at(&platform.join("."), Value::Null),
            foreign,
            "UnsupportedOnPlatform",
        ),
    ] {
        println!("    {what}");
        let (before, processes) = (stage.written(DEMO), stage.processes(DEMO));
        let (status, count) = (resource(stage, DEMO), events(stage, DEMO).len());
        stage.kubectl().patch(DEMO, &edit);
        let accepted = told(stage, DEMO, "Accepted", ("False", reason), &[path]);
        let said = event(stage, DEMO, count, reason, &[path]);
        assert_eq!(said.kind, "Warning", "{said:?}");
        assert!(accepted.message.contains(&said.message), "{said:?}");
        told(stage, DEMO, "Progressing", ("False", "InvalidSpec"), &[]);
        let now = resource(stage, DEMO);
        assert_eq!(now["status"]["phase"], "Invalid");
        // The cluster itself runs as it did, by the last good spec.
        for kept in [
            "components",
            "dependencies",
            "endpoint",
            "version",
            "images",
        ] {
            assert_eq!(now["status"][kept], status["status"][kept], "{kept}");
        }
        assert_eq!(condition(&now, "Ready").status, "True", "{now:#}");
        only("written", &before, &stage.written(DEMO), &[]);
        only("processes", &processes, &stage.processes(DEMO), &[]);
        let (mut before, mut processes) = (before, processes);
        if path == SIZE {
            repair::by_hand(stage, "querynode", count);
            before.remove(&stage.workload(DEMO, "querynode").key);
            processes.remove("querynode");
        }
        stage.kubectl().patch(DEMO, &undo);
        settled(stage, DEMO);
        let (mut after, mut now) = (stage.written(DEMO), stage.processes(DEMO));
        after.retain(|key, _| before.contains_key(key) || !key.ends_with("querynode"));
        now.retain(|component, _| processes.contains_key(component));
        only("written", &before, &after, &[]);
        only("processes", &processes, &now, &[]);
    }
    stage.find(DEMO);
}
