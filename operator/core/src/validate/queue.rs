//! The write-ahead log: which kind, and what it takes. Pure.

use milvus_crds::{Mode, MsgStreamType, PulsarValues};

use super::dependencies::{addresses, odd, only};
use super::parts::{self, GIB};
use super::violations::Findings;
use super::{Input, JavaPart, Part, Pulsar, Queue, kafka};
use crate::component::Component;
use crate::components::{self, zookeeper_defaults};
use crate::config::pulsar::{BOOKKEEPER_FORCED, BROKER_FORCED};
use crate::config::settings;
use crate::endpoint::host_port;
use crate::reasons::Reason;
use crate::version::MessageQueue;

const TYPE: &str = "spec.dependencies.msgStreamType";

/// The queue in force.
pub(super) fn queue(input: &Input<'_>, findings: &mut Findings) -> Queue {
    let kind = kind(input, findings);
    let dependencies = &input.spec.dependencies;
    for (mine, set, name) in [
        (
            MessageQueue::Pulsar,
            dependencies.pulsar != Default::default(),
            "pulsar",
        ),
        (
            MessageQueue::Kafka,
            dependencies.kafka != Default::default(),
            "kafka",
        ),
        (
            MessageQueue::Rocksmq,
            dependencies.rocksmq != Default::default(),
            "rocksmq",
        ),
        (
            MessageQueue::Woodpecker,
            dependencies.woodpecker != Default::default(),
            "woodpecker",
        ),
    ] {
        if set && mine != kind {
            findings.invalid(
                format!("spec.dependencies.{name}"),
                format!("the message queue of this cluster is {kind}; set {TYPE} to {name}, or remove this block"),
            );
        }
    }
    if dependencies.natsmq != Default::default()
        && dependencies.msg_stream_type != Some(MsgStreamType::Natsmq)
    {
        findings.invalid(
            "spec.dependencies.natsmq",
            format!("the message queue of this cluster is {kind}; remove this block"),
        );
    }
    match kind {
        MessageQueue::Pulsar if dependencies.pulsar.external => external_pulsar(input, findings),
        MessageQueue::Pulsar => {
            let set = [("endpoint", dependencies.pulsar.endpoint.is_some())];
            only(findings, false, "spec.dependencies.pulsar", &set);
            Queue::Pulsar(Box::new(pulsar(input, findings)))
        }
        MessageQueue::Kafka => external_kafka(input, findings),
        MessageQueue::Rocksmq => Queue::Rocksmq,
        MessageQueue::Woodpecker => {
            let block = &dependencies.woodpecker;
            if block.persistence.is_some() {
                findings.not_yet(
                    "spec.dependencies.woodpecker.persistence",
                    "a log on local files; it is kept on the object storage",
                );
            }
            if block.external {
                return external_woodpecker(input, findings);
            }
            let set = [("quorumBufferPools", !block.quorum_buffer_pools.is_empty())];
            only(findings, false, "spec.dependencies.woodpecker", &set);
            Queue::Woodpecker
        }
    }
}

fn kind(input: &Input<'_>, findings: &mut Findings) -> MessageQueue {
    let features = &input.features;
    let default = match input.mode {
        Mode::Standalone => features.standalone_queue,
        Mode::Cluster => features.cluster_queue,
    };
    let asked = match input.spec.dependencies.msg_stream_type {
        None => return default,
        Some(MsgStreamType::Pulsar) => MessageQueue::Pulsar,
        Some(MsgStreamType::Kafka) => MessageQueue::Kafka,
        Some(MsgStreamType::Rocksmq) => MessageQueue::Rocksmq,
        Some(MsgStreamType::Woodpecker) => MessageQueue::Woodpecker,
        Some(MsgStreamType::Natsmq) => {
            findings.not_yet(TYPE, format!("natsmq; use {default}"));
            return default;
        }
        Some(MsgStreamType::Custom) => {
            findings.not_yet(TYPE, format!("a queue configured by hand; use {default}"));
            return default;
        }
    };
    if asked == MessageQueue::Woodpecker && !features.woodpecker {
        findings.invalid(
            TYPE,
            format!(
                "woodpecker exists from Milvus 2.6 on, and this is {}; use {default}",
                input.version
            ),
        );
        return default;
    }
    if asked == MessageQueue::Rocksmq && input.mode == Mode::Cluster {
        findings.invalid(
            TYPE,
            format!(
                "rocksmq lives inside one process and needs spec.mode standalone; use {default}"
            ),
        );
        return default;
    }
    // Without a key for it, these versions take the first queue of which their own file has a section.
    let expected = match input.mode {
        Mode::Standalone => MessageQueue::Rocksmq,
        Mode::Cluster => MessageQueue::Pulsar,
    };
    if !features.queue_by_key && asked != expected {
        findings.not_yet(
            TYPE,
            format!("{asked} with Milvus {}; use {expected}", input.version),
        );
        return default;
    }
    asked
}

