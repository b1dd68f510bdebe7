//! What each reason means to an administrator: meaning, usual causes, and what to do. `docs/troubleshooting.md` is written from
//! these tables ([`troubleshooting`]), and a test finds a reason that none of them explains. Pure data.

use super::Reason;

mod page;

pub use page::troubleshooting;

/// The explanation of one reason.
#[derive(Clone, Copy, Debug)]
pub struct Guide {
    /// What is explained.
    pub reason: Reason,
    /// What it says, in a sentence or two.
    pub meaning: &'static str,
    /// Usual causes; empty where the meaning says it all.
    pub cause: &'static str,
    /// What to do, in the imperative.
    pub remedy: &'static str,
    /// Parts of messages of engines, kubelets and schedulers by which one may search.
    pub texts: &'static [&'static str],
}

const fn guide(
    reason: Reason,
    meaning: &'static str,
    cause: &'static str,
    remedy: &'static str,
) -> Guide {
    Guide {
        reason,
        meaning,
        cause,
        remedy,
        texts: &[],
    }
}

impl Guide {
    const fn seen_as(mut self, texts: &'static [&'static str]) -> Self {
        self.texts = texts;
        self
    }
}

const NOTHING: &str = "Nothing.";

/// Reasons of the condition `Accepted`: why the resource is not acted on.
pub const REFUSED: &[Guide] = &[
    guide(
        Reason::InvalidSpec,
        "A field has a value that cannot be honoured anywhere. The message has the path of the field.",
        "A typing error, two fields that contradict each other, or a name that is too long.",
        "Correct the field and apply the resource again. `milvus-operator validate -f FILE` checks it beforehand.",
    ),
    guide(
        Reason::NotSupportedYet,
        "The field is part of the type, and this version of the operator does not act on it.",
        "A change of the Milvus version, of the number of members of etcd, MinIO or ZooKeeper, of the size of a volume; `autoscaling`, `backup`, `monitoring`, `stopped`, `groups`, and others.",
        "Remove the field or write the earlier value again.",
    ),
    guide(
        Reason::UnsupportedOnPlatform,
        "This platform cannot honour the field; the other one may.",
        "Settings of Kubernetes on a Swarm or the reverse, for example `serviceType`, `storageClass` or `spec.swarm`.",
        "Remove the field. Settings that only one platform has belong below `spec.swarm` or `spec.kubernetes`.",
    ),
    guide(
        Reason::ImmutableField,
        "A choice that is fixed at creation was changed: mode, message queue, bucket, root paths, MTU, MinIO's layout, kind of volume.",
        "The data that exists was made with the first choice.",
        "Write the earlier value again, which the message names. For the other choice create a new cluster and move the data with a backup.",
    ),
    guide(
        Reason::RetainedData,
        "An earlier cluster of this name left volumes, and the new resource did not ask to take them over.",
        "A cluster was deleted under `deletionPolicy: Retain`, which is the default.",
        "Set `spec.adopt: true` to take over volumes, nodes and credentials; or choose another name; or remove the volumes that the message names.",
    ),
    guide(
        Reason::SecretMissing,
        "A Secret that the resource refers to, or a key in it, does not exist. A running cluster is observed and repaired meanwhile; changes wait.",
        "The Secret was never created, is in another namespace, or was deleted.",
        "Create the Secret in the namespace of the resource, with the keys that the message names.",
    ),
    guide(
        Reason::PortConflict,
        "An older cluster uses this client port on the same nodes.",
        "Two clusters on a Swarm with the same `spec.swarm.gateway.port` (default 19530).",
        "Choose another port, or other nodes with `spec.swarm.gateway.constraints`.",
    ),
    guide(
        Reason::SettingRefused,
        "With this setting of Milvus its processes would not find each other, or a login would be half said. A new cluster, and an edit that brings it, is refused. A cluster that has begun with it is looked after as before, and this is reported.",
        "A role's `ip`, `address` or `port`, the TLS of the client port in an environment, or one of `pulsar.authPlugin` and `pulsar.authParams`.",
        "Remove the setting that the message names, or complete it. Other edits of a cluster that has begun with it wait for that.",
    ),
    guide(
        Reason::PrefixConflict,
        "Another cluster keeps its data at the same place of an external etcd or object storage. Each of the two would delete what belongs to the other.",
        "Two clusters with the same bucket and `rootPath`, or the same `etcd.rootPath`.",
        "Create this cluster with a `spec.dependencies.storage.rootPath` or a bucket of its own; for etcd leave `spec.config.etcd.rootPath` out.",
    ),
    guide(
        Reason::SubnetConflict,
        "Another cluster already has a network with addresses of this range.",
        "Two clusters on a Swarm with overlapping `spec.swarm.subnet`.",
        "Choose ranges of its own, or leave `spec.swarm.subnet` out, which takes ranges of the Swarm's pool.",
    ),
];

