//! Milvus sessions as etcd's JSON gateway lists them.

use std::collections::BTreeMap;

use base64::Engine;
use serde::Deserialize;

#[derive(Deserialize)]
struct Range {
    #[serde(default)]
    kvs: Vec<KeyValue>,
}

#[derive(Deserialize)]
struct KeyValue {
    #[serde(default)]
    value: String,
}

/// A session's value. Fields as Milvus 2.2-2.6 writes them (`internal/util/sessionutil`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    server_name: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    stopping: bool,
}

/// Counts sessions by role. Sessions of dead processes linger until their lease ends, so only those whose address is in
/// `addresses` count (all when that is empty); those that are stopping do not count. Other keys below the prefix (`id`)
/// hold no session and are passed over.
pub(crate) fn count_sessions(
    body: &[u8],
    addresses: &[String],
) -> Result<BTreeMap<String, u32>, serde_json::Error> {
    let range: Range = serde_json::from_slice(body)?;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut seen = std::collections::BTreeSet::new();
    let mut counts = BTreeMap::new();
    for entry in range.kvs {
        let Ok(value) = engine.decode(&entry.value) else {
            continue;
        };
        let Ok(session) = serde_json::from_slice::<Session>(&value) else {
            continue;
        };
        let host = session
            .address
            .rsplit_once(':')
            .map_or(session.address.as_str(), |(host, _)| host)
            .to_owned();
        if session.stopping || !(addresses.is_empty() || addresses.contains(&host)) {
            continue;
        }
        // A coordinator writes two keys (its own and the active one) with one value.
        if seen.insert((session.server_name.clone(), session.address.clone())) {
            *counts.entry(session.server_name).or_insert(0) += 1;
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(values: &[&str]) -> Vec<u8> {
        let engine = base64::engine::general_purpose::STANDARD;
        let kvs: Vec<_> = values
            .iter()
            .map(|v| serde_json::json!({"key": "eA==", "value": engine.encode(v)}))
            .collect();
        serde_json::to_vec(&serde_json::json!({"header": {}, "kvs": kvs, "count": "9"})).unwrap()
    }

    #[test]
    fn counts_living_sessions_by_role() {
        let body = listing(&[
            "17",
            r#"{"ServerID":1,"ServerName":"rootcoord","Address":"10.0.1.5:53100","Exclusive":true}"#,
            r#"{"ServerID":1,"ServerName":"rootcoord","Address":"10.0.1.5:53100","Exclusive":true}"#,
            r#"{"ServerID":2,"ServerName":"querynode","Address":"10.0.1.6:21123"}"#,
            r#"{"ServerID":3,"ServerName":"querynode","Address":"10.0.1.7:21123"}"#,
            r#"{"ServerID":4,"ServerName":"querynode","Address":"10.0.1.8:21123","Stopping":true}"#,
        ]);
        let all = count_sessions(&body, &[]).unwrap();
        assert_eq!(
            all,
            BTreeMap::from([("rootcoord".to_owned(), 1), ("querynode".to_owned(), 2)])
        );
        let living =
            count_sessions(&body, &["10.0.1.5".to_owned(), "10.0.1.7".to_owned()]).unwrap();
        assert_eq!(
            living,
            BTreeMap::from([("rootcoord".to_owned(), 1), ("querynode".to_owned(), 1)])
        );
        assert!(count_sessions(br#"{"header":{}}"#, &[]).unwrap().is_empty());
    }
}
