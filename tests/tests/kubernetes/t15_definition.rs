//! Without the definition of the resource. The last of the suite, because deleting a definition deletes every resource.

use milvus_tests::api::at;
use milvus_tests::wait;
use serde_json::Value;

use crate::suite::{ARGUMENTS, SOON, START, repository, suite};

const DEFINITION: &str = "milvusclusters.operator.milvus.io";

/// An operator that starts before the definition is there says so, is not ready, and goes on when it comes. One that loses it while it
/// works goes on as well.
#[test]
fn is_waited_for() {
    let mut suite = suite();
    let definition = at("customresourcedefinitions", "", DEFINITION);
    let without = |suite: &crate::suite::Suite| {
        suite.api.delete(definition, "Background");
        wait::timed("the definition to be gone", START, || {
            match suite.api.get(definition) {
                None => Ok(()),
                Some(found) => Err(found["status"]["conditions"].to_string()),
            }
        });
    };
    let apply = |suite: &crate::suite::Suite| {
        let path = repository().join("deploy/kubernetes/10-crd.yaml");
        let path = path.display().to_string();
        suite.kubectl.run(&["apply", "--server-side", "-f", &path]);
        wait::timed("the definition", SOON, || {
            let list = suite.api.request(
                "GET",
                "/apis/operator.milvus.io/v1beta1/milvusclusters",
                "application/json",
                &Value::Null,
            );
            list.map(drop).map_err(|refused| refused.message)
        });
    };
    let named = |suite: &crate::suite::Suite, before: usize| {
        wait::timed("the log to name it", SOON, || {
            let log = suite.operator.log();
            let new: Vec<&str> = log.lines().skip(before).collect();
            let named = new
                .iter()
                .any(|l| l.contains(DEFINITION) && l.contains("milvus-operator crd"));
            named.then_some(()).ok_or(new.join("\n"))
        });
    };
    // The list of what there is still names it for a moment after it is gone: whatever the operator hears first, it says so.
    without(&suite);
    suite.operator.kill();
    let before = suite.operator.log().lines().count();
    suite.operator.spawn_with(&ARGUMENTS);
    named(&suite, before);
    assert!(
        suite.operator.health("/readyz").is_err(),
        "ready without the definition"
    );
    assert!(suite.operator.health("/livez").is_ok());
    apply(&suite);
    wait::timed("the operator to be ready", SOON, || {
        suite.operator.health("/readyz")
    });
    let room = suite.room("definition");
    room.create(&room.cluster("demo"));
    let took = room.ready("demo", START);
    assert!(took < SOON, "{took:?}");

    // Taken away under it, with the resource: the cluster goes with it, as Kubernetes means it.
    let before = suite.operator.log().lines().count();
    without(&suite);
    named(&suite, before);
    assert_eq!(room.names("deployments", "demo"), Vec::<String>::new());
    apply(&suite);
    room.create(&room.cluster("again"));
    room.ready("again", START);
    assert!(suite.operator.ended().is_none(), "the operator ended");
}
