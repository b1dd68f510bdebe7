//! Writes an export into a store: what is refused is refused before anything is written, and doing it again after a failure
//! goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use kube::Client;
use kube::api::PostParams;
use kube::core::DynamicObject;
use milvus_crds::MilvusCluster;
use serde_json::{Value, json};

use super::collect::{cluster_of, get, ledger_in, secrets_of};
use super::{KINDS, TransferError, api, portable, resource, what};
use crate::ledger_store;

/// How to restore.
#[derive(Default)]
pub(super) struct Options {
    /// Replace what differs.
    pub overwrite: bool,
    /// Go on without Secrets that are needed.
    pub without_secrets: bool,
    /// Node ids by name, where it is another Swarm.
    pub nodes: Option<BTreeMap<String, String>>,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Restored {
    pub created: Vec<String>,
    pub replaced: Vec<String>,
    /// They were like that already.
    pub same: usize,
    /// Clusters that now take over what their ledgers name.
    pub adopting: Vec<String>,
    /// Node ids were left as they are.
    pub nodes_kept: bool,
}

impl Restored {
    /// For people.
    pub(super) fn summary(&self) -> String {
        let mut text = format!(
            "imported: {} created, {} replaced, {} there already\n",
            self.created.len(),
            self.replaced.len(),
            self.same
        );
        if !self.adopting.is_empty() {
            text.push_str(&format!(
                "spec.adopt is now true for {}: they take over the nodes, volumes and credentials that their ledgers name\n",
                self.adopting.join(", ")
            ));
            if self.nodes_kept {
                text.push_str(
                    "members stay on the node ids of the export: right for the same Swarm; for another one import again with \
                     --overwrite --docker-host MANAGER\n",
                );
            }
        }
        text
    }
}

/// An object of the file, and what the store has under its name.
struct Step {
    object: Value,
    present: Option<Value>,
}

/// Restores.
pub(super) async fn restore(
    client: &Client,
    objects: Vec<Value>,
    options: &Options,
) -> Result<Restored, TransferError> {
    let mut objects = ordered(objects)?;
    let mut restored = Restored {
        nodes_kept: options.nodes.is_none(),
        ..Restored::default()
    };
    if let Some(nodes) = &options.nodes {
        move_to(&mut objects, nodes)?;
    }
    let mut steps = Vec::new();
    for object in objects {
        let (namespace, name) = key(&object);
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let namespace = (kind != "Namespace").then_some(namespace);
        let present = get(client, &kind, namespace.as_deref(), &name).await?;
        steps.push(Step { object, present });
    }
    adopt(&mut steps, &mut restored);
    own_ledgers(&mut steps)?;
    refuse(client, &steps, options).await?;
    for step in steps {
        write(client, step, &mut restored).await?;
    }
    Ok(restored)
}

/// Lets clusters take over what the ledgers in the file name: without it the operator would refuse a new resource beside an
/// old one's volumes. A resource that is there and has its ledger needs nothing.
fn adopt(steps: &mut [Step], restored: &mut Restored) {
    let mut ledgers = BTreeMap::new();
    for step in steps.iter() {
        if let Some(cluster) = cluster_of(&step.object) {
            let owner = step.present.as_ref().and_then(|p| ledger_in(p).ok());
            ledgers.insert(cluster, owner.map(|ledger| ledger.owner_uid));
        }
    }
    for step in steps {
        if step.object["kind"] != milvus_crds::KIND {
            continue;
        }
        let cluster = key(&step.object);
        let Some(owner) = ledgers.get(&cluster) else {
            continue;
        };
        let uid = step
            .present
            .as_ref()
            .and_then(|p| p.pointer("/metadata/uid")?.as_str());
        let adopts = uid.is_none() || uid != owner.as_deref();
        let adopted = step
            .present
            .as_ref()
            .is_some_and(|p| p["spec"]["adopt"] == true);
        if adopts {
            restored.adopting.push(label(&cluster));
        }
        // One that was imported before stays as that import left it.
        if adopts || adopted {
            step.object["spec"]["adopt"] = json!(true);
        }
    }
}

fn key(object: &Value) -> (String, String) {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    (text("/metadata/namespace"), text("/metadata/name"))
}

fn label((namespace, name): &(String, String)) -> String {
    format!("{namespace}/{name}")
}

/// Only what belongs into an export, without what its old server set, in the order of creation.
fn ordered(objects: Vec<Value>) -> Result<Vec<Value>, TransferError> {
    let mut ranked = Vec::new();
    for object in objects {
        let found = KINDS.iter().position(|(group, version, kind, _)| {
            let api_version = if group.is_empty() {
                (*version).to_owned()
            } else {
                format!("{group}/{version}")
            };
            object["kind"] == *kind && object["apiVersion"] == api_version
        });
        let (namespace, name) = key(&object);
        let Some(rank) = found.filter(|_| !name.is_empty()) else {
            return Err(TransferError::Kind {
                what: what(&object),
            });
        };
        if object["kind"] == "ConfigMap" && cluster_of(&object).is_none() {
            return Err(TransferError::Kind {
                what: what(&object),
            });
        }
        let mut object = portable(&object);
        if namespace.is_empty() && object["kind"] != "Namespace" {
            object["metadata"]["namespace"] = json!("default");
        }
        ranked.push((rank, object));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    Ok(ranked.into_iter().map(|(_, object)| object).collect())
}

/// Puts the ids that nodes have in this Swarm into the ledgers.
fn move_to(objects: &mut [Value], nodes: &BTreeMap<String, String>) -> Result<(), TransferError> {
    let mut missing = BTreeSet::new();
    for object in objects.iter_mut().filter(|o| cluster_of(o).is_some()) {
        let mut ledger = ledger_in(object)?;
        let members = ledger
            .members
            .values_mut()
            .map(|m| (&m.node_name, &mut m.node));
        let retained = ledger
            .retained
            .iter_mut()
            .map(|v| (&v.node_name, &mut v.node));
        for (name, id) in members.chain(retained) {
            match nodes.get(name) {
                Some(new) => id.clone_from(new),
                None if id.is_empty() => {}
                None => {
                    missing.insert(name.clone());
                }
            }
        }
        set_ledger(object, &ledger)?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(TransferError::NodesMissing {
        what: missing.into_iter().collect::<Vec<_>>().join(", "),
    })
}

/// A ledger belongs to a resource by its uid, which the new store gives. Nobody owns it until its cluster adopts it, unless
/// that is there already and only replaced.
fn own_ledgers(steps: &mut [Step]) -> Result<(), TransferError> {
    let uids: BTreeMap<(String, String), String> = steps
        .iter()
        .filter(|step| step.object["kind"] == milvus_crds::KIND)
        .filter_map(|step| {
            let uid = step.present.as_ref()?.pointer("/metadata/uid")?.as_str()?;
            Some((key(&step.object), uid.to_owned()))
        })
        .collect();
    for step in steps {
        let Some(cluster) = cluster_of(&step.object) else {
            continue;
        };
        let mut ledger = ledger_in(&step.object)?;
        ledger.owner_uid = uids.get(&cluster).cloned().unwrap_or_default();
        set_ledger(&mut step.object, &ledger)?;
    }
    Ok(())
}

fn set_ledger(
    object: &mut Value,
    ledger: &milvus_core::ledger::Ledger,
) -> Result<(), TransferError> {
    let text = serde_json::to_string(ledger).map_err(|source| TransferError::Ledger {
        what: what(object),
        source,
    })?;
    object["data"][ledger_store::KEY] = text.into();
    Ok(())
}

/// Whether the store has this object in everything that an export can hold.
fn is_same(step: &Step) -> bool {
    let Some(present) = &step.present else {
        return false;
    };
    match step.object["kind"].as_str() {
        Some("Namespace") => true,
        // Compared as text would call for a needless write when only the order of its fields differs.
        Some("ConfigMap") => match (ledger_in(&step.object), ledger_in(present)) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        },
        _ => portable(&step.object) == portable(present),
    }
}

async fn refuse(client: &Client, steps: &[Step], options: &Options) -> Result<(), TransferError> {
    let differing: Vec<String> = steps
        .iter()
        .filter(|s| s.present.is_some() && !is_same(s))
        .map(|s| what(&s.object))
        .collect();
    if !differing.is_empty() && !options.overwrite {
        return Err(TransferError::Present {
            what: differing.join(", "),
        });
    }
    let in_file: BTreeSet<_> = steps
        .iter()
        .filter(|s| s.object["kind"] == "Secret")
        .map(|s| key(&s.object))
        .collect();
    let mut needed = BTreeSet::new();
    for step in steps {
        if step.object["kind"] == milvus_crds::KIND {
            let cluster: MilvusCluster =
                serde_json::from_value(step.object.clone()).map_err(|source| {
                    TransferError::Object {
                        what: what(&step.object),
                        source,
                    }
                })?;
            needed.extend(secrets_of(&cluster));
        }
        if let Some((namespace, _)) = cluster_of(&step.object) {
            needed.extend(
                ledger_in(&step.object)?
                    .generated_secrets
                    .into_values()
                    .map(|name| (namespace.clone(), name)),
            );
        }
    }
    let mut missing = Vec::new();
    for secret in needed.difference(&in_file) {
        if get(client, "Secret", Some(&secret.0), &secret.1)
            .await?
            .is_none()
        {
            missing.push(label(secret));
        }
    }
    if missing.is_empty() || options.without_secrets {
        return Ok(());
    }
    Err(TransferError::SecretsMissing {
        what: missing.join(", "),
    })
}

async fn write(client: &Client, step: Step, restored: &mut Restored) -> Result<(), TransferError> {
    let name = what(&step.object);
    if is_same(&step) {
        restored.same += 1;
        return Ok(());
    }
    let kind = step.object["kind"].as_str().unwrap_or_default();
    let Some(resource) = resource(kind) else {
        return Err(TransferError::Kind { what: name });
    };
    let (namespace, short) = key(&step.object);
    let api = api(
        client,
        &resource,
        (kind != "Namespace").then_some(namespace.as_str()),
    );
    let mut object: DynamicObject =
        serde_json::from_value(step.object).map_err(|source| TransferError::Object {
            what: name.clone(),
            source,
        })?;
    let params = PostParams::default();
    let failed = |operation| {
        let what = name.clone();
        move |source| TransferError::Api {
            operation,
            what,
            source,
        }
    };
    match step.present {
        None => {
            api.create(&params, &object)
                .await
                .map_err(failed("create"))?;
            restored.created.push(name);
        }
        Some(present) => {
            // The version that was looked at: whoever wrote in between is not overwritten. Finalizers are the store's own.
            let metadata = &present["metadata"];
            object.metadata.resource_version =
                metadata["resourceVersion"].as_str().map(str::to_owned);
            object.metadata.finalizers =
                serde_json::from_value(metadata["finalizers"].clone()).unwrap_or_default();
            api.replace(&short, &params, &object)
                .await
                .map_err(failed("replace"))?;
            restored.replaced.push(name);
        }
    }
    Ok(())
}
