//! A cluster comes up, and says so.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::{Value, json};

use super::looks::{events, nothing_of, ready, single, told};
use super::{SINGLE, Stage};
use crate::kubectl::{Event, condition, is_ready};

/// What the role of a standalone Milvus depends on, by component and as the status calls it.
const NEEDS: [(&str, &str); 2] = [("etcd", "etcd"), ("minio", "storage")];
const ROLE: &str = "standalone";

/// A status of a look is never of a later generation than the resource, never further than its reasons, and its phase never goes back.
#[track_caller]
fn consistent(found: &Value, phases: &mut Vec<String>) {
    let status = &found["status"];
    let generation = found["metadata"]["generation"].as_i64().unwrap_or(0);
    let observed = status["observedGeneration"].as_i64().unwrap_or(0);
    assert!(observed <= generation, "{observed} of {generation}");
    for condition in status["conditions"].as_array().into_iter().flatten() {
        let of = condition["observedGeneration"].as_i64().unwrap_or(0);
        assert!(of <= observed, "{condition} under {observed}");
    }
    let is = |kind: &str| condition(found, kind).status == "True";
    if is("Ready") {
        assert!(is("DependenciesReady"), "{status:#}");
        assert_eq!(status["phase"], "Ready", "{status:#}");
        assert!(status["endpoint"].is_string(), "{status:#}");
    }
    if let Some(phase) = status["phase"].as_str()
        && phases.last().is_none_or(|last| last != phase)
    {
        phases.push(phase.to_owned());
    }
}

pub(super) fn in_order(stage: &mut dyn Stage) {
    nothing_of(stage, SINGLE);
    let role = stage.workload(SINGLE, ROLE).key;
    stage.kubectl().apply(&stage.held(SINGLE));
    let (start, limits) = (Instant::now(), stage.limits());
    let mut phases = Vec::new();
    let mut held = true;
    loop {
        // In this order: what a look sees of the role was made before what it sees of the others.
        let made = stage.written(SINGLE);
        let found = stage.kubectl().cluster(SINGLE).unwrap_or_default();
        consistent(&found, &mut phases);
        if made.contains_key(&role) {
            assert!(!held, "made while etcd does not answer: {made:#?}");
            let running = stage.processes(SINGLE);
            for (component, _) in NEEDS {
                let runs = running.get(component).is_some_and(|p| !p.is_empty());
                assert!(runs, "made without {component}: {running:?}");
            }
        } else if found["status"]["phase"] == "Creating" && held {
            let lacking = condition(&found, "DependenciesReady");
            assert_eq!(
                (lacking.status.as_str(), lacking.reason.as_str()),
                ("False", "WaitingForDependencies"),
                "{lacking:?}"
            );
            let ready = told(stage, SINGLE, "Ready", ("False", "Starting"), &["etcd"]);
            println!(
                "    after {:.1} s: {ready:?}",
                start.elapsed().as_secs_f64()
            );
            stage.let_go(SINGLE);
            held = false;
        }
        match is_ready(&found) {
            Ok(()) => break,
            Err(why) => assert!(start.elapsed() < limits.start, "{why}: {phases:?}"),
        }
    }
    println!("    phases: {phases:?}");
    assert!(stage.written(SINGLE).contains_key(&role), "no {role}");
    if phases.first().is_some_and(|phase| phase == "Pending") {
        phases.remove(0);
    }
    assert_eq!(phases, ["Creating", "Ready"]);
}

