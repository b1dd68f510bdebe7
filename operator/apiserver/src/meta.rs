//! Rules of `metadata` that every kind shares: names, sizes, and what a client may not set. Pure.

use std::sync::LazyLock;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rand::Rng;
use regex::Regex;
use serde_json::{Map, Value};

use crate::object::{finalizers, is_deleting, meta_str, metadata_mut};
use crate::resource::{Flavor, Resource};
use crate::schema::metadata_type_error;
use crate::status::{ApiError, Cause};

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const ANNOTATIONS_LIMIT: usize = 256 * 1024;
const SUFFIX: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

static SUBDOMAIN: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(&format!("^{LABEL}(\\.{LABEL})*$")).ok());
static QUALIFIED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new("^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$").ok());

/// A cause with reason `FieldValueInvalid` in the usual words.
pub fn invalid(field: &str, value: impl std::fmt::Display, why: &str) -> Cause {
    Cause {
        reason: "FieldValueInvalid".into(),
        message: format!("Invalid value: {value}: {why}"),
        field: field.to_owned(),
    }
}

/// A cause with reason `FieldValueRequired`.
pub fn required(field: &str, why: &str) -> Cause {
    let message = if why.is_empty() {
        "Required value".to_owned()
    } else {
        format!("Required value: {why}")
    };
    Cause {
        reason: "FieldValueRequired".into(),
        message,
        field: field.to_owned(),
    }
}

/// A cause with reason `FieldValueForbidden`.
pub fn forbidden(field: &str, why: &str) -> Cause {
    Cause {
        reason: "FieldValueForbidden".into(),
        message: format!("Forbidden: {why}"),
        field: field.to_owned(),
    }
}

/// A body that cannot be read as an object of the kind.
pub fn cannot_handle(resource: &Resource, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{kind} in version \"{version}\" cannot be handled as a {kind}: {why}",
        kind = resource.kind,
        version = resource.version,
    ))
}

/// Why an object with another uid is not the one that is there.
pub fn other_uid(given: &str, stored: &str) -> String {
    format!("Precondition failed: UID in precondition: {given}, UID in object meta: {stored}")
}

/// Checks the shape of `metadata` and drops its nulls, which clients send for empty times.
pub fn decode(resource: &Resource, value: &mut Value) -> Result<(), ApiError> {
    let refuse = |why: &str| cannot_handle(resource, why);
    if let Some(problem) = metadata_type_error(value).filter(|_| resource.flavor == Flavor::Custom)
    {
        return Err(refuse(&problem));
    }
    let Value::Object(map) = value else {
        return Err(refuse("the body is not an object"));
    };
    match map.get_mut("metadata") {
        None | Some(Value::Null) => {
            map.insert("metadata".into(), Value::Object(Map::new()));
        }
        Some(Value::Object(metadata)) => metadata.retain(|_, value| !value.is_null()),
        Some(_) => return Err(refuse("metadata is not an object")),
    }
    let metadata = map.get("metadata").cloned().unwrap_or_default();
    serde_json::from_value::<ObjectMeta>(metadata)
        .map_err(|error| refuse(&format!("metadata: {error}")))?;
    Ok(())
}

