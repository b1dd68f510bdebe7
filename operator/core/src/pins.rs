//! Tags of images pinned to the digests that a registry has for them: all processes of a cluster run one build, whenever and
//! wherever each is started. What is decided for a reference is in the ledger and stays. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::ledger::Ledger;

/// Digests (`sha256:..`) by reference of an image; `None` where no registry answered, and the tag is used.
pub type Pins = BTreeMap<String, Option<String>>;

/// Whether references of a cluster are pinned. One that was begun by an operator that pinned nothing keeps its references:
/// another one would replace its processes.
fn pins(ledger: Option<&Ledger>, uid: &str) -> bool {
    ledger.is_none_or(|ledger| ledger.owner_uid != uid || ledger.images.is_some())
}

/// Of these references those for which it is not decided yet whether they are pinned, and to what.
pub fn undecided(
    images: &BTreeSet<String>,
    ledger: Option<&Ledger>,
    uid: &str,
) -> BTreeSet<String> {
    if !pins(ledger, uid) {
        return BTreeSet::new();
    }
    let decided = ledger.and_then(|ledger| ledger.images.as_ref());
    images
        .iter()
        .filter(|image| !image.contains('@'))
        .filter(|image| decided.is_none_or(|decided| !decided.contains_key(*image)))
        .cloned()
        .collect()
}

/// Decides for these references, by what registries have answered for them. `before` is the ledger that `ledger` was made of.
pub fn decide(
    ledger: &mut Ledger,
    before: Option<&Ledger>,
    images: &BTreeSet<String>,
    digests: &BTreeMap<String, String>,
) {
    let open = undecided(images, before, &ledger.owner_uid);
    if !pins(before, &ledger.owner_uid) {
        return;
    }
    let decided = ledger.images.get_or_insert_default();
    for image in open {
        let digest = digests.get(&image).cloned();
        decided.entry(image).or_insert(digest);
    }
}

/// The reference that processes are started with.
pub fn pinned(reference: &str, ledger: &Ledger) -> String {
    let decided = ledger.images.as_ref().and_then(|all| all.get(reference));
    match decided {
        Some(Some(digest)) => format!("{reference}@{digest}"),
        Some(None) | None => reference.to_owned(),
    }
}

/// What the references of standing processes tell of what was decided; `None` where none of them is pinned.
pub fn of_standing<'a>(references: impl Iterator<Item = &'a str>) -> Option<Pins> {
    let mut found = Pins::new();
    for reference in references.filter(|reference| !reference.is_empty()) {
        match reference.split_once('@') {
            Some((image, digest)) => found.insert(image.to_owned(), Some(digest.to_owned())),
            None => found.insert(reference.to_owned(), None),
        };
    }
    found.values().any(Option::is_some).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG: &str = "milvusdb/milvus:v2.3.5";
    const DIGEST: &str = "sha256:00ff";

    fn set(images: &[&str]) -> BTreeSet<String> {
        images.iter().map(|image| (*image).to_owned()).collect()
    }

    fn ledger(uid: &str, images: Option<Pins>) -> Ledger {
        Ledger {
            owner_uid: uid.to_owned(),
            images,
            ..Ledger::default()
        }
    }

    /// The ledger after a pass in which registries gave these digests.
    fn after(before: Option<&Ledger>, images: &[&str], digests: &[(&str, &str)]) -> Ledger {
        let mut wanted = Ledger {
            owner_uid: "u".to_owned(),
            ..before.cloned().unwrap_or_default()
        };
        let digests = digests
            .iter()
            .map(|(image, digest)| ((*image).to_owned(), (*digest).to_owned()))
            .collect();
        decide(&mut wanted, before, &set(images), &digests);
        wanted
    }

    #[test]
    fn a_reference_is_decided_once() {
        let etcd = "milvusdb/etcd:3.5.5";
        assert_eq!(undecided(&set(&[TAG]), None, "u"), set(&[TAG]));
        let first = after(None, &[TAG, etcd], &[(TAG, DIGEST)]);
        assert_eq!(pinned(TAG, &first), format!("{TAG}@{DIGEST}"));
        assert_eq!(pinned(etcd, &first), etcd, "no registry answered");
        assert_eq!(undecided(&set(&[TAG, etcd]), Some(&first), "u"), set(&[]));
        // Neither another build of the tag nor a registry that answers later changes what runs.
        let later = after(
            Some(&first),
            &[TAG, etcd],
            &[(TAG, "sha256:11"), (etcd, "sha256:22")],
        );
        assert_eq!(later, first);
        // Another reference is asked for, and the first one keeps its digest for the way back.
        let other = "registry.example.org/milvus:v2.3.5";
        assert_eq!(undecided(&set(&[other]), Some(&first), "u"), set(&[other]));
        let edited = after(Some(&first), &[other], &[(other, "sha256:33")]);
        assert_eq!(pinned(other, &edited), format!("{other}@sha256:33"));
        assert_eq!(pinned(TAG, &edited), format!("{TAG}@{DIGEST}"));
    }

    #[test]
    fn what_an_earlier_operator_began_keeps_its_references() {
        let old = ledger("u", None);
        assert_eq!(undecided(&set(&[TAG, "a:1"]), Some(&old), "u"), set(&[]));
        let now = after(Some(&old), &[TAG, "a:1"], &[(TAG, DIGEST)]);
        assert_eq!(now, old);
        assert_eq!(pinned(TAG, &now), TAG);
        // All processes of one that takes over what it left behind are new.
        let left = ledger("", None);
        let taken = after(Some(&left), &[TAG], &[(TAG, DIGEST)]);
        assert_eq!(pinned(TAG, &taken), format!("{TAG}@{DIGEST}"));
    }

    #[test]
    fn a_digest_that_the_resource_names_stays_alone() {
        let named = format!("{TAG}@{DIGEST}");
        assert_eq!(undecided(&set(&[&named]), None, "u"), set(&[]));
        assert_eq!(pinned(&named, &after(None, &[&named], &[])), named);
    }

    #[test]
    fn a_lost_ledger_is_told_by_what_stands() {
        let pinned = format!("{TAG}@{DIGEST}");
        let found = of_standing([pinned.as_str(), "gateway:1"].into_iter());
        let expected = Pins::from([
            (TAG.to_owned(), Some(DIGEST.to_owned())),
            ("gateway:1".to_owned(), None),
        ]);
        assert_eq!(found, Some(expected));
        assert_eq!(of_standing([TAG, ""].into_iter()), None);
    }
}
