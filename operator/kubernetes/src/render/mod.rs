//! From what a cluster should be to native objects, as the API takes them in a server-side apply: the fields that are ours and
//! nothing else, so that what others set (an autoscaler, an injected sidecar, a node port) is left alone. Pure: the same
//! cluster always renders to the same bytes.

mod disruption;
mod files;
mod hash;
mod ingress;
mod monitor;
mod object;
mod pod;
mod probes;
mod quantity;
mod security;
mod service;
mod storage;
mod text;
mod workload;
mod zero;

use std::collections::{BTreeMap, BTreeSet};

use milvus_core::capabilities::Capabilities;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::{Desired, FileSource, Passthrough, Workload};
use milvus_core::outline::{ObjectClass, ObjectId, ObjectOutline, Revision};
use milvus_platform::{Class, PlatformError, Rendered};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::{Kind, labels};
use object::Object;

/// What rendering needs to know of this Kubernetes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The Prometheus operator's PodMonitor is a kind here.
    pub pod_monitors: bool,
}

/// One native object. Shown and serialised without the content of Secrets.
#[derive(Clone, PartialEq)]
pub struct Native {
    /// Which kind.
    pub kind: Kind,
    /// What is applied: `apiVersion`, `kind`, `metadata` and the fields that are ours, nothing else.
    pub object: Value,
    /// Hash over `object`, also in its annotation [`crate::labels::APPLIED`].
    pub hash: String,
}

impl Native {
    /// The object with the content of a Secret replaced.
    fn shown(&self) -> Value {
        let mut object = self.object.clone();
        if self.kind == Kind::Secret
            && let Some(Value::Object(data)) = object.get_mut("data")
        {
            for value in data.values_mut() {
                *value = Value::from("<hidden>");
            }
        }
        object
    }
}

impl std::fmt::Debug for Native {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.hash, self.shown())
    }
}

impl Serialize for Native {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shown().serialize(serializer)
    }
}

/// Renders a cluster.
///
/// # Errors
/// For what validation cannot know: a passed-through block that does not fit what the operator renders around it.
pub fn render(
    desired: &Desired,
    capabilities: &Capabilities,
    settings: &Settings,
) -> Result<Rendered<Native>, PlatformError> {
    let mut scope = Scope {
        desired,
        capabilities,
        files: BTreeMap::new(),
    };
    let mut all = Collected(Rendered {
        cluster: desired.cluster.clone(),
        outline: BTreeMap::new(),
        native: BTreeMap::new(),
    });
    let account = service::account(&scope);
    all.prerequisite(account)?;
    for (short, file) in &desired.configs {
        let config = files::config(&scope, short, file);
        let source = FileSource::Config(short.clone());
        scope.files.insert(source, config.id());
        all.fixed(config)?;
    }
    for (short, file) in &desired.secrets {
        let secret = files::secret(&scope, short, file);
        let source = FileSource::Secret(short.clone());
        scope.files.insert(source, secret.id());
        all.fixed(secret)?;
    }
    all.prerequisite(service::client(&scope)?)?;
    for workload in &desired.workloads {
        for service in service::of_component(&scope, workload) {
            all.prerequisite(service)?;
        }
        all.workload(workload::render(&scope, workload)?, workload)?;
        if let Some(budget) = disruption::budget(&scope, workload) {
            all.ancillary(budget)?;
        }
    }
    if let Some(asked) = &desired.endpoint.ingress {
        all.ancillary(ingress::ingress(&scope, asked))?;
    }
    if settings.pod_monitors
        && let Some(monitor) = monitor::monitor(&scope)
    {
        all.ancillary(monitor)?;
    }
    Ok(all.0)
}

/// What every part of the rendering may look at.
struct Scope<'a> {
    desired: &'a Desired,
    capabilities: &'a Capabilities,
    /// The objects that hold the files.
    files: BTreeMap<FileSource, ObjectId>,
}

