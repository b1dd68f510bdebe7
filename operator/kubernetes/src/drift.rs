//! How an object in the API differs from its rendering. Only fields that are rendered are looked at: what others set beside
//! them is theirs. Pure.

use milvus_core::observed::{Difference, DifferenceCause, Touches};
use milvus_core::outline::ObjectOutline;
use milvus_crds::Quantity;
use serde_json::{Map, Value, json};

use crate::cache::Object;
use crate::render::Native;

/// Where what is said about an object is, whatever its kind.
const METADATA: &str = "metadata.";
/// Where processes are described in a workload: a change below restarts them.
const TEMPLATE: &str = "spec.template";
/// Our own bookkeeping in paths.
const HASHES: &str = "[operator.milvus.io/";
/// Differences that are named; the rest is counted.
const NAMED: usize = 12;

/// How an object differs; `None` when it stands as rendered.
pub(crate) fn difference(
    native: &Native,
    outline: &ObjectOutline,
    object: &Object,
) -> Option<Difference> {
    let mut fields = fields(native, object);
    let applied = object.applied.as_deref() == Some(native.hash.as_str());
    if applied && fields.is_empty() {
        return None;
    }
    let other_revision = object
        .revision
        .as_deref()
        .is_some_and(|revision| revision != outline.revision.0);
    let touches = touches(&fields, other_revision, native, object);
    let cause = if applied || object.applied.is_none() {
        DifferenceCause::EditedByHand
    } else {
        DifferenceCause::Spec
    };
    let in_place = fields.iter().all(|field| field.starts_with(METADATA));
    // The hashes change with everything and say nothing to people, unless they alone were edited.
    let hash = |field: &String| field.contains(HASHES);
    if cause == DifferenceCause::Spec || !fields.iter().all(hash) {
        fields.retain(|field| !hash(field));
    }
    if fields.is_empty() {
        fields.push("a field that is not set any more".to_owned());
    }
    shorten(&mut fields);
    Some(Difference {
        cause,
        fields,
        touches,
        in_place,
    })
}

/// What the platform does with pods: another template replaces all of them, wherever they are. Where only what they may use
/// differs, and nothing is set in their containers that is not rendered any more, the same program runs afterwards.
fn touches(fields: &[String], other_revision: bool, native: &Native, object: &Object) -> Touches {
    let mut template = fields.iter().filter(|field| field.starts_with(TEMPLATE));
    let first = template.next();
    if first.is_none() && !other_revision {
        return Touches::Nothing;
    }
    let used = |field: &String| field.contains("].resources");
    let live: Value = serde_json::from_slice(&object.body).unwrap_or_default();
    if first.is_some_and(used) && template.all(used) && same_program(&native.object, &live) {
        Touches::Resources
    } else {
        Touches::Process
    }
}

/// Whether the containers that are rendered have no more settings in the API than they are rendered with.
fn same_program(wanted: &Value, live: &Value) -> bool {
    let containers = |value: &Value| {
        let list = value.pointer("/spec/template/spec/containers");
        list.and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let live = containers(live);
    containers(wanted).iter().all(|container| {
        let name = container.get("name");
        let Some(found) = live.iter().find(|l| l.get("name") == name) else {
            return false;
        };
        let length = |value: &Value, key: &str| {
            let list = value.get(key).and_then(Value::as_array);
            list.map_or(0, Vec::len)
        };
        ["command", "args", "env", "envFrom", "volumeMounts", "ports"]
            .iter()
            .all(|key| length(container, key) == length(found, key))
    })
}

/// The fields in which an object does not stand as rendered, by their paths, whoever changed them.
pub(crate) fn fields(native: &Native, object: &Object) -> Vec<String> {
    let live: Value = serde_json::from_slice(&object.body).unwrap_or_default();
    let mut fields = Vec::new();
    compare(&native.object, &live, "", &mut fields);
    fields
}

/// Cuts a list of fields to what people read.
pub(crate) fn shorten(fields: &mut Vec<String>) {
    if fields.len() > NAMED {
        let more = fields.len() - NAMED;
        fields.truncate(NAMED);
        fields.push(format!("{more} more"));
    }
}

/// A JSON patch that turns elements of lists back into ours which somebody gave another key and left our name: the list is
/// merged by key, so ours would be put beside them, and a name can be there only once. `None` when there are none.
pub(crate) fn make_room(native: &Native, object: &Object) -> Option<Value> {
    let live: Value = serde_json::from_slice(&object.body).unwrap_or_default();
    let mut turned = Vec::new();
    clashes(&native.object, &live, "", "", &mut turned);
    if turned.is_empty() {
        return None;
    }
    let mut patch = Vec::new();
    if let Some(version) = object.version {
        // Their places in the lists are those of this version.
        patch.push(
            json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version.to_string()}),
        );
    }
    let replace = |(path, value)| json!({"op": "replace", "path": path, "value": value});
    patch.extend(turned.into_iter().map(replace));
    Some(Value::Array(patch))
}

