//! The reconcile loop around the real decisions: gather, validate, place, desire, render, observe, plan, execute, report. It
//! may be killed after any action.

use std::collections::BTreeSet;
use std::time::Duration;

use milvus_core::action::{Action, Notice, Outcome, Plan, Waiting};
use milvus_core::check::{check, check_deletion};
use milvus_core::desire::desire;
use milvus_core::desired::Desired;
use milvus_core::facts::{Facts, SecretData};
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterRef;
use milvus_core::observed::Observed;
use milvus_core::place::place;
use milvus_core::plan::{DeletionInput, DeletionPolicies, Memory, PlanInput, plan, plan_deletion};
use milvus_core::reasons::Reason;
use milvus_core::rebuild;
use milvus_core::status::{EventNote, Failure, StatusInput, status};
use milvus_core::validate::{Judgement, identity, judge};
use milvus_crds::{MilvusCluster, MilvusClusterSpec};
use milvus_platform::Rendered;

use crate::render::{Native, render};
use crate::world::World;

/// What outlives the operator: the resource, the ledger, Secrets.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The resource; gone once its finalizer was dropped.
    pub resource: Option<MilvusCluster>,
    /// The ledger.
    pub ledger: Option<Ledger>,
    /// Secrets.
    pub secrets: std::collections::BTreeMap<String, SecretData>,
    /// Times that a ledger was written.
    pub ledger_writes: u32,
    /// Times that a status was written.
    pub status_writes: u32,
    /// Every event told.
    pub events: Vec<EventNote>,
    /// The deletion asked for everything to stay.
    pub orphan: bool,
    /// Nodes given up by annotation.
    pub abandoned: BTreeSet<String>,
}

/// One life of the operator. Starting anew is [`Operator::default`].
#[derive(Clone, Debug, Default)]
pub struct Operator {
    memory: Memory,
    /// The last spec that could be honoured: a refused edit leaves the cluster looked after as it was.
    good: Option<MilvusClusterSpec>,
}

/// What came of one pass.
#[derive(Debug, Default)]
pub struct PassReport {
    /// The plan, if it came to one.
    pub plan: Option<Plan>,
    /// Killed in the middle.
    pub crashed: bool,
    /// What went wrong.
    pub failure: Option<String>,
    /// When to look again.
    pub next: Duration,
    /// Actions done in this pass.
    pub done: usize,
}

struct Executed {
    done: Vec<(Action, Outcome)>,
    failure: Option<Failure>,
    crashed: bool,
}

impl Operator {
    /// One pass over the one resource.
    pub fn pass(&mut self, world: &mut World, store: &mut Store) -> PassReport {
        let Some(resource) = store.resource.clone() else {
            return PassReport {
                next: Duration::from_secs(15),
                ..PassReport::default()
            };
        };
        if resource.metadata.deletion_timestamp.is_some() {
            return self.delete(&resource, world, store);
        }
        let mut facts = Facts {
            secrets: store.secrets.clone(),
            ledger: store.ledger.clone(),
            topology: world.topology(),
            fingerprint_key: b"key of the tests".to_vec(),
            gateway_image: "milvus-operator:test".to_owned(),
            ..Facts::default()
        };
        let cluster = identity(&resource);
        if rebuild::is_due(facts.ledger.as_ref(), &cluster) {
            let standing = world.standing(&cluster.key);
            rebuild::settle(&mut facts, &cluster, &standing, world.capabilities());
        }
        let judged = judge(&resource, &facts, world.capabilities(), self.good.as_ref());
        let refusals: Vec<Notice> = judged
            .violations
            .iter()
            .map(|v| Notice {
                reason: v.reason,
                message: v.message.clone(),
                field: Some(v.field.clone()),
            })
            .collect();
        if refusals.is_empty() {
            self.good = Some(resource.spec.clone());
        }
        if judged.cluster.is_some() {
            return self.reconcile(&resource, &refusals, &judged, &facts, world, store);
        }
        self.refused(&resource, &refusals, &[], world, store);
        PassReport {
            failure: Some(format!("{refusals:?}")),
            next: Duration::from_secs(15),
            ..PassReport::default()
        }
    }

