//! Desired into native objects, as a platform with networks, configs, secrets and services does it.

use std::collections::{BTreeMap, BTreeSet};

use milvus_core::capabilities::Capabilities;
use milvus_core::component::WorkloadKey;
use milvus_core::desired::Placement;
use milvus_core::desired::{Desired, FileSource, Shape, Workload};
use milvus_core::observed::Node;
use milvus_core::outline::{ObjectClass, ObjectId, ObjectOutline, Outline, Revision};
use milvus_core::place::unmet;
use milvus_platform::Rendered;
use sha2::{Digest, Sha256};

use crate::tasks::Task;
use crate::world::SimNode;

/// The field of the rules about nodes.
pub(crate) const PLACEMENT: &str = "Placement";

/// A native object.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// Order class.
    pub class: ObjectClass,
    /// The workload that it is.
    pub workload: Option<WorkloadKey>,
    /// Everything whose change restarts processes, by field.
    pub fields: BTreeMap<String, String>,
    /// Objects that it refers to.
    pub uses: BTreeSet<ObjectId>,
    /// Instances.
    pub replicas: Option<u32>,
    /// Runs to its end.
    pub job: bool,
    /// Node that it is pinned to.
    pub node: Option<String>,
    /// Other rules about its nodes.
    pub placement: Placement,
    /// Volumes of data that it opens; of all members that are one workload with `{ordinal}` in their names.
    pub volumes: Vec<String>,
    /// All members of its component are this one workload.
    pub shared: bool,
    /// Image.
    pub image: String,
    /// Memory that an instance reserves.
    pub memory: u64,
    /// Components of which something must answer before a process can live.
    pub needs: Vec<milvus_core::component::Component>,
    /// Members of its component, for quorums.
    pub members: u32,
    /// Port that it takes on its node.
    pub port: Option<u16>,
}

impl Native {
    pub(crate) fn foreign(class: ObjectClass) -> Self {
        Self {
            class,
            workload: None,
            fields: BTreeMap::new(),
            uses: BTreeSet::new(),
            replicas: None,
            job: false,
            node: None,
            placement: Placement::default(),
            volumes: Vec::new(),
            shared: false,
            image: String::new(),
            memory: 0,
            needs: Vec::new(),
            members: 0,
            port: None,
        }
    }

    fn prerequisite(content: String) -> Self {
        Self {
            fields: BTreeMap::from([("Content".to_owned(), content)]),
            ..Self::foreign(ObjectClass::Prerequisite)
        }
    }

    /// Whether a node may take it.
    pub(crate) fn admits(&self, node: &Node) -> bool {
        node.schedulable()
            && self.node.as_ref().is_none_or(|id| *id == node.id)
            && unmet(&self.placement, node).is_none()
    }
}

/// What the peers of a MinIO compare at its start, and what never differs between members that work together.
const COMPARED: [&str; 5] = ["Image", "Command", "Args", "Env", "Files"];

impl Native {
    /// Whether two are started with the same image, arguments and environment.
    pub(crate) fn alike(&self, other: &Native) -> bool {
        COMPARED
            .iter()
            .all(|field| self.fields.get(*field) == other.fields.get(*field))
    }

    /// Whether two are one process: all fields are the same, wherever it runs.
    pub(crate) fn same_process(&self, other: &Native) -> bool {
        let fields = |native: &Native| {
            let mut fields = native.fields.clone();
            fields.remove(PLACEMENT);
            fields
        };
        fields(self) == fields(other)
    }

    /// Whether the rules of it are met by a node, be it up or not.
    fn meets(&self, node: &Node) -> bool {
        self.node.as_ref().is_none_or(|id| *id == node.id) && unmet(&self.placement, node).is_none()
    }
}

/// Whether a process must be replaced to run `native`. As Swarm judges it, a change of placement alone leaves a task where it is
/// if its node meets the new rules, and replaces it if it does not; on Kubernetes every change of a template counts.
pub(crate) fn outdated(
    task: &Task,
    native: &Native,
    references: &BTreeMap<ObjectId, String>,
    nodes: &BTreeMap<String, SimNode>,
    kubernetes: bool,
) -> bool {
    if !task.native.same_process(native) || task.references != *references {
        return true;
    }
    if task.native.fields.get(PLACEMENT) == native.fields.get(PLACEMENT) {
        return false;
    }
    let node = task.node.as_ref().and_then(|id| nodes.get(id));
    kubernetes || !node.is_some_and(|node| native.meets(&node.node))
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.as_bytes())[..6])
}

