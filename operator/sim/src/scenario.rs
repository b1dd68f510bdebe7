//! A cluster in a world, and what a test does with it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use milvus_core::outline::ObjectId;
use milvus_core::testing;
use milvus_crds::{MilvusCluster, Phase};

use crate::faults::Faults;
use crate::operator::Operator;
use crate::store::{Lag, Store};
use crate::world::{Options, World};

/// The reference shape: two of every worker, four coordinators, etcd, MinIO and Pulsar that survive a lost node.
pub const REFERENCE: &str = include_str!("../../../deploy/samples/reference.yaml");
/// Every role once on small dependencies.
pub const DEMO: &str = include_str!("../../../deploy/samples/demo.yaml");
/// One process, one etcd, one MinIO.
pub const MINIMAL: &str = include_str!("../../../deploy/samples/standalone-minimal.yaml");

/// A cluster has settled when nothing is written for so long: numbers in its status may come later than its phase.
const CALM: SignedDuration = SignedDuration::from_secs(10);

/// A world with one resource and an operator.
#[derive(Clone, Debug)]
pub struct Sim {
    /// The platform.
    pub world: World,
    /// What outlives the operator.
    pub store: Store,
    /// The operator.
    pub operator: Operator,
    /// Operators that it has superseded, and that have not ended yet.
    pub superseded: Vec<Operator>,
    /// The stores of other clusters in the same world, which the same operator looks after.
    pub neighbours: Vec<Store>,
    /// Times that the operator was killed.
    pub crashes: u32,
    uid: u32,
}

impl Sim {
    /// A world with a resource that was just applied.
    pub fn new(yaml: &str, options: Options) -> Self {
        let mut sim = Self {
            world: World::new(options),
            store: Store::default(),
            operator: Operator::default(),
            superseded: Vec::new(),
            neighbours: Vec::new(),
            crashes: 0,
            uid: 0,
        };
        sim.apply(yaml);
        sim
    }

    /// Applies a resource: a new one, or an edit of the one that is there.
    pub fn apply(&mut self, yaml: &str) {
        let mut resource = testing::resource(yaml);
        match &self.store.resource {
            Some(old) => {
                resource.status = old.status.clone();
                let changed = resource.spec != old.spec;
                resource.metadata = old.metadata.clone();
                if changed {
                    resource.metadata.generation = old.metadata.generation.map(|g| g + 1);
                }
            }
            None => {
                self.uid += 1;
                resource.metadata.uid = Some(format!(
                    "{:06x}00-0000-4000-8000-000000000000",
                    0xd0_0000 + self.uid
                ));
                resource.metadata.creation_timestamp = Some(Time(self.world.now));
            }
        }
        if resource.spec.adopt {
            let uid = resource.metadata.uid.clone();
            self.world.adopting.extend(uid);
        }
        self.store.resource = Some(resource);
    }

    /// Edits the spec.
    pub fn edit(&mut self, change: impl FnOnce(&mut MilvusCluster)) {
        if let Some(resource) = &mut self.store.resource {
            let before = resource.spec.clone();
            change(resource);
            if resource.spec != before {
                resource.metadata.generation = resource.metadata.generation.map(|g| g + 1);
            }
        }
    }

    /// Applies the resource of another cluster. What this says and does is about the first one until [`Sim::turn_to`].
    pub fn apply_beside(&mut self, yaml: &str) {
        let first = std::mem::take(&mut self.store);
        self.apply(yaml);
        let beside = std::mem::replace(&mut self.store, first);
        self.neighbours.push(beside);
    }

    /// Turns to another cluster: it and the one before change places.
    pub fn turn_to(&mut self, neighbour: usize) {
        if let Some(store) = self.neighbours.get_mut(neighbour) {
            std::mem::swap(&mut self.store, store);
        }
    }

    /// Asks for the deletion of the resource.
    pub fn delete(&mut self) {
        let now = self.world.now;
        if let Some(resource) = &mut self.store.resource {
            resource.metadata.deletion_timestamp = Some(Time(now));
        }
        // What holds it up is a finalizer, or nothing.
        self.store.collect();
    }

    /// The name of a service of the cluster.
    pub fn service(&self, name: &str) -> ObjectId {
        let resource = self.store.resource.as_ref();
        let stack = resource
            .and_then(|r| r.metadata.name.clone())
            .unwrap_or_default();
        ObjectId::new("service", format!("{stack}_{name}"))
    }

    /// The operator is killed, and another starts.
    pub fn restart(&mut self) {
        self.operator = Operator::default();
        self.world.forget_looks();
    }

    /// Another operator takes over, and the one before it goes on for a while.
    pub fn supersede(&mut self) {
        let mut old = std::mem::take(&mut self.operator);
        old.supersede();
        self.superseded.push(old);
        self.world.forget_looks();
    }

    /// One pass and the time until the next.
    pub fn step(&mut self) {
        let (world, store) = (&mut self.world, &mut self.store);
        self.superseded
            .retain_mut(|old| !old.pass(world, store).crashed);
        let mut report = self.operator.pass(&mut self.world, &mut self.store);
        for store in &mut self.neighbours {
            if !report.crashed {
                let beside = self.operator.pass(&mut self.world, store);
                report.crashed = beside.crashed;
                report.next = report.next.min(beside.next);
            }
        }
        if report.crashed {
            self.crashes += 1;
            self.restart();
            self.world.advance(Duration::from_millis(500));
            return;
        }
        // A platform tells of changes sooner than the longest wait; half of the hints are lost.
        let next = report.next.max(Duration::from_millis(50));
        self.world.advance(next);
    }

