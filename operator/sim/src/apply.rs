//! Carrying out actions on the platform, with the faults that a real one has: refusals, lost answers, writes conditioned on
//! what was last seen.

use milvus_core::action::{Action, Outcome};
use milvus_core::names::ClusterRef;
use milvus_core::observed::SeenVersion;
use milvus_core::outline::ObjectId;
use milvus_platform::{Class, PlatformError, Rendered};
use rand::Rng;

use crate::faults::Fault;
use crate::render::{Native, revision};
use crate::world::{Object, World, Write};

impl World {
    /// Carries out one action.
    ///
    /// # Errors
    /// As a platform would answer, and by chance.
    pub fn apply(
        &mut self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        let fault = self.draw_fault();
        if let Some(Fault::Refuse(class)) = fault {
            return Err(PlatformError::new(
                class,
                "write",
                format!("{class:?} by chance"),
            ));
        }
        let wrote = self.effect(cluster, action, rendered)?;
        if wrote {
            self.writes.push(Write {
                at: self.now,
                action: action.clone(),
            });
        }
        if fault == Some(Fault::LoseAnswer) {
            return Err(PlatformError::new(
                Class::Transient,
                "write",
                "no answer in time",
            ));
        }
        Ok(Outcome {
            at: self.now,
            wrote,
            remark: None,
            underway: false,
        })
    }

    fn draw_fault(&mut self) -> Option<Fault> {
        if self.rng.random_range(0..100) >= self.faults.errors {
            return None;
        }
        Some(match self.rng.random_range(0..4) {
            0 => Fault::Refuse(Class::Conflict),
            1 => Fault::Refuse(Class::Transient),
            _ => Fault::LoseAnswer,
        })
    }

    fn effect(
        &mut self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<bool, PlatformError> {
        let native = |id: &ObjectId| {
            rendered
                .and_then(|r| r.native.get(id))
                .cloned()
                .ok_or_else(|| {
                    PlatformError::new(Class::Bug, format!("write {id}"), "not rendered")
                })
        };
        match action {
            Action::Create { id, .. } => {
                let native = native(id)?;
                if self.objects.contains_key(id) {
                    return Err(conflict(id, "there is one of this name already"));
                }
                let references = self.resolve(id, &native)?;
                let object = Object {
                    native_id: self.id("object"),
                    uid: Some(cluster.uid.clone()),
                    revision: revision(&native),
                    replicas: native.replicas,
                    native,
                    references,
                    version: 1,
                    paused: None,
                };
                self.objects.insert(id.clone(), object);
                Ok(true)
            }
            Action::Update { id, seen, .. } => {
                let native = native(id)?;
                let references = self.resolve(id, &native)?;
                let object = self.owned(id, cluster)?;
                is_as_seen(id, object, *seen)?;
                object.revision = revision(&native);
                object.replicas = native.replicas;
                object.native = native;
                object.references = references;
                object.version += 1;
                object.paused = None;
                Ok(true)
            }
            Action::Stop { id, seen, .. } => {
                let object = self.owned(id, cluster)?;
                is_as_seen(id, object, *seen)?;
                if object.replicas == Some(0) {
                    return Ok(false);
                }
                object.replicas = Some(0);
                object.version += 1;
                object.paused = None;
                Ok(true)
            }
            Action::Remove {
                id,
                native_id,
                seen,
                ..
            } => self.remove(id, native_id, *seen),
            Action::PrepareDirectory {
                node,
                base,
                directory,
            } => {
                self.reachable(node)?;
                Ok(self
                    .directories
                    .insert((node.clone(), format!("{base}/{directory}"))))
            }
            Action::RemoveVolume { node, volume, .. } => {
                self.reachable(node)?;
                let gone = self
                    .nodes
                    .get_mut(node)
                    .is_some_and(|n| n.volumes.remove(volume).is_some());
                if gone {
                    self.homes.remove(volume);
                    self.made_for.remove(volume);
                    self.data.empty(volume);
                    self.deleted_volumes.push((node.clone(), volume.clone()));
                }
                Ok(gone)
            }
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::Mark { .. }
            | Action::DropFinalizer => Err(PlatformError::new(
                Class::Bug,
                "write",
                "not the platform's to do",
            )),
        }
    }

    fn remove(
        &mut self,
        id: &ObjectId,
        native_id: &str,
        seen: Option<SeenVersion>,
    ) -> Result<bool, PlatformError> {
        match self.objects.get(id) {
            Some(object) if object.native_id == native_id => {
                is_as_seen(id, object, seen)?;
                if object.uid.is_none() {
                    self.violations
                        .push(format!("{id} of somebody else was removed"));
                }
                if self.in_use(id) {
                    return Err(conflict(id, "is in use"));
                }
                self.objects.remove(id);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn owned(&mut self, id: &ObjectId, cluster: &ClusterRef) -> Result<&mut Object, PlatformError> {
        let foreign = self
            .objects
            .get(id)
            .is_some_and(|o| o.uid.as_ref() != Some(&cluster.uid));
        if foreign {
            self.violations
                .push(format!("{id} of somebody else was changed"));
        }
        self.objects
            .get_mut(id)
            .ok_or_else(|| conflict(id, "not found"))
    }

    fn resolve(
        &self,
        id: &ObjectId,
        native: &Native,
    ) -> Result<std::collections::BTreeMap<ObjectId, String>, PlatformError> {
        native
            .uses
            .iter()
            .map(|used| match self.objects.get(used) {
                Some(object) => Ok((used.clone(), object.native_id.clone())),
                None => Err(conflict(id, &format!("{used} not found"))),
            })
            .collect()
    }

    fn reachable(&self, node: &str) -> Result<(), PlatformError> {
        if self.nodes.get(node).is_some_and(|n| n.cut.is_none()) {
            Ok(())
        } else {
            Err(PlatformError::new(
                Class::Transient,
                format!("run a task on {node}"),
                "the node does not answer",
            ))
        }
    }
}

/// A conflict where the object has changed since it was looked at.
fn is_as_seen(
    id: &ObjectId,
    object: &Object,
    seen: Option<SeenVersion>,
) -> Result<(), PlatformError> {
    if Some(SeenVersion(object.version)) == seen {
        Ok(())
    } else {
        Err(conflict(id, "update out of sequence"))
    }
}

fn conflict(id: &ObjectId, message: &str) -> PlatformError {
    PlatformError::new(Class::Conflict, format!("write {id}"), message)
}
