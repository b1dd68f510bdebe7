//! The one volume of a queue that lives inside Milvus. Pure.

use serde_json::json;

use super::draft::Draft;
use super::input::Block;
use super::values;

/// Size of the one volume of a queue inside Milvus, as milvus-operator asks for it.
const THEIR_VOLUME: &str = "5Gi";

/// A queue inside a standalone Milvus, which keeps its files beside it.
pub(super) fn built_in(
    dependencies: &mut Block,
    old_persistence: Option<Block>,
    kind: &str,
    draft: &mut Draft,
) {
    let mut old_persistence = old_persistence;
    if ["rocksmq", "natsmq"].contains(&kind) {
        let target = format!("spec.dependencies.{kind}.persistence");
        let mut block = dependencies.block(kind, draft);
        let persistence = match old_persistence.take().filter(|_| kind == "rocksmq") {
            Some(old) => {
                block.leave(
                    "persistence",
                    "spec.persistence takes its place in this version of the resource",
                    draft,
                );
                old
            }
            None => block.block("persistence", draft),
        };
        let path = persistence.path.clone();
        let deleted = volume(persistence, &target, draft);
        if deleted == Some(true) {
            draft.set("spec.deletionPolicy", "Delete".into(), &path);
            for dependency in ["etcd", "storage"] {
                let policy = format!("spec.dependencies.{dependency}.inCluster.deletionPolicy");
                let external = format!("spec.dependencies.{dependency}.external");
                if draft.get(&policy).is_none() && draft.get(&external).is_none() {
                    draft.set(&policy, "Retain".into(), &path);
                }
            }
        }
        if deleted.is_none() {
            draft.note(
                path,
                "milvus-operator keeps the queue in an emptyDir, which goes with the pod; here it is on a volume, which stays",
            );
        }
        block.unknown(draft);
    }
    if let Some(old) = old_persistence {
        old.leave_rest(
            draft,
            &format!("it is rocksmq's, and the queue of this resource is {kind}"),
        );
    }
}

/// The one volume of a queue inside Milvus. Gives whether it goes with the resource; nothing when it is off.
pub(super) fn volume(mut block: Block, target: &str, draft: &mut Draft) -> Option<bool> {
    let enabled = block.flag("enabled", draft);
    let on = enabled.as_ref().is_some_and(|enabled| enabled.value);
    if let Some(enabled) = enabled {
        enabled.same(draft);
    }
    if !on {
        block.leave_rest(
            draft,
            "persistence.enabled is not true, and without it this has no effect",
        );
        return None;
    }
    let deleted = block
        .flag("pvcDeletion", draft)
        .is_some_and(|deleted| deleted.read(draft));
    let mut claim = block.block("persistentVolumeClaim", draft);
    claim.refuse_if_set(
        "existingClaim",
        "this operator makes the volume of each process itself and never takes one that is not its own; move the data",
        draft,
    );
    for field in ["labels", "annotations"] {
        claim.leave(field, "claims carry this operator's own marks here", draft);
    }
    let mut spec = claim.block("spec", draft);
    let mut resources = spec.block("resources", draft);
    let mut requests = resources.block("requests", draft);
    match requests.scalar("storage", draft) {
        Some(size) => size.carry(draft, &format!("{target}.size")),
        None => values::written_out(
            &requests.at("storage"),
            &format!("{target}.size"),
            THEIR_VOLUME.into(),
            draft,
        ),
    }
    requests.unknown(draft);
    resources.leave_rest(draft, "a volume has a size here, and no bounds");
    if let Some(class) = spec.text("storageClassName", draft) {
        class.carry(draft, &format!("{target}.storageClass"));
    }
    spec.leave_unless(
        "accessModes",
        json!(["ReadWriteOnce"]),
        "the process has a volume of its own here, which it alone mounts",
        draft,
    );
    spec.leave_unless(
        "volumeMode",
        "Filesystem",
        "a volume has a file system here",
        draft,
    );
    for given in spec.rest() {
        given.refuse(
            draft,
            "a volume has a size and a storage class here; remove it, or choose a class that says it",
        );
    }
    claim.unknown(draft);
    block.unknown(draft);
    Some(deleted)
}
