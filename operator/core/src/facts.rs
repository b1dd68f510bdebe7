//! What validation needs to know beyond the resource itself. Gathered by the controller; pure data here.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::component::Component;
use crate::ledger::Ledger;
use crate::names::ClusterKey;
use crate::observed::Topology;
use crate::prefixes::Prefixes;
use crate::rebuild::Origin;
use crate::subnet::Subnets;

/// Facts of one pass.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// Content of the Secrets that the resource refers to or that were generated for it, by name; missing ones are absent.
    pub secrets: BTreeMap<String, SecretData>,
    /// Names of the Secrets that are not there any more and whose last content is in `secrets`.
    pub kept_secrets: BTreeSet<String>,
    /// The ledger of this namespace and name, if there is one.
    pub ledger: Option<Ledger>,
    /// Where that ledger comes from.
    pub origin: Origin,
    /// The machines.
    pub topology: Topology,
    /// The other clusters that this operator looks after, as far as they may stand in the way.
    pub others: Vec<OtherCluster>,
    /// Processes that are asked for at present, by component: the numbers of roles that are scaled externally.
    pub replicas: BTreeMap<Component, u32>,
    /// No other cluster that this operator looks after was here first with this one's prefixes on external services.
    pub holds_prefixes: bool,
    /// Key for fingerprints of secret files.
    pub fingerprint_key: Vec<u8>,
    /// Image of the gateway.
    pub gateway_image: String,
    /// Digests that registries have for references of images that are not decided yet ([`crate::pins`]).
    pub digests: BTreeMap<String, String>,
}

impl Facts {
    /// The ledger as it is stored.
    pub fn recorded(&self) -> Option<&Ledger> {
        match &self.origin {
            Origin::Stored | Origin::Nothing | Origin::Unclear(_) => self.ledger.as_ref(),
            Origin::Rebuilt { stored } => stored.as_deref(),
        }
    }
}

/// One Secret's content. Never shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretData(pub BTreeMap<String, Vec<u8>>);

impl SecretData {
    /// The value of a key, as text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|v| std::str::from_utf8(v).ok())
    }
}

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("SecretData")
            .field(&self.0.keys().collect::<Vec<_>>())
            .finish()
    }
}

/// Another cluster, as far as it can stand in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherCluster {
    /// Namespace and name.
    pub key: ClusterKey,
    /// Client port that its gateway publishes.
    pub port: u16,
    /// Node ids that its gateway is restricted to; empty for all.
    pub gateway_nodes: Vec<String>,
    /// Address ranges that it chooses for its networks.
    pub subnets: Subnets,
    /// Where it keeps data on services that somebody else runs.
    pub prefixes: Prefixes,
    /// Since when it exists (RFC 3339).
    pub created: String,
    /// Something of it may run already.
    pub begun: bool,
}

impl OtherCluster {
    /// Whether it is older. A resource without a time of creation is not stored yet: everybody else is older.
    pub fn is_older_than(&self, key: &ClusterKey, created: Option<Timestamp>) -> bool {
        let theirs: Option<Timestamp> = self.created.parse().ok();
        match (theirs, created) {
            (Some(theirs), Some(ours)) => (theirs, &self.key) < (ours, key),
            _ => true,
        }
    }

    /// Whether it keeps what both claim: who has begun before who has not, for a refusal stops no process; else the older one.
    pub fn precedes(&self, key: &ClusterKey, created: Option<Timestamp>, begun: bool) -> bool {
        match (self.begun, begun) {
            (true, false) => true,
            (false, true) => false,
            _ => self.is_older_than(key, created),
        }
    }
}
