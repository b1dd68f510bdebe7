//! From `kubectl apply` to Ready, as a person sees it with kubectl.

use std::time::{Duration, Instant};

use milvus_tests::{endpoint, wait};
use serde_json::{Value, json};

use crate::suite::{KINDS, START, Suite, is_write, suite};

const ROLES: [&str; 5] = [
    "mixcoord",
    "proxy",
    "querynode",
    "datanode",
    "streamingnode",
];

/// Writes of the operator so far, but events.
fn writes(suite: &Suite) -> u64 {
    let requests = suite.requests();
    let writes = requests
        .iter()
        .filter(|((verb, what), _)| is_write(verb) && what != "events");
    writes.map(|(_, count)| count).sum()
}

/// Every workload is made at once; events tell the story; what is made is owned and labelled; and it takes hardly more writes
/// than there are objects.
#[test]
fn a_cluster_comes_up_at_once() {
    let mut suite = suite();
    let room = suite.room("first");
    let before = writes(&suite);
    let start = Instant::now();
    let mut resource = room.cluster("first");
    // What a manifest says that leaves the number to an autoscaler.
    resource["spec"]["components"]["queryNode"] = json!({});
    let resource = room.create(&resource);
    wait::timed("all workloads to be made", START, || {
        let names = room.names("deployments", "first");
        (names.len() == ROLES.len())
            .then_some(())
            .ok_or(format!("{names:?}"))
    });
    let created = start.elapsed();
    room.ready("first", START);
    println!(
        "  all workloads made {:.2} s and Ready {:.2} s after kubectl apply",
        created.as_secs_f64(),
        start.elapsed().as_secs_f64()
    );

    // What is run by somebody else is told as such.
    let found = room.get("milvusclusters", "first");
    assert_eq!(found["status"]["ready"], "5/5");
    assert_eq!(found["status"]["dependencies"]["etcd"]["external"], true);
    // The operator cannot ask pods here, and does not claim that it did.
    let ready = room.condition("first", "Ready");
    assert!(ready.message.contains("platform's own checks"), "{ready:?}");

    // The story: in steps, or in one event where it was over before a step was told.
    let events = room.events("first");
    let place = |reason: &str, word: &str| {
        let found = events
            .iter()
            .position(|e| e.reason == reason && e.message.contains(word));
        found.unwrap_or_else(|| panic!("no event {reason} with {word}: {events:#?}"))
    };
    let ready = place("Ready", &format!("first-milvus.{}:19530", room.namespace));
    if events.len() == 1 {
        assert_eq!(ready, place("Ready", "first-querynode"));
    } else {
        let made = place("Created", "first-querynode");
        assert!(made < place("ComponentReady", "querynode"), "{events:#?}");
        assert!(made < ready, "{events:#?}");
    }
    assert!(events.iter().all(|e| !e.warning), "{events:#?}");

    // What was made.
    let uid = &resource["metadata"]["uid"];
    let mut children = 0;
    for kind in KINDS {
        for object in room.api.list(kind, &room.namespace, "") {
            let metadata = &object["metadata"];
            if !metadata["name"].as_str().unwrap().starts_with("first-") {
                continue;
            }
            children += 1;
            if metadata["name"] == "first-ledger" {
                continue; // outlives the resource, as data does
            }
            let owner = &metadata["ownerReferences"][0];
            assert_eq!(&owner["uid"], uid, "{kind} {}", metadata["name"]);
            let labels = &metadata["labels"];
            assert_eq!(labels["app.kubernetes.io/managed-by"], "milvus-operator");
        }
    }
    assert!(children >= 9, "{children}");
    let writes = writes(&suite) - before;
    println!(
        "  {writes} writes for {children} objects, {} events",
        events.len()
    );
    assert!(
        writes <= children + 3,
        "{writes} writes for {children} objects"
    );

    // The resource itself: only its finalizer and its status are ours.
    only_finalizer_and_status_are_ours(&found);

    // Its scale is that of the query nodes, and says by which labels an autoscaler finds them.
    let scale = room.get("milvusclusters", "first/scale");
    assert_eq!(scale["status"]["replicas"], 1, "{scale}");
    let selector = scale["status"]["selector"].as_str().unwrap();
    let pods = room.api.names("pods", &room.namespace, selector);
    assert_eq!(pods.len(), 1, "{selector}: {pods:?}");
    assert!(pods[0].starts_with("first-querynode-"), "{pods:?}");
}

