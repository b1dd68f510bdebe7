use super::*;

fn now() -> Timestamp {
    "2024-03-01T12:00:00Z".parse().expect("time")
}

fn custom() -> Columns {
    Columns::from_printer_columns(&json!([
        {"name": "Mode", "type": "string", "jsonPath": ".spec.mode"},
        {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas", "description": "d", "priority": 1, "format": "int32"},
        {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]))
    .expect("columns")
}

#[test]
fn custom_columns() {
    let item = json!({"apiVersion": "g/v1", "kind": "K",
        "metadata": {"name": "demo", "resourceVersion": "7", "creationTimestamp": "2024-03-01T11:59:15Z"},
        "spec": {"mode": "cluster", "replicas": 3},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
    let bare = json!({"metadata": {"name": "bare"}, "spec": {"mode": 5, "replicas": "x"}});
    let table = custom().list(
        [&item, &bare],
        json!({"resourceVersion": "9"}),
        IncludeObject::Metadata,
        now(),
    );
    assert_eq!(table["metadata"], json!({"resourceVersion": "9"}));
    assert_eq!(
        table["rows"][0]["cells"],
        json!(["demo", "cluster", "True", 3, "45s"])
    );
    assert_eq!(
        table["rows"][1]["cells"],
        json!(["bare", "5", null, null, null])
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    assert_eq!(table["rows"][0]["object"]["metadata"]["name"], "demo");
    assert_eq!(table["columnDefinitions"][0]["format"], "name");
    assert_eq!(
        table["columnDefinitions"][3],
        json!({"name": "Replicas", "type": "integer", "format": "int32", "description": "d", "priority": 1})
    );
    let whole = custom().list([&item], json!({}), IncludeObject::Object, now());
    assert_eq!(whole["rows"][0]["object"], item);
    let none = custom().list([&item], json!({}), IncludeObject::None, now());
    assert!(none["rows"][0].get("object").is_none());
}

#[test]
fn watch_events_define_columns_once() {
    let item = json!({"metadata": {"name": "demo", "resourceVersion": "7"}});
    let first = custom().event(&item, true, IncludeObject::Metadata, now());
    let later = custom().event(&item, false, IncludeObject::Metadata, now());
    assert!(first["columnDefinitions"].is_array());
    assert!(later["columnDefinitions"].is_null());
    assert_eq!(later["metadata"], json!({"resourceVersion": "7"}));
}

#[test]
fn no_columns_mean_name_and_age() {
    let columns = Columns::from_printer_columns(&Value::Null).expect("columns");
    let item = json!({"metadata": {"name": "a", "creationTimestamp": "2024-03-01T09:00:00Z"}});
    assert_eq!(
        columns.list([&item], json!({}), IncludeObject::None, now())["rows"][0]["cells"],
        json!(["a", "3h"])
    );
}

#[test]
fn bad_columns_are_refused() {
    for bad in [
        json!([{"type": "string", "jsonPath": ".a"}]),
        json!([{"name": "a", "jsonPath": ".a"}]),
        json!([{"name": "a", "type": "string"}]),
        json!([{"name": "a", "type": "text", "jsonPath": ".a"}]),
        json!([{"name": "a", "type": "string", "jsonPath": ".a["}]),
    ] {
        assert!(Columns::from_printer_columns(&bad).is_err(), "{bad}");
    }
}

#[test]
fn built_in_columns() {
    let cells = |group: &str, kind: &str, item: Value| {
        let table = Columns::builtin(group, kind).expect(kind).list(
            [&item],
            json!({}),
            IncludeObject::None,
            now(),
        );
        let names: Vec<String> = table["columnDefinitions"]
            .as_array()
            .expect("columns")
            .iter()
            .filter(|c| c["priority"] == 0)
            .map(|c| c["name"].as_str().unwrap_or_default().to_owned())
            .collect();
        (names.join(" "), table["rows"][0]["cells"].clone())
    };
    let meta = json!({"name": "n", "creationTimestamp": "2024-03-01T11:00:00Z"});
    assert_eq!(
        cells(
            "",
            "Namespace",
            json!({"metadata": meta, "status": {"phase": "Active"}})
        ),
        ("Name Status Age".to_owned(), json!(["n", "Active", "60m"]))
    );
    assert_eq!(
        cells(
            "",
            "Secret",
            json!({"metadata": meta, "type": "Opaque", "data": {"a": "", "b": ""}})
        ),
        (
            "Name Type Data Age".to_owned(),
            json!(["n", "Opaque", 2, "60m"])
        )
    );
    assert_eq!(
        cells(
            "",
            "ConfigMap",
            json!({"metadata": meta, "data": {"a": ""}, "binaryData": {"b": ""}})
        ),
        ("Name Data Age".to_owned(), json!(["n", 2, "60m"]))
    );
    let event = json!({"metadata": meta, "type": "Normal", "reason": "Started", "message": " done\n", "count": 4,
        "firstTimestamp": "2024-03-01T11:58:00Z", "lastTimestamp": "2024-03-01T11:59:00Z",
        "involvedObject": {"kind": "MilvusCluster", "name": "demo", "fieldPath": "spec.x"}, "source": {"component": "op", "host": "h"}});
    assert_eq!(
        cells("", "Event", event),
        (
            "Last Seen Type Reason Object Message".to_owned(),
            json!([
                "60s",
                "Normal",
                "Started",
                "milvuscluster/demo",
                "spec.x",
                "op, h",
                "done",
                "2m",
                4,
                "n"
            ])
        )
    );
    let event = json!({"metadata": meta, "type": "Warning", "reason": "R", "note": "text", "eventTime": "2024-03-01T11:50:00.123456Z",
        "regarding": {"kind": "K", "name": "x"}, "reportingController": "c"});
    assert_eq!(
        cells("events.k8s.io", "Event", event).1,
        json!(["10m", "Warning", "R", "k/x", "", "c", "text", "10m", 1, "n"])
    );
    assert!(Columns::builtin("", "Pod").is_none());
}
