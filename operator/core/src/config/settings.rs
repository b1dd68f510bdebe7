//! Settings of milvus.yaml as Milvus finds them: it compares names without case, dots, slashes and underscores; environments
//! win over files; and a section that is null is one whose settings are all left out. Everything that the operator believes of a
//! setting is read here, so that the two cannot differ. Pure.

use milvus_crds::{EnvVar, MilvusClusterSpec, Mode};
use serde_json::{Map, Value};

use crate::ledger::FixedChoices;
use crate::names::ClusterKey;

/// Bucket of a resource that names none.
pub(crate) const DEFAULT_BUCKET: &str = "milvus-bucket";
/// Prefix in the bucket of a resource that names none.
pub(crate) const DEFAULT_ROOT: &str = "files";
/// What Milvus puts between its root in etcd and its metadata, where nothing else is set.
const DEFAULT_META: &str = "meta";

/// Milvus' own root in etcd.
const MILVUS_ROOT: &str = "by-dev";

/// The root of everything in etcd.
pub(crate) const ETCD_ROOT: &str = "etcd.rootPath";
/// The prefix of metadata below that root.
pub(crate) const ETCD_META: &str = "etcd.metaSubPath";

/// Sections of milvus.yaml, in all versions that are known. A name at the top is a section, too, whatever it is.
const SECTIONS: [&str; 46] = [
    "etcd",
    "etcd.auth",
    "etcd.ssl",
    "etcd.use",
    "etcd.data",
    "etcd.config",
    "etcd.log",
    "metastore",
    "tikv",
    "localStorage",
    "minio",
    "minio.ssl",
    "mq",
    "pulsar",
    "kafka",
    "kafka.ssl",
    "rocksmq",
    "natsmq",
    "woodpecker",
    "woodpecker.client",
    "woodpecker.client.quorum",
    "woodpecker.logstore",
    "woodpecker.storage",
    "rootCoord",
    "dataCoord",
    "queryCoord",
    "indexCoord",
    "mixCoord",
    "proxy",
    "queryNode",
    "dataNode",
    "indexNode",
    "streamingNode",
    "streaming",
    "msgChannel",
    "msgChannel.chanNamePrefix",
    "log",
    "log.file",
    "grpc",
    "grpc.client",
    "tls",
    "internaltls",
    "common",
    "common.chanNamePrefix",
    "common.security",
    "quotaAndLimits",
];

/// A name as Milvus compares names of settings.
pub(crate) fn comparable(name: &str) -> String {
    name.chars()
        .filter(|c| !matches!(c, '.' | '_' | '-' | '/'))
        .flat_map(char::to_lowercase)
        .collect()
}

/// The name that an environment variable has among the settings.
pub(crate) fn of_variable(name: &str) -> String {
    let name = name.to_lowercase();
    comparable(name.strip_prefix("milvus.").unwrap_or(&name))
}

/// Whether Milvus has a section of this name.
pub(crate) fn is_section(path: &str) -> bool {
    let path = comparable(path);
    SECTIONS.iter().any(|section| comparable(section) == path)
}

/// Whether what is written at this path says nothing: null, where there is a section.
pub(crate) fn says_nothing(path: &str, value: &Value) -> bool {
    value.is_null() && (!path.contains('.') || is_section(path) || is_place(path))
}

/// Whether this names the place of the metadata.
pub(crate) fn is_place(path: &str) -> bool {
    [ETCD_ROOT, ETCD_META]
        .map(comparable)
        .contains(&comparable(path))
}

/// The user's layer without what says nothing.
pub(crate) fn layer(config: &Map<String, Value>) -> Map<String, Value> {
    fn part(section: &Map<String, Value>, at: &str) -> Map<String, Value> {
        let mut kept = Map::new();
        for (key, value) in section {
            let path = join(at, key);
            match value {
                _ if says_nothing(&path, value) => {}
                Value::Object(inner) => {
                    kept.insert(key.clone(), Value::Object(part(inner, &path)));
                }
                value => {
                    kept.insert(key.clone(), value.clone());
                }
            }
        }
        kept
    }
    part(config, "")
}

