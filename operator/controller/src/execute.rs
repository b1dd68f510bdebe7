//! Carries out a plan, one action after the other. What fails ends the actions of its component and of whatever uses it; all
//! others are done all the same, unless the platform does not answer. Nothing is taken down after an old look, nor by an
//! operator that leads no more. Makes no choices.

mod gate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milvus_core::action::{Action, Outcome, Plan};
use milvus_core::component::Component;
use milvus_core::ledger::Ledger;
use milvus_core::names::{ClusterRef, member_of_directory};
use milvus_core::outline::ObjectId;
use milvus_crds::MilvusCluster;
use milvus_platform::{Backend, Class, PlatformError, Rendered};
use tokio::time::Instant;

use self::gate::{Gate, Passage};
use crate::context::Context;
use crate::ledger_store::LedgerError;
use crate::marks::{self, Stores};
use crate::report;
use crate::resource_store::ResourceStore;

/// For one action.
const ACTION_TIMEOUT: Duration = Duration::from_secs(40);

/// What came of a plan.
pub(crate) struct Executed {
    /// The actions that succeeded, in order.
    pub done: Vec<(Action, Outcome)>,
    /// The first of what failed for a workload, and why; else the first of what was refused beside the workloads.
    pub failed: Option<(Action, PlatformError)>,
    /// Everything but what goes beside workloads was done.
    pub complete: bool,
    /// The ledger as it stands now, if it was written or forgotten.
    pub ledger: Option<Option<Ledger>>,
    /// How long it took to make an object on average, if any was made.
    pub making: Option<Duration>,
}

/// What a plan rests on.
pub(crate) struct Basis<'a, N> {
    /// The ledger as it was read.
    pub recorded: Option<&'a Ledger>,
    /// The version of it in the API.
    pub version: Option<&'a str>,
    /// The objects that were compared with what there is; `None` in a deletion.
    pub rendered: Option<&'a Rendered<N>>,
    /// When the last answer was in.
    pub looked: Instant,
    /// The way to its stores; `None` in a deletion.
    pub stores: Option<Stores<'a>>,
}

/// Takes nothing up of a plan that must not be carried out.
pub(crate) fn unsound(plan: &Plan, wrong: &[String]) -> Option<Executed> {
    let first = plan.actions.first()?;
    if wrong.is_empty() {
        return None;
    }
    let error = PlatformError::new(
        Class::Bug,
        "check the plan",
        format!(
            "nothing was done, because the plan {}; this is a fault of the operator, please report it",
            wrong.join("; it ")
        ),
    );
    Some(Executed {
        done: Vec::new(),
        failed: Some((first.clone(), error)),
        complete: false,
        ledger: None,
        making: None,
    })
}

/// Carries out `plan`.
pub(crate) async fn execute<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    plan: &Plan,
    basis: Basis<'_, B::Native>,
) -> Executed {
    let rendered = basis.rendered;
    let mut executed = Executed {
        done: Vec::new(),
        failed: None,
        complete: true,
        ledger: None,
        making: None,
    };
    let (mut made, mut making) = (0, Duration::ZERO);
    let mut ended = Ended::default();
    let mut gate = Gate::new(basis.looked);
    for action in &plan.actions {
        if ended.concerns(action, rendered) {
            executed.complete = false;
            continue;
        }
        match gate.passage(&context.seams, action).await {
            Passage::Open => {}
            Passage::OldLook => {
                tracing::debug!(cluster = %cluster.key, "{}: not done after an old look", describe(action));
                executed.complete = false;
                break;
            }
            Passage::NotLeading(why) => {
                let error = PlatformError::new(Class::Transient, describe(action), why);
                executed.failed = Some((action.clone(), error));
                executed.complete = false;
                break;
            }
        }
        let started = context.seams.clock.instant();
        let result = one(context, cluster, resource, action, &basis).await;
        let took = context
            .seams
            .clock
            .instant()
            .saturating_duration_since(started);
        let word = word(action);
        context.metrics.actions.with_label_values(&[word]).inc();
        tracing::debug!(
            cluster = %cluster.key,
            action = word,
            millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            ok = result.is_ok(),
            "{}",
            describe(action)
        );
        match result {
            Ok(outcome) => {
                match action {
                    Action::RecordLedger(ledger) => {
                        executed.ledger = Some(outcome.wrote.then(|| (**ledger).clone()))
                    }
                    Action::ForgetLedger => executed.ledger = Some(None),
                    Action::Create { .. } => {
                        made += 1;
                        making += took;
                        executed.making = Some(making / made);
                    }
                    _ => {}
                }
                executed.done.push((action.clone(), outcome));
            }
            Err(error)
                if action.is_errand()
                    || matches!(action, Action::Mark { .. })
                    || rendered.is_some_and(|r| action.is_ancillary(&r.outline)) =>
            {
                executed
                    .failed
                    .get_or_insert_with(|| (action.clone(), error));
            }
            Err(error) => {
                let alone = error.class != Class::Bug
                    && (error.class != Class::Transient || on_a_node(action));
                ended.add(action, rendered);
                // The first that failed is told of; what was refused beside the workloads waits.
                if executed.complete || executed.failed.is_none() {
                    executed.failed = Some((action.clone(), error));
                }
                executed.complete = false;
                if !alone || is_record(action) {
                    break;
                }
            }
        }
    }
    executed
}

