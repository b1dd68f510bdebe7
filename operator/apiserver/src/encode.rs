//! Objects, lists and watch events in the form that was asked for. Pure but for the time in ages.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::builtin;
use crate::cache::watch_line;
use crate::negotiate::Form;
use crate::object::Object;
use crate::projection::Projection;
use crate::resource::{Flavor, Resource};
use crate::table::IncludeObject;

/// Encodes the objects of one request.
#[derive(Debug, Clone)]
pub struct Encoder {
    resource: Arc<Resource>,
    form: Form,
    include: IncludeObject,
    /// Whether no table event has been encoded yet.
    first: bool,
    /// What of an object the form shows, if not all.
    projection: Option<Projection>,
}

/// The list's own metadata.
#[derive(Debug, Clone, Default)]
pub struct ListMeta {
    /// Version of the list.
    pub version: u64,
    /// Token of the next page.
    pub continue_token: Option<String>,
    /// Items left, if known.
    pub remaining: Option<usize>,
}

impl ListMeta {
    /// Lists of custom kinds always have the field `continue`; typed ones only where there is more.
    fn value(&self, custom: bool) -> Value {
        let mut meta = Map::new();
        if custom {
            meta.insert("continue".into(), "".into());
        }
        meta.insert("resourceVersion".into(), self.version.to_string().into());
        if let Some(token) = &self.continue_token {
            meta.insert("continue".into(), token.clone().into());
        }
        if let Some(remaining) = self.remaining {
            meta.insert("remainingItemCount".into(), remaining.into());
        }
        Value::Object(meta)
    }
}

impl Encoder {
    /// An encoder for one answer.
    pub fn new(resource: Arc<Resource>, form: Form, include: IncludeObject) -> Self {
        let projection = match form {
            // The other view of events renames fields that the paths are about.
            _ if resource.flavor == Flavor::RegardingEvent => None,
            Form::Partial => Some(Projection::new([["metadata"]])),
            Form::Table if include != IncludeObject::Object => {
                resource.columns.reads().map(Projection::new)
            }
            Form::Plain | Form::Table => None,
        };
        Self {
            resource,
            form,
            include,
            first: true,
            projection,
        }
    }

    /// Whether the stored bytes are the answer.
    pub fn is_verbatim(&self) -> bool {
        self.form == Form::Plain && self.resource.flavor != Flavor::RegardingEvent
    }

    fn view(&self, object: &Object) -> Value {
        let part = self
            .projection
            .as_ref()
            .and_then(|projection| projection.read(&object.json).ok());
        part.unwrap_or_else(|| builtin::to_view(&self.resource, object.value()))
    }

    /// One object.
    pub fn object(&self, object: &Object) -> Bytes {
        if self.is_verbatim() {
            return object.json.clone();
        }
        let value = self.view(object);
        let shown = match self.form {
            Form::Plain => value,
            Form::Partial => partial(&value),
            Form::Table => {
                let mut meta = Map::new();
                meta.insert("resourceVersion".into(), object.version.to_string().into());
                self.resource.columns.list(
                    [&value],
                    Value::Object(meta),
                    self.include,
                    jiff::Timestamp::now(),
                )
            }
        };
        shown.to_string().into()
    }

    /// One object within a list. Items of typed lists do not repeat their kind.
    fn item(&self, object: &Object) -> Bytes {
        if self.form != Form::Plain || self.resource.flavor == Flavor::Custom {
            return self.object(object);
        }
        let mut value = self.view(object);
        if let Some(map) = value.as_object_mut() {
            map.remove("apiVersion");
            map.remove("kind");
        }
        value.to_string().into()
    }

    /// A list.
    pub fn list(&self, objects: &[Arc<Object>], meta: &ListMeta) -> Bytes {
        if self.form == Form::Table {
            let values: Vec<Value> = objects.iter().map(|object| self.view(object)).collect();
            return self
                .resource
                .columns
                .list(
                    &values,
                    meta.value(false),
                    self.include,
                    jiff::Timestamp::now(),
                )
                .to_string()
                .into();
        }
        let (kind, api_version) = match self.form {
            Form::Partial => ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned()),
            _ => (
                self.resource.list_kind.as_str(),
                self.resource.api_version(),
            ),
        };
        let items: Vec<Bytes> = objects.iter().map(|object| self.item(object)).collect();
        let size: usize = items.iter().map(|item| item.len() + 1).sum();
        let mut body = Vec::with_capacity(size + 256);
        body.extend_from_slice(b"{\"kind\":");
        body.extend_from_slice(Value::from(kind).to_string().as_bytes());
        body.extend_from_slice(b",\"apiVersion\":");
        body.extend_from_slice(Value::from(api_version).to_string().as_bytes());
        body.extend_from_slice(b",\"metadata\":");
        let custom = self.resource.flavor == Flavor::Custom && self.form == Form::Plain;
        body.extend_from_slice(meta.value(custom).to_string().as_bytes());
        body.extend_from_slice(b",\"items\":[");
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(item);
        }
        body.extend_from_slice(b"]}");
        body.into()
    }

    /// One watch line for an object.
    pub fn event(&mut self, kind: &str, object: &Object) -> Bytes {
        if self.form != Form::Table {
            return watch_line(kind, &self.object(object));
        }
        let value = self.view(object);
        let table = self.resource.columns.event(
            &value,
            std::mem::take(&mut self.first),
            self.include,
            jiff::Timestamp::now(),
        );
        watch_line(kind, table.to_string().as_bytes())
    }

    /// A bookmark line.
    pub fn bookmark(&self, version: u64, initial_events_end: bool) -> Bytes {
        let mut metadata = Map::new();
        metadata.insert("resourceVersion".into(), version.to_string().into());
        if initial_events_end {
            metadata.insert(
                "annotations".into(),
                json!({"k8s.io/initial-events-end": "true"}),
            );
        }
        let (kind, api_version) = match self.form {
            Form::Partial => ("PartialObjectMetadata", "meta.k8s.io/v1".to_owned()),
            _ => (self.resource.kind.as_str(), self.resource.api_version()),
        };
        let object = if self.form == Form::Table {
            json!({
                "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                "columnDefinitions": null, "rows": [],
            })
        } else {
            json!({"kind": kind, "apiVersion": api_version, "metadata": metadata})
        };
        watch_line("BOOKMARK", object.to_string().as_bytes())
    }
}

fn partial(value: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": value.get("metadata").cloned().unwrap_or_default(),
    })
}
