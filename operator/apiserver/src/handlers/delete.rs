//! delete and deletecollection.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use serde_json::Value;

use super::{Call, decode_body, json};
use crate::encode::ListMeta;
use crate::guard::Guard;
use crate::object::Name;
use crate::resource::Flavor;
use crate::selector::{Fields, Labels};
use crate::server::Shared;
use crate::status::{self, ApiError};
use crate::strategy::{self, DeleteOptions, Propagation};

/// Reads the options of body and query.
fn options(call: &Call, body: Bytes) -> Result<DeleteOptions, ApiError> {
    let body = if body.iter().all(u8::is_ascii_whitespace) {
        Value::Null
    } else {
        decode_body(&call.headers, body)?.0
    };
    let text = |pointer: &str| {
        body.pointer(pointer)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    };
    let policy = text("/propagationPolicy").or_else(|| call.query.propagation.clone());
    let orphan = body
        .get("orphanDependents")
        .and_then(Value::as_bool)
        .or(call.query.orphan);
    let propagation = match (policy.as_deref(), orphan) {
        (Some("Background"), _) | (None, Some(false)) => Some(Propagation::Background),
        (Some("Foreground"), _) => Some(Propagation::Foreground),
        (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
        (None, None) => None,
        (Some(other), _) => {
            let cause = status::Cause {
                reason: "FieldValueNotSupported".into(),
                message: format!(
                    "Unsupported value: {other:?}: supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\""
                ),
                field: "propagationPolicy".into(),
            };
            return Err(ApiError::invalid(
                "meta.k8s.io",
                "DeleteOptions",
                "",
                vec![cause],
            ));
        }
    };
    let dry_run = body
        .get("dryRun")
        .and_then(Value::as_array)
        .is_some_and(|stages| !stages.is_empty());
    Ok(DeleteOptions {
        dry_run: dry_run || call.query.write.dry_run,
        propagation,
        uid: text("/preconditions/uid"),
        version: text("/preconditions/resourceVersion"),
    })
}

pub(super) async fn one(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let options = options(&call, body)?;
    let resource = call.target.resource.clone();
    let (object, gone) = call
        .shared
        .delete(resource.clone(), call.name(), options)
        .await?;
    let body: Bytes = if gone && resource.flavor != Flavor::Namespace {
        status::success(&resource, &object.name.name, Some(&object.uid))
            .to_string()
            .into()
    } else {
        encoder.object(&object)
    };
    Ok(json(StatusCode::OK, body))
}

pub(super) async fn many(call: Call, body: Bytes) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let options = options(&call, body)?;
    let resource = call.target.resource.clone();
    let labels = Labels::parse(&call.query.labels)?;
    let fields = Fields::parse(&call.query.fields, &resource)?;
    let cache = call.cache().clone();
    let (objects, version) = cache.list(&resource.storage(), call.target.namespace.as_deref());
    let mut deleted = Vec::new();
    for object in objects {
        if !labels.matches(&object) || !fields.matches(&object) {
            continue;
        }
        let result = call
            .shared
            .delete(resource.clone(), object.name.clone(), options.clone())
            .await;
        match result {
            Ok(_) => deleted.push(object),
            Err(error) if error.reason == "NotFound" => {}
            Err(error) => return Err(error),
        }
    }
    let meta = ListMeta {
        version,
        ..ListMeta::default()
    };
    Ok(json(StatusCode::OK, encoder.list(&deleted, &meta)))
}

impl Shared {
    /// Deletes one object, or marks it as being deleted. The flag says whether it is gone.
    pub(crate) async fn delete(
        &self,
        resource: std::sync::Arc<crate::resource::Resource>,
        name: Name,
        options: DeleteOptions,
    ) -> Result<(std::sync::Arc<crate::object::Object>, bool), ApiError> {
        self.check_guarded_content(&resource, &name.name)?;
        let (kind, guards) = (resource.clone(), self.guards.clone());
        let wanted = name.name.clone();
        let outcome = self
            .committer(&resource)
            .transact(resource.clone(), name, move |current, _| {
                let current = current.ok_or_else(|| ApiError::not_found(&kind, &wanted))?;
                Guard::check(&guards, &kind, current)?;
                strategy::delete(&kind, current, &options)
            })
            .await?;
        Ok((outcome.object, outcome.extra))
    }
}
