//! What the change of a quorum may take down. Members that are native workloads of their own take turns one by one.
//! Members of one native workload are replaced by the platform itself, the highest ordinal first and without a look at the
//! lower ones: so all of them are looked at before the change is handed over.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::component::{Component, WorkloadKey};
use crate::desired::Shape;
use crate::plan::readiness::{self, Health, health, instances};
use crate::plan::{View, WorkloadObject};

/// How long a quorum must have been lost before its running members are changed without it. An election is shorter.
const LOST_QUORUM: Duration = Duration::from_secs(10);
/// How long a member of the newest template must have failed to come up before the template itself counts as broken.
const BROKEN_TEMPLATE: Duration = Duration::from_secs(120);

/// Whether the members of a quorum are one native workload.
pub(super) fn together(object: &WorkloadObject<'_>) -> bool {
    object.key.ordinal.is_none() && matches!(object.workload.shape, Shape::Members { .. })
}

/// Whether handing over a change of such members takes nothing away that works now.
pub(super) fn takes_nothing(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let component = object.key.component;
    unborn(view, component)
        || lost_for_good(view, component)
        || first_is_down(view, object)
        || template_is_broken(view, object)
}

/// The member that must answer again before a change of such members may take another one down.
pub(super) fn held_up_by(view: &View<'_>, object: &WorkloadObject<'_>) -> Option<WorkloadKey> {
    let readiness = view.readiness.get(&object.key.component)?;
    let needed = readiness::needed(object.workload, readiness.wanted, view.input.ledger);
    if !together(object) || readiness.answering > needed {
        return None;
    }
    silent(view, object).into_iter().next()
}

/// Members that do not answer well.
fn silent(view: &View<'_>, object: &WorkloadObject<'_>) -> Vec<WorkloadKey> {
    let keys = object.workload.keys();
    let silent = |key: &WorkloadKey| !serves(view, object, *key);
    keys.into_iter().filter(silent).collect()
}

fn serves(view: &View<'_>, object: &WorkloadObject<'_>, key: WorkloadKey) -> bool {
    health(object.workload, key, view.input.observed) == Health::Serving
}

/// Whether the member that the platform will replace first is down anyway. It is the highest one that was not started from
/// the wanted template; one of neither the object's template nor known otherwise may be of the wanted one, and be passed over.
fn first_is_down(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let observed = view.input.observed.objects.get(object.id);
    let outdated = observed.is_some_and(|o| o.revision.as_ref() != Some(&object.outline.revision));
    for key in object.workload.keys().into_iter().rev() {
        let found = instances(view.input.observed, key).find(|i| i.wanted);
        let down = matches!(
            health(object.workload, key, view.input.observed),
            Health::Down | Health::NotReady
        );
        if !down {
            return false;
        }
        if found.is_none_or(|i| i.current && outdated) {
            return true;
        }
    }
    true
}

/// Whether a rollout has stopped at members of its own new template that do not come up: waiting for them would be waiting
/// for ever, and another template is the only way on.
fn template_is_broken(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let component = object.key.component;
    let unfinished = view.ours(object.id).is_some_and(|o| o.updating);
    let lacking = view.input.memory.lacking.get(&component);
    let of_it = |key: WorkloadKey| {
        instances(view.input.observed, key)
            .find(|i| i.wanted)
            .is_some_and(|i| i.current)
    };
    unfinished
        && lacking.is_some_and(|since| lasts(view, *since, BROKEN_TEMPLATE))
        && silent(view, object).into_iter().all(of_it)
}

/// Whether a component has never had its quorum, and none of its members answers now. All of them must have been asked: what
/// could not be asked may well serve.
pub(super) fn unborn(view: &View<'_>, component: Component) -> bool {
    let silent = |health: Health| matches!(health, Health::Down | Health::NotReady);
    !view.input.ledger.is_bootstrapped(component)
        && view.workload(component).is_some_and(|w| {
            let mut keys = w.keys().into_iter();
            keys.all(|key| silent(health(w, key, view.input.observed)))
        })
}

/// Whether a component has said for a while that it has no quorum. Answers that did not come do not count: they may be
/// our own way in that is broken.
pub(super) fn lost_for_good(view: &View<'_>, component: Component) -> bool {
    let unready = view.input.memory.unready.get(&component);
    let asked = view
        .workload(component)
        .map(|w| {
            w.keys()
                .iter()
                .all(|key| health(w, *key, view.input.observed) != Health::Unknown)
        })
        .unwrap_or(false);
    // One that has lost its data has its quorum all the same.
    let lost = view.readiness.get(&component).is_some_and(|r| r.lost);
    !view.ready(component)
        && !lost
        && unready.is_some_and(|since| lasts(view, *since, LOST_QUORUM))
        && asked
}

fn lasts(view: &View<'_>, since: Timestamp, limit: Duration) -> bool {
    let lasted = view.input.now.duration_since(since);
    SignedDuration::try_from(limit).is_ok_and(|limit| lasted >= limit)
}
