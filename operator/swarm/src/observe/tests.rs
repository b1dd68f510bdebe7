use serde_json::{Value, json};

use super::*;

fn task(state: &str, desired: &str) -> Task {
    serde_json::from_value(json!({
        "ID": "t1", "DesiredState": desired, "Status": { "State": state },
    }))
    .unwrap()
}

/// Every state of the engine's tasks with every state of their nodes.
#[test]
fn a_task_is_read_together_with_its_node() {
    use InstanceState as S;
    let pending = || S::Pending {
        reason: String::new(),
    };
    let failed = || S::Failed {
        message: String::new(),
    };
    let rejected = || S::Rejected {
        message: String::new(),
    };
    let table: [(&str, S, S, S); 15] = [
        // up, unknown, away
        ("new", pending(), pending(), pending()),
        ("allocated", pending(), pending(), pending()),
        ("pending", pending(), pending(), pending()),
        ("assigned", S::Preparing, S::Preparing, S::Lost),
        ("accepted", S::Preparing, S::Preparing, S::Lost),
        ("preparing", S::Preparing, S::Preparing, S::Lost),
        ("ready", S::Preparing, S::Preparing, S::Lost),
        ("starting", S::Starting, S::Starting, S::Lost),
        ("running", S::Running, S::Running, S::Lost),
        ("complete", S::Complete, S::Complete, S::Complete),
        ("shutdown", S::Shutdown, S::Shutdown, S::Shutdown),
        ("failed", failed(), failed(), failed()),
        ("rejected", rejected(), rejected(), rejected()),
        ("orphaned", S::Shutdown, S::Lost, S::Lost),
        ("remove", S::Shutdown, S::Lost, S::Lost),
    ];
    for (word, up, unknown, away) in table {
        for (host, expected) in [(Host::Up, up), (Host::Unknown, unknown), (Host::Away, away)] {
            let found = state(&task(word, "running"), host);
            assert_eq!(found, expected, "{word} on {host:?}");
        }
    }
    // What was never given to an agent and is not wanted any more never runs.
    for word in ["new", "allocated", "pending"] {
        for desired in ["shutdown", "remove"] {
            assert_eq!(state(&task(word, desired), Host::None), S::Shutdown);
        }
    }
    // What runs and is to stop may run until its agent says that it has ended.
    assert!(state(&task("running", "shutdown"), Host::Up).may_run());
    assert!(state(&task("running", "shutdown"), Host::Away).may_run());
}

#[test]
fn the_state_of_a_node_has_three_values() {
    for (word, expected) in [
        ("ready", NodeState::Up),
        ("unknown", NodeState::Unknown),
        ("", NodeState::Unknown),
        ("down", NodeState::Down),
        ("disconnected", NodeState::Down),
    ] {
        let node: wire::Node = serde_json::from_value(json!({
            "ID": "n1",
            "Spec": { "Role": "worker", "Availability": "pause" },
            "Status": { "State": word, "Addr": "10.0.0.1" },
        }))
        .unwrap();
        let topology = topology(&[node], &Reserved::new());
        let node = &topology.nodes[0];
        assert_eq!(node.state, expected, "{word}");
        assert_eq!(node.withheld(), Some("paused"));
        assert!(!node.schedulable());
    }
}

fn look(old: bool, availability: &str) -> Look {
    let template = |image: &str| json!({ "ContainerSpec": { "Image": image } });
    let task = |id: &str, image: &str| -> Task {
        serde_json::from_value(json!({
            "ID": id, "ServiceID": "s1", "NodeID": "n1", "Slot": 1, "DesiredState": "running",
            "Spec": template(image), "Status": { "State": "running" },
        }))
        .unwrap()
    };
    let service: Value = json!({
        "ID": "s1",
        "Spec": { "Name": "demo_proxy", "TaskTemplate": template("milvus:2") },
        "UpdateStatus": { "State": "paused", "Message": "update paused due to failure of task t9" },
    });
    let node = json!({
        "ID": "n1", "Spec": { "Availability": availability }, "Status": { "State": "ready" },
    });
    Look {
        services: vec![serde_json::from_value(service).unwrap()],
        tasks: vec![
            task("t1", "milvus:2"),
            task("t2", if old { "milvus:1" } else { "milvus:2" }),
        ],
        nodes: vec![serde_json::from_value(node).unwrap()],
        networks: Vec::new(),
        configs: Vec::new(),
        secrets: Vec::new(),
    }
}

