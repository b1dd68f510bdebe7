//! The template of a workload's pods, and the revision that it gives them. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use milvus_core::component::Component;
use milvus_core::components;
use milvus_core::desired::{Image, Passthrough, Placement, Resources, Shape, Workload};
use milvus_core::outline::ObjectId;
use milvus_crds::KubernetesComponent;
use milvus_platform::{Class, PlatformError};
use serde_json::{Map, Value, json};

use super::object::put;
use super::text::{ORDINAL, Texts};
use super::{Scope, files, hash, probes, quantity, security, storage, zero};
use crate::{Kind, labels};

/// How long a proxy goes on after its end was decided, so that the Services have stopped sending it new clients when it closes
/// those that it has. A standalone process has nobody to take over: every second more would be one without an answer.
const PROXY_PAUSE: Duration = Duration::from_secs(5);

/// A template.
pub(super) struct Pod {
    pub(super) template: Value,
    /// Hash over the template: a change of it starts processes anew.
    pub(super) revision: String,
    /// Templates of claims, for the workload.
    pub(super) claims: Vec<Value>,
    pub(super) uses: BTreeSet<ObjectId>,
    /// How long a process may take to stop, all in all.
    pub(super) grace: u64,
}

/// The pods of one workload.
pub(super) fn pod(scope: &Scope<'_>, workload: &Workload) -> Result<Pod, PlatformError> {
    // Every field is named, so that a new one cannot be forgotten here.
    let Workload {
        component,
        shape,
        image,
        command,
        args,
        env,
        files: _,   // in files.rs
        volumes: _, // in storage.rs
        resources,
        stop_grace,
        liveness: _, // in probes.rs
        placement,
        ports,
        published: _, // Services lead to ports here
        networks: _,  // one flat network
        requires: _,  // the planner's
        probe: _,     // in probes.rs
        user: _,      // for engines whose volumes belong to root; here in security.rs
        nofile: _,    // the container runtime's to set
        origin: _,    // for messages
    } = workload;
    let own = own(scope, *component);
    let job = matches!(shape, Shape::Job);

    let mut texts = Texts::new(scope, workload);
    let command: Vec<String> = command.iter().map(|t| texts.fill(t)).collect();
    let args: Vec<String> = args.iter().map(|t| texts.fill(t)).collect();
    let mut variables: Vec<Value> = env
        .iter()
        .map(|(name, value)| json!({"name": name, "value": texts.fill(value)}))
        .collect();
    for (name, source) in &own.env {
        variables.push(json!({"name": name, "valueFrom": zero::value(json!(source))}));
    }
    if let Some(ordinal) = texts.variable() {
        if env.contains_key(ORDINAL) || own.env.contains_key(ORDINAL) {
            return Err(refused(
                *component,
                "",
                format!("the variable {ORDINAL} is the operator's; name yours differently"),
            ));
        }
        variables.insert(0, ordinal);
    }

    let taken: Vec<&str> = own
        .pod
        .volume_mounts
        .iter()
        .filter_map(|mount| mount.get("mountPath")?.as_str())
        .collect();
    let files = files::mounted(scope, workload)?;
    let kept = storage::volumes(scope, workload, &taken)?;
    let mut uses = files.uses;
    let mut mounts = kept.mounts;
    mounts.extend(files.mounts);
    let claimed = kept.claims.iter().map(|claim| &claim["metadata"]["name"]);
    let mut volumes = kept.volumes;
    volumes.extend(files.volumes);
    let names: Vec<&Value> = volumes.iter().map(|v| &v["name"]).chain(claimed).collect();
    apart(*component, "volumes", "name", &names, &own.pod.volumes)?;
    let paths: Vec<&Value> = mounts.iter().map(|m| &m["mountPath"]).collect();
    apart(
        *component,
        "volumeMounts",
        "mountPath",
        &paths,
        &own.pod.volume_mounts,
    )?;
    volumes.extend(own.pod.volumes.iter().cloned().map(Value::Object));
    mounts.extend(own.pod.volume_mounts.iter().cloned().map(Value::Object));

    // Docker's words for it; exhaustively, as above.
    let Image {
        reference,
        pull_policy,
        pull_secrets,
    } = image;
    let pause = (*component == Component::Proxy).then_some(PROXY_PAUSE);
    let grace = stop_grace.as_secs() + pause.unwrap_or_default().as_secs();

    let mut container = Map::new();
    put(&mut container, "name", component.name());
    put(&mut container, "image", reference.as_str());
    put(&mut container, "imagePullPolicy", pull_policy.clone());
    put(&mut container, "command", command);
    put(&mut container, "args", args);
    put(&mut container, "env", variables);
    put(
        &mut container,
        "ports",
        ports
            .iter()
            .map(|p| json!({"name": p.name, "containerPort": p.number, "protocol": "TCP"}))
            .collect::<Vec<_>>(),
    );
    put(&mut container, "resources", amounts(resources));
    put(&mut container, "volumeMounts", mounts);
    if let Some(pause) = pause {
        // A command, because the API has had a pause of its own only since Kubernetes 1.30.
        let command = json!(["sleep", pause.as_secs().to_string()]);
        put(
            &mut container,
            "lifecycle",
            json!({"preStop": {"exec": {"command": command}}}),
        );
    }
    container.extend(probes::probes(workload, &own.pod.probes));
    put(
        &mut container,
        "securityContext",
        security::of_container(&own.pod.security_context),
    );

    let mut spec = Map::new();
    put(&mut spec, "containers", vec![Value::Object(container)]);
    put(&mut spec, "volumes", volumes);
    // Variables like MINIO_PORT, made from the names of Services, would be taken for settings by Milvus.
    put(&mut spec, "enableServiceLinks", false);
    put(&mut spec, "terminationGracePeriodSeconds", grace);
    put(
        &mut spec,
        "imagePullSecrets",
        pull_secrets
            .iter()
            .map(|name| json!({"name": name}))
            .collect::<Vec<_>>(),
    );
    put(
        &mut spec,
        "securityContext",
        security::of_pod(*component, &own.pod.pod_security_context),
    );
    if job {
        put(&mut spec, "restartPolicy", "OnFailure");
    }
    match &own.pod.service_account_name {
        Some(name) => put(&mut spec, "serviceAccountName", name.as_str()),
        None => {
            let account = scope.milvus_name();
            put(&mut spec, "serviceAccountName", account.as_str());
            uses.insert(ObjectId::new(Kind::ServiceAccount.name(), account));
        }
    }
    place(scope, workload, placement, &own.pod, &mut spec);

    let mut all: BTreeMap<&str, String> = own
        .pod
        .pod_labels
        .iter()
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    let cluster = &scope.desired.cluster.key;
    all.extend(labels::of_cluster(cluster));
    all.extend(labels::selector(cluster, *component));
    // Whatever the resource says under this name, the revision takes its place.
    all.remove(labels::REVISION);
    let mut metadata = Map::new();
    put(&mut metadata, "labels", json!(all));
    put(&mut metadata, "annotations", json!(own.pod.pod_annotations));
    let mut template = json!({"metadata": metadata, "spec": spec});
    let revision = hash::of(&template);
    template["metadata"]["labels"][labels::REVISION] = json!(revision);
    Ok(Pod {
        template,
        revision,
        claims: kept.claims,
        uses,
        grace,
    })
}

