//! user.yaml: the layer that Milvus reads over its own milvus.yaml. Pure.

use std::collections::BTreeSet;

use milvus_crds::Mode;
use serde_json::{Map, Value, json};

use super::pulsar::MAX_MESSAGE_SIZE;
use super::settings::{self, comparable};
use super::yaml;
use crate::components::{
    self, BROKER_PORT, BROKER_WEB_PORT, CLIENT_PORT, ETCD_PORT, GRACEFUL_STOP_SECONDS, MINIO_PORT,
};
use crate::desire::Context;
use crate::validate::{Credentials, Etcd, Queue, Storage, StorageKind, ValidatedCluster};
use crate::version::MessageQueue;

/// The authority of external Kafka brokers, as a process sees it.
pub(crate) const KAFKA_CA: &str = "/milvus/configs/kafka-ca/ca.pem";

/// Where the built-in queue keeps its files.
const ROCKSMQ_PATH: &str = "/var/lib/milvus/rdb_data";

/// Keys that hold the cluster together, and why a user's value would break it. Settings of the same name are refused in
/// `spec.config` and in environments, which Milvus lets win over every file.
pub(crate) const FORCED: [(&str, &str); 36] = [
    (
        "etcd.endpoints",
        "spec.dependencies.etcd says where etcd is",
    ),
    ("etcd.auth.enabled", "set spec.dependencies.etcd.auth"),
    ("etcd.auth.userName", "set spec.dependencies.etcd.auth"),
    ("etcd.auth.password", "set spec.dependencies.etcd.auth"),
    ("etcd.ssl.enabled", "set spec.dependencies.etcd.ssl"),
    ("etcd.ssl.tlsCACert", "set spec.dependencies.etcd.ssl"),
    ("etcd.ssl.tlsCert", "set spec.dependencies.etcd.ssl"),
    ("etcd.ssl.tlsKey", "set spec.dependencies.etcd.ssl"),
    ("etcd.use.embed", "etcd runs as a process of its own"),
    ("minio.address", "set spec.dependencies.storage.endpoint"),
    ("minio.port", "set spec.dependencies.storage.endpoint"),
    (
        "minio.accessKeyID",
        "set spec.dependencies.storage.secretRef",
    ),
    (
        "minio.secretAccessKey",
        "set spec.dependencies.storage.secretRef",
    ),
    ("minio.accessKey", "set spec.dependencies.storage.secretRef"),
    ("minio.secretKey", "set spec.dependencies.storage.secretRef"),
    ("minio.useSSL", "set spec.dependencies.storage.useSSL"),
    ("minio.bucketName", "set spec.dependencies.storage.bucket"),
    ("minio.rootPath", "set spec.dependencies.storage.rootPath"),
    ("minio.region", "set spec.dependencies.storage.region"),
    (
        "common.storageType",
        "spec.dependencies.storage says what it is",
    ),
    ("mq.type", "set spec.dependencies.msgStreamType"),
    ("messageQueue", "set spec.dependencies.msgStreamType"),
    ("pulsar.address", "set spec.dependencies.pulsar.endpoint"),
    ("pulsar.port", "set spec.dependencies.pulsar.endpoint"),
    ("kafka.brokerList", "set spec.dependencies.kafka.brokerList"),
    (
        "kafka.saslUsername",
        "set spec.dependencies.kafka.secretRef",
    ),
    (
        "kafka.saslPassword",
        "set spec.dependencies.kafka.secretRef",
    ),
    (
        "rocksmq.path",
        "the place is set by spec.dependencies.rocksmq.persistence",
    ),
    (
        "woodpecker.storage.type",
        "spec.dependencies.woodpecker says where the log is",
    ),
    (
        "msgChannel.chanNamePrefix.cluster",
        "it is made from namespace and name, so that no two clusters share a topic",
    ),
    (
        "common.chanNamePrefix.cluster",
        "it is made from namespace and name, so that no two clusters share a topic",
    ),
    (
        "proxy.port",
        "set spec.components.proxy.port or spec.components.standalone.port",
    ),
    (
        "proxy.internalPort",
        "the ports inside the cluster are fixed",
    ),
    ("metrics.port", "the health port is fixed"),
    ("milvus.conf", "the operator mounts the configuration"),
    ("deploy.mode", "set spec.mode"),
];

/// The forced key that a name stands for, and why it is forced.
pub(crate) fn forced(name: &str) -> Option<(&'static str, &'static str)> {
    let name = comparable(name);
    FORCED.into_iter().find(|(key, _)| comparable(key) == name)
}

/// The text of user.yaml. Holds credentials.
pub(crate) fn user_yaml(context: &Context<'_>) -> String {
    let cluster = context.cluster;
    let mut document = proposed(cluster);
    merge(&mut document, standby(cluster));
    // Of two spellings of one setting Milvus takes any: what the user says in whatever spelling is not proposed.
    let users = settings::leaves(&cluster.config);
    let users: BTreeSet<String> = users.iter().map(|(path, _)| comparable(path)).collect();
    withdraw(&mut document, "", &users);
    merge(&mut document, cluster.config.clone());
    merge(&mut document, required(context));
    yaml::write(&document)
}