/// Reasons of the condition `Degraded` and of warnings: what is wrong.
pub const TROUBLE: &[Guide] = &[
    guide(
        Reason::ForeignObject,
        "An object that does not belong to this cluster has a name that the cluster needs. It is left alone.",
        "A service, network, config or volume that was created manually or by another tool.",
        "Remove or rename the object, or give the cluster another name.",
    ),
    guide(
        Reason::NodeDown,
        "A node with a member or a process of this cluster does not answer.",
        "The machine or its engine is down, or cut off from the managers; or it came back under a new node id.",
        "Bring the node back. Where the same machine has joined under a new id and the operator cannot know which, set the annotation \
         `operator.milvus.io/node-is: OLD-ID=NEW-ID`. Where a deletion waits for it, `operator.milvus.io/abandon-node: NAME` gives up what is there.",
    ),
    guide(
        Reason::NodeUnavailable,
        "A node that answers takes no work, and a member lives there.",
        "The node is drained or paused.",
        "Set its availability to active: `docker node update --availability active NODE`.",
    ),
    guide(
        Reason::NetworkBroken,
        "The overlay network of a node does not carry what that of the other nodes carries.",
        "A firewall between the nodes, or an MTU that does not fit.",
        "Open UDP port 4789 and TCP and UDP port 7946 between all nodes; compare the MTU of the underlay with `spec.swarm.mtu`, which is fixed at creation.",
    ),
    guide(
        Reason::ImagePullFailed,
        "A node cannot get an image.",
        "The name or tag is wrong, the registry cannot be reached from that node, or it asks for a login.",
        "Correct the image, whose path the message names; or load it on the node; or log in there (on Kubernetes `spec.components.imagePullSecrets`).",
    )
    .seen_as(&[
        "no such image",
        "pull access denied",
        "manifest unknown",
        "repository does not exist",
        "invalid reference format",
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
    ]),
    guide(
        Reason::Unschedulable,
        "No node can take a process, or an edit asks for nodes on which an existing member's data is not.",
        "Too little memory or CPU, a rule about nodes that none meets, a port that all nodes have in use, or a volume claim that is not bound.",
        "Ask for less, add a node, or take the rule back; the message names the field. A member whose rule does not fit its node is not stopped.",
    )
    .seen_as(&[
        "no suitable node",
        "insufficient resources",
        "persistentvolumeclaim",
        "volume node affinity conflict",
    ]),
    guide(
        Reason::MountFailed,
        "A mount does not exist on the node, or its directory cannot be made.",
        "A base path of `persistence.type: bind`, a device or an NFS export that is missing on that node.",
        "Create the path on the node, or correct the field that the message names.",
    )
    .seen_as(&[
        "invalid mount config",
        "source path does not exist",
        "failed to mount local volume",
        "error while mounting volume",
        "FailedMount",
    ]),
    guide(
        Reason::PortTaken,
        "A port is in use on the node.",
        "Another process or container publishes the client port of the gateway there.",
        "Stop it, or choose another `spec.swarm.gateway.port`.",
    )
    .seen_as(&[
        "host-mode port already in use",
        "address already in use",
        "port is already allocated",
    ]),
    guide(
        Reason::InstanceFailed,
        "A process ended with an error.",
        "Too little memory (`OOMKilled`, exit code 137), a wrong setting in `spec.config`, or data that it cannot open.",
        "Read its log: `docker service logs SERVICE`, or `kubectl logs POD --previous`. Then correct the setting or give it more memory.",
    )
    .seen_as(&["OOMKilled", "non-zero exit"]),
    guide(
        Reason::CredentialsRefused,
        "An external service does not know the keys that it was shown.",
        "Wrong or rotated keys in the Secret, or a user without rights to the bucket.",
        "Correct the Secret (`spec.dependencies.storage.secretRef` or `spec.dependencies.kafka.secretRef`). It is read again at once.",
    ),
    guide(
        Reason::LoginNotChecked,
        "A login at an external service works or not; the operator cannot check it.",
        "The Secret has no `ca.pem`, so the operator does not send user and password; or this Milvus takes no `ca.pem`.",
        "Add `ca.pem` to the Secret to have the login checked. Otherwise nothing: the cluster is not degraded by this.",
    ),
    guide(
        Reason::AlarmRaised,
        "A member of etcd has raised an alarm, and etcd takes no writes.",
        "`NOSPACE`: the quota of etcd's database is used up. `CORRUPT`: its members differ.",
        "For `NOSPACE` compact and defragment etcd, then `etcdctl alarm disarm`. For `CORRUPT` find the member that differs before anything else.",
    ),
    guide(
        Reason::MembersDiffer,
        "A system lists other members than the cluster has, or its members do not agree with each other.",
        "A member was added manually, a member of ZooKeeper serves alone, or its data are of an earlier time.",
        "Follow the message: it names the member, and for etcd the command that removes it.",
    ),
    guide(
        Reason::ClockSkew,
        "The clock of a process is more than five minutes from the operator's.",
        "A node without time synchronisation.",
        "Synchronise the clocks of all nodes by NTP. Object storage refuses requests at 15 minutes.",
    ),
    guide(
        Reason::ActionFailed,
        "The platform refused an action, in the words of the message.",
        "A value that only the engine or the API server can judge, a missing right, or a fault of the operator.",
        "Correct the field when the message names one; apply the last good resource again to undo the edit. Check the operator's rights and log.",
    ),
    guide(
        Reason::PlatformUnreachable,
        "The platform does not answer. What cannot be seen is `Unknown`, and nothing is changed.",
        "The engine or the API server is down, or the managers of the Swarm have no quorum.",
        "Bring the managers back. The operator goes on by itself.",
    )
    .seen_as(&["The swarm does not have a leader", "context deadline exceeded"]),
    guide(
        Reason::PlacementAtRisk,
        "The cluster works, and would not survive the loss of one of the named nodes.",
        "Members of a quorum share a node, or there are too few of them.",
        "Add nodes before the cluster is created, or accept it: members do not move. It does not degrade the cluster.",
    ),
    guide(
        Reason::KeptByAdmission,
        "Fields do not stay as they are written, and are left so.",
        "A webhook or a policy of the API server rewrites them.",
        "Ask for what it makes of them, or exclude these objects from it.",
    ),
    guide(
        Reason::ResourceVanished,
        "A stored resource is gone without a deletion. Reserved; this version does not report it.",
        "",
        NOTHING,
    ),
    guide(
        Reason::DataLost,
        "A store does not hold what this cluster has kept in it.",
        "Its volume was emptied or replaced, for example by `docker volume prune` on a drained node, or its bucket is gone.",
        "Bring the volume or bucket back from a backup. To go on without it, or with a copy that is older than the mark `milvus-operator/mark` or lacks it, name the store in the annotation `operator.milvus.io/accept-data-loss`: nothing is deleted by that.",
    ),
    guide(
        Reason::LedgerHeld,
        "The deletion of the ledger was requested while the cluster needs it, and is held.",
        "`kubectl delete` of the cluster's ledger.",
        "To remove the cluster, delete its MilvusCluster; the ledger is then no longer needed.",
    ),
    guide(
        Reason::ClockDrift,
        "The clock of a process is more than half a minute from the operator's.",
        "A node without time synchronisation.",
        "Synchronise the clocks of all nodes by NTP. The cluster is not degraded by this yet.",
    ),
];

