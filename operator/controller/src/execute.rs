//! Carries out a plan, one action after the other, and stops at the first failure of what anything else may rest on: what
//! goes beside workloads may be refused, and the rest is done all the same. Makes no choices.

use std::time::Duration;

use milvus_core::action::{Action, Outcome, Plan};
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterRef;
use milvus_crds::MilvusCluster;
use milvus_platform::{Backend, Class, PlatformError, Rendered};

use crate::context::Context;
use crate::ledger_store::LedgerError;
use crate::report;
use crate::resource_store::ResourceStore;

/// For one action.
const ACTION_TIMEOUT: Duration = Duration::from_secs(40);

/// What came of a plan.
pub(crate) struct Executed {
    /// The actions that succeeded, in order.
    pub done: Vec<(Action, Outcome)>,
    /// What it stopped at and why, if it did; else the first of what was refused beside the workloads.
    pub failed: Option<(Action, PlatformError)>,
    /// Everything but what goes beside workloads was done.
    pub complete: bool,
    /// The ledger as it stands now, if it was written or forgotten.
    pub ledger: Option<Option<Ledger>>,
    /// How long it took to make an object on average, if any was made.
    pub making: Option<Duration>,
}

/// Carries out `plan`. `recorded` is the ledger as it was read.
pub(crate) async fn execute<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    recorded: Option<&Ledger>,
    plan: &Plan,
    rendered: Option<&Rendered<B::Native>>,
) -> Executed {
    let mut executed = Executed {
        done: Vec::new(),
        failed: None,
        complete: true,
        ledger: None,
        making: None,
    };
    let (mut made, mut making) = (0, Duration::ZERO);
    for action in &plan.actions {
        let started = context.seams.clock.instant();
        let result = one(context, cluster, resource, action, rendered, recorded).await;
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
                    || rendered.is_some_and(|r| action.is_ancillary(&r.outline)) =>
            {
                executed
                    .failed
                    .get_or_insert_with(|| (action.clone(), error));
            }
            Err(error) => {
                executed.failed = Some((action.clone(), error));
                executed.complete = false;
                break;
            }
        }
    }
    executed
}

async fn one<B: Backend, S: ResourceStore>(
    context: &Context<B, S>,
    cluster: &ClusterRef,
    resource: &MilvusCluster,
    action: &Action,
    rendered: Option<&Rendered<B::Native>>,
    recorded: Option<&Ledger>,
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
                let written = match recorded {
                    None => ledgers.create(&cluster.key, ledger).await,
                    Some(_) => ledgers.write(&cluster.key, ledger).await,
                };
                match written {
                    Ok(()) => Ok(wrote()),
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
            other => context.backend.apply(cluster, other, rendered).await,
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
        Action::DropFinalizer => "drop_finalizer",
    }
}

/// An action in a few words, for logs and errors.
pub(crate) fn describe(action: &Action) -> String {
    match action {
        Action::RecordLedger(_) => "record the ledger".to_owned(),
        Action::ForgetLedger => "forget the ledger".to_owned(),
        Action::Create { id, .. } => format!("create {id}"),
        Action::Update { id, difference } => {
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
        Action::DropFinalizer => "drop the finalizer".to_owned(),
    }
}
