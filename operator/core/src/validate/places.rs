//! Members whose place is not known, because the ledger that told it is lost. Pure.

use std::collections::BTreeSet;

use super::violations::Findings;
use super::{Input, ValidatedCluster};
use crate::reasons::Reason;
use crate::rebuild::{ACCEPT_DATA_LOSS, Origin};

/// A cluster whose ledger is lost is placed by what stands of it. What does not tell its place is not placed anew: it would
/// begin on an empty volume beside members that have their data.
pub(super) fn unknown(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let (what, accept) = match (&input.facts.origin, &input.facts.ledger) {
        (Origin::Unclear(what), _) => (what.clone(), None),
        (Origin::Rebuilt { .. }, Some(ledger)) => {
            let annotations = input.resource.metadata.annotations.as_ref();
            let accepted: BTreeSet<&str> = annotations
                .and_then(|all| all.get(ACCEPT_DATA_LOSS))
                .map(|members| members.split(',').map(str::trim).collect())
                .unwrap_or_default();
            let members = cluster.members().into_iter();
            let missing: Vec<String> = members
                .map(|need| need.key.to_string())
                .filter(|name| !ledger.members.contains_key(name))
                .filter(|name| !accepted.contains(name.as_str()))
                .collect();
            let lacks = match input.capabilities.places_members {
                true => "service",
                false => "claim",
            };
            let what = missing.iter().map(|m| format!("{m} has no {lacks}"));
            (what.collect(), Some(missing.join(",")))
        }
        // Not even a service is left; but the status tells that there were members with data.
        (Origin::Nothing, _) => {
            let status = input.resource.status.iter();
            let members = status
                .flat_map(|s| s.dependencies.values())
                .flat_map(|d| &d.members);
            let had = members.filter_map(|m| {
                let volume = m.volume.as_ref()?;
                let node = m.node.as_deref().unwrap_or("an unknown node");
                Some(format!("{} was on {volume} of {node}", m.name))
            });
            (had.collect(), None)
        }
        _ => return,
    };
    if what.is_empty() {
        return;
    }
    let or = accept.map_or(String::new(), |members| {
        format!(", or annotate the resource with {ACCEPT_DATA_LOSS}={members} to let them begin on empty volumes")
    });
    findings.refuse(
        Reason::RetainedData,
        "metadata.name",
        format!(
            "the ledger of this cluster is lost, and what runs does not show where all of its data is: {}; restore the ledger from an export{or}",
            what.join(", ")
        ),
    );
}
