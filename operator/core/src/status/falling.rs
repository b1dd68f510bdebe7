//! How a cluster that is being deleted becomes less. Nobody is asked any more, so a process counts as long as it runs and its
//! object is there, and never for more than it counted before.

use milvus_crds::{DependencyStatus, MilvusClusterStatus};

use super::{component_name, number};
use crate::component::{Component, WorkloadKey};
use crate::observed::{InstanceState, Observed};
use crate::plan::readiness::{has_object, instances};

/// Takes what has gone out of the counts.
pub(super) fn falling(status: &mut MilvusClusterStatus, observed: &Observed) {
    let (mut ready, mut wanted) = (0, 0);
    for component in Component::ALL {
        let name = component_name(component);
        let left = left(observed, WorkloadKey::shared(component));
        if let Some(role) = status.components.get_mut(name) {
            role.ready = role.ready.min(left);
            role.updated = role.updated.min(left);
            role.waiting_on = None;
            ready += role.ready;
            wanted += role.replicas;
        }
        if let Some(dependency) = status.dependencies.get_mut(name) {
            dependency.waiting_on = None;
            if let Some((count, of)) = counts(dependency) {
                let count = count.min(left);
                dependency.ready = Some(format!("{count}/{of}"));
                ready += count;
                wanted += of;
            }
            members(dependency, observed);
        }
    }
    if status.ready.is_some() {
        status.ready = Some(format!("{ready}/{wanted}"));
    }
}

fn members(dependency: &mut DependencyStatus, observed: &Observed) {
    for member in &mut dependency.members {
        let gone = WorkloadKey::parse(&member.name).is_some_and(|key| left(observed, key) == 0);
        if gone {
            member.ready = false;
            member.state = Some("stopped, or about to".to_owned());
        }
    }
}

/// How many processes of a workload run and are to stay for now.
fn left(observed: &Observed, key: WorkloadKey) -> i32 {
    let running = instances(observed, key)
        .filter(|i| {
            i.wanted && i.state == InstanceState::Running && has_object(observed, i.workload)
        })
        .count();
    number(u32::try_from(running).unwrap_or(u32::MAX))
}

/// The two numbers of `2/3`.
fn counts(dependency: &DependencyStatus) -> Option<(i32, i32)> {
    let (count, of) = dependency.ready.as_deref()?.split_once('/')?;
    Some((count.parse().ok()?, of.parse().ok()?))
}
