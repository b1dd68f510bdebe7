//! One role of `spec.components`, and what roles share beside pod settings. Pure.

use serde_json::{Value, json};

use super::components::{pull_secrets, resources, rolling_update};
use super::draft::Draft;
use super::input::{Block, Given, blank};
use super::pod::PodFields;
use super::values;
use crate::components::{EXTERNALLY_SCALABLE, resource_name};

const COMMANDS: &str = "this operator starts Milvus itself and takes no other command; remove it, or build it into an image";

const SUB_PROCESS: &str =
    "the platform restarts a process that ends; no second process is kept for that";

/// Settings of all roles, as far as they are not pod settings.
pub(super) struct Common {
    /// Selector and resources to be given to every role by itself, because roles go together differently there.
    node_selector: Option<Given<Value>>,
    resources: Option<Given<Value>>,
    rolling_update: Option<Block>,
}

impl Common {
    /// Takes them out of the block of all roles and writes what can be shared here as well.
    pub(super) fn of(
        shared: &mut Block,
        named: &[(&'static str, Block)],
        draft: &mut Draft,
    ) -> Self {
        if let Some(policy) = pull_policy(shared, draft) {
            policy.carry(draft, "spec.components.imagePullPolicy");
        }
        if let Some(given) = shared.take("imagePullSecrets") {
            pull_secrets(given, draft);
        }
        if let Some(given) = shared.take("env") {
            let path = given.path.clone();
            let variables = values::env(given, draft);
            if !variables.is_empty() {
                draft.set("spec.components.env", Value::Array(variables), &path);
            }
        }
        paused(shared, "spec.components", draft);
        shared.refuse_if_set("commands", COMMANDS, draft);
        shared.leave_unless("runWithSubProcess", false, SUB_PROCESS, draft);
        let rolling_update = shared.take("rollingUpdate").and_then(|g| g.block(draft));

        // A role's own selector replaces the one of all there, and is merged with it here.
        let mut node_selector = shared.texts("nodeSelector", draft);
        let own_selector = |block: &Block| block.peek("nodeSelector").is_some_and(|v| !blank(v));
        if !named.iter().any(|(_, block)| own_selector(block))
            && let Some(given) = node_selector.take()
        {
            given.carry(draft, "spec.components.nodeSelector");
        }
        // An empty block of resources is a role's own word there, and no word here.
        let emptied = |block: &Block| block.peek("resources").is_some_and(blank);
        let mut resources_of_all = None;
        if let Some(given) = shared.take("resources") {
            let path = given.path.clone();
            if let Some(value) = resources(given, draft) {
                if named.iter().any(|(_, block)| emptied(block)) {
                    resources_of_all = Some(Given::new(path, value));
                } else {
                    draft.set("spec.components.resources", value, &path);
                }
            }
        }
        Self {
            node_selector,
            resources: resources_of_all,
            rolling_update,
        }
    }

    /// Speaks of what no role takes.
    pub(super) fn finish(self, written: &Written, draft: &mut Draft) {
        if let Some(given) = self.node_selector {
            if written.node_selector {
                given.same(draft);
            } else {
                given.left(draft, "every role that runs says otherwise");
            }
        }
        if let Some(given) = self.resources {
            if written.resources {
                given.same(draft);
            } else {
                given.left(draft, "every role that runs says otherwise");
            }
        }
    }
}

/// Which shared settings some role took.
#[derive(Debug, Default)]
pub(super) struct Written {
    node_selector: bool,
    resources: bool,
}

/// Writes one role; gives the port of the Service that it stands behind.
pub(super) fn role(
    name: &'static str,
    mut block: Block,
    common: &Common,
    pod: &mut PodFields,
    written: &mut Written,
    draft: &mut Draft,
) -> Option<Given<i64>> {
    let target = format!("spec.components.{name}");
    let at = |field: &str| format!("{target}.{field}");
    scale(name, &mut block, &target, draft);
    if let Some(image) = block.text("image", draft) {
        image.carry(draft, &at("image"));
    }
    block.leave(
        "version",
        "milvus-operator reads spec.components.version alone, and so does this operator",
        draft,
    );
    if let Some(policy) = pull_policy(&mut block, draft) {
        policy.carry(draft, &at("imagePullPolicy"));
    }
    if let Some(given) = block.take("imagePullSecrets") {
        pull_secrets(given, draft);
    }
    paused(&mut block, &target, draft);
    block.refuse_if_set("commands", COMMANDS, draft);
    block.leave_unless("runWithSubProcess", false, SUB_PROCESS, draft);
    if let Some(given) = block.take("env") {
        let path = given.path.clone();
        let variables = values::env(given, draft);
        if !variables.is_empty() {
            draft.set(&at("env"), Value::Array(variables), &path);
        }
    }
    match (block.texts("nodeSelector", draft), &common.node_selector) {
        (Some(own), _) => own.carry(draft, &at("nodeSelector")),
        (None, Some(shared)) => {
            written.node_selector = true;
            shared.clone().carry(draft, &at("nodeSelector"));
        }
        (None, None) => {}
    }
    match (block.take("resources"), &common.resources) {
        (Some(own), _) => {
            let path = own.path.clone();
            if let Some(value) = resources(own, draft) {
                draft.set(&at("resources"), value, &path);
            }
        }
        (None, Some(shared)) => {
            written.resources = true;
            draft.set(&at("resources"), shared.value.clone(), &shared.path);
        }
        (None, None) => {}
    }
    let rolling = block.take("rollingUpdate").and_then(|g| g.block(draft));
    rolling_update(rolling, common.rolling_update.as_ref(), name, draft);
    for (field, what) in [
        ("sidecars", "other container beside Milvus"),
        ("initContainers", "container before Milvus"),
    ] {
        block.refuse_if_set(
            field,
            &format!("this operator runs no {what}; run it as a workload of its own, or let your platform inject it, and remove this"),
            draft,
        );
    }
    let claims = stateful_set(name, &mut block, draft);
    if ["proxy", "dataNode", "queryNode", "streamingNode"].contains(&name) {
        groups(&mut block, &target, draft);
    }
    let port = matches!(name, "proxy" | "standalone")
        .then(|| service(name, &mut block, &target, draft))
        .flatten();
    PodFields::of(&mut block, draft).write(pod, name, claims, draft);
    block.unknown(draft);
    port
}

fn pull_policy(block: &mut Block, draft: &mut Draft) -> Option<Given<String>> {
    block.choice(
        "imagePullPolicy",
        &["Always", "IfNotPresent", "Never"],
        draft,
    )
}

fn paused(block: &mut Block, target: &str, draft: &mut Draft) {
    if let Some(paused) = block.flag("paused", draft) {
        if paused.value {
            paused.carry(draft, &format!("{target}.paused"));
        } else {
            paused.same(draft);
        }
    }
}

/// How many processes: a number, or bounds.
fn scale(name: &str, block: &mut Block, target: &str, draft: &mut Draft) {
    let hpa = block.take("hpa").and_then(|given| given.block(draft));
    let grouped = block.peek("groups").is_some_and(|groups| !blank(groups));
    if let Some(replicas) = block.number("replicas", draft) {
        if grouped {
            replicas.left(draft, "milvus-operator goes by the replicas of the groups");
        } else if replicas.value >= 0 {
            replicas.carry(draft, &format!("{target}.replicas"));
        } else if hpa.is_some() {
            replicas.same(draft);
        } else if EXTERNALLY_SCALABLE
            .iter()
            .any(|c| resource_name(*c) == name)
        {
            replicas.carry(draft, &format!("{target}.replicas"));
        } else {
            replicas.refuse(
                draft,
                if name == "queryNode" {
                    "-1 leaves the number to a HorizontalPodAutoscaler of your own; remove it, and let the autoscaler's scaleTargetRef be the new resource, whose scale is the query nodes'"
                } else {
                    "-1 leaves the number to a HorizontalPodAutoscaler of your own, and this role is nothing to scale by load; write a number"
                },
            );
        }
    }
    let Some(mut hpa) = hpa else { return };
    let at = |field: &str| format!("{target}.autoscaling.{field}");
    match hpa.number("maxReplicas", draft) {
        Some(most) => most.carry(draft, &at("maxReplicas")),
        None => draft.refuse(hpa.at("maxReplicas"), "required; write the most processes"),
    }
    if let Some(fewest) = hpa.number("minReplicas", draft) {
        fewest.carry(draft, &at("minReplicas"));
    }
    let metrics = hpa.take("metrics").and_then(|given| given.objects(draft));
    if let Some(metrics) = metrics {
        metrics.carry(draft, &at("metrics"));
    }
    let behavior = hpa.take("behavior").and_then(|given| given.object(draft));
    if let Some(behavior) = behavior {
        behavior.carry(draft, &at("behavior"));
    }
    hpa.unknown(draft);
}

/// A claim for each process; gives whether there is one.
fn stateful_set(name: &str, block: &mut Block, draft: &mut Draft) -> bool {
    if !["queryNode", "dataNode", "indexNode"].contains(&name) {
        return false;
    }
    let Some(mut set) = block.take("statefulSet").and_then(|g| g.block(draft)) else {
        return false;
    };
    let enabled = set.flag("enabled", draft);
    let on = enabled.as_ref().is_some_and(|enabled| enabled.value);
    if let Some(enabled) = enabled {
        if on {
            enabled.refuse(
                draft,
                "this operator gives no claim to each process of a role; its cache is on the node's own disk and filled from the object store again; remove statefulSet and its mounts",
            );
        } else {
            enabled.same(draft);
        }
    }
    if on {
        if let Some(claims) = set.take("volumeClaimTemplates") {
            claims.same(draft);
        }
    } else {
        set.leave(
            "volumeClaimTemplates",
            "statefulSet.enabled is not true, and without it they have no effect",
            draft,
        );
    }
    set.unknown(draft);
    on
}

/// Several sets of processes of one role.
fn groups(block: &mut Block, target: &str, draft: &mut Draft) {
    const POD: [&str; 3] = ["affinity", "tolerations", "topologySpreadConstraints"];
    let path = block.at("groups");
    let mut groups = Vec::new();
    for item in block.list("groups", draft) {
        let Some(mut item) = item.block(draft) else {
            continue;
        };
        let mut group = json!({});
        match item.text("name", draft) {
            Some(name) => group["name"] = name.read(draft).into(),
            None => draft.refuse(item.at("name"), "required; write the name of the group"),
        }
        match item.number("replicas", draft) {
            Some(replicas) if replicas.value < 0 => replicas.refuse(
                draft,
                "-1 leaves the number to a HorizontalPodAutoscaler of your own; write a number",
            ),
            Some(replicas) => group["replicas"] = replicas.read(draft).into(),
            None => draft.refuse(item.at("replicas"), "required; write a number"),
        }
        if let Some(given) = item.take("extraEnv") {
            let variables = values::env(given, draft);
            if !variables.is_empty() {
                group["env"] = Value::Array(variables);
            }
        }
        if let Some(selector) = item.texts("nodeSelector", draft) {
            group["nodeSelector"] = selector.read(draft);
        }
        for field in POD {
            item.refuse_if_set(
                field,
                "a group has a size, an environment and a node selector here, and no pod settings of its own; say it for the whole role",
                draft,
            );
        }
        for field in ["labels", "annotations"] {
            item.leave(
                field,
                "workloads of a group carry this operator's own marks; its name is among them",
                draft,
            );
        }
        item.unknown(draft);
        groups.push(group);
    }
    if !groups.is_empty() {
        draft.set(&format!("{target}.groups"), Value::Array(groups), &path);
    }
}

/// How clients reach it; gives the Service's port.
fn service(name: &str, block: &mut Block, target: &str, draft: &mut Draft) -> Option<Given<i64>> {
    let types = ["ClusterIP", "NodePort", "LoadBalancer"];
    if let Some(kind) = block.choice("serviceType", &types, draft) {
        if kind.value == "ClusterIP" {
            kind.same(draft);
        } else {
            kind.carry(draft, &format!("{target}.serviceType"));
        }
    }
    if let Some(port) = block.number("serviceRestfulPort", draft) {
        if port.value == 0 {
            port.same(draft);
        } else {
            port.refuse(
                draft,
                "clients have one port here, which speaks gRPC and REST; let REST clients use it, and remove this and config.proxy.http.port",
            );
        }
    }
    for field in ["serviceLabels", "serviceAnnotations"] {
        if let Some(texts) = block.texts(field, draft) {
            texts.carry(draft, &format!("spec.kubernetes.components.{name}.{field}"));
        }
    }
    if let Some(block) = block.take("ingress").and_then(|given| given.block(draft)) {
        ingress(block, &format!("{target}.ingress"), draft);
    }
    block.number("port", draft)
}

/// The way in by host name.
fn ingress(mut block: Block, target: &str, draft: &mut Draft) {
    let path = block.at("hosts");
    let hosts: Vec<Value> = block
        .list("hosts", draft)
        .into_iter()
        .filter_map(|host| Some(host.text(draft)?.read(draft).into()))
        .collect();
    if hosts.is_empty() {
        draft.refuse(
            path,
            "an Ingress without hosts led nowhere, and would lead every host here; name the hosts, or remove the Ingress",
        );
    } else {
        draft.set(&format!("{target}.hosts"), Value::Array(hosts), &path);
    }
    if let Some(class) = block.text("ingressClassName", draft) {
        class.carry(draft, &format!("{target}.ingressClassName"));
    }
    for field in ["labels", "annotations"] {
        if let Some(texts) = block.texts(field, draft) {
            texts.carry(draft, &format!("{target}.{field}"));
        }
    }
    let secrets = block.take("tlsSecretRefs").and_then(|g| g.object(draft));
    if let Some(secrets) = secrets {
        let hosts = |value: &Value| {
            value
                .as_array()
                .is_some_and(|hosts| hosts.iter().all(Value::is_string))
        };
        if secrets
            .value
            .as_object()
            .is_some_and(|s| s.values().all(hosts))
        {
            secrets.carry(draft, &format!("{target}.tlsSecretRefs"));
        } else {
            secrets.refuse(draft, "write a list of host names for each Secret");
        }
    }
    block.unknown(draft);
}
