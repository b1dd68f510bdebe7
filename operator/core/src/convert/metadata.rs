//! `metadata`: name, namespace, labels and annotations of the user's; nothing of what servers and operators wrote. Pure.

use serde_json::{Map, Value};

use super::draft::Draft;
use super::input::{Block, Given, join};

/// What the API server fills in.
const SERVER: [&str; 8] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "deletionGracePeriodSeconds",
    "finalizers",
];

/// Carries name, namespace, labels and annotations; gives name and namespace.
pub(super) fn metadata(mut block: Block, draft: &mut Draft) -> Option<(String, Option<String>)> {
    let name = block.text("name", draft);
    let namespace = block.text("namespace", draft);
    for field in SERVER {
        block.leave(
            field,
            "belongs to the stored object, not to a manifest",
            draft,
        );
    }
    block.leave(
        "ownerReferences",
        "the owner owns the old object; let it own the new one as well, if it shall",
        draft,
    );
    block.refuse_if_set(
        "deletionTimestamp",
        "this object is being deleted; convert its manifest, not what is left of it",
        draft,
    );
    for field in ["labels", "annotations"] {
        let Some(Given { path, value }) = block.texts(field, draft) else {
            continue;
        };
        let Value::Object(given) = value else {
            continue;
        };
        let mut kept = Map::new();
        for (key, value) in given {
            let path = join(&path, &key);
            if key.starts_with("milvus.io/") {
                draft.left(path, about(&key));
            } else if key == "kubectl.kubernetes.io/last-applied-configuration" {
                draft.left(path, "kubectl's copy of the old manifest");
            } else {
                draft.used(&path);
                kept.insert(key, value);
            }
        }
        if !kept.is_empty() {
            draft.set(&format!("metadata.{field}"), Value::Object(kept), &path);
        }
    }
    let known = match (name, block.take("generateName")) {
        (Some(name), generate) => {
            if let Some(generate) = generate {
                generate.left(draft, "has no meaning beside metadata.name");
            }
            let namespace_text = namespace.as_ref().map(|given| given.value.clone());
            let text = name.value.clone();
            name.carry(draft, "metadata.name");
            Some((text, namespace_text))
        }
        (None, generate) => {
            if let Some(generate) = generate {
                generate.refuse(draft, "write metadata.name instead");
            }
            draft.refuse(
                "metadata.name",
                "required: bucket, metadata prefix and topics are named after it; write the name of the resource",
            );
            None
        }
    };
    if let Some(namespace) = namespace {
        namespace.carry(draft, "metadata.namespace");
    }
    block.unknown(draft);
    known
}

/// milvus-operator's own marks.
fn about(key: &str) -> &'static str {
    match key {
        "milvus.io/pause-reconcile" => {
            "this operator acts on a resource from the moment it is applied; apply it when it may"
        }
        "milvus.io/maintaining" => "a mark for milvus-operator's metrics alone",
        _ => "milvus-operator's own bookkeeping",
    }
}
