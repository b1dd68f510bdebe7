//! Address ranges of the overlay networks: what the engine would refuse, and what it would take and then give no process an
//! address from, without a word. Pure.

use super::violations::Findings;
use super::{Input, Part, Queue, ValidatedCluster};
use crate::facts::OtherCluster;
use crate::reasons::Reason;
use crate::subnet::{Subnet, Subnets};

/// The ranges that the resource chooses.
pub(super) fn subnets(input: &Input<'_>, findings: &mut Findings) -> Subnets {
    let asked = &input.spec.swarm.subnet;
    if input.capabilities.escape_hatch != "swarm" {
        return Subnets::default(); // all of it is refused there
    }
    for (field, text) in [
        ("spec.swarm.subnet.backend", &asked.backend),
        ("spec.swarm.subnet.frontend", &asked.frontend),
    ] {
        if let Some(text) = text
            && let Err(problem) = Subnet::parse(text)
        {
            findings.invalid(
                field,
                format!("{text:?} is no range of addresses: {problem}"),
            );
        }
    }
    let subnets = Subnets::of(&input.spec.swarm);
    if let (Some(backend), Some(frontend)) = (subnets.backend, subnets.frontend)
        && backend.overlaps(&frontend)
    {
        findings.invalid(
            "spec.swarm.subnet.frontend",
            format!("{frontend} overlaps {backend} of spec.swarm.subnet.backend; the two networks need ranges apart"),
        );
    }
    subnets
}

/// What is wrong with them in view of the whole cluster and its neighbours.
pub(super) fn check(input: &Input<'_>, cluster: &ValidatedCluster, findings: &mut Findings) {
    let own = cluster.subnets();
    if let Some(backend) = own.backend {
        room(cluster, backend, findings);
    }
    for other in &input.facts.others {
        neighbour(input, cluster, (&own, other), findings);
    }
}

/// Every process has an address on the backend, and so has the engine itself on every node (which is not counted: nodes come
/// and go, and the resource stays as good as it was).
fn room(cluster: &ValidatedCluster, backend: Subnet, findings: &mut Findings) {
    let parts = cluster.parts();
    let once =
        u32::from(cluster.gateway.is_some()) + u32::from(matches!(cluster.queue, Queue::Pulsar(_)));
    let processes = |part: &&Part| part.replicas;
    let wanted = parts.iter().map(processes).fold(once, u32::saturating_add);
    if wanted > backend.room() {
        findings.invalid(
            "spec.swarm.subnet.backend",
            format!(
                "{backend} has addresses for {} processes, and this cluster has {wanted}; take fewer of them, or make a new cluster with a shorter prefix",
                backend.room()
            ),
        );
    }
}

/// The engine takes the same range twice and leaves every process of the second network without an address. Who has begun
/// keeps its range.
fn neighbour(
    input: &Input<'_>,
    cluster: &ValidatedCluster,
    (own, other): (&Subnets, &OtherCluster),
    findings: &mut Findings,
) {
    let key = &cluster.cluster.key;
    let ledger = input.facts.ledger.as_ref();
    let begun = ledger.is_some_and(|ledger| ledger.owner_uid == cluster.cluster.uid);
    if other.key == *key || !other.precedes(key, super::facts::created(input), begun) {
        return;
    }
    for (field, subnet) in own.chosen() {
        let taken = |(_, theirs): (_, Subnet)| theirs.overlaps(&subnet).then_some(theirs);
        if let Some(theirs) = other.subnets.chosen().find_map(taken) {
            findings.refuse(
                Reason::SubnetConflict,
                field,
                format!("{subnet} overlaps {theirs}, which a network of cluster {} has; take a range apart from it", other.key),
            );
        }
    }
}
