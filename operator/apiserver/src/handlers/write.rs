//! create, update and patch.

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde_json::{Map, Value};

use super::{Call, beginning, decode_body, json, media_type, with_warnings};
use crate::builtin;
use crate::cache::Cache;
use crate::commit::{Decision, Outcome};
use crate::decode::DecodeError;
use crate::object::{Name, Object, meta_str};
use crate::patch::{APPLY_PATCH, Edit, JSON_PATCH};
use crate::resource::{Flavor, Lane, Resource};
use crate::route::Sub;
use crate::status::ApiError;
use crate::strategy::{self, Part, Source, Warnings, WriteOptions};
use crate::workload::work;

/// Tries of a generated name before giving up.
const NAME_TRIES: usize = 8;

/// Refuses content for a namespace that is missing or going away.
fn check_namespace(
    cache: &Cache,
    resource: &Resource,
    namespaces: &Resource,
    name: &Name,
) -> Result<(), ApiError> {
    if !resource.namespaced {
        return Ok(());
    }
    let namespace = cache
        .get(&namespaces.storage(), &Name::new("", &*name.namespace))
        .ok_or_else(|| ApiError::not_found(namespaces, &name.namespace))?;
    if namespace.deleting {
        return Err(ApiError::namespace_terminating(
            resource,
            &name.name,
            &name.namespace,
        ));
    }
    Ok(())
}

pub(super) async fn create(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let resource = call.target.resource.clone();
    let size = body.len();
    let (body, duplicates) = decode_object(&call.headers, body, &resource)?;
    let namespace = call.target.namespace.clone().unwrap_or_default();
    let options = call.query.write;
    let namespaces = call
        .shared
        .registry
        .flavor(Flavor::Namespace)
        .cloned()
        .ok_or_else(ApiError::no_such_resource)?;
    let generated = meta_str(&body, "name").is_empty();
    let mut tries = 0;
    let (outcome, warnings) = loop {
        tries += 1;
        let (value, warnings) = work(size, || {
            strategy::create(&resource, body.clone(), &duplicates, &namespace, options)
        })?;
        let name = Name::new(namespace.clone(), meta_str(&value, "name"));
        // Events live in the other lane, whose writer does not see namespaces.
        if resource.lane() == Lane::Volatile {
            check_namespace(call.shared.durable.cache(), &resource, &namespaces, &name)?;
        }
        let (kind, namespaces, place) = (resource.clone(), namespaces.clone(), name.clone());
        let result = call
            .shared
            .committer(&resource)
            .transact(resource.clone(), name, move |current, cache| {
                if current.is_some() {
                    return Err(ApiError::already_exists(&kind, &place.name));
                }
                if kind.lane() == Lane::Durable {
                    check_namespace(cache, &kind, &namespaces, &place)?;
                }
                let decision = if options.dry_run {
                    Decision::Pretend(value)
                } else {
                    Decision::Put(value)
                };
                Ok((decision, ()))
            })
            .await;
        match result {
            Err(error) if generated && error.reason == "AlreadyExists" && tries < NAME_TRIES => {}
            other => break (other?, warnings),
        }
    };
    if resource.lane() == Lane::Volatile && !options.dry_run {
        call.shared.trim_events(&resource, &namespace).await;
    }
    let response = json(StatusCode::CREATED, encoder.object(&outcome.object));
    Ok(with_warnings(response, &warnings))
}

/// A body that is to be an object of the kind, and the repeated fields in it.
fn decode_object(
    headers: &HeaderMap,
    body: Bytes,
    resource: &Resource,
) -> Result<(Value, Vec<String>), ApiError> {
    let unrecognized = |why: &str| {
        let kind = &resource.kind;
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why}"
        ))
    };
    let (value, duplicates) =
        decode_body(headers, body.clone()).map_err(|error| match error.code {
            400 => unrecognized(&error.message),
            _ => error,
        })?;
    let shown = beginning(&body);
    if !value.is_object() {
        return Err(unrecognized(&format!(
            "couldn't get version/kind; the body is not an object ({shown})"
        )));
    }
    // Clients of built-in kinds may leave both out.
    if resource.flavor == Flavor::Custom {
        for (field, named) in [("kind", "Kind"), ("apiVersion", "apiVersion")] {
            if value
                .get(field)
                .and_then(Value::as_str)
                .is_none_or(str::is_empty)
            {
                return Err(unrecognized(&format!(
                    "Object '{named}' is missing in '{value}' ({shown})"
                )));
            }
        }
    }
    Ok((value, duplicates))
}

