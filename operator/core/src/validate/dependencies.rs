//! etcd and the object storage. Pure.

use std::collections::BTreeMap;

use milvus_crds::{MinioMode, Mode, StorageType};

use super::parts::{self, GIB};
use super::violations::Findings;
use super::{Etcd, EtcdMembers, ExternalEtcd, Input, Part, Storage, StorageKind, secrets};
use crate::component::Component;
use crate::components::{self, etcd_defaults, minio_defaults};
use crate::config::settings::Places;
use crate::endpoint::host_port;

/// Refuses what belongs to the other way of having a dependency.
pub(super) fn only(findings: &mut Findings, external: bool, path: &str, set: &[(&str, bool)]) {
    for (field, set) in set {
        if *set && external {
            findings.invalid(
                format!("{path}.{field}"),
                format!("has no meaning with {path}.external: true, by which it is not run by the operator"),
            );
        } else if *set {
            findings.invalid(
                format!("{path}.{field}"),
                format!("has a meaning with {path}.external: true only"),
            );
        }
    }
}

/// A list of addresses that must not be empty.
pub(super) fn addresses(
    findings: &mut Findings,
    field: &str,
    addresses: &[String],
    example: &str,
) -> Vec<String> {
    if addresses.is_empty() {
        findings.invalid(
            field,
            format!(
                "required when external is true: name at least one address, for example {example}"
            ),
        );
    }
    for (index, address) in addresses.iter().enumerate() {
        if host_port(address).is_none() {
            findings.invalid(
                format!("{field}[{index}]"),
                format!("{address:?} is not host:port; write it without scheme and path, for example {example}"),
            );
        }
    }
    addresses.to_vec()
}

/// The metadata store.
pub(super) fn etcd(input: &Input<'_>, findings: &mut Findings) -> Etcd {
    const PATH: &str = "spec.dependencies.etcd";
    let block = &input.spec.dependencies.etcd;
    if block.external {
        let set = [("inCluster", block.in_cluster != Default::default())];
        only(findings, true, PATH, &set);
        for (set, field) in [(block.auth.is_some(), "auth"), (block.ssl.is_some(), "ssl")] {
            if set && !input.features.etcd_auth {
                findings.invalid(
                    format!("{PATH}.{field}"),
                    format!(
                        "Milvus {} cannot do this towards etcd; use 2.3 or later",
                        input.version
                    ),
                );
            }
        }
        let login = block.auth.as_ref().and_then(|auth| {
            let field = format!("{PATH}.auth.secretRef");
            secrets::login(input, findings, &auth.secret_ref, &field)
        });
        let tls = block.ssl.as_ref().and_then(|ssl| {
            let field = format!("{PATH}.ssl.secretRef");
            secrets::tls(input, findings, &ssl.secret_ref, &field)
        });
        let endpoints = addresses(
            findings,
            &format!("{PATH}.endpoints"),
            &block.endpoints,
            "etcd-0.example.org:2379",
        );
        return Etcd::External(ExternalEtcd {
            endpoints,
            login,
            tls,
        });
    }
    let set = [
        ("endpoints", !block.endpoints.is_empty()),
        ("auth", block.auth.is_some()),
        ("ssl", block.ssl.is_some()),
    ];
    only(findings, false, PATH, &set);
    Etcd::InCluster(Box::new(etcd_members(input, findings)))
}

fn etcd_members(input: &Input<'_>, findings: &mut Findings) -> EtcdMembers {
    let path = components::resource_path(Component::Etcd);
    let values = &input.spec.dependencies.etcd.in_cluster.values;
    let default = if input.mode == Mode::Cluster { 3 } else { 1 };
    let field = format!("{path}.replicaCount");
    let replicas = parts::number(findings, &field, values.replica_count, default, 1);
    odd(findings, &field, "etcd", replicas);
    for (index, variable) in values.extra_env_vars.iter().enumerate() {
        if etcd_defaults::FORCED_ENV.contains(&variable.name.as_str()) {
            findings.invalid(
                format!("{path}.extraEnvVars[{index}].name"),
                format!(
                    "the operator sets {} by a flag, and etcd refuses to start with both",
                    variable.name
                ),
            );
        }
    }
    let heartbeat = parts::number(
        findings,
        &format!("{path}.heartbeatInterval"),
        values.heartbeat_interval,
        500,
        10,
    );
    let election = parts::number(
        findings,
        &format!("{path}.electionTimeout"),
        values.election_timeout,
        2500,
        50,
    );
    if election < heartbeat.saturating_mul(5) {
        findings.invalid(
            format!("{path}.electionTimeout"),
            format!(
                "must be at least five heartbeats ({} ms), or etcd refuses to start",
                heartbeat.saturating_mul(5)
            ),
        );
    }
    let persistence_path = format!("{path}.persistence");
    let volume = parts::durable_volume(
        input,
        findings,
        &persistence_path,
        &values.persistence,
        ("data".to_owned(), etcd_defaults::DATA_PATH.to_owned()),
        10 * GIB,
    );
    let resources_path = format!("{path}.resources");
    EtcdMembers {
        compaction_mode: values.auto_compaction_mode.unwrap_or_default(),
        compaction_retention: values
            .auto_compaction_retention
            .clone()
            .unwrap_or_else(|| "1000".to_owned()),
        quota: parts::quantity(
            findings,
            &format!("{path}.quotaBackendBytes"),
            values.quota_backend_bytes.as_ref(),
            milvus_crds::Quantity::capacity,
        )
        .unwrap_or(4 * GIB),
        snapshot_count: parts::number(
            findings,
            &format!("{path}.snapshotCount"),
            values.snapshot_count,
            50_000,
            100,
        ),
        heartbeat,
        election,
        part: Part {
            component: Component::Etcd,
            replicas,
            externally_scaled: false,
            image: parts::dependency_image(
                input,
                findings,
                &format!("{path}.image"),
                &[&values.image],
                etcd_defaults::DEFAULT_IMAGE,
            ),
            resources: parts::resources(findings, &resources_path, &values.resources),
            env: parts::env(
                input,
                findings,
                &[(format!("{path}.extraEnvVars"), &values.extra_env_vars)],
            ),
            placement: parts::placement(
                input,
                findings,
                Component::Etcd,
                &[(path.as_str(), &values.node_selector)],
            ),
            volumes: vec![volume],
            origin: parts::origin(Component::Etcd, &format!("{path}.image"), &resources_path),
        },
    }
}

