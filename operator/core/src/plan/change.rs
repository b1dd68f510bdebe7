//! Objects that are there and differ from their rendering. What restarts nothing is put right at once. What restarts
//! processes takes turns: one workload at a time over the whole cluster, the next only when the last is healthy, and a
//! quorum member only while the others answer. What is down already needs no turn: putting it right takes nothing away,
//! and it is the way back from a change that broke it.

use jiff::SignedDuration;

use crate::action::{Action, Notice, RemoveCause, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::desired::Shape;
use crate::observed::{Difference, DifferenceCause, Instance, InstanceState, ObservedObject};
use crate::plan::readiness::{self, Health, health, instances};
use crate::plan::{Draft, View, WorkloadObject, quorum, start};
use crate::reasons::Reason;

/// How long a job that has failed is left as it is.
const JOB_AGAIN: SignedDuration = SignedDuration::from_secs(60);

struct Candidate<'a> {
    object: WorkloadObject<'a>,
    difference: &'a Difference,
}

pub(super) fn apply(view: &View<'_>, draft: &mut Draft) {
    let objects = view.workload_objects();
    let mut turns = Vec::new();
    let mut active = None;
    for object in &objects {
        let Some(observed) = view.ours(object.id) else {
            continue;
        };
        if object.workload.shape == Shape::Job {
            job(view, object, observed, draft);
            continue;
        }
        stalled(object, observed, draft);
        if stopped(object, observed) && view.overlaps(object) {
            draft.changing.insert(object.key);
            active.get_or_insert(object.key);
            resume(view, object, observed, draft);
            continue;
        }
        match &observed.difference {
            None => rolling(view, object, draft),
            Some(difference) if !difference.restarts => draft.actions.push(Action::Update {
                id: object.id.clone(),
                difference: difference.clone(),
            }),
            Some(difference) => {
                draft.changing.insert(object.key);
                let candidate = Candidate {
                    object: *object,
                    difference,
                };
                if let Some(node) = view.node_down(object.key) {
                    draft.wait(
                        object.key.component,
                        WaitingOn::Node {
                            node,
                            what: format!("{} is to be changed there", object.key),
                        },
                    );
                } else if needs_no_turn(view, object) {
                    if started(view, &candidate, draft) {
                        active.get_or_insert(object.key);
                    }
                } else {
                    turns.push(candidate);
                }
            }
        }
    }
    take_turn(view, &objects, &turns, active, draft);
}

/// Whether the object asks for no instance although it should: the middle of a change, or a hand.
fn stopped(object: &WorkloadObject<'_>, observed: &ObservedObject) -> bool {
    observed.replicas == Some(0) && object.outline.replicas != Some(0)
}

/// Goes on with a stopped member once nothing of it runs any more.
fn resume(
    view: &View<'_>,
    object: &WorkloadObject<'_>,
    observed: &ObservedObject,
    draft: &mut Draft,
) {
    let component = object.key.component;
    if view.may_run(object.key) {
        let on = match view.node_down(object.key) {
            Some(node) => WaitingOn::Node {
                node,
                what: format!("{} may still run there", object.key),
            },
            None => WaitingOn::MemberStop {
                workload: object.key,
            },
        };
        draft.wait(component, on);
        return;
    }
    let difference = observed.difference.clone().unwrap_or(Difference {
        cause: DifferenceCause::Spec,
        fields: vec!["replicas".to_owned()],
        restarts: false,
        in_place: true,
    });
    draft.actions.push(Action::Update {
        id: object.id.clone(),
        difference,
    });
}

/// A job cannot be changed in place: every change would run it again. An unfinished one is made anew, and so is one that has
/// given up, for its cause may have been mended.
fn job(view: &View<'_>, object: &WorkloadObject<'_>, observed: &ObservedObject, draft: &mut Draft) {
    if start::done(view, object)
        || readiness::job_complete(object.key.component, view.input.observed)
    {
        return;
    }
    stalled(object, observed, draft);
    let restarts = observed.difference.as_ref().is_some_and(|d| d.restarts);
    if restarts || given_up(view, object) {
        draft.changing.insert(object.key);
        draft.actions.push(Action::Remove {
            id: object.id.clone(),
            native_id: observed.native_id.clone(),
            cause: RemoveCause::Replace,
        });
    }
}

/// Whether a job has failed as a whole some time ago: the platform tells of it as of a process under the job's own name.
fn given_up(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    instances(view.input.observed, object.key)
        .filter(|i| i.id == object.id.name && matches!(i.state, InstanceState::Failed { .. }))
        .any(|i| {
            let failed = i.since.map(|since| view.input.now.duration_since(since));
            failed.is_none_or(|ago| ago >= JOB_AGAIN)
        })
}