    /// Runs until the cluster is ready and nothing is left to do.
    ///
    /// # Errors
    /// What it hangs on when the time is over.
    pub fn settle(&mut self, limit: Duration) -> Result<Duration, String> {
        let start = self.world.now;
        let end = start + limit;
        let mut calm: Option<jiff::Timestamp> = None;
        while self.world.now < end {
            let writes = self.writes();
            self.step();
            let done = self
                .condition("Progressing")
                .is_some_and(|c| c.0 == "False");
            let ready = self.phase() == Some(Phase::Ready) && self.generation_seen() && done;
            let quiet = ready && self.writes() == writes;
            let since = *calm.get_or_insert(self.world.now);
            if !quiet {
                calm = None;
            } else if self.world.now.duration_since(since) >= CALM {
                let took = since.duration_since(start);
                return Ok(Duration::try_from(took).unwrap_or_default());
            }
        }
        Err(format!(
            "not settled after {limit:?}: {:#?}\nviolations: {:?}",
            self.store.resource.as_ref().and_then(|r| r.status.as_ref()),
            self.world.violations
        ))
    }

    /// Runs until the resource is gone.
    ///
    /// # Errors
    /// What it hangs on when the time is over.
    pub fn settle_deletion(&mut self, limit: Duration) -> Result<(), String> {
        let end = self.world.now + limit;
        while self.world.now < end {
            if self.store.resource.is_none() {
                return Ok(());
            }
            self.step();
        }
        Err(format!(
            "not deleted after {limit:?}: {:#?}, objects {:?}",
            self.store.resource.as_ref().and_then(|r| r.status.as_ref()),
            self.world.objects.keys().collect::<Vec<_>>()
        ))
    }

    /// Runs for a while.
    pub fn run(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.step();
        }
    }

    /// Many passes over a cluster at rest: nothing may be written.
    ///
    /// # Errors
    /// What was written.
    pub fn rests(&mut self, passes: u32) -> Result<(), String> {
        let before = self.writes();
        let written = self.world.writes.len();
        let started = self.world.next_id;
        for _ in 0..passes {
            self.step();
        }
        let ready = self.condition("Ready").is_some_and(|c| c.0 == "True");
        let wrong = crate::records::at_rest(&self.world, &self.store);
        if ready && !wrong.is_empty() {
            return Err(format!("not as it should be at rest: {}", wrong.join("; ")));
        }
        if self.writes() == before && self.world.next_id == started {
            Ok(())
        } else {
            Err(format!(
                "not at rest: writes (world, ledger and Secrets, status) {before:?} -> {:?}, last {:?}, events {:?}",
                self.writes(),
                self.world.writes.get(written..),
                self.store.events.iter().rev().take(4).collect::<Vec<_>>()
            ))
        }
    }

    /// Writes to the platform, the ledger and Secrets, and the status so far.
    pub fn writes(&self) -> (usize, u32, u32) {
        (
            self.world.writes.len(),
            self.store.ledger_writes + self.store.secret_writes,
            self.store.status_writes,
        )
    }

    /// The phase in the status.
    pub fn phase(&self) -> Option<Phase> {
        self.store.resource.as_ref()?.status.as_ref()?.phase
    }

    fn generation_seen(&self) -> bool {
        self.store.resource.as_ref().is_some_and(|r| {
            r.status.as_ref().and_then(|s| s.observed_generation) == r.metadata.generation
        })
    }

    /// Everything that the platform holds for the cluster, to compare ways that lead to the same state.
    pub fn shape(&self) -> BTreeMap<String, String> {
        self.world
            .objects
            .iter()
            .filter(|(_, o)| o.uid.is_some())
            .map(|(id, o)| {
                let fields = &o.native.fields;
                (id.to_string(), format!("{fields:?} x {:?}", o.replicas))
            })
            .collect()
    }

    /// Stops all chance faults, and ends operators that were superseded.
    pub fn calm(&mut self) {
        self.world.faults = Faults::default();
        self.store.lag = Lag::default();
        self.superseded.clear();
    }

    /// What must never happen and did.
    ///
    /// # Errors
    /// Everything of it.
    pub fn sound(&self) -> Result<(), String> {
        if self.world.violations.is_empty() {
            Ok(())
        } else {
            Err(self.world.violations.join("\n"))
        }
    }

    /// The status condition of a type: status, reason, message.
    pub fn condition(&self, kind: &str) -> Option<(String, String, String)> {
        self.store
            .resource
            .as_ref()?
            .status
            .as_ref()?
            .conditions
            .iter()
            .find(|c| c.type_ == kind)
            .map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
    }

    /// Time in the world.
    pub fn clock(&self) -> SignedDuration {
        self.world
            .now
            .duration_since(jiff::Timestamp::from_second(1_800_000_000).unwrap_or_default())
    }
}
