//! Carries out one action. Idempotent: what is already so is not written again. Nothing of somebody else is ever touched,
//! and removals go by id after a fresh look at whose the object is.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::try_join;
use jiff::Timestamp;
use milvus_core::action::{Action, Outcome};
use milvus_core::names::ClusterRef;
use milvus_core::observed::{DifferenceCause, Owner, SeenVersion};
use milvus_core::outline::ObjectId;
use milvus_platform::{Class, PlatformError, Rendered};
use serde_json::{Value, json};

use crate::api::wire::{Network, ObjectVersion, Service};
use crate::api::{ApiError, Engine, FileKind};
use crate::drift;
use crate::labels::{self, Labels};
use crate::node_task::{self, NodeTask, Progress};
use crate::observe;
use crate::render::{CONFIG, NETWORK, Native, SECRET, SERVICE, ServiceObject};

/// A network outlives its last task by a moment.
const NETWORK_TRIES: u32 = 8;
const NETWORK_PAUSE: Duration = Duration::from_millis(400);

/// How actions are carried out here.
#[derive(Clone, Debug)]
pub struct Applier {
    /// The engine.
    pub engine: Engine,
    /// What runs on a node for the operator.
    pub node_tasks: node_task::Settings,
    /// How errands have failed before.
    pub errands: node_task::Failures,
}