/// A change that was handed over has not reached every instance.
fn rolling(view: &View<'_>, object: &WorkloadObject<'_>, draft: &mut Draft) {
    let all = || instances(view.input.observed, object.key).filter(|i| i.wanted);
    if all().all(|i| i.current) {
        return;
    }
    draft.changing.insert(object.key);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let wanted = readiness::wanted(object.workload, view.input.observed);
    let wanted = object.outline.replicas.unwrap_or(wanted);
    let changed = count(all().filter(|i| i.current).count());
    draft.wait(
        object.key.component,
        WaitingOn::Instances {
            workload: object.key,
            running: count(all().filter(|i| i.state == InstanceState::Running).count()),
            wanted,
            detail: format!("{changed} of {wanted} changed"),
        },
    );
}

/// What the platform says of an object that does not get on.
fn stalled(object: &WorkloadObject<'_>, observed: &ObservedObject, draft: &mut Draft) {
    if let Some(why) = &observed.update_stalled {
        draft.note(Notice {
            reason: Reason::NotReady,
            message: format!("{}: {} does not get on: {why}", object.key, object.id),
            field: Some(object.workload.origin.block.clone()).filter(|f| !f.is_empty()),
        });
    }
}

/// Whether a change takes nothing away that works now.
fn needs_no_turn(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    if quorum::together(object) {
        return quorum::takes_nothing(view, object);
    }
    let health = health(object.workload, object.key, view.input.observed);
    if object.key.ordinal.is_none() {
        return matches!(health, Health::Down | Health::NotReady);
    }
    // Before the first quorum there is nothing to lose.
    let component = object.key.component;
    health == Health::Down
        || (!view.input.ledger.is_bootstrapped(component) && !view.ready(component))
}

/// Starts a change, if what the workload needs answers.
fn started(view: &View<'_>, candidate: &Candidate<'_>, draft: &mut Draft) -> bool {
    let object = &candidate.object;
    let lacking = view.lacking(object.workload);
    if !lacking.is_empty() {
        draft.wait(object.key.component, WaitingOn::Dependencies(lacking));
        return false;
    }
    if view.overlaps(object) && view.may_run(object.key) {
        draft.actions.push(Action::Stop {
            id: object.id.clone(),
            reason: format!(
                "to change {} without two processes on its data",
                candidate.difference.fields.join(", ")
            ),
        });
        draft.wait(
            object.key.component,
            WaitingOn::MemberStop {
                workload: object.key,
            },
        );
    } else {
        draft.actions.push(Action::Update {
            id: object.id.clone(),
            difference: candidate.difference.clone(),
        });
    }
    true
}

/// Starts the next change of something that works, or says for whom it waits.
fn take_turn(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    turns: &[Candidate<'_>],
    mut active: Option<WorkloadKey>,
    draft: &mut Draft,
) {
    for candidate in turns {
        let key = candidate.object.key;
        let after = quorum::held_up_by(view, &candidate.object)
            .or(active)
            .or_else(|| blocker(view, objects, &candidate.object));
        match after {
            Some(after) => draft.wait(
                key.component,
                WaitingOn::Turn {
                    workload: key,
                    after,
                },
            ),
            None => {
                if started(view, candidate, draft) {
                    active = Some(key);
                }
            }
        }
    }
}

/// The first workload that must be well before this one may be taken down.
fn blocker(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    candidate: &WorkloadObject<'_>,
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
    others()
        .filter(|o| o.workload.shape != Shape::Job)
        .find(|o| !settled(view, o) && !excused(view, o, component))
        .map(|o| o.key)
}

/// A member that is away with its node does not hold up the change of another component while its own has its quorum.
fn excused(view: &View<'_>, other: &WorkloadObject<'_>, component: Component) -> bool {
    other.key.component != component
        && view.node_down(other.key).is_some()
        && view.ready(other.key.component)
}

/// Whether a workload stands as asked for by its object: every instance runs its present spec and answers. Of what is scaled
/// externally, one for which there is no room does not count.
fn settled(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let Some(observed) = view.ours(object.id) else {
        return start::done(view, object);
    };
    let external = object.workload.externally_scaled();
    let beyond = |i: &Instance| external && matches!(i.state, InstanceState::Pending { .. });
    let current = instances(view.input.observed, object.key)
        .filter(|i| i.wanted && !beyond(i))
        .all(|i| i.current && i.state == InstanceState::Running);
    !observed.updating
        && !stopped(object, observed)
        && current
        && health(object.workload, object.key, view.input.observed) == Health::Serving
}

fn runs(view: &View<'_>, key: WorkloadKey) -> bool {
    instances(view.input.observed, key).any(|i| i.wanted && i.state == InstanceState::Running)
}
