//! One request from its first byte to its answer: identity, right, route, verb.

mod delete;
mod impersonate;
mod read;
mod review;
mod write;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tracing::{debug, error};

use crate::auth::{Attempt, Identity, PeerCertificate};
use crate::decode::DecodeError;
use crate::discovery;
use crate::metrics::Requests;
use crate::negotiate;
use crate::openapi::{self, Document};
use crate::query::Query;
use crate::route::{Route, Sub, Target};
use crate::server::Shared;
use crate::status::{self, ApiError};
use crate::strategy::Warnings;
use crate::workload::{Turn, work};

/// As kube-apiserver: 3 MiB.
const BODY_LIMIT: usize = 3 << 20;
/// Bodies that are read before any right is asked for.
const REVIEW_LIMIT: usize = 64 << 10;
/// From the headers to the last byte of the body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Who a request came from: an extension of the answer, where the client has proved it.
#[derive(Debug, Clone)]
pub(crate) struct ProvenUser(pub String);

/// A request to objects, with all that is known of it but the body.
pub(crate) struct Call {
    pub shared: Arc<Shared>,
    pub target: Target,
    pub query: Query,
    pub headers: HeaderMap,
}

/// Answers any request.
pub(crate) async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method.clone(), parts.uri.path().to_owned());
    let (requests, user) = (shared.requests.clone(), OnceLock::new());
    let answering = answer(shared, parts, body, Instant::now(), &user);
    let mut response = guarded(answering, requests.as_ref(), &method, &path, &user)
        .await
        .unwrap_or_else(IntoResponse::into_response);
    if let Some(user) = user.into_inner() {
        response.extensions_mut().insert(ProvenUser(user));
    }
    debug!(%method, path, status = response.status().as_u16(), "answered");
    response
}

async fn answer(
    shared: Arc<Shared>,
    parts: Parts,
    body: Body,
    began: Instant,
    user: &OnceLock<String>,
) -> Result<Response, ApiError> {
    let identity = identify(&shared, &parts)?;
    if !identity.is_anonymous() {
        // Limits are those of the caller, also when it asks in the name of another user.
        let _ = user.set(identity.user.clone());
    }
    let identity = impersonate::effective(identity, &parts.headers)?;
    let path = parts.uri.path();
    let public = matches!(path, "/version")
        || ["/healthz", "/livez", "/readyz"]
            .iter()
            .any(|health| path.starts_with(health));
    if identity.is_anonymous() && !public {
        // Whether the path exists is nobody's business before they say who they are.
        return Err(refuse_anonymous(&shared, &identity, &parts));
    }
    let route = Route::parse(&shared.registry, path)?;
    let target = match route {
        Route::Objects(target) => target,
        Route::Review(plural) => {
            if parts.method != Method::POST {
                return Err(ApiError::method_not_allowed());
            }
            negotiate::plain(&parts.headers)?;
            let mut turn = turn(&shared, &parts, user).await?;
            let body = read_body(body, REVIEW_LIMIT, &mut turn).await?;
            let body = decode_body(&parts.headers, body)?.0;
            let answer = review::answer(&shared, &identity, plural, &body)?;
            return Ok(json(StatusCode::CREATED, answer.to_string()));
        }
        other => {
            if !matches!(parts.method, Method::GET | Method::HEAD) {
                return Err(ApiError::method_not_allowed());
            }
            return fixed(&shared, &parts.headers, &other);
        }
    };
    let query = Query::parse(&parts.method, &parts.uri)?;
    let verb = verb_of(&parts.method, &target, &query)?;
    authorize(&identity, verb, &target)?;
    let measured = shared.requests.clone().filter(|_| verb != "watch");
    let measured = measured.map(|requests| (requests, target.clone()));
    let mut turn = match verb {
        // It only waits.
        "watch" => Turn::unbounded(),
        _ => turn(&shared, &parts, user).await?,
    };
    let body = match verb {
        "get" | "list" | "watch" => Bytes::new(),
        _ => read_body(body, BODY_LIMIT, &mut turn).await?,
    };
    let call = Call {
        shared,
        target,
        query,
        headers: parts.headers,
    };
    let answer = match verb {
        "get" => read::get(&call),
        "list" => read::list(&call),
        "watch" => read::watch(&call),
        "create" => write::create(call, body).await,
        "update" => write::update(call, body).await,
        "patch" => write::patch(call, body).await,
        "delete" => delete::one(call, body).await,
        _ => delete::many(call, body).await,
    };
    if let Some((requests, target)) = measured {
        requests.answered(verb, &target, began.elapsed());
    }
    answer
}

/// A place for the request, among those of its user. The program itself needs none.
async fn turn(shared: &Shared, parts: &Parts, user: &OnceLock<String>) -> Result<Turn, ApiError> {
    match user.get() {
        Some(user) if parts.extensions.get::<Identity>().is_none() => {
            shared.workload.turn(user).await
        }
        _ => Ok(Turn::unbounded()),
    }
}

