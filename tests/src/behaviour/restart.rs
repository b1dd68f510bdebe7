//! The operator may end at any instant.

use std::thread;

use super::looks::{demo, events, only, resource};
use super::{DEMO, Stage};

pub(super) fn at_rest(stage: &mut dyn Stage) {
    demo(stage);
    let (written, processes) = (stage.written(DEMO), stage.processes(DEMO));
    let (data, before) = (stage.data(DEMO), resource(stage, DEMO));
    let told = events(stage, DEMO);
    // What the operator keeps for itself, and what people have put there.
    let kept = |stage: &dyn Stage| {
        let kinds = ["get", "secrets,configmaps", "-o", "json"];
        stage.kubectl().run(&kinds)
    };
    let others = kept(stage);
    stage.kill_operator();
    stage.find(DEMO); // clusters go on without it
    stage.start_operator();
    thread::sleep(stage.limits().passes);
    only("written", &written, &stage.written(DEMO), &[]);
    only("processes", &processes, &stage.processes(DEMO), &[]);
    only("data", &data, &stage.data(DEMO), &[]);
    assert_eq!(before, resource(stage, DEMO), "the resource");
    assert_eq!(others, kept(stage), "Secrets and ConfigMaps");
    // Events may be kept in memory, and be gone with it.
    let new: Vec<_> = events(stage, DEMO)
        .into_iter()
        .filter(|event| !told.contains(event))
        .collect();
    assert!(new.is_empty(), "{new:#?}");
}
