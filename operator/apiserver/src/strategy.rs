//! What a write means: the checks and the server's own fields on create, update and delete. Pure but
//! for uid, random names and the time; runs under the writer's lock.

use serde_json::{Map, Value, json};

use crate::builtin;
use crate::check::{check, decode_builtin};
use crate::commit::Decision;
use crate::meta;
use crate::object::{
    Object, field, finalizers, is_deleting, meta_str, metadata_mut, object_mut, set_field,
    set_finalizers,
};
use crate::resource::{Flavor, Resource, Scale};
use crate::status::ApiError;

/// The finalizer of a foreground deletion.
pub const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of a deletion that leaves dependents behind.
pub const ORPHAN: &str = "orphan";

/// What to do about unknown and repeated fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FieldValidation {
    /// Drop them.
    Ignore,
    /// Drop them with a warning each.
    #[default]
    Warn,
    /// Refuse the request.
    Strict,
}

/// Options of a write.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// What to do about unknown fields.
    pub validation: FieldValidation,
}

/// Where the new state comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'a> {
    /// A whole object in the body.
    Whole,
    /// The current object with a patch applied; the patch is shown in errors.
    Patch(&'a str),
}

/// Which part of an object an update is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All but the status, if that is a subresource.
    Main,
    /// The status alone.
    Status,
}

/// Warnings for the answer's headers.
pub type Warnings = Vec<String>;

/// Drops unknown fields and says so as the client wishes.
fn strict(
    resource: &Resource,
    value: &mut Value,
    duplicates: &[String],
    options: WriteOptions,
    source: Source<'_>,
) -> Result<Warnings, ApiError> {
    let unknown = resource
        .schema()
        .map(|schema| schema.prune(value))
        .unwrap_or_default();
    let mut found: Warnings = duplicates
        .iter()
        .map(|path| format!("duplicate field \"{path}\""))
        .collect();
    found.extend(
        unknown
            .iter()
            .map(|path| format!("unknown field \"{path}\"")),
    );
    match options.validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(found),
        FieldValidation::Strict if found.is_empty() => Ok(found),
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", found.join(", "));
            Err(match source {
                Source::Whole => meta::cannot_handle(resource, &why),
                Source::Patch(patch) => {
                    let cause = meta::invalid("patch", format_args!("{patch:?}"), &why);
                    ApiError::invalid("", "", "", vec![cause])
                }
            })
        }
    }
}