/// The answer, also to a request that meets a fault of the server: that costs the request, not the process. Requests hold no
/// locks that a panic could leave locked or poisoned.
async fn guarded(
    answering: impl Future<Output = Result<Response, ApiError>>,
    requests: Option<&Requests>,
    method: &Method,
    path: &str,
    user: &OnceLock<String>,
) -> Result<Response, ApiError> {
    AssertUnwindSafe(answering)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let user = user.get().map_or("unknown", String::as_str);
            let problem = panic_text(&*panic);
            error!(%method, path, user, problem, "a request met a fault of the server");
            if let Some(requests) = requests {
                requests.panicked();
            }
            Err(ApiError::internal(
                "the request met a fault of the server; see its log",
            ))
        })
}

/// What a panic said.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

fn identify(shared: &Shared, parts: &Parts) -> Result<Identity, ApiError> {
    // Only the program itself can attach an identity; nothing from the wire becomes an extension.
    if let Some(identity) = parts.extensions.get::<Identity>() {
        return Ok(identity.clone());
    }
    let authorization = match parts.headers.get(AUTHORIZATION) {
        Some(value) => Some(value.to_str().map_err(|_| ApiError::unauthorized())?),
        None => None,
    };
    shared
        .authenticator
        .identify(authorization, parts.extensions.get::<PeerCertificate>())
        .ok_or_else(ApiError::unauthorized)
}

fn refuse_anonymous(shared: &Shared, identity: &Identity, parts: &Parts) -> ApiError {
    let verb = parts.method.as_str().to_lowercase();
    if let Ok(Route::Objects(target)) = Route::parse(&shared.registry, parts.uri.path())
        && let Ok(query) = Query::parse(&parts.method, &parts.uri)
        && let Ok(verb) = verb_of(&parts.method, &target, &query)
    {
        return forbidden(identity, verb, &target);
    }
    ApiError::forbidden_path(&identity.user, &verb, parts.uri.path())
}

fn verb_of(method: &Method, target: &Target, query: &Query) -> Result<&'static str, ApiError> {
    let named = target.name.is_some();
    let verb = match *method {
        Method::GET | Method::HEAD if !named && query.watch => "watch",
        Method::GET | Method::HEAD if named => "get",
        Method::GET | Method::HEAD => "list",
        Method::POST if !named => "create",
        Method::PUT if named => "update",
        Method::PATCH if named => "patch",
        Method::DELETE if named => "delete",
        Method::DELETE => "deletecollection",
        _ => return Err(ApiError::method_not_allowed()),
    };
    let served = match target.sub {
        Sub::None => target.resource.verbs().contains(&verb),
        Sub::Status | Sub::Scale => matches!(verb, "get" | "update" | "patch"),
    };
    // Writing to all namespaces at once has no meaning.
    let placed = !target.resource.namespaced
        || target.namespace.is_some()
        || matches!(verb, "list" | "watch");
    if served && placed {
        Ok(verb)
    } else {
        Err(ApiError::method_not_allowed())
    }
}

fn authorize(identity: &Identity, verb: &'static str, target: &Target) -> Result<(), ApiError> {
    let allowed = identity.may(Attempt {
        verb,
        group: &target.resource.group,
        resource: &target.resource.plural,
    });
    if allowed {
        Ok(())
    } else {
        Err(forbidden(identity, verb, target))
    }
}

fn forbidden(identity: &Identity, verb: &str, target: &Target) -> ApiError {
    let resource = &target.resource;
    let plural = match target.sub {
        Sub::None => resource.plural.clone(),
        Sub::Status => format!("{}/status", resource.plural),
        Sub::Scale => format!("{}/scale", resource.plural),
    };
    let place = match &target.namespace {
        Some(namespace) => format!("in the namespace \"{namespace}\""),
        None => "at the cluster scope".to_owned(),
    };
    let why = format!(
        "User \"{}\" cannot {verb} resource \"{plural}\" in API group \"{}\" {place}",
        identity.user, resource.group
    );
    ApiError::forbidden(resource, target.name.as_deref().unwrap_or_default(), &why)
}

/// Documents that do not depend on objects.
fn fixed(shared: &Shared, headers: &HeaderMap, route: &Route) -> Result<Response, ApiError> {
    let documents = &shared.discovery;
    let found = |text: Option<&String>| {
        text.map(|text| json(StatusCode::OK, text.clone()))
            .ok_or_else(ApiError::no_such_path)
    };
    match route {
        Route::Health => Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], "ok").into_response()),
        Route::Version => Ok(json(
            StatusCode::OK,
            discovery::version(&shared.product).to_string(),
        )),
        Route::CoreVersions | Route::Groups if negotiate::aggregated_discovery(headers) => {
            let text = match route {
                Route::CoreVersions => &documents.core_aggregated,
                _ => &documents.groups_aggregated,
            };
            let mut response = json(StatusCode::OK, text.clone());
            let headers = response.headers_mut();
            headers.insert(
                CONTENT_TYPE,
                HeaderValue::from_static(discovery::AGGREGATED),
            );
            headers.insert(VARY, HeaderValue::from_static("Accept"));
            Ok(response)
        }
        Route::CoreVersions => Ok(json(StatusCode::OK, discovery::core_versions().to_string())),
        Route::Groups => found(Some(&documents.groups)),
        Route::Group(group) => found(documents.group.get(group)),
        Route::Resources(group_version) => found(documents.resources.get(group_version)),
        Route::OpenApiV2 => {
            let mut response = Response::new(Body::from(openapi::empty_v2()));
            response.headers_mut().insert(
                CONTENT_TYPE,
                HeaderValue::from_static(openapi::V2_MEDIA_TYPE),
            );
            Ok(response)
        }
        Route::OpenApiIndex => Ok(document(headers, shared.openapi()?.index())),
        Route::OpenApi(path) => shared
            .openapi()?
            .group_version(path)
            .map(|found| document(headers, found))
            .ok_or_else(ApiError::no_such_path),
        Route::Review(_) | Route::Objects(_) => Err(ApiError::no_such_path()),
    }
}

