//! Objects of somebody else under our names.

use std::thread;

use super::Stage;
use super::looks::{event, nothing_of, ready, told};
use crate::kubectl::condition;
use crate::wait;

/// A standalone Milvus whose role finds its name taken.
pub(super) const TAKEN: &str = "taken";
const ROLE: &str = "standalone";

pub(super) fn in_the_way(stage: &mut dyn Stage) {
    if stage.in_the_way(TAKEN, ROLE).is_some() {
        stage.step_aside(TAKEN, ROLE);
    }
    nothing_of(stage, TAKEN);
    let role = stage.workload(TAKEN, ROLE);
    stage.stand_in_the_way(TAKEN, ROLE);
    let before = stage.in_the_way(TAKEN, ROLE).unwrap();
    stage.kubectl().apply(&stage.standalone(TAKEN));
    let said = event(
        stage,
        TAKEN,
        0,
        "ForeignObject",
        &[&role.name, "foreign object"],
    );
    assert_eq!(said.kind, "Warning", "{said:?}");
    let named = [role.name.as_str(), "metadata.name"];
    told(stage, TAKEN, "Degraded", ("True", "ForeignObject"), &named);
    // Everything else comes up.
    wait::until("its dependencies to answer", stage.limits().start, || {
        let found = stage.kubectl().condition(TAKEN, "DependenciesReady");
        (found.status == "True")
            .then_some(())
            .ok_or_else(|| format!("{found:?}"))
    });
    told(stage, TAKEN, "Ready", ("False", "Starting"), &[ROLE]);
    thread::sleep(stage.limits().passes / 2);
    assert_eq!(Some(before), stage.in_the_way(TAKEN, ROLE), "written to");
    stage.step_aside(TAKEN, ROLE);
    let found = ready(stage, TAKEN);
    assert_eq!(condition(&found, "Degraded").status, "False");
    nothing_of(stage, TAKEN);
}
