//! What every platform promises alike: one table of behaviours, each played on a [`Stage`] by its suite. A row knows the resource,
//! its status and its events, and the people who act on them; what objects are called and how they are told apart is the
//! platform's own, and comes from the stage.
//!
//! Rows are played in their order and share their clusters, because a start takes as long as real processes take. Each brings
//! about what it needs, so that one can be played alone: `MILVUS_TEST_BEHAVIOUR` is a part of its name.

mod deletion;
mod edits;
mod foreign;
mod looks;
mod repair;
mod restart;
mod start;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kubectl::Kubectl;

/// The distributed Milvus of the samples.
pub const DEMO: &str = "demo";
/// The smallest Milvus, with an etcd and a MinIO of its own.
pub const SINGLE: &str = "single";

/// A platform as a behaviour sees it: the clusters on it, and the hands that act on them. Components go by their names in labels
/// (`querynode`, `etcd`).
pub trait Stage {
    /// kubectl where the clusters are.
    fn kubectl(&self) -> &Kubectl;
    /// The manifest of [`DEMO`], as people get it.
    fn demo(&self) -> Value;
    /// A standalone Milvus 2.3.5 on rocksmq.
    fn standalone(&self, name: &str) -> Value;
    /// The same, whose etcd does not answer until [`Stage::let_go`] where processes are not real, and else as soon as it can.
    fn held(&self, name: &str) -> Value;
    /// Lets the etcd of a cluster answer.
    fn let_go(&mut self, cluster: &str);
    /// How long things take here.
    fn limits(&self) -> Limits;

    /// The object that runs a component, or the first of its members.
    fn workload(&self, cluster: &str, component: &str) -> Workload;
    /// What the number of replicas is called in an object.
    fn replicas_field(&self) -> &'static str;
    /// Where clients reach a cluster.
    fn endpoints(&self, cluster: &str) -> Vec<String>;
    /// Reasons that only this platform has, beside those that all have.
    fn own_reasons(&self) -> &'static [&'static str];
    /// A setting that only another platform can honour: its path in the spec (`spec.a.b`), and a value.
    fn setting_of_another_platform(&self) -> (&'static str, Value);
    /// Namespace and name of the ConfigMap that knows the data of a cluster.
    fn ledger(&self, cluster: &str) -> (String, String);

    /// Identities of the processes that run, by component: a process that was started again has another one.
    fn processes(&self, cluster: &str) -> BTreeMap<String, BTreeSet<String>>;
    /// Everything that was written for a cluster but its data, by kind and name, with what changes when it is written again.
    fn written(&self, cluster: &str) -> BTreeMap<String, String>;
    /// Where the data of a cluster is, as people are told it, with what changes when it is other data.
    fn data(&self, cluster: &str) -> BTreeMap<String, String>;
    /// How many replicas the object of a component asks for.
    fn replicas(&self, cluster: &str, component: &str) -> Option<u64>;

    /// Somebody removes the object of a component.
    fn remove_workload(&mut self, cluster: &str, component: &str);
    /// Somebody changes the replicas in the object of a component.
    fn edit_replicas(&mut self, cluster: &str, component: &str, replicas: u64);
    /// Somebody makes an object of the name that a component needs.
    fn stand_in_the_way(&mut self, cluster: &str, component: &str);
    /// That object, with all that changes when it is written to; `None` when it is not there.
    fn in_the_way(&self, cluster: &str, component: &str) -> Option<Value>;
    /// Its maker removes it.
    fn step_aside(&mut self, cluster: &str, component: &str);
    /// A client writes rows, where there are real processes to write them to.
    fn fill(&mut self, cluster: &str);
    /// A client finds these rows.
    fn find(&mut self, cluster: &str);
    /// SIGKILL of the operator.
    fn kill_operator(&mut self);
    /// Starts the operator, unless it runs, and waits until it is ready.
    fn start_operator(&mut self);

    /// Prints what there is to know about a cluster whose row has failed.
    fn tell(&self, cluster: &str);
}

/// How long things take on a platform, on slow and busy machines.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From an edit to Ready.
    pub start: Duration,
    /// Until a deleted cluster is gone.
    pub gone: Duration,
    /// Until an object that somebody broke is put right; processes with data have to end before.
    pub repair: Duration,
    /// Until people hear of something.
    pub told: Duration,
    /// Two passes by the clock.
    pub passes: Duration,
}

