//! Services: one for each member of a stateful component, one for each other component. Pure.
//!
//! Liveness is deliberately not rendered as a health check of the engine. Swarm's DNS hides a task until its check has
//! succeeded once, so members that must find each other before any of them is healthy would wait for ever; and an engine
//! kills what fails its check. Processes that end are restarted, and readiness is judged over the wire.
//!
//! A job is a service of one task that is not started again once it has succeeded. The engine's own job mode is not used:
//! when such a service is removed, engine 20.10 lets its running task live on with nobody to end it.

use std::collections::BTreeSet;
use std::time::Duration;

use milvus_core::capabilities::Capabilities;
use milvus_core::component::WorkloadKey;
use milvus_core::desired::{
    Desired, FileSource, Image, Member, Placement, Resources, Shape, VolumeBacking, VolumeMount,
    Workload,
};
use milvus_core::names::{ClusterRef, Incarnation};
use milvus_core::outline::{ObjectClass, ObjectId, ObjectOutline, Revision};
use milvus_platform::{Class, PlatformError};
use serde::Serialize;

use super::spec::{self, ServiceSpec};
use super::{CONFIG, Limits, NETWORK, Names, SECRET};
use crate::drift;
use crate::labels::{self, Labels};

/// Between the end of a process and its next start.
const RESTART_DELAY: Duration = Duration::from_secs(2);
/// How long the engine watches a new task before it takes the next. Health is judged over the wire, one step at a time.
const MONITOR: Duration = Duration::from_secs(2);

/// The restart condition that makes a service a job.
pub const UNTIL_SUCCESS: &str = "on-failure";

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceObject {
    /// Spec with names where the engine wants ids.
    pub spec: ServiceSpec,
    /// Hash over what restarts processes.
    pub revision: String,
    /// Hash over the whole.
    pub hash: String,
}

/// The native services of one workload.
pub(super) fn render(
    desired: &Desired,
    workload: &Workload,
    names: &Names,
    capabilities: &Capabilities,
    limits: &Limits,
) -> Result<Vec<(WorkloadKey, ServiceObject, ObjectOutline)>, PlatformError> {
    let members: Vec<Option<&Member>> = match &workload.shape {
        Shape::Members { members } => members.iter().map(Some).collect(),
        Shape::Replicated { .. } | Shape::Job | Shape::PerNode => vec![None],
    };
    members
        .into_iter()
        .map(|member| render_one(desired, workload, member, names, capabilities, limits))
        .collect()
}

