//! What every sample becomes on Kubernetes, and how much of it an edit changes.

mod fixtures;

use std::collections::BTreeMap;

use fixtures::{desired, desired_or, every_setting, rendered, sample, samples};
use milvus_core::component::Component;
use milvus_core::testing::kubernetes_capabilities;
use milvus_crds::MilvusCluster;
use milvus_kubernetes::{CAPABILITIES, Kind, Native, Settings, labels, render};
use milvus_platform::{Class, Rendered};
use serde_json::{Value, json};

/// All objects by kind and name. Files are shown by their names: their content has goldens of its own.
fn shown(rendered: &Rendered<Native>) -> BTreeMap<String, Value> {
    rendered
        .native
        .iter()
        .map(|(id, native)| {
            let mut object = serde_json::to_value(native).expect("JSON");
            if matches!(native.kind, Kind::ConfigMap)
                && let Some(Value::Object(data)) = object.get_mut("data")
            {
                for text in data.values_mut() {
                    *text = "<shown elsewhere>".into();
                }
            }
            (id.to_string(), object)
        })
        .collect()
}

#[test]
fn capabilities_are_those_that_core_is_tested_with() {
    assert_eq!(CAPABILITIES, kubernetes_capabilities());
}

#[test]
fn all_samples() {
    let samples = samples();
    assert!(samples.len() >= 5, "{samples:?}");
    for (file, resource) in samples {
        let rendered = rendered(&desired(&resource));
        insta::assert_yaml_snapshot!(file, shown(&rendered));
    }
}

#[test]
fn every_setting_that_there_is() {
    let rendered = rendered(&desired(&every_setting()));
    insta::assert_yaml_snapshot!(shown(&rendered));
}

#[test]
fn what_the_planner_is_told() {
    let rendered = rendered(&desired(&sample("demo")));
    let lines: Vec<String> = rendered
        .outline
        .iter()
        .map(|(id, o)| {
            let uses: Vec<String> = o.uses.iter().map(ToString::to_string).collect();
            let workload = o.workload.map(|key| format!(" is {key}"));
            let replicas = o.replicas.map(|count| format!(" x{count}"));
            format!(
                "{:?} {id}{}{}{}{}{}",
                o.class,
                workload.unwrap_or_default(),
                replicas.unwrap_or_default(),
                if o.mutable { "" } else { ", fixed" },
                if uses.is_empty() { "" } else { ", uses " },
                uses.join(", "),
            )
        })
        .collect();
    insta::assert_yaml_snapshot!(lines);
    for (id, outline) in &rendered.outline {
        for used in &outline.uses {
            assert!(rendered.outline.contains_key(used), "{id} uses {used}");
        }
        let native = &rendered.native[id];
        assert_eq!(
            (native.kind.name(), native.object["kind"].as_str()),
            (id.kind, Some(id.kind))
        );
        assert_eq!(native.object["metadata"]["name"], json!(id.name));
        let annotations = &native.object["metadata"]["annotations"];
        assert_eq!(annotations[labels::APPLIED], json!(native.hash), "{id}");
        if outline.workload.is_some() {
            assert_eq!(
                annotations[labels::REVISION],
                json!(outline.revision.0),
                "{id}"
            );
            let template = &native.object["spec"]["template"]["metadata"]["labels"];
            assert_eq!(
                template[labels::REVISION],
                json!(outline.revision.0),
                "{id}"
            );
        }
    }
}

/// What differs between two renderings: `+`/`-` for objects that come and go, `~` for those written anew, `!` where
/// processes start anew.
fn difference(before: &Rendered<Native>, after: &Rendered<Native>) -> Vec<String> {
    let mut lines = Vec::new();
    for id in before
        .native
        .keys()
        .filter(|id| !after.native.contains_key(id))
    {
        lines.push(format!("- {id}"));
    }
    for (id, native) in &after.native {
        let Some(was) = before.native.get(id) else {
            lines.push(format!("+ {id}"));
            continue;
        };
        let restarts = before.outline[id].workload.is_some()
            && before.outline[id].revision != after.outline[id].revision;
        assert_eq!(was.hash != native.hash, was.object != native.object, "{id}");
        if restarts {
            lines.push(format!("! {id}"));
        } else if was.hash != native.hash {
            lines.push(format!("~ {id}"));
        }
    }
    lines
}

