//! What is on volumes, and what systems make of an empty one. A single etcd and MinIO begin on it as if they were new; one of
//! several members of etcd is refused by the others, and a bookie by its cookie in ZooKeeper. Milvus makes the bucket that it
//! does not find.

use std::collections::{BTreeMap, BTreeSet};

use milvus_core::component::{Component, WorkloadKey};
use milvus_core::probe::{ProbeDetail, ProbeFailure, ProbeFailureKind, StoreSeen};

use crate::tasks::{Task, TaskState};
use crate::world::World;

/// The content of all volumes, by their names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    contents: BTreeMap<String, Content>,
    /// Members that others know to have begun, by the uid of their resource.
    begun: BTreeSet<(String, WorkloadKey)>,
}

/// What is on a volume on which a member has begun.
#[derive(Clone, Debug, Default)]
struct Content {
    /// The mark of a cluster.
    mark: Option<String>,
    /// Milvus' bucket is there.
    bucket: bool,
}

impl Data {
    /// Nothing is on a volume any more.
    pub(crate) fn empty(&mut self, volume: &str) {
        self.contents.remove(volume);
    }
}

impl World {
    /// The machine of a member loses its volumes: its process ends, and the next one begins on empty volumes of the same names.
    pub fn lose_volumes(&mut self, key: WorkloadKey) {
        for index in 0..self.tasks.len() {
            let Some(task) = self.tasks.get(index).filter(|t| t.key == key) else {
                continue;
            };
            for volume in task.native.volumes.clone() {
                self.data.empty(&volume);
            }
            if self.tasks[index].alive() {
                let message = "task: non-zero exit (137)".to_owned();
                self.end(index, TaskState::Failed(message));
            }
        }
    }

    /// With which code a member ends because the volume that it was given is not the one that it had.
    pub(crate) fn refuses_its_volume(&self, task: &Task) -> Option<u8> {
        let begun = self.data.begun.contains(&(task.uid.clone(), task.key));
        let mut volumes = task.native.volumes.iter();
        if !begun || volumes.any(|v| self.data.contents.contains_key(v)) {
            return None;
        }
        match task.key.component {
            Component::Etcd if self.others_hold(task, Component::Etcd) => Some(1),
            Component::Bookkeeper if self.others_hold(task, Component::Zookeeper) => Some(2),
            _ => None,
        }
    }

    /// Whether other members of its cluster, of this component, have something on their volumes.
    fn others_hold(&self, task: &Task, component: Component) -> bool {
        self.data.contents.keys().any(|volume| {
            let own = self.made_for.get(volume) == Some(&task.uid);
            let home = self.homes.get(volume);
            own && home.is_some_and(|(_, key)| key.component == component && *key != task.key)
        })
    }

    /// A process has come up: a member has something on its volumes, and Milvus its bucket.
    pub(crate) fn begins(&mut self, task: &Task) {
        if task.key.component.is_milvus() {
            for volume in self.volumes_of(&task.uid, Component::Minio) {
                if let Some(content) = self.data.contents.get_mut(&volume) {
                    content.bucket = true;
                }
            }
            return;
        }
        if task.native.volumes.is_empty() {
            return;
        }
        self.data.begun.insert((task.uid.clone(), task.key));
        // What the others hold, a member of a quorum gets from them.
        let held = self.held(&task.uid, task.key.component);
        for volume in &task.native.volumes {
            let content = self.data.contents.entry(volume.clone());
            content.or_insert_with(|| held.clone().unwrap_or_default());
        }
    }

    fn volumes_of(&self, uid: &str, component: Component) -> Vec<String> {
        let up = self.up(uid, component).into_iter();
        up.flat_map(|t| t.native.volumes.clone()).collect()
    }

    /// What the members of a store that run hold together.
    fn held(&self, uid: &str, component: Component) -> Option<Content> {
        let volumes = self.volumes_of(uid, component);
        let contents = volumes.iter().filter_map(|v| self.data.contents.get(v));
        contents.cloned().reduce(|all, one| Content {
            mark: all.mark.or(one.mark),
            bucket: all.bucket || one.bucket,
        })
    }

    /// What a store says of what it holds; `None` where it does not serve.
    pub(crate) fn stored(&self, uid: &str, component: Component) -> Option<ProbeDetail> {
        if !self.serves(uid, component) {
            return None;
        }
        let held = self.held(uid, component)?;
        let there = component != Component::Minio || held.bucket;
        let mark = held.mark.filter(|_| there);
        Some(ProbeDetail {
            store: Some(StoreSeen { there, mark }),
            ..ProbeDetail::default()
        })
    }

    /// Leaves a mark in a store, unless one is there.
    pub(crate) fn mark(
        &mut self,
        uid: &str,
        component: Component,
        text: &str,
    ) -> Result<(), ProbeFailure> {
        if !self.serves(uid, component) {
            return Err(ProbeFailure {
                kind: ProbeFailureKind::Refused,
                message: format!("{component} does not serve"),
            });
        }
        for volume in self.volumes_of(uid, component) {
            if let Some(content) = self.data.contents.get_mut(&volume) {
                content.mark.get_or_insert_with(|| text.to_owned());
            }
        }
        Ok(())
    }
}
