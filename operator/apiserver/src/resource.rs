//! The kinds that are served: built from CRDs and from the fixed list of built-in kinds. Pure data,
//! made once at start.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::definition::{Definition, Version};
use crate::jsonpath::{JsonPath, JsonPathError};
use crate::openapi::ServedKind;
use crate::schema::{self, Schema, SchemaError};
use crate::table::{Columns, TableError};

/// Where the objects of a kind live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// In the store, and in memory.
    Durable,
    /// In memory only, with a time to live.
    Volatile,
}

/// What is special about a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// A kind from a CRD.
    Custom,
    /// `v1 Namespace`.
    Namespace,
    /// `v1 Secret`.
    Secret,
    /// `v1 ConfigMap`.
    ConfigMap,
    /// `v1 Event`.
    CoreEvent,
    /// `events.k8s.io/v1 Event`: another view of the same objects.
    RegardingEvent,
    /// The CRDs themselves, read-only.
    Definition,
}

/// The paths of a scale subresource, as lists of field names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scale {
    /// Path of the wanted replicas.
    pub spec: Vec<String>,
    /// Path of the observed replicas.
    pub status: Vec<String>,
    /// Path of the label selector as text.
    pub selector: Option<Vec<String>>,
}

/// One served kind.
#[derive(Debug)]
pub struct Resource {
    /// API group; empty for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Kind of lists.
    pub list_kind: String,
    /// Plural name, as in paths.
    pub plural: String,
    /// Singular name.
    pub singular: String,
    /// Short names for kubectl.
    pub short_names: Vec<String>,
    /// Categories, for example `all`.
    pub categories: Vec<String>,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// What is special about it.
    pub flavor: Flavor,
    /// Whether `/status` is served.
    pub status: bool,
    /// Whether and how `/scale` is served.
    pub scale: Option<Scale>,
    /// Extra field selectors: name as written, and the path.
    pub selectable: Vec<(String, JsonPath)>,
    /// Columns of tables.
    pub columns: Columns,
    schema: Option<Schema>,
}

/// Why a CRD cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ResourceError {
    /// Not exactly one version is served and stored.
    #[error(
        "serve crd {crd}: it must have exactly one version, served and stored; conversion between versions is not supported"
    )]
    Versions {
        /// Name of the CRD.
        crd: String,
    },
    /// The version has no schema.
    #[error("serve crd {crd}: version {version} has no openAPIV3Schema")]
    NoSchema {
        /// Name of the CRD.
        crd: String,
        /// The version.
        version: String,
    },
    /// The schema cannot be compiled.
    #[error("serve crd {crd}: compile the schema")]
    Schema {
        /// Name of the CRD.
        crd: String,
        /// What is wrong with it.
        #[source]
        source: SchemaError,
    },
    /// A text is no CRD in JSON.
    #[error("serve a crd: read it as json")]
    Json(#[source] serde_json::Error),
    /// A printer column is wrong.
    #[error("serve crd {crd}: make the printer columns")]
    Columns {
        /// Name of the CRD.
        crd: String,
        /// What is wrong with it.
        #[source]
        source: TableError,
    },
    /// A selectable field is wrong.
    #[error("serve crd {crd}: read a selectable field")]
    Selectable {
        /// Name of the CRD.
        crd: String,
        /// What is wrong with it.
        #[source]
        source: JsonPathError,
    },
    /// Two CRDs, or a CRD and a built-in kind, share a path.
    #[error("serve crd {crd}: {path} is already taken")]
    Taken {
        /// Name of the CRD.
        crd: String,
        /// The path.
        path: String,
    },
}