fn document(headers: &HeaderMap, document: &Document) -> Response {
    let etag = HeaderValue::from_str(&document.etag).ok();
    let known = headers.get(IF_NONE_MATCH);
    let mut response = if known.is_some() && known == etag.as_ref() {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        json(StatusCode::OK, document.body.clone())
    };
    if let Some(etag) = etag {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// A JSON answer.
pub(crate) fn json(code: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = code;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Puts warnings into the headers.
pub(crate) fn with_warnings(mut response: Response, warnings: &Warnings) -> Response {
    status::add_warnings(response.headers_mut(), warnings);
    response
}

async fn read_body(mut body: Body, limit: usize, turn: &mut Turn) -> Result<Bytes, ApiError> {
    let reading = async {
        let mut whole = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| ApiError::bad_request(format!("read the body: {error}")))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let length = whole.len() + data.len();
            if length > limit {
                return Err(ApiError::too_large(format!(
                    "Request entity too large: limit is {limit}"
                )));
            }
            turn.grow(length)?;
            whole.extend_from_slice(&data);
        }
        Ok(whole.freeze())
    };
    let body = tokio::time::timeout(BODY_TIMEOUT, reading)
        .await
        .map_err(|_| {
            ApiError::timed_out(format!(
                "Timeout: request did not complete within the allotted timeout: the body did not arrive within {}s",
                BODY_TIMEOUT.as_secs()
            ))
        })??;
    turn.heavy(body.len()).await?;
    Ok(body)
}

/// The media type of the body, without parameters. None given means JSON.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .filter(|value| !value.is_empty())
        .unwrap_or_else(|| "application/json".to_owned())
}

/// The body as a value, and the repeated fields in it.
pub(crate) fn decode_body(
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(Value, Vec<String>), ApiError> {
    let media_type = media_type(headers);
    match media_type.as_str() {
        crate::protobuf::MEDIA_TYPE => Ok((crate::protobuf::decode(&body)?, Vec::new())),
        "application/json" | "application/yaml" => {
            let decoded = work(body.len(), || {
                crate::decode::decode_body(&media_type, &body)
            })
            .map_err(|error| ApiError::bad_request(unreadable(&error, &body)))?;
            Ok((decoded.value, decoded.duplicates))
        }
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
            crate::protobuf::MEDIA_TYPE,
        ])),
    }
}

/// Why a body cannot be read, with its beginning.
fn unreadable(error: &DecodeError, body: &Bytes) -> String {
    let problem = match error {
        DecodeError::Json { problem } if problem.starts_with("EOF") => {
            "unexpected end of JSON input"
        }
        DecodeError::Json { problem } | DecodeError::Yaml { problem } => problem,
        DecodeError::MediaType { .. } => return error.to_string(),
    };
    format!(
        "couldn't get version/kind; json parse error: {problem} ({})",
        beginning(body)
    )
}

/// The beginning of a body, for messages.
pub(crate) fn beginning(body: &[u8]) -> String {
    const LENGTH: usize = 30;
    let cut = body.get(..LENGTH).unwrap_or(body);
    let shown = match body.first() {
        None => return "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(cut).into_owned(),
        Some(_) => hex::encode(cut),
    };
    if body.len() > LENGTH {
        format!("{shown} ...")
    } else {
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_costs_its_request_alone() {
        let registry = prometheus::Registry::new();
        let requests = Requests::register(&registry).unwrap();
        let faulty = async {
            tokio::task::yield_now().await;
            let empty: [u8; 0] = [];
            let index = empty.len() + 3;
            Ok(Response::new(Body::from(vec![empty[index]])))
        };
        let error = guarded(
            faulty,
            Some(&requests),
            &Method::GET,
            "/x",
            &OnceLock::new(),
        )
        .await
        .unwrap_err();
        assert_eq!((error.code, error.reason), (500, "InternalError"));
        let counted = registry
            .gather()
            .iter()
            .find(|family| family.name().ends_with("panics_total"))
            .map(|family| family.get_metric()[0].get_counter().get_value());
        assert_eq!(counted, Some(1.0));
    }
}
