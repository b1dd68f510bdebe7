use super::*;
use crate::action::CreateCause;
use crate::outline::ObjectId;
use crate::plan::tests::{Scene, now};

struct Told<'a> {
    refusals: Option<&'a [Notice]>,
    seen: bool,
    failure: Option<&'a Failure>,
    done: &'a [(Action, Outcome)],
}

fn tell(scene: &Scene, told: &Told<'_>, later: i64) -> (MilvusClusterStatus, Vec<EventNote>) {
    let plan = scene.plan();
    status(StatusInput {
        resource: &scene.resource,
        refusals: told.refusals,
        desired: told.seen.then_some(&scene.desired),
        addresses: &[],
        observed: told.seen.then_some(&scene.observed),
        ledger: Some(&scene.ledger),
        plan: told.seen.then_some(&plan),
        unplaced: &[],
        done: told.done,
        failure: told.failure,
        memory: &scene.memory,
        now: now() + jiff::SignedDuration::from_secs(later),
    })
}

const SEEN: Told<'_> = Told {
    refusals: Some(&[]),
    seen: true,
    failure: None,
    done: &[],
};

fn condition<'a>(
    status: &'a MilvusClusterStatus,
    kind: &str,
) -> &'a k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition {
    status.conditions.iter().find(|c| c.type_ == kind).unwrap()
}

#[test]
fn at_rest_a_status_does_not_move() {
    let mut scene = Scene::up();
    let (first, events) = tell(&scene, &SEEN, 0);
    assert_eq!(first.phase, Some(Phase::Ready));
    assert_eq!(first.ready.as_deref(), Some("27/27"));
    assert_eq!(first.endpoint.as_deref(), Some("10.0.0.1:19530"));
    assert_eq!(first.dependencies["etcd"].members.len(), 3);
    assert!(events.iter().any(|e| e.reason == Reason::Ready));
    scene.resource.status = Some(first.clone());
    let (second, events) = tell(&scene, &SEEN, 3600);
    assert_eq!(
        serde_json::to_string(&second).unwrap(),
        serde_json::to_string(&first).unwrap()
    );
    assert_eq!(events, []);
}

/// An autoscaler whose target is the resource finds the pods by it; where there are none it is absent.
#[test]
fn the_pods_that_the_scale_is_about() {
    let mut scene = Scene::up();
    let (without, _) = tell(&scene, &SEEN, 0);
    assert_eq!(without.selector, None);
    scene.desired.scaled_pods = Some("app=milvus".to_owned());
    let (with, _) = tell(&scene, &SEEN, 0);
    assert_eq!(with.selector.as_deref(), Some("app=milvus"));
    // It stays while nothing can be seen.
    scene.resource.status = Some(with);
    let unseen = Told {
        seen: false,
        ..SEEN
    };
    let (kept, _) = tell(&scene, &unseen, 0);
    assert_eq!(kept.selector.as_deref(), Some("app=milvus"));
}

#[test]
fn a_first_start_says_what_it_waits_for_and_since_when() {
    let mut scene = Scene::new();
    let (first, events) = tell(&scene, &SEEN, 0);
    assert_eq!(first.phase, Some(Phase::Creating));
    assert_eq!(condition(&first, "Ready").reason, "Starting");
    assert!(first.waiting_on.is_some());
    assert!(
        events
            .iter()
            .any(|e| e.reason == Reason::WaitingForDependencies)
    );
    scene.resource.status = Some(first.clone());
    let (second, events) = tell(&scene, &SEEN, 60);
    assert_eq!(second.waiting_since, first.waiting_since);
    assert_eq!(second, first);
    assert_eq!(events, []);
}

