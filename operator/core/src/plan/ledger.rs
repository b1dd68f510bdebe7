//! What is written down before it is acted on, and what has come to life.

use crate::action::Action;
use crate::component::Component;
use crate::ledger::Ledger;
use crate::plan::{View, readiness};

/// Components whose first life is written down.
const MILESTONES: [Component; 5] = [
    Component::Etcd,
    Component::Minio,
    Component::Zookeeper,
    Component::PulsarInit,
    Component::Bookkeeper,
];

/// The ledger, when it must be written before anything else: members are given their place, a quorum or the one-time job
/// came to its end.
pub(super) fn record(view: &View<'_>) -> Option<Action> {
    let wanted = with_milestones(view);
    let urgent = [Component::Etcd, Component::PulsarInit]
        .iter()
        .any(|c| wanted.is_bootstrapped(*c) && !view.input.ledger.is_bootstrapped(*c));
    (view.input.wanted_ledger != view.input.ledger || urgent)
        .then(|| Action::RecordLedger(Box::new(wanted)))
}

/// Milestones that nothing waits for, written when there is nothing else to do.
pub(super) fn milestones(view: &View<'_>) -> Option<Action> {
    let wanted = with_milestones(view);
    (wanted != *view.input.ledger).then(|| Action::RecordLedger(Box::new(wanted)))
}

fn with_milestones(view: &View<'_>) -> Ledger {
    let mut wanted = view.input.wanted_ledger.clone();
    for component in MILESTONES {
        let alive = match component {
            Component::PulsarInit => readiness::job_complete(component, view.input.observed),
            _ => view
                .readiness
                .get(&component)
                .is_some_and(|r| r.ready && !r.external),
        };
        if alive && !wanted.is_bootstrapped(component) {
            wanted.bootstrapped.insert(component, true);
        }
    }
    wanted
}
