use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use milvus_core::component::{Component, WorkloadKey};
use milvus_core::names::ClusterKey;
use milvus_core::observed::{Difference, DifferenceCause};
use milvus_core::outline::{ObjectClass, ObjectOutline, Revision};
use serde_json::json;

use super::*;
use crate::observe::observe;

/// An API server that gives these answers, one after the other. Tells what it was asked for.
fn server(answers: Vec<(u16, Value)>) -> (Client, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (asked, questions) = mpsc::channel();
    thread::spawn(move || {
        for (code, answer) in answers {
            let (stream, _) = listener.accept().expect("a connection");
            let mut reader = BufReader::new(stream);
            let (mut question, mut length) = (String::new(), 0);
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).expect("a line");
                if question.is_empty() {
                    question = line.rsplit_once(' ').expect("a question").0.to_owned();
                }
                let line = line.trim().to_lowercase();
                if let Some(bytes) = line.strip_prefix("content-length: ") {
                    length = bytes.parse().expect("a length");
                }
                if line.is_empty() {
                    break;
                }
            }
            reader
                .read_exact(&mut vec![0; length])
                .expect("what it is about");
            asked.send(question).expect("somebody to tell");
            let text = answer.to_string();
            let length = text.len();
            let head = format!(
                "HTTP/1.1 {code} -\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
            );
            let mut stream = reader.into_inner();
            stream
                .write_all((head + &text).as_bytes())
                .expect("somebody who listens");
        }
    });
    let address = format!("http://127.0.0.1:{port}");
    let config = kube::Config::new(address.parse().expect("an address"));
    (Client::try_from(config).expect("a client"), questions)
}

fn applier(client: Client) -> Applier {
    Applier {
        client,
        cache: Arc::default(),
        shapes: Arc::default(),
    }
}

fn cluster() -> ClusterRef {
    ClusterRef {
        key: ClusterKey::new("team", "demo"),
        uid: "c1".to_owned(),
        generation: 1,
    }
}

fn spec(kind: Kind, image: &str, replicas: u32) -> Value {
    let template =
        json!({"spec": {"containers": [{"name": "proxy", "image": image, "args": ["run"]}]}});
    match kind {
        Kind::Job => json!({"template": template}),
        _ => json!({"replicas": replicas, "template": template,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}]}),
    }
}

/// An object as the API server tells it.
fn live(kind: Kind, version: &str, hash: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": kind.api_version(), "kind": kind.name(), "spec": spec,
        "metadata": {"name": "demo-proxy", "namespace": "team", "uid": "u1", "resourceVersion": version,
            "labels": {"app.kubernetes.io/component": "proxy", "app.kubernetes.io/instance": "demo"},
            "annotations": {labels::REVISION: "r1", labels::APPLIED: hash},
            "ownerReferences": [{"apiVersion": "operator.milvus.io/v1beta1", "kind": "MilvusCluster", "name": "demo", "uid": "c1"}]},
    })
}

fn rendered(kind: Kind, hash: &str, spec: &Value) -> (ObjectId, Rendered<Native>) {
    let id = ObjectId::new(kind.name(), "demo-proxy");
    let object = json!({"apiVersion": kind.api_version(), "kind": kind.name(), "spec": spec,
        "metadata": {"name": "demo-proxy", "annotations": {labels::APPLIED: hash}}});
    let native = Native {
        kind,
        object,
        hash: hash.to_owned(),
    };
    let outline = ObjectOutline {
        class: ObjectClass::Workload,
        workload: Some(WorkloadKey::shared(Component::Proxy)),
        revision: Revision("r1".to_owned()),
        uses: std::collections::BTreeSet::new(),
        replicas: None,
        mutable: kind != Kind::Job,
    };
    let rendered = Rendered {
        cluster: cluster(),
        outline: BTreeMap::from([(id.clone(), outline)]),
        native: BTreeMap::from([(id.clone(), native)]),
    };
    (id, rendered)
}

fn seen(applier: &Applier, id: &ObjectId, rendered: &Rendered<Native>) -> (bool, Vec<String>) {
    let observed = applier.cache.with(&cluster().key, |known| {
        observe(&cluster(), Some(rendered), known, Timestamp::UNIX_EPOCH)
    });
    let object = &observed.objects[id];
    (object.difference.is_some(), object.kept.clone())
}

fn put(applier: &Applier, kind: Kind, object: Value) {
    let object = serde_json::from_value(object).expect("an object");
    applier.cache.put(kind, object);
}

fn update(id: &ObjectId) -> Action {
    Action::Update {
        id: id.clone(),
        difference: Difference {
            cause: DifferenceCause::EditedByHand,
            fields: Vec::new(),
            restarts: true,
            in_place: false,
        },
    }
}

const IMAGE: &str = "spec.template.spec.containers[proxy].image";

