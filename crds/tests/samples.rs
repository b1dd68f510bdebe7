//! Every sample is taken as it is: no field is lost, no rule objects, and its first line says where it runs.

use std::{fs, path::PathBuf};

use milvus_crds::MilvusCluster;
use serde_json::Value;

fn samples() -> Vec<(String, String)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../deploy/samples");
    let mut samples: Vec<_> = fs::read_dir(directory)
        .expect("the samples are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .map(|path| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            (name, fs::read_to_string(path).expect("a sample"))
        })
        .collect();
    samples.sort();
    samples
}

/// Every leaf of `given` that `kept` does not have, by path.
fn lost(path: &str, given: &Value, kept: Option<&Value>, out: &mut Vec<String>) {
    match (given, kept) {
        (Value::Object(fields), Some(Value::Object(kept))) => {
            for (name, value) in fields {
                lost(&format!("{path}.{name}"), value, kept.get(name), out);
            }
        }
        (Value::Array(items), Some(Value::Array(kept))) => {
            for (index, value) in items.iter().enumerate() {
                lost(&format!("{path}[{index}]"), value, kept.get(index), out);
            }
        }
        (given, Some(kept)) if given == kept => {}
        _ => out.push(path.to_owned()),
    }
}

fn clusters(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple::<Value>(text)
        .expect("YAML documents")
        .into_iter()
        .filter(|document| document["kind"] == "MilvusCluster")
        .collect()
}

#[test]
fn every_sample_is_taken_whole() {
    let mut seen = 0;
    for (name, text) in samples() {
        let clusters = clusters(&text);
        assert!(!clusters.is_empty(), "{name} has no MilvusCluster");
        for given in clusters {
            let cluster: MilvusCluster = serde_json::from_value(given.clone())
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let kept = serde_json::to_value(&cluster).expect("a resource is JSON");
            let mut out = Vec::new();
            lost("", &given, Some(&kept), &mut out);
            assert!(out.is_empty(), "{name} loses {out:?}");
            if let Err(errors) = cluster.validate_cel() {
                panic!("{name}: {errors:?}");
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} clusters in the samples");
}

#[test]
fn every_sample_says_where_it_runs() {
    for (name, text) in samples() {
        let first = text.lines().next().unwrap_or_default();
        let swarm_only = text.contains("\n  swarm:");
        let expected = if swarm_only {
            "# Swarm-only: "
        } else {
            "# Portable: "
        };
        assert!(
            first.starts_with(expected),
            "{name} begins with {first:?}, not {expected:?}"
        );
    }
}
