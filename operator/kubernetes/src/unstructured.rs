//! Any native object as the API server tells it, read in one go: most of what comes in is events about objects of our own, and
//! who owns which of their fields, the larger half of each, is nothing that is asked here. Pure.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// An object of a kind that is known where it is used.
#[derive(Clone, Debug)]
pub(crate) struct Unstructured {
    /// Its metadata without `managedFields`.
    pub(crate) metadata: ObjectMeta,
    /// Everything beside `apiVersion`, `kind` and `metadata`.
    pub(crate) data: Value,
}

/// What is read of an object's metadata.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
    finalizers: Option<Vec<String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
}

impl From<Metadata> for ObjectMeta {
    fn from(read: Metadata) -> Self {
        Self {
            name: read.name,
            namespace: read.namespace,
            uid: read.uid,
            resource_version: read.resource_version,
            generation: read.generation,
            labels: read.labels,
            annotations: read.annotations,
            owner_references: read.owner_references,
            finalizers: read.finalizers,
            creation_timestamp: read.creation_timestamp,
            deletion_timestamp: read.deletion_timestamp,
            deletion_grace_period_seconds: read.deletion_grace_period_seconds,
            ..Self::default()
        }
    }
}

impl<'de> Deserialize<'de> for Unstructured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Unstructured;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of Kubernetes")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unstructured, A::Error> {
                let (mut metadata, mut data) = (ObjectMeta::default(), Map::new());
                while let Some(field) = map.next_key::<Cow<'de, str>>()? {
                    match &*field {
                        "apiVersion" | "kind" => {
                            map.next_value::<IgnoredAny>()?;
                        }
                        "metadata" => metadata = map.next_value::<Metadata>()?.into(),
                        _ => {
                            let value = map.next_value()?;
                            data.insert(field.into_owned(), value);
                        }
                    }
                }
                Ok(Unstructured {
                    metadata,
                    data: Value::Object(data),
                })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl Resource for Unstructured {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(kind: &ApiResource) -> Cow<'_, str> {
        kind.kind.as_str().into()
    }

    fn group(kind: &ApiResource) -> Cow<'_, str> {
        kind.group.as_str().into()
    }

    fn version(kind: &ApiResource) -> Cow<'_, str> {
        kind.version.as_str().into()
    }

    fn api_version(kind: &ApiResource) -> Cow<'_, str> {
        kind.api_version.as_str().into()
    }

    fn plural(kind: &ApiResource) -> Cow<'_, str> {
        kind.plural.as_str().into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn everything_is_read_but_who_owns_which_field() {
        let text = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "status": {"replicas": 1}, "spec": {"a": ["b", null]},
            "metadata": {
                "name": "a", "namespace": "b", "uid": "c", "resourceVersion": "7", "generation": 3, "finalizers": ["f"],
                "labels": {"l": "1"}, "annotations": {"a": "2"}, "creationTimestamp": "2026-01-02T03:04:05Z",
                "deletionTimestamp": "2026-01-02T03:04:06Z", "managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}],
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "u"}]
            }
        })
        .to_string();
        let read: Unstructured = serde_json::from_str(&text).expect("an object");
        assert_eq!(
            read.data,
            json!({"status": {"replicas": 1}, "spec": {"a": ["b", null]}})
        );
        let mut whole: kube::core::DynamicObject = serde_json::from_str(&text).expect("an object");
        whole.metadata.managed_fields = None;
        assert_eq!(read.metadata, whole.metadata);
    }
}
