//! What becomes of a resource: it is honoured; or it is refused, and the cluster is looked after as the last spec wanted it that
//! could be honoured. That spec is kept in the ledger for as long as the refusal lasts, so that an operator that starts
//! meanwhile knows it too.

use milvus_crds::{MilvusCluster, MilvusClusterSpec};

use super::{ValidatedCluster, Violation, homes, identity, validate};
use crate::capabilities::Capabilities;
use crate::facts::Facts;
use crate::ledger::Ledger;

/// What was made of a resource.
#[derive(Debug)]
pub struct Judgement {
    /// The cluster as it is to be; `None` where the resource is refused and no earlier spec is known, or none can be honoured any
    /// more.
    pub cluster: Option<ValidatedCluster>,
    /// Everything that is wrong with the resource; empty where it is honoured.
    pub violations: Vec<Violation>,
    /// The spec that `cluster` was made of, while the present one is refused.
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
    let last_good = remembered.cloned().or_else(|| recorded(resource, facts));
    let last = || {
        let mut last = resource.clone();
        last.spec = last_good.clone()?;
        validate(&last, facts, capabilities).ok()
    };
    let violations = match validate(resource, facts, capabilities) {
        Ok(cluster) => {
            let violations = if last_good.as_ref() == Some(&resource.spec) {
                Vec::new()
            } else {
                homes::left_behind(&cluster, last().as_ref(), facts)
            };
            if violations.is_empty() {
                return Judgement {
                    cluster: Some(cluster),
                    violations,
                    last_good: None,
                };
            }
            violations
        }
        Err(violations) => violations,
    };
    let cluster = last();
    Judgement {
        cluster,
        violations,
        last_good,
    }
}

/// What an earlier operator has noted of this very resource.
fn recorded(resource: &MilvusCluster, facts: &Facts) -> Option<MilvusClusterSpec> {
    let own = identity(resource).uid;
    let ledger = facts.ledger.as_ref().filter(|l| l.owner_uid == own)?;
    serde_json::from_value(ledger.last_good.clone()?).ok()
}