pub(super) async fn update(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let size = body.len();
    let (body, duplicates) = if call.target.sub == Sub::Scale {
        decode_body(&call.headers, body)?
    } else {
        decode_object(&call.headers, body, &call.target.resource)?
    };
    let options = call.query.write;
    let sub = call.target.sub;
    apply(call, size, move |resource, current| {
        let stored = current.value();
        match (sub, &resource.scale) {
            (Sub::Scale, Some(scale)) => {
                let new = strategy::from_scale(resource, scale, &stored, &body)?;
                scaled(resource, current, new, options)
            }
            (Sub::Status, _) => strategy::update(
                resource,
                current,
                body,
                &duplicates,
                Part::Status,
                options,
                Source::Whole,
            ),
            _ => strategy::update(
                resource,
                current,
                body,
                &duplicates,
                Part::Main,
                options,
                Source::Whole,
            ),
        }
    })
    .await
}

/// A change of the replicas alone: unknown fields cannot be in it.
fn scaled(
    resource: &Resource,
    current: &Object,
    new: Value,
    options: WriteOptions,
) -> Result<(Decision, Warnings), ApiError> {
    strategy::update(
        resource,
        current,
        new,
        &[],
        Part::Main,
        options,
        Source::Whole,
    )
}

pub(super) async fn patch(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let resource = call.target.resource.clone();
    let media_type = media_type(&call.headers);
    let size = body.len();
    let (tree, duplicates) = if media_type == APPLY_PATCH {
        (Value::Null, Vec::new())
    } else {
        let decoded = work(size, || {
            crate::decode::decode_body("application/json", &body)
        });
        let decoded = decoded.map_err(|error| {
            let problem = match &error {
                DecodeError::Json { problem } if problem.starts_with("EOF") => {
                    "unexpected end of JSON input"
                }
                DecodeError::Json { problem } => problem,
                _ => "not json",
            };
            ApiError::bad_request(format!("error decoding patch: {problem}"))
        });
        match decoded {
            Ok(decoded) => (decoded.value, decoded.duplicates),
            // A wrong media type is the better answer than a wrong body.
            Err(error) => {
                let empty = match media_type.as_str() {
                    JSON_PATCH => Value::Array(Vec::new()),
                    _ => Value::Object(Map::new()),
                };
                Edit::decode(&resource, &media_type, empty)?;
                return Err(error);
            }
        }
    };
    let edit = Edit::decode(&resource, &media_type, tree)?;
    let options = call.query.write;
    let sub = call.target.sub;
    apply(call, size, move |resource, current| {
        let stored = current.value();
        let shown = edit.tree().map(Value::to_string).unwrap_or_default();
        let source = Source::Patch(&shown);
        let view = builtin::to_view(resource, stored.clone());
        match (sub, &resource.scale) {
            (Sub::Scale, Some(scale)) => {
                let patched = edit.apply(&strategy::to_scale(scale, &stored))?;
                let new = strategy::from_scale(resource, scale, &stored, &patched)?;
                scaled(resource, current, new, options)
            }
            (Sub::Status, _) => {
                let patched = edit.apply(&view)?;
                strategy::update(
                    resource,
                    current,
                    patched,
                    &duplicates,
                    Part::Status,
                    options,
                    source,
                )
            }
            _ => {
                let patched = edit.apply(&view)?;
                strategy::update(
                    resource,
                    current,
                    patched,
                    &duplicates,
                    Part::Main,
                    options,
                    source,
                )
            }
        }
    })
    .await
}

/// Runs a change of an existing object and answers with what came of it.
async fn apply<F>(call: Call, size: usize, change: F) -> Result<Response, ApiError>
where
    F: FnOnce(&Resource, &Object) -> Result<(Decision, Warnings), ApiError> + Send + 'static,
{
    let encoder = call.encoder()?;
    let resource = call.target.resource.clone();
    let name = call.name();
    let (kind, wanted) = (resource.clone(), name.name.clone());
    let Outcome { object, extra } = call
        .shared
        .committer(&resource)
        .transact(resource.clone(), name, move |current, _| {
            let current = current.ok_or_else(|| ApiError::not_found(&kind, &wanted))?;
            work(size, || change(&kind, current))
        })
        .await?;
    let response = match (call.target.sub, &resource.scale) {
        (Sub::Scale, Some(scale)) => {
            let shown = strategy::to_scale(scale, &object.value());
            json(StatusCode::OK, shown.to_string())
        }
        _ => json(StatusCode::OK, encoder.object(&object)),
    };
    Ok(with_warnings(response, &extra))
}