/// Looks who owns which field of a resource.
#[track_caller]
pub fn only_finalizer_and_status_are_ours(resource: &Value) {
    let fields = resource["metadata"]["managedFields"].as_array().unwrap();
    let ours: Vec<&Value> = fields
        .iter()
        .filter(|f| f["manager"] == "milvus-operator")
        .collect();
    assert!(!ours.is_empty(), "{fields:#?}");
    for entry in ours {
        let tops: Vec<&String> = entry["fieldsV1"].as_object().unwrap().keys().collect();
        if entry["subresource"] == "status" {
            assert_eq!(tops, ["f:status"]);
        } else {
            assert_eq!(tops, ["f:metadata"]);
            let metadata = entry["fieldsV1"]["f:metadata"].as_object().unwrap();
            let metadata: Vec<&String> = metadata.keys().collect();
            assert_eq!(metadata, ["f:finalizers"]);
        }
    }
}

/// No value of a Secret is anywhere but in Secrets: neither in another object of the namespace, nor in what is told of Secrets beside
/// their content, nor in the operator's log and metrics. One key was given, the other was made.
#[test]
fn secrets_stay_secret() {
    let mut suite = suite();
    suite.bed.volumes(8);
    let room = suite.room("secret");
    room.secret("given", "canary-access-key", "canary-secret-key");
    let mut given = room.cluster("given");
    let storage = &mut given["spec"]["dependencies"]["storage"];
    storage["endpoint"] = endpoint::yes().into();
    storage["secretRef"] = "given".into();
    room.create(&given);
    room.create(&room.standalone("made"));
    room.ready("given", START);
    room.ready("made", START);

    let mut needles = vec![
        "canary-access-key".to_owned(),
        "canary-secret-key".to_owned(),
        "Y2FuYXJ5LWFjY2Vzcy1rZXk".to_owned(), // the same in base64
        "Y2FuYXJ5LXNlY3JldC1rZXk".to_owned(),
    ];
    let secrets = room.api.list("secrets", &room.namespace, "");
    for secret in &secrets {
        for value in secret["data"].as_object().into_iter().flatten() {
            needles.push(value.1.as_str().unwrap().trim_end_matches('=').to_owned());
        }
    }
    // What was made, in clear as well.
    let template = "{{range .items}}{{range .data}}{{. | base64decode}}{{\"\\n\"}}{{end}}{{end}}";
    let clear = room.kubectl.run(&[
        "get",
        "secret",
        "-o",
        &format!("go-template={template}"),
        "--field-selector=metadata.name=made-minio",
    ]);
    let made: Vec<&str> = clear.lines().filter(|l| l.len() >= 16).collect();
    assert_eq!(made.len(), 2, "access and secret key of made-minio");
    needles.extend(made.into_iter().map(str::to_owned));
    assert!(needles.len() >= 12, "{}", needles.len());

    let mut places = vec![
        ("the log".to_owned(), suite.operator.log()),
        (
            "metrics".to_owned(),
            suite.operator.health("/metrics").unwrap(),
        ),
    ];
    let others = ["pods", "replicasets", "events", "milvusclusters"];
    for kind in KINDS.into_iter().chain(others) {
        for mut object in room.api.list(kind, &room.namespace, "") {
            if kind == "secrets" {
                object["data"] = Value::Null;
            }
            let name = object["metadata"]["name"].to_string();
            places.push((format!("{kind} {name}"), object.to_string()));
        }
    }
    assert!(places.len() > 40, "only {} places", places.len());
    for (place, text) in &places {
        for needle in &needles {
            assert!(
                !text.contains(needle.as_str()),
                "{place} holds a value of a Secret"
            );
        }
    }
    println!(
        "  {} values of Secrets are in none of {} places",
        needles.len(),
        places.len()
    );
    room.still("given", Duration::from_secs(1));
}