fn external_pulsar(input: &Input<'_>, findings: &mut Findings) -> Queue {
    const PATH: &str = "spec.dependencies.pulsar";
    let block = &input.spec.dependencies.pulsar;
    let set = [("inCluster", block.in_cluster != Default::default())];
    only(findings, true, PATH, &set);
    let written = block.endpoint.as_deref().unwrap_or_default();
    let (tls, address) = match (
        written.strip_prefix("pulsar+ssl://"),
        written.strip_prefix("pulsar://"),
    ) {
        (Some(address), _) => (true, address),
        (None, Some(address)) => (false, address),
        (None, None) => (false, written),
    };
    let Some((host, port)) = host_port(address) else {
        let what = if written.is_empty() {
            "required when external is true: name the address of a broker or proxy".to_owned()
        } else {
            format!("{written:?} is neither host:port nor pulsar+ssl://host:port")
        };
        findings.invalid(
            format!("{PATH}.endpoint"),
            format!("{what}, for example pulsar.example.org:6650, or pulsar+ssl://pulsar.example.org:6651 for TLS"),
        );
        return Queue::ExternalPulsar {
            host: String::new(),
            port: 0,
            tls,
        };
    };
    pulsar_login(input, findings);
    Queue::ExternalPulsar { host, port, tls }
}

/// The login at an external Pulsar, which is Milvus' own setting in two halves.
fn pulsar_login(input: &Input<'_>, findings: &mut Findings) {
    const PLUGIN: &str = "pulsar.authPlugin";
    const PARAMETERS: &str = "pulsar.authParams";
    let referred = |name: &str| {
        let blocks = settings::common_environment(input.spec).into_iter();
        let mut variables = blocks.flat_map(|(_, variables)| variables);
        variables.any(|variable| {
            variable.value_from.is_some()
                && settings::of_variable(&variable.name) == settings::comparable(name)
        })
    };
    // What comes from a Secret is a value, whatever it is.
    let set = |name: &str| {
        referred(name)
            || settings::read(input.spec, name).is_some_and(|v| !matches!(v.trim(), "" | "{}"))
    };
    let field = |name: &str| settings::field(input.spec, name);
    match (set(PLUGIN), set(PARAMETERS)) {
        (false, false) => {}
        (true, true) => findings.notice(
            Reason::LoginNotChecked,
            field(PARAMETERS),
            "the operator asks Pulsar for a connection only and does not check this login; what Pulsar says of it is in the log of Milvus",
        ),
        (true, false) => findings.refuse(
            Reason::SettingRefused,
            field(PLUGIN),
            "it has no login to show: set spec.config.pulsar.authParams as well (for authPlugin token, token:TEXT), or remove it",
        ),
        (false, true) => findings.refuse(
            Reason::SettingRefused,
            field(PARAMETERS),
            "it does not say how to log in: set spec.config.pulsar.authPlugin as well, for example token, or remove it",
        ),
    }
}

