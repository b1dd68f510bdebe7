//! What hands break is put right, and said.

use std::time::Duration;

use serde_json::json;

use super::looks::{demo, event, events, only, resource, settled};
use super::{DEMO, Stage};
use crate::wait;

/// A foreign status is corrected within a second; kubectl takes a part of another to see it.
const CORRECTED: Duration = Duration::from_secs(2);

pub(super) fn removed(stage: &mut dyn Stage) {
    demo(stage);
    stage.fill(DEMO);
    // One without and one with data.
    for component in ["proxy", "etcd"] {
        let workload = stage.workload(DEMO, component);
        let (before, data) = (stage.written(DEMO), stage.data(DEMO));
        let (processes, told) = (stage.processes(DEMO), events(stage, DEMO).len());
        stage.remove_workload(DEMO, component);
        let what = format!("{} to be back", workload.name);
        wait::until(&what, stage.limits().repair, || {
            let now = stage.written(DEMO);
            let back = now.get(&workload.key).ok_or("it is not there")?;
            (back != &before[&workload.key])
                .then_some(())
                .ok_or("it is still there".to_owned())
        });
        let said = event(stage, DEMO, told, "Recreated", &[&workload.name]);
        assert_eq!(said.kind, "Warning", "{said:?}");
        settled(stage, DEMO);
        only("written", &before, &stage.written(DEMO), &[&workload.key]);
        only(
            "processes",
            &processes,
            &stage.processes(DEMO),
            &[component],
        );
        only("data", &data, &stage.data(DEMO), &[]);
    }
    stage.find(DEMO);
}

pub(super) fn edited(stage: &mut dyn Stage) {
    demo(stage);
    let (before, processes) = (stage.written(DEMO), stage.processes(DEMO));
    let told = events(stage, DEMO).len();
    by_hand(stage, "querynode", told);
    settled(stage, DEMO);
    let key = stage.workload(DEMO, "querynode").key;
    let (mut before, mut after) = (before, stage.written(DEMO));
    // Written to by a hand, and by the repair.
    assert!(before.remove(&key).is_some() && after.remove(&key).is_some());
    only("written", &before, &after, &[]);
    let mut now = stage.processes(DEMO);
    let (was, is) = (processes["querynode"].len(), now["querynode"].len());
    assert_eq!(was, is, "query nodes");
    // Which of them ends is the platform's choice.
    now.insert("querynode".to_owned(), processes["querynode"].clone());
    only("processes", &processes, &now, &[]);
}

pub(super) fn status(stage: &mut dyn Stage) {
    let before = demo(stage)["status"].clone();
    let foreign = json!({"status": {"phase": "Pending", "ready": "99/99", "endpoint": null, "conditions": []}});
    let patch = [
        "patch",
        "milvuscluster",
        DEMO,
        "--subresource=status",
        "--type=merge",
        "-p",
        &foreign.to_string(),
    ];
    stage.kubectl().run(&patch);
    let (_, took) = wait::timed("the status to be corrected", stage.limits().told, || {
        let mut now = resource(stage, DEMO)["status"].clone();
        // When conditions changed is another time now.
        let times = |status: &mut serde_json::Value| {
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                condition["lastTransitionTime"] = json!(null);
            }
        };
        let mut before = before.clone();
        times(&mut before);
        times(&mut now);
        (now == before).then_some(()).ok_or_else(|| now.to_string())
    });
    assert!(took <= CORRECTED, "{took:?}");
}

/// Replicas of a role are edited by hand, put back, and that is told after the first `told` events.
#[track_caller]
pub(super) fn by_hand(stage: &mut dyn Stage, component: &str, told: usize) {
    let name = stage.workload(DEMO, component).name;
    let asked = stage.replicas(DEMO, component).unwrap();
    stage.edit_replicas(DEMO, component, asked + 2);
    wait::until(
        &format!("the replicas of {name} to be put back"),
        stage.limits().repair,
        || {
            let now = stage.replicas(DEMO, component);
            (now == Some(asked))
                .then_some(())
                .ok_or_else(|| format!("there are {now:?}"))
        },
    );
    let words = [&name, stage.replicas_field(), "edited by hand", "put back"];
    let said = event(stage, DEMO, told, "Repaired", &words);
    assert_eq!(said.kind, "Warning", "{said:?}");
}
