use super::*;

fn custom(description: &str) -> ServedKind<'static> {
    let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
    ServedKind {
        group: "operator.milvus.io".into(),
        version: "v1beta1".into(),
        kind: "MilvusCluster".into(),
        plural: "milvusclusters".into(),
        namespaced: true,
        verbs: words(&[
            "create",
            "delete",
            "deletecollection",
            "get",
            "list",
            "patch",
            "update",
            "watch",
        ]),
        subresources: words(&["status", "scale"]),
        schema: json!({"type": "object", "description": description, "properties": {
            "metadata": {"type": "object"}, "spec": {"type": "object"}}})
        .to_string()
        .into(),
    }
}

fn parsed(document: &Document) -> Value {
    serde_json::from_slice(&document.body).expect("json")
}

fn documents(description: &str) -> Documents {
    let mut kinds = builtin_kinds();
    kinds.push(custom(description));
    Documents::build(&kinds).expect("documents")
}

#[test]
fn the_index_points_at_each_document_by_its_hash() {
    let documents = documents("a");
    let index = parsed(documents.index());
    let paths = index["paths"].as_object().expect("paths");
    assert_eq!(
        paths.keys().collect::<Vec<_>>(),
        [
            "api/v1",
            "apis/authentication.k8s.io/v1",
            "apis/authorization.k8s.io/v1",
            "apis/events.k8s.io/v1",
            "apis/operator.milvus.io/v1beta1"
        ]
    );
    for (path, entry) in paths {
        let document = documents.group_version(path).expect("document");
        let hash = document.etag.trim_matches('"');
        assert_eq!(
            entry["serverRelativeURL"],
            format!("/openapi/v3/{path}?hash={hash}")
        );
    }
    assert!(documents.group_version("apis/none/v1").is_none());
}

#[test]
fn only_a_changed_document_changes_its_hash() {
    let (a, b) = (documents("a"), documents("b"));
    let tag = |d: &Documents, path: &str| d.group_version(path).expect("document").etag.clone();
    assert_ne!(
        tag(&a, "apis/operator.milvus.io/v1beta1"),
        tag(&b, "apis/operator.milvus.io/v1beta1")
    );
    assert_eq!(tag(&a, "api/v1"), tag(&b, "api/v1"));
    assert_ne!(a.index().etag, b.index().etag);
}

#[test]
fn patch_takes_field_validation_and_names_its_kind() {
    let documents = documents("a");
    let document = parsed(
        documents
            .group_version("apis/operator.milvus.io/v1beta1")
            .expect("document"),
    );
    let path = "/apis/operator.milvus.io/v1beta1/namespaces/{namespace}/milvusclusters/{name}";
    let patch = &document["paths"][path]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "operator.milvus.io", "version": "v1beta1", "kind": "MilvusCluster"})
    );
    let parameters = patch["parameters"].as_array().expect("list");
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"));
    let scale = &document["paths"][format!("{path}/scale")]["get"];
    assert_eq!(scale["x-kubernetes-group-version-kind"]["kind"], "Scale");
    let schema = &document["components"]["schemas"]["io.milvus.operator.v1beta1.MilvusCluster"];
    assert_eq!(
        schema["x-kubernetes-group-version-kind"][0]["kind"],
        "MilvusCluster"
    );
    assert_eq!(
        schema["properties"]["metadata"]["allOf"][0],
        schemas::reference(schemas::OBJECT_META)
    );
}

#[test]
fn every_reference_leads_somewhere() {
    fn references<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
        match value {
            Value::Object(map) => {
                out.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|v| references(v, out));
            }
            Value::Array(items) => items.iter().for_each(|v| references(v, out)),
            _ => {}
        }
    }
    for document in documents("a").documents.values() {
        let document = parsed(document);
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(
                document
                    .pointer(reference.trim_start_matches('#'))
                    .is_some(),
                "{reference}"
            );
        }
    }
}

#[test]
fn operation_ids_are_unique() {
    for document in documents("a").documents.values() {
        let text = parsed(document);
        let mut ids: Vec<&str> = text["paths"]
            .as_object()
            .expect("paths")
            .values()
            .flat_map(|item| item.as_object().expect("item").values())
            .filter_map(|operation| operation.get("operationId")?.as_str())
            .collect();
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), count, "{ids:?}");
    }
}