/// Log stores keep what is older in the object store, and what they hold is known in etcd: both must be within their reach.
fn external_woodpecker(input: &Input<'_>, findings: &mut Findings) -> Queue {
    const PATH: &str = "spec.dependencies.woodpecker.quorumBufferPools";
    let dependencies = &input.spec.dependencies;
    let pools = &dependencies.woodpecker.quorum_buffer_pools;
    if pools.is_empty() {
        findings.invalid(
            PATH,
            "required when external is true: name at least one pool of log stores",
        );
    }
    let mut names = std::collections::BTreeSet::new();
    for (index, pool) in pools.iter().enumerate() {
        let path = format!("{PATH}[{index}]");
        if pool.name.trim().is_empty() || !names.insert(pool.name.as_str()) {
            findings.invalid(format!("{path}.name"), "every pool has a name of its own");
        }
        let example = "logstore-0.example.org:18080";
        addresses(findings, &format!("{path}.seeds"), &pool.seeds, example);
    }
    if input.capabilities.service_types.is_empty() {
        for (external, field) in [
            (dependencies.etcd.external, "etcd"),
            (dependencies.storage.external, "storage"),
        ] {
            if !external {
                findings.unsupported(
                    format!("spec.dependencies.{field}.external"),
                    input.capabilities.platform,
                    "external log stores use the same object store and etcd as Milvus, and those of the cluster are out of their reach; use external ones",
                );
            }
        }
    }
    let pools = pools.clone();
    Queue::ExternalWoodpecker { pools }
}

fn external_kafka(input: &Input<'_>, findings: &mut Findings) -> Queue {
    const PATH: &str = "spec.dependencies.kafka";
    let block = &input.spec.dependencies.kafka;
    if !block.external {
        findings.not_yet(
            format!("{PATH}.inCluster"),
            "a Kafka that the operator runs; set external to true and name its brokers, or use pulsar",
        );
        return Queue::Rocksmq;
    }
    let set = [("inCluster", block.in_cluster != Default::default())];
    only(findings, true, PATH, &set);
    let brokers = addresses(
        findings,
        &format!("{PATH}.brokerList"),
        &block.broker_list,
        "kafka-0.example.org:9092",
    );
    let access = kafka::access(input, findings);
    Queue::ExternalKafka { brokers, access }
}

fn pulsar(input: &Input<'_>, findings: &mut Findings) -> Pulsar {
    let values = &input.spec.dependencies.pulsar.in_cluster.values;
    Pulsar {
        zookeeper: zookeeper(input, findings, values),
        bookkeeper: bookkeeper(input, findings, values),
        broker: broker(input, findings, values),
    }
}

fn image(
    input: &Input<'_>,
    findings: &mut Findings,
    values: &PulsarValues,
) -> (crate::desired::Image, String) {
    const PATH: &str = "spec.dependencies.pulsar.inCluster.values.image";
    let default = zookeeper_defaults::DEFAULT_IMAGE;
    let image = parts::dependency_image(input, findings, PATH, &[&values.image], default);
    (image, PATH.to_owned())
}

fn zookeeper(input: &Input<'_>, findings: &mut Findings, values: &PulsarValues) -> JavaPart {
    let component = Component::Zookeeper;
    let path = components::resource_path(component);
    let block = &values.zookeeper;
    let field = format!("{path}.replicaCount");
    let replicas = parts::number(findings, &field, block.replica_count, 3, 1);
    odd(findings, &field, "ZooKeeper", replicas);
    let (image, image_field) = image(input, findings, values);
    let resources_path = format!("{path}.resources");
    let part = Part {
        component,
        replicas,
        externally_scaled: false,
        image,
        resources: parts::resources(findings, &resources_path, &block.resources),
        env: std::collections::BTreeMap::new(),
        placement: parts::placement(
            input,
            findings,
            component,
            &[(path.as_str(), &block.node_selector)],
        ),
        volumes: vec![parts::durable_volume(
            input,
            findings,
            &format!("{path}.persistence"),
            &block.persistence,
            ("data".to_owned(), zookeeper_defaults::DATA_PATH.to_owned()),
            20 * GIB,
        )],
        origin: parts::origin(component, &image_field, &resources_path),
    };
    let memory = memory(findings, &path, block.mem.as_ref(), &block.resources, false);
    JavaPart {
        part,
        memory: memory.unwrap_or_else(|| "-Xms64m -Xmx256m".to_owned()),
        settings: std::collections::BTreeMap::new(),
    }
}

