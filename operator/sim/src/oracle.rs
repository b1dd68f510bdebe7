//! What must hold at every instant, judged from the truth of the world and not from what the operator was shown.

use jiff::SignedDuration;
use milvus_core::action::Action;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Desired;
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterRef;
use milvus_crds::MilvusClusterStatus;
use milvus_platform::Rendered;

use crate::render::{Native, outdated};
use crate::tasks::{Task, TaskState};
use crate::world::World;

/// How long a quorum has worked until the operator must have seen it: what has not been recorded by then is no excuse.
const SEEN: SignedDuration = SignedDuration::from_secs(10);

/// A member of a quorum that works may be taken down only while all the others work. Judged by what the platform does with its
/// processes, whatever the operator takes the act for.
pub(crate) fn quorum(
    world: &mut World,
    cluster: &ClusterRef,
    action: &Action,
    rendered: Option<&Rendered<Native>>,
    ledger: Option<&Ledger>,
) {
    let (Action::Stop { id, .. } | Action::Update { id, .. }) = action else {
        return;
    };
    let stops = matches!(action, Action::Stop { .. });
    let Some(native) = rendered.and_then(|r| r.native.get(id)) else {
        return;
    };
    let Some(mut key) = native.workload else {
        return;
    };
    let object = world.objects.get(id);
    let references = native.uses.iter().filter_map(|used| {
        let object = world.objects.get(used)?;
        Some((used.clone(), object.native_id.clone()))
    });
    let references = references.collect();
    let ends = |task: &Task| {
        let kubernetes = world.options.kubernetes;
        stops || outdated(task, native, &references, &world.nodes, kubernetes)
    };
    let of_object = |t: &&Task| {
        t.uid == cluster.uid
            && t.wanted
            && t.key.component == key.component
            && (native.shared || t.key == key)
    };
    if !world.tasks.iter().filter(of_object).any(ends) {
        return;
    }
    // MinIO restarts as a whole where its members would not work with one that is of another kind.
    let differs = object.is_some_and(|o| !o.native.alike(native));
    if key.component == Component::Minio && stops && differs {
        return;
    }
    if native.shared {
        // The platform begins with the highest one.
        let last = u16::try_from(native.members.saturating_sub(1)).unwrap_or(u16::MAX);
        key = WorkloadKey::member(key.component, last);
    } else if key.ordinal.is_none() {
        return;
    }
    let of_component = |t: &&Task| {
        // What the platform stops already for a reason of its own is not ours to harm.
        t.uid == cluster.uid
            && t.wanted
            && t.key.component == key.component
            && t.state == TaskState::Running
            && !t.address.is_empty()
            && world.now >= t.next
    };
    // Only a quorum that works can be harmed, and before it can have been seen to work nobody uses it.
    let recorded = ledger.is_some_and(|l| l.is_bootstrapped(key.component));
    let lately = |t: &Task| world.now.duration_since(t.next) < SEEN;
    let fresh = world.tasks.iter().filter(of_component).any(lately);
    if !world.serves(&cluster.uid, key.component) || (!recorded && fresh) {
        return;
    }
    let works = |ordinal: Option<u16>| {
        let mut tasks = world.tasks.iter().filter(of_component);
        tasks.any(|t| t.key.ordinal == ordinal)
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

/// A member stays with the volumes that it began on, and opens none that was made for another resource unless that was asked for.
pub(crate) fn volumes(world: &mut World, task: &Task) {
    let now = &task.native.volumes;
    let had = world
        .opened
        .entry((task.uid.clone(), task.key))
        .or_insert_with(|| now.clone());
    if had != now {
        let message = format!("{} began on {now:?}; its data is in {had:?}", task.key);
        world.violations.push(message);
    }
    for volume in now {
        let uid = world
            .made_for
            .entry(volume.clone())
            .or_insert_with(|| task.uid.clone());
        if *uid != task.uid && !world.adopting.contains(&task.uid) {
            let message = format!("{} opened {volume}, which was made for {uid}", task.key);
            world.violations.push(message);
        }
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
