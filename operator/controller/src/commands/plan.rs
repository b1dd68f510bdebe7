//! `plan -f FILE`: what would be created, without a cluster. Runs the real validation, placement, rendering and planner on
//! assumed nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::ExitCode;

use milvus_core::capabilities::Capabilities;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::{Desired, Shape};
use milvus_core::facts::{Facts, SecretData};
use milvus_core::ledger::Ledger;
use milvus_core::observed::{Node, Topology};
use milvus_core::rebuild::Origin;
use milvus_core::validate::{self, GeneratedSecretKind, ValidatedCluster, Violation};
use milvus_core::{desire, place};
use milvus_crds::MilvusCluster;
use milvus_platform::PlatformError;
use serde::Serialize;

use crate::cli::{PlanArgs, PlanOutput, Platform};
use crate::commands::manifest::{self, ManifestError};

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
}

/// Prints the plan of every resource in the given files.
pub(crate) fn plan(args: &PlanArgs) -> Result<ExitCode, PlanError> {
    let mut good = true;
    for resource in manifest::read(&args.input.filenames)? {
        let name = resource.metadata.name.clone().unwrap_or_default();
        let topology = topology(args.nodes, args.node_memory);
        match offline(&resource, &topology, args.input.platform) {
            Ok(planned) => print(&planned, args.output)?,
            Err(violations) => {
                good = false;
                for violation in violations {
                    eprintln!("MilvusCluster/{name}: {violation}");
                }
            }
        }
    }
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
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
    let facts = facts(&resource, topology, capabilities);
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
    })?;
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
        up: true,
        schedulable: true,
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
    Facts {
        secrets: secrets
            .into_iter()
            .map(|(name, keys)| (name, content(keys)))
            .collect(),
        ledger: None,
        origin: Origin::Stored,
        replicas: BTreeMap::new(),
        topology: topology.clone(),
        others: Vec::new(),
        holds_prefixes: false,
        fingerprint_key: STAND_IN.to_vec(),
        gateway_image: crate::cli::GATEWAY_IMAGE.to_owned(),
    }
}

fn print(planned: &Planned, output: PlanOutput) -> Result<(), PlanError> {
    if output == PlanOutput::Text {
        print!("{}", text(planned));
        return Ok(());
    }
    let failed = |source| PlanError::Render {
        name: planned.cluster.cluster.key.to_string(),
        source,
    };
    let desired = &planned.desired;
    match planned.platform {
        Platform::Swarm => {
            let limits = milvus_swarm::render::Limits { nofile: None };
            let rendered = milvus_swarm::render::render(desired, capabilities(planned), &limits);
            let native = rendered.map_err(failed)?.native;
            objects(&native.values().collect::<Vec<_>>(), output)
        }
        Platform::Kubernetes => {
            let settings = milvus_kubernetes::Settings::default();
            let rendered =
                milvus_kubernetes::render::render(desired, capabilities(planned), &settings);
            let native = rendered.map_err(failed)?.native;
            objects(
                &native.values().map(|n| &n.object).collect::<Vec<_>>(),
                output,
            )
        }
    }
}

fn capabilities(planned: &Planned) -> &'static Capabilities {
    planned.platform.capabilities()
}

fn objects(native: &impl Serialize, output: PlanOutput) -> Result<(), PlanError> {
    match output {
        PlanOutput::Json => {
            println!(
                "{}",
                serde_json::to_string_pretty(native).map_err(PlanError::Json)?
            );
        }
        PlanOutput::Yaml | PlanOutput::Text => {
            print!(
                "{}",
                serde_saphyr::to_string(native).map_err(PlanError::Yaml)?
            );
        }
    }
    Ok(())
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