/// A new object in the stored form, ready but for its version.
pub fn create(
    resource: &Resource,
    mut value: Value,
    duplicates: &[String],
    namespace: &str,
    options: WriteOptions,
) -> Result<(Value, Warnings), ApiError> {
    meta::check_type(resource, &mut value)?;
    meta::decode(resource, &mut value)?;
    decode_builtin(resource, &value)?;
    meta::check_place(resource, &mut value, namespace, None)?;
    if !meta_str(&value, "resourceVersion").is_empty() {
        return Err(ApiError::bad_request(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    let warnings = strict(resource, &mut value, duplicates, options, Source::Whole)?;
    meta::clear_for_create(&mut value);
    meta::choose_name(&mut value);
    if resource.flavor == Flavor::Custom && resource.status {
        object_mut(&mut value).remove("status");
    }
    if let Some(schema) = resource.schema() {
        schema.default(&mut value);
    }
    builtin::complete(resource, &mut value, None);
    let mut causes = check(resource, &value, None);
    // Fields made here follow the checks, as no rule of a schema can be about them.
    let metadata = metadata_mut(&mut value);
    metadata.insert("uid".into(), uuid::Uuid::new_v4().to_string().into());
    metadata.insert("creationTimestamp".into(), meta::now().into());
    if resource.flavor == Flavor::Custom {
        metadata.insert("generation".into(), 1.into());
    }
    builtin::from_view(resource, &mut value);
    causes.extend(builtin::validate(resource, &value, None));
    if !causes.is_empty() {
        let name = meta_str(&value, "name");
        return Err(ApiError::invalid_object(resource, name, causes).warned(warnings));
    }
    Ok((value, warnings))
}

/// Decides an update. `new` is in the kind's own view.
pub fn update(
    resource: &Resource,
    old: &Object,
    mut new: Value,
    duplicates: &[String],
    part: Part,
    options: WriteOptions,
    source: Source<'_>,
) -> Result<(Decision, Warnings), ApiError> {
    let name = &old.name.name;
    let old_value = old.value();
    let old_view = builtin::to_view(resource, old_value.clone());
    meta::check_type(resource, &mut new)?;
    meta::decode(resource, &mut new)?;
    decode_builtin(resource, &new)?;
    meta::check_place(resource, &mut new, &old.name.namespace, Some(name))?;
    let version = meta_str(&new, "resourceVersion");
    if version.is_empty() {
        if resource.flavor == Flavor::Custom && source == Source::Whole {
            let cause = meta::invalid(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            );
            // Told by the store, which knows resources by their plural.
            return Err(ApiError::invalid(
                &resource.group,
                &resource.plural,
                name,
                vec![cause],
            ));
        }
    } else if version.parse() != Ok(old.version) {
        return Err(ApiError::modified(resource, name));
    }
    let given_uid = meta_str(&new, "uid");
    if source == Source::Whole && !given_uid.is_empty() && given_uid != old.uid {
        return Err(ApiError::conflict(
            resource,
            name,
            &meta::other_uid(given_uid, &old.uid),
        ));
    }
    let warnings = strict(resource, &mut new, duplicates, options, source)?;
    let split_status = resource.flavor == Flavor::Custom && resource.status;
    match part {
        Part::Main if split_status => copy_field(&old_view, &mut new, "status"),
        Part::Main => {}
        Part::Status => {
            let given = new;
            new = old_view.clone();
            copy_field(&given, &mut new, "status");
            if resource.flavor == Flavor::Custom {
                // The uid still names which object is meant.
                let uid = meta_str(&given, "uid");
                if !uid.is_empty() {
                    metadata_mut(&mut new).insert("uid".into(), uid.into());
                }
            }
        }
    }
    if let Some(schema) = resource.schema() {
        schema.default(&mut new);
    }
    if part == Part::Main {
        builtin::complete(resource, &mut new, Some(&old_view));
    }
    let mut causes = check(resource, &new, Some(&old_view));
    meta::keep_from_old(&old_view, &mut new);
    builtin::from_view(resource, &mut new);
    causes.extend(builtin::validate(resource, &new, Some(&old_value)));
    if !causes.is_empty() {
        return Err(ApiError::invalid_object(resource, name, causes).warned(warnings));
    }
    if resource.flavor == Flavor::Custom && spec_changed(resource, &old_value, &new) {
        raise_generation(&mut new);
    }
    Ok((settle(&old_value, new, options), warnings))
}

/// Put, remove or keep, by what an update made of an object.
fn settle(old: &Value, new: Value, options: WriteOptions) -> Decision {
    let done = is_deleting(&new) && finalizers(&new).is_empty() && namespace_is_empty(&new);
    if new == *old && !done {
        Decision::Keep
    } else if options.dry_run {
        Decision::Pretend(new)
    } else if done {
        Decision::Remove(new)
    } else {
        Decision::Put(new)
    }
}

/// Whether no finalizer in `spec` holds a namespace back. Other kinds have none there.
fn namespace_is_empty(value: &Value) -> bool {
    value.get("kind").and_then(Value::as_str) != Some("Namespace")
        || value
            .pointer("/spec/finalizers")
            .and_then(Value::as_array)
            .is_none_or(Vec::is_empty)
}

fn copy_field(from: &Value, to: &mut Value, name: &str) {
    let map = object_mut(to);
    match from.get(name) {
        Some(value) => {
            map.insert(name.to_owned(), value.clone());
        }
        None => {
            map.remove(name);
        }
    }
}

fn spec_changed(resource: &Resource, old: &Value, new: &Value) -> bool {
    let rest = |value: &Value| -> Map<String, Value> {
        value
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| *key != "metadata" && !(resource.status && *key == "status"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    rest(old) != rest(new)
}

fn raise_generation(value: &mut Value) {
    let metadata = metadata_mut(value);
    if let Some(generation) = metadata.get("generation").and_then(Value::as_i64) {
        metadata.insert("generation".into(), (generation + 1).into());
    }
}

/// What happens to dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Propagation {
    /// They are deleted later.
    #[default]
    Background,
    /// They are deleted first.
    Foreground,
    /// They stay.
    Orphan,
}

/// Options of a deletion.
#[derive(Debug, Clone, Default)]
pub struct DeleteOptions {
    /// Do everything but store.
    pub dry_run: bool,
    /// What happens to dependents; unsaid means background.
    pub propagation: Option<Propagation>,
    /// The uid that the object must have.
    pub uid: Option<String>,
    /// The version that the object must have.
    pub version: Option<String>,
}

/// Decides a deletion. The flag says whether the object is gone with it.
pub fn delete(
    resource: &Resource,
    current: &Object,
    options: &DeleteOptions,
) -> Result<(Decision, bool), ApiError> {
    let name = &current.name.name;
    builtin::check_deletion(resource, name)?;
    if let Some(uid) = options.uid.as_ref().filter(|uid| **uid != current.uid) {
        let why = format!(
            "the UID in the precondition ({uid}) does not match the UID in record ({}). The object might have been deleted and then recreated",
            current.uid
        );
        return Err(ApiError::conflict_of_kind(resource, name, &why));
    }
    let now = current.version.to_string();
    if let Some(version) = options.version.as_ref().filter(|version| **version != now) {
        let why = format!(
            "the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record ({now}). The object might have been modified"
        );
        return Err(ApiError::conflict_of_kind(resource, name, &why));
    }
    let old = current.value();
    let mut new = old.clone();
    let mut held = finalizers(&old);
    if let Some(propagation) = options.propagation {
        held.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match propagation {
            Propagation::Background => {}
            Propagation::Foreground => held.push(FOREGROUND.to_owned()),
            Propagation::Orphan => held.push(ORPHAN.to_owned()),
        }
        set_finalizers(&mut new, &held);
    }
    if held.is_empty() && namespace_is_empty(&new) {
        let decision = if options.dry_run {
            Decision::Pretend(new)
        } else {
            Decision::Remove(new)
        };
        return Ok((decision, true));
    }
    if !is_deleting(&new) {
        let metadata = metadata_mut(&mut new);
        metadata.insert("deletionTimestamp".into(), meta::now().into());
        metadata.insert("deletionGracePeriodSeconds".into(), 0.into());
        raise_generation(&mut new);
        if resource.flavor == Flavor::Namespace {
            set_field(
                &mut new,
                &["status".into(), "phase".into()],
                "Terminating".into(),
            );
        }
    }
    let decision = if new == old {
        Decision::Keep
    } else if options.dry_run {
        Decision::Pretend(new)
    } else {
        Decision::Put(new)
    };
    Ok((decision, false))
}

/// The `autoscaling/v1 Scale` of an object.
pub fn to_scale(scale: &Scale, value: &Value) -> Value {
    let replicas = |path| field(value, path).and_then(Value::as_i64).unwrap_or(0);
    let mut metadata = Map::new();
    for key in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(found) = value.pointer(&format!("/metadata/{key}")) {
            metadata.insert(key.to_owned(), found.clone());
        }
    }
    let mut status = json!({"replicas": replicas(&scale.status)});
    if let Some(selector) = scale
        .selector
        .as_ref()
        .and_then(|path| field(value, path))
        .and_then(Value::as_str)
    {
        object_mut(&mut status).insert("selector".into(), selector.into());
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": replicas(&scale.spec)},
        "status": status,
    })
}

/// An object with the replicas of a Scale, and the Scale's version and uid to be checked.
pub fn from_scale(
    resource: &Resource,
    scale: &Scale,
    current: &Value,
    wanted: &Value,
) -> Result<Value, ApiError> {
    let name = meta_str(current, "name");
    let replicas = wanted.pointer("/spec/replicas");
    let replicas = match replicas {
        None | Some(Value::Null) => 0,
        Some(value) => value.as_i64().ok_or_else(|| {
            ApiError::bad_request(format!(
                "Scale in version \"v1\" cannot be handled as a Scale: spec.replicas: {value} is not a number"
            ))
        })?,
    };
    let given = meta_str(wanted, "name");
    if !given.is_empty() && given != name {
        return Err(ApiError::bad_request(format!(
            "the name of the object ({given}) does not match the name on the URL ({name})"
        )));
    }
    let mut new = builtin::to_view(resource, current.clone());
    set_field(&mut new, &scale.spec, replicas.into());
    let metadata = metadata_mut(&mut new);
    for key in ["resourceVersion", "uid"] {
        match wanted.pointer(&format!("/metadata/{key}")) {
            Some(Value::String(text)) if !text.is_empty() => {
                metadata.insert(key.to_owned(), text.as_str().into());
            }
            // A Scale without a version is written whatever the version is.
            _ => {}
        }
    }
    Ok(new)
}