/// The path of a key in a section.
pub(crate) fn join(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Every setting of a layer with its path as it is written; what says nothing is passed over.
pub(crate) fn leaves(config: &Map<String, Value>) -> Vec<(String, &Value)> {
    fn walk<'a>(section: &'a Map<String, Value>, at: &str, found: &mut Vec<(String, &'a Value)>) {
        for (key, value) in section {
            let path = join(at, key);
            match value {
                _ if says_nothing(&path, value) => {}
                Value::Object(inner) => walk(inner, &path, found),
                value => found.push((path, value)),
            }
        }
    }
    let mut found = Vec::new();
    walk(config, "", &mut found);
    found
}

/// A setting of a layer, by its name however it is written.
pub(crate) fn find<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let name = comparable(name);
    let mut leaves = leaves(config).into_iter();
    leaves.find_map(|(path, value)| (comparable(&path) == name).then_some(value))
}

/// A value as Milvus reads it: as text.
pub(crate) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A switch as Milvus reads it.
pub(crate) fn switch(value: &str) -> bool {
    matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "true" | "1" | "t"
    )
}

/// The environments that every process of Milvus has, with their paths; later ones win.
pub(crate) fn common_environment(spec: &MilvusClusterSpec) -> Vec<(&'static str, &[EnvVar])> {
    let components = &spec.components;
    let mut blocks = vec![("spec.components.env", components.env.as_slice())];
    if spec.mode.unwrap_or_default() == Mode::Standalone
        && let Some(standalone) = components.get("standalone")
    {
        blocks.push(("spec.components.standalone.env", &standalone.env));
    }
    blocks
}

/// A setting as every process of Milvus reads it: of the environment, else of the user's layer.
pub(crate) fn read(spec: &MilvusClusterSpec, name: &str) -> Option<String> {
    let wanted = comparable(name);
    let environment = common_environment(spec).into_iter().rev();
    let variable = environment
        .flat_map(|(_, variables)| variables.iter().rev())
        .find(|variable| of_variable(&variable.name) == wanted);
    match variable {
        Some(variable) => Some(variable.value.clone().unwrap_or_default()),
        None => find(&spec.config, name).and_then(text),
    }
}

/// The field that a setting is in, or would be in.
pub(crate) fn field(spec: &MilvusClusterSpec, name: &str) -> String {
    let wanted = comparable(name);
    for (path, variables) in common_environment(spec).into_iter().rev() {
        let index = variables
            .iter()
            .rposition(|variable| of_variable(&variable.name) == wanted);
        if let Some(index) = index {
            return format!("{path}[{index}]");
        }
    }
    let mut written = leaves(&spec.config).into_iter();
    let written = written.find(|(path, _)| comparable(path) == wanted);
    format!(
        "spec.config.{}",
        written.map_or(name.to_owned(), |(path, _)| path)
    )
}

/// Where Milvus keeps what it knows and what it stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Places {
    /// `etcd.rootPath`.
    pub(crate) etcd_root: String,
    /// `etcd.metaSubPath`.
    pub(crate) meta: String,
    /// `minio.bucketName`.
    pub(crate) bucket: String,
    /// `minio.rootPath`.
    pub(crate) object_root: String,
}

impl Places {
    /// The places of a resource, valid or not: what Milvus would read, else what the operator writes.
    pub(crate) fn of(spec: &MilvusClusterSpec, key: &ClusterKey) -> Self {
        let storage = &spec.dependencies.storage;
        let field = |field: &Option<String>, default: &str| {
            field.clone().unwrap_or_else(|| default.to_owned())
        };
        Self {
            etcd_root: read(spec, ETCD_ROOT).unwrap_or_else(|| key.unique()),
            meta: read(spec, ETCD_META).unwrap_or_else(|| DEFAULT_META.to_owned()),
            bucket: read(spec, "minio.bucketName")
                .unwrap_or_else(|| field(&storage.bucket, DEFAULT_BUCKET)),
            object_root: read(spec, "minio.rootPath")
                .unwrap_or_else(|| field(&storage.root_path, DEFAULT_ROOT)),
        }
    }

