//! What every sample becomes on Kubernetes, and how much of it an edit changes.

mod fixtures;

use std::collections::BTreeMap;

use fixtures::{desired, rendered, samples};
use milvus_kubernetes::{Kind, Native};
use milvus_platform::Rendered;
use serde_json::Value;

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
fn all_samples() {
    let samples = samples();
    assert!(samples.len() >= 5, "{samples:?}");
    for (file, resource) in samples {
        let rendered = rendered(&desired(&resource));
        insta::assert_yaml_snapshot!(file, shown(&rendered));
    }
}
