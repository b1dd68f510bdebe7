//! The user's layer of milvus.yaml: everything goes but what holds the cluster together. Pure.

use serde_json::{Map, Value};

use super::Input;
use super::violations::Findings;
use crate::config;

pub(super) fn check(input: &Input<'_>, findings: &mut Findings) {
    walk(&input.spec.config, "", findings);
    if let Some(root) = input
        .spec
        .config
        .get("etcd")
        .and_then(|e| e.get("rootPath"))
    {
        let fine = root
            .as_str()
            .is_some_and(|r| !r.is_empty() && !r.starts_with('/') && !r.ends_with('/'));
        if !fine {
            findings.invalid(
                "spec.config.etcd.rootPath",
                "must be a prefix without slashes at its ends",
            );
        }
    }
}

fn walk(section: &Map<String, Value>, path: &str, findings: &mut Findings) {
    for (key, value) in section {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        match value {
            Value::Object(inner) => walk(inner, &path, findings),
            _ => {
                if let Some((_, why)) = config::milvus::forced(&path) {
                    findings.invalid(
                        format!("spec.config.{path}"),
                        format!("the operator sets this: {why}"),
                    );
                }
            }
        }
    }
}