/// Reasons of the other conditions: how far the cluster has come.
pub const PROGRESS: &[Guide] = &[
    guide(
        Reason::Valid,
        "The resource is understood and can be honoured.",
        "",
        NOTHING,
    ),
    guide(
        Reason::WaitingForDependencies,
        "Something that Milvus needs does not answer yet.",
        "etcd, the object storage or the message queue is starting, or is external and cannot be reached.",
        "Wait. If it lasts, look at `status.dependencies` and at the condition `Degraded`.",
    ),
    guide(
        Reason::Starting,
        "Processes are starting.",
        "",
        "Wait. `status.waitingOn` says for what, and `status.waitingSince` since when.",
    ),
    guide(
        Reason::Updating,
        "A change is being rolled out, one workload after the other.",
        "An edit of the resource, or of a Secret that it refers to.",
        "Wait: `kubectl wait --for=condition=Updated mvc/NAME`.",
    ),
    guide(
        Reason::Complete,
        "Everything runs as the resource asks for.",
        "",
        NOTHING,
    ),
    guide(
        Reason::AllReady,
        "Every role, every dependency and the endpoint answer.",
        "",
        NOTHING,
    ),
    guide(
        Reason::NotReady,
        "Something that was ready does not answer, or the platform reports that a rollout does not go on.",
        "A process hangs, restarts or cannot be reached; a Deployment was paused manually.",
        "Look at the component that the message names: its log, its node, its memory.",
    ),
    guide(
        Reason::Deleting,
        "The cluster is being taken down: gateways and roles first, then what they stand on, then volumes if the policy says so.",
        "The resource was deleted.",
        "Wait. If it lasts, the condition `Degraded` names the node or process that it waits for.",
    ),
    guide(Reason::AsExpected, "Nothing is wrong.", "", NOTHING),
];

