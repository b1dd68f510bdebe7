//! Writes, one action at a time: server-side apply with one field manager, deletions by uid. Makes no choices.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{
    Api, DeleteParams, ListParams, Patch, PatchParams, Preconditions, PropagationPolicy,
    ValidationDirective,
};
use kube::core::{ApiResource, ObjectMeta};
use kube::{Client, ResourceExt};
use milvus_core::action::{Action, Outcome};
use milvus_core::names::{ClusterKey, ClusterRef};
use milvus_core::observed::SeenVersion;
use milvus_core::outline::ObjectId;
use milvus_platform::{Class, PlatformError, Rendered};
use serde_json::{Value, json};

use crate::cache::{Cache, cluster_of, marked, owner_uid, version};
use crate::render::Native;
use crate::shapes::{Shape, Shapes};
use crate::unstructured::Unstructured;
use crate::{Kind, drift, error, labels, standing};

/// For one call.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// An apply that bears a version makes an object where there is none, and is a conflict where one stands that is not of this
/// version (kubernetes/kubernetes#106745): so the look and the making are one step, which nobody can slip into. No object is of
/// this version: the first write to an empty etcd is of revision 2.
const NOBODY_S_VERSION: &str = "1";

/// Holds the number of a Deployment's pods from the moment we let it go until somebody else sets it: a field that nobody
/// applies any more falls back to its default, which is one pod.
const INTERIM: &str = "milvus-operator-interim";

/// Where a kind is found in the API.
pub(crate) fn resource(kind: Kind) -> ApiResource {
    ApiResource {
        group: kind.group().to_owned(),
        version: "v1".to_owned(),
        api_version: kind.api_version().to_owned(),
        kind: kind.name().to_owned(),
        plural: kind.plural().to_owned(),
    }
}

/// A call with a bound on its time and its error in our words.
pub(crate) async fn call<T>(
    operation: &str,
    request: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, PlatformError> {
    match tokio::time::timeout(CALL_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(|e| error::platform(operation, e)),
        Err(_) => Err(error::late(operation, CALL_TIMEOUT)),
    }
}

/// Carries out actions.
#[derive(Clone)]
pub(crate) struct Applier {
    pub(crate) client: Client,
    pub(crate) cache: Arc<Cache>,
    pub(crate) shapes: Arc<Shapes>,
}

/// Why an object is applied.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// It is new. A field that somebody else owns is a conflict; unknown fields are looked for unless they were before.
    New,
    /// It differs. Fields are taken back from whoever owns them; unknown ones are looked for always, for what the API server
    /// drops without a word would be put back for ever.
    Differs,
}

impl Applier {
    fn api(&self, cluster: &ClusterRef, kind: Kind) -> Api<Unstructured> {
        let namespace = &cluster.key.namespace;
        Api::namespaced_with(self.client.clone(), namespace, &resource(kind))
    }