/// Adds the place (as a JSON pointer) and the new content of every element that has one of our names under another key.
fn clashes(
    wanted: &Value,
    live: &Value,
    path: &str,
    pointer: &str,
    turned: &mut Vec<(String, Value)>,
) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, value) in wanted {
                if let Some(live) = live.get(key) {
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    let pointer = format!("{pointer}/{escaped}");
                    clashes(value, live, &join(path, key), &pointer, turned);
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) => {
            let keys = merge_keys(path);
            for element in wanted {
                let found = keys.and_then(|keys| live.iter().position(|l| same(keys, element, l)));
                if let Some(at) = found {
                    let name = element.get("name").map_or_else(String::new, word);
                    let (path, pointer) = (format!("{path}[{name}]"), format!("{pointer}/{at}"));
                    clashes(element, &live[at], &path, &pointer, turned);
                    continue;
                }
                let named = |l: &Value| {
                    element
                        .get("name")
                        .is_some_and(|n| Some(n) == l.get("name"))
                };
                if keys.is_some()
                    && let Some(at) = live.iter().position(named)
                    && let (Value::Object(ours), Value::Object(theirs)) = (element, &live[at])
                {
                    // What they have beyond ours (the port on nodes) stays.
                    let mut merged = theirs.clone();
                    merged.extend(ours.clone());
                    turned.push((format!("{pointer}/{at}"), Value::Object(merged)));
                }
            }
        }
        _ => {}
    }
}

/// Adds the path of everything in `wanted` that is not in `live`.
fn compare(wanted: &Value, live: &Value, path: &str, fields: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => objects(wanted, live, path, fields),
        (Value::Array(wanted), Value::Array(live)) => lists(wanted, live, path, fields),
        (wanted, Value::Null) if is_empty(wanted) => {}
        (wanted, live) => {
            if wanted != live && !same_amount(wanted, live) {
                fields.push(path.to_owned());
            }
        }
    }
}

fn objects(
    wanted: &Map<String, Value>,
    live: &Map<String, Value>,
    path: &str,
    fields: &mut Vec<String>,
) {
    for (key, value) in wanted {
        let path = join(path, key);
        compare(value, live.get(key).unwrap_or(&Value::Null), &path, fields);
    }
}

/// Lists whose elements the API merges by a key are compared element by element, all others as a whole.
fn lists(wanted: &[Value], live: &[Value], path: &str, fields: &mut Vec<String>) {
    let Some(keys) = merge_keys(path) else {
        if wanted.len() != live.len() {
            fields.push(path.to_owned());
            return;
        }
        for (index, (wanted, live)) in wanted.iter().zip(live).enumerate() {
            compare(wanted, live, &format!("{path}[{index}]"), fields);
        }
        return;
    };
    for element in wanted {
        let name = element.get(keys[0]).map_or_else(String::new, word);
        let path = format!("{path}[{name}]");
        match live.iter().find(|candidate| same(keys, element, candidate)) {
            Some(found) => compare(element, found, &path, fields),
            None => fields.push(path),
        }
    }
}

/// Whether two elements have the same key.
fn same(keys: &[&str], a: &Value, b: &Value) -> bool {
    keys.iter().all(|key| {
        let of = |value: &Value| value.get(key).cloned().or_else(|| default_of(key));
        of(a) == of(b)
    })
}

