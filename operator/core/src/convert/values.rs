//! `inCluster.values`: the Helm values that people set most have typed fields here; the others are left out by name, and
//! those without which the result would be another store refuse the document. Parts that several charts share. Pure.

pub(super) mod etcd;
pub(super) mod kafka;
pub(super) mod minio;
pub(super) mod pulsar;

use serde_json::{Map, Value, json};

use super::draft::Draft;
use super::input::{Block, Given, blank};
use super::pod::PodFields;

/// What is said of a value that has no field here.
const UNKNOWN: &str =
    "a value of the chart that this operator does not have; nothing takes its place";

/// Environment variables in the form of the Kubernetes API.
pub(super) fn env(given: Given<Value>, draft: &mut Draft) -> Vec<Value> {
    let mut variables = Vec::new();
    for item in given.list(draft) {
        let Some(mut item) = item.block(draft) else {
            continue;
        };
        let Some(name) = item.text("name", draft) else {
            draft.refuse(
                item.path.clone(),
                "a variable has a name; write it, or remove the entry",
            );
            continue;
        };
        let mut variable = json!({"name": name.read(draft)});
        if let Some(value) = item.take("value") {
            let path = value.path.clone();
            match value.value {
                Value::String(text) if text.contains("$(") => draft.refuse(
                    path,
                    "Kubernetes puts another variable's value in the place of $(NAME); write the value out",
                ),
                Value::String(text) => {
                    draft.used(&path);
                    variable["value"] = text.into();
                }
                _ => draft.refuse(path, "must be a text; put it into quotation marks"),
            }
        }
        if let Some(mut from) = item.take("valueFrom").and_then(|g| g.block(draft)) {
            if let Some(key) = secret_key(&mut from, draft) {
                variable["valueFrom"] = json!({"secretKeyRef": key});
            }
            for given in from.rest() {
                given.refuse(
                    draft,
                    "a variable is a text or a key of a Secret (secretKeyRef) here; write it out, or put it into a Secret",
                );
            }
        }
        item.unknown(draft);
        variables.push(variable);
    }
    variables
}

fn secret_key(from: &mut Block, draft: &mut Draft) -> Option<Value> {
    let mut reference = from.take("secretKeyRef")?.block(draft)?;
    let name = reference.text("name", draft);
    let key = reference.text("key", draft);
    reference.refuse_if_on(
        "optional",
        "a Secret that is named must be there; remove it",
        draft,
    );
    let path = reference.path.clone();
    reference.unknown(draft);
    match (name, key) {
        (Some(name), Some(key)) => Some(json!({"name": name.read(draft), "key": key.read(draft)})),
        _ => {
            draft.refuse(path, "name and key are required; write both");
            None
        }
    }
}

/// Requests and limits: CPU and memory.
pub(super) fn resources(mut block: Block, draft: &mut Draft) -> Value {
    let mut resources = json!({});
    for side in ["requests", "limits"] {
        let mut amounts = block.block(side, draft);
        for name in ["cpu", "memory"] {
            let Some(amount) = amounts.take(name) else {
                continue;
            };
            if amount.value.is_string() || amount.value.is_number() {
                let value = amount.read(draft);
                resources[side][name] = value;
            } else {
                amount.refuse(draft, "must be a quantity such as 500m or 2Gi; correct it");
            }
        }
        amounts.leave(
            "ephemeral-storage",
            "local disk is not counted here; see that the nodes have room",
            draft,
        );
        for given in amounts.rest() {
            given.refuse(
                draft,
                "resources are CPU and memory here; a process that needs this one cannot be placed",
            );
        }
    }
    block.refuse_if_set("claims", "resources are CPU and memory here", draft);
    block.unknown(draft);
    resources
}

/// `resources` of a chart.
fn chart_resources(values: &mut Block, target: &str, draft: &mut Draft) {
    let Some(given) = values.take("resources") else {
        return;
    };
    let path = given.path.clone();
    if let Some(block) = given.block(draft) {
        let value = resources(block, draft);
        if !blank(&value) {
            draft.set(&format!("{target}.resources"), value, &path);
        }
    }
}

/// `nodeSelector` of a chart.
fn node_selector(values: &mut Block, target: &str, draft: &mut Draft) {
    if let Some(selector) = values.texts("nodeSelector", draft) {
        selector.carry(draft, &format!("{target}.nodeSelector"));
    }
}

/// A number of processes.
fn count(values: &mut Block, key: &str, target: &str, draft: &mut Draft) {
    if let Some(count) = values.number(key, draft) {
        count.carry(draft, &format!("{target}.{key}"));
    }
}

