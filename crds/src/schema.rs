//! Small parts that the types share: attributes for serde, fragments of schema, and CEL rules that follow one pattern.

use kube::core::{Message, Reason, Rule};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

/// Whether a value is what an absent field stands for; such fields are left out of the output.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads an explicit `null` (a YAML key with nothing under it) like an absent field.
pub fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An object whose keys are not known here.
pub(crate) fn free_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// A list of objects whose keys are not known here.
pub(crate) fn free_objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "nullable": true,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
    })
}

/// Takes the default out of a field that may be absent on input but is always written.
pub(crate) fn without_default(schema: &mut Schema) {
    schema.remove("default");
}

/// A role's block, less the named fields: what a role cannot have is not in its schema.
fn role_without<T: JsonSchema>(generator: &mut SchemaGenerator, fields: &[&str]) -> Schema {
    let mut schema = T::json_schema(generator);
    if let Some(properties) = schema.get_mut("properties").and_then(|p| p.as_object_mut()) {
        for field in fields {
            properties.remove(*field);
        }
    }
    schema.insert("nullable".into(), true.into());
    schema
}

/// A role that is one process, or one and its standbys: nothing to scale by load, neither here nor by others, or to divide.
fn single<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = role_without::<T>(generator, &["autoscaling", "groups"]);
    number(&mut schema);
    schema
}

/// The number of processes is the resource's alone. Gives its schema.
fn number(schema: &mut Schema) -> Option<&mut serde_json::Map<String, serde_json::Value>> {
    let replicas = schema
        .pointer_mut("/properties/replicas")
        .and_then(|p| p.as_object_mut())?;
    replicas.insert("minimum".into(), 0.into());
    let description = "How many processes run this role. 0 stops the role. Default: 1";
    replicas.insert("description".into(), description.into());
    Some(replicas)
}

/// As [`single`], for a role that nobody connects to from outside.
pub(crate) fn single_role(generator: &mut SchemaGenerator) -> Schema {
    single::<crate::Component>(generator)
}

/// A role that scales by load, but has no reason to be divided.
pub(crate) fn ungrouped_role(generator: &mut SchemaGenerator) -> Schema {
    role_without::<crate::Component>(generator, &["groups"])
}

/// As [`single_role`], for a role with fields of its own.
pub(crate) fn single_serving_role(generator: &mut SchemaGenerator) -> Schema {
    single::<crate::ServingComponent>(generator)
}

/// The query node's block: `replicas` carries the one default that the API server writes, because the scale
/// subresource reads the field from the stored object. Of a scale no number can be negative.
pub(crate) fn query_node(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = role_without::<crate::Component>(generator, &[]);
    if let Some(replicas) = number(&mut schema) {
        replicas.insert("default".into(), 1.into());
    }
    schema
}

/// `true` when every step of a dotted path exists on `root`.
fn present(root: &str, path: &str) -> String {
    let mut at = root.to_owned();
    path.split('.')
        .map(|step| {
            at = format!("{at}.{step}");
            format!("has({at})")
        })
        .collect::<Vec<_>>()
        .join(" && ")
}

/// A rule about one field, judged where more than that field can be seen; the answer points at the field.
fn about(field: &str, rule: String, message: String, reason: Reason) -> Rule {
    Rule::new(rule)
        .message(Message::Message(message))
        .field_path(format!(".{field}"))
        .reason(reason)
}

/// The longest name of a resource: the stack, its services and volumes are named after it.
pub(crate) fn bounded_name() -> Rule {
    about(
        "metadata.name",
        "self.metadata.name.size() <= 50".to_owned(),
        "must be at most 50 characters long: names of services are made from it".to_owned(),
        Reason::FieldValueInvalid,
    )
}

/// A rule that forbids what `field` says where something else says otherwise.
pub(crate) fn forbids(field: &str, rule: &str, message: &str) -> Rule {
    about(
        field,
        rule.to_owned(),
        message.to_owned(),
        Reason::FieldValueForbidden,
    )
}

/// A field that can be neither set, changed nor removed after creation. The rule sits on the common parent (`spec`),
/// because a rule on the field itself is skipped whenever the field, or a block around it, is absent on one side.
pub(crate) fn immutable(path: &str) -> Rule {
    let (new, old) = (present("self", path), present("oldSelf", path));
    about(
        path,
        format!("({new}) == ({old}) && (!({new}) || self.{path} == oldSelf.{path})"),
        format!(
            "spec.{path} is immutable: it cannot be set, changed or removed after creation; make a new cluster for another value"
        ),
        Reason::FieldValueForbidden,
    )
}

/// What an external dependency cannot do without.
pub(crate) fn external_needs(field: &str, what: &str) -> Rule {
    about(
        field,
        format!(
            "!has(self.external) || !self.external || (has(self.{field}) && size(self.{field}) > 0)"
        ),
        format!("{field} is required when external is true: {what}"),
        Reason::FieldValueRequired,
    )
}
