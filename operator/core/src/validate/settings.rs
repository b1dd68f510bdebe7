//! The user's layer of milvus.yaml and the environments that win over it: everything goes but what holds the cluster together,
//! and what contradicts the services that the cluster is made with. Pure.

use milvus_crds::Components;
use serde_json::{Map, Value};

use super::violations::Findings;
use super::{Input, Queue, StorageKind, ValidatedCluster, wiring};
use crate::components::BROKER_WEB_PORT;
use crate::config::milvus::{KAFKA_CA, forced};
use crate::config::settings::{
    self, ETCD_META, ETCD_ROOT, Places, comparable, join, of_variable, says_nothing, switch, text,
};
use crate::reasons::Reason;

pub(super) fn check(input: &Input<'_>, places: &Places, findings: &mut Findings) {
    walk(&input.spec.config, "", findings);
    twice(&input.spec.config, findings);
    for (name, value) in [(ETCD_ROOT, &places.etcd_root), (ETCD_META, &places.meta)] {
        let fine = !value.is_empty()
            && value.split('/').all(|step| {
                !matches!(step, "" | "." | "..") && !step.contains(char::is_whitespace)
            });
        if !fine {
            findings.invalid(
                settings::field(input.spec, name),
                "must be a prefix without slashes at its ends",
            );
        }
    }
    roles_agree(input, places, findings);
}

fn walk(section: &Map<String, Value>, at: &str, findings: &mut Findings) {
    for (key, value) in section {
        let path = join(at, key);
        let field = format!("spec.config.{path}");
        if says_nothing(&path, value) {
            continue;
        }
        if let Some((_, why)) = forced(&path)
            && !value.is_object()
        {
            findings.invalid(field, format!("the operator sets this: {why}"));
        } else if settings::is_section(&path) && !value.is_object() {
            findings.invalid(
                field,
                format!("Milvus has a section of settings here, and {} is none; write the settings below it, or remove it", shown(value)),
            );
        } else if settings::is_place(&path) && !value.is_string() {
            findings.invalid(field, "must be text: a prefix without slashes at its ends");
        } else if let Value::Object(inner) = value {
            walk(inner, &path, findings);
        }
    }
}

/// What stands in the place of a section, without its content.
fn shown(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Of two spellings of one setting Milvus reads any.
fn twice(config: &Map<String, Value>, findings: &mut Findings) {
    let mut seen = std::collections::BTreeMap::new();
    for (path, _) in settings::leaves(config) {
        if let Some(first) = seen.insert(comparable(&path), path.clone()) {
            findings.invalid(
                format!("spec.config.{path}"),
                format!("Milvus takes this and {first} for one setting; keep one of them"),
            );
        }
    }
}

/// One process with another root would be a cluster of its own.
fn roles_agree(input: &Input<'_>, places: &Places, findings: &mut Findings) {
    for (path, variables) in environments(input) {
        for (index, variable) in variables.iter().enumerate() {
            let place = match of_variable(&variable.name) {
                name if name == comparable(ETCD_ROOT) => &places.etcd_root,
                name if name == comparable(ETCD_META) => &places.meta,
                _ => continue,
            };
            if variable.value.as_ref() != Some(place) {
                findings.invalid(
                    format!("{path}[{index}]"),
                    format!("Milvus would take {} for the place of its metadata, which is {place} for the other processes and for the operator; set spec.config.{ETCD_ROOT} instead, which all of them read", variable.name),
                );
            }
        }
    }
}

/// Every environment of a Milvus process, with its path.
fn environments<'a>(input: &'a Input<'_>) -> Vec<(String, &'a [milvus_crds::EnvVar])> {
    let components = &input.spec.components;
    let roles = Components::NAMES.iter().filter_map(|name| {
        let role = components.get(name)?;
        Some((format!("spec.components.{name}.env"), role.env.as_slice()))
    });
    let shared = ("spec.components.env".to_owned(), components.env.as_slice());
    std::iter::once(shared).chain(roles).collect()
}

/// A setting that the cluster's own services leave no choice about.
pub(super) struct Rule {
    name: String,
    allowed: Box<dyn Fn(&str) -> bool>,
    why: &'static str,
    reason: Reason,
}

impl Rule {
    pub(super) fn new(
        name: impl Into<String>,
        why: &'static str,
        allowed: impl Fn(&str) -> bool + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            allowed: Box::new(allowed),
            why,
            reason: Reason::InvalidSpec,
        }
    }

    /// For a rule that clusters of earlier versions may not keep: one that has begun is looked after all the same.
    pub(super) fn sparing_what_runs(self) -> Self {
        let reason = Reason::SettingRefused;
        Self { reason, ..self }
    }
}