    /// The places of a cluster whose ledger records choices. One that an earlier operator made with a null section of etcd keeps
    /// its metadata where Milvus' own default is: below another root it would find nothing, and remove all objects.
    pub(crate) fn of_made(spec: &MilvusClusterSpec, key: &ClusterKey, made: &FixedChoices) -> Self {
        let mut places = Self::of(spec, key);
        let null =
            |(name, value): (&String, &Value)| name.eq_ignore_ascii_case("etcd") && value.is_null();
        let unset = read(spec, ETCD_ROOT).is_none() && spec.config.iter().any(null);
        if unset && (!made.root_as_read || made.etcd_root == MILVUS_ROOT) {
            places.etcd_root = MILVUS_ROOT.to_owned();
        }
        places
    }

    /// The prefix of Milvus' metadata in etcd.
    pub(crate) fn metadata(&self) -> String {
        format!("{}/{}", self.etcd_root, self.meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::resource;

    fn root(spec: &str) -> String {
        let resource = resource(&format!(
            "metadata: {{name: demo, namespace: team}}\nspec: {{{spec}}}"
        ));
        Places::of(&resource.spec, &ClusterKey::new("team", "demo")).etcd_root
    }

    #[test]
    fn one_setting_has_many_spellings_and_layers() {
        let unique = ClusterKey::new("team", "demo").unique();
        for nothing in [
            "",
            "config: {etcd: null}",
            "config: {etcd: {}}",
            "config: {etcd: {rootPath: null}}",
            "components: {env: [{name: ETCD_ENDPOINTS_X, value: mine}]}",
            // Another process' environment says nothing of this one.
            "mode: cluster, components: {standalone: {env: [{name: ETCD_ROOTPATH, value: mine}]}}",
        ] {
            assert_eq!(root(nothing), unique, "{nothing}");
        }
        for mine in [
            "config: {etcd: {rootPath: mine}}",
            "config: {etcd: {rootpath: mine}}",
            "config: {Etcd: {root_path: mine}}",
            "config: {etcd.rootPath: mine}",
            "config: {etcd: {rootPath: other}}, components: {env: [{name: ETCD_ROOTPATH, value: mine}]}",
            "components: {env: [{name: etcd.rootPath, value: mine}]}",
            "components: {env: [{name: MILVUS.ETCD_ROOTPATH, value: mine}]}",
            "components: {env: [{name: ETCD_ROOTPATH, value: other}, {name: ETCDROOTPATH, value: mine}]}",
            "mode: standalone, components: {standalone: {env: [{name: ETCD_ROOTPATH, value: mine}]}}",
        ] {
            assert_eq!(root(mine), "mine", "{mine}");
        }
    }

    #[test]
    fn bucket_and_root_path_are_read_like_it() {
        let resource = resource(
            "metadata: {name: demo}\nspec: {config: {minio: {BucketName: one}}, components: {env: [{name: MINIO_ROOTPATH, value: two}]}, dependencies: {storage: {bucket: three, rootPath: four}}}",
        );
        let places = Places::of(&resource.spec, &ClusterKey::new("default", "demo"));
        assert_eq!(
            (places.bucket.as_str(), places.object_root.as_str()),
            ("one", "two")
        );
    }

    #[test]
    fn null_sections_are_no_settings() {
        let config: Map<String, Value> = serde_json::from_value(serde_json::json!({
            "etcd": null, "future": null, "common": {"security": null, "retentionDuration": null},
            "minio": {"ssl": null},
        }))
        .unwrap();
        // A setting that is null is Milvus' to judge.
        let kept = serde_json::json!({"common": {"retentionDuration": null}, "minio": {}});
        assert_eq!(Value::Object(layer(&config)), kept);
    }
}
