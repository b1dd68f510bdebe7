//! What the StatefulSets and volume claims of a cluster tell of its members, for a cluster whose ledger is lost. Pure.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::names::ClusterKey;
use milvus_core::observed::InstanceState;
use milvus_core::rebuild::Standing;
use serde_json::Value;

use crate::cache::{Known, Object};
use crate::{CAPABILITIES, Kind, labels};

/// Selects the claims that were made for a cluster, or an earlier one of its name.
pub(crate) fn selector(cluster: &ClusterKey) -> String {
    format!(
        "{}={},{}={},{}={}",
        labels::NAME,
        labels::MILVUS,
        labels::INSTANCE,
        cluster.name,
        labels::MANAGED_BY,
        labels::OPERATOR
    )
}

/// Every member that has a place in a StatefulSet or a claim of its own. A claim does not say for which resource of its name it
/// was made: it is that of the StatefulSets, and unknown (an empty uid) where none stands.
pub(crate) fn standing(
    cluster: &ClusterKey,
    known: &Known,
    claims: &[PersistentVolumeClaim],
) -> Vec<Standing> {
    let mut members: BTreeMap<WorkloadKey, Standing> = BTreeMap::new();
    let sets = known
        .objects
        .iter()
        .filter(|((kind, _), object)| *kind == Kind::StatefulSet && !object.deleting)
        .filter_map(|((_, name), object)| {
            Some((name, object, object.component?, object.owner.as_ref()?))
        });
    let mut made_for = None;
    for (name, object, component, uid) in sets {
        made_for = Some(uid.clone());
        for member in of_set(name, object, component, known) {
            let uid = uid.clone();
            members.insert(member.workload, Standing { uid, ..member });
        }
    }
    let uid = made_for.unwrap_or_default();
    let standing = claims
        .iter()
        .filter(|claim| claim.metadata.deletion_timestamp.is_none());
    for (workload, name) in standing.filter_map(|claim| member_of(cluster, claim)) {
        let member = members.entry(workload).or_insert_with(|| Standing {
            workload,
            uid: uid.clone(),
            node: None,
            volumes: Vec::new(),
            paths: Vec::new(),
            image: String::new(),
            args: Vec::new(),
            started: false,
        });
        if !member.volumes.contains(&name) {
            member.volumes.push(name);
        }
    }
    members.into_values().collect()
}

/// The members of one StatefulSet, each with the names that its claims have.
fn of_set<'a>(
    name: &'a str,
    object: &'a Object,
    component: Component,
    known: &'a Known,
) -> impl Iterator<Item = Standing> + 'a {
    let body: Value = serde_json::from_slice(&object.body).unwrap_or_default();
    let list = |value: &Value, pointer: &str| {
        let list = value.pointer(pointer).and_then(Value::as_array);
        list.cloned().unwrap_or_default()
    };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let templates = list(&body, "/spec/volumeClaimTemplates");
    let templates: Vec<String> = templates
        .iter()
        .filter_map(|template| text(template.pointer("/metadata/name")?))
        .collect();
    let containers = list(&body, "/spec/template/spec/containers");
    let words = |field: &'static str| {
        let lists = containers.iter().flat_map(move |c| list(c, field));
        lists.filter_map(|word| text(&word)).collect::<Vec<_>>()
    };
    let args = [words("/command"), words("/args")].concat();
    let image = containers.first().and_then(|c| text(c.get("image")?));
    let image = image.unwrap_or_default();
    let members = u16::try_from(object.state.replicas.unwrap_or(0)).unwrap_or(u16::MAX);
    (0..members).map(move |ordinal| Standing {
        workload: WorkloadKey::member(component, ordinal),
        uid: String::new(),
        node: None,
        volumes: templates
            .iter()
            .map(|volume| format!("{volume}-{name}-{ordinal}"))
            .collect(),
        paths: Vec::new(),
        image: image.clone(),
        args: args.clone(),
        started: known.pods.values().any(|pod| {
            pod.component == component
                && pod.ordinal == Some(ordinal)
                && pod.state == InstanceState::Running
        }),
    })
}

/// The member whose claim this is, by its label and its name.
fn member_of(cluster: &ClusterKey, claim: &PersistentVolumeClaim) -> Option<(WorkloadKey, String)> {
    let component = Component::from_name(claim.labels().get(labels::COMPONENT)?)?;
    let name = claim.name_any();
    let (_, ordinal) = name.rsplit_once('-')?;
    let workload = WorkloadKey::member(component, ordinal.parse().ok()?);
    let own = CAPABILITIES.claim_name(cluster, workload, "")?;
    name.ends_with(&own).then_some((workload, name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cache::Cache;

    fn cluster() -> ClusterKey {
        ClusterKey::new("team", "demo")
    }

    fn claim(name: &str, component: &str) -> PersistentVolumeClaim {
        let claim = json!({"metadata": {"name": name, "namespace": "team", "labels": {labels::COMPONENT: component}}});
        serde_json::from_value(claim).expect("a claim")
    }

    /// etcd with three members, of which the first has run; and the claims that are given.
    fn of_sets(replicas: u32, claims: &[PersistentVolumeClaim]) -> Vec<Standing> {
        let cache = Cache::default();
        let labels =
            json!({"app.kubernetes.io/component": "etcd", "app.kubernetes.io/instance": "demo"});
        if replicas > 0 {
            let set = json!({
                "apiVersion": "apps/v1", "kind": "StatefulSet",
                "metadata": {"name": "demo-etcd", "namespace": "team", "uid": "s1", "resourceVersion": "5", "labels": labels,
                    "ownerReferences": [{"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"}]},
                "spec": {"replicas": replicas, "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
                    "template": {"spec": {"containers": [{"name": "etcd", "args": ["--initial-cluster-token=t1"]}]}}},
            });
            cache.put(
                Kind::StatefulSet,
                serde_json::from_value(set).expect("a set"),
            );
        }
        cache.with(&cluster(), |known| standing(&cluster(), known, claims))
    }

    #[test]
    fn members_are_told_by_their_set_and_their_claims() {
        let found = of_sets(
            2,
            &[
                claim("data-demo-etcd-2", "etcd"),
                claim("data-demo-minio-0", "minio"),
            ],
        );
        let names: Vec<_> = found
            .iter()
            .map(|s| (s.workload.to_string(), s.uid.as_str(), s.volumes.join(",")))
            .collect();
        let of = |member: &str, claim: &str| (member.to_owned(), "c1", claim.to_owned());
        assert_eq!(
            names,
            [
                of("etcd-0", "data-demo-etcd-0"),
                of("etcd-1", "data-demo-etcd-1"),
                of("etcd-2", "data-demo-etcd-2"),
                of("minio-0", "data-demo-minio-0"),
            ]
        );
        assert_eq!(found[0].args, ["--initial-cluster-token=t1"]);
    }

    #[test]
    fn claims_alone_do_not_tell_for_whom_they_were_made() {
        let mut going = claim("data-demo-etcd-1", "etcd");
        let now = jiff::Timestamp::UNIX_EPOCH;
        going.metadata.deletion_timestamp =
            Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now));
        let others = [
            claim("data-demo-2-etcd-0", "etcd"),
            claim("data-demo-etcd-x", "etcd"),
            claim("data-demo-etcd-0", "unheard-of"),
        ];
        let claims: Vec<_> = others
            .into_iter()
            .chain([going, claim("data-demo-etcd-0", "etcd")])
            .collect();
        let found = of_sets(0, &claims);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].uid.as_str(), found[0].volumes.len()), ("", 1));
        assert!(!found[0].started);
    }
}
