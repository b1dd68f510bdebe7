//! Objects that are there and differ from their rendering. What ends no process is put right at once. What ends processes
//! takes turns: one workload at a time over the whole cluster, the next only when the last is healthy, and a quorum member
//! only while the others answer. What is down already needs no turn: putting it right takes nothing away, and it is the way
//! back from a change that broke it. A member whose node does not meet its rules is not touched: it would be stopped, and
//! its data cannot follow it to another node.

use jiff::SignedDuration;

use crate::action::{Action, Notice, RemoveCause, WaitingOn};
use crate::component::{Component, WorkloadKey};
use crate::components::rule_field;
use crate::desired::Shape;
use crate::observed::{
    Difference, DifferenceCause, Instance, InstanceState, ObservedObject, Touches,
};
use crate::place;
use crate::plan::readiness::{self, instances};
use crate::plan::{Draft, View, WorkloadObject, quorum, start, turn, whole};
use crate::reasons::Reason;

/// How long a job that has failed is left as it is.
const JOB_AGAIN: SignedDuration = SignedDuration::from_secs(60);

pub(super) struct Candidate<'a> {
    pub(super) object: WorkloadObject<'a>,
    pub(super) observed: &'a ObservedObject,
    pub(super) difference: &'a Difference,
}

pub(super) fn apply(view: &View<'_>, draft: &mut Draft) {
    let objects = view.workload_objects();
    let mut turns = Vec::new();
    let mut together = Vec::new();
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
        if (observed.difference.is_some() || stopped(object, observed))
            && stands_on_lost(view, object)
        {
            draft.changing.insert(object.key);
            let lacking = view.lacking(object.workload);
            draft.wait(object.key.component, WaitingOn::Dependencies(lacking));
            continue;
        }
        let whole = observed
            .difference
            .as_ref()
            .filter(|d| whole::concerns(view, object, d));
        if stopped(object, observed) && (view.overlaps(object) || whole.is_some()) {
            draft.changing.insert(object.key);
            if view.node_down(object.key).is_none() || !view.ready(object.key.component) {
                active.get_or_insert(object.key);
            }
            if let Some(difference) = whole {
                whole::going_on(object.key.component, difference, draft);
            }
            resume(view, object, observed, draft);
            continue;
        }
        match &observed.difference {
            None => rolling(view, object, draft),
            Some(difference)
                if difference.cause == DifferenceCause::Stalled
                    && view.input.memory.rests(object.id, view.input.now) =>
            {
                rolling(view, object, draft);
            }
            Some(difference)
                if difference.touches <= Touches::Placement
                    && view.ended(object, difference).is_empty() =>
            {
                draft
                    .actions
                    .push(Action::update(object.id, observed, difference));
            }
            Some(difference) => {
                draft.changing.insert(object.key);
                let candidate = Candidate {
                    object: *object,
                    observed,
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
                } else if let Some(rule) = unmet_rule(view, object) {
                    left_behind(view, object, &rule, draft);
                } else if whole.is_some() {
                    together.push(candidate);
                } else if turn::needs_none(view, object) {
                    if started(view, &candidate, draft) {
                        active.get_or_insert(object.key);
                    }
                } else if let Some(node) = keeps_away(view, object) {
                    draft.wait(object.key.component, node);
                } else {
                    turns.push(candidate);
                }
            }
        }
    }
    take_turn(view, &objects, &turns, &mut active, draft);
    whole::change(view, &objects, &together, active, draft);
}

/// Whether a workload needs a store that has lost its data: every change of it may start a process on that.
fn stands_on_lost(view: &View<'_>, object: &WorkloadObject<'_>) -> bool {
    let lost = |c: &Component| view.readiness.get(c).is_some_and(|r| r.lost);
    object.workload.requires.iter().any(lost)
}

/// The rule that keeps a member that runs off the node that has its data.
fn unmet_rule(view: &View<'_>, object: &WorkloadObject<'_>) -> Option<String> {
    object.key.ordinal.filter(|_| view.may_run(object.key))?;
    let entry = view.input.ledger.member(object.key)?;
    let node = view.input.observed.topology.node(&entry.node)?;
    place::unmet(&object.workload.placement, node)
}

