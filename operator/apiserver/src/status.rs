//! Failures in the form that Kubernetes clients parse: `v1 Status` objects with the reason, code
//! and message that kube-apiserver gives. Pure data and its HTTP encoding.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Map, Value, json};

use crate::resource::{Flavor, Resource};
use crate::schema::FieldError;

/// One entry of `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// Machine-readable reason, for example `FieldValueInvalid`.
    pub reason: String,
    /// The text without the field name in front.
    pub message: String,
    /// The path of the field.
    pub field: String,
}

impl Cause {
    /// Whether rules that trust the object's shape are left out after it.
    pub fn blocks_rules(&self) -> bool {
        matches!(
            self.reason.as_str(),
            "FieldValueNotSupported"
                | "FieldValueRequired"
                | "FieldValueTooLong"
                | "FieldValueTooMany"
                | "FieldValueTypeInvalid"
        )
    }
}

impl From<FieldError> for Cause {
    fn from(error: FieldError) -> Self {
        Self {
            reason: error.reason.as_str().to_owned(),
            message: error.message,
            field: error.field,
        }
    }
}

/// A failed request. Converts into the Status answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError(Box<Failure>);

/// What a failed request says.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// HTTP status code.
    pub code: u16,
    /// `Status.reason`.
    pub reason: &'static str,
    /// `Status.message`.
    pub message: String,
    /// `Status.details` without the causes.
    details: Map<String, Value>,
    /// `Status.details.causes`.
    pub causes: Vec<Cause>,
    /// Value of the `Retry-After` header.
    pub retry_after: Option<u32>,
    /// `Status.metadata.continue`, given with an expired continue token.
    pub fresh_continue: Option<String>,
    /// Answer with this plain text instead of a Status.
    plain: bool,
    /// Warnings for the answer's headers.
    pub warnings: Vec<String>,
}

impl std::ops::Deref for ApiError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::ops::DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.code, self.reason, self.message)
    }
}

impl std::error::Error for ApiError {}

