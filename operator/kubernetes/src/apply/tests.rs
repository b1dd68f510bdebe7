use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread;

use milvus_core::action::CreateCause;
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::names::ClusterKey;
use milvus_core::observed::{Difference, DifferenceCause, SeenVersion};
use milvus_core::outline::{ObjectClass, ObjectOutline, Revision};
use serde_json::json;

use super::*;
use crate::observe::observe;

/// An API server that gives these answers, one after the other. Tells what it was asked for, and with which content.
fn server(answers: Vec<(u16, Value)>) -> (Client, mpsc::Receiver<(String, Value)>) {
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
            let mut content = vec![0; length];
            reader.read_exact(&mut content).expect("what it is about");
            let content = serde_json::from_slice(&content).unwrap_or_default();
            asked.send((question, content)).expect("somebody to tell");
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
        seen: None,
        difference: Difference {
            cause: DifferenceCause::EditedByHand,
            fields: Vec::new(),
            touches: milvus_core::observed::Touches::Process,
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
    let asked: Vec<_> = questions.iter().map(|(question, _)| question).collect();
    let path = "/api/v1/namespaces/team/persistentvolumeclaims/data-demo-proxy-2";
    assert_eq!(asked, [format!("GET {path}")]);
}

/// A Deployment that was one of four pods by our word, and now somebody else is to have the number. What is written, by which
/// manager, with which number, and by force or not.
async fn let_go(
    live_pods: u32,
    owner: (&str, &str),
    interim: Option<u16>,
) -> Vec<(String, Value, bool)> {
    let kind = Kind::Deployment;
    let pods = |version: &str, hash: &str| live(kind, version, hash, &spec(kind, "a", live_pods));
    let mut left = spec(kind, "a", 4);
    left.as_object_mut().map(|s| s.remove("replicas"));
    let (id, wanted) = rendered(kind, "h2", &left);
    let mut owned = pods("5", "h1");
    let entry = |(manager, operation): (&str, &str), fields: Value| {
        json!({"manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": {"f:spec": fields}})
    };
    owned["metadata"]["managedFields"] = json!([
        entry((labels::OPERATOR, "Apply"), json!({"f:template": {}})),
        entry(owner, json!({"f:replicas": {}})),
    ]);
    let mut answers = vec![(200, owned)];
    answers.extend(interim.map(|code| match code {
        200 => (code, pods("6", "h1")),
        _ => (code, json!({"kind": "Status", "status": "Failure", "message": "conflict", "reason": "Conflict", "code": code})),
    }));
    answers.push((200, pods("7", "h2")));
    let (client, questions) = server(answers);
    let applier = applier(client);
    put(&applier, kind, pods("5", "h1"));
    applier
        .apply(&cluster(), &update(&id), Some(&wanted))
        .await
        .expect("an update");
    assert_eq!(seen(&applier, &id, &wanted), (false, vec![]));
    let writes = questions.iter().filter(|(q, _)| q.starts_with("PATCH"));
    writes
        .map(|(question, content)| {
            let query = question.split_once("fieldManager=").expect("a manager").1;
            let manager = query.split('&').next().unwrap_or_default().to_owned();
            let force = question.contains("force=true");
            (manager, content["spec"]["replicas"].clone(), force)
        })
        .collect()
}

#[tokio::test]
async fn replicas_that_are_left_to_others_stay_as_they_are() {
    let ours = (labels::OPERATOR, "Apply");
    let write = |manager: &str, number: Value, force| (manager.to_owned(), number, force);
    let last = write(labels::OPERATOR, Value::Null, true);
    for code in [200, 409] {
        assert_eq!(
            let_go(4, ours, Some(code)).await,
            [write(INTERIM, json!(4), false), last.clone()]
        );
    }
    // One is what a field falls back to that nobody applies, and a role that was switched off is switched on.
    for pods in [0, 1] {
        assert_eq!(let_go(pods, ours, None).await, std::slice::from_ref(&last));
    }
    // Somebody else has set it already, even under our name.
    for owner in [
        ("kube-controller-manager", "Update"),
        (labels::OPERATOR, "Update"),
    ] {
        assert_eq!(let_go(4, owner, None).await, std::slice::from_ref(&last));
    }
}

/// What somebody else scales and somebody removes is made again as large as it was.
#[tokio::test]
async fn what_is_scaled_externally_is_made_again_as_it_was() {
    let kind = Kind::Deployment;
    for (number, written) in [(5, json!(5)), (1, Value::Null)] {
        let mut left = spec(kind, "a", 4);
        left.as_object_mut().map(|s| s.remove("replicas"));
        let (id, mut wanted) = rendered(kind, "h2", &left);
        wanted.outline.get_mut(&id).expect("it").replicas = Some(number);
        let answer = live(kind, "7", "h2", &spec(kind, "a", number));
        let (client, questions) = server(vec![(200, answer)]);
        let applier = applier(client);
        let create = Action::Create {
            id: id.clone(),
            cause: CreateCause::Missing,
        };
        let made = applier.apply(&cluster(), &create, Some(&wanted)).await;
        made.expect("a creation");
        let asked: Vec<_> = questions
            .iter()
            .map(|(_, content)| content["spec"]["replicas"].clone())
            .collect();
        assert_eq!(asked, [written]);
        assert_eq!(seen(&applier, &id, &wanted), (false, vec![]));
    }
}

/// Members that only work with their likes are stopped together: no pods, on the version that was seen, nothing else.
#[tokio::test]
async fn a_set_is_stopped_as_it_was_seen() {
    let kind = Kind::StatefulSet;
    let (id, _) = rendered(kind, "h1", &spec(kind, "a", 4));
    let stopped = spec(kind, "a", 0);
    let (client, questions) = server(vec![(200, live(kind, "9", "h1", &stopped))]);
    let applier = applier(client);
    put(&applier, kind, live(kind, "5", "h1", &spec(kind, "a", 4)));
    let stop = Action::Stop {
        id: id.clone(),
        seen: Some(SeenVersion(5)),
        reason: String::new(),
    };
    let outcome = applier
        .apply(&cluster(), &stop, None)
        .await
        .expect("an end");
    assert!(outcome.wrote);
    let (question, content) = questions.recv().expect("a question");
    assert!(question.starts_with("PATCH "), "{question}");
    let patch = json!({"metadata": {"resourceVersion": "5"}, "spec": {"replicas": 0}});
    assert_eq!(content, patch);
    let again = applier
        .apply(&cluster(), &stop, None)
        .await
        .expect("an end");
    assert!(!again.wrote, "it asks for none already");
}

/// What was decided of an object rests on what was seen of it: each act bears the version, and is refused before anything is
/// asked where the object has another content by then. Its status changes all the time, and that is no reason.
#[tokio::test]
async fn acts_are_on_the_version_that_was_seen() {
    let kind = Kind::StatefulSet;
    let ours = spec(kind, "a", 3);
    let (id, wanted) = rendered(kind, "h2", &ours);
    let removed = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
    let (client, questions) = server(vec![
        (200, live(kind, "9", "h2", &ours)),
        (200, removed.clone()),
    ]);
    let applier = applier(client);
    let acts = |seen| {
        let remove = Action::Remove {
            id: id.clone(),
            native_id: "u1".to_owned(),
            seen,
            cause: milvus_core::action::RemoveCause::Unwanted,
        };
        let stop = Action::Stop {
            id: id.clone(),
            seen,
            reason: String::new(),
        };
        let Action::Update { id, difference, .. } = update(&id) else {
            unreachable!("an update");
        };
        let update = Action::Update {
            id,
            seen,
            difference,
        };
        (update, stop, remove)
    };
    put(&applier, kind, live(kind, "5", "h1", &ours));
    let mut status = live(kind, "6", "h1", &ours);
    status["status"] = json!({"replicas": 3});
    put(&applier, kind, status);
    let version = |applier: &Applier| {
        applier.cache.with(&cluster().key, |known| {
            observe(&cluster(), None, known, Timestamp::UNIX_EPOCH).objects[&id].version
        })
    };
    assert_eq!(version(&applier), Some(SeenVersion(5)));
    let (change, ..) = acts(version(&applier));
    let apply = |action: Action| {
        let (applier, wanted) = (applier.clone(), wanted.clone());
        async move { applier.apply(&cluster(), &action, Some(&wanted)).await }
    };
    // The claims of members that are there are not asked for.
    apply(change).await.expect("an update");
    let (_, content) = questions.recv().expect("a question");
    assert_eq!(content["metadata"]["resourceVersion"], "6");
    // By now another hand was at it.
    let mut edited = live(kind, "12", "h2", &ours);
    edited["metadata"]["annotations"]["touched"] = json!("yes");
    put(&applier, kind, edited);
    let (update, stop, remove) = acts(Some(SeenVersion(9)));
    for stale in [update, stop, remove] {
        let refused = apply(stale).await.expect_err("another version");
        assert_eq!(refused.class, Class::Conflict);
        assert!(
            refused.message.contains("version 9 then, 12 now"),
            "{refused}"
        );
    }
    let (.., remove) = acts(version(&applier));
    apply(remove).await.expect("a removal");
    let (question, content) = questions.recv().expect("a question");
    assert!(question.starts_with("DELETE "), "{question}");
    assert_eq!(
        content["preconditions"],
        json!({"uid": "u1", "resourceVersion": "12"})
    );
    assert!(questions.recv().is_err(), "nothing else was asked");
}