#[test]
fn an_edit_changes_what_it_is_about_and_nothing_else() {
    let base = sample("reference");
    let before = rendered(&desired(&base));
    let mut all = BTreeMap::new();
    let mut edit = |name: &str, edit: fn(&mut MilvusCluster)| {
        let mut edited = base.clone();
        edit(&mut edited);
        let after = rendered(&desired(&edited));
        all.insert(name.to_owned(), difference(&before, &after));
    };
    edit("nothing", |_| {});
    edit("generation", |r| r.metadata.generation = Some(7));
    edit("replicas of queryNode", |r| {
        let role = r.spec.components.query_node.as_mut();
        role.expect("a block").replicas = Some(5);
    });
    edit("replicas of proxy to one", |r| {
        let role = r.spec.components.proxy.as_mut();
        role.expect("a block").common.replicas = Some(1);
    });
    edit("a standby of rootCoord", |r| {
        let role = r.spec.components.root_coord.as_mut();
        role.expect("a block").replicas = Some(2);
    });
    edit("image", |r| {
        r.spec.components.image = Some("milvusdb/milvus:v2.3.6".to_owned());
    });
    edit("env of queryNode", |r| {
        let role = r.spec.components.query_node.as_mut();
        role.expect("a block").env = serde_json::from_value(json!([
            {"name": "GOMEMLIMIT", "value": "2GiB"}
        ]))
        .expect("variables");
    });
    edit("config", |r| {
        let config = json!({"log": {"level": "debug"}});
        r.spec.config = serde_json::from_value(config).expect("a section");
    });
    edit("memory of ZooKeeper", |r| {
        let values = &mut r.spec.dependencies.pulsar.in_cluster.values;
        values.zookeeper.mem = Some("-Xms64m -Xmx192m".to_owned());
    });
    edit("service type and labels", |r| {
        let proxy = r.spec.components.proxy.as_mut().expect("a block");
        proxy.service_type = Some(milvus_crds::ServiceType::NodePort);
        let pods = serde_json::from_value(json!({"serviceLabels": {"a": "b"}}));
        let pods = pods.expect("pod settings");
        r.spec
            .kubernetes
            .components
            .insert("proxy".to_owned(), pods);
    });
    edit("tolerations of etcd", |r| {
        let pods = json!({"tolerations": [{"key": "a", "operator": "Exists"}]});
        let pods = serde_json::from_value(pods).expect("pod settings");
        r.spec.kubernetes.components.insert("etcd".to_owned(), pods);
    });
    insta::assert_yaml_snapshot!(all);
}

#[test]
fn an_owner_of_the_same_name_gets_objects_of_the_same_processes() {
    let first = desired(&sample("standalone-minimal"));
    let mut second = first.clone();
    second.cluster.uid = "another".to_owned();
    let (first, second) = (rendered(&first), rendered(&second));
    for (id, outline) in first.outline.iter().filter(|(_, o)| o.workload.is_some()) {
        assert_eq!(outline.revision, second.outline[id].revision, "{id}");
    }
    assert!(
        first
            .native
            .iter()
            .all(|(id, n)| n.hash != second.native[id].hash)
    );
}

#[test]
fn secrets_are_never_shown() {
    let mut desired = desired(&sample("standalone-minimal"));
    let secret = desired.secrets.values_mut().next().expect("a secret");
    secret.content = b"swordfish".to_vec();
    let rendered = rendered(&desired);
    let debug = format!("{rendered:?} {desired:?}");
    let json = serde_json::to_string(&rendered.native.values().collect::<Vec<_>>()).expect("JSON");
    for word in ["swordfish", "c3dvcmRmaXNo"] {
        assert!(!debug.contains(word) && !json.contains(word), "{word}");
    }
    let applied = rendered.native.values().map(|n| n.object.to_string());
    assert!(
        applied
            .into_iter()
            .any(|text| text.contains("c3dvcmRmaXNo"))
    );
}

#[test]
fn a_hash_tells_nothing_of_a_secret() {
    let first = desired(&sample("standalone-minimal"));
    let mut second = first.clone();
    for secret in second.secrets.values_mut() {
        secret.content.push(b'!'); // and the fingerprint as it was
    }
    assert_eq!(
        difference_of_hashes(&rendered(&first), &rendered(&second)),
        0
    );
    for secret in second.secrets.values_mut() {
        secret.fingerprint = format!("0{}", secret.fingerprint);
    }
    assert_ne!(
        difference_of_hashes(&rendered(&first), &rendered(&second)),
        0
    );
}

fn difference_of_hashes(before: &Rendered<Native>, after: &Rendered<Native>) -> usize {
    let differs =
        |(id, native): &(_, &Native)| before.native.get(*id).map(|n| &n.hash) != Some(&native.hash);
    after.native.iter().filter(differs).count()
}

#[test]
fn budgets_leave_each_quorum_standing() {
    let budget = |component: Component, members: usize, drives: usize| -> Option<Value> {
        let mut desired = desired(&sample("reference"));
        let workload = desired
            .workloads
            .iter_mut()
            .find(|w| w.component == component)
            .expect("a workload");
        if let milvus_core::desired::Shape::Members { members: all } = &mut workload.shape {
            let first = all[0].clone();
            *all = vec![first; members];
        }
        let volume = workload.volumes[0].clone();
        workload.volumes = vec![volume; drives];
        for (index, volume) in workload.volumes.iter_mut().enumerate() {
            volume.name = format!("data{index}");
            volume.path = format!("/data{index}");
        }
        let name = format!("reference-{component}");
        let rendered = rendered(&desired);
        let found = rendered
            .native
            .values()
            .find(|n| n.kind == Kind::PodDisruptionBudget && n.object["metadata"]["name"] == *name);
        found.map(|n| n.object["spec"]["maxUnavailable"].clone())
    };
    for (component, members, drives, expected) in [
        (Component::Etcd, 1, 1, None),
        (Component::Etcd, 3, 1, Some(1)),
        (Component::Etcd, 5, 1, Some(2)),
        (Component::Zookeeper, 3, 1, Some(1)),
        (Component::Bookkeeper, 3, 1, Some(1)),
        (Component::Bookkeeper, 5, 1, Some(1)),
        (Component::Minio, 1, 4, None),
        (Component::Minio, 4, 1, Some(1)),
        (Component::Minio, 3, 2, Some(1)),
        (Component::Minio, 2, 2, Some(1)),
        (Component::Minio, 8, 1, Some(3)),
        (Component::Minio, 16, 1, Some(4)),
    ] {
        let found = budget(component, members, drives);
        assert_eq!(
            found,
            expected.map(Value::from),
            "{component} {members} x {drives}"
        );
    }
}