/// Where the pods go, and under which name and rank they are scheduled.
fn place(
    scope: &Scope<'_>,
    workload: &Workload,
    placement: &Placement,
    own: &KubernetesComponent,
    spec: &mut Map<String, Value>,
) {
    let Placement {
        node_selector,
        constraints: _, // Swarm's
        spread,
    } = placement;
    put(spec, "nodeSelector", json!(node_selector));
    put(spec, "affinity", own.affinity.clone());
    put(spec, "tolerations", json!(own.tolerations));
    let job = matches!(workload.shape, Shape::Job);
    if !own.topology_spread_constraints.is_empty() {
        let rules = json!(own.topology_spread_constraints);
        put(spec, "topologySpreadConstraints", rules);
    } else if *spread && !job && own.affinity.is_empty() {
        // A wish and no condition, so that a cluster also starts on fewer nodes. It is there for one instance too: scaling
        // must not start the first one anew.
        let member = matches!(workload.shape, Shape::Members { .. });
        let zone = member.then_some("topology.kubernetes.io/zone");
        let rules: Vec<Value> = zone
            .into_iter()
            .chain(["kubernetes.io/hostname"])
            .map(|key| {
                json!({
                    "maxSkew": 1,
                    "topologyKey": key,
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": scope.selector(workload.component)},
                })
            })
            .collect();
        put(spec, "topologySpreadConstraints", rules);
    }
    put(spec, "priorityClassName", own.priority_class_name.clone());
    put(spec, "schedulerName", own.scheduler_name.clone());
    put(spec, "hostNetwork", own.host_network);
    let dns = own.dns_policy.clone().or_else(|| {
        // Without it a pod in the node's network does not know the names of the cluster.
        let needed = own.host_network == Some(true);
        needed.then(|| "ClusterFirstWithHostNet".to_owned())
    });
    put(spec, "dnsPolicy", dns);
}