impl Scope<'_> {
    /// `<cluster>-<rest>`.
    fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.desired.cluster.key.name)
    }

    /// The name of the workload of a component, and of its Service.
    fn workload_name(&self, component: Component) -> String {
        self.capabilities
            .workload_name(&self.desired.cluster.key, WorkloadKey::shared(component))
    }

    /// The name of the Service that gives each member a host name.
    fn headless_name(&self, component: Component) -> String {
        format!("{}-headless", self.workload_name(component))
    }

    /// The name of the Service that clients use, of the pods' identity and of the monitor.
    fn milvus_name(&self) -> String {
        self.name(labels::MILVUS)
    }

    /// Labels that select the pods of a component.
    fn selector(&self, component: Component) -> Value {
        labels::selector(&self.desired.cluster.key, component)
            .into_iter()
            .map(|(label, value)| (label.to_owned(), Value::from(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    /// What the resource says about a component in Kubernetes' own words.
    fn passthrough(&self, component: Component) -> Option<&Passthrough> {
        self.desired.passthrough.get(&component)
    }
}

/// A workload as rendered, with what the planner is told of it.
struct Process {
    object: Object,
    revision: String,
    uses: BTreeSet<ObjectId>,
    mutable: bool,
}

/// The objects so far.
struct Collected(Rendered<Native>);

impl Collected {
    /// Needed by workloads, changed in place.
    fn prerequisite(&mut self, object: Object) -> Result<(), PlatformError> {
        self.plain(object, ObjectClass::Prerequisite, true)
    }

    /// Needed by workloads, never changed.
    fn fixed(&mut self, object: Object) -> Result<(), PlatformError> {
        self.plain(object, ObjectClass::Prerequisite, false)
    }

    /// Goes with workloads.
    fn ancillary(&mut self, object: Object) -> Result<(), PlatformError> {
        self.plain(object, ObjectClass::Ancillary, true)
    }

    fn plain(
        &mut self,
        object: Object,
        class: ObjectClass,
        mutable: bool,
    ) -> Result<(), PlatformError> {
        let (id, native) = finish(object);
        let outline = ObjectOutline {
            class,
            workload: None,
            revision: Revision(native.hash.clone()),
            uses: BTreeSet::new(),
            replicas: None,
            mutable,
        };
        self.add(id, native, outline)
    }

    fn workload(&mut self, process: Process, workload: &Workload) -> Result<(), PlatformError> {
        let Process {
            object,
            revision,
            uses,
            mutable,
        } = process;
        let (id, native) = finish(object);
        let outline = ObjectOutline {
            class: ObjectClass::Workload,
            workload: Some(WorkloadKey::shared(workload.component)),
            revision: Revision(revision),
            uses,
            replicas: workload.replicas(),
            mutable,
        };
        self.add(id, native, outline)
    }

    fn add(
        &mut self,
        id: ObjectId,
        native: Native,
        outline: ObjectOutline,
    ) -> Result<(), PlatformError> {
        self.0.outline.insert(id.clone(), outline);
        match self.0.native.insert(id.clone(), native) {
            None => Ok(()),
            Some(_) => Err(bug(format!("render {id}"), "two objects have this name")),
        }
    }
}

/// Puts the hash over an object into it.
fn finish(object: Object) -> (ObjectId, Native) {
    let id = object.id();
    let kind = object.kind;
    let hash = object.hash();
    let mut object = object.into_value();
    object["metadata"]["annotations"][labels::APPLIED] = json!(hash);
    let native = Native { kind, object, hash };
    (id, native)
}

fn bug(operation: impl Into<String>, message: impl Into<String>) -> PlatformError {
    PlatformError::new(Class::Bug, operation, message)
}

/// Name of the Service that clients connect to.
pub(crate) fn client_service(cluster: &milvus_core::names::ClusterKey) -> String {
    format!("{}-milvus", cluster.name)
}
