//! What counts as a difference, and what an engine fills in by itself.

use milvus_core::component::Component;
use milvus_core::names::{ClusterKey, ClusterRef};
use serde_json::json;

use super::*;
use crate::render::spec;

fn rendered() -> ServiceObject {
    let mut service = spec::ServiceSpec {
        name: "demo_proxy".to_owned(),
        labels: labels::owner(&ClusterRef {
            key: ClusterKey::new("default", "demo"),
            uid: "u".to_owned(),
            generation: 1,
        }),
        task_template: spec::TaskTemplate {
            container_spec: spec::ContainerSpec {
                image: "milvus:1".to_owned(),
                labels: labels::workload(
                    &ClusterKey::new("default", "demo"),
                    milvus_core::component::WorkloadKey::shared(Component::Proxy),
                ),
                env: vec!["A=1".to_owned()],
                stop_grace_period: 1,
                configs: vec![spec::ConfigReference {
                    file: spec::FileTarget {
                        name: "/a".to_owned(),
                        uid: "0".to_owned(),
                        gid: "0".to_owned(),
                        mode: 0o444,
                    },
                    config_name: "demo_a-1".to_owned(),
                }],
                ..spec::ContainerSpec::default()
            },
            resources: spec::Resources::default(),
            restart_policy: spec::RestartPolicy {
                condition: "any",
                delay: 2,
            },
            placement: spec::Placement::default(),
            networks: vec![spec::NetworkAttachment {
                target: "demo_backend".to_owned(),
                aliases: vec!["proxy".to_owned()],
            }],
            log_driver: None,
        },
        mode: spec::Mode::Replicated { replicas: 2 },
        update_config: None,
        endpoint_spec: spec::EndpointSpec {
            mode: "dnsrr",
            ports: Vec::new(),
        },
    };
    let revision = revision(&service.to_value());
    let whole = hash(&normalised(&service.to_value()));
    service
        .labels
        .insert(labels::SPEC_HASH.to_owned(), whole.clone());
    service
        .labels
        .insert(labels::GENERATION.to_owned(), "1".to_owned());
    ServiceObject {
        spec: service,
        revision,
        hash: whole,
    }
}

/// As an engine gives it back: with ids, and with all that it fills in.
fn stored(edit: impl Fn(&mut Value)) -> Service {
    let mut spec = rendered().spec.to_value();
    let template = &mut spec["TaskTemplate"];
    template["Networks"][0]["Target"] = json!("n1");
    template["ContainerSpec"]["Configs"][0]["ConfigID"] = json!("c1");
    template["ContainerSpec"]["Isolation"] = json!("default");
    template["ContainerSpec"]["DNSConfig"] = json!({});
    template["ContainerSpec"]["Init"] = Value::Null;
    template["Resources"] = json!({ "Limits": {}, "Reservations": {} });
    template["RestartPolicy"]["MaxAttempts"] = json!(0);
    template["ForceUpdate"] = json!(3);
    template["Runtime"] = json!("container");
    spec["Labels"]["somebody"] = json!("else");
    spec["Labels"][labels::GENERATION] = json!("99");
    edit(&mut spec);
    Service {
        id: "s1".to_owned(),
        version: crate::api::wire::ObjectVersion::default(),
        updated_at: None,
        spec,
        update_status: None,
    }
}

fn references() -> References {
    References {
        networks: BTreeMap::from([("n1".to_owned(), "demo_backend".to_owned())]),
        configs: BTreeMap::from([("demo_a-1".to_owned(), "c1".to_owned())]),
        secrets: BTreeMap::new(),
    }
}

#[test]
fn what_the_engine_fills_in_is_no_difference() {
    assert_eq!(service(&rendered(), &stored(|_| {}), &references()), None);
}

#[test]
fn hands_are_seen_in_every_field() {
    type Edit = fn(&mut Value);
    let table: [(&str, Touches, Edit); 10] = [
        ("Mode.Replicated.Replicas", Touches::Nothing, |s| {
            s["Mode"]["Replicated"]["Replicas"] = json!(3);
        }),
        ("Mode.Replicated.Replicas", Touches::Nothing, |s| {
            s["Mode"]["Replicated"]["Replicas"] = json!(0);
        }),
        ("TaskTemplate.ContainerSpec.Env", Touches::Process, |s| {
            s["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=1", "B=2"]);
        }),
        ("TaskTemplate.ContainerSpec.Image", Touches::Process, |s| {
            s["TaskTemplate"]["ContainerSpec"]["Image"] = json!("milvus:2");
        }),
        // Fields that are never rendered.
        (
            "TaskTemplate.ContainerSpec.Healthcheck.Test",
            Touches::Process,
            |s| {
                s["TaskTemplate"]["ContainerSpec"]["Healthcheck"] = json!({ "Test": ["CMD", "x"] });
            },
        ),
        (
            "TaskTemplate.Resources.Limits.MemoryBytes",
            Touches::Resources,
            |s| {
                s["TaskTemplate"]["Resources"]["Limits"]["MemoryBytes"] = json!(1 << 30);
            },
        ),
        (
            "TaskTemplate.Placement.Constraints",
            Touches::Placement,
            |s| {
                s["TaskTemplate"]["Placement"] = json!({ "Constraints": ["node.id==x"] });
            },
        ),
        ("UpdateConfig.Parallelism", Touches::Nothing, |s| {
            s["UpdateConfig"] = json!({ "Parallelism": 2 })
        }),
        ("EndpointSpec.Mode", Touches::Process, |s| {
            s["EndpointSpec"]["Mode"] = json!("vip")
        }),
        ("Labels", Touches::Nothing, |s| {
            s["Labels"].as_object_mut().unwrap().remove(labels::CLUSTER);
        }),
    ];
    for (field, touches, edit) in table {
        let difference = service(&rendered(), &stored(edit), &references());
        let expected = Difference {
            cause: DifferenceCause::EditedByHand,
            fields: vec![field.to_owned()],
            touches,
            in_place: false,
        };
        assert_eq!(difference, Some(expected), "{field}");
    }
}