/// Checks `apiVersion` and `kind`. Built-in kinds may leave them out.
pub fn check_type(resource: &Resource, value: &mut Value) -> Result<(), ApiError> {
    let Some(map) = value.as_object_mut() else {
        return Err(ApiError::bad_request("the body is not an object"));
    };
    let given = |map: &Map<String, Value>, field: &str| -> String {
        map.get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (given(map, "apiVersion"), given(map, "kind"));
    let expected = resource.api_version();
    if resource.flavor == Flavor::Custom && (kind.is_empty() || api_version.is_empty()) {
        let missing = if kind.is_empty() {
            "Kind"
        } else {
            "apiVersion"
        };
        return Err(ApiError::bad_request(format!(
            "Object '{missing}' is missing in the body; expected {expected} {}",
            resource.kind
        )));
    }
    if !api_version.is_empty() && api_version != expected {
        return Err(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != resource.kind {
        return Err(ApiError::bad_request(format!(
            "{kind} in version \"{version}\" cannot be handled as a {expected}: the kind in the data ({kind}) does not match the expected kind ({expected})",
            version = resource.version,
            expected = resource.kind,
        )));
    }
    map.insert("apiVersion".into(), expected.into());
    map.insert("kind".into(), resource.kind.clone().into());
    Ok(())
}

/// Checks name and namespace of the body against the URL and fills them in.
pub fn check_place(
    resource: &Resource,
    value: &mut Value,
    namespace: &str,
    name: Option<&str>,
) -> Result<(), ApiError> {
    let body_namespace = meta_str(value, "namespace").to_owned();
    if resource.namespaced {
        if !body_namespace.is_empty() && body_namespace != namespace {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        metadata_mut(value).insert("namespace".into(), namespace.into());
    } else if !body_namespace.is_empty() {
        return Err(ApiError::bad_request(
            "namespace is not allowed on this type",
        ));
    }
    if let Some(name) = name {
        let body_name = meta_str(value, "name").to_owned();
        if body_name.is_empty() {
            metadata_mut(value).insert("name".into(), name.into());
        } else if body_name != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({body_name}) does not match the name on the URL ({name})"
            )));
        }
    }
    Ok(())
}

/// The name to create under; from `generateName` if there is no name.
pub fn choose_name(value: &mut Value) -> bool {
    let prefix = meta_str(value, "generateName").to_owned();
    if !meta_str(value, "name").is_empty() || prefix.is_empty() {
        return false;
    }
    let mut rng = rand::rng();
    let mut name: String = prefix.chars().take(58).collect();
    for _ in 0..5 {
        let index = rng.random_range(0..SUFFIX.len());
        name.extend(SUFFIX.get(index).map(|byte| char::from(*byte)));
    }
    metadata_mut(value).insert("name".into(), name.into());
    true
}

