//! Goldens of every published sample shape, and what must hold for any document at all: no panic, and no leaf lost silently.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{kubernetes_capabilities, swarm_capabilities};

fn fixtures() -> Vec<(String, String)> {
    let folder = format!("{}/src/convert/fixtures", env!("CARGO_MANIFEST_DIR"));
    let mut fixtures: Vec<(String, String)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).unwrap())
        })
        .collect();
    fixtures.sort();
    fixtures
}

fn documents(text: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(text).unwrap()
}

/// Every document of every fixture that is milvus-operator's, with the name of its fixture.
fn theirs() -> &'static [(String, Value)] {
    static THEIRS: LazyLock<Vec<(String, Value)>> = LazyLock::new(|| {
        fixtures()
            .into_iter()
            .flat_map(|(name, text)| {
                documents(&text)
                    .into_iter()
                    .filter(concerns)
                    .map(move |document| (name.clone(), document))
            })
            .collect()
    });
    &THEIRS
}

/// What came of a document, for people: the remarks, then the result.
fn picture(conversion: &Conversion) -> String {
    let mut text = String::new();
    for remark in &conversion.remarks {
        text.push_str(&format!("# {remark}\n"));
    }
    let cluster = conversion.cluster.as_deref();
    let documents = conversion
        .secrets
        .iter()
        .cloned()
        .chain(cluster.map(|cluster| serde_json::to_value(cluster).unwrap()));
    for document in documents {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&document).unwrap());
    }
    text
}

const FRESH: &str = "fresh/place";

/// What came of a document; where only the decision about a fresh prefix is lacking, with that decision.
fn decided(document: &Value) -> Conversion {
    let conversion = convert(document);
    let apart = convert_with(document, Some(FRESH));
    if conversion.is_refused() && !apart.is_refused() {
        apart
    } else {
        conversion
    }
}

#[test]
fn every_sample_shape() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.bind(|| {
        for (name, text) in fixtures() {
            let pictures: Vec<String> = documents(&text)
                .iter()
                .filter(|document| concerns(document))
                .map(|document| {
                    let mut text = picture(&convert(document));
                    let decided = picture(&decided(document));
                    if decided != text {
                        text.push_str(&format!("\nwith the fresh prefix {FRESH}:\n{decided}"));
                    }
                    text
                })
                .collect();
            assert!(!pictures.is_empty(), "{name} has nothing to convert");
            insta::assert_snapshot!(name, pictures.join("\n"));
        }
    });
}

/// The paths that a conversion accounts for: carried, asking for what holds anyway, or spoken of.
fn accounted(conversion: &Conversion, path: &str) -> bool {
    let inside = |known: &str| {
        known.is_empty()
            || path
                .strip_prefix(known)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    conversion.used.iter().any(|known| inside(known)) || spoken_of(conversion, path)
}

fn spoken_of(conversion: &Conversion, path: &str) -> bool {
    conversion.remarks.iter().any(|remark| {
        path.strip_prefix(&remark.path)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            || remark.path.is_empty()
    })
}

fn leaves_of(document: &Value) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    leaves("", document, &mut all);
    all
}

/// Leaves that a conversion neither carried nor spoke of.
fn lost(document: &Value) -> Vec<String> {
    let conversion = convert(document);
    // A document of another kind, or without a name, is refused as a whole.
    let whole = ["", "kind", "metadata.name"];
    if conversion
        .remarks
        .iter()
        .any(|r| r.level == Level::Refused && whole.contains(&r.path.as_str()))
    {
        return Vec::new();
    }
    leaves_of(document)
        .into_keys()
        .filter(|path| !accounted(&conversion, path))
        .collect()
}

#[test]
fn no_leaf_of_a_sample_is_lost() {
    for (name, document) in theirs() {
        assert_eq!(lost(document), Vec::<String>::new(), "{name}");
    }
}

/// Puts another value of the same type into the place of a leaf.
fn change(value: &mut Value, at: &str, path: &str) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                change(value, &input::join(at, key), path);
            }
        }
        Value::Array(items) => {
            for (index, value) in items.iter_mut().enumerate() {
                change(value, &format!("{at}[{index}]"), path);
            }
        }
        leaf if at == path => {
            *leaf = match &*leaf {
                Value::Bool(flag) => json!(!flag),
                Value::Number(number) => json!(number.as_f64().map_or(7, |n| n as i64 + 7)),
                Value::String(text) => json!(format!("{text}7")),
                other => other.clone(),
            };
        }
        _ => {}
    }
}

