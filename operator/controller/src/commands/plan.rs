//! `plan -f FILE`: what would be created, without a cluster. Runs the real validation, placement, rendering and planner on
//! assumed nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use milvus_core::capabilities::Capabilities;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::{Desired, Shape};
use milvus_core::facts::{Facts, OtherCluster, SecretData};
use milvus_core::ledger::Ledger;
use milvus_core::names::ClusterKey;
use milvus_core::observed::{Availability, Node, NodeState, Topology};
use milvus_core::prefixes::Prefixes;
use milvus_core::rebuild::Origin;
use milvus_core::validate::{self, GeneratedSecretKind, ValidatedCluster, Violation};
use milvus_core::{desire, place};
use milvus_crds::MilvusCluster;
use milvus_platform::PlatformError;
use serde_json::Value;

use crate::cli::{PlanArgs, PlanOutput, Platform};
use crate::commands::manifest::{self, Document, ManifestError};
use crate::commands::output::{emit, say};
use crate::telemetry::chain;

#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    #[error("{name} cannot be rendered")]
    Render {
        name: String,
        #[source]
        source: PlatformError,
    },
    #[error("the plan cannot be printed as JSON")]
    Json(#[source] serde_json::Error),
    #[error("the plan cannot be printed as YAML")]
    Yaml(#[source] serde_saphyr::ser_error::Error),
    #[error("print the result")]
    Print(#[from] std::io::Error),
}

/// Prints the plan of every resource in the given files.
pub(crate) fn plan(args: &PlanArgs) -> Result<ExitCode, PlanError> {
    let (text, good) = plans(args)?;
    emit(&text)?;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What is printed, all in one, and whether every resource could be planned.
fn plans(args: &PlanArgs) -> Result<(String, bool), PlanError> {
    let mut good = true;
    let mut beside = Beside::default();
    let mut text_of_all = String::new();
    let mut objects_of_all = Vec::new();
    for (document, resource) in manifest::read(&args.input.filenames, args.input.recursive)? {
        let topology = topology(args.nodes, args.node_memory);
        match beside.offline(&document, &resource, &topology, args.input.platform) {
            Ok(planned) if args.output == PlanOutput::Text => {
                text_of_all.push_str(&text(&planned));
            }
            Ok(planned) => objects_of_all.extend(planned.objects()?),
            Err(problems) => {
                good = false;
                for problem in problems {
                    say(format!("{}: {problem}", document.who()));
                }
            }
        }
    }
    let text = match args.output {
        PlanOutput::Text => text_of_all,
        _ if objects_of_all.is_empty() => String::new(),
        PlanOutput::Json => {
            serde_json::to_string_pretty(&objects_of_all).map_err(PlanError::Json)? + "\n"
        }
        PlanOutput::Yaml => serde_saphyr::to_string(&objects_of_all).map_err(PlanError::Yaml)?,
    };
    Ok((text, good))
}

/// The resources of one run, which would stand beside each other.
#[derive(Default)]
pub(crate) struct Beside {
    /// Where each was given.
    given: BTreeMap<ClusterKey, String>,
    others: Vec<OtherCluster>,
}

impl Beside {
    /// As [`offline`], beside those that came before; and rendered, because a platform may refuse what it would have to write.
    pub(crate) fn offline(
        &mut self,
        document: &Document,
        resource: &MilvusCluster,
        topology: &Topology,
        platform: Platform,
    ) -> Result<Planned, Vec<String>> {
        let key = ClusterKey::new(document.namespace(), document.name());
        let before = self.given.insert(key.clone(), document.file.clone());
        // One without a name is given one when it is stored.
        if let Some(before) = before.filter(|_| !key.name.is_empty()) {
            return Err(vec![format!(
                "metadata.name: {key} is given twice, here and in {before}; keep one of them"
            )]);
        }
        let planned = offline(resource, topology, platform, &self.others)
            .map_err(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if let Err(error) = planned.objects() {
            return Err(vec![format!("spec: {}", chain(&error))]);
        }
        self.others.push(planned.as_other(resource));
        Ok(planned)
    }
}

/// A cluster as it would be created.
pub(crate) struct Planned {
    platform: Platform,
    cluster: ValidatedCluster,
    ledger: Ledger,
    desired: Desired,
}

/// Validates and places a resource on assumed nodes, with made-up credentials for those that would be generated or read.
pub(crate) fn offline(
    resource: &MilvusCluster,
    topology: &Topology,
    platform: Platform,
    others: &[OtherCluster],
) -> Result<Planned, Vec<Violation>> {
    let capabilities = platform.capabilities();
    let mut resource = resource.clone();
    resource
        .metadata
        .namespace
        .get_or_insert_with(|| "default".to_owned());
    resource
        .metadata
        .uid
        .get_or_insert_with(|| "00000000-0000-0000-0000-000000000000".to_owned());
    let mut facts = facts(&resource, topology, capabilities);
    facts.others = others.to_vec();
    let cluster = validate::validate(&resource, &facts, capabilities)?;
    let ledger = place::place(
        &cluster.members(),
        cluster.fixed(),
        None,
        topology,
        capabilities,
        &cluster.cluster,
        resource.spec.adopt,
    )
    .map_err(|waiting| {
        let say = |w: &milvus_core::action::Waiting| Violation {
            field: "spec".to_owned(),
            reason: milvus_core::reasons::Reason::Unschedulable,
            message: milvus_core::status::say(w),
        };
        waiting.iter().map(say).collect::<Vec<_>>()
    })?
    .ledger;
    let desired = desire::desire(&cluster, &ledger, &facts, capabilities);
    Ok(Planned {
        platform,
        cluster,
        ledger,
        desired,
    })
}

/// Nodes that all look alike.
pub(crate) fn topology(nodes: u16, memory_gib: u64) -> Topology {
    let node = |n: u16| Node {
        id: format!("node{n}"),
        name: format!("node{n}"),
        address: format!("192.0.2.{n}"),
        manager: n <= 3,
        state: NodeState::Up,
        availability: Availability::Active,
        millicpu: 16_000,
        memory: memory_gib << 30,
        labels: BTreeMap::new(),
        engine_labels: BTreeMap::new(),
        os: "linux".to_owned(),
        arch: "x86_64".to_owned(),
        reserved_memory: 0,
        reserved_millicpu: 0,
    };
    Topology {
        nodes: (1..=nodes).map(node).collect(),
    }
}

fn facts(resource: &MilvusCluster, topology: &Topology, capabilities: &Capabilities) -> Facts {
    const STAND_IN: &[u8] = b"offline-stand-in";
    let mut secrets = BTreeMap::new();
    for generated in validate::generated_secrets_needed(resource, capabilities) {
        let keys: &[&str] = match generated.kind {
            GeneratedSecretKind::MinioCredentials => &["accesskey", "secretkey"],
            GeneratedSecretKind::FingerprintKey => &["fingerprint.key"],
            GeneratedSecretKind::GatewayPki => &[
                "ca.crt",
                "ca.key",
                "tls.crt",
                "tls.key",
                "client.crt",
                "client.key",
                "fingerprint.key",
            ],
        };
        secrets.insert(generated.name, keys);
    }
    for (name, _) in validate::secrets_referenced(resource) {
        secrets.insert(
            name,
            &[
                "accesskey",
                "secretkey",
                "username",
                "password",
                "ca.crt",
                "tls.crt",
                "tls.key",
            ],
        );
    }
    let content = |keys: &[&str]| {
        SecretData(
            keys.iter()
                .map(|k| ((*k).to_owned(), STAND_IN.to_vec()))
                .collect(),
        )
    };
    let mut secrets: BTreeMap<String, SecretData> = secrets
        .into_iter()
        .map(|(name, keys)| (name, content(keys)))
        .collect();
    for (name, key) in validate::certificate_keys(&resource.spec) {
        if let Some(secret) = secrets.get_mut(&name) {
            secret.0.insert(key, STAND_IN.to_vec());
        }
    }
    Facts {
        kept_secrets: BTreeSet::new(),
        secrets,
        ledger: None,
        origin: Origin::Stored,
        replicas: BTreeMap::new(),
        topology: topology.clone(),
        others: Vec::new(),
        holds_prefixes: false,
        fingerprint_key: STAND_IN.to_vec(),
        gateway_image: crate::cli::GATEWAY_IMAGE.to_owned(),
        // Asked of no registry: references are shown as they are written.
        digests: BTreeMap::new(),
    }
}

impl Planned {
    /// The native objects.
    fn objects(&self) -> Result<Vec<Value>, PlanError> {
        let failed = |source| PlanError::Render {
            name: self.cluster.cluster.key.to_string(),
            source,
        };
        let capabilities = self.platform.capabilities();
        let values: Result<Vec<Value>, _> = match self.platform {
            Platform::Swarm => {
                let limits = milvus_swarm::render::Limits { nofile: None };
                let rendered = milvus_swarm::render::render(&self.desired, capabilities, &limits);
                let native = rendered.map_err(failed)?.native;
                native.values().map(serde_json::to_value).collect()
            }
            Platform::Kubernetes => {
                let settings = milvus_kubernetes::Settings::default();
                let rendered =
                    milvus_kubernetes::render::render(&self.desired, capabilities, &settings);
                let native = rendered.map_err(failed)?.native;
                let objects = native.values().map(|n| &n.object);
                objects.map(serde_json::to_value).collect()
            }
        };
        values.map_err(PlanError::Json)
    }

    /// What the next ones have to look out for.
    fn as_other(&self, resource: &MilvusCluster) -> OtherCluster {
        let gateway = self.cluster.gateway.as_ref();
        // Which nodes constraints admit is not known here: only one without any is on all of them.
        let constraints = gateway.map(|gateway| gateway.part.placement.constraints.join(" "));
        OtherCluster {
            key: self.cluster.cluster.key.clone(),
            port: gateway.map_or(0, |gateway| gateway.port),
            gateway_nodes: constraints.into_iter().filter(|c| !c.is_empty()).collect(),
            subnets: self.cluster.subnets(),
            prefixes: Prefixes::of(resource),
            created: String::new(),
            begun: false,
        }
    }
}

/// The plan for people: what starts when, on which image, where, with which volumes.
fn text(planned: &Planned) -> String {
    let Planned {
        platform,
        cluster,
        ledger,
        desired,
    } = planned;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "MilvusCluster {}: Milvus {}",
        cluster.cluster.key, desired.version
    );
    let _ = writeln!(text, "  networks: {}", list(desired.networks.keys()));
    let _ = writeln!(text, "  configs:  {}", list(desired.configs.keys()));
    let _ = writeln!(text, "  secrets:  {}", list(desired.secrets.keys()));
    let mut started: BTreeSet<Component> = desired.external.keys().copied().collect();
    let mut left: Vec<_> = desired.workloads.iter().collect();
    let mut wave = 1;
    while !left.is_empty() {
        let ours: BTreeSet<Component> = desired.workloads.iter().map(|w| w.component).collect();
        let open = |w: &&milvus_core::desired::Workload| {
            w.requires
                .iter()
                .all(|c| started.contains(c) || !ours.contains(c))
        };
        let (now, later): (Vec<_>, Vec<_>) = left.into_iter().partition(|w| open(w));
        if now.is_empty() {
            break; // a cycle in the catalogue, which its own test refuses
        }
        let _ = writeln!(text, "  wave {wave}:");
        for workload in &now {
            for key in workload.keys() {
                let _ = writeln!(text, "    {}", line(workload, key, ledger));
            }
        }
        started.extend(now.iter().map(|w| w.component));
        left = later;
        wave += 1;
    }
    let port = desired.endpoint.port;
    let _ = match platform {
        Platform::Swarm => writeln!(text, "  endpoint: port {port} of every node with a gateway"),
        Platform::Kubernetes => writeln!(
            text,
            "  endpoint: port {port} of Service {}-milvus ({})",
            cluster.cluster.key.name,
            desired
                .endpoint
                .service_type
                .as_deref()
                .unwrap_or("ClusterIP")
        ),
    };
    for notice in &cluster.notices {
        let _ = writeln!(text, "  note: {}", notice.message);
    }
    for notice in place::risks(ledger) {
        let _ = writeln!(text, "  note: {}", notice.message);
    }
    text
}

fn line(workload: &milvus_core::desired::Workload, key: WorkloadKey, ledger: &Ledger) -> String {
    let mut line = format!("{:<15} {}", key.to_string(), workload.image.reference);
    match &workload.shape {
        Shape::Replicated {
            externally_scaled: true,
            ..
        } => line.push_str(" as many as its autoscaler asks for"),
        Shape::Replicated { replicas, .. } => {
            let _ = write!(line, " x{replicas}");
        }
        Shape::PerNode => line.push_str(" on every node"),
        Shape::Job => line.push_str(" once"),
        Shape::Members { .. } => {
            if let Some(entry) = ledger.member(key) {
                if !entry.node_name.is_empty() {
                    let _ = write!(line, " on {}", entry.node_name);
                }
                if !entry.places().is_empty() {
                    let _ = write!(line, ", data in {}", entry.places().join(", "));
                }
            }
        }
    }
    if !workload.requires.is_empty() {
        let names: Vec<_> = workload.requires.iter().map(|c| c.name()).collect();
        let _ = write!(line, ", after {}", names.join(", "));
    }
    line
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<&str> = names.map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn planned(folder: &std::path::Path, output: &str) -> (String, bool) {
        let folder = folder.display().to_string();
        let cli = Cli::parse_from(["milvus-operator", "plan", "-f", &folder, "-o", output]);
        let Command::Plan(args) = cli.command else {
            panic!("another command");
        };
        plans(&args).expect("plans")
    }

    #[test]
    fn several_resources_are_one_document() {
        let root = tempfile::tempdir().expect("tempdir");
        for (name, port) in [("one", 19530), ("two", 19531), ("three", 19531)] {
            let text = format!(
                "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: {name}}}\nspec: {{mode: standalone, swarm: {{gateway: {{port: {port}}}}}}}\n"
            );
            std::fs::write(root.path().join(format!("{name}.yaml")), text).expect("write");
        }
        for output in ["json", "yaml"] {
            let (text, good) = planned(root.path(), output);
            // The third one, in the order of files, has the port of the second.
            assert!(!good);
            let value: Value = match output {
                "json" => serde_json::from_str(&text).expect("one document"),
                _ => serde_saphyr::from_str(&text).expect("one document"),
            };
            let text = value.to_string();
            assert!(value.as_array().is_some_and(|all| all.len() > 8));
            assert!(text.contains("one_standalone") && text.contains("three_standalone"));
            assert!(!text.contains("two_standalone"));
        }
        let (text, _) = planned(root.path(), "text");
        assert!(text.starts_with("MilvusCluster default/one: "), "{text}");
    }
}
