//! What every sample becomes on a Swarm, and how much of it an edit changes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod fixtures;

use std::collections::BTreeMap;

use fixtures::{cluster, desired};
use milvus_core::desire::desire;
use milvus_core::desired::{Desired, VolumeBacking};
use milvus_core::place::place;
use milvus_core::testing::{facts, resources, secret, swarm_capabilities};
use milvus_core::validate::validate;
use milvus_crds::MilvusCluster;
use milvus_platform::Rendered;
use milvus_swarm::CAPABILITIES;
use milvus_swarm::render::{Limits, Native, render};

const LIMITS: Limits = Limits { nofile: None };

fn rendered(desired: &Desired) -> Rendered<Native> {
    render(desired, &CAPABILITIES, &LIMITS).unwrap()
}

/// All objects by kind and name, in the engine's words. Files are shown by their names: their content has goldens of its own.
fn shown(rendered: &Rendered<Native>) -> BTreeMap<String, serde_json::Value> {
    rendered
        .native
        .iter()
        .map(|(id, native)| {
            let value = match native {
                Native::Service(service) => service.spec.to_value(),
                Native::Network(network) => network.request(),
                Native::Config(config) => serde_json::json!({ "labels": config.labels }),
                Native::Secret(secret) => serde_json::json!({ "labels": secret.labels }),
            };
            (id.to_string(), value)
        })
        .collect()
}

fn of_resource(resource: &MilvusCluster) -> Desired {
    let mut facts = facts(resource, 4);
    // Named by a sample that brings its own Secret.
    let own = secret(&[
        ("accesskey", "key-of-the-user"),
        ("secretkey", "secret-of-the-user"),
    ]);
    facts.secrets.insert("external-s3".to_owned(), own);
    let capabilities = swarm_capabilities();
    let valid = validate(resource, &facts, &capabilities).unwrap();
    let ledger = place(
        &valid.members(),
        valid.fixed(),
        None,
        &facts.topology,
        &capabilities,
        &valid.cluster,
        false,
    )
    .unwrap()
    .ledger;
    desire(&valid, &ledger, &facts, &capabilities)
}

#[test]
fn capabilities_are_those_that_core_is_tested_with() {
    assert_eq!(CAPABILITIES, swarm_capabilities());
}

#[test]
fn a_small_cluster() {
    let desired = desired(cluster("demo", "uid-1"), &["n1", "n2", "n3"]);
    insta::assert_yaml_snapshot!(shown(&rendered(&desired)));
}

#[test]
fn samples() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/samples");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        let file = path.file_stem().unwrap().to_str().unwrap().to_owned();
        for resource in resources(&std::fs::read_to_string(&path).unwrap()) {
            let desired = of_resource(&resource);
            let name = format!("{file}-{}", desired.cluster.key.stack());
            let rendered = rendered(&desired);
            insta::assert_yaml_snapshot!(name, shown(&rendered));
        }
    }
}

#[test]
fn generations_and_owners_do_not_restart_anything() {
    let nodes = ["n1", "n2", "n3"];
    let first = rendered(&desired(cluster("demo", "uid-1"), &nodes));
    let mut other = cluster("demo", "uid-2");
    other.generation = 9;
    let second = rendered(&desired(other, &nodes));
    for (id, outline) in &first.outline {
        assert_eq!(outline.revision, second.outline[id].revision, "{id}");
    }
}

#[test]
fn only_what_is_edited_gets_a_new_revision() {
    let nodes = ["n1", "n2", "n3"];
    let base = desired(cluster("demo", "uid-1"), &nodes);
    let before = rendered(&base);
    let changed = |edit: fn(&mut Desired)| -> Vec<String> {
        let mut edited = base.clone();
        edit(&mut edited);
        let after = rendered(&edited);
        after
            .outline
            .iter()
            .filter(|(id, o)| before.outline.get(id).map(|b| &b.revision) != Some(&o.revision))
            .map(|(id, _)| id.to_string())
            .collect()
    };
    assert_eq!(
        changed(|d| {
            d.workloads[2].env.insert("A".to_owned(), "b".into());
        }),
        ["service demo_proxy"]
    );
    assert_eq!(
        changed(|d| d.workloads[2].placement.constraints = vec!["node.role==manager".to_owned()]),
        [""; 0],
        "a constraint alone is no other process"
    );
    assert_eq!(
        changed(|d| d.configs.get_mut("notes").unwrap().content.push('!')).len(),
        4,
        "a config and the three members that use it"
    );
    assert_eq!(
        changed(|d| {
            let gateway = &mut d.workloads[3];
            gateway.published.as_mut().unwrap().number = 29_530;
        }),
        ["service demo_gateway"]
    );
}

#[test]
fn every_kind_of_volume() {
    let mounts = |backing: VolumeBacking| {
        let mut base = desired(cluster("demo", "uid-1"), &["n1"]);
        base.workloads = vec![fixtures::etcd(&["n1"], backing)];
        let rendered = rendered(&base);
        let Some(Native::Service(service)) = rendered
            .native
            .values()
            .find(|n| matches!(n, Native::Service(_)))
        else {
            panic!("no service");
        };
        serde_json::to_value(&service.spec.task_template.container_spec.mounts).unwrap()
    };
    let options = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let all = [
        fixtures::named_volume(),
        VolumeBacking::Volume {
            driver: None,
            options: options(&[
                ("type", "nfs"),
                ("o", "addr=10.0.0.9,rw"),
                ("device", ":/export"),
            ]),
        },
        VolumeBacking::Volume {
            driver: Some("local".to_owned()),
            options: options(&[("type", "none"), ("o", "bind"), ("device", "/ssd")]),
        },
        VolumeBacking::Bind {
            base: "/srv/milvus/".to_owned(),
        },
        VolumeBacking::Tmpfs {
            size: Some(64 << 20),
        },
    ];
    insta::assert_yaml_snapshot!(all.map(mounts));
}

#[test]
fn names_that_do_not_fit_are_refused_with_what_to_do() {
    let name = "a".repeat(60);
    let base = desired(cluster(&name, "uid-1"), &["n1"]);
    let error = render(&base, &CAPABILITIES, &LIMITS).unwrap_err();
    assert!(
        error.to_string().contains("shorter metadata.name"),
        "{error}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let base = desired(cluster("demo", "uid-1"), &["n1"]);
    let text = format!("{:?} {:?}", rendered(&base), base);
    let yaml = serde_json::to_string(&rendered(&base).native.values().collect::<Vec<_>>()).unwrap();
    for secret in ["swordfish", "cGFzc3dvcmQ6"] {
        assert!(!text.contains(secret) && !yaml.contains(secret));
    }
}
