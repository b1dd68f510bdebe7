//! Every reason that conditions and events carry, in one list. People write alerts on these words: they do not change.
//! Pure.

pub mod guide;

/// A machine-readable reason in CamelCase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    // Accepted
    /// The resource is understood and can be honoured.
    Valid,
    /// A field has a value that cannot be.
    InvalidSpec,
    /// A field of the type is not acted on yet.
    NotSupportedYet,
    /// This platform cannot honour a field.
    UnsupportedOnPlatform,
    /// A choice that is fixed at creation was changed.
    ImmutableField,
    /// Data of an earlier resource of the same name is there, and `adopt` was not said.
    RetainedData,
    /// A referenced Secret or key is missing.
    SecretMissing,
    /// Another cluster already uses the port on that node.
    PortConflict,
    /// A setting by which the processes of Milvus would not find each other, or which says half of a login.
    SettingRefused,
    /// Another cluster already keeps its data in that place of an external service.
    PrefixConflict,
    /// Another cluster already has a network with addresses of that range.
    SubnetConflict,
    /// An object of somebody else has one of our names.
    ForeignObject,
    // Progress
    /// Waiting for dependencies.
    WaitingForDependencies,
    /// Instances are starting.
    Starting,
    /// A change is being rolled out.
    Updating,
    /// Everything stands as asked.
    Complete,
    /// Everything answers.
    AllReady,
    /// Something does not answer.
    NotReady,
    /// The platform does not answer.
    PlatformUnreachable,
    /// Being deleted.
    Deleting,
    // Trouble
    /// A node does not answer.
    NodeDown,
    /// A node that answers takes no work: it is drained or paused.
    NodeUnavailable,
    /// The network between the nodes does not carry what it should.
    NetworkBroken,
    /// An image cannot be pulled.
    ImagePullFailed,
    /// No node can take an instance.
    Unschedulable,
    /// A mount does not exist on the node.
    MountFailed,
    /// A port is taken on the node.
    PortTaken,
    /// An instance ended with an error.
    InstanceFailed,
    /// A service of somebody else does not know the keys that it was shown.
    CredentialsRefused,
    /// A login at an external service works or not: the operator cannot show it there.
    LoginNotChecked,
    /// A member of etcd has raised an alarm, and etcd takes no writes.
    AlarmRaised,
    /// A system lists other members than the cluster has, or its members do not agree.
    MembersDiffer,
    /// A store does not hold what this cluster has kept in it: its volume was emptied or replaced, or its bucket is gone.
    DataLost,
    /// The clock of a process is more than five minutes from the operator's.
    ClockSkew,
    /// The clock of a process is more than half a minute from the operator's.
    ClockDrift,
    /// Nothing is wrong.
    AsExpected,
    // Events about what was done
    /// Object made.
    Created,
    /// Object made again after somebody removed it.
    Recreated,
    /// Object changed because the resource changed.
    Updated,
    /// Object put back after somebody edited it.
    Repaired,
    /// Object removed.
    Removed,
    /// A component became ready.
    ComponentReady,
    /// The cluster became ready.
    Ready,
    /// The cluster stopped being ready.
    Unready,
    /// A member was given its node.
    Placed,
    /// Everything was left as it is when the resource was deleted.
    Orphaned,
    /// Volumes were kept.
    VolumesRetained,
    /// Volumes were deleted.
    VolumesDeleted,
    /// An action failed.
    ActionFailed,
    /// The placement cannot survive the loss of a node.
    PlacementAtRisk,
    /// The deletion of the ledger was asked for while the cluster needs it, and is held.
    LedgerHeld,
    /// The stored resource vanished without a deletion.
    ResourceVanished,
    /// Fields do not stay as they are written: the platform's admission rewrites them.
    KeptByAdmission,
}

impl Reason {
    /// The word on the wire.
    pub fn as_str(self) -> String {
        format!("{self:?}")
    }

    /// Whether it does not end the care for a cluster that has begun: it is about the world around a resource (machines, other
    /// clusters, Secrets), which may change while the resource does not, or about a setting that earlier versions took.
    pub const fn is_of_facts(self) -> bool {
        matches!(
            self,
            Reason::Unschedulable
                | Reason::PortConflict
                | Reason::PrefixConflict
                | Reason::SubnetConflict
                | Reason::SecretMissing
                | Reason::SettingRefused
        )
    }

    /// Whether an event of this reason is a warning.
    pub fn is_warning(self) -> bool {
        matches!(
            self,
            Reason::InvalidSpec
                | Reason::SettingRefused
                | Reason::NotSupportedYet
                | Reason::UnsupportedOnPlatform
                | Reason::ImmutableField
                | Reason::RetainedData
                | Reason::SecretMissing
                | Reason::PortConflict
                | Reason::PrefixConflict
                | Reason::SubnetConflict
                | Reason::ForeignObject
                | Reason::NodeDown
                | Reason::NodeUnavailable
                | Reason::NetworkBroken
                | Reason::ImagePullFailed
                | Reason::Unschedulable
                | Reason::MountFailed
                | Reason::PortTaken
                | Reason::InstanceFailed
                | Reason::CredentialsRefused
                | Reason::AlarmRaised
                | Reason::MembersDiffer
                | Reason::DataLost
                | Reason::ClockSkew
                | Reason::ClockDrift
                | Reason::Recreated
                | Reason::Repaired
                | Reason::Unready
                | Reason::ActionFailed
                | Reason::PlacementAtRisk
                | Reason::LedgerHeld
                | Reason::ResourceVanished
                | Reason::PlatformUnreachable
                | Reason::NotReady
        )
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self:?}")
    }
}
