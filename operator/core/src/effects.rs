//! What writing an object does to the processes that run now, as the platforms judge it. Pure.

use crate::component::WorkloadKey;
use crate::desired::Workload;
use crate::ledger::Ledger;
use crate::observed::{Instance, Observed, Touches};
use crate::place;

/// The processes of a workload that the platform ends when its object is brought to its rendering.
pub fn ended<'a>(
    observed: &'a Observed,
    ledger: &Ledger,
    workload: &Workload,
    key: WorkloadKey,
    touches: Touches,
) -> Vec<&'a Instance> {
    observed
        .instances
        .iter()
        .filter(|i| i.wanted && i.state.may_run())
        .filter(|i| i.workload.component == key.component)
        .filter(|i| key.ordinal.is_none() || i.workload.ordinal == key.ordinal)
        .filter(|i| match touches {
            Touches::Nothing => false,
            Touches::Placement => !stays(observed, ledger, workload, i),
            Touches::Resources | Touches::Process => true,
        })
        .collect()
}

/// Whether a process may stay where it is. Swarm's rule for a change of placement alone: a task stays if its node meets the
/// new rules, and is replaced if it does not or is not known any more (`IsTaskDirty` in swarmkit's
/// `manager/orchestrator/task.go`).
fn stays(observed: &Observed, ledger: &Ledger, workload: &Workload, instance: &Instance) -> bool {
    let Some(node) = &instance.node else {
        return true; // placed nowhere yet: nothing of it runs
    };
    let home = ledger.member(instance.workload).map(|entry| &entry.node);
    let at_home = home.is_none_or(|home| home.is_empty() || home == node);
    let node = observed.topology.node(node);
    at_home && node.is_some_and(|node| place::unmet(&workload.placement, node).is_none())
}
