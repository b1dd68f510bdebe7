use serde_json::json;

use super::*;

fn read(kind: Kind, spec: Value, status: Value) -> State {
    let object = serde_json::from_value(json!({
        "metadata": {"name": "demo-proxy", "namespace": "team", "uid": "u", "generation": 2},
        "spec": spec,
        "status": status,
    }))
    .expect("an object");
    read_object(kind, object).expect("read").state
}

#[test]
fn a_paused_rollout_is_told_only_while_there_is_something_to_roll() {
    let paused = |updated: u32| {
        let spec = json!({"replicas": 2, "paused": true});
        let status = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": updated});
        read(Kind::Deployment, spec, status).stalled
    };
    let told = paused(0).expect("told");
    assert!(told.contains("paused"), "{told}");
    assert!(
        told.contains("kubectl -n team rollout resume deployment demo-proxy"),
        "{told}"
    );
    assert_eq!(paused(2), None);
}

#[test]
fn refused_pods_are_told_in_the_words_of_the_api_server() {
    let told = |conditions: Value| {
        let status = json!({"observedGeneration": 2, "conditions": conditions});
        read(Kind::Deployment, json!({"replicas": 1}), status).stalled
    };
    let late = json!({"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"});
    let words = "pods \"demo-proxy-x\" is forbidden: exceeded quota";
    let refused = |status: &str| json!({"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": words});
    assert_eq!(told(json!([late])).as_deref(), Some("late"));
    assert_eq!(told(json!([late, refused("True")])).as_deref(), Some(words));
    assert_eq!(told(json!([refused("False")])), None);
}

#[test]
fn a_job_says_how_it_has_ended() {
    let ended =
        |conditions: Value| read(Kind::Job, json!({}), json!({"conditions": conditions})).ended;
    let at = "2026-01-01T00:00:00Z";
    let condition = |kind: &str| json!({"type": kind, "status": "True", "lastTransitionTime": at, "message": "why"});
    assert_eq!(ended(json!([])), None);
    let since = at.parse().ok();
    assert_eq!(
        ended(json!([
            condition("SuccessCriteriaMet"),
            condition("Complete")
        ])),
        Some((InstanceState::Complete, since))
    );
    let message = "the Job has failed: why".to_owned();
    assert_eq!(
        ended(json!([condition("FailureTarget"), condition("Failed")])),
        Some((InstanceState::Failed { message }, since))
    );
}
