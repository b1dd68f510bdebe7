//! MinIO: the object storage. Pure data.

use std::collections::BTreeMap;
use std::time::Duration;

use super::MINIO_PORT;
use super::role::{NOFILE, port};
use crate::component::Component;
use crate::desire::{Context, secret_file};
use crate::desired::{Liveness, LivenessCheck, Template, Workload};
use crate::probe::{Probe, ProbeKind, ProbeTarget};
use crate::validate::{Part, StorageKind};

/// The image when the resource names none.
pub(crate) const DEFAULT_IMAGE: &str = "minio/minio:RELEASE.2024-12-18T13-15-44Z";

/// The name and the path of one of a member's drives.
pub(crate) fn drive(drives: u32, index: u32) -> (String, String) {
    if drives == 1 {
        ("data".to_owned(), "/data".to_owned())
    } else {
        (format!("data{index}"), format!("/data{index}"))
    }
}

/// Variables that the operator sets.
pub(crate) const FORCED_ENV: [&str; 6] = [
    "MINIO_ROOT_USER",
    "MINIO_ROOT_PASSWORD",
    "MINIO_ROOT_USER_FILE",
    "MINIO_ROOT_PASSWORD_FILE",
    "MINIO_VOLUMES",
    "MINIO_ADDRESS",
];

pub(super) fn workload(context: &mut Context<'_>) -> Option<Workload> {
    let StorageKind::Minio { part, drives } = &context.cluster.storage.kind else {
        return None;
    };
    let (part, drives) = (Part::clone(part), *drives);
    if let Some(credentials) = &context.cluster.storage.credentials {
        context.secret("minio-user", &credentials.user);
        context.secret("minio-key", &credentials.password);
    }
    let mut env = BTreeMap::from([
        ("MINIO_BROWSER".to_owned(), Template::from("off")),
        (
            "MINIO_ROOT_USER_FILE".to_owned(),
            Template::from("/run/secrets/minio-user"),
        ),
        (
            "MINIO_ROOT_PASSWORD_FILE".to_owned(),
            Template::from("/run/secrets/minio-key"),
        ),
    ]);
    env.extend(part.env.clone().into_iter().map(|(k, v)| (k, Template(v))));
    let mut args = vec![
        Template::from("server"),
        Template(format!("--address=:{MINIO_PORT}")),
    ];
    args.push(Template(volumes_argument(context, part.replicas, drives)));
    Some(Workload {
        component: Component::Minio,
        shape: context.shape(&part),
        image: part.image,
        command: vec!["minio".into()],
        args,
        env,
        files: vec![
            secret_file("minio-user", "/run/secrets/minio-user"),
            secret_file("minio-key", "/run/secrets/minio-key"),
        ],
        volumes: part.volumes,
        resources: part.resources,
        stop_grace: Duration::from_secs(60),
        liveness: Some(Liveness {
            check: LivenessCheck::Http {
                port: MINIO_PORT,
                path: "/minio/health/live".to_owned(),
            },
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(10),
            retries: 6,
            start_period: Duration::from_secs(120),
        }),
        placement: part.placement,
        ports: vec![port("api", MINIO_PORT)],
        published: None,
        networks: context.networks_of(Component::Minio),
        requires: Vec::new(),
        probe: Some(Probe {
            kind: ProbeKind::Minio { port: MINIO_PORT },
            target: ProbeTarget::EachMember,
        }),
        user: None,
        nofile: Some(NOFILE),
        origin: part.origin,
    })
}

/// What every member is told of all drives. MinIO wants ranges (three dots), so that later pools can be told apart.
fn volumes_argument(context: &Context<'_>, replicas: u32, drives: u32) -> String {
    let range = |count: u32| format!("{{0...{}}}", count.saturating_sub(1));
    let path = if drives == 1 {
        "/data".to_owned()
    } else {
        format!("/data{}", range(drives))
    };
    if replicas == 1 {
        return path;
    }
    let hosts = context.members(Component::Minio, &range(replicas));
    format!("http://{hosts}:{MINIO_PORT}{path}")
}