#[test]
fn a_start_that_is_over_before_it_is_told_of_is_one_event() {
    let mut scene = Scene::up();
    let made = |kind, name: &str| {
        let id = ObjectId::new(kind, name);
        let cause = CreateCause::New;
        let outcome = Outcome {
            at: now(),
            wrote: true,
            remark: None,
            underway: false,
        };
        (Action::Create { id, cause }, outcome)
    };
    let done = [made("Deployment", "demo-proxy"), made("Service", "demo")];
    let told = Told {
        done: &done,
        ..SEEN
    };
    scene.resource.metadata.creation_timestamp = Some(seconds(now()));
    let (_, events) = tell(&scene, &told, 1);
    let events: Vec<String> = events
        .iter()
        .map(|event| format!("{}: {}", event.reason, event.message))
        .collect();
    assert_eq!(
        events,
        [
            "Ready: the cluster answers at 10.0.0.1:19530, 1 s after it was asked for; created Deployment demo-proxy; Service demo"
        ]
    );
    // Of one that was told of, each step is told, in the order in which a pass takes them: what was ready when it looked, what it
    // did, and what has become ready of that.
    scene.resource.status = Some(MilvusClusterStatus::default());
    let (_, events) = tell(&scene, &told, 1);
    let reasons: Vec<Reason> = events.iter().map(|event| event.reason).collect();
    assert_eq!(
        reasons,
        [Reason::ComponentReady, Reason::Created, Reason::Ready]
    );
    let done = [made("service", "reference_proxy")];
    let told = Told {
        done: &done,
        ..SEEN
    };
    let (_, events) = tell(&scene, &told, 1);
    let [before, created, after, ready] = events.as_slice() else {
        panic!("{events:#?}");
    };
    assert!(before.message.starts_with("etcd is ready"), "{before:?}");
    assert!(!before.message.contains("proxy"), "{before:?}");
    assert_eq!(created.reason, Reason::Created);
    assert_eq!(after.message, "proxy is ready");
    assert_eq!(ready.reason, Reason::Ready);
}

#[test]
fn an_unseen_platform_makes_unknown_and_keeps_the_rest() {
    let mut scene = Scene::up();
    scene.resource.status = Some(tell(&scene, &SEEN, 0).0);
    let failure = Failure {
        reason: Reason::PlatformUnreachable,
        message: "list services: no quorum of managers".to_owned(),
    };
    let told = Told {
        seen: false,
        failure: Some(&failure),
        ..SEEN
    };
    let (status, events) = tell(&scene, &told, 10);
    assert_eq!(status.phase, Some(Phase::Unknown));
    assert_eq!(condition(&status, "Ready").status, "Unknown");
    assert_eq!(condition(&status, "Degraded").status, "False");
    assert_eq!(status.endpoint.as_deref(), Some("10.0.0.1:19530"));
    assert_eq!(status.components.len(), 8);
    assert!(
        events
            .iter()
            .any(|e| e.warning && e.reason == Reason::PlatformUnreachable)
    );
    scene.resource.status = Some(status.clone());
    let (again, events) = tell(&scene, &told, 20);
    assert_eq!(again, status);
    assert_eq!(events, []);
}

/// Nobody could look at what the resource refers to, or at the platform: nothing is said of the new spec.
#[test]
fn a_spec_that_nobody_has_judged_is_neither_accepted_nor_observed() {
    let mut scene = Scene::up();
    let failure = Failure {
        reason: Reason::ActionFailed,
        message: "read Secret default/s3: forbidden".to_owned(),
    };
    let told = Told {
        refusals: None,
        seen: false,
        failure: Some(&failure),
        ..SEEN
    };
    let (first, _) = tell(&scene, &told, 0);
    assert_eq!(first.observed_generation, None);
    assert!(first.conditions.iter().all(|c| c.type_ != "Accepted"));

    let refusals = [Notice {
        reason: Reason::InvalidSpec,
        message: "etcd needs an odd number of members".to_owned(),
        field: None,
    }];
    let refused = Told {
        refusals: Some(&refusals),
        ..SEEN
    };
    scene.resource.status = Some(tell(&scene, &refused, 5).0);
    scene.resource.metadata.generation = Some(2);
    let (status, _) = tell(&scene, &told, 10);
    assert_eq!(status.observed_generation, Some(1));
    let accepted = condition(&status, "Accepted");
    assert_eq!(accepted.status, "False");
    assert_eq!(accepted.observed_generation, Some(1));
    assert_eq!(condition(&status, "Ready").observed_generation, Some(1));
}