fn render_one(
    desired: &Desired,
    workload: &Workload,
    member: Option<&Member>,
    names: &Names,
    capabilities: &Capabilities,
    limits: &Limits,
) -> Result<(WorkloadKey, ServiceObject, ObjectOutline), PlatformError> {
    // Every field is named, so that a new one cannot be forgotten here.
    let Workload {
        component,
        shape,
        image,
        command,
        args,
        env,
        files,
        volumes,
        resources,
        stop_grace,
        liveness: _, // see the module's header
        placement,
        ports: _, // every port is open inside an overlay network
        published,
        networks,
        requires: _, // the planner's
        probe: _,    // the operator's
        user,
        nofile,
        origin: _, // for messages
    } = workload;
    let cluster = &desired.cluster;
    let key = match member {
        Some(member) => WorkloadKey::member(*component, member.ordinal),
        None => WorkloadKey::shared(*component),
    };
    let host = capabilities.addressing.host(&cluster.key, key);
    let fill = |template: &milvus_core::desired::Template| template.for_member(key, &host);
    // Docker has no pull policy for services: every node pulls when it can and otherwise uses what it has.
    let Image {
        reference,
        pull_policy: _,
        pull_secrets: _,
    } = image;

    let mut uses = BTreeSet::new();
    let mut configs = Vec::new();
    let mut secrets = Vec::new();
    for mount in files {
        let owner = numeric_user(user.as_deref());
        let file = spec::FileTarget {
            name: mount.path.clone(),
            uid: owner.clone(),
            gid: owner,
            mode: mount.mode,
        };
        match &mount.source {
            FileSource::Config(short) => {
                let config_name = known(&names.configs, CONFIG, short, key)?;
                uses.insert(ObjectId::new(CONFIG, config_name.clone()));
                configs.push(spec::ConfigReference { file, config_name });
            }
            FileSource::Secret(short) => {
                let secret_name = known(&names.secrets, SECRET, short, key)?;
                uses.insert(ObjectId::new(SECRET, secret_name.clone()));
                secrets.push(spec::SecretReference { file, secret_name });
            }
        }
    }
    configs.sort_by(|a, b| (&a.file.name, &a.config_name).cmp(&(&b.file.name, &b.config_name)));
    secrets.sort_by(|a, b| (&a.file.name, &a.secret_name).cmp(&(&b.file.name, &b.secret_name)));

    let mut aliases = vec![host.clone()];
    if member.is_some() {
        aliases.push(
            capabilities
                .addressing
                .host(&cluster.key, WorkloadKey::shared(*component)),
        );
    }
    let mut attachments = Vec::new();
    for short in networks {
        let target = known(&names.networks, NETWORK, short, key)?;
        uses.insert(ObjectId::new(NETWORK, target.clone()));
        attachments.push(spec::NetworkAttachment {
            target,
            aliases: aliases.clone(),
        });
    }
    attachments.sort_by(|a, b| a.target.cmp(&b.target));

    let mut mounts = volumes
        .iter()
        .map(|volume| mount(cluster, key, member, volume))
        .collect::<Result<Vec<_>, _>>()?;
    mounts.sort_by(|a, b| a.target.cmp(&b.target));

    let container = spec::ContainerSpec {
        image: reference.clone(),
        labels: labels::workload(&cluster.key, key),
        command: command.iter().map(fill).collect(),
        args: args.iter().map(fill).collect(),
        hostname: member.map(|_| host.clone()),
        env: env
            .iter()
            .map(|(name, value)| format!("{name}={}", literal(&fill(value))))
            .collect(),
        user: user.clone(),
        mounts,
        stop_grace_period: nanoseconds(*stop_grace),
        configs,
        secrets,
        ulimits: nofile
            .iter()
            .map(|wanted| (*wanted).min(limits.nofile.unwrap_or(u64::MAX)))
            .map(|limit| spec::Ulimit {
                name: "nofile",
                soft: limit,
                hard: limit,
            })
            .collect(),
    };
    let job = matches!(shape, Shape::Job);
    let (mode, replicas) = match shape {
        Shape::Replicated { replicas, .. } => (
            spec::Mode::Replicated {
                replicas: *replicas,
            },
            Some(*replicas),
        ),
        Shape::Members { .. } | Shape::Job => (spec::Mode::Replicated { replicas: 1 }, Some(1)),
        Shape::PerNode => (spec::Mode::Global {}, None),
    };
    let mut service = ServiceSpec {
        name: cluster.key.workload(key),
        labels: Labels::new(),
        task_template: spec::TaskTemplate {
            container_spec: container,
            resources: amounts(resources),
            restart_policy: spec::RestartPolicy {
                condition: if job { UNTIL_SUCCESS } else { "any" },
                delay: nanoseconds(RESTART_DELAY),
            },
            placement: constraints(placement, member),
            networks: attachments,
            log_driver: desired.logging.as_ref().map(|logging| spec::LogDriver {
                name: logging.driver.clone(),
                options: logging.options.clone(),
            }),
        },
        mode,
        update_config: (!job).then(|| spec::UpdateConfig {
            parallelism: 1,
            failure_action: "pause",
            monitor: nanoseconds(MONITOR),
            order: "stop-first",
        }),
        endpoint_spec: spec::EndpointSpec {
            mode: "dnsrr",
            ports: published
                .iter()
                .map(|port| spec::PublishedPort {
                    name: port.name.clone(),
                    protocol: "tcp",
                    target_port: port.number,
                    published_port: port.number,
                    publish_mode: "host",
                })
                .collect(),
        },
    };
    let revision = drift::revision(&service.to_value());
    service.labels = service_labels(cluster, key, &revision);
    let hash = drift::hash(&drift::normalised(&service.to_value()));
    service
        .labels
        .insert(labels::SPEC_HASH.to_owned(), hash.clone());
    // Information for people; comparing it would turn every edit of the resource into a write of every service.
    service.labels.insert(
        labels::GENERATION.to_owned(),
        cluster.generation.to_string(),
    );
    let outline = ObjectOutline {
        class: ObjectClass::Workload,
        workload: Some(key),
        revision: Revision(revision.clone()),
        uses,
        replicas,
        // An update would run a finished job again: it is made anew instead.
        mutable: !job,
    };
    let object = ServiceObject {
        spec: service,
        revision,
        hash,
    };
    Ok((key, object, outline))
}

fn service_labels(cluster: &ClusterRef, key: WorkloadKey, revision: &str) -> Labels {
    let mut all = labels::owner(cluster);
    all.insert(
        labels::COMPONENT.to_owned(),
        key.component.name().to_owned(),
    );
    if let Some(ordinal) = key.ordinal {
        all.insert(labels::ORDINAL.to_owned(), ordinal.to_string());
    }
    all.insert(labels::REVISION.to_owned(), revision.to_owned());
    all
}

fn known(
    names: &std::collections::BTreeMap<String, String>,
    kind: &str,
    short: &str,
    key: WorkloadKey,
) -> Result<String, PlatformError> {
    names.get(short).cloned().ok_or_else(|| {
        PlatformError::new(
            Class::Bug,
            format!("render {key}"),
            format!("it uses the {kind} {short:?}, which the cluster does not have"),
        )
    })
}