#[test]
fn another_rendering_is_a_change_of_the_resource() {
    let older = stored(|s| {
        s["TaskTemplate"]["ContainerSpec"]["Env"] = json!(["A=0"]);
        s["Labels"][labels::SPEC_HASH] = json!("older");
    });
    let difference = service(&rendered(), &older, &references()).unwrap();
    assert_eq!(difference.cause, DifferenceCause::Spec);
    assert_eq!(
        difference.fields,
        ["Labels", "TaskTemplate.ContainerSpec.Env"]
    );
}

#[test]
fn references_to_what_was_made_again_are_told_apart() {
    let mut now = references();
    now.networks = BTreeMap::from([("n2".to_owned(), "demo_backend".to_owned())]);
    let difference = service(&rendered(), &stored(|_| {}), &now).unwrap();
    assert_eq!(difference.cause, DifferenceCause::Reference);
    assert_eq!(difference.fields, ["TaskTemplate.Networks"]);
    assert_eq!(difference.touches, Touches::Process);

    let mut now = references();
    now.configs = BTreeMap::from([("demo_a-1".to_owned(), "c2".to_owned())]);
    let difference = service(&rendered(), &stored(|_| {}), &now).unwrap();
    assert_eq!(difference.cause, DifferenceCause::Reference);
    assert_eq!(
        difference.fields,
        ["TaskTemplate.ContainerSpec.Configs.ConfigID"]
    );
}

#[test]
fn a_range_that_was_chosen_is_compared_once_the_network_has_one() {
    let desired = milvus_core::desired::Network {
        internal: true,
        mtu: None,
        subnet: milvus_core::subnet::Subnet::parse("10.20.0.0/24").ok(),
    };
    let cluster = ClusterRef {
        key: ClusterKey::new("default", "demo"),
        uid: "u".to_owned(),
        generation: 1,
    };
    let fields = |rendered: &NetworkObject, ipam: Value| {
        let observed = serde_json::from_value(json!({
            "Name": "demo_backend", "Id": "n1", "Driver": "overlay", "Internal": true, "IPAM": ipam,
        }))
        .unwrap();
        network(rendered, &observed).map(|difference| difference.fields)
    };
    let with = |subnet: &str| json!({ "Driver": "default", "Config": [{ "Subnet": subnet, "Gateway": "10.20.0.1" }] });
    let chosen = crate::render::network::render(&cluster, "backend", &desired);
    assert_eq!(fields(&chosen, with("10.20.0.0/24")), None);
    assert_eq!(fields(&chosen, json!({ "Config": null })), None);
    assert_eq!(fields(&chosen, Value::Null), None);
    let other = fields(&chosen, with("10.0.7.0/24"));
    assert_eq!(other, Some(vec!["IPAM.Config".to_owned()]));
    let unchosen = milvus_core::desired::Network {
        subnet: None,
        ..desired
    };
    let any = crate::render::network::render(&cluster, "backend", &unchosen);
    assert_eq!(fields(&any, with("10.0.7.0/24")), None);
}

#[test]
fn tasks_are_current_until_their_service_changes() {
    let now = stored(|_| {});
    let mut task = now.spec["TaskTemplate"].clone();
    task.as_object_mut().unwrap().remove("Runtime");
    assert!(is_current(&task, &now.spec));
    let moved = stored(|s| {
        s["TaskTemplate"]["Placement"] = json!({ "Constraints": ["node.id==x"] });
    });
    assert!(is_current(&task, &moved.spec));
    let forced = stored(|s| s["TaskTemplate"]["ForceUpdate"] = json!(4));
    assert!(!is_current(&task, &forced.spec));
}

#[test]
fn hashes_do_not_depend_on_the_order_of_keys() {
    let a: Value = serde_json::from_str(r#"{"a":1,"b":{"c":2,"d":3}}"#).unwrap();
    let b: Value = serde_json::from_str(r#"{"b":{"d":3,"c":2},"a":1}"#).unwrap();
    assert_eq!(hash(&a), hash(&b));
    assert_ne!(hash(&a), hash(&json!({ "a": 1 })));
}