/// `image` of a chart, in parts: registry, repository, tag, digest.
fn image(values: &mut Block, target: &str, draft: &mut Draft) {
    let mut block = values.block("image", draft);
    let at = |field: &str| format!("{target}.image.{field}");
    let registry = block.text("registry", draft);
    let repository = block.text("repository", draft);
    match (registry, repository) {
        (Some(registry), repository) if registry.value == "docker.io" => {
            registry.same(draft);
            if let Some(repository) = repository {
                repository.carry(draft, &at("repository"));
            }
        }
        (Some(registry), Some(repository)) => {
            let whole = format!("{}/{}", registry.value, repository.value);
            draft.set(&at("repository"), whole.into(), &repository.path);
            registry.same(draft);
            repository.same(draft);
        }
        (Some(registry), None) => registry.refuse(
            draft,
            "write the repository as well: both become one name here",
        ),
        (None, Some(repository)) => repository.carry(draft, &at("repository")),
        (None, None) => {}
    }
    let tag = block.scalar("tag", draft);
    match (block.text("digest", draft), tag) {
        (Some(digest), tag) => {
            if let Some(tag) = tag {
                tag.left(draft, "image.digest wins, there as here");
            }
            digest.carry(draft, &at("tag"));
        }
        (None, Some(tag)) => tag.carry(draft, &at("tag")),
        (None, None) => {}
    }
    let policies = ["Always", "IfNotPresent", "Never"];
    if let Some(policy) = block.choice("pullPolicy", &policies, draft) {
        policy.carry(draft, &at("pullPolicy"));
    }
    block.refuse_if_set(
        "pullSecrets",
        "images of dependencies are pulled without a Secret; log in on the nodes, or name a registry that asks for none",
        draft,
    );
    block.leave_rest(draft, UNKNOWN);
}

/// `persistence` of a chart. `default` is the size that the chart has and this operator has not.
fn persistence(
    values: &mut Block,
    target: &str,
    class: Option<Given<String>>,
    default: Option<&str>,
    draft: &mut Draft,
) {
    let mut block = values.block("persistence", draft);
    let at = |field: &str| format!("{target}.persistence.{field}");
    let enabled = block.flag("enabled", draft);
    let kept = enabled.as_ref().is_none_or(|enabled| enabled.value);
    if let Some(enabled) = enabled {
        if enabled.value {
            enabled.same(draft);
        } else {
            enabled.carry(draft, &at("enabled"));
        }
    }
    size(
        &mut block,
        "size",
        &at("size"),
        default.filter(|_| kept),
        draft,
    );
    let own = block.text("storageClass", draft);
    storage_class(own, class, &at("storageClass"), draft);
    block.refuse_if_set(
        "existingClaim",
        "this operator makes the volume of each member itself and never takes one that is not its own; move the data",
        draft,
    );
    access_modes(&mut block, draft);
    block.leave_rest(draft, UNKNOWN);
}

/// The size of a volume; the chart's default is written out where it is another one than here.
fn size(block: &mut Block, key: &str, target: &str, default: Option<&str>, draft: &mut Draft) {
    match (block.scalar(key, draft), default) {
        (Some(size), _) => size.carry(draft, target),
        (None, Some(default)) => written_out(&block.at(key), target, default.into(), draft),
        (None, None) => {}
    }
}

/// A default of the other side, made explicit.
pub(super) fn written_out(path: &str, target: &str, value: Value, draft: &mut Draft) {
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    draft.note(
        path,
        format!("milvus-operator's default is written out, {text}; this operator's is another one"),
    );
    draft.set(target, value, path);
}

/// The storage class: the member's own, else the one of all.
fn storage_class(
    own: Option<Given<String>>,
    all: Option<Given<String>>,
    target: &str,
    draft: &mut Draft,
) {
    let chosen = match (own, all) {
        (Some(own), all) => {
            if let Some(all) = all {
                all.left(draft, "every volume says otherwise");
            }
            Some(own)
        }
        (None, all) => all,
    };
    match chosen {
        Some(class) if class.value == "-" => class.refuse(
            draft,
            "a volume without class cannot be asked for; name a storage class",
        ),
        Some(class) => class.carry(draft, target),
        None => {}
    }
}

fn access_modes(block: &mut Block, draft: &mut Draft) {
    const MESSAGE: &str = "each member has a volume of its own here, which it alone mounts";
    block.leave_unless("accessMode", "ReadWriteOnce", MESSAGE, draft);
    block.leave_unless("accessModes", json!(["ReadWriteOnce"]), MESSAGE, draft);
}

/// Pod settings of a chart, as far as they have the form of the Kubernetes API.
fn pod(values: &mut Block, name: &str, draft: &mut Draft) {
    const FIELDS: [&str; 8] = [
        "affinity",
        "tolerations",
        "topologySpreadConstraints",
        "podLabels",
        "podAnnotations",
        "priorityClassName",
        "schedulerName",
        "hostNetwork",
    ];
    let mut part = values.part(&FIELDS);
    let fields = PodFields::of(&mut part, draft);
    fields.write(&mut PodFields::default(), name, false, draft);
    part.unknown(draft);
}

/// A map of settings of a configuration file, each a text.
fn settings(given: Given<Value>, draft: &mut Draft) -> Vec<(String, Given<String>)> {
    let Some(block) = given.block(draft) else {
        return Vec::new();
    };
    let prefix = block.path.clone();
    block
        .rest()
        .into_iter()
        .filter_map(|given| {
            let key = given.path.strip_prefix(&prefix)?.strip_prefix('.')?;
            Some((key.to_owned(), given.scalar(draft)?))
        })
        .collect()
}

/// The settings that are asked for, as a value.
fn texts(settings: Vec<(String, Given<String>)>, draft: &mut Draft) -> Value {
    let map: Map<String, Value> = settings
        .into_iter()
        .map(|(key, text)| (key, text.read(draft).into()))
        .collect();
    Value::Object(map)
}
