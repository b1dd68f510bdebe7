//! What belongs to pods: carried to `spec.kubernetes.components.<role>`, where each role has its own. What milvus-operator
//! lets all roles share is given to every role that runs, by the rules by which it merges. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::draft::Draft;
use super::input::{Block, Given, blank};

/// How a role's own value and the one of all roles go together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// The role's own, if it is there at all.
    Present,
    /// The role's own, if there is something in it.
    Filled,
    /// Both, key by key; the role's own wins.
    Keys,
    /// Either.
    Either,
}

/// The type of a field.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Flag,
    Texts,
    Object,
    Objects,
}

/// The fields, which have the same name there and here. Rules: `MergeComponentSpec` of milvus-operator.
const FIELDS: [(&str, Form, Rule); 13] = [
    ("affinity", Form::Object, Rule::Present),
    ("tolerations", Form::Objects, Rule::Filled),
    ("topologySpreadConstraints", Form::Objects, Rule::Filled),
    ("podLabels", Form::Texts, Rule::Keys),
    ("podAnnotations", Form::Texts, Rule::Keys),
    ("securityContext", Form::Object, Rule::Present),
    ("serviceAccountName", Form::Text, Rule::Filled),
    ("priorityClassName", Form::Text, Rule::Filled),
    ("schedulerName", Form::Text, Rule::Filled),
    ("hostNetwork", Form::Flag, Rule::Either),
    ("dnsPolicy", Form::Text, Rule::Filled),
    ("volumes", Form::Objects, Rule::Present),
    ("probes", Form::Object, Rule::Present),
];

/// A mount of this volume takes away the one at the same path.
const REMOVE: &str = "_remove";

/// The pod settings of a role, or those that all roles share.
#[derive(Debug, Default)]
pub(super) struct PodFields {
    fields: BTreeMap<&'static str, Given<Value>>,
    mounts: Vec<Given<Value>>,
    /// The user of every pod.
    run_as: Option<Given<Value>>,
    /// Shared settings that were in force for some role.
    in_force: BTreeSet<&'static str>,
}

impl PodFields {
    /// Takes them out of a block.
    pub(super) fn of(block: &mut Block, draft: &mut Draft) -> Self {
        let mut fields = BTreeMap::new();
        for (name, form, rule) in FIELDS {
            let Some(given) = block.take(name) else {
                continue;
            };
            if blank(&given.value) && rule != Rule::Present {
                given.same(draft);
                continue;
            }
            let given = match form {
                Form::Text => given
                    .text(draft)
                    .map(|g| Given::new(g.path, g.value.into())),
                Form::Flag => given
                    .flag(draft)
                    .map(|g| Given::new(g.path, g.value.into())),
                Form::Texts => given.texts(draft),
                Form::Object => given.object(draft),
                Form::Objects => given.objects(draft),
            };
            if let Some(given) = given {
                fields.insert(name, given);
            }
        }
        Self {
            fields,
            mounts: block.list("volumeMounts", draft),
            ..Self::default()
        }
    }

    /// Adds the user of every pod.
    pub(super) fn run_as(&mut self, path: &str, context: Value) {
        self.run_as = Some(Given::new(path, context));
    }

    /// Writes what is in force for a role: its own settings and the shared ones. `claims` is true where mounts may also
    /// name claims of the role.
    pub(super) fn write(mut self, shared: &mut Self, role: &str, claims: bool, draft: &mut Draft) {
        let target = |field: &str| format!("spec.kubernetes.components.{role}.{field}");
        let mut volumes = Vec::new();
        for (name, _, rule) in FIELDS {
            let own = self.fields.remove(name);
            let given = shared.fields.get(name).cloned();
            let chosen = match (own, given) {
                (None, None) => continue,
                (None, Some(given)) => {
                    shared.in_force.insert(name);
                    given
                }
                (Some(own), None) => own,
                (Some(own), Some(given)) => match rule {
                    Rule::Present | Rule::Filled => own,
                    Rule::Keys => {
                        shared.in_force.insert(name);
                        draft.used(&given.path);
                        merged(given.value, own)
                    }
                    Rule::Either => {
                        shared.in_force.insert(name);
                        draft.used(&given.path);
                        let on = own.value == true || given.value == true;
                        Given::new(own.path, on.into())
                    }
                },
            };
            if name == "volumes" {
                volumes = names(&chosen.value);
            }
            if blank(&chosen.value) || chosen.value == false {
                chosen.same(draft);
            } else {
                chosen.carry(draft, &target(name));
            }
        }
        if let Some(run_as) = &shared.run_as {
            draft.set(
                &target("podSecurityContext"),
                run_as.value.clone(),
                &run_as.path,
            );
        }
        let mounts = mounts(&shared.mounts, self.mounts, role, draft);
        for mount in &mounts {
            let name = mount.value.get("name").and_then(Value::as_str);
            if !claims && !name.is_some_and(|name| volumes.iter().any(|v| v == name)) {
                draft.refuse(
                    &mount.path,
                    "there is no volume of this name in the manifest (milvus-operator's own volumes do not exist here); add it to volumes, or remove the mount",
                );
            }
        }
        if let Some(first) = mounts.first() {
            let path = list_of(&first.path);
            let values = mounts.into_iter().map(|mount| mount.read(draft)).collect();
            draft.set(&target("volumeMounts"), Value::Array(values), &path);
        }
    }

    /// Speaks of what no role takes.
    pub(super) fn finish(self, draft: &mut Draft) {
        for (name, given) in self.fields {
            if self.in_force.contains(name) || blank(&given.value) {
                given.same(draft);
            } else {
                given.left(draft, "every role that runs says otherwise");
            }
        }
    }
}

/// The path of the list that an item is in.
fn list_of(item: &str) -> String {
    item.rsplit_once('[')
        .map_or(item, |(list, _)| list)
        .to_owned()
}

/// The names of volumes.
fn names(volumes: &Value) -> Vec<String> {
    let items = volumes.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .filter_map(|item| item.get("name")?.as_str().map(str::to_owned))
        .collect()
}

/// Two maps, of which the second wins.
fn merged(shared: Value, own: Given<Value>) -> Given<Value> {
    let mut all = match shared {
        Value::Object(fields) => fields,
        _ => Map::new(),
    };
    if let Value::Object(fields) = own.value {
        all.extend(fields);
    }
    Given::new(own.path, Value::Object(all))
}

/// Mounts by path: a later one takes the place of an earlier one, and one of `_remove` takes it away.
fn mounts(
    shared: &[Given<Value>],
    own: Vec<Given<Value>>,
    role: &str,
    draft: &mut Draft,
) -> Vec<Given<Value>> {
    let mut all: Vec<Given<Value>> = Vec::new();
    for mount in shared.iter().cloned().chain(own) {
        let path = mount.value.get("mountPath").and_then(Value::as_str);
        let Some(path) = path.map(str::to_owned) else {
            mount.refuse(
                draft,
                "a mount is an object with a text name and a text mountPath; correct it",
            );
            continue;
        };
        let at = |other: &Given<Value>| {
            other.value.get("mountPath").and_then(Value::as_str) == Some(path.as_str())
        };
        if let Some(index) = all.iter().position(at) {
            let message = format!("for {role} another mount of the same path takes its place");
            all.remove(index).left(draft, message);
        }
        if mount.value.get("name").and_then(Value::as_str) == Some(REMOVE) {
            mount.left(
                draft,
                "nothing is mounted here that the manifest does not ask for",
            );
        } else {
            all.push(mount);
        }
    }
    all
}