impl Resource {
    /// `plural.group`, or `plural` for core kinds.
    pub fn qualified_plural(&self) -> String {
        if self.group.is_empty() {
            self.plural.clone()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// `apiVersion` of objects.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// First part of the keys under which objects are kept. Both views of events share one.
    pub fn storage(&self) -> String {
        match self.flavor {
            Flavor::RegardingEvent => "events".into(),
            _ => self.qualified_plural(),
        }
    }

    /// Where the objects live.
    pub fn lane(&self) -> Lane {
        match self.flavor {
            Flavor::CoreEvent | Flavor::RegardingEvent => Lane::Volatile,
            _ => Lane::Durable,
        }
    }

    /// The schema for pruning, defaults and checks.
    pub fn schema(&self) -> Option<&Schema> {
        self.schema
            .as_ref()
            .or_else(|| schema::builtin(&self.group, &self.version, &self.kind))
    }

    /// Verbs of the main endpoint.
    pub fn verbs(&self) -> &'static [&'static str] {
        match self.flavor {
            Flavor::Definition => &["get", "list", "watch"],
            // kube-apiserver does not offer deletecollection on namespaces either.
            Flavor::Namespace => &[
                "create", "delete", "get", "list", "patch", "update", "watch",
            ],
            // In the order in which kube-apiserver names them for definitions, and for its own kinds.
            Flavor::Custom => &[
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "create",
                "update",
                "watch",
            ],
            _ => &[
                "create",
                "delete",
                "deletecollection",
                "get",
                "list",
                "patch",
                "update",
                "watch",
            ],
        }
    }

    /// Names of the subresources.
    pub fn subresources(&self) -> Vec<&'static str> {
        let mut names = Vec::new();
        if self.status {
            names.push("status");
        }
        if self.scale.is_some() {
            names.push("scale");
        }
        names
    }

    /// The kind as the OpenAPI documents need it.
    fn served_kind<'a>(&self, schema: Cow<'a, str>) -> ServedKind<'a> {
        ServedKind {
            group: self.group.clone(),
            version: self.version.clone(),
            kind: self.kind.clone(),
            plural: self.plural.clone(),
            namespaced: self.namespaced,
            verbs: self.verbs().iter().map(ToString::to_string).collect(),
            subresources: self.subresources().into_iter().map(str::to_owned).collect(),
            schema,
        }
    }

    /// The kind that a CRD describes.
    pub fn from_crd(crd: &Definition<'_>) -> Result<Self, ResourceError> {
        let name = crd.name().to_owned();
        let [version] = crd.spec.versions.as_slice() else {
            return Err(ResourceError::Versions { crd: name });
        };
        if !version.served || !version.storage {
            return Err(ResourceError::Versions { crd: name });
        }
        let schema = version.schema().ok_or_else(|| ResourceError::NoSchema {
            crd: name.clone(),
            version: version.name.clone(),
        })?;
        let schema = Schema::compile(schema).map_err(|source| ResourceError::Schema {
            crd: name.clone(),
            source,
        })?;
        let columns = Columns::from_printer_columns(&version.additional_printer_columns).map_err(
            |source| ResourceError::Columns {
                crd: name.clone(),
                source,
            },
        )?;
        let selectable = version
            .selectable_fields
            .iter()
            .flatten()
            .map(|field| {
                let path = field.json_path.trim_start_matches('.').to_owned();
                JsonPath::parse(&field.json_path).map(|parsed| (path, parsed))
            })
            .collect::<Result<_, _>>()
            .map_err(|source| ResourceError::Selectable {
                crd: name.clone(),
                source,
            })?;
        let names = &crd.spec.names;
        let singular = names
            .singular
            .clone()
            .unwrap_or_else(|| names.kind.to_lowercase());
        let list_kind = names
            .list_kind
            .clone()
            .unwrap_or_else(|| format!("{}List", names.kind));
        Ok(Self {
            group: crd.spec.group.clone(),
            version: version.name.clone(),
            kind: names.kind.clone(),
            list_kind,
            plural: names.plural.clone(),
            singular,
            short_names: names.short_names.clone().unwrap_or_default(),
            categories: names.categories.clone().unwrap_or_default(),
            namespaced: crd.spec.scope == "Namespaced",
            flavor: Flavor::Custom,
            status: has_status(version),
            scale: scale_of(version),
            selectable,
            columns,
            schema: Some(schema),
        })
    }

    fn builtin(
        (group, version, kind, plural): (&str, &str, &str, &str),
        flavor: Flavor,
        short_names: &[&str],
    ) -> Result<Self, ResourceError> {
        let columns = match Columns::builtin(group, kind) {
            Some(columns) => columns,
            None => Columns::from_printer_columns(&Value::Null).map_err(|source| {
                ResourceError::Columns {
                    crd: kind.to_owned(),
                    source,
                }
            })?,
        };
        Ok(Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
            list_kind: format!("{kind}List"),
            plural: plural.into(),
            singular: kind.to_lowercase(),
            short_names: short_names.iter().map(ToString::to_string).collect(),
            categories: Vec::new(),
            namespaced: !matches!(flavor, Flavor::Namespace | Flavor::Definition),
            flavor,
            status: flavor == Flavor::Namespace,
            scale: None,
            selectable: Vec::new(),
            columns,
            schema: None,
        })
    }
}

