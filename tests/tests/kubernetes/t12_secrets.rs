//! Secrets that the resource refers to.

use milvus_tests::endpoint;
use milvus_tests::wait;
use serde_json::json;

use crate::suite::{SOON, START, suite};

/// A missing one is named; when it comes, the cluster goes on at once; when it changes, the processes get the new keys, and the old
/// file is collected; when it goes, the running cluster is left as it is.
#[test]
fn missing_there_changed_and_gone() {
    let mut suite = suite();
    let room = suite.room("login");
    let mut demo = room.cluster("demo");
    let storage = &mut demo["spec"]["dependencies"]["storage"];
    storage["secretRef"] = json!("login");
    storage["endpoint"] = json!(endpoint::yes());
    room.create(&demo);
    let refused = room.told(
        "demo",
        "Accepted",
        "False",
        &["spec.dependencies.storage.secretRef", "login"],
    );
    assert_eq!(refused.reason, "SecretMissing");
    room.event("demo", 0, "SecretMissing", &["login"]);
    assert_eq!(room.names("deployments", "demo"), Vec::<String>::new());

    room.secret("login", "first-access-key", "first-secret-key");
    let took = room.ready("demo", START);
    assert!(took < SOON, "{took:?}");
    let file = || {
        let names = room.names("secrets", "demo");
        let files: Vec<String> = names
            .into_iter()
            .filter(|n| n.starts_with("demo-user-yaml-"))
            .collect();
        files
    };
    let before = file();
    assert_eq!(before.len(), 1, "{before:?}");

    room.change(
        "secrets",
        "login",
        &json!({"stringData": {"secretkey": "second-secret-key"}}),
    );
    wait::timed("the new file to be the only one", START, || {
        let now = file();
        (now.len() == 1 && now != before)
            .then_some(())
            .ok_or(format!("{now:?}"))
    });
    room.ready("demo", START);
    let now = file();
    for role in [
        "proxy",
        "mixcoord",
        "querynode",
        "datanode",
        "streamingnode",
    ] {
        let deployment = room.get("deployments", &format!("demo-{role}")).to_string();
        assert!(deployment.contains(&now[0]), "{role} has the old file");
    }

    let still = room.identities("demo");
    room.api.delete(room.at("secrets", "login"), "Background");
    // A running cluster keeps the content that it has; what is missing is reported.
    room.told("demo", "Degraded", "True", &["login"]);
    assert_eq!(still, room.identities("demo"), "the running cluster");
    room.secret("login", "first-access-key", "second-secret-key");
    room.ready("demo", START);
    assert_eq!(still, room.identities("demo"));
}

/// The key that fingerprints are made with goes with its resource; credentials of data stay with the data. A resource of the same name,
/// made at once after, has a key of its own and does not roll.
#[test]
fn what_was_made_goes_with_what_it_is_for() {
    let mut suite = suite();
    suite.bed.volumes(8);
    let room = suite.room("made");
    let mut resource = room.standalone("demo");
    resource["spec"]["deletionPolicy"] = json!("Delete");
    let made = room.create(&resource);
    room.ready("demo", START);
    let fingerprint = room.get("secrets", "demo-fingerprint");
    let owner = &fingerprint["metadata"]["ownerReferences"][0];
    assert_eq!(owner["uid"], made["metadata"]["uid"]);
    assert!(room.get("secrets", "demo-minio")["metadata"]["ownerReferences"].is_null());
    room.api
        .delete(room.at("milvusclusters", "demo"), "Background");
    wait::timed("the resource to be gone", START, || {
        match room.find("milvusclusters", "demo") {
            None => Ok(()),
            Some(found) => Err(found["status"]["conditions"].to_string()),
        }
    });
    let next = room.create(&resource);
    room.ready("demo", START);
    let again = room.get("secrets", "demo-fingerprint");
    assert_eq!(
        again["metadata"]["ownerReferences"][0]["uid"],
        next["metadata"]["uid"]
    );
    assert_ne!(again["data"], fingerprint["data"]);
    std::thread::sleep(std::time::Duration::from_secs(2));
    let events = room.events("demo");
    let rolled: Vec<_> = events.iter().filter(|e| e.reason == "Updated").collect();
    assert!(rolled.is_empty(), "{rolled:#?}");
}