pub(crate) fn render(desired: &Desired, capabilities: &Capabilities) -> Rendered<Native> {
    let stack = desired.cluster.key.stack();
    let mut native = BTreeMap::new();
    let mut names: BTreeMap<FileSource, ObjectId> = BTreeMap::new();
    for (name, network) in &desired.networks {
        let id = ObjectId::new("network", format!("{stack}_{name}"));
        native.insert(id, Native::prerequisite(format!("{network:?}")));
    }
    for (name, file) in &desired.configs {
        let id = ObjectId::new("config", format!("{stack}_{name}-{}", hash(&file.content)));
        names.insert(FileSource::Config(name.clone()), id.clone());
        native.insert(id, Native::prerequisite(hash(&file.content)));
    }
    for (name, file) in &desired.secrets {
        let short: String = file.fingerprint.chars().take(12).collect();
        let id = ObjectId::new("secret", format!("{stack}_{name}-{short}"));
        names.insert(FileSource::Secret(name.clone()), id.clone());
        native.insert(id, Native::prerequisite(file.fingerprint.clone()));
    }
    for workload in &desired.workloads {
        let mut keys = workload.keys();
        if !capabilities.places_members {
            keys = vec![WorkloadKey::shared(workload.component)];
        }
        for key in keys {
            let id = ObjectId::new("service", desired.cluster.key.workload(key));
            native.insert(id, service(desired, workload, key, &names, capabilities));
        }
    }
    let outline: Outline = native
        .iter()
        .map(|(id, native)| (id.clone(), outline(native)))
        .collect();
    Rendered {
        cluster: desired.cluster.clone(),
        outline,
        native,
    }
}

pub(crate) fn revision(native: &Native) -> String {
    hash(&format!("{:?}", native.fields))
}

fn outline(native: &Native) -> ObjectOutline {
    ObjectOutline {
        class: native.class,
        workload: native.workload,
        revision: Revision(revision(native)),
        uses: native.uses.clone(),
        replicas: native.replicas,
        mutable: native.class == ObjectClass::Workload,
    }
}

fn service(
    desired: &Desired,
    workload: &Workload,
    key: WorkloadKey,
    names: &BTreeMap<FileSource, ObjectId>,
    capabilities: &Capabilities,
) -> Native {
    let cluster = &desired.cluster.key;
    let host = capabilities.addressing.host(cluster, key);
    let shared = key.ordinal.is_none() && matches!(workload.shape, Shape::Members { .. });
    let files: Vec<(&ObjectId, &str)> = workload
        .files
        .iter()
        .filter_map(|f| Some((names.get(&f.source)?, f.path.as_str())))
        .collect();
    let member = match &workload.shape {
        Shape::Members { members } => members.iter().find(|m| Some(m.ordinal) == key.ordinal),
        Shape::Replicated { .. } | Shape::Job | Shape::PerNode => None,
    };
    let volumes: Vec<String> = workload
        .volumes
        .iter()
        .filter(|v| v.durable)
        .filter_map(|v| {
            if shared {
                return Some(format!(
                    "{}-{}-{}-{{ordinal}}",
                    v.name, cluster.name, key.component
                ));
            }
            member.map(|m| cluster.volume(key, &v.name, &m.incarnation))
        })
        .collect();
    let env: BTreeMap<&String, String> = workload
        .env
        .iter()
        .map(|(k, v)| (k, v.for_member(key, &host)))
        .collect();
    let args: Vec<String> = workload
        .args
        .iter()
        .map(|a| a.for_member(key, &host))
        .collect();
    let fields = BTreeMap::from([
        ("Image".to_owned(), workload.image.reference.clone()),
        ("Command".to_owned(), format!("{:?}", workload.command)),
        ("Args".to_owned(), args.join(" ")),
        ("Env".to_owned(), format!("{env:?}")),
        ("Files".to_owned(), format!("{files:?}")),
        (
            "Mounts".to_owned(),
            format!("{:?} {volumes:?}", workload.volumes),
        ),
        ("Resources".to_owned(), format!("{:?}", workload.resources)),
        (
            PLACEMENT.to_owned(),
            format!(
                "{:?} {:?}",
                workload.placement,
                member.and_then(|m| m.node.clone())
            ),
        ),
        ("Ports".to_owned(), format!("{:?}", workload.published)),
    ]);
    let mut uses: BTreeSet<ObjectId> = files.iter().map(|(id, _)| (*id).clone()).collect();
    uses.extend(
        workload
            .networks
            .iter()
            .map(|n| ObjectId::new("network", format!("{}_{n}", cluster.stack()))),
    );
    Native {
        class: ObjectClass::Workload,
        workload: Some(key),
        fields,
        uses,
        replicas: match &workload.shape {
            Shape::Replicated { replicas, .. } => Some(*replicas),
            Shape::Members { members } if shared => u32::try_from(members.len()).ok(),
            Shape::Members { .. } | Shape::Job => Some(1),
            Shape::PerNode => None,
        },
        job: workload.shape == Shape::Job,
        node: member.and_then(|m| m.node.clone()),
        placement: workload.placement.clone(),
        volumes,
        shared,
        image: workload.image.reference.clone(),
        memory: workload.resources.request_memory.unwrap_or(0),
        needs: needs(workload, desired),
        members: workload.replicas().unwrap_or(0),
        port: workload.published.as_ref().map(|p| p.number),
    }
}

/// What the real process dies without; external parts always answer in this world.
fn needs(workload: &Workload, desired: &Desired) -> Vec<milvus_core::component::Component> {
    use milvus_core::component::Component as C;
    let all: &[C] = match workload.component {
        C::PulsarInit => &[C::Zookeeper],
        C::Bookkeeper => &[C::Zookeeper],
        C::Broker => &[C::Zookeeper, C::Bookkeeper],
        component if component.is_milvus() => &[C::Etcd, C::Minio, C::Broker],
        _ => &[],
    };
    all.iter()
        .copied()
        .filter(|c| desired.workloads.iter().any(|w| w.component == *c))
        .collect()
}
