//! Where a cluster keeps its data on services that somebody else runs. A prefix there belongs to one cluster: Milvus removes
//! whatever lies below its own and is not in its own metadata. Needs no valid resource, so that it can be made of every
//! resource once and compared on every pass. Pure.

use std::collections::BTreeSet;

use milvus_crds::{MilvusCluster, StorageType};

use crate::capabilities::Capabilities;
use crate::config::settings::Places;
use crate::endpoint;
use crate::names::ClusterKey;

/// What one cluster claims of services that others may use, too. Prefixes of topics are not among it: they are made from
/// namespace and name, and nobody can choose another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// In an external object store.
    pub storage: Option<StoragePrefix>,
    /// In an external etcd.
    pub etcd: Option<EtcdPrefix>,
}

/// A prefix in an external object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoragePrefix {
    host: Host,
    port: u16,
    /// The Secret with the account's name, where the address says nothing about the account.
    account: Option<String>,
    bucket: String,
    root: String,
}

/// A prefix in an external etcd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdPrefix {
    endpoints: BTreeSet<(Host, String)>,
    root: String,
}

/// A host, by the name that was written (without what does not matter) and by the name that holds in all namespaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    written: String,
    everywhere: String,
}

impl Prefixes {
    /// What a resource claims.
    pub fn of(resource: &MilvusCluster) -> Self {
        let key = crate::validate::identity(resource).key;
        let dependencies = &resource.spec.dependencies;
        let places = Places::of(&resource.spec, &key);
        let storage = dependencies.storage.external.then(|| {
            let block = &dependencies.storage;
            let default = if block.use_ssl.unwrap_or(false) {
                443
            } else {
                80
            };
            let (host, port) = address(block.endpoint.as_deref().unwrap_or_default(), &key);
            StoragePrefix {
                host,
                port: port.parse().unwrap_or(default),
                account: (block.kind == Some(StorageType::Azure)).then(|| {
                    let secret = block.secret_ref.as_deref().unwrap_or_default();
                    format!("{}/{secret}", key.namespace)
                }),
                bucket: places.bucket.clone(),
                root: directory(&places.object_root),
            }
        });
        let etcd = dependencies.etcd.external.then(|| EtcdPrefix {
            endpoints: dependencies
                .etcd
                .endpoints
                .iter()
                .map(|endpoint| address(endpoint, &key))
                .collect(),
            root: directory(&places.etcd_root),
        });
        Self { storage, etcd }
    }

    /// Whether nothing is claimed of anybody.
    pub const fn is_empty(&self) -> bool {
        self.storage.is_none() && self.etcd.is_none()
    }

    /// Whether both claim one place.
    pub fn meet(&self, other: &Self, capabilities: &Capabilities) -> bool {
        self.meet_in_storage(other, capabilities) || self.meet_in_etcd(other, capabilities)
    }

    /// Whether both keep objects in one place.
    pub fn meet_in_storage(&self, other: &Self, capabilities: &Capabilities) -> bool {
        let (Some(a), Some(b)) = (&self.storage, &other.storage) else {
            return false;
        };
        a.port == b.port
            && a.bucket == b.bucket
            && overlap(&a.root, &b.root)
            && a.account == b.account
            && a.host.is(&b.host, capabilities)
    }

    /// Whether both keep metadata in one place.
    pub fn meet_in_etcd(&self, other: &Self, capabilities: &Capabilities) -> bool {
        let (Some(a), Some(b)) = (&self.etcd, &other.etcd) else {
            return false;
        };
        let meet = |(host, port): &(Host, String)| {
            b.endpoints
                .iter()
                .any(|(other, at)| at == port && host.is(other, capabilities))
        };
        overlap(&a.root, &b.root) && a.endpoints.iter().any(meet)
    }
}

impl Host {
    fn new(name: &str, key: &ClusterKey) -> Self {
        if let Some(address) = endpoint::ipv6(name) {
            let written = format!("[{address}]");
            return Self {
                everywhere: written.clone(),
                written,
            };
        }
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        // Service and namespace are enough; `svc` and the cluster's domain may follow.
        let labels: Vec<&str> = name.split('.').collect();
        let written = match labels[..] {
            [service, namespace, "svc", ..] => format!("{service}.{namespace}"),
            // One bucket of a name, whatever region it is asked for in.
            [first, .., "amazonaws", "com"] if first.starts_with("s3") => "s3.amazonaws.com".into(),
            _ => name,
        };
        let everywhere = if written.contains('.') {
            written.clone()
        } else {
            format!("{written}.{}", key.namespace)
        };
        Self {
            written,
            everywhere,
        }
    }

    /// Whether both are one. Where a platform has Services, a name without a dot is looked up in the own namespace first.
    fn is(&self, other: &Self, capabilities: &Capabilities) -> bool {
        if capabilities.service_types.is_empty() {
            self.written == other.written
        } else {
            self.everywhere == other.everywhere
        }
    }
}

