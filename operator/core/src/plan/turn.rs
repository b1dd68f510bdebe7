//! Who may be changed now, and what a change waits for: what this operator is changing already, the candidate's own siblings,
//! and what works now and would suffer from its absence. What does not work anyway and was not changed here is named, and
//! waited for a limited time only: the change may be the very thing that puts it right.

use std::time::Duration;

use jiff::SignedDuration;

use crate::component::{Component, WorkloadKey};
use crate::desired::Shape;
use crate::observed::{Instance, InstanceState};
use crate::plan::readiness::{self, Health, health, instances};
use crate::plan::{View, WorkloadObject, quorum, start};

/// How long a change waits for a workload that was unwell before it: a node's tasks are placed again and have started by
/// then.
const PATIENCE: Duration = Duration::from_secs(180);

/// Whether a change takes nothing away that works now.
pub(super) fn needs_none(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    if quorum::together(object) {
        return quorum::takes_nothing(view, object);
    }
    let component = object.key.component;
    if object.key.ordinal.is_none() {
        return readiness::silent(object.workload, object.key, view.input.observed);
    }
    health(object.workload, object.key, view.input.observed) == Health::Down
        || quorum::unborn(view, component)
}

/// The first workload that must be well before this one may be taken down. `queued` have a change of their own that waits
/// for its turn.
pub(super) fn blocker(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    candidate: &WorkloadObject<'_>,
    queued: &[WorkloadKey],
) -> Option<WorkloadKey> {
    let component = candidate.key.component;
    let others = || objects.iter().filter(|o| o.key != candidate.key);
    if candidate.key.ordinal.is_some() && quorum::lost_for_good(view, component) {
        // Nothing that works is left to protect; still never two at once.
        return others()
            .find(|o| {
                o.key.component == component
                    && view.node_down(o.key).is_none()
                    && !runs(view, o.key)
            })
            .map(|o| o.key);
    }
    let sibling = |o: &&WorkloadObject<'_>| o.key.component == component && !settled(view, o);
    others()
        .find(sibling)
        .or_else(|| {
            others()
                .filter(|o| o.key.component != component)
                .find(|o| holds(view, candidate, o, queued))
        })
        .map(|o| o.key)
}

/// Whether another component's workload holds a change up.
pub(super) fn holds(
    view: &View<'_>,
    candidate: &WorkloadObject<'_>,
    other: &WorkloadObject<'_>,
    queued: &[WorkloadKey],
) -> bool {
    let component = other.key.component;
    if other.workload.shape == Shape::Job || settled(view, other) {
        return false;
    }
    // A member that is away with its node holds nothing up while its own component has its quorum.
    if view.node_down(other.key).is_some() && view.ready(component) {
        return false;
    }
    // What does not work and needs the candidate may need just this change. Roles of Milvus do not ask for each other when they
    // start, so of them the later ones are given the time to come up by themselves.
    let before = candidate.key.component;
    if broken(view, other)
        && (requires(view, component, before)
            || (follows(component, before) && lacks_for_long(view, component)))
    {
        return false;
    }
    if in_change(view, other) {
        return true;
    }
    // Two that are unwell and are to be changed: the first one goes.
    if queued.contains(&other.key) && !settled(view, candidate) {
        return false;
    }
    let answering = view.readiness.get(&component).map_or(0, |r| r.answering);
    if other.workload.shape == Shape::PerNode && answering > 0 {
        return false;
    }
    let seen = health(candidate.workload, candidate.key, view.input.observed) != Health::Unknown;
    !(seen && lacks_for_long(view, component))
}

/// Whether a workload is being changed: its new spec has not reached every instance, or has and they have not all answered.
fn in_change(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let Some(observed) = view.ours(object.id) else {
        return false;
    };
    observed.updating
        || stopped_by_change(view, object)
        || view.input.memory.touched.contains(&object.key.component)
        || !placed(view, object).all(|i| current(view, object, i))
}

fn stopped_by_change(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    view.ours(object.id)
        .is_some_and(|o| o.replicas == Some(0) && object.outline.replicas != Some(0))
}

/// Whether a component does not serve, as it says itself.
fn broken(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let keys = object.workload.keys();
    let asked =
        |key: &WorkloadKey| health(object.workload, *key, view.input.observed) != Health::Unknown;
    !view.ready(object.key.component) && keys.iter().all(asked)
}

/// Whether one role of Milvus comes after another in their order, and may need it.
fn follows(role: Component, other: Component) -> bool {
    let order = |component: Component| Component::ALL.iter().position(|c| *c == component);
    role.is_milvus() && other.is_milvus() && order(other) < order(role)
}

/// Whether a component asks for another one when it starts, by way of others too.
fn requires(view: &View<'_>, dependent: Component, on: Component) -> bool {
    let mut found = vec![dependent];
    let mut next = 0;
    while let Some(component) = found.get(next).copied() {
        next += 1;
        let requires = view.workload(component).map(|w| w.requires.as_slice());
        for needed in requires.unwrap_or_default() {
            if !found.contains(needed) {
                found.push(*needed);
            }
        }
    }
    on != dependent && found.contains(&on)
}

fn lacks_for_long(view: &View<'_>, component: Component) -> bool {
    let since = view.input.memory.lacking.get(&component);
    let limit = SignedDuration::try_from(PATIENCE);
    since.is_some_and(|since| limit.is_ok_and(|l| view.input.now.duration_since(*since) >= l))
}

/// The instances that are to run, where the platform would give them a place: one per node counts nodes that take work, and
/// of what is scaled externally one for which there is no room does not count.
pub(super) fn placed<'a>(
    view: &'a View<'_>,
    object: &'a WorkloadObject<'_>,
) -> impl Iterator<Item = &'a Instance> {
    let external = object.workload.externally_scaled();
    instances(view.input.observed, object.key)
        .filter(|i| i.wanted)
        .filter(move |i| !external || !matches!(i.state, InstanceState::Pending { .. }))
        .filter(|i| readiness::takes_work(object.workload, i, view.input.observed))
}

/// Whether a workload stands as asked for by its object: every instance runs its present spec and answers.
fn settled(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let Some(observed) = view.ours(object.id) else {
        return start::done(view, object);
    };
    !observed.updating
        && !stopped_by_change(view, object)
        && placed(view, object)
            .all(|i| current(view, object, i) && i.state == InstanceState::Running)
        && health(object.workload, object.key, view.input.observed) == Health::Serving
}

fn current(view: &View<'_>, object: &WorkloadObject<'_>, instance: &Instance) -> bool {
    let differs = view.ours(object.id).is_some_and(|o| o.difference.is_some());
    if differs {
        return instance.current; // of its present spec, which the rules are not in yet
    }
    readiness::is_current(object.workload, instance, view.input.observed)
}

fn runs(view: &View<'_>, key: WorkloadKey) -> bool {
    instances(view.input.observed, key).any(|i| i.wanted && i.state == InstanceState::Running)
}