fn bookkeeper(input: &Input<'_>, findings: &mut Findings, values: &PulsarValues) -> JavaPart {
    let component = Component::Bookkeeper;
    let path = components::resource_path(component);
    let block = &values.bookkeeper;
    let field = format!("{path}.replicaCount");
    let replicas = parts::number(findings, &field, block.replica_count, 3, 1);
    let (image, image_field) = image(input, findings, values);
    let resources_path = format!("{path}.resources");
    let part = Part {
        component,
        replicas,
        externally_scaled: false,
        image,
        resources: parts::resources(findings, &resources_path, &block.resources),
        env: std::collections::BTreeMap::new(),
        placement: parts::placement(
            input,
            findings,
            component,
            &[(path.as_str(), &block.node_selector)],
        ),
        volumes: vec![parts::durable_volume(
            input,
            findings,
            &format!("{path}.persistence"),
            &block.persistence,
            ("data".to_owned(), zookeeper_defaults::DATA_PATH.to_owned()),
            100 * GIB,
        )],
        origin: parts::origin(component, &image_field, &resources_path),
    };
    settings(findings, &path, &block.config_data, &BOOKKEEPER_FORCED);
    let memory = memory(findings, &path, block.mem.as_ref(), &block.resources, true);
    JavaPart {
        part,
        memory: memory.unwrap_or_else(default_memory),
        settings: block.config_data.clone(),
    }
}

fn broker(input: &Input<'_>, findings: &mut Findings, values: &PulsarValues) -> JavaPart {
    let component = Component::Broker;
    let path = components::resource_path(component);
    let block = &values.broker;
    let field = format!("{path}.replicaCount");
    let replicas = parts::number(findings, &field, block.replica_count, 2, 1);
    let (image, image_field) = image(input, findings, values);
    let resources_path = format!("{path}.resources");
    let part = Part {
        component,
        replicas,
        externally_scaled: false,
        image,
        resources: parts::resources(findings, &resources_path, &block.resources),
        env: std::collections::BTreeMap::new(),
        placement: parts::placement(
            input,
            findings,
            component,
            &[(path.as_str(), &block.node_selector)],
        ),
        volumes: Vec::new(),
        origin: parts::origin(component, &image_field, &resources_path),
    };
    settings(findings, &path, &block.config_data, &BROKER_FORCED);
    let memory = memory(findings, &path, block.mem.as_ref(), &block.resources, true);
    JavaPart {
        part,
        memory: memory.unwrap_or_else(default_memory),
        settings: block.config_data.clone(),
    }
}

fn default_memory() -> String {
    "-Xms128m -Xmx512m -XX:MaxDirectMemorySize=512m".to_owned()
}

/// Memory options: as asked for, or by the limit. What Java needs beside heap and direct memory is left free.
fn memory(
    findings: &mut Findings,
    path: &str,
    asked: Option<&String>,
    resources: &milvus_crds::Resources,
    direct: bool,
) -> Option<String> {
    if let Some(asked) = asked {
        parts::variable_is_plain(findings, &format!("{path}.mem"), "PULSAR_MEM", asked);
        return Some(asked.clone());
    }
    let limit = resources
        .limits
        .memory
        .as_ref()
        .and_then(|limit| limit.capacity().ok())?
        >> 20;
    if direct {
        let half = limit * 2 / 5;
        Some(format!(
            "-Xms{half}m -Xmx{half}m -XX:MaxDirectMemorySize={half}m"
        ))
    } else {
        let heap = limit * 3 / 5;
        Some(format!("-Xms{heap}m -Xmx{heap}m"))
    }
}

/// Settings of a configuration file: one line each, and none that holds the cluster together.
fn settings(
    findings: &mut Findings,
    path: &str,
    settings: &std::collections::BTreeMap<String, String>,
    forced: &[&str],
) {
    for (key, value) in settings {
        let field = format!("{path}.configData[{key}]");
        if forced.contains(&key.as_str()) {
            findings.invalid(
                field,
                "the operator sets this: it holds the cluster together",
            );
        } else if key.is_empty()
            || key.contains(|c: char| c.is_whitespace() || c == '=' || c == '#')
            || value.contains(['\n', '\r'])
        {
            findings.invalid(field, "must be one line of key and value");
        }
    }
}
