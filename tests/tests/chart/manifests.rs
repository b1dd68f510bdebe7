//! `kubectl apply -f deploy/kubernetes/`.

use milvus_tests::wait;

use crate::bed::{Bed, DEFINITION, SOON, nothing_refused, repository};
use crate::namespaces::minimal;

const HOME: &str = "milvus-system";

pub fn story(bed: &Bed) {
    let kubectl = bed.kubectl();
    let folder = repository().join("deploy/kubernetes");
    let path = |file: &str| folder.join(file).display().to_string();
    kubectl.run(&["delete", "crd", DEFINITION]);
    kubectl.run(&["delete", "namespace", HOME]);

    println!("applied to a cluster that knows nothing of Milvus, and again");
    kubectl.run(&["apply", "-f", &path("")]);
    let again = kubectl.run(&["apply", "-f", &path("")]);
    let changed: Vec<_> = again
        .lines()
        .filter(|l| !l.ends_with("unchanged"))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
    let home = kubectl.namespace(HOME);
    home.run(&[
        "rollout",
        "status",
        "deployment/milvus-operator",
        "--timeout=25s",
    ]);

    println!("its operator works");
    let operator = bed.operator(HOME, "milvus-operator");
    kubectl.apply(&minimal("team-a"));
    let team = kubectl.namespace("team-a");
    // The processes are fake, and this operator asks them itself: it goes no further than the first.
    wait::until("the first of its processes", SOON, || {
        team.try_run(&["get", "statefulset", "minimal-etcd"])
            .result()
    });
    bed.gone("team-a", "minimal");
    nothing_refused(bed, &operator.account);
    operator.stop();

    println!("removed, but for the definition");
    kubectl.run(&[
        "delete",
        "-f",
        &path("30-operator.yaml"),
        "-f",
        &path("20-rbac.yaml"),
    ]);
    kubectl.run(&["get", "crd", DEFINITION]);
}