impl ApiError {
    fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            code,
            reason,
            message: message.into(),
            details: Map::new(),
            causes: Vec::new(),
            retry_after: None,
            fresh_continue: None,
            plain: false,
            warnings: Vec::new(),
        }))
    }

    fn named(mut self, resource: &Resource, name: &str) -> Self {
        if !name.is_empty() {
            self.details.insert("name".into(), name.into());
        }
        if !resource.group.is_empty() {
            self.details
                .insert("group".into(), resource.group.clone().into());
        }
        self.details
            .insert("kind".into(), resource.plural.clone().into());
        self
    }

    /// The object does not exist.
    pub fn not_found(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", resource.qualified_plural());
        Self::new(404, "NotFound", message).named(resource, name)
    }

    /// The path is not served: plain text, as kube-apiserver answers.
    pub fn no_such_path() -> Self {
        let mut error = Self::new(404, "NotFound", "404 page not found\n");
        error.plain = true;
        error
    }

    /// The resource is served, but not this part or verb of it.
    pub fn no_such_resource() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
    }

    /// Create of a name that is taken.
    pub fn already_exists(resource: &Resource, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", resource.qualified_plural());
        Self::new(409, "AlreadyExists", message).named(resource, name)
    }

    /// A write with a stale resourceVersion, or a failed precondition.
    pub fn conflict(resource: &Resource, name: &str, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} \"{name}\": {why}",
            resource.qualified_plural()
        );
        Self::new(409, "Conflict", message).named(resource, name)
    }

    /// A failed precondition of a deletion, which names the kind and not the resource.
    pub fn conflict_of_kind(resource: &Resource, name: &str, why: &str) -> Self {
        let mut error = Self::conflict(resource, name, why);
        let shown = match resource.group.as_str() {
            "" => resource.kind.clone(),
            group => format!("{}.{group}", resource.kind),
        };
        error.message = format!("Operation cannot be fulfilled on {shown} \"{name}\": {why}");
        error
            .details
            .insert("kind".into(), resource.kind.clone().into());
        error
    }

    /// The same failure with warnings beside it.
    pub fn warned(mut self, warnings: Vec<String>) -> Self {
        self.warnings = warnings;
        self
    }

    /// The usual conflict text.
    pub fn modified(resource: &Resource, name: &str) -> Self {
        Self::conflict(
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    /// The object breaks the rules of its kind; one cause for each broken rule.
    pub fn invalid(group: &str, kind: &str, name: &str, mut causes: Vec<Cause>) -> Self {
        let qualified = match (kind, group) {
            (kind, "") => kind.to_owned(),
            (kind, group) => format!("{kind}.{group}"),
        };
        let mut seen = std::collections::BTreeSet::new();
        causes.retain(|cause| seen.insert((cause.field.clone(), cause.message.clone())));
        let texts: Vec<String> = causes
            .iter()
            .map(|cause| format!("{}: {}", cause.field, cause.message))
            .collect();
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut error = Self::new(
            422,
            "Invalid",
            format!("{qualified} \"{name}\" is invalid: {text}"),
        );
        for (key, value) in [("name", name), ("group", group), ("kind", kind)] {
            if !value.is_empty() {
                error.details.insert(key.into(), value.into());
            }
        }
        error.causes = causes;
        error
    }

    /// [`ApiError::invalid`] for an object of `resource`.
    pub fn invalid_object(resource: &Resource, name: &str, causes: Vec<Cause>) -> Self {
        // Both views of events are validated as one kind of the core group.
        let group = match resource.flavor {
            Flavor::RegardingEvent => "",
            _ => &resource.group,
        };
        Self::invalid(group, &resource.kind, name, causes)
    }

    /// A request whose meaning is unclear or whose parts contradict each other.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// 422 without causes, as for JSON patches that do not apply.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::new(422, "Invalid", message)
    }

    /// The verb is not served on this path.
    pub fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
    }

    /// The Accept header names nothing that can be served.
    pub fn not_acceptable(accepted: &[&str]) -> Self {
        Self::new(
            406,
            "NotAcceptable",
            format!(
                "only the following media types are accepted: {}",
                accepted.join(", ")
            ),
        )
    }

    /// The Content-Type of the body is not accepted here.
    pub fn unsupported_media_type(accepted: &[&str]) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {}",
                accepted.join(", ")
            ),
        )
    }

    /// 415 with its own text.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(415, "UnsupportedMediaType", message)
    }

    /// The body is larger than the server takes.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(413, "RequestEntityTooLarge", message)
    }

    /// The wanted resourceVersion is no longer in the watch window.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(410, "Expired", message)
    }

    /// The wanted resourceVersion lies in the future.
    pub fn version_too_large(wanted: u64, current: u64) -> Self {
        let mut error = Self::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {wanted}, current: {current}"),
        );
        error.causes.push(Cause {
            reason: "ResourceVersionTooLarge".into(),
            message: "Too large resource version".into(),
            field: String::new(),
        });
        error.details.insert("retryAfterSeconds".into(), 1.into());
        error.retry_after = Some(1);
        error
    }

    /// The user may not do this.
    pub fn forbidden(resource: &Resource, name: &str, why: &str) -> Self {
        let shown = if name.is_empty() {
            resource.qualified_plural()
        } else {
            format!("{} \"{name}\"", resource.qualified_plural())
        };
        Self::new(403, "Forbidden", format!("{shown} is forbidden: {why}")).named(resource, name)
    }

    /// A path outside of resources that the user may not read.
    pub fn forbidden_path(user: &str, verb: &str, path: &str) -> Self {
        Self::new(
            403,
            "Forbidden",
            format!("forbidden: User \"{user}\" cannot {verb} path \"{path}\""),
        )
    }

    /// Content for a namespace that is going away.
    pub fn namespace_terminating(resource: &Resource, name: &str, namespace: &str) -> Self {
        let mut error = Self::forbidden(
            resource,
            name,
            &format!(
                "unable to create new content in namespace {namespace} because it is being terminated"
            ),
        );
        error.causes.push(Cause {
            reason: "NamespaceTerminating".into(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".into(),
        });
        error
    }

    /// No or wrong credentials.
    pub fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    /// A fault of the server.
    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self::new(
            500,
            "InternalError",
            format!("Internal error occurred: {message}"),
        )
    }

    /// The user has too much work here already; the client tries again.
    pub fn too_many_requests(message: impl Into<String>) -> Self {
        let mut error = Self::new(429, "TooManyRequests", message);
        error.details.insert("retryAfterSeconds".into(), 1.into());
        error.retry_after = Some(1);
        error
    }

    /// The request did not arrive whole in time.
    pub fn timed_out(message: impl Into<String>) -> Self {
        Self::new(504, "Timeout", message)
    }

    /// Impersonation that is not allowed, or asks for what cannot be honoured.
    pub fn impersonation(resource: &str, name: &str, why: &str) -> Self {
        let mut error = Self::new(
            403,
            "Forbidden",
            format!("{resource} \"{name}\" is forbidden: {why}"),
        );
        error.details.insert("name".into(), name.into());
        error.details.insert("kind".into(), resource.into());
        error
    }

    /// The store does not answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        let mut error = Self::new(503, "ServiceUnavailable", message);
        error.retry_after = Some(1);
        error
    }

    /// Adds the kind and uid of a precondition failure and the like.
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.into(), value.into());
        self
    }

    /// The Status object.
    pub fn status(&self) -> Value {
        let mut details = self.details.clone();
        if !self.causes.is_empty() {
            let causes = self
                .causes
                .iter()
                .map(|cause| {
                    let mut entry = Map::new();
                    entry.insert("reason".into(), cause.reason.clone().into());
                    entry.insert("message".into(), cause.message.clone().into());
                    if !cause.field.is_empty() {
                        entry.insert("field".into(), cause.field.clone().into());
                    }
                    Value::Object(entry)
                })
                .collect();
            details.insert("causes".into(), Value::Array(causes));
        }
        let mut metadata = Map::new();
        if let Some(token) = &self.fresh_continue {
            metadata.insert("continue".into(), token.clone().into());
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        });
        // Only a JSON patch that does not apply fails with 422 and has nothing to say about it.
        let detailed = !details.is_empty() || self.code == 422;
        if let (true, Some(map)) = (detailed, status.as_object_mut()) {
            map.insert("details".into(), Value::Object(details));
        }
        status
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = StatusCode::from_u16(self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let (content_type, body) = if self.plain {
            ("text/plain; charset=utf-8", self.message.clone())
        } else {
            ("application/json", self.status().to_string())
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = code;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        add_warnings(headers, &self.warnings);
        if self.code == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Characters of warnings that go out whole, all together.
const WARNINGS_TOTAL: usize = 4 * 1024;
/// Characters of each once they are more than that.
const WARNING_LENGTH: usize = 256;

/// Adds warnings to the headers of an answer, as kube-apiserver does: each once, and when they are too long together
/// each is cut and the last ones are left out.
pub fn add_warnings(headers: &mut http::HeaderMap, warnings: &[String]) {
    let mut seen = std::collections::HashSet::new();
    let unique: Vec<&String> = warnings.iter().filter(|text| seen.insert(*text)).collect();
    let total: usize = unique.iter().map(|text| text.chars().count()).sum();
    let mut left = WARNINGS_TOTAL;
    for text in unique {
        let shown: String = if total > WARNINGS_TOTAL {
            text.chars().take(WARNING_LENGTH).collect()
        } else {
            text.clone()
        };
        let length = shown.chars().count();
        if length > left {
            return;
        }
        left -= length;
        if let Some(value) = warning_value(&shown) {
            headers.append(header::WARNING, value);
        }
    }
}

/// A warning as its header has it.
fn warning_value(warning: &str) -> Option<HeaderValue> {
    let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("299 - \"{quoted}\"")).ok()
}

/// The Status of a request that succeeded and has no object to answer with.
pub fn success(resource: &Resource, name: &str, uid: Option<&str>) -> Value {
    let mut details = Map::new();
    details.insert("name".into(), name.into());
    if !resource.group.is_empty() {
        details.insert("group".into(), resource.group.clone().into());
    }
    details.insert("kind".into(), resource.plural.clone().into());
    if let Some(uid) = uid {
        details.insert("uid".into(), uid.into());
    }
    json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    })
}
