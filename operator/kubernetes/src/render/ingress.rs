//! The way in from outside by host name, for ingress controllers that forward gRPC. Pure.

use milvus_crds::Ingress;
use serde_json::{Map, Value, json};

use super::Scope;
use super::object::{Object, put};
use crate::Kind;

/// Everything that arrives for one of the hosts goes to the client Service.
pub(super) fn ingress(scope: &Scope<'_>, asked: &Ingress) -> Object {
    let Ingress {
        labels,
        annotations,
        ingress_class_name,
        hosts,
        tls_secret_refs,
    } = asked;
    let endpoint = &scope.desired.endpoint;
    let http = json!({
        "paths": [{
            "path": "/",
            "pathType": "Prefix",
            "backend": {
                "service": {
                    "name": scope.milvus_name(),
                    "port": {"number": endpoint.port},
                },
            },
        }],
    });
    let mut rules: Vec<Value> = hosts
        .iter()
        .map(|host| json!({"host": host, "http": http}))
        .collect();
    if rules.is_empty() {
        rules.push(json!({"http": http}));
    }
    let mut spec = Map::new();
    put(&mut spec, "ingressClassName", ingress_class_name.clone());
    put(&mut spec, "rules", rules);
    let tls: Vec<Value> = tls_secret_refs
        .iter()
        .map(|(secret, hosts)| {
            let mut entry = Map::new();
            put(&mut entry, "secretName", secret.as_str());
            put(&mut entry, "hosts", hosts.clone());
            Value::Object(entry)
        })
        .collect();
    put(&mut spec, "tls", tls);
    let component = Some(endpoint.component);
    Object::new(scope, Kind::Ingress, scope.milvus_name(), component)
        .labels(labels)
        .annotations(annotations)
        .set("spec", Value::Object(spec))
}