/// The text of hook.yaml, where the resource has one.
pub(crate) fn hook_yaml(cluster: &ValidatedCluster) -> Option<String> {
    (!cluster.hook_config.is_empty()).then(|| yaml::write(&cluster.hook_config))
}

/// How often a role asks again for another one that does not answer. Milvus doubles its pause up to ten seconds, twice: until
/// the other is registered, and until it is asked once more. Measured with 2.3.5, that makes a first start 4-10 s longer than
/// its slowest part, keeps the coordinators away for up to 20 s after an old session has ended, and lets a proxy serve seconds
/// before the data node is known, in which case the first flush waits for the data node's next minute. The patience as a
/// whole stays as it is (10 attempts, 43 s).
fn retries() -> Value {
    json!({"client": {"initialBackoff": 0.2, "maxBackoff": 1, "maxMaxAttempts": 45}})
}

/// What the operator proposes and the user may override.
fn proposed(cluster: &ValidatedCluster) -> Map<String, Value> {
    // A process that is all of Milvus has nobody to hand over to.
    let graceful_stop = match cluster.mode {
        Mode::Standalone => 5,
        Mode::Cluster => GRACEFUL_STOP_SECONDS,
    };
    let mut document = object(json!({
        "etcd": {"rootPath": cluster.etcd_root()},
        "log": {"stdout": true, "file": {"rootPath": ""}},
        "localStorage": {"path": "/var/lib/milvus/data/"},
        "common": {"gracefulStopTimeout": graceful_stop},
        "grpc": retries(),
    }));
    if cluster.queue.kind() == MessageQueue::Pulsar {
        let mut pulsar = json!({"maxMessageSize": MAX_MESSAGE_SIZE});
        if let Queue::Pulsar(_) = cluster.queue {
            pulsar["webport"] = BROKER_WEB_PORT.into();
        }
        document.insert("pulsar".to_owned(), pulsar);
    }
    document
}

/// Coordinators with more than one process take turns.
fn standby(cluster: &ValidatedCluster) -> Map<String, Value> {
    cluster
        .roles
        .values()
        .filter(|part| part.replicas > 1)
        .filter_map(|part| components::role(part.component))
        .flat_map(|role| role.standby)
        .map(|section| ((*section).to_owned(), json!({"enableActiveStandby": true})))
        .collect()
}

/// What must be so for the cluster to hang together.
fn required(context: &Context<'_>) -> Map<String, Value> {
    let cluster = context.cluster;
    let queue = cluster.queue.kind().name();
    let prefix = json!({"chanNamePrefix": {"cluster": cluster.unique_name()}});
    let mut document = object(json!({
        "mq": {"type": queue},
        "messageQueue": queue,
        "msgChannel": prefix,
        "common": prefix,
    }));
    let storage_type = if cluster.features.queue_by_key {
        "remote"
    } else {
        "minio"
    };
    document["common"]["storageType"] = storage_type.into();
    document.insert("etcd".to_owned(), etcd(context));
    document.insert("minio".to_owned(), minio(context, &cluster.storage));
    if cluster.client_port != CLIENT_PORT {
        document.insert("proxy".to_owned(), json!({"port": cluster.client_port}));
    }
    match &cluster.queue {
        Queue::Pulsar(_) => {
            let host = context.service(crate::component::Component::Broker);
            document.insert(
                "pulsar".to_owned(),
                json!({"address": host, "port": BROKER_PORT}),
            );
        }
        Queue::ExternalPulsar { host, port, tls } => {
            // Milvus makes `pulsar://address:port` of an address without a colon, and takes any other as it is.
            let address = match tls {
                true => format!("pulsar+ssl://{host}:{port}"),
                false if host.starts_with('[') => format!("pulsar://{host}:{port}"),
                false => host.clone(),
            };
            document.insert(
                "pulsar".to_owned(),
                json!({"address": address, "port": port}),
            );
        }
        Queue::ExternalKafka { brokers, access } => {
            let mut kafka = json!({"brokerList": brokers.join(",")});
            if let Some(login) = &access.login {
                kafka["saslUsername"] = login.keys.user.0.clone().into();
                kafka["saslPassword"] = login.keys.password.0.clone().into();
            }
            if access.ca.is_some() {
                kafka["ssl"] = json!({
                    "enabled": true,
                    "tlsCaCert": KAFKA_CA,
                });
            }
            document.insert("kafka".to_owned(), kafka);
        }
        Queue::Rocksmq => {
            document.insert("rocksmq".to_owned(), json!({"path": ROCKSMQ_PATH}));
        }
        Queue::Woodpecker => {
            document.insert(
                "woodpecker".to_owned(),
                json!({"storage": {"type": "minio"}}),
            );
        }
        Queue::ExternalWoodpecker { pools } => {
            // A list as text: that is how Milvus reads it.
            let pools = json!(pools).to_string();
            document.insert(
                "woodpecker".to_owned(),
                json!({
                    "storage": {"type": "service"},
                    "client": {"quorum": {"quorumBufferPools": pools}},
                }),
            );
        }
    }
    document
}

