//! Request bodies in Kubernetes' protobuf envelope, for the kinds that current clients send so:
//! decoded to the JSON that the same client would have sent. Answers are always JSON. Pure.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use serde_json::{Map, Value, json};

use crate::status::ApiError;

mod messages;

use messages::*;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";
const MAGIC: &[u8] = b"k8s\0";

/// Decodes an enveloped body to JSON.
pub fn decode(body: &[u8]) -> Result<Value, ApiError> {
    let refuse = |why: String| ApiError::bad_request(format!("decode protobuf body: {why}"));
    let envelope = body.strip_prefix(MAGIC).ok_or_else(|| {
        refuse("the first four bytes are not those of Kubernetes protobuf".into())
    })?;
    let unknown = Unknown::decode(envelope).map_err(|error| refuse(error.to_string()))?;
    let types = unknown.type_meta.unwrap_or_default();
    let raw = unknown.raw.as_slice();
    let failed = |error: prost::DecodeError| refuse(format!("{}: {error}", types.kind));
    let mut value = match (types.api_version.as_str(), types.kind.as_str()) {
        ("v1", "Namespace") => {
            let message = Namespace::decode(raw).map_err(failed)?;
            json!({"metadata": metadata(message.metadata)})
        }
        ("v1", "ConfigMap") => config_map(ConfigMap::decode(raw).map_err(failed)?),
        ("v1", "Secret") => secret(Secret::decode(raw).map_err(failed)?),
        ("v1", "Event") => event(CoreEvent::decode(raw).map_err(failed)?),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => {
            access_review(AccessReview::decode(raw).map_err(failed)?)
        }
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => {
            let message = RulesReview::decode(raw).map_err(failed)?;
            let namespace = message.spec.unwrap_or_default().namespace;
            json!({"metadata": metadata(message.metadata), "spec": {"namespace": namespace}})
        }
        ("authentication.k8s.io/v1", "SelfSubjectReview") => {
            let message = SelfReview::decode(raw).map_err(failed)?;
            json!({"metadata": metadata(message.metadata)})
        }
        (_, "DeleteOptions") => delete_options(DeleteOptions::decode(raw).map_err(failed)?),
        (api_version, kind) => {
            return Err(ApiError::unsupported(format!(
                "{kind} of {api_version} is not taken as protobuf; send application/json"
            )));
        }
    };
    if let Some(map) = value.as_object_mut() {
        map.insert("apiVersion".into(), types.api_version.into());
        map.insert("kind".into(), types.kind.into());
    }
    Ok(value)
}

/// Puts a field in unless it is empty, as the JSON form does.
fn put(map: &mut Map<String, Value>, key: &str, value: Value) {
    let empty = match &value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(inner) => inner.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    };
    if !empty {
        map.insert(key.to_owned(), value);
    }
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let mut map = Map::new();
    for (key, value) in fields {
        put(&mut map, key, value);
    }
    Value::Object(map)
}

fn metadata(meta: Option<ObjectMeta>) -> Value {
    let meta = meta.unwrap_or_default();
    let owners: Vec<Value> = meta
        .owner_references
        .into_iter()
        .map(|owner| {
            object([
                ("apiVersion", owner.api_version.into()),
                ("kind", owner.kind.into()),
                ("name", owner.name.into()),
                ("uid", owner.uid.into()),
                ("controller", owner.controller.into()),
                ("blockOwnerDeletion", owner.block_owner_deletion.into()),
            ])
        })
        .collect();
    object([
        ("name", meta.name.into()),
        ("generateName", meta.generate_name.into()),
        ("namespace", meta.namespace.into()),
        ("uid", meta.uid.into()),
        ("resourceVersion", meta.resource_version.into()),
        ("labels", strings(meta.labels)),
        ("annotations", strings(meta.annotations)),
        ("ownerReferences", owners.into()),
        ("finalizers", meta.finalizers.into()),
    ])
}

fn strings(map: BTreeMap<String, String>) -> Value {
    map.into_iter()
        .map(|(key, value)| (key, Value::from(value)))
        .collect::<Map<_, _>>()
        .into()
}

fn bytes(map: BTreeMap<String, Vec<u8>>) -> Value {
    map.into_iter()
        .map(|(key, value)| (key, Value::from(STANDARD.encode(value))))
        .collect::<Map<_, _>>()
        .into()
}

fn config_map(message: ConfigMap) -> Value {
    let mut value = object([
        ("data", strings(message.data)),
        ("binaryData", bytes(message.binary_data)),
        ("immutable", message.immutable.into()),
    ]);
    with_metadata(&mut value, message.metadata);
    value
}

fn secret(message: Secret) -> Value {
    let mut value = object([
        ("data", bytes(message.data)),
        ("type", message.kind.into()),
        ("stringData", strings(message.string_data)),
        ("immutable", message.immutable.into()),
    ]);
    with_metadata(&mut value, message.metadata);
    value
}