/// Host and port of an address, without scheme and path; the port is empty where none is given.
fn address(text: &str, key: &ClusterKey) -> (Host, String) {
    let text = text.split_once("://").map_or(text, |(_, rest)| rest);
    let text = text.split('/').next().unwrap_or_default();
    let (host, port) = endpoint::split(text);
    let port = port.unwrap_or_default().trim_start_matches('0');
    (Host::new(host, key), port.to_owned())
}

/// A prefix without the slashes that mean nothing.
fn directory(root: &str) -> String {
    let steps: Vec<&str> = root.split('/').filter(|step| !step.is_empty()).collect();
    steps.join("/")
}

/// Whether one of two prefixes lies in the other.
pub(crate) fn overlap(a: &str, b: &str) -> bool {
    let within = |inner: &str, outer: &str| {
        inner
            .strip_prefix(outer)
            .is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('/'))
    };
    within(a, b) || within(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{kubernetes_capabilities, resource, swarm_capabilities};

    fn of(namespace: &str, dependencies: &str, config: &str) -> Prefixes {
        Prefixes::of(&resource(&format!(
            "metadata: {{name: demo, namespace: {namespace}}}\nspec: {{dependencies: {{{dependencies}}}, config: {{{config}}}}}"
        )))
    }

    fn storage(namespace: &str, block: &str) -> Prefixes {
        let block = format!("storage: {{external: true, {block}}}");
        of(namespace, &block, "")
    }

    #[test]
    fn one_place_has_many_spellings() {
        let base = storage("a", "endpoint: 'Minio.Store.svc.cluster.local:80'");
        let kubernetes = kubernetes_capabilities();
        for same in [
            "endpoint: 'http://minio.store/'",
            "endpoint: 'minio.store.:080', bucket: milvus-bucket, rootPath: files",
            "endpoint: 'minio.store.svc', rootPath: '/files/'",
            "endpoint: 'minio.store', rootPath: files/part",
        ] {
            let other = storage("b", same);
            assert!(base.meet(&other, &kubernetes), "{same}");
            assert!(other.meet(&base, &kubernetes), "{same}");
        }
        for other in [
            "endpoint: 'minio.store:9000'",
            "endpoint: 'minio.store', useSSL: true",
            "endpoint: 'minio.store', bucket: another",
            "endpoint: 'minio.store', rootPath: files-2",
            "endpoint: 'minio.store', rootPath: file",
            "endpoint: 'minio.elsewhere'",
        ] {
            let other = storage("b", other);
            assert!(!base.meet(&other, &kubernetes), "{other:?}");
        }
        assert!(!base.meet(&Prefixes::default(), &kubernetes));
        let region =
            |name: &str| storage("a", &format!("type: S3, useSSL: true, endpoint: {name}"));
        assert!(
            region("s3.eu-central-1.amazonaws.com").meet(&region("s3.amazonaws.com"), &kubernetes)
        );
    }

    /// A Service's bare name is another one in each namespace; a host's name is not.
    #[test]
    fn names_without_a_dot() {
        let (a, b) = (
            storage("a", "endpoint: 'minio:9000'"),
            storage("b", "endpoint: 'minio:9000'"),
        );
        assert!(!a.meet(&b, &kubernetes_capabilities()));
        assert!(a.meet(&b, &swarm_capabilities()));
        let full = storage("b", "endpoint: 'minio.a.svc:9000'");
        assert!(a.meet(&full, &kubernetes_capabilities()));
    }

    /// Azure's address says nothing about the account, whose name is in the Secret.
    #[test]
    fn accounts_of_azure_are_apart() {
        let account = |namespace: &str, secret: &str| {
            let block = format!("type: Azure, endpoint: core.windows.net, secretRef: {secret}");
            storage(namespace, &block)
        };
        let kubernetes = kubernetes_capabilities();
        assert!(account("a", "one").meet(&account("a", "one"), &kubernetes));
        assert!(!account("a", "one").meet(&account("a", "two"), &kubernetes));
        assert!(!account("a", "one").meet(&account("b", "one"), &kubernetes));
    }

    #[test]
    fn metadata_in_one_etcd() {
        let etcd = |namespace: &str, endpoints: &str, config: &str| {
            let block = format!("etcd: {{external: true, endpoints: [{endpoints}]}}");
            of(namespace, &block, config)
        };
        let swarm = swarm_capabilities();
        let base = etcd("default", "'e0.x:2379', 'e1.x:2379'", "");
        let root = "etcd: {rootPath: demo}";
        assert!(base.meet_in_etcd(&etcd("b", "'E1.X:2379'", root), &swarm));
        assert!(base.meet_in_etcd(
            &etcd("b", "'e0.x:2379'", "etcd: {rootPath: demo/part}"),
            &swarm
        ));
        // Without a word about it, every cluster has its own.
        assert!(!base.meet_in_etcd(&etcd("b", "'e0.x:2379'", ""), &swarm));
        assert!(!base.meet_in_etcd(&etcd("b", "'e2.x:2379'", root), &swarm));
        assert!(!base.meet_in_storage(&base, &swarm));
    }
}
