//! `spec.dependencies.storage` and what milvus.yaml says of the object store. Pure.

use super::Shape;
use super::config::Settings;
use super::dependencies::{EXTERNAL_WINS, NO_CHART, Standing, external, in_cluster};
use super::draft::Draft;
use super::input::Block;
use super::values;

/// The object store.
pub(super) fn storage(
    dependencies: &mut Block,
    shape: &Shape,
    settings: &mut Settings,
    standing: &mut Standing,
    draft: &mut Draft,
) {
    const TARGET: &str = "spec.dependencies.storage";
    let mut block = dependencies.block("storage", draft);
    let kinds = ["MinIO", "S3", "Azure"];
    if let Some(kind) = block.choice("type", &kinds, draft) {
        if kind.value == "MinIO" {
            kind.same(draft);
        } else {
            kind.carry(draft, &format!("{TARGET}.type"));
        }
    }
    let external = external(&mut block, TARGET, draft);
    bucket(external, shape, settings, draft);
    standing.external_storage = external;
    if external {
        if let Some(endpoint) = block.text("endpoint", draft) {
            endpoint.carry(draft, &format!("{TARGET}.endpoint"));
        }
        block.leave("inCluster", EXTERNAL_WINS, draft);
        external_keys(&mut block, shape, settings, draft);
        external_store(settings, draft);
    } else {
        standing.ours.push("MinIO");
        let (name, namespace) = (&shape.name, shape.namespace());
        block.leave_unless(
            "endpoint",
            format!("{name}-minio.{namespace}:9000"),
            "external is not true, and milvus-operator overwrites it then; set external to true if it is meant",
            draft,
        );
        block.leave_unless(
            "secretRef",
            format!("{name}-minio"),
            "external is not true, and milvus-operator overwrites it then; set it in the result if the new MinIO shall have these keys",
            draft,
        );
        let (values, chart) = in_cluster(&mut block, TARGET, draft);
        if let Some(chart) = chart {
            chart.left(draft, NO_CHART);
        }
        values::minio::values(values, shape, draft);
        own_store(settings, draft);
    }
    let mut ssl = block.block("ssl", draft);
    ssl.leave_unless(
        "enabled",
        false,
        "only milvus-operator's own check reads it; for Milvus, config.minio.useSSL says it",
        draft,
    );
    for field in ["caCertificateRef", "insecureSkipVerify"] {
        ssl.leave_unless(
            field,
            false,
            "only milvus-operator's own check reads it; for Milvus, config.minio.ssl.tlsCACert and a mount say it",
            draft,
        );
    }
    ssl.unknown(draft);
    for name in ["minio.address", "minio.port"] {
        settings.leave(
            name,
            "milvus-operator removes it, too: dependencies.storage says where the store is",
            draft,
        );
    }
    if let Some(kind) = settings
        .take("common.storageType")
        .and_then(|given| given.text(draft))
    {
        if ["remote", "minio"].contains(&kind.value.as_str()) {
            kind.same(draft);
        } else {
            kind.refuse(draft, "data is kept in an object store here; remove it");
        }
    }
    block.unknown(draft);
}

/// Bucket and prefix, by which existing data is found.
fn bucket(external: bool, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
    const TARGET: &str = "spec.dependencies.storage.bucket";
    let path = "spec.config.minio.bucketName";
    match settings
        .take("minio.bucketName")
        .and_then(|given| given.text(draft))
    {
        Some(bucket) => bucket.carry(draft, TARGET),
        None if external || shape.name.len() >= 3 => {
            draft.note(
                path,
                format!("milvus-operator's default is written out as bucket, {}", shape.name),
            );
            draft.set(TARGET, shape.name.clone().into(), path);
        }
        None => draft.note(
            path,
            "the resource's name, milvus-operator's default, is too short for a bucket; this operator's default is used",
        ),
    }
    if let Some(root) = settings
        .take("minio.rootPath")
        .and_then(|given| given.text(draft))
    {
        root.carry(draft, "spec.dependencies.storage.rootPath");
    }
}

/// Keys of an external store: by Secret, in clear, or none because the platform vouches for the process.
fn external_keys(block: &mut Block, shape: &Shape, settings: &mut Settings, draft: &mut Draft) {
    const TARGET: &str = "spec.dependencies.storage.secretRef";
    let mut either = |names: [&'static str; 2]| {
        let [new, old] = names.map(|name| settings.take(name).and_then(|g| g.scalar(draft)));
        if let (Some(_), Some(old)) = (&new, &old) {
            old.clone().left(
                draft,
                "the name of older versions; the newer one is there as well",
            );
        }
        new.or(old)
    };
    let id = either(["minio.accessKeyID", "minio.accessKey"]);
    let key = either(["minio.secretAccessKey", "minio.secretKey"]);
    let vouched = settings
        .get("minio.useIAM")
        .is_some_and(|value| *value == true || *value == "true");
    match (block.text("secretRef", draft), id, key) {
        (Some(secret), id, key) => {
            secret.carry(draft, TARGET);
            for given in [id, key].into_iter().flatten() {
                given.left(draft, "dependencies.storage.secretRef wins, there as here");
            }
        }
        (None, Some(id), Some(key)) => {
            let path = id.path.clone();
            let name = format!("{}-storage-keys", shape.name);
            draft.note(
                &path,
                format!("both keys are in the Secret {name:?}, which comes with the result"),
            );
            let (id, key) = (id.read(draft), key.read(draft));
            draft.secret(
                &name,
                shape.namespace.as_deref(),
                &[("accesskey", &id), ("secretkey", &key)],
            );
            draft.set(TARGET, name.into(), &path);
        }
        (None, Some(only), None) | (None, None, Some(only)) => only.refuse(
            draft,
            if vouched {
                "an account name without a key cannot be said here; use a Secret with accesskey and secretkey (dependencies.storage.secretRef) instead of useIAM"
            } else {
                "one key without the other; make a Secret with accesskey and secretkey, and name it in dependencies.storage.secretRef"
            },
        ),
        (None, None, None) if vouched => {}
        (None, None, None) => draft.refuse(
            block.at("secretRef"),
            "there are no keys for the store; name a Secret with accesskey and secretkey, or set config.minio.useIAM to true",
        ),
    }
}

/// Settings of an external store that are fields here.
fn external_store(settings: &mut Settings, draft: &mut Draft) {
    if let Some(tls) = settings.take("minio.useSSL").and_then(|g| g.flag(draft)) {
        tls.carry(draft, "spec.dependencies.storage.useSSL");
    }
    if let Some(region) = settings.take("minio.region").and_then(|g| g.text(draft)) {
        region.carry(draft, "spec.dependencies.storage.region");
    }
}

/// Settings that have no meaning, or another one, with a MinIO that the operator runs.
fn own_store(settings: &mut Settings, draft: &mut Draft) {
    if let Some(tls) = settings.take("minio.useSSL").and_then(|g| g.flag(draft)) {
        if tls.value {
            tls.refuse(
                draft,
                "the MinIO that this operator runs speaks no TLS: only its cluster is meant to reach it (on Kubernetes keep others off with a NetworkPolicy); remove it, or use an external store",
            );
        } else {
            tls.same(draft);
        }
    }
    settings.leave(
        "minio.region",
        "a MinIO that the operator runs has no region",
        draft,
    );
    for name in [
        "minio.accessKeyID",
        "minio.secretAccessKey",
        "minio.accessKey",
        "minio.secretKey",
    ] {
        settings.leave(
            name,
            "milvus-operator overwrites it with the keys of the MinIO that it runs, and so does this operator",
            draft,
        );
    }
}