#[test]
fn a_refused_edit_is_named_and_the_rest_speaks_of_the_generation_before() {
    let mut scene = Scene::up();
    scene.resource.status = Some(tell(&scene, &SEEN, 0).0);
    scene.resource.metadata.generation = Some(2);
    let refusals = [Notice {
        reason: Reason::InvalidSpec,
        message: "etcd needs an odd number of members".to_owned(),
        field: Some("spec.dependencies.etcd.inCluster.values.replicaCount".to_owned()),
    }];
    let told = Told {
        refusals: Some(&refusals),
        ..SEEN
    };
    let (status, events) = tell(&scene, &told, 10);
    assert_eq!(status.phase, Some(Phase::Invalid));
    let accepted = condition(&status, "Accepted");
    assert_eq!(accepted.status, "False");
    assert_eq!(accepted.observed_generation, Some(2));
    assert_eq!(
        accepted.message,
        "spec.dependencies.etcd.inCluster.values.replicaCount: etcd needs an odd number of members"
    );
    let ready = condition(&status, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.observed_generation),
        ("True", Some(1))
    );
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].reason, Reason::InvalidSpec);
}

#[test]
fn readiness_needs_sessions_and_the_endpoint() {
    let mut scene = Scene::up();
    scene.resource.status = Some(tell(&scene, &SEEN, 0).0);
    let sessions = crate::probe::ProbeId::sessions();
    let result = scene.observed.probes.get_mut(&sessions).unwrap();
    let detail = result.outcome.as_mut().unwrap();
    detail.sessions.insert("querynode".to_owned(), 1);
    let (status, events) = tell(&scene, &SEEN, 10);
    let ready = condition(&status, "Ready");
    assert_eq!(ready.status, "False");
    assert_eq!(ready.message, "sessions in etcd: 1 of 2 querynode");
    assert_eq!(status.phase, Some(Phase::Degraded));
    assert!(
        events
            .iter()
            .any(|e| e.reason == Reason::Unready && e.warning)
    );
}

#[test]
fn a_deleted_cluster_is_counted_down() {
    let mut scene = Scene::up();
    let (up, _) = tell(&scene, &SEEN, 0);
    scene.resource.status = Some(up.clone());
    scene.resource.metadata.deletion_timestamp = Some(Time(now()));
    let deleting = |scene: &Scene| {
        status(StatusInput {
            resource: &scene.resource,
            refusals: None,
            desired: None,
            addresses: &[],
            observed: Some(&scene.observed),
            ledger: Some(&scene.ledger),
            plan: None,
            unplaced: &[],
            done: &[],
            failure: None,
            memory: &scene.memory,
            now: now(),
        })
        .0
    };
    let before = deleting(&scene);
    assert_eq!(before.phase, Some(Phase::Deleting));
    assert_eq!(before.ready, up.ready, "nothing has gone yet");
    let roles = |id: &crate::outline::ObjectId| !id.name.ends_with("node");
    scene.observed.objects.retain(|id, _| roles(id));
    scene
        .observed
        .instances
        .retain(|i| i.workload.to_string() != "etcd-1");
    let status = deleting(&scene);
    assert_eq!(
        status.components["queryNode"].ready, 0,
        "its object is gone"
    );
    assert_eq!(status.components["proxy"].ready, 2);
    let etcd = &status.dependencies["etcd"];
    assert_eq!(etcd.ready.as_deref(), Some("2/3"));
    let ready: Vec<bool> = etcd.members.iter().map(|m| m.ready).collect();
    assert_eq!(ready, [true, false, true]);
    assert_eq!(status.ready.as_deref(), Some("20/27"));
    scene.resource.status = Some(status.clone());
    assert_eq!(deleting(&scene), status, "at rest it does not move");
    scene.observed.objects.clear();
    assert_eq!(deleting(&scene).ready.as_deref(), Some("0/27"));
}

