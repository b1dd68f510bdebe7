//! What differs between a rendered spec and the one that the engine holds. Whole specs are compared, so that fields that we
//! never render count when a hand sets them; what an engine fills in by itself is taken out first. Pure.

use std::collections::BTreeMap;

use milvus_core::observed::{Difference, DifferenceCause, Touches};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::api::wire::{Network, Service};
use crate::labels;
use crate::render::{NetworkObject, ServiceObject};

/// Characters of a hash that are kept: enough that two specs never meet by chance.
const HASH_LENGTH: usize = 16;

/// What a spec's ids stand for now.
#[derive(Clone, Debug, Default)]
pub struct References {
    /// Network names by id.
    pub networks: BTreeMap<String, String>,
    /// Config ids by name.
    pub configs: BTreeMap<String, String>,
    /// Secret ids by name.
    pub secrets: BTreeMap<String, String>,
}

/// How a service differs from its rendering.
pub fn service(
    rendered: &ServiceObject,
    observed: &Service,
    references: &References,
) -> Option<Difference> {
    let mut seen = observed.spec.clone();
    let broken = resolve(&mut seen, references);
    let mut fields = Vec::new();
    compare(
        &normalised(&rendered.spec.to_value()),
        &normalised(&seen),
        "",
        &mut fields,
    );
    let labels = observed.labels();
    if rendered
        .spec
        .labels
        .iter()
        .any(|(k, v)| k != labels::GENERATION && labels.get(k) != Some(v))
    {
        fields.push("Labels".to_owned());
    }
    for field in broken {
        if !fields.contains(&field) {
            fields.push(field);
        }
    }
    if fields.is_empty() {
        return None;
    }
    fields.sort();
    let reference = fields.iter().any(|f| {
        f.starts_with("TaskTemplate.Networks") && has_unknown_network(&seen)
            || f.ends_with(".ConfigID")
            || f.ends_with(".SecretID")
    });
    let cause = if reference {
        DifferenceCause::Reference
    } else if labels.get(labels::SPEC_HASH) == Some(&rendered.hash) {
        DifferenceCause::EditedByHand
    } else {
        DifferenceCause::Spec
    };
    Some(Difference {
        cause,
        touches: fields
            .iter()
            .map(|f| touches(f))
            .max()
            .unwrap_or(Touches::Nothing),
        in_place: false,
        fields,
    })
}

/// How a network differs from its rendering. It cannot be changed, only made again.
pub fn network(rendered: &NetworkObject, observed: &Network) -> Option<Difference> {
    let mut fields = Vec::new();
    if rendered.internal != observed.internal {
        fields.push("Internal".to_owned());
    }
    if observed.driver != "overlay" {
        fields.push("Driver".to_owned());
    }
    if rendered
        .options
        .iter()
        .any(|(k, v)| observed.options.get(k) != Some(v))
        || (!rendered.options.contains_key(crate::render::MTU)
            && observed.options.contains_key(crate::render::MTU))
    {
        fields.push("Options".to_owned());
    }
    // Before the Swarm has given it one, a network has no range.
    let ranges = &observed.ipam.config;
    if let Some(subnet) = &rendered.subnet
        && !ranges.is_empty()
        && !ranges.iter().any(|range| range.subnet == *subnet)
    {
        fields.push("IPAM.Config".to_owned());
    }
    (!fields.is_empty()).then_some(Difference {
        cause: DifferenceCause::Spec,
        fields,
        touches: Touches::Process,
        in_place: false,
    })
}

/// Whether a task was made from its service's present spec, as the engine's orchestrator judges it: a change of
/// placement alone does not count.
pub fn is_current(task: &Value, service: &Value) -> bool {
    let template = |spec: &Value| {
        let mut spec = pruned(spec).unwrap_or(Value::Null);
        if let Some(map) = spec.as_object_mut() {
            map.remove("Placement");
            remove_if(map, "Runtime", "container"); // told of services, not of tasks
        }
        spec
    };
    match service.get("TaskTemplate") {
        Some(wanted) => template(task) == template(wanted),
        None => false,
    }
}

/// Hash over what restarts processes: the task template without its placement, and the published ports.
pub fn revision(spec: &Value) -> String {
    let mut whole = normalised(spec);
    let mut relevant = Map::new();
    for key in ["TaskTemplate", "EndpointSpec"] {
        if let Some(part) = whole.get_mut(key) {
            relevant.insert(key.to_owned(), part.take());
        }
    }
    if let Some(template) = relevant
        .get_mut("TaskTemplate")
        .and_then(Value::as_object_mut)
    {
        template.remove("Placement");
    }
    hash(&Value::Object(relevant))
}

/// Short hash of a value, whatever the order of its keys.
pub fn hash(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    let mut hex = hex::encode(Sha256::digest(text));
    hex.truncate(HASH_LENGTH);
    hex
}

fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            out.push('{');
            for (key, value) in sorted {
                out.push_str(&Value::String(key.clone()).to_string());
                out.push(':');
                canonical(value, out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// A spec without what says nothing: empty values, the engine's fillings, ids beside names, the counter that forces a
/// restart. Labels are left out too: they are compared by key.
pub fn normalised(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(map) = spec.as_object_mut() {
        map.remove("Labels");
        map.remove("Networks"); // an older place of TaskTemplate.Networks
    }
    if let Some(template) = spec.get_mut("TaskTemplate").and_then(Value::as_object_mut) {
        template.remove("ForceUpdate");
        remove_if(template, "Runtime", "container");
        if let Some(container) = template
            .get_mut("ContainerSpec")
            .and_then(Value::as_object_mut)
        {
            remove_if(container, "Isolation", "default");
            for (list, id) in [("Configs", "ConfigID"), ("Secrets", "SecretID")] {
                for item in items_mut(container, list) {
                    item.remove(id);
                }
            }
        }
    }
    pruned(&spec).unwrap_or(Value::Null)
}

fn remove_if(map: &mut Map<String, Value>, key: &str, default: &str) {
    if map.get(key).and_then(Value::as_str) == Some(default) {
        map.remove(key);
    }
}

fn items_mut<'a>(
    map: &'a mut Map<String, Value>,
    key: &str,
) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    map.get_mut(key)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Without nulls, zeros, false and empty texts, lists and maps, in depth. Items of a list stay, whatever they hold.
fn pruned(value: &Value) -> Option<Value> {
    match value {
        Value::Null | Value::Bool(false) => None,
        Value::Bool(true) => Some(value.clone()),
        Value::Number(number) => {
            (number.as_f64() != Some(0.0)).then(|| Value::Number(number.clone()))
        }
        Value::String(text) => (!text.is_empty()).then(|| value.clone()),
        Value::Array(items) => (!items.is_empty()).then(|| {
            let keep = |item: &Value| pruned(item).unwrap_or(Value::Null);
            Value::Array(items.iter().map(keep).collect())
        }),
        Value::Object(map) => {
            let map: Map<String, Value> = map
                .iter()
                .filter_map(|(k, v)| Some((k.clone(), pruned(v)?)))
                .collect();
            (!map.is_empty()).then_some(Value::Object(map))
        }
    }
}

const GONE: &str = "<gone>";

/// Puts names where the engine holds network ids, and tells which references lead to an object that is not there any more.
fn resolve(spec: &mut Value, references: &References) -> Vec<String> {
    let mut broken = Vec::new();
    let Some(template) = spec.get_mut("TaskTemplate").and_then(Value::as_object_mut) else {
        return broken;
    };
    for network in items_mut(template, "Networks") {
        let id = network
            .get("Target")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let name = references.networks.get(id).map_or(GONE, String::as_str);
        network.insert("Target".to_owned(), Value::String(name.to_owned()));
    }
    let Some(container) = template
        .get_mut("ContainerSpec")
        .and_then(Value::as_object_mut)
    else {
        return broken;
    };
    for (list, id, name, known) in [
        ("Configs", "ConfigID", "ConfigName", &references.configs),
        ("Secrets", "SecretID", "SecretName", &references.secrets),
    ] {
        for item in items_mut(container, list) {
            let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
            if known.get(text(name)).is_some_and(|now| now != text(id)) {
                broken.push(format!("TaskTemplate.ContainerSpec.{list}.{id}"));
            }
        }
    }
    // Order says nothing about networks, but the engine would take a new order for a change.
    if let Some(networks) = template.get_mut("Networks").and_then(Value::as_array_mut) {
        networks.sort_by_key(|n| {
            n.get("Target")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        });
    }
    broken
}

fn has_unknown_network(resolved: &Value) -> bool {
    resolved
        .pointer("/TaskTemplate/Networks")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .any(|n| n.get("Target").and_then(Value::as_str) == Some(GONE))
}

/// Paths of the fields in which two normalised specs differ.
pub fn differences(wanted: &Value, seen: &Value) -> Vec<String> {
    let mut fields = Vec::new();
    compare(wanted, seen, "", &mut fields);
    fields
}

fn compare(wanted: &Value, seen: &Value, path: &str, fields: &mut Vec<String>) {
    match (wanted, seen) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let nothing = Value::Null;
                compare(
                    a.get(key).unwrap_or(&nothing),
                    b.get(key).unwrap_or(&nothing),
                    &path,
                    fields,
                );
            }
        }
        // Down to the field that says something, also where a whole branch is missing.
        (Value::Object(map), Value::Null) | (Value::Null, Value::Object(map)) => {
            compare(
                &Value::Object(map.clone()),
                &Value::Object(Map::new()),
                path,
                fields,
            );
        }
        (a, b) if a == b => {}
        _ => fields.push(path.to_owned()),
    }
}

/// What the engine does with tasks when a field of their service changes. Of placement alone it looks at each task's node.
fn touches(field: &str) -> Touches {
    if field.starts_with("TaskTemplate.Placement") {
        Touches::Placement
    } else if field.starts_with("TaskTemplate.Resources") {
        Touches::Resources
    } else if field.starts_with("TaskTemplate") || field.starts_with("EndpointSpec") {
        Touches::Process
    } else {
        Touches::Nothing
    }
}

#[cfg(test)]
mod tests;
