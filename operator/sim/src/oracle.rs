//! What must hold at every instant, judged from the truth of the world and not from what the operator was shown.

use milvus_core::action::Action;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Desired;
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterRef;
use milvus_crds::MilvusClusterStatus;
use milvus_platform::Rendered;

use crate::render::Native;
use crate::tasks::TaskState;
use crate::world::World;

/// A member of a quorum that works may be taken down only while all the others work.
pub(crate) fn quorum(
    world: &mut World,
    cluster: &ClusterRef,
    action: &Action,
    rendered: Option<&Rendered<Native>>,
    ledger: Option<&Ledger>,
) {
    let id = match action {
        Action::Stop { id, .. } => id,
        Action::Update { id, difference } if difference.restarts => id,
        _ => return,
    };
    let Some(native) = rendered.and_then(|r| r.native.get(id)) else {
        return;
    };
    let Some(mut key) = native.workload else {
        return;
    };
    if native.shared {
        // The platform begins with the highest one.
        let last = u16::try_from(native.members.saturating_sub(1)).unwrap_or(u16::MAX);
        key = WorkloadKey::member(key.component, last);
    } else if key.ordinal.is_none() {
        return;
    }
    // Only a quorum that works can be harmed, and before it was first seen to work nobody uses it.
    if !world.serves(&cluster.uid, key.component)
        || !ledger.is_some_and(|l| l.is_bootstrapped(key.component))
    {
        return;
    }
    let works = |ordinal: Option<u16>| {
        world.tasks.iter().any(|t| {
            // What the platform stops already for a reason of its own is not ours to harm.
            t.uid == cluster.uid
                && t.wanted
                && t.key.component == key.component
                && t.key.ordinal == ordinal
                && t.state == TaskState::Running
                && !t.address.is_empty()
                && world.now >= t.next
        })
    };
    let members = u16::try_from(native.members).unwrap_or(u16::MAX);
    let down: Vec<String> = (0..members)
        .filter(|i| Some(*i) != key.ordinal && !works(Some(*i)))
        .map(|i| format!("{}-{i}", key.component))
        .collect();
    if works(key.ordinal) && !down.is_empty() {
        let message = format!(
            "{key} was taken down while {} did not work",
            down.join(", ")
        );
        world.violations.push(message);
    }
}

/// Ready means that every role and what it stands on works now.
pub(crate) fn honest(world: &mut World, desired: &Desired, status: &MilvusClusterStatus) {
    let ready = status
        .conditions
        .iter()
        .any(|c| c.type_ == "Ready" && c.status == "True");
    if !ready {
        return;
    }
    let uid = &desired.cluster.uid;
    let silent: Vec<Component> = desired
        .workloads
        .iter()
        .map(|w| w.component)
        .filter(|c| *c != Component::PulsarInit && !world.serves(uid, *c))
        .collect();
    if !silent.is_empty() {
        world
            .violations
            .push(format!("Ready, while {silent:?} do not answer"));
    }
    if status.observed_generation != Some(desired.cluster.generation) {
        world.violations.push(format!(
            "Ready for generation {:?}, seen {}",
            status.observed_generation, desired.cluster.generation
        ));
    }
}
