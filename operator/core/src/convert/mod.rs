//! From the resources of zilliztech's milvus-operator (`milvus.io`: `v1beta1 Milvus`, `v1alpha1 Milvus` and
//! `v1alpha1 MilvusCluster`) to this operator's `MilvusCluster`. Pure: a document goes in, a resource and remarks come out.
//!
//! Nothing is guessed and nothing is lost silently. Every leaf of the input is carried over, asks for what holds here
//! anyway, is left out with a remark (nothing essential changes), or refuses the document: when the result would be
//! another Milvus (other data, other access, other processes) than the one that was asked for. Where that operator's
//! default differs from this one's, its default is written out. What it does is known from its source at `a6dcc63` and,
//! for newer fields, from its `main` branch; defaults of its charts are those of milvus-helm at `9832476`.
//!
//! `input` reads, `draft` collects; the other modules map one area each, and `check` asks this operator's own validation
//! what it says to the result.

mod check;
mod components;
mod config;
mod dependencies;
mod draft;
mod input;
mod metadata;
mod persistence;
mod pod;
mod queue;
mod role;
mod storage;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use milvus_crds::MilvusCluster;
use serde_json::{Value, json};

use components::Roles;
use config::Settings;
use draft::{Draft, Finished};
use input::{Block, leaves};

use crate::names::ClusterKey;

/// The API group of the resources that can be converted.
pub const GROUP: &str = "milvus.io";

/// The image that milvus-operator runs when a resource names none (its release 1.3.8).
const THEIR_IMAGE: &str = "milvusdb/milvus:v2.6.11";

/// What a remark means for the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Carried over, or made; worth knowing.
    Note,
    /// Not carried over; nothing essential changes.
    LeftOut,
    /// Stands in the way: there is no result.
    Refused,
}

impl Level {
    /// The word for people.
    pub const fn word(self) -> &'static str {
        match self {
            Level::Note => "note",
            Level::LeftOut => "left out",
            Level::Refused => "refused",
        }
    }
}

/// Something to know about one field of the input, or of the result where only the result has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remark {
    /// Path of the field.
    pub path: String,
    /// What it means for the result.
    pub level: Level,
    /// What it is about, and what to do. Never holds a credential.
    pub message: String,
}

impl std::fmt::Display for Remark {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: {}", self.level.word(), self.path, self.message)
    }
}

/// What became of a document.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conversion {
    /// The resource; none when a remark refuses the document.
    pub cluster: Option<Box<MilvusCluster>>,
    /// Secrets that the resource refers to, for credentials that the input has in clear.
    pub secrets: Vec<Value>,
    /// Everything there is to say.
    pub remarks: Vec<Remark>,
    /// Paths of the input that are in the result, or that ask for what holds there anyway.
    used: BTreeSet<String>,
    /// Where the fields of the result come from.
    origins: BTreeMap<String, String>,
}

/// What every area of the mapping asks about the document as a whole.
struct Shape {
    /// `metadata.name`.
    name: String,
    /// `metadata.namespace`.
    namespace: Option<String>,
    /// All of Milvus in one process.
    standalone: bool,
    /// Milvus 2.6 or later, as milvus-operator tells it.
    since_2_6: bool,
    /// Where the new cluster is to keep its data on external services, instead of where the old one does.
    fresh_prefix: Option<String>,
}

impl Shape {
    /// The mode in the word of the resource.
    fn mode(&self) -> &'static str {
        if self.standalone {
            "standalone"
        } else {
            "cluster"
        }
    }

    /// Namespace, with the default filled in.
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// What this operator names topics after: [`crate::validate::ValidatedCluster::unique_name`].
    fn unique_name(&self) -> String {
        ClusterKey::new(self.namespace(), self.name.as_str()).unique()
    }
}

/// Whether a document is a resource of milvus-operator, convertible or not.
pub fn concerns(document: &Value) -> bool {
    let version = document.get("apiVersion").and_then(Value::as_str);
    version.is_some_and(|v| v.split_once('/').is_some_and(|(group, _)| group == GROUP))
}

/// Turns a resource of milvus-operator into this operator's. The result has not been validated yet:
/// [`Conversion::check`] does that.
pub fn convert(document: &Value) -> Conversion {
    convert_with(document, None)
}

/// As [`convert`]; with a prefix, the new cluster starts empty below it wherever somebody else keeps its data.
pub fn convert_with(document: &Value, fresh_prefix: Option<&str>) -> Conversion {
    let mut draft = Draft::default();
    if let Value::Object(fields) = document {
        let document = Block::new("", fields.clone());
        resource(document, fresh_prefix.map(str::to_owned), &mut draft);
    } else {
        draft.refuse(
            "",
            "not an object; write apiVersion, kind, metadata and spec",
        );
    }
    conclude(draft.finish())
}

fn resource(mut document: Block, fresh_prefix: Option<String>, draft: &mut Draft) {
    let version = document.text("apiVersion", draft);
    let kind = document.text("kind", draft);
    let kinds = (
        version.as_ref().map_or("", |given| given.value.as_str()),
        kind.as_ref().map_or("", |given| given.value.as_str()),
    );
    let form = match kinds {
        ("milvus.io/v1beta1", "Milvus") => Form::Milvus,
        ("milvus.io/v1alpha1", "Milvus") => Form::OldStandalone,
        ("milvus.io/v1alpha1", "MilvusCluster") => Form::OldCluster,
        ("milvus.io/v1beta1", "MilvusUpgrade") => {
            return draft.refuse(
                "kind",
                "MilvusUpgrade moves the metadata of Milvus 2.1 to 2.2, and this operator begins with 2.2; let milvus-operator finish the upgrade, then convert the Milvus resource",
            );
        }
        (version, kind) => {
            return draft.refuse(
                "kind",
                format!(
                    "{kind:?} of {version:?} is not known; Milvus of milvus.io/v1beta1 and v1alpha1, and MilvusCluster of milvus.io/v1alpha1 can be converted"
                ),
            );
        }
    };
    for given in version.into_iter().chain(kind) {
        given.same(draft);
    }
    document.leave(
        "status",
        "what milvus-operator reported; it is not input",
        draft,
    );
    let Some(named) = metadata::metadata(document.block("metadata", draft), draft) else {
        return;
    };
    let spec = document.block("spec", draft);
    document.unknown(draft);
    self::spec(spec, form, named, fresh_prefix, draft);
}

