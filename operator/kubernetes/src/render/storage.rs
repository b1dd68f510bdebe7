//! Volumes: claims for data that must survive, folders of the pod for what need not. Pure.

use std::collections::BTreeMap;

use milvus_core::desired::{Shape, VolumeBacking, VolumeMount, Workload};
use milvus_platform::PlatformError;
use serde_json::{Map, Value, json};

use super::object::put;
use super::{Scope, bug, quantity};
use crate::labels;

/// The volumes of a workload.
pub(super) struct Volumes {
    /// Templates of claims. The controller names each claim `<volume>-<workload>-<ordinal>`.
    pub(super) claims: Vec<Value>,
    /// Volumes that end with their pod.
    pub(super) volumes: Vec<Value>,
    /// Where they are mounted.
    pub(super) mounts: Vec<Value>,
}

/// `taken` are paths at which the resource mounts something of its own: a folder of ours that need not survive gives way.
pub(super) fn volumes(
    scope: &Scope<'_>,
    workload: &Workload,
    taken: &[&str],
) -> Result<Volumes, PlatformError> {
    let mut all = Volumes {
        claims: Vec::new(),
        volumes: Vec::new(),
        mounts: Vec::new(),
    };
    for volume in &workload.volumes {
        let VolumeMount {
            name,
            path,
            backing,
            size,
            storage_class,
            durable,
        } = volume;
        let wrong = |what: &str| {
            let operation = format!("render {}", workload.component);
            Err(bug(operation, format!("its volume {name:?} {what}")))
        };
        if *durable {
            if !matches!(workload.shape, Shape::Members { .. }) {
                return wrong("is to be kept, but it has no ordinal to keep it by");
            }
            let VolumeBacking::Volume { driver: None, .. } = backing else {
                return wrong("is of a kind that no claim can have");
            };
            let claim = claim(scope, workload, name, *size, storage_class.as_deref());
            all.claims.push(claim);
        } else if taken.contains(&path.as_str()) {
            continue;
        } else {
            let (medium, limit) = match backing {
                VolumeBacking::Volume { .. } => (None, *size),
                VolumeBacking::Tmpfs { size } => (Some("Memory"), *size),
                VolumeBacking::Bind { .. } => return wrong("is a directory of the node"),
            };
            let mut folder = Map::new();
            put(&mut folder, "medium", medium.map(str::to_owned));
            put(&mut folder, "sizeLimit", limit.map(quantity::bytes));
            all.volumes.push(json!({"name": name, "emptyDir": folder}));
        }
        all.mounts.push(json!({"name": name, "mountPath": path}));
    }
    Ok(all)
}

/// Labels and all: what a StatefulSet was made with cannot be changed.
fn claim(
    scope: &Scope<'_>,
    workload: &Workload,
    name: &str,
    size: Option<u64>,
    class: Option<&str>,
) -> Value {
    let mut all: BTreeMap<_, _> = labels::of_cluster(&scope.desired.cluster.key)
        .into_iter()
        .collect();
    all.insert(labels::COMPONENT, workload.component.name().to_owned());
    let mut spec = Map::new();
    put(&mut spec, "accessModes", vec!["ReadWriteOnce"]);
    put(&mut spec, "storageClassName", class.map(str::to_owned));
    if let Some(size) = size {
        let storage = quantity::bytes(size);
        put(
            &mut spec,
            "resources",
            json!({"requests": {"storage": storage}}),
        );
    }
    json!({"metadata": {"name": name, "labels": all}, "spec": spec})
}