    fn refused(
        &mut self,
        resource: &MilvusCluster,
        refusals: &[Notice],
        unplaced: &[Waiting],
        world: &World,
        store: &mut Store,
    ) {
        let input = StatusInput {
            resource,
            refusals: Some(refusals),
            desired: None,
            addresses: &[],
            observed: None,
            ledger: store.ledger.as_ref(),
            plan: None,
            unplaced,
            done: &[],
            failure: None,
            memory: &self.memory,
            now: world.now,
        };
        let told = status(input);
        report(store, told);
    }

    fn reconcile(
        &mut self,
        resource: &MilvusCluster,
        refusals: &[Notice],
        judged: &Judgement,
        facts: &Facts,
        world: &mut World,
        store: &mut Store,
    ) -> PassReport {
        let Some(cluster) = &judged.cluster else {
            return PassReport::default();
        };
        let wanted = place(
            &cluster.members(),
            cluster.fixed(),
            facts.ledger.as_ref(),
            &facts.topology,
            world.capabilities(),
            &cluster.cluster,
            cluster.adopt,
        );
        let mut wanted = match wanted {
            Ok(wanted) => wanted,
            Err(unplaced) => {
                self.refused(resource, &[], &unplaced, world, store);
                return PassReport {
                    failure: Some(format!("{unplaced:?}")),
                    next: Duration::from_secs(1),
                    ..PassReport::default()
                };
            }
        };
        judged.note(&mut wanted);
        let desired = desire(cluster, &wanted, facts, world.capabilities());
        let rendered = render(&desired, world.capabilities());
        let mut observed = match world.observe(&cluster.cluster, Some(&rendered)) {
            Ok(observed) => observed,
            Err(error) => {
                let failure = Failure {
                    reason: Reason::PlatformUnreachable,
                    message: error.to_string(),
                };
                self.unseen(resource, refusals, &desired, &failure, world, store);
                return PassReport {
                    failure: Some(failure.message),
                    next: Duration::from_secs(1),
                    ..PassReport::default()
                };
            }
        };
        observed.probes = world.probe(&desired, &observed);
        let none = Ledger::default();
        let ledger = facts.recorded().cloned();
        let input = PlanInput {
            desired: &desired,
            outline: &rendered.outline,
            observed: &observed,
            ledger: ledger.as_ref().unwrap_or(&none),
            wanted_ledger: &wanted,
            capabilities: world.capabilities(),
            now: world.now,
            memory: &self.memory,
        };
        let planned = plan(&input);
        world.violations.extend(check(&planned, &input));
        let executed = execute(&cluster.cluster, &planned, Some(&rendered), world, store);
        if executed.crashed {
            return PassReport {
                crashed: true,
                ..PassReport::default()
            };
        }
        self.finish(
            resource,
            refusals,
            Some(&desired),
            &observed,
            ledger.as_ref(),
            planned,
            executed,
            world,
            store,
        )
    }

    fn unseen(
        &mut self,
        resource: &MilvusCluster,
        refusals: &[Notice],
        desired: &Desired,
        failure: &Failure,
        world: &World,
        store: &mut Store,
    ) {
        let input = StatusInput {
            resource,
            refusals: Some(refusals),
            desired: Some(desired),
            addresses: &[],
            observed: None,
            ledger: store.ledger.as_ref(),
            plan: None,
            unplaced: &[],
            done: &[],
            failure: Some(failure),
            memory: &self.memory,
            now: world.now,
        };
        let told = status(input);
        report(store, told);
    }

