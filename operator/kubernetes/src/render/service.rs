//! Names in the network, and the identity of the pods. Pure.

use std::collections::BTreeMap;

use milvus_core::desired::{Endpoint, Port, Workload};
use milvus_platform::PlatformError;
use serde_json::{Value, json};

use super::object::Object;
use super::{Scope, bug, workload};
use crate::Kind;

/// The port of the metrics, by its name.
pub(super) const METRICS: &str = "metrics";

/// The identity of the pods: they ask nothing of the API.
pub(super) fn account(scope: &Scope<'_>) -> Object {
    Object::new(scope, Kind::ServiceAccount, scope.milvus_name(), None)
        .set("automountServiceAccountToken", json!(false))
}

/// What clients connect to.
pub(super) fn client(scope: &Scope<'_>) -> Result<Object, PlatformError> {
    let Endpoint {
        tls: _, // a matter between clients and the process
        port,
        component,
        service_type,
        ingress: _, // in ingress.rs
        asked: _,   // the operator's
    } = &scope.desired.endpoint;
    let serving = scope
        .desired
        .workloads
        .iter()
        .find(|w| w.component == *component)
        .ok_or_else(|| {
            bug(
                "render the client Service",
                format!("there is no {component}"),
            )
        })?;
    let named = |name: &str| serving.ports.iter().find(|p| p.name == name);
    let entry = serving.ports.first().ok_or_else(|| {
        bug(
            "render the client Service",
            format!("{component} has no port"),
        )
    })?;
    let mut ports = vec![json!({
        "name": entry.name,
        "port": port,
        "protocol": "TCP",
        "targetPort": entry.name,
    })];
    let kind = service_type.as_deref().unwrap_or("ClusterIP");
    // The metrics port also serves profiles and management, for everybody who reaches it: never outside the cluster.
    if kind == "ClusterIP"
        && let Some(metrics) = named(METRICS)
    {
        ports.push(of_port(metrics));
    }
    let service = Object::new(scope, Kind::Service, scope.milvus_name(), Some(*component));
    let nothing = BTreeMap::new();
    let (labels, annotations) = scope
        .passthrough(*component)
        .map_or((&nothing, &nothing), |own| {
            (&own.pod.service_labels, &own.pod.service_annotations)
        });
    Ok(service.labels(labels).annotations(annotations).set(
        "spec",
        json!({
            "type": kind,
            "selector": scope.selector(*component),
            "ports": ports,
        }),
    ))
}

/// The Services of one component: one name for all instances of a dependency, and one that gives members names of their
/// own. Milvus' roles find each other through etcd.
pub(super) fn of_component(scope: &Scope<'_>, workload: &Workload) -> Vec<Object> {
    let component = workload.component;
    let ports: Vec<Value> = workload.ports.iter().map(of_port).collect();
    let mut all = Vec::new();
    if !component.is_milvus() && !ports.is_empty() {
        let service = Object::new(
            scope,
            Kind::Service,
            scope.workload_name(component),
            Some(component),
        );
        all.push(service.set(
            "spec",
            json!({
                "type": "ClusterIP",
                "selector": scope.selector(component),
                "ports": ports,
            }),
        ));
    }
    if workload::has_members(workload) {
        let headless = Object::new(
            scope,
            Kind::Service,
            scope.headless_name(component),
            Some(component),
        );
        all.push(headless.set(
            "spec",
            json!({
                "type": "ClusterIP",
                "clusterIP": "None",
                "selector": scope.selector(component),
                "ports": ports,
                // Members must find each other before any of them is ready.
                "publishNotReadyAddresses": true,
            }),
        ));
    }
    all
}

fn of_port(port: &Port) -> Value {
    json!({
        "name": port.name,
        "port": port.number,
        "protocol": "TCP",
        "targetPort": port.name,
    })
}