#[test]
fn what_does_not_stay_is_told_once_and_shown_as_long_as_it_is_so() {
    let mut scene = Scene::up();
    for object in scene.observed.objects.values_mut().take(2) {
        object.kept = vec!["spec.replicas".to_owned()];
    }
    let told = |events: &[EventNote]| {
        let kept = |e: &&EventNote| e.reason == Reason::KeptByAdmission;
        events.iter().filter(kept).count()
    };
    let (first, events) = tell(&scene, &SEEN, 0);
    assert_eq!(told(&events), 1);
    assert_eq!(first.phase, Some(Phase::Ready));
    let degraded = condition(&first, "Degraded");
    assert_eq!(
        (degraded.status.as_str(), degraded.reason.as_str()),
        ("False", "KeptByAdmission")
    );
    for (id, _) in scene.observed.objects.iter().take(2) {
        let named = format!("{id} (spec.replicas)");
        assert!(degraded.message.contains(&named), "{}", degraded.message);
    }
    scene.resource.status = Some(first.clone());
    let (second, events) = tell(&scene, &SEEN, 60);
    assert_eq!((second, events), (first, vec![]));
}

/// The old version goes on serving while somebody keeps the new one from being rolled out: ready, and not updated.
#[test]
fn a_paused_rollout_is_not_the_end_of_a_change() {
    let mut scene = Scene::up();
    let proxy = crate::component::Component::Proxy;
    for instance in &mut scene.observed.instances {
        if instance.workload.component == proxy {
            instance.current = false;
        }
    }
    for object in scene.observed.objects.values_mut() {
        if object.workload.is_some_and(|key| key.component == proxy) {
            object.update_stalled = Some("somebody has paused its rollout".to_owned());
        }
    }
    let (status, _) = tell(&scene, &SEEN, 0);
    assert_eq!(condition(&status, conditions::READY).status, "True");
    let updated = condition(&status, conditions::UPDATED);
    assert_eq!(updated.status, "False");
    assert!(
        updated.message.contains("somebody has paused its rollout"),
        "{updated:?}"
    );
    assert_ne!(status.phase, Some(Phase::Ready));
}

/// What lacks a node says so, and not that the platform was not asked.
#[test]
fn a_cluster_that_lacks_a_node_says_what_it_lacks() {
    let scene = Scene::new();
    let unplaced = [crate::action::Waiting {
        component: Some(Component::Etcd),
        on: WaitingOn::Placement {
            workload: WorkloadKey::member(Component::Etcd, 0),
            detail: "node1: is drained and takes no new work".to_owned(),
        },
    }];
    let told = status(StatusInput {
        resource: &scene.resource,
        refusals: Some(&[]),
        desired: None,
        addresses: &[],
        observed: None,
        ledger: None,
        plan: None,
        unplaced: &unplaced,
        done: &[],
        failure: None,
        memory: &scene.memory,
        now: now(),
    })
    .0;
    assert_eq!(told.phase, Some(Phase::Pending));
    let ready = condition(&told, "Ready");
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "Unschedulable")
    );
    assert!(
        ready.message.contains("node1: is drained"),
        "{}",
        ready.message
    );
}

/// The proxies of a cluster that was settled at generation 1 differ from what generation 2 asks for.
fn edited(scene: &mut Scene, restarts: bool) -> ObjectId {
    scene.resource.status = Some(tell(scene, &SEEN, 0).0);
    scene.resource.metadata.generation = Some(2);
    let id = ObjectId::new("service", "reference_proxy");
    let object = scene.observed.objects.get_mut(&id).unwrap();
    object.difference = Some(crate::observed::Difference {
        cause: crate::observed::DifferenceCause::Spec,
        fields: vec!["TaskTemplate".to_owned()],
        touches: match restarts {
            true => crate::observed::Touches::Process,
            false => crate::observed::Touches::Nothing,
        },
        in_place: false,
    });
    id
}

/// What `kubectl wait` compares: status and generation of one condition.
fn of(status: &MilvusClusterStatus, kind: &str) -> (String, Option<i64>) {
    let condition = condition(status, kind);
    (condition.status.clone(), condition.observed_generation)
}

