//! What becomes of a resource: it is honoured; or it is refused, and the cluster is looked after as the last spec wanted it that
//! could be honoured. That spec is kept in the ledger for as long as the refusal lasts, so that an operator that starts
//! meanwhile knows it too.
//!
//! A spec that was honoured once stays so for as long as the cluster has its ledger: machines, other clusters and Secrets that
//! change afterwards, and settings that an earlier version took, are reported, and the cluster is looked after all the same.

use milvus_crds::{MilvusCluster, MilvusClusterSpec};

use super::{ValidatedCluster, Violation, homes, identity, understand};
use crate::action::Notice;
use crate::capabilities::Capabilities;
use crate::facts::Facts;
use crate::ledger::Ledger;
use crate::reasons::Reason;
use crate::status::accepts;

/// What was made of a resource.
#[derive(Debug)]
pub struct Judgement {
    /// The cluster as it is to be; `None` where the resource is refused and no earlier spec is known, or none can be honoured any
    /// more.
    pub cluster: Option<ValidatedCluster>,
    /// Everything that is wrong with the resource; empty where it is honoured.
    pub violations: Vec<Violation>,
    /// Not everything that `cluster` refers to is known, or it was never honoured: it is looked at, and nothing of it is changed
    /// ([`crate::action::Plan::freeze`]).
    pub frozen: bool,
    /// The spec that `cluster` was made of, while the present one is refused or could not be honoured anew.
    last_good: Option<MilvusClusterSpec>,
}

impl Judgement {
    /// Notes in the ledger what has to outlive this operator.
    pub fn note(&self, ledger: &mut Ledger) {
        // One that cannot be written as JSON cannot have come from an API server.
        let spec = self.last_good.as_ref().map(serde_json::to_value);
        ledger.last_good = spec.and_then(Result::ok);
    }
}

/// Judges a resource. `remembered` is the last spec of it that this operator has honoured.
pub fn judge(
    resource: &MilvusCluster,
    facts: &Facts,
    capabilities: &Capabilities,
    remembered: Option<&MilvusClusterSpec>,
) -> Judgement {
    let recorded = recorded(resource, facts);
    let (cluster, mut violations) = understand(resource, facts, capabilities);
    let stands = begun(resource, facts) && violations.iter().all(|v| v.reason.is_of_facts());
    if violations.is_empty() {
        let last = remembered.or(recorded.as_ref());
        if last != Some(&resource.spec) {
            let last = last.and_then(|spec| {
                let mut last = resource.clone();
                last.spec = spec.clone();
                let (last, wrong) = understand(&last, facts, capabilities);
                wrong.iter().all(|v| v.reason.is_of_facts()).then_some(last)
            });
            violations = homes::left_behind(&cluster, last.as_ref(), facts);
        }
        if violations.is_empty() {
            return Judgement {
                cluster: Some(cluster),
                violations,
                frozen: false,
                last_good: None,
            };
        }
    }
    let honoured = remembered == Some(&resource.spec)
        || recorded.as_ref() == Some(&resource.spec)
        || (remembered.is_none() && recorded.is_none() && accepts(resource));
    if stands && honoured {
        return Judgement {
            frozen: incomplete(&violations),
            cluster: Some(told(cluster, violations)),
            violations: Vec::new(),
            last_good: Some(resource.spec.clone()),
        };
    }
    let last_good = remembered.cloned().or(recorded);
    let Some(spec) = &last_good else {
        // An edit that no operator saw while the earlier spec was in force: what runs is looked at as far as the edit tells of it.
        return Judgement {
            cluster: stands.then_some(cluster),
            violations,
            frozen: true,
            last_good,
        };
    };
    let mut last = resource.clone();
    last.spec = spec.clone();
    let (before, of_before) = understand(&last, facts, capabilities);
    let stood = begun(resource, facts) && of_before.iter().all(|v| v.reason.is_of_facts());
    Judgement {
        frozen: incomplete(&of_before),
        cluster: (of_before.is_empty() || stood).then(|| told(before, of_before)),
        violations,
        last_good,
    }
}

/// Whether the cluster has a ledger of its own: it may run.
fn begun(resource: &MilvusCluster, facts: &Facts) -> bool {
    let own = identity(resource).uid;
    facts.ledger.as_ref().is_some_and(|l| l.owner_uid == own)
}

/// Whether the content of a Secret is missing: what is made from it cannot be made.
fn incomplete(violations: &[Violation]) -> bool {
    violations.iter().any(|v| v.reason == Reason::SecretMissing)
}

/// A cluster that is looked after although facts are against it, with these facts as notices.
fn told(mut cluster: ValidatedCluster, violations: Vec<Violation>) -> ValidatedCluster {
    let notices = violations.into_iter().map(|violation| Notice {
        reason: violation.reason,
        message: violation.message,
        field: Some(violation.field),
    });
    cluster.notices.extend(notices);
    cluster
}

/// What an earlier operator has noted of this very resource.
fn recorded(resource: &MilvusCluster, facts: &Facts) -> Option<MilvusClusterSpec> {
    let own = identity(resource).uid;
    let ledger = facts.ledger.as_ref().filter(|l| l.owner_uid == own)?;
    serde_json::from_value(ledger.last_good.clone()?).ok()
}