/// What is said to be carried does make a difference: "used" is not a word for "ignored".
#[test]
fn every_carried_leaf_makes_a_difference() {
    let mut checked = 0;
    for (name, document) in theirs() {
        let before = decided(document);
        let fresh = convert(document).is_refused().then_some(FRESH);
        if before.is_refused() {
            continue;
        }
        for path in leaves_of(document).into_keys() {
            if spoken_of(&before, &path) {
                continue;
            }
            let mut other = document.clone();
            change(&mut other, "", &path);
            assert_ne!(&other, document, "{name}: {path}");
            let after = convert_with(&other, fresh);
            let same = (&after.cluster, &after.secrets, &after.remarks)
                == (&before.cluster, &before.secrets, &before.remarks);
            assert!(!same, "{name}: {path} makes no difference");
            checked += 1;
        }
    }
    assert!(checked > 300, "only {checked} leaves");
}

/// Credentials are in the Secrets and nowhere else: not in a remark, not in the resource.
#[test]
fn credentials_are_not_shown() {
    for (name, document) in theirs() {
        let mut conversion = decided(document);
        conversion.check(&[&swarm_capabilities(), &kubernetes_capabilities()]);
        let cluster = serde_json::to_string(&conversion.cluster).unwrap();
        for text in conversion
            .remarks
            .iter()
            .map(|r| &r.message)
            .chain([&cluster])
        {
            assert!(!text.contains("not-a-real"), "{name}: {text}");
        }
    }
}

#[test]
fn remarks_are_sentences_with_a_path() {
    for (name, document) in theirs() {
        let mut conversion = convert(document);
        conversion.check(&[&swarm_capabilities(), &kubernetes_capabilities()]);
        for remark in conversion.remarks {
            assert!(
                !remark.path.is_empty() && !remark.message.is_empty(),
                "{name}: {remark}"
            );
            assert!(!remark.message.contains('\n'), "{name}: {remark}");
        }
    }
}

/// The text of the type is the type: what is written out and read again is the same resource.
#[test]
fn results_survive_the_way_to_the_api_server() {
    let mut seen = 0;
    for (name, document) in theirs() {
        let Some(cluster) = decided(document).cluster else {
            continue;
        };
        let text = serde_saphyr::to_string(&cluster).unwrap();
        let again: MilvusCluster = serde_saphyr::from_str(&text).unwrap();
        assert_eq!(*cluster, again, "{name}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} results");
}

/// The name that topics begin with is the one that validation knows.
#[test]
fn topics_are_named_as_validation_names_them() {
    for namespace in [None, Some("default"), Some("vectors")] {
        let shape = Shape {
            name: "demo".to_owned(),
            namespace: namespace.map(str::to_owned),
            standalone: true,
            since_2_6: false,
            fresh_prefix: None,
        };
        let resource = crate::testing::resource(&format!(
            "apiVersion: operator.milvus.io/v1beta1\nkind: MilvusCluster\nmetadata: {{name: demo, namespace: {}}}\nspec: {{}}",
            namespace.unwrap_or("default")
        ));
        let facts = crate::testing::facts(&resource, 3);
        let validated =
            crate::validate::validate(&resource, &facts, &swarm_capabilities()).unwrap();
        assert_eq!(shape.unique_name(), validated.unique_name());
    }
}

/// Metadata, objects and log belong together: only some of them in common with the old cluster is refused, unless the new one
/// has a place of its own there.
#[test]
fn a_part_of_the_old_data_is_not_taken_over() {
    let storage = json!({"external": true, "type": "S3", "endpoint": "s3.example.org:443", "secretRef": "keys"});
    let etcd = json!({"external": true, "endpoints": ["etcd:2379"]});
    let pulsar = json!({"external": true, "endpoint": "pulsar:6650"});
    let document = |name: &str, dependencies: &[(&str, &Value)]| {
        let mut document = json!({
            "apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "metadata": {"name": name},
            "spec": {"mode": "cluster", "config": {"minio": {"rootPath": "old"}, "msgChannel": {"chanNamePrefix": {"cluster": "shop"}}},
                "dependencies": {"msgStreamType": "pulsar"}},
        });
        for (key, block) in dependencies {
            document["spec"]["dependencies"][key] = (*block).clone();
        }
        document
    };
    let refusals = |conversion: &Conversion| -> Vec<String> {
        let all = conversion.remarks.iter();
        all.filter(|r| r.level == Level::Refused)
            .map(|r| r.path.clone())
            .collect()
    };
    let (of_etcd, of_storage) = (
        vec!["spec.dependencies.etcd.external".to_owned()],
        vec!["spec.dependencies.storage.external".to_owned()],
    );
    for (dependencies, expected) in [
        (vec![("storage", &storage)], of_storage.clone()),
        (vec![("storage", &storage), ("pulsar", &pulsar)], of_storage),
        (vec![("etcd", &etcd)], of_etcd.clone()),
        (
            vec![("etcd", &etcd), ("storage", &storage)],
            of_etcd.clone(),
        ),
        (vec![("etcd", &etcd), ("pulsar", &pulsar)], of_etcd),
        (
            vec![("etcd", &etcd), ("storage", &storage), ("pulsar", &pulsar)],
            Vec::new(),
        ),
        (vec![], Vec::new()),
    ] {
        let old = document("shop", &dependencies);
        assert_eq!(refusals(&convert(&old)), expected, "{old}");
        // A new name has topics of its own.
        let new = document("store", &dependencies);
        let fresh = convert_with(&new, Some(FRESH));
        assert_eq!(refusals(&fresh), Vec::<String>::new(), "{new}");
        let cluster = fresh.cluster.unwrap();
        let has = |name| dependencies.iter().any(|(key, _)| *key == name);
        let root = cluster.spec.dependencies.storage.root_path.as_deref();
        assert_eq!(root, Some(if has("storage") { FRESH } else { "old" }));
        assert_eq!(
            cluster.spec.config.get("etcd"),
            has("etcd").then(|| json!({"rootPath": FRESH})).as_ref()
        );
    }
    // What is inside of the old one is not fresh, and topics are not shared either.
    let all = [("etcd", &etcd), ("storage", &storage), ("pulsar", &pulsar)];
    let inside = convert_with(&document("store", &all), Some("old/new"));
    assert_eq!(refusals(&inside), ["spec.config.minio.rootPath"]);
    let same = convert_with(&document("shop", &all), Some(FRESH));
    assert_eq!(refusals(&same), ["metadata.name"]);
}

#[test]
fn other_documents_are_none_of_ours() {
    for document in [
        json!({"apiVersion": "v1", "kind": "Secret"}),
        json!({"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster"}),
        json!({"kind": "Milvus"}),
        json!([]),
    ] {
        assert!(!concerns(&document), "{document}");
        assert!(convert(&document).is_refused());
    }
    assert!(concerns(
        &json!({"apiVersion": "milvus.io/v1", "kind": "Milvus"})
    ));
}

/// Words that mean something to the conversion, so that arbitrary documents get deep into it.
fn words() -> Vec<String> {
    let mut words: Vec<String> = theirs()
        .iter()
        .flat_map(|(_, document)| leaves_of(document).into_keys())
        .flat_map(|path| {
            path.split(['.', '[', ']'])
                .filter(|step| !step.is_empty())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    words.sort();
    words.dedup();
    words
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-2i64..70_000).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,6}".prop_map(Value::from),
        prop::sample::select(vec![
            "cluster",
            "standalone",
            "pulsar",
            "kafka",
            "rocksmq",
            "woodpecker",
            "Delete",
            "S3",
            "milvusdb/milvus:v2.4.1",
            "10Gi",
            "true",
            "_remove",
            "e:1",
            "default",
        ])
        .prop_map(Value::from),
    ]
}