fn mount(
    cluster: &ClusterRef,
    key: WorkloadKey,
    member: Option<&Member>,
    volume: &VolumeMount,
) -> Result<spec::Mount, PlatformError> {
    let VolumeMount {
        name,
        path,
        backing,
        size: _,          // volumes of an engine have no size of their own
        storage_class: _, // nor classes
        durable,
    } = volume;
    // Names are taken as templates by the engine, and so are volume labels and driver options.
    let of = match (durable, member) {
        (true, None) => {
            return Err(PlatformError::new(
                Class::Bug,
                format!("render {key}"),
                format!("its volume {name:?} is to be kept, but it has no ordinal to keep it by"),
            ));
        }
        (true, Some(member)) => Some(&member.incarnation),
        (false, _) => None,
    };
    let mut mount = spec::Mount {
        kind: "volume",
        source: String::new(),
        target: path.clone(),
        volume_options: None,
        tmpfs_options: None,
    };
    match backing {
        VolumeBacking::Volume { driver, options } => {
            // Without a source the engine makes an anonymous volume and removes it with the container.
            if let Some(of) = of {
                mount.source = cluster.key.volume(key, name, of);
            }
            mount.volume_options = Some(spec::VolumeOptions {
                labels: labels::workload(&cluster.key, key),
                driver_config: (driver.is_some() || !options.is_empty()).then(|| {
                    spec::DriverConfig {
                        name: driver.clone().unwrap_or_else(|| "local".to_owned()),
                        options: driver_options(cluster, key, name, of, options),
                    }
                }),
            });
        }
        VolumeBacking::Bind { base } => {
            let of = of.or(member.map(|m| &m.incarnation)).ok_or_else(|| {
                PlatformError::new(
                    Class::Invalid,
                    format!("render {key}"),
                    format!("its volume {name:?} cannot be a directory of the node: instances without an ordinal would share it"),
                )
            })?;
            mount.kind = "bind";
            mount.source = literal(&below(cluster, key, name, of, base));
        }
        VolumeBacking::Tmpfs { size } => {
            mount.kind = "tmpfs";
            mount.tmpfs_options = size.map(|size_bytes| spec::TmpfsOptions { size_bytes });
        }
    }
    Ok(mount)
}

/// The directory of one member below a base path.
fn below(
    cluster: &ClusterRef,
    key: WorkloadKey,
    volume: &str,
    of: &Incarnation,
    base: &str,
) -> String {
    let directory = cluster.key.directory(key, volume, of);
    format!("{}/{directory}", base.trim_end_matches('/'))
}

/// A device that is a directory of the node is a base path too, as for binds: members must not share it. `{volume}` stands for
/// the volume's own name, for shares that every node sees.
fn driver_options(
    cluster: &ClusterRef,
    key: WorkloadKey,
    volume: &str,
    of: Option<&Incarnation>,
    options: &Labels,
) -> Labels {
    let is_directory = options.get("type").is_some_and(|t| t == "none");
    options
        .iter()
        .map(|(option, value)| {
            let value = match of {
                Some(of) if is_directory && option == "device" => {
                    below(cluster, key, volume, of, value)
                }
                Some(of) => value.replace("{volume}", &cluster.key.volume(key, volume, of)),
                None => value.clone(),
            };
            (option.clone(), literal(&value))
        })
        .collect()
}

fn constraints(placement: &Placement, member: Option<&Member>) -> spec::Placement {
    let Placement {
        node_selector,
        constraints,
        spread: _, // Swarm's scheduler spreads a service's tasks first of all; members are spread by the ledger
    } = placement;
    let mut all: Vec<String> = node_selector
        .iter()
        .map(|(label, value)| format!("node.labels.{label}=={value}"))
        .chain(constraints.iter().cloned())
        .chain(
            member
                .and_then(|m| m.node.as_ref())
                .map(|node| format!("node.id=={node}")),
        )
        .collect();
    all.sort();
    all.dedup();
    spec::Placement { constraints: all }
}

fn amounts(resources: &Resources) -> spec::Resources {
    let Resources {
        request_millicpu,
        request_memory,
        limit_millicpu,
        limit_memory,
    } = resources;
    let pair = |millicpu: &Option<u64>, memory: &Option<u64>| {
        (millicpu.is_some() || memory.is_some()).then(|| spec::Amounts {
            nano_cpus: millicpu.map(|m| m.saturating_mul(1_000_000)),
            memory_bytes: *memory,
        })
    };
    spec::Resources {
        limits: pair(limit_millicpu, limit_memory),
        reservations: pair(request_millicpu, request_memory),
    }
}

/// The user id that files belong to: the process's own where it is a number, else root.
fn numeric_user(user: Option<&str>) -> String {
    user.and_then(|u| u.split(':').next())
        .filter(|u| u.parse::<u32>().is_ok())
        .unwrap_or("0")
        .to_owned()
}

/// The engine expands templates in some texts; this keeps a user's braces as they are.
fn literal(text: &str) -> String {
    text.replace("{{", "{{\"{{\"}}")
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_of_the_user_are_kept() {
        assert_eq!(literal("a {{x}} b"), "a {{\"{{\"}}x}} b");
        assert_eq!(literal("plain {x}"), "plain {x}");
    }

    #[test]
    fn files_belong_to_a_numeric_user() {
        assert_eq!(numeric_user(Some("10001:10001")), "10001");
        assert_eq!(numeric_user(Some("milvus")), "0");
        assert_eq!(numeric_user(None), "0");
    }
}