    fn delete(
        &mut self,
        resource: &MilvusCluster,
        world: &mut World,
        store: &mut Store,
    ) -> PassReport {
        let cluster = identity(resource);
        let observed = match world.observe(&cluster, None) {
            Ok(observed) => observed,
            Err(error) => {
                return PassReport {
                    failure: Some(error.to_string()),
                    next: Duration::from_secs(1),
                    ..PassReport::default()
                };
            }
        };
        let policies = DeletionPolicies::from_spec(&resource.spec);
        let ledger = store.ledger.clone();
        let input = DeletionInput {
            cluster: &cluster,
            observed: &observed,
            ledger: ledger.as_ref(),
            orphan: store.orphan,
            policies: &policies,
            abandoned: &store.abandoned.clone(),
            rhythm: world.capabilities().rhythm,
            now: world.now,
            memory: &self.memory,
        };
        let planned = plan_deletion(&input);
        world.violations.extend(check_deletion(&planned, &input));
        let executed = execute(&cluster, &planned, None, world, store);
        if executed.crashed {
            return PassReport {
                crashed: true,
                ..PassReport::default()
            };
        }
        self.finish(
            resource,
            &[],
            None,
            &observed,
            ledger.as_ref(),
            planned,
            executed,
            world,
            store,
        )
    }

    #[allow(clippy::too_many_arguments)]
    fn finish(
        &mut self,
        resource: &MilvusCluster,
        refusals: &[Notice],
        desired: Option<&Desired>,
        observed: &Observed,
        ledger: Option<&Ledger>,
        planned: Plan,
        executed: Executed,
        world: &mut World,
        store: &mut Store,
    ) -> PassReport {
        let done: Vec<&Action> = executed.done.iter().map(|(a, _)| a).collect();
        let input = StatusInput {
            resource,
            refusals: desired.is_some().then_some(refusals),
            desired,
            addresses: &[],
            observed: Some(observed),
            ledger,
            plan: Some(&planned),
            unplaced: &[],
            done: &executed.done,
            failure: executed.failure.as_ref(),
            memory: &self.memory,
            now: world.now,
        };
        let told = status(input);
        if let Some(desired) = desired {
            crate::oracle::honest(world, desired, &told.0);
        }
        report(store, told);
        self.memory.learn(world.now, observed, &planned, &done);
        PassReport {
            next: if executed.failure.is_some() {
                Duration::from_millis(500)
            } else {
                planned.next_check
            },
            done: executed.done.len(),
            plan: Some(planned),
            crashed: false,
            failure: executed.failure.map(|f| f.message),
        }
    }
}

/// Carries out a plan, without choices, to the first failure.
fn execute(
    cluster: &ClusterRef,
    planned: &Plan,
    rendered: Option<&Rendered<Native>>,
    world: &mut World,
    store: &mut Store,
) -> Executed {
    let mut executed = Executed {
        done: Vec::new(),
        failure: None,
        crashed: false,
    };
    for action in &planned.actions {
        crate::oracle::quorum(world, cluster, action, rendered, store.ledger.as_ref());
        let result = match action {
            Action::RecordLedger(ledger) => {
                store.ledger = Some((**ledger).clone());
                store.ledger_writes += 1;
                Ok(stored(world))
            }
            Action::ForgetLedger => {
                store.ledger = None;
                store.ledger_writes += 1;
                Ok(stored(world))
            }
            Action::DropFinalizer => {
                store.resource = None;
                Ok(stored(world))
            }
            other => world.apply(cluster, other, rendered),
        };
        if let Some(left) = world.faults.crash_after {
            if left == 0 {
                world.faults.crash_after = None;
                executed.crashed = true;
                return executed;
            }
            world.faults.crash_after = Some(left - 1);
        }
        match result {
            Ok(outcome) => executed.done.push((action.clone(), outcome)),
            Err(error) => {
                executed.failure = Some(Failure {
                    reason: Reason::ActionFailed,
                    message: error.to_string(),
                });
                return executed;
            }
        }
    }
    executed
}

fn stored(world: &World) -> Outcome {
    Outcome {
        at: world.now,
        wrote: true,
        remark: None,
    }
}

fn report(store: &mut Store, told: (milvus_crds::MilvusClusterStatus, Vec<EventNote>)) {
    let (status, events) = told;
    store.events.extend(events);
    if let Some(resource) = &mut store.resource
        && resource.status.as_ref() != Some(&status)
    {
        resource.status = Some(status);
        store.status_writes += 1;
    }
}