    pub(crate) async fn apply(
        &self,
        cluster: &ClusterRef,
        action: &Action,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<Outcome, PlatformError> {
        let wrote = match action {
            Action::Create { id, .. } => self.create(cluster, id, rendered).await?,
            Action::Update { id, seen, .. } => self.update(cluster, id, *seen, rendered).await?,
            Action::Stop { id, seen, .. } => self.stop(cluster, id, *seen).await?,
            Action::Remove {
                id,
                native_id,
                seen,
                ..
            } => self.remove(cluster, id, native_id, *seen).await?,
            Action::RemoveVolume { volume, .. } => self.remove_claim(cluster, volume).await?,
            Action::RecordLedger(_)
            | Action::ForgetLedger
            | Action::Mark { .. }
            | Action::DropFinalizer
            | Action::PrepareDirectory { .. } => {
                return Err(PlatformError::new(
                    Class::Bug,
                    "apply",
                    "this action has no meaning on Kubernetes",
                ));
            }
        };
        Ok(Outcome {
            at: Timestamp::now(),
            wrote,
            remark: None,
            underway: false,
        })
    }

    /// Makes an object. What stands there already is not written to here: an apply would take somebody else's over without a
    /// word, and of our own the next pass says what was changed in it.
    async fn create(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<bool, PlatformError> {
        let kind = kind(id)?;
        let api = self.api(cluster, kind);
        let native = native(id, rendered)?;
        if kind == Kind::StatefulSet {
            self.claims_are_ours(cluster, id, native, 0).await?;
        }
        let mut new = native.object.clone();
        if kind == Kind::Deployment && new.pointer("/spec/replicas").is_none() {
            // Made again, it begins with as many as it had, and whoever scales it goes on from there.
            let last = rendered.and_then(|r| r.outline.get(id)?.replicas);
            if let (Some(last @ 2..), Some(Value::Object(spec))) = (last, new.get_mut("spec")) {
                spec.insert("replicas".to_owned(), last.into());
            }
        }
        bear_version(&mut new, NOBODY_S_VERSION);
        match self.patch(&api, id, kind, &new, Why::New).await {
            Err(error) if error.class == Class::Conflict => {}
            Err(error) => return Err(error),
            Ok(version) => {
                // What can be changed is given a second chance: some policies are about new objects alone.
                if !rendered.is_some_and(|r| r.outline.get(id).is_some_and(|o| o.mutable)) {
                    self.cache.judge_answer(&cluster.key, id, native, version);
                }
                return Ok(true);
            }
        }
        let Some(found) = call(&format!("look for {id}"), api.get_opt(&id.name)).await? else {
            // It has gone in between, or this API server takes no version for what is not there.
            self.patch(&api, id, kind, &native.object, Why::New).await?;
            return Ok(true);
        };
        let why = if foreign(cluster, &found) {
            self.cache.foreign(&cluster.key, id);
            "it is a foreign object"
        } else {
            // The watch does not show it, or not as ours: labels or its owner were taken off.
            self.cache.adopt(&cluster.key, kind, found);
            "it is there already"
        };
        let operation = format!("create {id}");
        Err(PlatformError::new(Class::Conflict, operation, why))
    }

    /// A claim of somebody else under the name of one of ours would be mounted without a word, with whatever data is in it. Looks
    /// at those of members from this ordinal on: the others have theirs.
    async fn claims_are_ours(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        native: &Native,
        from: u32,
    ) -> Result<(), PlatformError> {
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &cluster.key.namespace);
        for name in claims(id, native, from) {
            let found = call(&format!("look for claim {name}"), api.get_opt(&name)).await?;
            if found.is_some_and(|claim| !is_ours(cluster, &claim)) {
                return Err(PlatformError::new(
                    Class::Invalid,
                    format!("apply {id}"),
                    format!(
                        "the claim {name} is there already and is foreign (it does not carry {}={} and {}={}): delete \
                         the claim if its data is not needed, or ask for fewer members or another name of this cluster",
                        labels::NAME,
                        labels::MILVUS,
                        labels::INSTANCE,
                        cluster.key.name
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The version and the number of pods that are known of an object. A conflict where anything but its status was changed after
    /// it was looked at, or where it is not there any more.
    fn as_seen(
        &self,
        cluster: &ClusterRef,
        kind: Kind,
        id: &ObjectId,
        seen: Option<SeenVersion>,
    ) -> Result<(Option<u64>, Option<u32>), PlatformError> {
        let conflict =
            |why: String| PlatformError::new(Class::Conflict, format!("change {id}"), why);
        self.cache.with(&cluster.key, |known| {
            let Some(object) = known.objects.get(&(kind, id.name.clone())) else {
                return Err(conflict("it is not there any more".to_owned()));
            };
            let now = object.content.map(SeenVersion);
            match (seen, now) {
                (Some(seen), Some(now)) if seen != now => Err(conflict(format!(
                    "it was changed after it was looked at (version {} then, {} now); it is looked at again",
                    seen.0, now.0
                ))),
                _ => Ok((object.version, object.state.replicas)),
            }
        })
    }

    /// Applies what was rendered, on the version that was seen, and takes fields back from the manager that changed them. Returns whether
    /// that changed anything.
    async fn update(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        seen: Option<SeenVersion>,
        rendered: Option<&Rendered<Native>>,
    ) -> Result<bool, PlatformError> {
        let kind = kind(id)?;
        let native = native(id, rendered)?;
        let api = self.api(cluster, kind);
        let (known, replicas) = self.as_seen(cluster, kind, id, seen)?;
        if kind == Kind::StatefulSet {
            let from = replicas.unwrap_or(0);
            self.claims_are_ours(cluster, id, native, from).await?;
        }
        // The version that the next write goes on from.
        let mut last = known;
        if kind == Kind::Deployment && native.object.pointer("/spec/replicas").is_none() {
            let letting = self.let_go_of_replicas(cluster, id, (known, replicas), &api);
            last = letting.await?.or(last);
        }
        last = self.make_room(cluster, id, native, &api).await?.or(last);
        let mut object = native.object.clone();
        if let Some(last) = last {
            bear_version(&mut object, &last.to_string());
        }
        let version = self.patch(&api, id, kind, &object, Why::Differs).await?;
        self.cache.judge_answer(&cluster.key, id, native, version);
        Ok(version.is_none() || version != known)
    }

    /// Asks for no pods of an object, as it was last seen; everything else of it stays. Its claims stay too.
    async fn stop(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        seen: Option<SeenVersion>,
    ) -> Result<bool, PlatformError> {
        let kind = kind(id)?;
        let stopped = self.cache.with(&cluster.key, |known| {
            let object = known.objects.get(&(kind, id.name.clone()));
            object.is_some_and(|o| o.state.replicas == Some(0))
        });
        if stopped {
            return Ok(false);
        }
        let (known, _) = self.as_seen(cluster, kind, id, seen)?;
        let operation = format!("stop the pods of {id}");
        let mut stopped = json!({"metadata": {}, "spec": {"replicas": 0}});
        if let Some(known) = known {
            bear_version(&mut stopped, &known.to_string());
        }
        let patch = Patch::Merge(stopped);
        let params = PatchParams {
            field_manager: Some(labels::OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        let api = self.api(cluster, kind);
        let request = api.patch(&id.name, &params, &patch);
        let object = call(&operation, request).await?;
        self.cache.put(kind, object);
        Ok(true)
    }

    /// Keeps the number of pods as it is when the next apply does not have it any more. Gives the version of what it wrote.
    async fn let_go_of_replicas(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        (version, replicas): (Option<u64>, Option<u32>),
        api: &Api<Unstructured>,
    ) -> Result<Option<u64>, PlatformError> {
        let operation = format!("let go of the replicas of {id}");
        let owners: Api<Deployment> = Api::namespaced(self.client.clone(), &cluster.key.namespace);
        let metadata = call(&operation, owners.get_metadata_opt(&id.name)).await?;
        let held = metadata.is_some_and(|m| holds_replicas(&m.metadata));
        // One is the default, and a role that was switched off (where no autoscaler begins) is to be switched on.
        let Some(replicas) = replicas.filter(|replicas| held && *replicas > 1) else {
            return Ok(None);
        };
        let mut number = json!({"apiVersion": Kind::Deployment.api_version(), "kind": Kind::Deployment.name(),
            "metadata": {"name": id.name}, "spec": {"replicas": replicas}});
        if let Some(version) = version {
            bear_version(&mut number, &version.to_string());
        }
        let params = PatchParams {
            field_manager: Some(INTERIM.to_owned()),
            ..PatchParams::default()
        };
        match call(
            &operation,
            api.patch(&id.name, &params, &Patch::Apply(&number)),
        )
        .await
        {
            Ok(object) => {
                let version = crate::cache::version(&object);
                self.cache.put(Kind::Deployment, object);
                Ok(version)
            }
            // Another manager has set another number meanwhile, and so owns it.
            Err(error) if error.class == Class::Conflict => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Server-side apply. Gives the version of the answer.
    async fn patch(
        &self,
        api: &Api<Unstructured>,
        id: &ObjectId,
        kind: Kind,
        object: &Value,
        why: Why,
    ) -> Result<Option<u64>, PlatformError> {
        let shape = Shape::of(kind, object);
        let check = if why == Why::New && self.shapes.passed(shape) {
            ValidationDirective::Ignore
        } else {
            ValidationDirective::Strict
        };
        let params = PatchParams {
            force: why == Why::Differs,
            field_manager: Some(labels::OPERATOR.to_owned()),
            field_validation: Some(check),
            ..PatchParams::default()
        };
        let patch = Patch::Apply(object);
        let request = api.patch(&id.name, &params, &patch);
        let object = call(&format!("apply {id}"), request)
            .await
            .map_err(|error| explained(kind, error))?;
        self.shapes.remember(shape);
        let version = version(&object);
        // The answer is newer than any event that is on its way.
        self.cache.put(kind, object);
        Ok(version)
    }

    /// Turns elements of lists that somebody else put where ours belong into ours again: beside them the API server would
    /// refuse ours for having the same name. Gives the version of what it wrote.
    async fn make_room(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        native: &Native,
        api: &Api<Unstructured>,
    ) -> Result<Option<u64>, PlatformError> {
        let patch = self.cache.with(&cluster.key, |known| {
            let object = known.objects.get(&(native.kind, id.name.clone()))?;
            drift::make_room(native, object)
        });
        let Some(patch) = patch else {
            return Ok(None);
        };
        let params = PatchParams {
            field_manager: Some(labels::OPERATOR.to_owned()),
            ..PatchParams::default()
        };
        let operation = format!("make room in {id}");
        let patch = serde_json::from_value(patch)
            .map_err(|e| PlatformError::new(Class::Bug, &operation, e.to_string()))?;
        let patch = Patch::Json::<()>(patch);
        let request = api.patch(&id.name, &params, &patch);
        let object = call(&operation, request).await?;
        let version = version(&object);
        self.cache.put(native.kind, object);
        Ok(version)
    }

    /// Looks whether objects of somebody else still stand in the way.
    pub(crate) async fn look_again(&self, cluster: &ClusterRef) -> Result<(), PlatformError> {
        for id in self.cache.in_the_way(&cluster.key) {
            let kind = kind(&id)?;
            let request = self.api(cluster, kind);
            let found = call(&format!("look for {id}"), request.get_opt(&id.name)).await?;
            let there = found.is_some_and(|found| foreign(cluster, &found));
            self.cache.with(&cluster.key, |known| {
                known.foreign.remove(&id);
            });
            if there {
                self.cache.foreign(&cluster.key, &id);
            }
        }
        Ok(())
    }

    async fn remove(
        &self,
        cluster: &ClusterRef,
        id: &ObjectId,
        uid: &str,
        seen: Option<SeenVersion>,
    ) -> Result<bool, PlatformError> {
        let kind = kind(id)?;
        let there = self.cache.with(&cluster.key, |known| {
            known.objects.contains_key(&(kind, id.name.clone()))
        });
        let known = match there {
            true => self.as_seen(cluster, kind, id, seen)?.0,
            false => None,
        };
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: Some(uid.to_owned()),
                resource_version: known.map(|version| version.to_string()),
            }),
            ..DeleteParams::default()
        };
        let api = self.api(cluster, kind);
        let result = call(&format!("delete {id}"), async {
            match api.delete(&id.name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
                other => other.map(Some),
            }
        })
        .await?;
        self.cache.with(&cluster.key, |known| {
            let key = (kind, id.name.clone());
            match result {
                // It goes when its finalizers are off; until then the watch keeps it in view.
                Some(either) if either.is_left() => {
                    if let Some(object) = known.objects.get_mut(&key).filter(|o| o.uid == uid) {
                        object.deleting = true;
                    }
                }
                _ => {
                    known.objects.remove(&key);
                }
            }
        });
        Ok(true)
    }

    /// The volume claims that were made for a cluster of this name.
    pub(crate) async fn claims(
        &self,
        cluster: &ClusterKey,
    ) -> Result<Vec<PersistentVolumeClaim>, PlatformError> {
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &cluster.namespace);
        let ours = ListParams::default().labels(&standing::selector(cluster));
        let operation = format!("list the volume claims of {cluster}");
        Ok(call(&operation, api.list(&ours)).await?.items)
    }

    /// Deletes a volume claim of a member; one that is not this cluster's is left alone.
    async fn remove_claim(&self, cluster: &ClusterRef, name: &str) -> Result<bool, PlatformError> {
        let api: Api<PersistentVolumeClaim> =
            Api::namespaced(self.client.clone(), &cluster.key.namespace);
        let Some(claim) = call(&format!("look for claim {name}"), api.get_opt(name)).await? else {
            return Ok(false);
        };
        if !is_ours(cluster, &claim) {
            return Err(PlatformError::new(
                Class::Denied,
                format!("delete claim {name}"),
                format!(
                    "it does not carry the labels {}={} and {}={}, so it may be foreign: delete it by hand if its data is \
                     to go",
                    labels::NAME,
                    labels::MILVUS,
                    labels::INSTANCE,
                    cluster.key.name
                ),
            ));
        }
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: claim.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        call(&format!("delete claim {name}"), async {
            match api.delete(name, &params).await {
                Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
                other => other.map(|_| ()),
            }
        })
        .await?;
        Ok(true)
    }
}

/// Makes a write one on this version of the object: a conflict where it has another by then.
fn bear_version(object: &mut Value, version: &str) {
    if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
        metadata.insert("resourceVersion".to_owned(), version.into());
    }
}

/// Whether the number of pods is among the fields that we applied.
fn holds_replicas(metadata: &ObjectMeta) -> bool {
    let entries = metadata.managed_fields.iter().flatten();
    let mut ours = entries.filter(|e| {
        e.manager.as_deref() == Some(labels::OPERATOR) && e.operation.as_deref() == Some("Apply")
    });
    ours.any(|e| {
        let fields = e.fields_v1.as_ref();
        fields.is_some_and(|f| f.0.pointer("/f:spec/f:replicas").is_some())
    })
}

/// Whether a claim was made for this cluster or an earlier one of its name.
fn is_ours(cluster: &ClusterRef, claim: &PersistentVolumeClaim) -> bool {
    let label = |key: &str| claim.labels().get(key).map(String::as_str);
    label(labels::NAME) == Some(labels::MILVUS)
        && label(labels::INSTANCE) == Some(cluster.key.name.as_str())
}

/// Names of the claims that a StatefulSet's pods will have, from this ordinal on.
fn claims(set: &ObjectId, native: &Native, from: u32) -> Vec<String> {
    let spec = &native.object["spec"];
    let from = u64::from(from);
    let replicas = spec["replicas"].as_u64().unwrap_or(1);
    let templates = spec["volumeClaimTemplates"].as_array();
    let volumes = templates
        .into_iter()
        .flatten()
        .filter_map(|template| template.pointer("/metadata/name")?.as_str());
    volumes
        .flat_map(|volume| (from..replicas).map(move |n| format!("{volume}-{}-{n}", set.name)))
        .collect()
}

/// What the API server's refusal means for those who wrote the resource.
fn explained(kind: Kind, error: PlatformError) -> PlatformError {
    let claims = kind == Kind::StatefulSet
        && error.class == Class::Invalid
        && error.message.contains("updates to statefulset spec");
    if !claims {
        return error;
    }
    let message = format!(
        "size and class of volume claims that exist cannot be changed (persistence); put them back, or resize the claims \
         themselves where their class allows it. The API server says: {}",
        error.message
    );
    PlatformError { message, ..error }
}

/// Whether an object under one of our names is neither this cluster's nor a predecessor's of that name.
fn foreign(cluster: &ClusterRef, found: &Unstructured) -> bool {
    match owner_uid(found) {
        Some(uid) => uid != cluster.uid && cluster_of(found).as_ref() != Some(&cluster.key),
        // Without an owner the mark counts: owners can be taken off by hand.
        None => !marked(found),
    }
}

fn native<'a>(
    id: &ObjectId,
    rendered: Option<&'a Rendered<Native>>,
) -> Result<&'a Native, PlatformError> {
    rendered
        .and_then(|r| r.native.get(id))
        .ok_or_else(|| PlatformError::new(Class::Bug, format!("apply {id}"), "it was not rendered"))
}

fn kind(id: &ObjectId) -> Result<Kind, PlatformError> {
    Kind::from_name(id.kind)
        .ok_or_else(|| PlatformError::new(Class::Bug, id.to_string(), "no kind of this platform"))
}

#[cfg(test)]
mod tests;