/// A quorum of an even number survives no more than one of the odd number below.
pub(super) fn odd(findings: &mut Findings, field: &str, what: &str, replicas: u32) {
    if replicas.is_multiple_of(2) {
        findings.invalid(
            field,
            format!(
                "{what} needs an odd number of members, and {replicas} survive no more failures than {}; use {} or {}",
                replicas.saturating_sub(1),
                replicas.saturating_sub(1).max(1),
                replicas + 1
            ),
        );
    }
}

/// The object storage.
pub(super) fn storage(input: &Input<'_>, places: &Places, findings: &mut Findings) -> Storage {
    const PATH: &str = "spec.dependencies.storage";
    let block = &input.spec.dependencies.storage;
    let kind = block.kind.unwrap_or_default();
    let (bucket, root_path) = (places.bucket.clone(), places.object_root.clone());
    if root_path.starts_with('/') || root_path.ends_with('/') || root_path.contains("//") {
        findings.invalid(
            format!("{PATH}.rootPath"),
            "must be a prefix without slashes at its ends, for example files or team/milvus",
        );
    }
    if !bucket
        .chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'))
    {
        findings.invalid(
            format!("{PATH}.bucket"),
            "a bucket's name has lower-case letters, digits, dots and dashes only",
        );
    }
    if !block.external {
        let set = [
            ("endpoint", block.endpoint.is_some()),
            ("useSSL", block.use_ssl == Some(true)),
            ("region", block.region.is_some()),
        ];
        only(findings, false, PATH, &set);
        if kind != StorageType::MinIO {
            findings.invalid(
                format!("{PATH}.type"),
                "the operator runs MinIO only; set external to true, or use type MinIO",
            );
        }
        let (part, drives) = minio(input, findings);
        return Storage {
            bucket,
            root_path,
            credentials: secrets::minio(input, findings),
            kind: StorageKind::Minio {
                part: Box::new(part),
                drives,
            },
        };
    }
    let set = [("inCluster", block.in_cluster != Default::default())];
    only(findings, true, PATH, &set);
    let tls = block.use_ssl.unwrap_or(false);
    let default_port = if tls { 443 } else { 80 };
    let endpoint = block.endpoint.as_deref().unwrap_or("");
    let address = host_port(endpoint).or_else(|| host_port(&format!("{endpoint}:{default_port}")));
    let (host, port) = match address {
        Some(address) => address,
        None => {
            let example = "minio.example.org:9000";
            let message = if endpoint.is_empty() {
                format!(
                    "required when external is true: name the store's address, for example {example}"
                )
            } else {
                format!(
                    "{endpoint:?} is not host[:port]; write it without scheme and path, for example {example}"
                )
            };
            findings.invalid(format!("{PATH}.endpoint"), message);
            (String::new(), default_port)
        }
    };
    let credentials = block
        .secret_ref
        .as_ref()
        .and_then(|name| secrets::access_keys(input, findings, name, &format!("{PATH}.secretRef")));
    if block.secret_ref.is_none() && kind == StorageType::MinIO {
        findings.invalid(
            format!("{PATH}.secretRef"),
            "required for an external store of type MinIO: name a Secret with the keys accesskey and secretkey",
        );
    }
    Storage {
        bucket,
        root_path,
        credentials,
        kind: StorageKind::External {
            host,
            port,
            tls,
            region: block.region.clone(),
            cloud_provider: (kind == StorageType::Azure).then_some("azure"),
        },
    }
}