fn arbitrary(words: Vec<String>) -> impl Strategy<Value = Value> {
    let key = prop_oneof![9 => prop::sample::select(words), 1 => "[a-zA-Z./_-]{0,8}"];
    scalar().prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// Puts a value into the place of the given part of a document.
fn replace(value: &mut Value, wanted: usize, seen: &mut usize, with: &Value) {
    if *seen == wanted {
        *value = with.clone();
    }
    *seen += 1;
    match value {
        Value::Object(fields) => {
            for value in fields.values_mut() {
                replace(value, wanted, seen, with);
            }
        }
        Value::Array(items) => {
            for value in items {
                replace(value, wanted, seen, with);
            }
        }
        _ => {}
    }
}

fn holds(document: &Value) {
    let mut conversion = convert(document);
    assert_eq!(conversion.cluster.is_none(), conversion.is_refused());
    assert_eq!(lost(document), Vec::<String>::new());
    let platforms = [&swarm_capabilities(), &kubernetes_capabilities()];
    conversion.check(&platforms);
    assert_eq!(conversion.cluster.is_none(), conversion.is_refused());
    if conversion.is_refused() {
        assert!(conversion.secrets.is_empty());
    }
}

proptest! {
    /// Any document at all: no panic, no leaf lost, a result or a refusal.
    #[test]
    fn any_document(document in arbitrary(words())) {
        holds(&document);
        prop_assert!(convert(&document).is_refused() || concerns(&document));
    }

    /// Any spec, in each of the forms.
    #[test]
    fn any_spec(
        spec in arbitrary(words()),
        form in prop::sample::select(vec![
            ("milvus.io/v1beta1", "Milvus"),
            ("milvus.io/v1alpha1", "Milvus"),
            ("milvus.io/v1alpha1", "MilvusCluster"),
        ]),
    ) {
        holds(&json!({
            "apiVersion": form.0, "kind": form.1, "metadata": {"name": "any"}, "spec": spec,
        }));
    }

    /// A sample with something else in the place of one of its parts.
    #[test]
    fn any_change_of_a_sample(
        which in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        with in arbitrary(words()),
    ) {
        let samples = theirs();
        let (_, document) = which.get(samples);
        let mut document = document.clone();
        let mut parts = 0;
        replace(&mut document, usize::MAX, &mut parts, &Value::Null);
        let mut seen = 0;
        replace(&mut document, place.index(parts), &mut seen, &with);
        holds(&document);
    }
}
