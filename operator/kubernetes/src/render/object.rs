//! What all objects have in common: names, labels, their owner. Pure.

use std::collections::BTreeMap;

use milvus_core::component::Component;
use milvus_core::outline::ObjectId;
use serde_json::{Map, Value, json};

use super::{Scope, hash};
use crate::{Kind, labels};

/// An object in the making.
pub(super) struct Object {
    pub(super) kind: Kind,
    name: String,
    value: Value,
    /// Stands for the content of a Secret in the hash, which is written where content is not.
    content: Option<String>,
}

impl Object {
    /// An object of a cluster, or of one of its components.
    pub(super) fn new(
        scope: &Scope<'_>,
        kind: Kind,
        name: String,
        component: Option<Component>,
    ) -> Self {
        let cluster = &scope.desired.cluster;
        let mut all = labels::of_cluster(&cluster.key);
        if let Some(component) = component {
            all.push((labels::COMPONENT, component.name().to_owned()));
        }
        let all: BTreeMap<_, _> = all.into_iter().collect();
        let value = json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {
                "name": name,
                "namespace": cluster.key.namespace,
                "labels": all,
                "ownerReferences": [{
                    "apiVersion": OWNER_API_VERSION,
                    "kind": OWNER_KIND,
                    "name": cluster.key.name,
                    "uid": cluster.uid,
                    "controller": true,
                    // Deletion in the foreground waits for what the cluster consists of.
                    "blockOwnerDeletion": true,
                }],
            },
        });
        Self {
            kind,
            name,
            value,
            content: None,
        }
    }

    /// Sets a field beside `metadata`.
    pub(super) fn set(mut self, field: &str, value: Value) -> Self {
        self.value[field] = value;
        self
    }

    /// Adds labels that are not ours; ours win.
    pub(super) fn labels(mut self, more: &BTreeMap<String, String>) -> Self {
        if let Value::Object(labels) = &mut self.value["metadata"]["labels"] {
            for (name, value) in more {
                labels.entry(name).or_insert_with(|| json!(value));
            }
        }
        self
    }

    /// Adds annotations.
    pub(super) fn annotations(mut self, more: &BTreeMap<String, String>) -> Self {
        for (name, value) in more {
            self.value["metadata"]["annotations"][name] = json!(value);
        }
        self
    }

    /// Sets the data of a Secret, and what stands for it in the hash.
    pub(super) fn secret(mut self, data: Map<String, Value>, content: String) -> Self {
        self.value["data"] = Value::Object(data);
        self.content = Some(content);
        self
    }

    /// How the planner calls it.
    pub(super) fn id(&self) -> ObjectId {
        ObjectId::new(self.kind.name(), self.name.clone())
    }

    /// The hash over the whole.
    pub(super) fn hash(&self) -> String {
        match &self.content {
            None => hash::of(&self.value),
            Some(content) => {
                let mut stripped = self.value.clone();
                stripped["data"] = json!(content);
                hash::of(&stripped)
            }
        }
    }

    pub(super) fn into_value(self) -> Value {
        self.value
    }
}

/// The owner's type.
const OWNER_API_VERSION: &str = "operator.milvus.io/v1beta1";
const OWNER_KIND: &str = "MilvusCluster";

/// Sets a field unless there is nothing to say.
pub(super) fn put(fields: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    let value = value.into();
    let nothing = match &value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        _ => false,
    };
    if !nothing {
        fields.insert(name.to_owned(), value);
    }
}