/// The keys by which the API merges the elements of a list (`x-kubernetes-list-map-keys` of its schemas).
fn merge_keys(path: &str) -> Option<&'static [&'static str]> {
    let last = path.rsplit('.').next().unwrap_or(path);
    Some(match last {
        "containers" | "initContainers" | "volumes" | "env" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ownerReferences" => &["uid"],
        "ports" if path.ends_with("spec.ports") => &["port", "protocol"],
        "ports" => &["containerPort", "protocol"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return None,
    })
}

/// What the API takes for a merge key that is left out.
fn default_of(key: &str) -> Option<Value> {
    (key == "protocol").then(|| Value::from("TCP"))
}

fn word(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// Keys with dots (labels, annotations) are put in brackets, as people write them.
fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else if key.contains('.') {
        format!("{path}[{key}]")
    } else {
        format!("{path}.{key}")
    }
}

/// An empty block says as much as none.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

/// `1000m` and `1` are one amount, however it is written.
fn same_amount(wanted: &Value, live: &Value) -> bool {
    let amount = |value: &Value| {
        let quantity: Quantity = serde_json::from_value(value.clone()).ok()?;
        Some((quantity.milli_cpus().ok()?, quantity.bytes().ok()))
    };
    match (amount(wanted), amount(live)) {
        (Some(wanted), Some(live)) => wanted == live,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(wanted: Value, live: Value) -> Vec<String> {
        let mut fields = Vec::new();
        compare(&wanted, &live, "", &mut fields);
        fields
    }

    #[test]
    fn what_others_add_is_theirs() {
        let wanted = json!({"spec": {"template": {"spec": {"containers": [{"name": "proxy", "image": "a",
            "env": [{"name": "TZ", "value": "UTC"}]}]}}}});
        let live = json!({"spec": {"replicas": 7, "template": {"metadata": {"annotations": {"injected": "yes"}}, "spec": {
            "containers": [
                {"name": "sidecar", "image": "mesh"},
                {"name": "proxy", "image": "a", "imagePullPolicy": "IfNotPresent",
                 "env": [{"name": "EXTRA", "value": "1"}, {"name": "TZ", "value": "UTC"}]}]}}}});
        assert_eq!(fields(wanted, live), Vec::<String>::new());
    }

    #[test]
    fn what_is_ours_is_named() {
        let wanted = json!({"metadata": {"labels": {"app.kubernetes.io/name": "milvus"}}, "spec": {"replicas": 2, "template": {"spec": {
            "containers": [{"name": "proxy", "args": ["a", "b"], "env": [{"name": "TZ", "value": "UTC"}],
                "ports": [{"name": "milvus", "containerPort": 19530}]}]}}}});
        let live = json!({"metadata": {"labels": {}}, "spec": {"replicas": 3, "template": {"spec": {
            "containers": [{"name": "proxy", "args": ["a"], "env": [{"name": "TZ", "value": "CET"}],
                "ports": [{"name": "milvus", "containerPort": 19530, "protocol": "TCP"}]}]}}}});
        assert_eq!(
            fields(wanted, live),
            [
                "metadata.labels[app.kubernetes.io/name]",
                "spec.replicas",
                "spec.template.spec.containers[proxy].args",
                "spec.template.spec.containers[proxy].env[TZ].value",
            ]
        );
    }

    #[test]
    fn the_same_program_is_told_from_another() {
        let template =
            |container: Value| json!({"spec": {"template": {"spec": {"containers": [container]}}}});
        let wanted = template(json!({"name": "minio", "args": ["server"],
            "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "1"}}}));
        let smaller = template(json!({"name": "minio", "args": ["server"],
            "env": [{"name": "A", "value": "1"}], "resources": {"limits": {"cpu": "2"}}}));
        assert!(same_program(&wanted, &smaller));
        let more = template(json!({"name": "minio", "args": ["server"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}));
        assert!(
            !same_program(&wanted, &more),
            "a variable that is not rendered any more"
        );
    }

    #[test]
    fn an_element_with_our_name_and_another_key_is_turned_back() {
        let turned = |wanted: Value, live: Value| {
            let mut turned = Vec::new();
            clashes(&wanted, &live, "", "", &mut turned);
            turned
        };
        let service = |ports: Value| json!({"spec": {"ports": ports}});
        let ours =
            service(json!([{"name": "milvus", "port": 19530}, {"name": "metrics", "port": 9091}]));
        let live = service(json!([
            {"name": "metrics", "port": 9091, "protocol": "TCP"},
            {"name": "milvus", "port": 1, "protocol": "TCP", "nodePort": 30001}]));
        assert_eq!(
            turned(ours.clone(), live),
            [(
                "/spec/ports/1".to_owned(),
                json!({"name": "milvus", "port": 19530, "protocol": "TCP", "nodePort": 30001})
            )]
        );
        // One that somebody added is theirs.
        let live = service(json!([
            {"name": "milvus", "port": 19530, "protocol": "TCP"}, {"name": "more", "port": 7},
            {"name": "metrics", "port": 9091}]));
        assert_eq!(turned(ours, live), []);
        // In a container, behind an injected one.
        let pod =
            |containers: Value| json!({"spec": {"template": {"spec": {"containers": containers}}}});
        let ours =
            pod(json!([{"name": "proxy", "ports": [{"name": "milvus", "containerPort": 19530}]}]));
        let live = pod(json!([
            {"name": "mesh", "ports": [{"name": "milvus", "containerPort": 2}]},
            {"name": "proxy", "ports": [{"name": "milvus", "containerPort": 1, "protocol": "TCP"}]}]));
        let place = "/spec/template/spec/containers/1/ports/0".to_owned();
        let port = json!({"name": "milvus", "containerPort": 19530, "protocol": "TCP"});
        assert_eq!(turned(ours, live), [(place, port)]);
    }

    #[test]
    fn amounts_are_compared_as_amounts() {
        let resources = |cpu: &str, memory: &str| json!({"limits": {"cpu": cpu, "memory": memory}});
        assert_eq!(
            fields(resources("1000m", "2048Mi"), resources("1", "2Gi")),
            Vec::<String>::new()
        );
        assert_eq!(
            fields(resources("1000m", "2Gi"), resources("2", "2Gi")),
            ["limits.cpu"]
        );
    }

    #[test]
    fn empty_blocks_say_nothing() {
        let wanted = json!({"volumes": [{"name": "cache", "emptyDir": {}}], "podSelector": {}});
        let live = json!({"volumes": [{"name": "cache", "emptyDir": {}}]});
        assert_eq!(fields(wanted, live), Vec::<String>::new());
    }
}
