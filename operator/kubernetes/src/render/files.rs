//! Files of processes: ConfigMaps and Secrets that never change. A new content is a new object, so that a process that starts
//! again while others still run with the old content finds what it was started with. Pure.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use milvus_core::desired::{File, FileMount, FileSource, SecretFile, Workload};
use milvus_core::names::HASH_IN_NAME;
use milvus_core::outline::ObjectId;
use milvus_platform::PlatformError;
use serde_json::{Map, Value, json};

use super::object::Object;
use super::{Scope, bug, hash};
use crate::Kind;

/// A readable file: `<cluster>-<short>-<hash>`.
pub(super) fn config(scope: &Scope<'_>, short: &str, file: &File) -> Object {
    let name = scope.name(&format!("{short}-{}", hash::in_name(&file.content)));
    Object::new(scope, Kind::ConfigMap, name, None)
        .set("immutable", json!(true))
        .set("data", json!({short: file.content}))
}

/// A file with credentials: `<cluster>-<short>-<fingerprint>`.
pub(super) fn secret(scope: &Scope<'_>, short: &str, file: &SecretFile) -> Object {
    let SecretFile {
        content,
        fingerprint,
    } = file;
    let end = fingerprint.get(..HASH_IN_NAME).unwrap_or(fingerprint);
    let name = scope.name(&format!("{short}-{end}"));
    let data = Map::from_iter([(short.to_owned(), Value::from(STANDARD.encode(content)))]);
    Object::new(scope, Kind::Secret, name, None)
        .set("immutable", json!(true))
        .set("type", json!("Opaque"))
        .secret(data, fingerprint.clone())
}

/// The volumes and mounts of a workload's files, and the objects behind them.
pub(super) struct Mounted {
    pub(super) volumes: Vec<Value>,
    pub(super) mounts: Vec<Value>,
    pub(super) uses: BTreeSet<ObjectId>,
}

/// Mounts each file by itself: the folder that it lands in keeps what the image has there (milvus.yaml beside user.yaml).
pub(super) fn mounted(scope: &Scope<'_>, workload: &Workload) -> Result<Mounted, PlatformError> {
    let mut all = Mounted {
        volumes: Vec::new(),
        mounts: Vec::new(),
        uses: BTreeSet::new(),
    };
    for FileMount { source, path, mode } in &workload.files {
        let id = scope.files.get(source).ok_or_else(|| {
            bug(
                format!("render {}", workload.component),
                format!("it uses {source:?}, which the cluster does not have"),
            )
        })?;
        let (volume, key, backing) = match source {
            FileSource::Config(short) => (
                format!("config-{short}"),
                short,
                json!({"configMap": {"name": id.name, "defaultMode": mode}}),
            ),
            FileSource::Secret(short) => (
                format!("secret-{short}"),
                short,
                json!({"secret": {"secretName": id.name, "defaultMode": mode}}),
            ),
        };
        let mut backing = backing;
        backing["name"] = json!(volume);
        all.volumes.push(backing);
        all.mounts.push(json!({
            "name": volume,
            "mountPath": path,
            "subPath": key,
            "readOnly": true,
        }));
        all.uses.insert(id.clone());
    }
    Ok(all)
}