pub(super) fn status(stage: &mut dyn Stage) {
    let found = single(stage);
    let (status, generation) = (&found["status"], &found["metadata"]["generation"]);
    assert_eq!(status["phase"], "Ready", "{status:#}");
    assert_eq!(&status["observedGeneration"], generation);
    for (kind, wanted, reason) in [
        ("Accepted", "True", "Valid"),
        ("DependenciesReady", "True", "AllReady"),
        ("Ready", "True", "AllReady"),
        ("Progressing", "False", "Complete"),
        ("Degraded", "False", "AsExpected"),
        ("Updated", "True", "Complete"),
    ] {
        let is = condition(&found, kind);
        let own = stage.own_reasons().contains(&is.reason.as_str());
        assert_eq!(is.status, wanted, "{is:?}");
        assert!(is.reason == reason || own, "{is:?}");
    }
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 6, "{conditions:#?}");
    assert!(
        conditions
            .iter()
            .all(|c| &c["observedGeneration"] == generation),
        "{conditions:#?}"
    );
    assert_eq!(status["mode"], "standalone");
    assert_eq!(status["version"], "2.3.5");
    assert_eq!(
        status["components"],
        json!({ROLE: {"replicas": 1, "ready": 1, "updated": 1, "version": "2.3.5"}})
    );
    for (_, dependency) in NEEDS {
        let entry = &status["dependencies"][dependency];
        assert_eq!(entry["ready"], "1/1", "{status:#}");
        assert_eq!(entry["members"].as_array().unwrap().len(), 1, "{status:#}");
        assert_eq!(entry["members"][0]["ready"], true, "{status:#}");
    }
    assert_eq!(status["ready"], "3/3");
    for absent in ["waitingOn", "waitingSince", "rollout"] {
        assert_eq!(status[absent], Value::Null, "{status:#}");
    }
    let endpoints: BTreeSet<String> = stage.endpoints(SINGLE).into_iter().collect();
    let all: Vec<&str> = status["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(status["endpoint"], all[0], "{status:#}");
    assert_eq!(
        all.iter().map(|e| (*e).to_owned()).collect::<BTreeSet<_>>(),
        endpoints
    );

    // As people get it.
    let table = stage.kubectl().run(&["get", "mvc", SINGLE]);
    let mut lines = table.lines().map(|line| line.split_whitespace());
    let columns: Vec<&str> = lines.next().into_iter().flatten().collect();
    assert_eq!(
        columns,
        [
            "NAME", "MODE", "VERSION", "STATUS", "READY", "ENDPOINT", "AGE"
        ]
    );
    let words: Vec<&str> = lines.next().into_iter().flatten().collect();
    let wanted = [SINGLE, "standalone", "2.3.5", "Ready", "3/3", all[0]];
    assert_eq!(words[..6], wanted, "{table}");
}

/// Where the story tells this.
#[track_caller]
fn place(story: &[Event], reason: &str, word: &str) -> usize {
    let found = story
        .iter()
        .position(|e| e.reason == reason && e.message.contains(word));
    found.unwrap_or_else(|| panic!("no event {reason} with {word}: {story:#?}"))
}

/// What was told of the present cluster, but what only this platform tells.
fn since_the_last_deletion(stage: &dyn Stage) -> Vec<Event> {
    let mut story = events(stage, SINGLE);
    let end = |e: &Event| ["VolumesDeleted", "VolumesRetained"].contains(&e.reason.as_str());
    if let Some(last) = story.iter().rposition(end) {
        story.drain(..=last);
    }
    story.retain(|e| !stage.own_reasons().contains(&e.reason.as_str()));
    story
}

pub(super) fn story(stage: &mut dyn Stage) {
    let mut story = since_the_last_deletion(stage);
    // An operator that keeps events in memory may have been started since.
    if story.first().is_none_or(|e| e.reason != "Created") {
        in_order(stage);
        story = since_the_last_deletion(stage);
    }
    ready(stage, SINGLE);
    for event in &story {
        println!("    {} {}: {}", event.kind, event.reason, event.message);
    }
    let role = stage.workload(SINGLE, ROLE).name;
    // Other objects may bear its name in theirs, and be made before it.
    let made = |e: &Event| e.reason == "Created" && e.message.contains(&role);
    let made = story.iter().rposition(made).unwrap_or_default();
    for (component, _) in NEEDS {
        let workload = stage.workload(SINGLE, component).name;
        let steps = [
            place(&story, "Created", &workload),
            place(
                &story,
                "ComponentReady",
                &format!("{component} is ready after"),
            ),
            made,
            place(&story, "ComponentReady", "standalone is ready after"),
            place(&story, "Ready", &stage.endpoints(SINGLE)[0]),
        ];
        assert!(steps.is_sorted(), "{component}: {steps:?} {story:#?}");
    }
    // What is quick may be ready before it is told what is waited for.
    let waits = [
        place(&story, "Created", &stage.workload(SINGLE, "etcd").name),
        place(&story, "WaitingForDependencies", "etcd"),
        place(&story, "ComponentReady", "etcd is ready after"),
    ];
    assert!(waits.is_sorted(), "{waits:?} {story:#?}");
    let reasons: BTreeSet<&str> = story.iter().map(|e| e.reason.as_str()).collect();
    assert_eq!(
        reasons,
        BTreeSet::from([
            "Created",
            "WaitingForDependencies",
            "ComponentReady",
            "Ready"
        ])
    );
    assert!(story.iter().all(|e| e.kind == "Normal"), "{story:#?}");
    let last = story.last().unwrap();
    assert!(last.reason == "Ready", "{story:#?}");
    assert!(last.message.contains("after it was asked for"), "{last:?}");
}