fn minio(input: &Input<'_>, findings: &mut Findings) -> (Part, u32) {
    let path = components::resource_path(Component::Minio);
    let values = &input.spec.dependencies.storage.in_cluster.values;
    let mode = values.mode.unwrap_or(match input.mode {
        Mode::Cluster => MinioMode::Distributed,
        Mode::Standalone => MinioMode::Standalone,
    });
    let default = match mode {
        MinioMode::Distributed => 4,
        MinioMode::Standalone => 1,
    };
    let replicas_field = format!("{path}.replicas");
    let replicas = parts::number(findings, &replicas_field, values.replicas, default, 1);
    let drives = parts::number(
        findings,
        &format!("{path}.drivesPerNode"),
        values.drives_per_node,
        1,
        1,
    );
    if let Some(problem) = erasure_problem(values.mode, replicas, drives) {
        findings.invalid(&replicas_field, problem);
    }
    for (name, value) in &values.environment {
        let field = format!("{path}.environment[{name}]");
        if minio_defaults::FORCED_ENV.contains(&name.as_str()) {
            findings.invalid(
                &field,
                "the operator sets this; credentials come from spec.dependencies.storage.secretRef",
            );
        }
        parts::variable_is_plain(findings, &field, name, value);
    }
    // Every drive has the same settings: complaints are made once.
    let mut volumes = Vec::new();
    for index in 0..drives {
        volumes.push(parts::durable_volume(
            input,
            findings,
            &format!("{path}.persistence"),
            &values.persistence,
            minio_defaults::drive(drives, index),
            100 * GIB,
        ));
    }
    let resources_path = format!("{path}.resources");
    let part = Part {
        component: Component::Minio,
        replicas,
        externally_scaled: false,
        image: parts::dependency_image(
            input,
            findings,
            &format!("{path}.image"),
            &[&values.image],
            minio_defaults::DEFAULT_IMAGE,
        ),
        resources: parts::resources(findings, &resources_path, &values.resources),
        env: BTreeMap::clone(&values.environment),
        placement: parts::placement(
            input,
            findings,
            Component::Minio,
            &[(path.as_str(), &values.node_selector)],
        ),
        volumes,
        origin: parts::origin(Component::Minio, &format!("{path}.image"), &resources_path),
    };
    (part, drives)
}

/// What MinIO would refuse of a layout, with a layout that it would take.
fn erasure_problem(mode: Option<MinioMode>, replicas: u32, drives: u32) -> Option<String> {
    let total = replicas.saturating_mul(drives);
    match (mode, total) {
        (Some(MinioMode::Standalone), 1) | (None, 1) => return None,
        (Some(MinioMode::Standalone), _) => {
            return Some(format!(
                "mode standalone is one member with one drive, not {replicas} x {drives}; use mode distributed, or leave replicas out"
            ));
        }
        _ => {}
    }
    if sets(replicas, drives) {
        return None;
    }
    // The nearest layout that works: more drives for the members that were asked for, else more members.
    let advice = (drives..=16)
        .map(|d| (replicas, d))
        .chain((replicas..=32).map(|m| (m, drives)))
        .find(|(m, d)| sets(*m, *d));
    let (m, d) = advice.unwrap_or((4, 1));
    Some(format!(
        "MinIO spreads data over at least 4 drives in sets of 2 to 16, and {replicas} members x {drives} drives do not make such sets; use {m} members x {d} drives"
    ))
}

/// Whether MinIO can make sets of the drives: 2 to 16 of them each, and the same number of every member.
fn sets(replicas: u32, drives: u32) -> bool {
    let total = replicas.saturating_mul(drives);
    let even = |count: u32, set: u32| {
        if count > set {
            count.is_multiple_of(set)
        } else {
            set.is_multiple_of(count)
        }
    };
    total >= 4
        && (2..=16).any(|set| total.is_multiple_of(set) && even(replicas, set) && even(drives, set))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_that_minio_takes() {
        let distributed = Some(MinioMode::Distributed);
        for (replicas, drives) in [
            (4, 1),
            (2, 2),
            (3, 2),
            (1, 4),
            (8, 2),
            (5, 1),
            (16, 4),
            (6, 1),
        ] {
            assert_eq!(
                erasure_problem(distributed, replicas, drives),
                None,
                "{replicas} x {drives}"
            );
        }
        assert_eq!(erasure_problem(None, 1, 1), None);
        for (replicas, drives, advice) in [
            (3, 1, "3 members x 2 drives"),
            (2, 1, "2 members x 2 drives"),
            (1, 1, "1 members x 4 drives"),
            (1, 2, "1 members x 4 drives"),
            (17, 1, "18 members x 1 drives"),
        ] {
            let problem = erasure_problem(distributed, replicas, drives).unwrap();
            assert!(
                problem.ends_with(advice),
                "{replicas} x {drives}: {problem}"
            );
        }
    }
}
