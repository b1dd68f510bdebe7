//! Whether an edit leaves a member where its new rules do not allow it. Its data does not move, so it would only be stopped.
//! Pure.

use super::{Part, ValidatedCluster, Violation};
use crate::component::WorkloadKey;
use crate::components::rule_field;
use crate::facts::Facts;
use crate::place::unmet;
use crate::reasons::Reason;

/// Members that the rules of this resource, and not those of the last one, keep off the node that has their data. Without a last
/// one only members that are taken over from an earlier cluster count: a node that has changed under an unchanged
/// resource is no edit, and the planner leaves such members as they are.
pub(super) fn left_behind(
    cluster: &ValidatedCluster,
    last: Option<&ValidatedCluster>,
    facts: &Facts,
) -> Vec<Violation> {
    let Some(ledger) = &facts.ledger else {
        return Vec::new();
    };
    if last.is_none() && ledger.owner_uid == cluster.cluster.uid {
        return Vec::new();
    }
    let before = last.map(ValidatedCluster::parts).unwrap_or_default();
    let same = |part: &&Part| {
        let mut before = before.iter().filter(|b| b.component == part.component);
        before.any(|b| b.placement == part.placement)
    };
    let mut found = Vec::new();
    for part in cluster.parts().into_iter().filter(|part| !same(part)) {
        for key in part.keys() {
            found.extend(off(part, key, facts));
        }
    }
    found
}

fn off(part: &Part, key: WorkloadKey, facts: &Facts) -> Option<Violation> {
    let entry = facts.ledger.as_ref()?.member(key)?;
    let node = facts.topology.node(&entry.node)?;
    let rule = unmet(&part.placement, node)?;
    Some(Violation {
        field: rule_field(part.component, &part.placement, &part.origin, &rule),
        reason: Reason::Unschedulable,
        message: format!(
            "the data of {key} is on {}, which does not meet {rule}, and members do not move; take the rule back or make the node meet it",
            node.name
        ),
    })
}