impl Applier {
    /// Carries out one action.
    pub async fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        match action {
            Action::Create { id, .. } => self.create(cluster, id, native(rendered, id)?).await,
            Action::Update {
                id,
                seen,
                difference,
            } => match native(rendered, id)? {
                Native::Service(wanted) => {
                    let target = Target {
                        cluster,
                        id,
                        seen: *seen,
                    };
                    self.update(target, wanted, difference.cause).await
                }
                Native::Network(_) | Native::Config(_) | Native::Secret(_) => {
                    Err(PlatformError::new(
                        Class::Bug,
                        format!("update {id}"),
                        "it cannot be changed in place",
                    ))
                }
            },
            Action::Stop { id, seen, .. } => {
                self.stop(Target {
                    cluster,
                    id,
                    seen: *seen,
                })
                .await
            }
            Action::Remove {
                id,
                native_id,
                seen,
                ..
            } => {
                self.remove(
                    Target {
                        cluster,
                        id,
                        seen: *seen,
                    },
                    native_id,
                )
                .await
            }
            Action::PrepareDirectory {
                node,
                base,
                directory,
            } => {
                self.node_task(cluster, node, NodeTask::MakeDirectory { base, directory })
                    .await
            }
            Action::RemoveVolume {
                node,
                volume,
                bind_base,
            } => {
                let task = match bind_base {
                    Some(base) => NodeTask::RemoveDirectory {
                        base,
                        directory: volume,
                    },
                    None => NodeTask::RemoveVolume { volume },
                };
                self.node_task(cluster, node, task).await
            }
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::Mark { .. }
            | Action::DropFinalizer => Err(PlatformError::new(
                Class::Bug,
                "apply",
                "the ledger, the resource and what is in a store are not the platform's",
            )),
        }
    }

    async fn node_task(
        &self,
        cluster: &ClusterRef,
        node: &str,
        task: NodeTask<'_>,
    ) -> Result<Outcome, PlatformError> {
        let progress = node_task::step(
            &self.engine,
            &self.node_tasks,
            &self.errands,
            cluster,
            node,
            &task,
        )
        .await?;
        Ok(Outcome {
            underway: progress != Progress::Ended,
            ..done(progress != Progress::Underway, None)
        })
    }

    async fn create(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        wanted: &Native,
    ) -> Result<Outcome, PlatformError> {
        let created = match wanted {
            Native::Network(network) => self.engine.create_network(&network.request()).await,
            Native::Config(config) => {
                self.engine
                    .create_file(FileKind::Config, &config.request())
                    .await
            }
            Native::Secret(secret) => {
                self.engine
                    .create_file(FileKind::Secret, &secret.request())
                    .await
            }
            Native::Service(service) => {
                let spec = self.with_ids(cluster, service).await?;
                self.engine.create_service(&spec, None).await
            }
        };
        match created {
            Ok(answer) => {
                let mut remarks = answer.warnings;
                if !answer.warning.is_empty() {
                    remarks.push(answer.warning);
                }
                Ok(done(true, remark(remarks)))
            }
            Err(error) if error.is_name_taken() => self.taken(cluster, id, wanted, error).await,
            Err(error) => Err(error.into()),
        }
    }

    /// The name is taken: fine if it is what was asked for, made by an earlier try.
    async fn taken(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        wanted: &Native,
        error: ApiError,
    ) -> Result<Outcome, PlatformError> {
        let look = observe::look(&self.engine, cluster).await?;
        let (owner, same) = match wanted {
            Native::Service(wanted) => {
                let references = observe::references(&look.networks, &look.configs, &look.secrets);
                match look.services.iter().find(|s| s.name() == id.name) {
                    Some(found) => (
                        labels::owner_of(&found.labels(), cluster),
                        drift::service(wanted, found, &references).is_none(),
                    ),
                    None => return Err(error.into()),
                }
            }
            Native::Network(wanted) => match look.networks.iter().find(|n| n.name == id.name) {
                Some(found) => (
                    labels::owner_of(&found.labels, cluster),
                    drift::network(wanted, found).is_none(),
                ),
                // Engines from 25 on refuse the name as long as they have a copy of the removed network.
                None => {
                    let mut error = PlatformError::from(error);
                    error.retry_after = Some(Duration::from_secs(1));
                    return Err(error);
                }
            },
            Native::Config(_) | Native::Secret(_) => {
                let files = match wanted {
                    Native::Config(_) => &look.configs,
                    _ => &look.secrets,
                };
                match files.iter().find(|f| f.spec.name == id.name) {
                    Some(found) => (labels::owner_of(&found.spec.labels, cluster), true),
                    None => return Err(error.into()),
                }
            }
        };
        match owner {
            Owner::Ours if same => Ok(done(false, None)),
            Owner::Ours => Err(PlatformError::new(
                Class::Conflict,
                format!("create {id}"),
                "it is there already, but differs",
            )),
            owner @ (Owner::Predecessor { .. } | Owner::Released | Owner::Foreign) => {
                Err(not_ours("create", id, &owner))
            }
        }
    }

    async fn update(
        &self,
        target: Target<'_>,
        wanted: &ServiceObject,
        cause: DifferenceCause,
    ) -> Result<Outcome, PlatformError> {
        let Target { cluster, id, .. } = target;
        let found = self.own_service("update", cluster, id, &id.name).await?;
        let look = observe::look(&self.engine, cluster).await?;
        let references = observe::references(&look.networks, &look.configs, &look.secrets);
        let resumes = cause == DifferenceCause::Stalled && !found.rolls();
        if !resumes && drift::service(wanted, &found, &references).is_none() {
            return Ok(done(false, None));
        }
        target.is_as_seen("update", found.version)?;
        let mut spec = self.with_ids(cluster, wanted).await?;
        carry_over(&mut spec, &found);
        let answer = self
            .engine
            .update_service(&found.id, found.version.index, &spec, None)
            .await?;
        Ok(done(true, remark(answer.warnings)))
    }

    async fn stop(&self, target: Target<'_>) -> Result<Outcome, PlatformError> {
        let Target { cluster, id, .. } = target;
        let found = self.own_service("stop", cluster, id, &id.name).await?;
        let mut spec = found.spec.clone();
        match spec
            .pointer_mut("/Mode/Replicated")
            .and_then(Value::as_object_mut)
        {
            Some(mode) if mode.get("Replicas") == Some(&json!(0)) => return Ok(done(false, None)),
            Some(mode) => mode.insert("Replicas".to_owned(), json!(0)),
            None => {
                return Err(PlatformError::new(
                    Class::Bug,
                    format!("stop {id}"),
                    "it has no number of replicas",
                ));
            }
        };
        target.is_as_seen("stop", found.version)?;
        let answer = self
            .engine
            .update_service(&found.id, found.version.index, &spec, None)
            .await?;
        Ok(done(true, remark(answer.warnings)))
    }

    /// A service by id or name, once it is known to be this cluster's.
    async fn own_service(
        &self,
        verb: &str,
        cluster: &ClusterRef,
        id: &ObjectId,
        by: &str,
    ) -> Result<Service, PlatformError> {
        let found = self.engine.service(by).await?.ok_or_else(|| {
            PlatformError::new(Class::Conflict, format!("{verb} {id}"), "it is gone")
        })?;
        match labels::owner_of(&found.labels(), cluster) {
            owner @ (Owner::Released | Owner::Foreign) => Err(not_ours(verb, id, &owner)),
            Owner::Ours | Owner::Predecessor { .. } => Ok(found),
        }
    }

    async fn remove(&self, target: Target<'_>, native_id: &str) -> Result<Outcome, PlatformError> {
        let Target { cluster, id, .. } = target;
        let engine = &self.engine;
        let (name, all, version) = match id.kind {
            SERVICE => match engine.service(native_id).await? {
                Some(found) => (found.name().to_owned(), found.labels(), Some(found.version)),
                None => return Ok(done(false, None)),
            },
            NETWORK => match self.surely_network(native_id).await? {
                Some(found) => (found.name, found.labels, None),
                None => return Ok(done(false, None)),
            },
            kind => match engine.file(file_kind(kind), native_id).await? {
                Some(found) => (found.spec.name, found.spec.labels, Some(found.version)),
                None => return Ok(done(false, None)),
            },
        };
        if name != id.name {
            return Err(PlatformError::new(
                Class::Bug,
                format!("remove {id}"),
                format!("its id {native_id} belongs to {name}"),
            ));
        }
        if labels::owner_of(&all, cluster) == Owner::Foreign {
            return Err(not_ours("remove", id, &Owner::Foreign));
        }
        if let Some(version) = version {
            target.is_as_seen("remove", version)?;
        }
        let mut tries = 0;
        loop {
            let removed = match id.kind {
                SERVICE => engine.remove_service(native_id, &name).await,
                NETWORK => engine.remove_network(native_id, &name).await,
                kind => engine.remove_file(file_kind(kind), native_id, &name).await,
            };
            tries += 1;
            match removed {
                Ok(()) => return Ok(done(true, None)),
                Err(error) if error.is_not_found() => return Ok(done(false, None)),
                Err(error) if error.is_in_use() && id.kind == NETWORK && tries < NETWORK_TRIES => {
                    tokio::time::sleep(NETWORK_PAUSE).await;
                }
                Err(error) => {
                    let in_use = error.is_in_use();
                    let mut error = PlatformError::from(error);
                    if in_use {
                        error.retry_after = Some(Duration::from_secs(1));
                    }
                    return Err(error);
                }
            }
        }
    }

    /// One network. An engine without a leader says of a network that it is not there: asked again once there is one.
    async fn surely_network(&self, id: &str) -> Result<Option<Network>, ApiError> {
        if let Some(found) = self.engine.network(id).await? {
            return Ok(Some(found));
        }
        self.engine.nodes().await?;
        let found = self.engine.network(id).await?;
        self.engine.nodes().await?;
        Ok(found)
    }

    /// The spec as the engine wants it: with the ids of what it refers to.
    async fn with_ids(
        &self,
        cluster: &ClusterRef,
        service: &ServiceObject,
    ) -> Result<Value, PlatformError> {
        let prefix = format!("{}_", cluster.key.stack());
        let (networks, configs, secrets) = try_join!(
            self.engine.networks(&prefix),
            self.engine.files(FileKind::Config, &prefix),
            self.engine.files(FileKind::Secret, &prefix),
        )?;
        let ours = |all: &Labels| labels::owner_of(all, cluster) != Owner::Foreign;
        let ids = Ids {
            networks: networks
                .into_iter()
                .filter(|n| ours(&n.labels))
                .map(|n| (n.name, n.id))
                .collect(),
            configs: configs
                .into_iter()
                .filter(|f| ours(&f.spec.labels))
                .map(|f| (f.spec.name, f.id))
                .collect(),
            secrets: secrets
                .into_iter()
                .filter(|f| ours(&f.spec.labels))
                .map(|f| (f.spec.name, f.id))
                .collect(),
        };
        let mut spec = service.spec.to_value();
        ids.fill(&mut spec).map_err(|missing| {
            PlatformError::new(
                Class::Conflict,
                format!("make service {}", service.spec.name),
                format!("{missing} is not there"),
            )
        })?;
        Ok(spec)
    }
}