/// Reasons of events about what the operator did.
pub const DONE: &[Guide] = &[
    guide(Reason::Created, "Objects were created.", "", NOTHING),
    guide(
        Reason::Recreated,
        "Objects had been removed outside the operator, and were created again.",
        "`docker service rm`, `docker stack rm`, `kubectl delete` of an object of the cluster.",
        "To remove a cluster, delete its MilvusCluster.",
    ),
    guide(
        Reason::Updated,
        "Objects were changed because the resource changed.",
        "",
        NOTHING,
    ),
    guide(
        Reason::Repaired,
        "A manual change of an object was reverted; the message names the fields.",
        "`docker service update`, `kubectl edit` of an object of the cluster.",
        "Change the MilvusCluster instead.",
    ),
    guide(
        Reason::Removed,
        "Objects were removed; the message says why.",
        "",
        NOTHING,
    ),
    guide(
        Reason::ComponentReady,
        "A component became ready, and after how long.",
        "",
        NOTHING,
    ),
    guide(
        Reason::Ready,
        "The cluster became ready, and at which address.",
        "",
        NOTHING,
    ),
    guide(
        Reason::Unready,
        "The cluster stopped being ready; the message names what does not answer.",
        "A process, a node or a network was lost.",
        "Look at the condition `Degraded`.",
    ),
    guide(
        Reason::Placed,
        "Members were given the nodes on which they and their data stay.",
        "",
        NOTHING,
    ),
    guide(
        Reason::Orphaned,
        "The resource was deleted with `--cascade=orphan`: processes and data were left as they are.",
        "",
        "Apply a resource of the same name to take them over.",
    ),
    guide(
        Reason::VolumesRetained,
        "The cluster was deleted, and its volumes were kept; the message names them and their nodes.",
        "`deletionPolicy: Retain`, or a node that was given up.",
        "Set `spec.adopt: true` in a new resource of that name to use them, or remove them on their nodes.",
    ),
    guide(
        Reason::VolumesDeleted,
        "Volumes were deleted, as `deletionPolicy: Delete` asks for.",
        "",
        NOTHING,
    ),
];