/// The object that runs a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its key in [`Stage::written`].
    pub key: String,
    /// Its name, as events tell it.
    pub name: String,
}

/// A row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// Short.
    pub name: &'static str,
    /// In one sentence.
    pub promise: &'static str,
    /// The cluster that it is about.
    pub cluster: &'static str,
    /// Brings it about and looks; panics where the promise is broken.
    pub play: fn(&mut dyn Stage),
}

/// The table.
pub const BEHAVIOURS: [Behaviour; 13] = [
    Behaviour {
        name: "order of a first start",
        promise: "no role of Milvus is made before what it depends on answers, and the status follows from Creating to Ready",
        cluster: SINGLE,
        play: start::in_order,
    },
    Behaviour {
        name: "status at rest",
        promise: "phase, conditions, counts, versions, endpoints and the table of kubectl say that everything stands as asked for",
        cluster: SINGLE,
        play: start::status,
    },
    Behaviour {
        name: "events of a first start",
        promise: "events tell the story in the order in which it happened, without a warning",
        cluster: SINGLE,
        play: start::story,
    },
    Behaviour {
        name: "deletion that retains",
        promise: "data stays and is named in the last event; the name is refused to the next cluster until it adopts the data",
        cluster: SINGLE,
        play: deletion::retains,
    },
    Behaviour {
        name: "deletion that deletes",
        promise: "no process, no object and no data is left, and what went is told",
        cluster: SINGLE,
        play: deletion::deletes,
    },
    Behaviour {
        name: "foreign object",
        promise: "an object of somebody else under our name is named and left alone, and once it is gone the cluster comes up",
        cluster: foreign::TAKEN,
        play: foreign::in_the_way,
    },
    Behaviour {
        name: "removed workload",
        promise: "it is back, on its data, an event names it, and nothing else is written",
        cluster: DEMO,
        play: repair::removed,
    },
    Behaviour {
        name: "replicas edited by hand",
        promise: "they are put back, an event names object and field, and nothing else is written",
        cluster: DEMO,
        play: repair::edited,
    },
    Behaviour {
        name: "status edited by hand",
        promise: "what another client wrote into the status is corrected within a second",
        cluster: DEMO,
        play: repair::status,
    },
    Behaviour {
        name: "kubectl scale",
        promise: "the number of query nodes changes, and no other process",
        cluster: DEMO,
        play: edits::scaled,
    },
    Behaviour {
        name: "environment of one role",
        promise: "that role is restarted, and nothing else is; kubectl wait right after the edit waits for it",
        cluster: DEMO,
        play: edits::environment,
    },
    Behaviour {
        name: "refused edits",
        promise: "they change nothing, are told with their field, leave repair as it is, and the last good spec undoes them",
        cluster: DEMO,
        play: edits::refused,
    },
    Behaviour {
        name: "operator killed at rest",
        promise: "started again it writes nothing, not even status, and tells nothing",
        cluster: DEMO,
        play: restart::at_rest,
    },
];

/// Plays the table, to its end also where rows fail, and prints each row with its time.
#[track_caller]
pub fn play(stage: &mut dyn Stage) {
    let only = std::env::var("MILVUS_TEST_BEHAVIOUR").unwrap_or_default();
    let mut lines = Vec::new();
    let mut broken = Vec::new();
    for row in BEHAVIOURS.iter().filter(|row| row.name.contains(&only)) {
        println!("  ROW {}: {}", row.name, row.promise);
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| {
            stage.start_operator();
            (row.play)(stage);
        }));
        let took = start.elapsed().as_secs_f64();
        let verdict = match result {
            Ok(()) => "kept".to_owned(),
            Err(cause) => {
                stage.tell(row.cluster);
                let why = words(cause.as_ref());
                broken.push(format!("{}: {why}", row.name));
                "BROKEN".to_owned()
            }
        };
        println!("  ROW {}: {verdict}, {took:.1} s", row.name);
        lines.push(format!("  {took:>7.1} s  {verdict:<7} {}", row.name));
    }
    println!("  the table of behaviours:\n{}", lines.join("\n"));
    assert!(!lines.is_empty(), "no behaviour has {only:?} in its name");
    assert!(broken.is_empty(), "{broken:#?}");
}

/// What a panic said.
fn words(cause: &(dyn std::any::Any + Send)) -> String {
    let text = cause.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| cause.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it ended without a word".to_owned())
}