/// What the resource says in Kubernetes' own words, as far as it says anything.
fn own(scope: &Scope<'_>, component: Component) -> Passthrough {
    let Passthrough { pod, env } = stated(scope, component);
    Passthrough {
        pod: zero::without(pod),
        env,
    }
}

/// The same as it stands. The job of Pulsar has no block of its own: it runs where and as ZooKeeper does, so that it also starts
/// on nodes that are set apart.
fn stated(scope: &Scope<'_>, component: Component) -> Passthrough {
    if component != Component::PulsarInit {
        return scope.passthrough(component).cloned().unwrap_or_default();
    }
    let Some(zookeeper) = scope.passthrough(Component::Zookeeper) else {
        return Passthrough::default();
    };
    let KubernetesComponent {
        affinity,
        tolerations,
        topology_spread_constraints: _, // there is one of it
        pod_labels,
        pod_annotations,
        security_context,
        pod_security_context,
        service_account_name,
        priority_class_name,
        scheduler_name,
        host_network: _, // it only ever calls others
        dns_policy,
        volumes: _,
        volume_mounts: _,
        probes: _,
        service_labels: _,
        service_annotations: _,
    } = zookeeper.pod.clone();
    let pod = KubernetesComponent {
        // Not those about neighbours: they are about ZooKeeper's own members.
        affinity: affinity
            .into_iter()
            .filter(|(rule, _)| rule == "nodeAffinity")
            .collect(),
        tolerations,
        pod_labels,
        pod_annotations,
        security_context,
        pod_security_context,
        service_account_name,
        priority_class_name,
        scheduler_name,
        dns_policy,
        ..KubernetesComponent::default()
    };
    Passthrough {
        pod,
        env: BTreeMap::new(),
    }
}

fn amounts(resources: &Resources) -> Map<String, Value> {
    let Resources {
        request_millicpu,
        request_memory,
        limit_millicpu,
        limit_memory,
    } = resources;
    let pair = |millicpu: &Option<u64>, memory: &Option<u64>| {
        let mut pair = Map::new();
        put(&mut pair, "cpu", millicpu.map(quantity::cpu));
        put(&mut pair, "memory", memory.map(quantity::bytes));
        pair
    };
    let mut all = Map::new();
    put(&mut all, "requests", pair(request_millicpu, request_memory));
    put(&mut all, "limits", pair(limit_millicpu, limit_memory));
    all
}

/// Refuses a block of the resource that names something which the operator has there already.
fn apart(
    component: Component,
    field: &str,
    key: &str,
    ours: &[&Value],
    theirs: &[Map<String, Value>],
) -> Result<(), PlatformError> {
    for (index, block) in theirs.iter().enumerate() {
        if let Some(value) = block.get(key)
            && ours.contains(&value)
        {
            return Err(refused(
                component,
                &format!(".{field}[{index}].{key}"),
                format!("{value} is the operator's own; choose another"),
            ));
        }
    }
    Ok(())
}

fn refused(component: Component, field: &str, message: String) -> PlatformError {
    let block = components::resource_name(component);
    let path = format!("spec.kubernetes.components.{block}{field}");
    PlatformError::new(
        Class::Invalid,
        format!("render {component}"),
        format!("{path}: {message}"),
    )
}