/// The forms that the resource has had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `v1beta1 Milvus`: mode, components, dependencies, config, hookConfig.
    Milvus,
    /// `v1alpha1 Milvus`: always standalone, the fields of the process in `spec` itself.
    OldStandalone,
    /// `v1alpha1 MilvusCluster`: always a cluster, else as `v1beta1`.
    OldCluster,
}

fn spec(
    mut spec: Block,
    form: Form,
    (name, namespace): (String, Option<String>),
    fresh_prefix: Option<String>,
    draft: &mut Draft,
) {
    let mut standalone = form != Form::OldCluster;
    if form == Form::Milvus {
        let mode = spec.choice("mode", &["cluster", "standalone"], draft);
        standalone = mode.as_ref().is_none_or(|mode| mode.value == "standalone");
        match mode {
            Some(mode) => mode.same(draft),
            None => draft.note(
                "spec.mode",
                "not given: milvus-operator's default is written out, standalone, all of Milvus in one process; where this is only a part of a resource that is stored, such as the fields of an upgrade, convert the whole resource (kubectl get milvus NAME -o yaml)",
            ),
        }
    }
    let mut settings = Settings::of(&mut spec, draft);
    if form == Form::Milvus
        && let Some(hook) = spec
            .take("hookConfig")
            .and_then(|given| given.object(draft))
    {
        hook.carry(draft, "spec.hookConfig");
    }
    let dependencies = spec.block("dependencies", draft);
    let (mut roles, old_persistence) = if form == Form::OldStandalone {
        let persistence = spec.block("persistence", draft);
        let process = std::mem::take(&mut spec);
        (Roles::old_standalone(process, draft), Some(persistence))
    } else {
        (Roles::of(spec.block("components", draft), draft), None)
    };
    let shape = Shape {
        name,
        namespace,
        standalone,
        since_2_6: roles.since_2_6(),
        fresh_prefix,
    };
    draft.set("spec.mode", shape.mode().into(), "spec.mode");
    roles.choose(&shape, draft);
    components::components(roles, &shape, &mut settings, draft);
    dependencies::dependencies(dependencies, old_persistence, &shape, &mut settings, draft)
        .remarks(&shape, &mut settings, draft);
    settings.finish(draft);
    spec.unknown(draft);
}

/// The resource out of what has been written, unless something stands in the way.
fn conclude(finished: Finished) -> Conversion {
    let Finished {
        mut body,
        used,
        origins,
        remarks,
        secrets,
    } = finished;
    let mut conversion = Conversion {
        cluster: None,
        secrets,
        remarks,
        used,
        origins,
    };
    if conversion.is_refused() {
        conversion.secrets.clear();
        return conversion;
    }
    let version = format!("{}/{}", milvus_crds::GROUP, milvus_crds::VERSION);
    body.insert("apiVersion".to_owned(), version.into());
    body.insert("kind".to_owned(), milvus_crds::KIND.into());
    body.entry("spec").or_insert_with(|| json!({}));
    conversion.typed(Value::Object(body));
    conversion
}

impl Conversion {
    /// Whether something stands in the way of the document.
    pub fn is_refused(&self) -> bool {
        self.remarks.iter().any(|r| r.level == Level::Refused)
    }

    /// Refuses the document after all.
    pub fn refuse(&mut self, path: impl Into<String>, message: impl Into<String>) {
        let path = path.into();
        let mut message = message.into();
        if let Some(origin) = self.origin(&path) {
            message.push_str(&format!(" (from {origin})"));
        }
        self.remarks.push(Remark {
            path,
            level: Level::Refused,
            message,
        });
        self.cluster = None;
        self.secrets.clear();
    }

    /// Where a field of the result comes from, where it has another path there.
    fn origin(&self, path: &str) -> Option<&str> {
        let inside = |target: &str| {
            path.strip_prefix(target)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let (target, origin) = self
            .origins
            .iter()
            .filter(|(target, _)| inside(target))
            .max_by_key(|(target, _)| target.len())?;
        (target != origin).then_some(origin.as_str())
    }

    /// Makes the resource of its text, and proves that the type has a field for all of it.
    fn typed(&mut self, body: Value) {
        let cluster: MilvusCluster = match serde_json::from_value(body.clone()) {
            Ok(cluster) => cluster,
            Err(error) => return self.refuse("spec", format!("not understood: {error}")),
        };
        let kept = serde_json::to_value(&cluster).unwrap_or_default();
        let (mut given, mut held) = (BTreeMap::new(), BTreeMap::new());
        leaves("", &body, &mut given);
        leaves("", &kept, &mut held);
        let lost: Vec<String> = given
            .into_keys()
            .filter(|path| !held.contains_key(path))
            .collect();
        for path in lost {
            self.refuse(path, "the resource has no such field");
        }
        if !self.is_refused() {
            self.cluster = Some(Box::new(cluster));
        }
    }
}

#[cfg(test)]
mod tests;