#[test]
fn ready_and_updated_speak_of_a_generation_once_it_is_what_runs() {
    let mut scene = Scene::up();
    let id = edited(&mut scene, true);
    let done = |scene: &Scene| -> Vec<(Action, Outcome)> {
        let outcome = Outcome {
            at: now(),
            wrote: true,
            underway: false,
            remark: None,
        };
        let actions = scene.plan().actions;
        assert!(!actions.is_empty());
        actions
            .into_iter()
            .map(|action| (action, outcome.clone()))
            .collect()
    };
    // The edit is handed over.
    let all = done(&scene);
    let told = Told { done: &all, ..SEEN };
    let (status, _) = tell(&scene, &told, 1);
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(of(&status, "Updated"), ("False".to_owned(), Some(2)));
    assert_eq!(of(&status, "Progressing"), ("True".to_owned(), Some(2)));
    assert_eq!(of(&status, "Ready"), ("True".to_owned(), Some(1)));
    assert_eq!(status.phase, Some(Phase::Updating));
    // It is being rolled over the instances, and one of them does not answer for a moment.
    scene.resource.status = Some(status);
    scene.observed.objects.get_mut(&id).unwrap().difference = None;
    for instance in &mut scene.observed.instances {
        if instance.workload.component == Component::Proxy {
            instance.current = false;
        }
    }
    let (status, _) = tell(&scene, &SEEN, 2);
    assert_eq!(of(&status, "Ready").1, Some(1));
    assert_eq!(of(&status, "Updated").0, "False");
    // Everything runs it.
    scene.resource.status = Some(status);
    for instance in &mut scene.observed.instances {
        instance.current = true;
    }
    let (status, _) = tell(&scene, &SEEN, 3);
    assert_eq!(of(&status, "Ready"), ("True".to_owned(), Some(2)));
    assert_eq!(of(&status, "Updated"), ("True".to_owned(), Some(2)));
}

#[test]
fn what_the_platform_refuses_is_not_updated() {
    let mut scene = Scene::up();
    edited(&mut scene, false);
    let failure = Failure {
        reason: Reason::ActionFailed,
        message: "update service reference_proxy: invalid expression".to_owned(),
    };
    let told = Told {
        failure: Some(&failure),
        ..SEEN
    };
    let (status, _) = tell(&scene, &told, 1);
    assert_eq!(status.observed_generation, Some(2));
    assert_eq!(of(&status, "Updated"), ("False".to_owned(), Some(2)));
    assert_eq!(of(&status, "Ready"), ("True".to_owned(), Some(1)));
    assert_eq!(of(&status, "Degraded"), ("True".to_owned(), Some(2)));
    assert_eq!(status.phase, Some(Phase::Degraded));
    for kind in ["Updated", "Degraded"] {
        let message = &condition(&status, kind).message;
        assert!(message.contains("invalid expression"), "{kind}: {message}");
    }
    // What did not come through for now is tried again, and nothing is said of the new generation before.
    let failure = Failure {
        reason: Reason::PlatformUnreachable,
        message: "update service reference_proxy: no answer".to_owned(),
    };
    let told = Told {
        failure: Some(&failure),
        ..SEEN
    };
    let (status, _) = tell(&scene, &told, 1);
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!(of(&status, "Updated"), ("True".to_owned(), Some(1)));
    assert_eq!(of(&status, "Ready").1, Some(1));
}

/// The platform is there; what is not there is a node.
#[test]
fn a_cluster_without_a_place_is_pending() {
    let scene = Scene::new();
    let unplaced = [Waiting {
        component: Some(Component::Etcd),
        on: WaitingOn::Placement {
            workload: WorkloadKey::member(Component::Etcd, 0),
            detail: "node1: 1 MiB of memory unreserved".to_owned(),
        },
    }];
    let (status, _) = status(StatusInput {
        resource: &scene.resource,
        refusals: Some(&[]),
        desired: None,
        addresses: &[],
        observed: None,
        ledger: None,
        plan: None,
        unplaced: &unplaced,
        done: &[],
        failure: None,
        memory: &scene.memory,
        now: now(),
    });
    assert_eq!(status.phase, Some(Phase::Pending));
    assert_eq!(status.observed_generation, Some(1));
    for (kind, expected) in [("Ready", "False"), ("Degraded", "True")] {
        let found = condition(&status, kind);
        assert_eq!(
            (found.status.as_str(), found.reason.as_str()),
            (expected, "Unschedulable")
        );
        assert!(
            found.message.contains("1 MiB of memory"),
            "{}",
            found.message
        );
    }
}