fn etcd(context: &Context<'_>) -> Value {
    match &context.cluster.etcd {
        Etcd::InCluster(etcd) => {
            let hosts: Vec<String> = context
                .hosts(&etcd.part)
                .iter()
                .map(|host| format!("{host}:{ETCD_PORT}"))
                .collect();
            json!({"endpoints": hosts.join(",")})
        }
        Etcd::External(etcd) => {
            let mut section = json!({"endpoints": etcd.endpoints.join(",")});
            if let Some(Credentials { user, password }) = &etcd.login {
                section["auth"] = json!({
                    "enabled": true,
                    "userName": user.0,
                    "password": password.0,
                });
            }
            if let Some(tls) = &etcd.tls {
                let mut ssl = json!({
                    "enabled": true,
                    "tlsCACert": "/milvus/configs/etcd-tls/ca.crt",
                });
                if tls.client.is_some() {
                    ssl["tlsCert"] = "/milvus/configs/etcd-tls/tls.crt".into();
                    ssl["tlsKey"] = "/milvus/configs/etcd-tls/tls.key".into();
                }
                section["ssl"] = ssl;
            }
            section
        }
    }
}

fn minio(context: &Context<'_>, storage: &Storage) -> Value {
    let mut section = json!({
        "bucketName": storage.bucket,
        "rootPath": storage.root_path,
    });
    match &storage.kind {
        StorageKind::Minio { part, .. } => {
            // Every member answers for all: one name, all addresses.
            section["address"] = context.entry_point(part).into();
            section["port"] = MINIO_PORT.into();
            section["useSSL"] = false.into();
        }
        StorageKind::External {
            host,
            port,
            tls,
            region,
            cloud_provider,
        } => {
            // Milvus adds the port to an address without a colon only.
            section["address"] = match host.starts_with('[') {
                true => format!("{host}:{port}").into(),
                false => host.clone().into(),
            };
            section["port"] = (*port).into();
            section["useSSL"] = (*tls).into();
            if let Some(region) = region {
                section["region"] = region.clone().into();
            }
            if let Some(provider) = cloud_provider {
                section["cloudProvider"] = (*provider).into();
            }
        }
    }
    match &storage.credentials {
        Some(Credentials { user, password }) => {
            section["accessKeyID"] = user.0.clone().into();
            section["secretAccessKey"] = password.0.clone().into();
        }
        None => section["useIAM"] = true.into(),
    }
    section
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// Takes out settings by their comparable names.
fn withdraw(section: &mut Map<String, Value>, at: &str, names: &BTreeSet<String>) {
    section.retain(|key, value| {
        let path = settings::join(at, key);
        match value {
            Value::Object(inner) => {
                withdraw(inner, &path, names);
                !inner.is_empty()
            }
            _ => !names.contains(&comparable(&path)),
        }
    });
}

/// Lays one document over another: mappings merge, everything else replaces. Keys of milvus.yaml have no case, and of two
/// sections of one name only one would be read: the spelling that is there first stays.
pub(crate) fn merge(base: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        let key = match base.keys().find(|there| there.eq_ignore_ascii_case(&key)) {
            Some(there) => there.clone(),
            None => key,
        };
        match (base.get_mut(&key), value) {
            (Some(Value::Object(inner)), Value::Object(over)) => merge(inner, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_as_milvus_compares_them() {
        for name in [
            "minio.address",
            "MINIO_ADDRESS",
            "MinIO.Address",
            "MINIOADDRESS",
        ] {
            assert_eq!(forced(name).map(|f| f.0), Some("minio.address"), "{name}");
        }
        assert_eq!(
            forced("MINIO_SECRET_KEY").map(|f| f.0),
            Some("minio.secretKey")
        );
        assert_eq!(forced("METRICS_PORT").map(|f| f.0), Some("metrics.port"));
        assert!(forced("TZ").is_none() && forced("minio.requestTimeoutMs").is_none());
    }

    #[test]
    fn layers_merge_by_key() {
        let mut base = object(json!({"a": {"x": 1, "y": [1, 2]}, "b": 1}));
        merge(
            &mut base,
            object(json!({"a": {"y": [3]}, "b": {"c": 2}, "d": null})),
        );
        assert_eq!(
            Value::Object(base),
            json!({"a": {"x": 1, "y": [3]}, "b": {"c": 2}, "d": null})
        );
    }
}
