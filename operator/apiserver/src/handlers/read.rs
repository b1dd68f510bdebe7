//! get, list and watch: from memory only.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Call, json};
use crate::cache::Cache;
use crate::encode::{Encoder, ListMeta};
use crate::negotiate;
use crate::object::{Name, Object};
use crate::query::Match;
use crate::route::Sub;
use crate::selector::{Fields, Labels};
use crate::status::ApiError;
use crate::strategy;
use crate::watch::{self, Scope, WatchOptions};

/// How long a watch lasts that names no time.
const WATCH_TIMEOUT: Duration = Duration::from_secs(45 * 60);

/// Where a page of a list ended.
#[derive(Debug, Serialize, Deserialize)]
struct Token {
    v: String,
    rv: u64,
    namespace: String,
    name: String,
}

impl Token {
    fn after(version: u64, name: &Name) -> Self {
        Self {
            v: "meta.k8s.io/v1".into(),
            rv: version,
            namespace: name.namespace.clone(),
            name: name.name.clone(),
        }
    }

    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    fn decode(text: &str) -> Result<Self, ApiError> {
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| ApiError::bad_request("continue key is not valid"))
    }
}

impl Call {
    pub(super) fn cache(&self) -> &Arc<Cache> {
        self.shared.committer(&self.target.resource).cache()
    }

    pub(super) fn name(&self) -> Name {
        Name::new(
            self.target.namespace.clone().unwrap_or_default(),
            self.target.name.clone().unwrap_or_default(),
        )
    }

    fn scope(&self) -> Result<Scope, ApiError> {
        Ok(Scope {
            storage: self.target.resource.storage(),
            namespace: self.target.namespace.clone(),
            labels: Labels::parse(&self.query.labels)?,
            fields: Fields::parse(&self.query.fields, &self.target.resource)?,
        })
    }

    pub(super) fn encoder(&self) -> Result<Encoder, ApiError> {
        let form = negotiate::form(&self.headers)?;
        Ok(Encoder::new(
            self.target.resource.clone(),
            form,
            self.query.include,
        ))
    }
}

pub(super) fn get(call: &Call) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let name = call.name();
    let resource = &call.target.resource;
    let object = call
        .cache()
        .get(&resource.storage(), &name)
        .ok_or_else(|| ApiError::not_found(resource, &name.name))?;
    if let (Sub::Scale, Some(scale)) = (call.target.sub, &resource.scale) {
        let shown = strategy::to_scale(scale, &object.value());
        return Ok(json(StatusCode::OK, shown.to_string()));
    }
    Ok(json(StatusCode::OK, encoder.object(&object)))
}

pub(super) fn list(call: &Call) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let scope = call.scope()?;
    let cache = call.cache();
    let namespace = scope.namespace.as_deref();
    let wanted = call.query.version_number()?;
    let token = match &call.query.continue_token {
        Some(text) => Some(Token::decode(text)?),
        None => None,
    };
    let current = cache.version();
    if let Some(wanted) = wanted.filter(|wanted| *wanted > current) {
        return Err(ApiError::version_too_large(wanted, current));
    }
    let (objects, version) = match (&token, wanted, call.query.version_match) {
        // A token of version 0 goes on with what is there now: given out after an expired one.
        (Some(token), ..) if token.rv > 0 => {
            let objects = cache
                .list_at(&scope.storage, namespace, token.rv)
                .map_err(|_| {
                    let mut error = ApiError::expired(
                        "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.",
                    );
                    let name = Name::new(token.namespace.clone(), token.name.clone());
                    error.fresh_continue = Some(Token::after(0, &name).encode());
                    error
                })?;
            (objects, token.rv)
        }
        (None, Some(wanted), Some(Match::Exact)) => {
            let objects = cache
                .list_at(&scope.storage, namespace, wanted)
                .map_err(|expired| {
                    ApiError::expired(format!(
                        "The resourceVersion for the provided list is too old: {wanted} ({})",
                        expired.oldest
                    ))
                })?;
            (objects, wanted)
        }
        _ => cache.list(&scope.storage, namespace),
    };
    let start = token.map(|token| Name::new(token.namespace, token.name));
    let mut items: Vec<Arc<Object>> = objects
        .into_iter()
        .filter(|object| start.as_ref().is_none_or(|start| object.name > *start))
        .filter(|object| scope.matches(object))
        .collect();
    let mut meta = ListMeta {
        version,
        ..ListMeta::default()
    };
    if let Some(limit) = call.query.limit.filter(|limit| items.len() > *limit) {
        let left = items.len() - limit;
        items.truncate(limit);
        meta.continue_token = items
            .last()
            .map(|last| Token::after(version, &last.name).encode());
        meta.remaining = (!scope.is_selective()).then_some(left);
    }
    Ok(json(StatusCode::OK, encoder.list(&items, &meta)))
}

pub(super) fn watch(call: &Call) -> Result<Response, ApiError> {
    let encoder = call.encoder()?;
    let scope = call.scope()?;
    let cache = call.cache().clone();
    let wanted = call.query.version_number()?;
    let from_now = wanted.is_none_or(|wanted| wanted == 0);
    let initial = match call.query.initial_events {
        Some(initial) => initial,
        None => from_now,
    };
    let current = cache.version();
    let mut options = WatchOptions {
        initial: Vec::new(),
        mark_end: call.query.initial_events == Some(true) && call.query.bookmarks,
        after: wanted.filter(|wanted| *wanted > 0).unwrap_or(current),
        bookmarks: call.query.bookmarks,
        timeout: call.query.timeout.unwrap_or(WATCH_TIMEOUT),
    };
    if initial {
        if let Some(wanted) = wanted.filter(|wanted| *wanted > current) {
            return Err(ApiError::version_too_large(wanted, current));
        }
        let (objects, version) = cache.list(&scope.storage, scope.namespace.as_deref());
        options.initial = objects
            .into_iter()
            .filter(|object| scope.matches(object))
            .collect();
        options.after = version;
    }
    // A version that was never given out comes from another life of the store. Waiting for it would
    // hide every change until then; "expired" makes the client list again.
    if options.after > current && !initial {
        let line = watch::expired_line(options.after, current);
        return Ok(json(StatusCode::OK, line));
    }
    let stream = watch::stream(cache, scope, encoder, options, call.shared.shutdown.clone());
    Ok(json(StatusCode::OK, Body::from_stream(stream)))
}