/// Whether all else rests on it.
fn is_record(action: &Action) -> bool {
    matches!(
        action,
        Action::RecordLedger(_) | Action::ForgetLedger | Action::DropFinalizer
    )
}

/// Whether it concerns one node alone: another may answer.
fn on_a_node(action: &Action) -> bool {
    matches!(
        action,
        Action::PrepareDirectory { .. } | Action::RemoveVolume { .. }
    )
}

/// What is refused for so many objects of a kind in a pass is not asked for the rest of them: a policy is against the kind.
const KIND_TRIES: u32 = 2;

/// What is not done any more in this pass.
#[derive(Default)]
struct Ended {
    components: BTreeSet<Component>,
    objects: BTreeSet<ObjectId>,
    /// Failures by kind of object.
    kinds: BTreeMap<&'static str, u32>,
    any: bool,
}

impl Ended {
    /// The component and the object of an action, where it has them.
    fn subject<'a, N>(
        action: &'a Action,
        rendered: Option<&Rendered<N>>,
    ) -> (Option<Component>, Option<&'a ObjectId>) {
        match action {
            Action::Create { id, .. }
            | Action::Update { id, .. }
            | Action::Stop { id, .. }
            | Action::Remove { id, .. } => {
                let outline = rendered.and_then(|r| r.outline.get(id));
                let key = outline.and_then(|o| o.workload);
                (key.map(|key| key.component), Some(id))
            }
            Action::PrepareDirectory { directory, .. } => (
                member_of_directory(directory).map(|key| key.component),
                None,
            ),
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::RemoveVolume { .. }
            | Action::Mark { .. }
            | Action::DropFinalizer => (None, None),
        }
    }

    fn add<N>(&mut self, action: &Action, rendered: Option<&Rendered<N>>) {
        let (component, object) = Self::subject(action, rendered);
        self.components.extend(component);
        if let Some(id) = object {
            *self.kinds.entry(id.kind).or_default() += 1;
        }
        self.objects.extend(object.cloned());
        self.any = true;
    }

    fn concerns<N>(&mut self, action: &Action, rendered: Option<&Rendered<N>>) -> bool {
        if !self.any {
            return false;
        }
        // What is noted as done must be done.
        if is_record(action) {
            return true;
        }
        let (component, object) = Self::subject(action, rendered);
        let uses = object.and_then(|id| rendered.and_then(|r| r.outline.get(id)));
        let kind = object.and_then(|id| self.kinds.get(id.kind));
        if kind.is_some_and(|failures| *failures >= KIND_TRIES) {
            return true;
        }
        let uses_it = uses.is_some_and(|o| o.uses.iter().any(|id| self.objects.contains(id)));
        if uses_it {
            self.components.extend(component);
            self.objects.extend(object.cloned());
        }
        uses_it || component.is_some_and(|component| self.components.contains(&component))
    }
}