#[test]
fn a_task_on_a_node_that_is_away_holds_no_network_where_it_is_not_to_run() {
    let network: wire::Network = serde_json::from_value(json!({
        "Id": "net1", "Name": "demo_backend", "Driver": "overlay", "Scope": "swarm",
    }))
    .unwrap();
    let attached = json!([{
        "Network": { "Spec": { "Name": "demo_backend" } }, "Addresses": ["10.0.1.5/24"],
    }]);
    for (desired, node, held) in [
        ("running", "ready", true),
        ("shutdown", "ready", true),
        ("running", "down", true),
        ("shutdown", "unknown", true),
        ("remove", "down", false),
        ("shutdown", "down", false),
    ] {
        let mut look = look(false, "active");
        look.nodes[0].status.state = node.to_owned();
        let task: Task = serde_json::from_value(json!({
            "ID": "t1", "NodeID": "n1", "DesiredState": desired, "Status": { "State": "running" },
            "NetworksAttachments": attached,
        }))
        .unwrap();
        assert_eq!(holds(&task, &network, &look), held, "{desired} on {node}");
        look.nodes.clear();
        assert_eq!(
            holds(&task, &network, &look),
            desired == "running",
            "{desired}"
        );
    }
}

#[test]
fn a_paused_rollout_with_older_tasks_is_a_difference() {
    let written: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    let after = |look: &Look, seconds: i64| {
        let now = written + jiff::SignedDuration::from_secs(seconds);
        stalled(&look.services[0], look, now).map(|d| d.cause)
    };
    let found = |look: &Look| after(look, 0);
    let stopped = Some(DifferenceCause::Stalled);
    assert_eq!(found(&look(true, "active")), stopped);
    assert_eq!(found(&look(false, "active")), None, "all are current");
    assert_eq!(found(&look(true, "pause")), None, "the node takes no task");
    let mut rolling = look(true, "active");
    rolling.services[0].update_status.as_mut().unwrap().state = "updating".to_owned();
    assert_eq!(after(&rolling, 3600), None);
    // The engine has missed the update that was to let it go on, and says nothing of a rollout.
    let mut silent = look(true, "active");
    silent.services[0].update_status = None;
    silent.services[0].updated_at = Some(written);
    assert_eq!(after(&silent, 9), None, "it may begin yet");
    assert_eq!(after(&silent, 10), stopped);
    let mut done = look(false, "active");
    done.services[0].update_status = None;
    done.services[0].updated_at = Some(written);
    assert_eq!(after(&done, 3600), None, "all are current");
    assert_eq!(
        outdated(&look(false, "active").services[0], &look(false, "active")).count(),
        0
    );
}

#[test]
fn words_about_a_task_hold_no_ids() {
    let id = "0123456789abcdef".repeat(4);
    let text = format!(
        "driver failed programming external connectivity on endpoint demo_gateway.7abcdefghijklmnopqrstuvw2.0k2mfklmnopqrstuvwxyz12ab \
         ({id}): listen tcp4 0.0.0.0:19530: bind: address already in use"
    );
    assert_eq!(
        without_ids(&text),
        "driver failed programming external connectivity on endpoint demo_gateway.[].[] (...): listen tcp4 0.0.0.0:19530: bind: \
         address already in use"
            .replace("[]", "...")
    );
    assert_eq!(
        without_ids("No such image: milvusdb/milvus:v2.3.5"),
        "No such image: milvusdb/milvus:v2.3.5"
    );
    assert_eq!(
        without_ids("task: non-zero exit (137)"),
        "task: non-zero exit (137)"
    );
}