/// The node that has the data of a member and takes no work: what is taken down there does not come up again.
pub(super) fn keeps_away(view: &View<'_>, object: &WorkloadObject<'_>) -> Option<WaitingOn> {
    let (node, why) = view.node_withheld(object.key)?;
    view.may_run(object.key).then(|| WaitingOn::Node {
        node,
        what: format!("it is {why}; {} is to be changed there", object.key),
    })
}

/// Says why a member is left as it is.
fn left_behind(view: &View<'_>, object: &WorkloadObject<'_>, rule: &str, draft: &mut Draft) {
    let workload = object.workload;
    let node = view.input.ledger.member(object.key);
    let node = node.map_or("its node", |entry| entry.node_name.as_str());
    let detail = format!("its data is on {node}, which does not meet {rule}");
    let field = rule_field(
        object.key.component,
        &workload.placement,
        &workload.origin,
        rule,
    );
    draft.note(Notice {
        reason: Reason::Unschedulable,
        message: format!(
            "{} is not changed: {detail}; take the rule back or make the node meet it",
            object.key
        ),
        field: Some(field).filter(|f| !f.is_empty()),
    });
    let workload = object.key;
    draft.wait(
        workload.component,
        WaitingOn::Placement { workload, detail },
    );
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
        draft.wait(component, view.stopping(object.key));
        return;
    }
    let difference = observed.difference.clone().unwrap_or(Difference {
        cause: DifferenceCause::Spec,
        fields: vec!["replicas".to_owned()],
        touches: Touches::Nothing,
        in_place: true,
    });
    draft
        .actions
        .push(Action::update(object.id, observed, &difference));
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
    let differs = |d: &Difference| d.touches != Touches::Nothing;
    if observed.difference.as_ref().is_some_and(differs) || given_up(view, object) {
        draft.changing.insert(object.key);
        draft
            .actions
            .push(Action::remove(object.id, observed, RemoveCause::Replace));
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
    let all = || {
        instances(view.input.observed, object.key)
            .filter(|i| i.wanted && readiness::takes_work(object.workload, i, view.input.observed))
    };
    let current = |i: &Instance| readiness::is_current(object.workload, i, view.input.observed);
    if all().all(current) {
        return;
    }
    draft.changing.insert(object.key);
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let wanted = readiness::wanted(object.workload, view.input.observed);
    let wanted = object.outline.replicas.unwrap_or(wanted);
    let changed = count(all().filter(|i| current(i)).count());
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

/// Starts a change, if what the workload needs answers.
fn started(view: &View<'_>, candidate: &Candidate<'_>, draft: &mut Draft) -> bool {
    let object = &candidate.object;
    let lacking = view.lacking(object.workload);
    if !lacking.is_empty() {
        draft.wait(object.key.component, WaitingOn::Dependencies(lacking));
        return false;
    }
    if view.overlaps(object) && view.may_run(object.key) {
        draft.actions.push(Action::stop(
            object.id,
            candidate.observed,
            format!(
                "to change {} without two processes on its data",
                candidate.difference.fields.join(", ")
            ),
        ));
        draft.wait(
            object.key.component,
            WaitingOn::MemberStop {
                workload: object.key,
            },
        );
    } else {
        draft.actions.push(Action::update(
            object.id,
            candidate.observed,
            candidate.difference,
        ));
    }
    true
}

/// Starts the next change of something that works, or says for whom it waits.
fn take_turn(
    view: &View<'_>,
    objects: &[WorkloadObject<'_>],
    turns: &[Candidate<'_>],
    active: &mut Option<WorkloadKey>,
    draft: &mut Draft,
) {
    let queued: Vec<WorkloadKey> = turns.iter().map(|c| c.object.key).collect();
    for candidate in turns {
        let key = candidate.object.key;
        let after = quorum::held_up_by(view, &candidate.object)
            .or(*active)
            .or_else(|| turn::blocker(view, objects, &candidate.object, &queued));
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
                    *active = Some(key);
                }
            }
        }
    }
}