async fn one<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    action: &Action,
    basis: &Basis<'_, B::Native>,
) -> Result<Outcome, PlatformError> {
    let wrote = || Outcome {
        at: context.seams.clock.now(),
        wrote: true,
        remark: None,
        underway: false,
    };
    let deleting = resource.metadata.deletion_timestamp.is_some();
    let work = async {
        match action {
            Action::RecordLedger(ledger) => {
                let ledgers = &context.ledgers;
                let written = match basis.recorded {
                    None => ledgers.create(&cluster.key, ledger).await,
                    Some(_) => ledgers.write(&cluster.key, ledger, basis.version).await,
                };
                match written {
                    Ok(version) => {
                        context.resources.wrote_ledger(&cluster.key, version);
                        Ok(wrote())
                    }
                    Err(error @ LedgerError::Changed { .. }) => Err(PlatformError::new(
                        Class::Conflict,
                        "record the ledger",
                        error.to_string(),
                    )),
                    // What it would tell of goes with the namespace: nothing is left to be remembered.
                    Err(LedgerError::NamespaceGoes { .. }) if deleting => Ok(Outcome {
                        wrote: false,
                        ..wrote()
                    }),
                    Err(error) => Err(failure("record the ledger", &error)),
                }
            }
            Action::ForgetLedger => context
                .ledgers
                .forget(&cluster.key)
                .await
                .map(|()| wrote())
                .map_err(|e| failure("forget the ledger", &e)),
            Action::DropFinalizer => report::drop_finalizer(&context.client, resource)
                .await
                .map(|()| wrote())
                .map_err(|e| failure("drop the finalizer", &e)),
            Action::Mark { component, text } => {
                let marked = marks::leave(context, *component, text, basis.stores.as_ref()).await;
                marked.map(|()| wrote())
            }
            other => context.backend.apply(cluster, other, basis.rendered).await,
        }
    };
    match tokio::time::timeout(ACTION_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(PlatformError::new(
            Class::Transient,
            describe(action),
            format!(
                "no answer within {} s; it is tried again",
                ACTION_TIMEOUT.as_secs()
            ),
        )),
    }
}

/// What an error of a call to the resources' own API means.
pub(crate) fn failure(operation: &str, error: &(dyn std::error::Error + 'static)) -> PlatformError {
    let causes = std::iter::successors(Some(error), |e| e.source());
    let class = causes
        .filter_map(|e| e.downcast_ref::<kube::Error>())
        .find_map(|e| match e {
            kube::Error::Api(status) => Some(milvus_kubernetes::class_of_status(status.code)),
            _ => None,
        });
    let message = crate::telemetry::chain(error);
    PlatformError::new(class.unwrap_or(Class::Transient), operation, message)
}

/// Metric label of an action.
fn word(action: &Action) -> &'static str {
    match action {
        Action::RecordLedger(_) => "record_ledger",
        Action::ForgetLedger => "forget_ledger",
        Action::Create { .. } => "create",
        Action::Update { .. } => "update",
        Action::Stop { .. } => "stop",
        Action::Remove { .. } => "remove",
        Action::PrepareDirectory { .. } => "prepare_directory",
        Action::RemoveVolume { .. } => "remove_volume",
        Action::Mark { .. } => "mark",
        Action::DropFinalizer => "drop_finalizer",
    }
}