#[tokio::test]
async fn what_admission_rewrites_is_written_once() {
    let kind = Kind::Deployment;
    let (ours, theirs) = (spec(kind, "a", 1), spec(kind, "mirror/a", 1));
    let (id, wanted) = rendered(kind, "h1", &ours);
    let (client, questions) = server(vec![
        (200, live(kind, "5", "h1", &theirs)),
        (200, live(kind, "9", "h1", &ours)),
    ]);
    let applier = applier(client);
    put(&applier, kind, live(kind, "5", "h1", &theirs));
    assert_eq!(seen(&applier, &id, &wanted), (true, vec![]));
    let outcome = applier
        .apply(&cluster(), &update(&id), Some(&wanted))
        .await
        .expect("an answer");
    assert!(
        !outcome.wrote,
        "the answer was of the version that is known"
    );
    let kept = (false, vec![IMAGE.to_owned()]);
    assert_eq!(seen(&applier, &id, &wanted), kept);
    // Nothing new in it: its status, or the echo of the write.
    put(&applier, kind, live(kind, "6", "h1", &theirs));
    assert_eq!(seen(&applier, &id, &wanted), kept);
    // Another rendering is another try.
    let (_, other) = rendered(kind, "h2", &ours);
    assert!(seen(&applier, &id, &other).0);
    // So is any change of it; and now it stays.
    let mut edited = live(kind, "8", "h1", &theirs);
    edited["metadata"]["annotations"]["touched"] = json!("yes");
    put(&applier, kind, edited);
    assert_eq!(seen(&applier, &id, &wanted), (true, vec![]));
    let outcome = applier
        .apply(&cluster(), &update(&id), Some(&wanted))
        .await
        .expect("an answer");
    assert!(outcome.wrote);
    assert_eq!(seen(&applier, &id, &wanted), (false, vec![]));
    assert_eq!(questions.iter().count(), 2);
}

#[tokio::test]
async fn a_job_that_admission_rewrites_is_not_made_again_and_again() {
    let kind = Kind::Job;
    let (ours, theirs) = (spec(kind, "a", 1), spec(kind, "mirror/a", 1));
    let (id, wanted) = rendered(kind, "h1", &ours);
    let (client, _questions) = server(vec![(201, live(kind, "5", "h1", &theirs))]);
    let applier = applier(client);
    let create = Action::Create {
        id: id.clone(),
        cause: milvus_core::action::CreateCause::New,
    };
    let outcome = applier.apply(&cluster(), &create, Some(&wanted)).await;
    assert!(outcome.expect("an answer").wrote);
    assert_eq!(
        seen(&applier, &id, &wanted),
        (false, vec![IMAGE.to_owned()])
    );
}

#[tokio::test]
async fn a_set_does_not_grow_onto_a_claim_of_somebody_else() {
    let kind = Kind::StatefulSet;
    let (id, wanted) = rendered(kind, "h2", &spec(kind, "a", 3));
    let claim = json!({"metadata": {"name": "data-demo-proxy-2", "namespace": "team", "labels": {"app": "theirs"}}});
    let (client, questions) = server(vec![(200, claim)]);
    let applier = applier(client);
    put(&applier, kind, live(kind, "5", "h1", &spec(kind, "a", 2)));
    let refused = applier
        .apply(&cluster(), &update(&id), Some(&wanted))
        .await
        .expect_err("somebody else's claim");
    assert_eq!(refused.class, Class::Invalid);
    assert!(refused.message.contains("data-demo-proxy-2"), "{refused}");
    // The members that are there have their claims, and nothing was written.
    let asked: Vec<_> = questions.iter().collect();
    let path = "/api/v1/namespaces/team/persistentvolumeclaims/data-demo-proxy-2";
    assert_eq!(asked, [format!("GET {path}")]);
}

/// A Deployment whose number of pods was ours, and is not any more. By whom it is set now says the manager of the field.
async fn let_go(owner: &str, interim: Option<(u16, Value)>) -> Vec<String> {
    let kind = Kind::Deployment;
    let mut left = spec(kind, "a", 4);
    left.as_object_mut().map(|s| s.remove("replicas"));
    let (id, wanted) = rendered(kind, "h2", &left);
    let mut owned = live(kind, "5", "h1", &spec(kind, "a", 4));
    owned["metadata"]["managedFields"] = json!([
        {"manager": labels::OPERATOR, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:template": {}}}},
        {"manager": owner, "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
    let answer = live(kind, "7", "h2", &spec(kind, "a", 4));
    let mut answers = vec![(200, owned)];
    answers.extend(interim);
    answers.push((200, answer));
    let (client, questions) = server(answers);
    let applier = applier(client);
    put(&applier, kind, live(kind, "5", "h1", &spec(kind, "a", 4)));
    applier
        .apply(&cluster(), &update(&id), Some(&wanted))
        .await
        .expect("an update");
    assert_eq!(seen(&applier, &id, &wanted), (false, vec![]));
    questions.iter().collect()
}

#[tokio::test]
async fn replicas_that_are_left_to_others_stay_as_they_are() {
    let path = "/apis/apps/v1/namespaces/team/deployments/demo-proxy?";
    let managers = |asked: Vec<String>| -> Vec<String> {
        let writes = asked.iter().filter(|q| q.starts_with("PATCH"));
        writes
            .map(|q| {
                assert!(q.contains(path), "{q}");
                let query = q.split_once("fieldManager=").expect("a manager").1;
                query.split('&').next().unwrap_or_default().to_owned()
            })
            .collect()
    };
    let held = live(Kind::Deployment, "6", "h1", &spec(Kind::Deployment, "a", 4));
    let conflict = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "conflict", "reason": "Conflict", "code": 409});
    for interim in [(200, held), (409, conflict)] {
        let asked = let_go(labels::OPERATOR, Some(interim)).await;
        assert_eq!(managers(asked), [INTERIM, labels::OPERATOR]);
    }
    // Somebody has set it already.
    let asked = let_go("kube-controller-manager", None).await;
    assert_eq!(managers(asked), [labels::OPERATOR]);
}