/// Settings that contradict what the cluster is made of.
pub(super) fn contradictions(
    input: &Input<'_>,
    cluster: &ValidatedCluster,
    findings: &mut Findings,
) {
    let mut rules = rules(cluster);
    let wiring = wiring::rules(input).into_iter();
    rules.extend(wiring.map(Rule::sparing_what_runs));
    let rule = |name: &str| rules.iter().find(|rule| comparable(&rule.name) == name);
    for (path, value) in settings::leaves(&input.spec.config) {
        if let Some(rule) = rule(&comparable(&path))
            && !(rule.allowed)(&text(value).unwrap_or_default())
        {
            findings.refuse(rule.reason, format!("spec.config.{path}"), rule.why);
        }
    }
    for (path, variables) in environments(input) {
        for (index, variable) in variables.iter().enumerate() {
            let Some(rule) = rule(&of_variable(&variable.name)) else {
                continue;
            };
            let known = variable.value_from.is_none();
            if !known || !(rule.allowed)(variable.value.as_deref().unwrap_or_default()) {
                findings.refuse(
                    rule.reason,
                    format!("{path}[{index}]"),
                    format!(
                        "Milvus would take {} for its setting {}: {}",
                        variable.name, rule.name, rule.why
                    ),
                );
            }
        }
    }
}

fn rules(cluster: &ValidatedCluster) -> Vec<Rule> {
    let blank = |value: &str| value.trim().is_empty();
    let mut rules = vec![Rule::new(
        "metastore.type",
        "the metadata of this cluster is in etcd; remove it",
        move |value| blank(value) || value.eq_ignore_ascii_case("etcd"),
    )];
    let keys = cluster.storage.credentials.is_some();
    match &cluster.storage.kind {
        StorageKind::Minio { .. } => {
            rules.extend([
                Rule::new(
                    "minio.useIAM",
                    "the MinIO of this cluster knows its keys only, and with useIAM Milvus asks the cloud for a role and leaves the keys aside; remove it, or use an external store without secretRef",
                    |value| !switch(value),
                ),
                Rule::new(
                    "minio.iamEndpoint",
                    "the MinIO of this cluster is reached with keys, not with a role of the cloud; remove it",
                    blank,
                ),
                Rule::new(
                    "minio.cloudProvider",
                    "the store of this cluster is a MinIO that the operator runs; remove it, or use an external store",
                    move |value| blank(value) || ["aws", "minio"].contains(&value),
                ),
                Rule::new(
                    "minio.useVirtualHost",
                    "the MinIO of this cluster has one host name, whatever the bucket; remove it",
                    |value| !switch(value),
                ),
                Rule::new(
                    "minio.ssl.tlsCACert",
                    "the MinIO of this cluster speaks no TLS; remove it, or use an external store with useSSL",
                    blank,
                ),
            ]);
        }
        StorageKind::External { cloud_provider, .. } => {
            let why = if keys {
                "with it Milvus leaves the keys of spec.dependencies.storage.secretRef aside; remove one of the two"
            } else {
                "spec.dependencies.storage names no keys, so the store's own identity service decides; name them with secretRef, or remove this"
            };
            rules.push(Rule::new("minio.useIAM", why, move |value| {
                switch(value) != keys
            }));
            if let Some(provider) = *cloud_provider {
                rules.push(Rule::new(
                    "minio.cloudProvider",
                    "spec.dependencies.storage.type says what the store is; remove it",
                    move |value| value == provider,
                ));
            }
        }
    }
    match &cluster.queue {
        Queue::Pulsar(_) => {
            for name in ["pulsar.authPlugin", "pulsar.authParams"] {
                rules.push(Rule::new(
                    name,
                    "the Pulsar of this cluster asks for no login; remove it, or use an external one",
                    move |value| blank(value) || value == "{}",
                ));
            }
            for (name, made) in [("pulsar.tenant", "public"), ("pulsar.namespace", "default")] {
                rules.push(Rule::new(
                    name,
                    "the Pulsar of this cluster has the tenant public and its namespace default only; remove it",
                    move |value| value == made,
                ));
            }
            rules.push(Rule::new(
                "pulsar.webport",
                "the port of the brokers that the operator runs is fixed; remove it",
                |value| value.parse() == Ok(BROKER_WEB_PORT),
            ));
        }
        Queue::ExternalKafka { access, .. } if access.ca.is_some() => {
            rules.push(Rule::new(
                "kafka.ssl.enabled",
                "the Secret of spec.dependencies.kafka.secretRef has a ca.pem, which is for TLS; remove one of the two",
                switch,
            ));
            rules.push(Rule::new(
                "kafka.ssl.tlsCaCert",
                "ca.pem in the Secret of spec.dependencies.kafka.secretRef is the authority; remove one of the two",
                |value| value == KAFKA_CA,
            ));
        }
        Queue::ExternalWoodpecker { .. } => rules.push(Rule::new(
            "woodpecker.client.quorum.quorumBufferPools",
            "the operator sets this: set spec.dependencies.woodpecker.quorumBufferPools",
            |_| false,
        )),
        _ => {}
    }
    rules
}