/// An action in a few words, for logs and errors.
pub(crate) fn describe(action: &Action) -> String {
    match action {
        Action::RecordLedger(_) => "record the ledger".to_owned(),
        Action::ForgetLedger => "forget the ledger".to_owned(),
        Action::Create { id, .. } => format!("create {id}"),
        Action::Update { id, difference, .. } => {
            format!("update {id} ({})", difference.fields.join(", "))
        }
        Action::Stop { id, .. } => format!("stop {id}"),
        Action::Remove { id, .. } => format!("remove {id}"),
        Action::PrepareDirectory {
            node, directory, ..
        } => format!("prepare {directory} on node {node}"),
        Action::RemoveVolume { node, volume, .. } => {
            format!("remove volume {volume} on node {node}")
        }
        Action::Mark { component, .. } => format!("leave the cluster's mark in {component}"),
        Action::DropFinalizer => "drop the finalizer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use milvus_core::component::WorkloadKey;
    use milvus_core::names::ClusterKey;
    use milvus_core::observed::{Difference, DifferenceCause, Touches};
    use milvus_core::outline::{ObjectClass, ObjectOutline, Outline, Revision};

    use super::*;

    fn id(name: &str) -> ObjectId {
        ObjectId::new("service", name)
    }

    fn rendered() -> Rendered<()> {
        let entry = |class, name: Option<&str>, uses: &[&str]| ObjectOutline {
            class,
            workload: name.and_then(WorkloadKey::parse),
            revision: Revision(String::new()),
            uses: uses.iter().map(|name| id(name)).collect(),
            replicas: Some(1),
            mutable: true,
        };
        let mut outline = Outline::new();
        outline.insert(id("config"), entry(ObjectClass::Prerequisite, None, &[]));
        for (name, uses) in [("etcd-0", &[][..]), ("etcd-1", &[]), ("proxy", &["config"])] {
            outline.insert(id(name), entry(ObjectClass::Workload, Some(name), uses));
        }
        Rendered {
            cluster: ClusterRef {
                key: ClusterKey::new("default", "demo"),
                uid: "uid".to_owned(),
                generation: 1,
            },
            outline,
            native: std::collections::BTreeMap::new(),
        }
    }

    pub(super) fn update(name: &str, restarts: bool) -> Action {
        Action::Update {
            id: id(name),
            seen: None,
            difference: Difference {
                cause: DifferenceCause::Spec,
                fields: Vec::new(),
                touches: match restarts {
                    true => Touches::Process,
                    false => Touches::Nothing,
                },
                in_place: false,
            },
        }
    }

    #[test]
    fn what_fails_ends_its_component_and_its_users_alone() {
        let rendered = rendered();
        let prepare = Action::PrepareDirectory {
            node: "n1".to_owned(),
            base: "/data".to_owned(),
            directory: "demo/etcd-0-e1".to_owned(),
        };
        for failed in [prepare, update("etcd-0", true)] {
            let mut ended = Ended::default();
            assert!(!ended.concerns(&update("etcd-1", true), Some(&rendered)));
            ended.add(&failed, Some(&rendered));
            assert!(ended.concerns(&update("etcd-1", true), Some(&rendered)));
            assert!(!ended.concerns(&update("proxy", true), Some(&rendered)));
            assert!(ended.concerns(&Action::DropFinalizer, Some(&rendered)));
        }
        let mut ended = Ended::default();
        ended.add(&update("etcd-0", true), Some(&rendered));
        ended.add(&update("unknown", true), Some(&rendered));
        assert!(ended.concerns(&update("proxy", true), Some(&rendered)));
        let mut ended = Ended::default();
        ended.add(&update("config", false), Some(&rendered));
        assert!(ended.concerns(&update("proxy", true), Some(&rendered)));
        assert!(!ended.concerns(&update("etcd-0", true), Some(&rendered)));
    }

    #[test]
    fn an_unsound_plan_is_a_fault_of_ours() {
        let mut plan = Plan {
            actions: vec![update("proxy", true)],
            waiting: Vec::new(),
            notices: Vec::new(),
            next_check: Duration::ZERO,
            readiness: std::collections::BTreeMap::new(),
            changing: Vec::new(),
        };
        assert!(unsound(&plan, &[]).is_none());
        let refused =
            unsound(&plan, &["changes x, which is not ours".to_owned()]).expect("refused");
        let (_, error) = refused.failed.expect("an error");
        assert_eq!(error.class, Class::Bug);
        assert!(error.message.contains("which is not ours"), "{error}");
        assert!(refused.done.is_empty() && !refused.complete);
        plan.actions.clear();
        assert!(unsound(&plan, &["x".to_owned()]).is_none());
    }
}