fn has_status(version: &Version<'_>) -> bool {
    version
        .subresources
        .as_ref()
        .is_some_and(|subresources| subresources.status.is_some())
}

fn scale_of(version: &Version<'_>) -> Option<Scale> {
    let scale = version.subresources.as_ref()?.scale.as_ref()?;
    let fields = |path: &str| -> Vec<String> {
        path.split('.')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Some(Scale {
        spec: fields(&scale.spec_replicas_path),
        status: fields(&scale.status_replicas_path),
        selector: scale.label_selector_path.as_deref().map(fields),
    })
}

/// Every served kind, by group, version and plural.
#[derive(Debug)]
pub struct Registry {
    resources: Vec<std::sync::Arc<Resource>>,
    by_path: BTreeMap<(String, String, String), usize>,
}

impl Registry {
    /// The built-in kinds and those of the CRDs.
    pub fn new(crds: &[Definition<'_>]) -> Result<Self, ResourceError> {
        let mut registry = Self {
            resources: Vec::new(),
            by_path: BTreeMap::new(),
        };
        let builtins = [
            (
                ("", "v1", "Namespace", "namespaces"),
                Flavor::Namespace,
                &["ns"][..],
            ),
            (("", "v1", "Secret", "secrets"), Flavor::Secret, &[]),
            (
                ("", "v1", "ConfigMap", "configmaps"),
                Flavor::ConfigMap,
                &["cm"],
            ),
            (("", "v1", "Event", "events"), Flavor::CoreEvent, &["ev"]),
            (
                ("events.k8s.io", "v1", "Event", "events"),
                Flavor::RegardingEvent,
                &["ev"],
            ),
        ];
        for (names, flavor, short) in builtins {
            registry.add(Resource::builtin(names, flavor, short)?);
        }
        for crd in crds {
            let resource = Resource::from_crd(crd)?;
            let path = format!("{}/{}", resource.api_version(), resource.plural);
            if !registry.add(resource) {
                return Err(ResourceError::Taken {
                    crd: crd.name().to_owned(),
                    path,
                });
            }
        }
        Ok(registry)
    }

    fn add(&mut self, resource: Resource) -> bool {
        let key = (
            resource.group.clone(),
            resource.version.clone(),
            resource.plural.clone(),
        );
        if self.by_path.contains_key(&key) {
            return false;
        }
        self.by_path.insert(key, self.resources.len());
        self.resources.push(std::sync::Arc::new(resource));
        true
    }

    /// All kinds as the OpenAPI documents need them; `crds` are those that the registry was made of.
    pub fn served_kinds<'a>(&self, crds: &'a [Definition<'a>]) -> Vec<ServedKind<'a>> {
        let builtin = schema::builtin_kinds();
        let text = |resource: &Resource| -> Option<Cow<'a, str>> {
            if resource.flavor == Flavor::Custom {
                let crd = crds.iter().find(|crd| {
                    crd.spec.group == resource.group && crd.spec.names.plural == resource.plural
                })?;
                return crd.spec.versions.first()?.schema().map(Cow::Borrowed);
            }
            builtin
                .iter()
                .find(|kind| kind.group == resource.group && kind.kind == resource.kind)
                .map(|kind| Cow::Owned(kind.schema.to_string()))
        };
        self.resources
            .iter()
            .filter_map(|resource| Some(resource.served_kind(text(resource)?)))
            .collect()
    }

    /// The kind at a path.
    pub fn get(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<&std::sync::Arc<Resource>> {
        self.by_path
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
            .and_then(|index| self.resources.get(*index))
    }

    /// The kind of a flavor that occurs once.
    pub fn flavor(&self, flavor: Flavor) -> Option<&std::sync::Arc<Resource>> {
        self.resources
            .iter()
            .find(|resource| resource.flavor == flavor)
    }

    /// All kinds, built-in ones first.
    pub fn all(&self) -> &[std::sync::Arc<Resource>] {
        &self.resources
    }

    /// Kinds that keep their own objects (the second view of events does not).
    pub fn stored(&self) -> impl Iterator<Item = &std::sync::Arc<Resource>> {
        self.resources
            .iter()
            .filter(|resource| resource.flavor != Flavor::RegardingEvent)
    }
}
