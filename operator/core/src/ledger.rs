//! The ledger: what must outlive the processes and even the resource. Which member lives on which node and volume, what
//! has been bootstrapped, and the choices that cannot change. Written before the act that it records; native labels are
//! copies (a `docker stack rm` erases them). Pure data; storing it is the controller's business.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::component::{Component, WorkloadKey};
use crate::names::Incarnation;
use crate::pins::Pins;

/// One object per cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Ledger {
    /// `metadata.uid` of the resource that holds the entry now; empty after the resource is gone and its data retained.
    pub owner_uid: String,
    /// Members by name (`etcd-0`).
    pub members: BTreeMap<String, MemberEntry>,
    /// The highest epoch ever given out. A fresh cluster of the same name starts above it.
    pub last_epoch: u32,
    /// The epoch that this cluster began with: members of it bootstrapped the cluster together, members of later epochs
    /// joined it.
    pub first_epoch: u32,
    /// What has been brought to life once and must never be bootstrapped again.
    pub bootstrapped: BTreeMap<Component, bool>,
    /// The stores that were seen to hold data of this cluster. One that holds none of it any more has lost it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub stores: BTreeMap<Component, KnownStore>,
    /// Losses that the resource's annotation has accepted. It accepts one of each; for another it is to be set again.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub accepted_losses: BTreeSet<Component>,
    /// etcd's `--initial-cluster-token`: two clusters can never merge.
    pub etcd_token: String,
    /// Choices that are fixed at creation; compared on every pass.
    pub fixed: Option<FixedChoices>,
    /// Names of the API Secrets whose content was generated for this cluster, by purpose.
    pub generated_secrets: BTreeMap<String, String>,
    /// Volumes that were left behind when a resource was deleted under `Retain`.
    pub retained: Vec<RetainedVolume>,
    /// What the references of its images are pinned to. Ledgers of operators that pinned nothing do not say it, and are not
    /// written anew to say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub images: Option<Pins>,
    /// While the resource's spec is refused: the last one that was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_good: Option<serde_json::Value>,
}

/// How a store is known again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KnownStore {
    /// The mark that was seen in it ([`crate::probe::MARK`]); `None` where the operator leaves none, as with a store that others
    /// run: of that one it is known that Milvus' bucket was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
}

/// Where one member lives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberEntry {
    /// The platform's id of the node; empty where the platform places members itself.
    pub node: String,
    /// The node's name, for people.
    #[serde(default)]
    pub node_name: String,
    /// Which incarnation of the member's data this is.
    pub epoch: u32,
    /// The mark in the names of its volumes ([`Incarnation::mark`]); members of older operators have none, nor have those
    /// whose claims the platform names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// Full names of its named volumes.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Its directories on the node, where its data is kept below a base path (binds and devices).
    #[serde(default)]
    pub directories: Vec<MemberDirectory>,
    /// What its claims were made with, where the platform makes claims. Ledgers of older operators do not say it, and are
    /// not written anew to say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimTerms>,
}

/// What the claims of a member were made with. All of them are alike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClaimTerms {
    /// Bytes.
    pub size: u64,
    /// Storage class; none for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
}

impl MemberEntry {
    /// Which incarnation of the member's data this is, as names of volumes tell it.
    pub fn incarnation(&self) -> Incarnation {
        Incarnation {
            mark: self.mark.clone(),
            epoch: self.epoch,
        }
    }

    /// Everything that holds its data, for people: volume names and full paths of directories.
    pub fn places(&self) -> Vec<String> {
        let mut places = self.volumes.clone();
        places.extend(
            self.directories
                .iter()
                .map(|d| format!("{}/{}", d.base.trim_end_matches('/'), d.directory)),
        );
        places
    }
}

/// A directory that holds a member's data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MemberDirectory {
    /// Path that must exist on the node.
    pub base: String,
    /// Directory below it, made by the operator.
    pub directory: String,
}

/// What cannot change once data exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FixedChoices {
    /// `standalone` or `cluster`.
    pub mode: String,
    /// Message queue: `pulsar`, `rocksmq`, `woodpecker`, `kafka`, ...
    pub message_queue: String,
    /// Bucket and root path of the object storage.
    pub storage_root: String,
    /// `<rootPath>` in etcd.
    pub etcd_root: String,
    /// `etcd_root` is what Milvus reads. Operators before this field took their own root for it where the section was null, and
    /// wrote none, so that Milvus' default stood.
    #[serde(default)]
    pub root_as_read: bool,
    /// Whether the backend network has no way out.
    pub internal_network: bool,
    /// MTU of the networks, where one was asked for.
    #[serde(default)]
    pub mtu: Option<u32>,
    /// Address range of the backend network, where one was chosen (`10.20.0.0/24`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend_subnet: Option<String>,
    /// Address range of the frontend network, where one was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frontend_subnet: Option<String>,
    /// Members of each dependency at creation (`minio` 4 x 1 drives: the erasure layout never changes).
    #[serde(default)]
    pub minio_layout: Option<String>,
    /// Milvus version (`2.3.5`): a change is refused until upgrades are supported.
    #[serde(default)]
    pub version: String,
}

/// Data left behind on purpose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetainedVolume {
    /// Member that it belonged to.
    pub member: String,
    /// Node id.
    pub node: String,
    /// Node name, for people.
    pub node_name: String,
    /// Volume name or path.
    pub volume: String,
}

impl Ledger {
    /// The entry of one member.
    pub fn member(&self, key: WorkloadKey) -> Option<&MemberEntry> {
        self.members.get(&key.to_string())
    }

    /// Whether a component has been bootstrapped.
    pub fn is_bootstrapped(&self, component: Component) -> bool {
        self.bootstrapped.get(&component).copied().unwrap_or(false)
    }

    /// Whether the ledger describes data of a resource that is no longer there.
    pub fn is_retained(&self) -> bool {
        self.owner_uid.is_empty() && !self.members.is_empty()
    }
}