#[test]
fn old_and_new_never_open_the_same_data() {
    let mut resource = sample("standalone-minimal");
    let strategy = |resource: &MilvusCluster, kind: Kind, name: &str| {
        let rendered = rendered(&desired(resource));
        let found = rendered
            .native
            .values()
            .find(|native| native.kind == kind && native.object["metadata"]["name"] == *name);
        let spec = &found.expect("a workload").object["spec"];
        (
            spec["strategy"]["type"].clone(),
            spec["volumeClaimTemplates"].is_array(),
        )
    };
    // With a queue of its own it has data and a place.
    let own = strategy(&resource, Kind::StatefulSet, "minimal-standalone");
    assert_eq!(own, (Value::Null, true));
    resource.spec.components.image = Some("milvusdb/milvus:v2.6.11".to_owned());
    resource.spec.dependencies.msg_stream_type = Some(milvus_crds::MsgStreamType::Woodpecker);
    let shared = strategy(&resource, Kind::Deployment, "minimal-standalone");
    assert_eq!(shared, (json!("Recreate"), false));
    let mut cluster = sample("demo");
    let coordinator =
        |resource: &MilvusCluster| strategy(resource, Kind::Deployment, "demo-mixcoord").0;
    assert_eq!(coordinator(&cluster), json!("Recreate"));
    let block = cluster.spec.components.mix_coord.as_mut();
    block.expect("a block").replicas = Some(2);
    assert_eq!(coordinator(&cluster), json!("RollingUpdate"));
}

#[test]
fn without_the_prometheus_operator_there_is_no_monitor() {
    let desired = desired(&sample("demo"));
    let monitors = |settings: &Settings| {
        let rendered = render::render(&desired, &CAPABILITIES, settings).expect("a rendering");
        let kinds = rendered
            .native
            .values()
            .filter(|n| n.kind == Kind::PodMonitor);
        kinds.count()
    };
    assert_eq!(
        monitors(&Settings {
            pod_monitors: false
        }),
        0
    );
    assert_eq!(monitors(&Settings { pod_monitors: true }), 1);
}

#[test]
fn blocks_that_do_not_fit_are_refused_with_their_path() {
    let refusal = |component: &str, pods: Value, env: Value| {
        let mut resource = sample("demo");
        let pods = serde_json::from_value(pods).expect("pod settings");
        let all = &mut resource.spec.kubernetes.components;
        all.insert(component.to_owned(), pods);
        let values = &mut resource.spec.dependencies.etcd.in_cluster.values;
        values.extra_env_vars = serde_json::from_value(env).expect("variables");
        let desired = desired_or(&resource).expect("core has nothing against it");
        let error = render::render(&desired, &CAPABILITIES, &fixtures::SETTINGS);
        let error = error.expect_err("a refusal");
        assert_eq!(error.class, Class::Invalid);
        error.message
    };
    let none = json!([]);
    for (component, pods, path) in [
        (
            "etcd",
            json!({"volumes": [{"name": "mine", "emptyDir": {}}, {"name": "data", "emptyDir": {}}]}),
            "spec.kubernetes.components.etcd.volumes[1].name",
        ),
        (
            "queryNode",
            json!({"volumeMounts": [{"name": "mine", "mountPath": "/milvus/configs/user.yaml"}]}),
            "spec.kubernetes.components.queryNode.volumeMounts[0].mountPath",
        ),
    ] {
        let message = refusal(component, pods, none.clone());
        assert!(message.starts_with(path), "{message}");
    }
    let message = refusal(
        "etcd",
        json!({}),
        json!([{"name": "ORDINAL", "value": "1"}]),
    );
    assert!(message.contains("ORDINAL"), "{message}");
}

#[test]
fn zero_values_that_the_api_leaves_out_are_not_rendered() {
    let plain = desired(&sample("demo"));
    let mut written = plain.clone();
    let own = &mut written
        .passthrough
        .entry(Component::QueryNode)
        .or_default()
        .pod;
    own.host_network = Some(false);
    own.dns_policy = Some(String::new());
    own.scheduler_name = Some(String::new());
    assert_eq!(rendered(&plain).native, rendered(&written).native);
}