fn with_metadata(value: &mut Value, meta: Option<ObjectMeta>) {
    if let Some(map) = value.as_object_mut() {
        map.insert("metadata".into(), metadata(meta));
    }
}

fn time(time: Option<Time>, micros: bool) -> Value {
    let Some(stamp) = time.and_then(|time| jiff::Timestamp::new(time.seconds, time.nanos).ok())
    else {
        return Value::Null;
    };
    let format = if micros {
        "%Y-%m-%dT%H:%M:%S.%6fZ"
    } else {
        "%Y-%m-%dT%H:%M:%SZ"
    };
    stamp.strftime(format).to_string().into()
}

fn reference(reference: Option<ObjectReference>) -> Value {
    let reference = reference.unwrap_or_default();
    object([
        ("kind", reference.kind.into()),
        ("namespace", reference.namespace.into()),
        ("name", reference.name.into()),
        ("uid", reference.uid.into()),
        ("apiVersion", reference.api_version.into()),
        ("resourceVersion", reference.resource_version.into()),
        ("fieldPath", reference.field_path.into()),
    ])
}

fn event(message: CoreEvent) -> Value {
    let source = message.source.unwrap_or_default();
    let series = message.series.map_or(Value::Null, |series| {
        json!({"count": series.count, "lastObservedTime": time(series.last_observed_time, true)})
    });
    let count = if message.count == 0 {
        Value::Null
    } else {
        message.count.into()
    };
    let mut value = object([
        ("involvedObject", reference(message.involved_object)),
        ("reason", message.reason.into()),
        ("message", message.message.into()),
        (
            "source",
            object([
                ("component", source.component.into()),
                ("host", source.host.into()),
            ]),
        ),
        ("firstTimestamp", time(message.first_timestamp, false)),
        ("lastTimestamp", time(message.last_timestamp, false)),
        ("count", count),
        ("type", message.kind.into()),
        ("eventTime", time(message.event_time, true)),
        ("series", series),
        ("action", message.action.into()),
        ("related", reference(message.related)),
        ("reportingComponent", message.reporting_component.into()),
        ("reportingInstance", message.reporting_instance.into()),
    ]);
    with_metadata(&mut value, message.metadata);
    value
}

fn access_review(message: AccessReview) -> Value {
    let spec = message.spec.unwrap_or_default();
    let mut shown = Map::new();
    if let Some(wanted) = spec.resource {
        let attributes = object([
            ("namespace", wanted.namespace.into()),
            ("verb", wanted.verb.into()),
            ("group", wanted.group.into()),
            ("version", wanted.version.into()),
            ("resource", wanted.resource.into()),
            ("subresource", wanted.subresource.into()),
            ("name", wanted.name.into()),
        ]);
        shown.insert("resourceAttributes".into(), attributes);
    }
    if let Some(wanted) = spec.non_resource {
        let attributes = object([("path", wanted.path.into()), ("verb", wanted.verb.into())]);
        shown.insert("nonResourceAttributes".into(), attributes);
    }
    json!({"metadata": metadata(message.metadata), "spec": shown})
}

fn delete_options(message: DeleteOptions) -> Value {
    let preconditions = message.preconditions.unwrap_or_default();
    object([
        ("gracePeriodSeconds", message.grace_period_seconds.into()),
        (
            "preconditions",
            object([
                ("uid", preconditions.uid.into()),
                ("resourceVersion", preconditions.resource_version.into()),
            ]),
        ),
        ("orphanDependents", message.orphan_dependents.into()),
        ("propagationPolicy", message.propagation_policy.into()),
        ("dryRun", message.dry_run.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(api_version: &str, kind: &str, message: &impl Message) -> Vec<u8> {
        let unknown = Unknown {
            type_meta: Some(TypeMeta {
                api_version: api_version.into(),
                kind: kind.into(),
            }),
            raw: message.encode_to_vec(),
        };
        let mut body = MAGIC.to_vec();
        body.extend(unknown.encode_to_vec());
        body
    }

    #[test]
    fn decodes_a_secret() {
        let message = Secret {
            metadata: Some(ObjectMeta {
                name: "minio".into(),
                namespace: "default".into(),
                ..ObjectMeta::default()
            }),
            data: BTreeMap::from([("key".into(), b"value".to_vec())]),
            kind: "Opaque".into(),
            ..Secret::default()
        };
        assert_eq!(
            decode(&envelope("v1", "Secret", &message)).unwrap(),
            json!({
                "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
                "metadata": {"name": "minio", "namespace": "default"},
                "data": {"key": "dmFsdWU="},
            })
        );
    }

    #[test]
    fn refuses_other_bytes_and_other_kinds() {
        assert_eq!(decode(b"{}").unwrap_err().code, 400);
        assert_eq!(decode(b"k8s\0\xff\xff").unwrap_err().code, 400);
        let pod = envelope("v1", "Pod", &Namespace::default());
        assert_eq!(decode(&pod).unwrap_err().code, 415);
    }
}
