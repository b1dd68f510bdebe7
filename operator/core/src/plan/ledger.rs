//! What is written down before it is acted on, and what has come to life.

use crate::action::Action;
use crate::component::Component;
use crate::ledger::Ledger;
use crate::plan::{View, readiness, stores};

/// Components whose first life is written down.
const MILESTONES: [Component; 5] = [
    Component::Etcd,
    Component::Minio,
    Component::Zookeeper,
    Component::PulsarInit,
    Component::Bookkeeper,
];

/// The ledger, when it must be written before anything else: members are given their place, a quorum answered for the first
/// time, the one-time job came to its end. A milestone waits for nothing: what has not been recorded counts as something
/// that is not used yet.
pub(super) fn record(view: &View<'_>) -> Option<Action> {
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
    stores::record(view, &mut wanted);
    wanted
}
