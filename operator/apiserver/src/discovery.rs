//! Which groups, versions and resources there are: aggregated and legacy discovery, and the version.
//! Pure; made once at start.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::resource::{Registry, Resource};

/// Content type of aggregated discovery.
pub const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The review kinds: resource, kind, group.
pub const REVIEWS: &[(&str, &str, &str)] = &[
    (
        "selfsubjectaccessreviews",
        "SelfSubjectAccessReview",
        "authorization.k8s.io",
    ),
    (
        "selfsubjectrulesreviews",
        "SelfSubjectRulesReview",
        "authorization.k8s.io",
    ),
    (
        "selfsubjectreviews",
        "SelfSubjectReview",
        "authentication.k8s.io",
    ),
];

/// The documents of discovery, serialised.
#[derive(Debug)]
pub struct Discovery {
    /// Aggregated, of `/api`.
    pub core_aggregated: String,
    /// Aggregated, of `/apis`.
    pub groups_aggregated: String,
    /// Legacy `/apis`.
    pub groups: String,
    /// Legacy `/apis/GROUP`.
    pub group: BTreeMap<String, String>,
    /// Legacy resource lists, by `GROUP/VERSION` or `v1`.
    pub resources: BTreeMap<String, String>,
}

fn legacy_entry(resource: &Resource) -> Vec<Value> {
    let mut main = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs(),
    });
    if let Some(map) = main.as_object_mut() {
        if !resource.short_names.is_empty() {
            map.insert("shortNames".into(), resource.short_names.clone().into());
        }
        if !resource.categories.is_empty() {
            map.insert("categories".into(), resource.categories.clone().into());
        }
    }
    let mut entries = vec![main];
    for name in resource.subresources() {
        let mut entry = json!({
            "name": format!("{}/{name}", resource.plural),
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": resource.kind,
            "verbs": ["get", "patch", "update"],
        });
        if let (Some(map), "scale") = (entry.as_object_mut(), name) {
            map.insert("group".into(), "autoscaling".into());
            map.insert("version".into(), "v1".into());
            map.insert("kind".into(), "Scale".into());
        }
        entries.push(entry);
    }
    entries
}

fn aggregated_entry(resource: &Resource) -> Value {
    let kind = json!({"group": resource.group, "version": resource.version, "kind": resource.kind});
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": kind,
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs(),
    });
    let subresources: Vec<Value> = resource
        .subresources()
        .into_iter()
        .map(|name| {
            let kind = match name {
                "scale" => json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}),
                _ => kind.clone(),
            };
            json!({"subresource": name, "responseKind": kind, "verbs": ["get", "patch", "update"]})
        })
        .collect();
    if let Some(map) = entry.as_object_mut() {
        if !resource.short_names.is_empty() {
            map.insert("shortNames".into(), resource.short_names.clone().into());
        }
        if !resource.categories.is_empty() {
            map.insert("categories".into(), resource.categories.clone().into());
        }
        if !subresources.is_empty() {
            map.insert("subresources".into(), subresources.into());
        }
    }
    entry
}

impl Discovery {
    /// Makes the documents for all served kinds.
    pub fn build(registry: &Registry) -> Self {
        let mut legacy: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        let mut aggregated: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
        for resource in registry.all() {
            let key = (resource.group.clone(), resource.version.clone());
            legacy
                .entry(key.clone())
                .or_default()
                .extend(legacy_entry(resource));
            aggregated
                .entry(key)
                .or_default()
                .push(aggregated_entry(resource));
        }
        for (plural, kind, group) in REVIEWS {
            let key = ((*group).to_owned(), "v1".to_owned());
            let singular = kind.to_lowercase();
            legacy.entry(key.clone()).or_default().push(json!({
                "name": plural, "singularName": singular, "namespaced": false, "kind": kind,
                "verbs": ["create"],
            }));
            aggregated.entry(key).or_default().push(json!({
                "resource": plural, "scope": "Cluster", "singularResource": singular,
                "responseKind": {"group": group, "version": "v1", "kind": kind},
                "verbs": ["create"],
            }));
        }
        let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (group, version) in legacy.keys() {
            groups
                .entry(group.clone())
                .or_default()
                .push(version.clone());
        }
        let aggregate = |core: bool| {
            let items: Vec<Value> = groups
                .iter()
                .filter(|(group, _)| group.is_empty() == core)
                .map(|(group, versions)| {
                    let versions: Vec<Value> = versions
                        .iter()
                        .map(|version| {
                            let resources = aggregated.get(&(group.clone(), version.clone()));
                            json!({"version": version, "freshness": "Current", "resources": resources})
                        })
                        .collect();
                    let metadata = if core { json!({}) } else { json!({"name": group}) };
                    json!({"metadata": metadata, "versions": versions})
                })
                .collect();
            json!({
                "kind": "APIGroupDiscoveryList",
                "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {},
                "items": items,
            })
            .to_string()
        };
        let group_of = |group: &String, versions: &Vec<String>| {
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    json!({"groupVersion": format!("{group}/{version}"), "version": version})
                })
                .collect();
            let preferred = versions.first().cloned().unwrap_or_default();
            json!({"name": group, "versions": versions, "preferredVersion": preferred})
        };
        let named = groups.iter().filter(|(group, _)| !group.is_empty());
        let list: Vec<Value> = named
            .clone()
            .map(|(group, versions)| group_of(group, versions))
            .collect();
        let group = named
            .map(|(group, versions)| {
                let mut one = group_of(group, versions);
                if let Some(map) = one.as_object_mut() {
                    map.insert("kind".into(), "APIGroup".into());
                    map.insert("apiVersion".into(), "v1".into());
                }
                (group.clone(), one.to_string())
            })
            .collect();
        let resources = legacy
            .into_iter()
            .map(|((group, version), entries)| {
                let group_version = if group.is_empty() {
                    version
                } else {
                    format!("{group}/{version}")
                };
                let list = json!({
                    "kind": "APIResourceList",
                    "apiVersion": "v1",
                    "groupVersion": group_version,
                    "resources": entries,
                });
                (group_version, list.to_string())
            })
            .collect();
        Self {
            core_aggregated: aggregate(true),
            groups_aggregated: aggregate(false),
            groups: json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": list}).to_string(),
            group,
            resources,
        }
    }
}

/// Legacy `/api`.
pub fn core_versions() -> Value {
    json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
}

/// What `/version` answers.
pub fn version(product: &str) -> Value {
    // The minor is the newest whose clients the tests run; clients pick their behaviour by it.
    json!({
        "major": "1",
        "minor": "32",
        "gitVersion": format!("v1.32.0+{product}"),
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, arch()),
    })
}

/// The architecture as Go names it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
