//! The change of a component whose members work only with peers that were started alike: all of them stop in one plan, and
//! each is brought to its new spec as soon as its own process is gone.

use crate::action::{Action, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::components;
use crate::observed::{Difference, Touches};
use crate::plan::change::{Candidate, keeps_away};
use crate::plan::readiness::{Health, health};
use crate::plan::{Draft, View, WorkloadObject, quorum, turn};

/// Whether a change makes a member one that its peers do not work with. Where enough of them are as it is to be already (one
/// member was edited by hand), it is changed alone.
pub(super) fn concerns(
    view: &View<'_>,
    object: &WorkloadObject<'_>,
    difference: &Difference,
) -> bool {
    let members = object.workload.keys();
    components::changes_together(object.key.component)
        && members.len() > 1
        && difference.touches == Touches::Process
        && (object.key.ordinal.is_none()
            || alike(view, object) < components::agreeing_peers(members.len()).max(1))
}

/// How many other members serve with the spec that this one is to get.
fn alike(view: &View<'_>, object: &WorkloadObject<'_>) -> usize {
    let objects = view.workload_objects();
    let peers = objects
        .iter()
        .filter(|o| o.key.component == object.key.component && o.key != object.key);
    let serves = |peer: &&WorkloadObject<'_>| {
        let same = view.ours(peer.id).is_some_and(|o| {
            let difference = o.difference.as_ref();
            difference.is_none_or(|d| d.touches < Touches::Process)
        });
        same && turn::placed(view, peer).all(|i| i.current)
            && health(peer.workload, peer.key, view.input.observed) == Health::Serving
    };
    peers.filter(serves).count()
}

/// Takes all of them down together, or says what that waits for: the whole stops serving meanwhile, so everything else is well
/// before, and it itself has said that it is. What does not serve anyway waits for nothing.
pub(super) fn change(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    together: &[Candidate<'_>],
    active: Option<WorkloadKey>,
    draft: &mut Draft,
) {
    let Some(first) = together.first() else {
        return;
    };
    let key = first.object.key;
    let component = key.component;
    let begun = objects.iter().any(|o| {
        o.key.component == component && view.ours(o.id).is_some_and(|o| o.replicas == Some(0))
    });
    let down = quorum::lost_for_good(view, component)
        || quorum::unborn(view, component)
        || (begun && !view.ready(component));
    if !down && let Some(on) = gate(view, objects, together, active) {
        draft.wait(component, on);
        return;
    }
    draft.wait(
        component,
        WaitingOn::WholeRestart {
            component,
            because: reason(together),
        },
    );
    for candidate in together {
        let object = &candidate.object;
        if view.may_run(object.key) {
            draft.actions.push(Action::stop(
                object.id,
                candidate.observed,
                format!(
                    "to change {} in all members together",
                    candidate.difference.fields.join(", ")
                ),
            ));
            let workload = object.key;
            draft.wait(component, WaitingOn::MemberStop { workload });
        } else {
            draft.actions.push(Action::update(
                object.id,
                candidate.observed,
                candidate.difference,
            ));
        }
    }
}

fn gate(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    together: &[Candidate<'_>],
    active: Option<WorkloadKey>,
) -> Option<WaitingOn> {
    let first = together.first()?;
    let workload = first.object.key;
    let component = workload.component;
    if !view.ready(component) {
        let detail = view.readiness.get(&component).map(|r| r.detail.clone());
        return Some(WaitingOn::Answer {
            component,
            detail: detail.unwrap_or_default(),
        });
    }
    let mut members = together.iter();
    if let Some(on) = members.find_map(|c| keeps_away(view, &c.object)) {
        return Some(on);
    }
    let others = objects.iter().filter(|o| o.key.component != component);
    let mut others = others.filter(|o| turn::holds(view, &first.object, o, &[]));
    let active = active.filter(|key| key.component != component);
    let after = active.or_else(|| others.next().map(|o| o.key))?;
    Some(WaitingOn::Turn { workload, after })
}

/// Says in passes that find some of them stopped already that the whole is on its way.
pub(super) fn going_on(component: Component, difference: &Difference, draft: &mut Draft) {
    draft.wait(
        component,
        WaitingOn::WholeRestart {
            component,
            because: difference.fields.join(", "),
        },
    );
}

fn reason(together: &[Candidate<'_>]) -> String {
    let mut fields: Vec<&str> = together
        .iter()
        .flat_map(|c| c.difference.fields.iter().map(String::as_str))
        .collect();
    fields.sort_unstable();
    fields.dedup();
    fields.join(", ")
}