/// What is acted on, as the plan saw it.
#[derive(Clone, Copy)]
struct Target<'a> {
    cluster: &'a ClusterRef,
    id: &'a ObjectId,
    seen: Option<SeenVersion>,
}

impl Target<'_> {
    /// A conflict where the object has changed since it was looked at: another look may lead to another plan.
    fn is_as_seen(&self, verb: &str, now: ObjectVersion) -> Result<(), PlatformError> {
        let now = observe::seen(now);
        match self.seen {
            Some(seen) if seen != now => Err(PlatformError::new(
                Class::Conflict,
                format!("{verb} {}", self.id),
                format!(
                    "it was changed after it was looked at (version {} then, {} now); it is looked at again",
                    seen.0, now.0
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }
}

/// Ids by name of what services refer to.
struct Ids {
    networks: BTreeMap<String, String>,
    configs: BTreeMap<String, String>,
    secrets: BTreeMap<String, String>,
}

impl Ids {
    /// Puts ids into a spec; the error names what has none.
    fn fill(&self, spec: &mut Value) -> Result<(), String> {
        let places = [
            (
                "/TaskTemplate/Networks",
                "Target",
                "Target",
                NETWORK,
                &self.networks,
            ),
            (
                "/TaskTemplate/ContainerSpec/Configs",
                "ConfigName",
                "ConfigID",
                CONFIG,
                &self.configs,
            ),
            (
                "/TaskTemplate/ContainerSpec/Secrets",
                "SecretName",
                "SecretID",
                SECRET,
                &self.secrets,
            ),
        ];
        for (pointer, name, id, kind, known) in places {
            let Some(items) = spec.pointer_mut(pointer).and_then(Value::as_array_mut) else {
                continue;
            };
            for item in items.iter_mut().filter_map(Value::as_object_mut) {
                let wanted = item.get(name).and_then(Value::as_str).unwrap_or_default();
                let found = known
                    .get(wanted)
                    .ok_or_else(|| format!("{kind} {wanted}"))?
                    .clone();
                item.insert(id.to_owned(), Value::String(found));
            }
        }
        Ok(())
    }
}

/// Keeps what others may have put on a service without harm: the counter of forced restarts, and labels that are not ours.
fn carry_over(spec: &mut Value, found: &Service) {
    if let (Some(force), Some(template)) = (
        found.spec.pointer("/TaskTemplate/ForceUpdate"),
        spec.get_mut("TaskTemplate").and_then(Value::as_object_mut),
    ) {
        template.insert("ForceUpdate".to_owned(), force.clone());
    }
    if let Some(all) = spec.get_mut("Labels").and_then(Value::as_object_mut) {
        for (key, value) in found.labels() {
            if !key.starts_with("io.milvus.operator/") && !all.contains_key(&key) {
                all.insert(key, Value::String(value));
            }
        }
    }
}

fn native<'a>(
    rendered: Option<&'a Rendered<Native>>,
    id: &ObjectId,
) -> Result<&'a Native, PlatformError> {
    rendered
        .and_then(|r| r.native.get(id))
        .ok_or_else(|| PlatformError::new(Class::Bug, format!("apply {id}"), "it was not rendered"))
}

fn file_kind(kind: &str) -> FileKind {
    if kind == SECRET {
        FileKind::Secret
    } else {
        FileKind::Config
    }
}

fn not_ours(verb: &str, id: &ObjectId, owner: &Owner) -> PlatformError {
    let whose = match owner {
        Owner::Predecessor { uid } => {
            format!("it belongs to an earlier resource of this name (uid {uid})")
        }
        Owner::Ours | Owner::Released | Owner::Foreign => {
            "it is a foreign object: rename or remove it, or give the resource another name"
                .to_owned()
        }
    };
    PlatformError::new(Class::Conflict, format!("{verb} {id}"), whose)
}

fn remark(remarks: Vec<String>) -> Option<String> {
    (!remarks.is_empty()).then(|| remarks.join("; "))
}

fn done(wrote: bool, remark: Option<String>) -> Outcome {
    Outcome {
        at: Timestamp::now(),
        wrote,
        remark,
        underway: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_act_is_on_the_version_that_was_seen() {
        let cluster = ClusterRef {
            key: milvus_core::names::ClusterKey::new("default", "demo"),
            uid: "uid".to_owned(),
            generation: 1,
        };
        let id = ObjectId::new(SERVICE, "demo_etcd-0");
        let on = |seen: Option<u64>, index| {
            let seen = seen.map(SeenVersion);
            let target = Target {
                cluster: &cluster,
                id: &id,
                seen,
            };
            target.is_as_seen("stop", ObjectVersion { index })
        };
        assert!(on(Some(7), 7).is_ok() && on(None, 8).is_ok());
        let refused = on(Some(7), 8).unwrap_err();
        assert_eq!(refused.class, Class::Conflict);
        assert_eq!(
            refused.to_string(),
            "stop service demo_etcd-0: it was changed after it was looked at (version 7 then, 8 now); it is looked at again"
        );
    }

    #[test]
    fn ids_are_filled_in_and_missing_ones_named() {
        let ids = Ids {
            networks: BTreeMap::from([("demo_backend".into(), "n1".into())]),
            configs: BTreeMap::new(),
            secrets: BTreeMap::from([("demo_user-1".into(), "s1".into())]),
        };
        let mut spec = json!({ "TaskTemplate": {
            "Networks": [{ "Target": "demo_backend" }],
            "ContainerSpec": { "Secrets": [{ "SecretName": "demo_user-1" }] },
        }});
        ids.fill(&mut spec).unwrap();
        assert_eq!(
            spec.pointer("/TaskTemplate/Networks/0/Target").unwrap(),
            "n1"
        );
        assert_eq!(
            spec.pointer("/TaskTemplate/ContainerSpec/Secrets/0/SecretID")
                .unwrap(),
            "s1"
        );
        let mut spec = json!({ "TaskTemplate": { "ContainerSpec": { "Configs": [{ "ConfigName": "demo_x" }] } } });
        assert_eq!(ids.fill(&mut spec).unwrap_err(), "config demo_x");
    }
}