/// Broken rules of `metadata`.
pub fn validate(resource: &Resource, value: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = meta_str(value, "name");
    if name.is_empty() {
        causes.push(required(
            "metadata.name",
            "name or generateName is required",
        ));
    } else {
        validate_name(resource, name, &mut causes);
    }
    let metadata = value.get("metadata");
    let strings = |field: &str| {
        metadata
            .and_then(|metadata| metadata.get(field))
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    for (key, label) in strings("labels") {
        check_key("metadata.labels", &key, &mut causes);
        let label = label.as_str().unwrap_or_default();
        if label.len() > 63 {
            causes.push(invalid(
                "metadata.labels",
                format_args!("{label:?}"),
                "must be no more than 63 bytes",
            ));
        } else if !label.is_empty() && !matches(&QUALIFIED, label) {
            causes.push(invalid(
                "metadata.labels",
                format_args!("{label:?}"),
                "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')",
            ));
        }
    }
    let mut size = 0;
    for (key, annotation) in strings("annotations") {
        check_key("metadata.annotations", &key, &mut causes);
        size += key.len() + annotation.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        causes.push(Cause {
            reason: "FieldValueTooLong".into(),
            message: format!("Too long: may not be more than {ANNOTATIONS_LIMIT} bytes"),
            field: "metadata.annotations".into(),
        });
    }
    for finalizer in finalizers(value) {
        check_key("metadata.finalizers", &finalizer, &mut causes);
    }
    check_owners(value, &mut causes);
    causes
}

/// Owners must be named in full, and at most one of them controls.
fn check_owners(value: &Value, causes: &mut Vec<Cause>) {
    let owners = value
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice);
    let text = |owner: &Value, key: &str| -> String {
        owner
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let mut controllers = Vec::new();
    for owner in owners {
        for (key, why) in [
            ("apiVersion", "version must not be empty"),
            ("kind", "must not be empty"),
            ("name", "must not be empty"),
            ("uid", "must not be empty"),
        ] {
            if text(owner, key).is_empty() {
                causes.push(invalid(
                    &format!("metadata.ownerReferences.{key}"),
                    "\"\"",
                    why,
                ));
            }
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            controllers.push(format!("{}/{}", text(owner, "kind"), text(owner, "name")));
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let shown = Value::from(owners.to_vec()).to_string();
        let why = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {second}"
        );
        causes.push(invalid("metadata.ownerReferences", shown, &why));
    }
}

fn matches(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

fn validate_name(resource: &Resource, name: &str, causes: &mut Vec<Cause>) {
    let quoted = format!("{name:?}");
    // Events are named after what they tell of, with a time behind; kube-apiserver takes any subdomain.
    let (limit, label) = match resource.flavor {
        Flavor::Namespace => (63, true),
        _ => (253, false),
    };
    if name.len() > limit {
        causes.push(invalid(
            "metadata.name",
            &quoted,
            &format!("must be no more than {limit} bytes"),
        ));
    }
    let fits = matches(&SUBDOMAIN, name) && !(label && name.contains('.'));
    if fits {
        return;
    }
    let why = if label && matches(&SUBDOMAIN, name) {
        "must not contain dots".to_owned()
    } else if label {
        format!(
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{LABEL}')"
        )
    } else {
        format!(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{LABEL}(\\.{LABEL})*')"
        )
    };
    causes.push(invalid("metadata.name", &quoted, &why));
}

fn check_key(field: &str, key: &str, causes: &mut Vec<Cause>) {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let bad_prefix = prefix
        .is_some_and(|prefix| prefix.len() > 253 || !matches(&SUBDOMAIN, &prefix.to_lowercase()));
    if bad_prefix || name.len() > 63 || !matches(&QUALIFIED, name) {
        causes.push(invalid(
            field,
            format_args!("{key:?}"),
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        ));
    }
}

/// Broken rules of a change of `metadata`.
pub fn validate_change(old: &Value, new: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    let (old_uid, new_uid) = (meta_str(old, "uid"), meta_str(new, "uid"));
    if !new_uid.is_empty() && new_uid != old_uid {
        causes.push(invalid(
            "metadata.uid",
            format_args!("{new_uid:?}"),
            "field is immutable",
        ));
    }
    if is_deleting(old) {
        let known = finalizers(old);
        let added: Vec<String> = finalizers(new)
            .into_iter()
            .filter(|finalizer| !known.contains(finalizer))
            .collect();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|name| format!("{name:?}")).collect();
            causes.push(forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    causes
}

/// Fields of `metadata` that only the server sets.
const SERVER_FIELDS: &[&str] = &[
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "generation",
    "resourceVersion",
];
/// Fields of `metadata` that are not kept at all.
const DROPPED_FIELDS: &[&str] = &["selfLink", "managedFields", "clusterName"];

/// Removes what a client may not set on a new object.
pub fn clear_for_create(value: &mut Value) {
    let metadata = metadata_mut(value);
    for field in SERVER_FIELDS.iter().chain(DROPPED_FIELDS) {
        metadata.remove(*field);
    }
    tidy(metadata);
}

/// Takes over what only the server sets from the stored object.
pub fn keep_from_old(old: &Value, new: &mut Value) {
    let old = old.get("metadata").and_then(Value::as_object);
    let metadata = metadata_mut(new);
    for field in SERVER_FIELDS {
        match old.and_then(|old| old.get(*field)) {
            Some(value) => {
                metadata.insert((*field).to_owned(), value.clone());
            }
            None => {
                metadata.remove(*field);
            }
        }
    }
    for field in DROPPED_FIELDS {
        metadata.remove(*field);
    }
    tidy(metadata);
}

/// Empty maps and lists are not kept: a client that clears a map means the same as one that never set it.
fn tidy(metadata: &mut Map<String, Value>) {
    metadata.retain(|_, value| match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(list) => !list.is_empty(),
        _ => true,
    });
}

/// The time as metadata writes it.
pub fn now() -> String {
    jiff::Timestamp::now()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}
