//! What this operator's own validation says to a conversion's result, on every platform, without any of them. Pure.

use std::collections::BTreeMap;

use milvus_crds::MilvusCluster;

use super::{Conversion, Level, Remark};
use crate::capabilities::Capabilities;
use crate::facts::{Facts, SecretData};
use crate::validate::{
    GeneratedSecretKind, Violation, certificate_keys, generated_secrets_needed, secrets_referenced,
    validate,
};

impl Conversion {
    /// Validates the result on the given platforms. What none of them can honour refuses the document; what one of them
    /// cannot is a note, as long as another one can.
    pub fn check(&mut self, platforms: &[&Capabilities]) {
        let Some(cluster) = &self.cluster else {
            return;
        };
        let verdicts: Vec<(&str, Vec<Violation>)> = platforms
            .iter()
            .map(|capabilities| {
                let facts = assumed(cluster, capabilities);
                let violations = validate(cluster, &facts, capabilities).err();
                (capabilities.platform, violations.unwrap_or_default())
            })
            .collect();
        let nowhere = !verdicts.is_empty() && verdicts.iter().all(|(_, said)| !said.is_empty());
        let everywhere: Vec<Violation> = verdicts.first().map_or(Vec::new(), |(_, first)| {
            first
                .iter()
                .filter(|v| verdicts.iter().all(|(_, said)| said.contains(v)))
                .cloned()
                .collect()
        });
        for violation in &everywhere {
            self.refuse(violation.field.clone(), violation.message.clone());
        }
        for (platform, said) in verdicts {
            for violation in said.into_iter().filter(|v| !everywhere.contains(v)) {
                let message = format!("on {platform} only: {}", violation.message);
                if nowhere && everywhere.is_empty() {
                    self.refuse(violation.field, message);
                } else {
                    let mut remark = Remark {
                        path: violation.field,
                        level: Level::Note,
                        message,
                    };
                    if let Some(origin) = self.origin(&remark.path) {
                        remark.message.push_str(&format!(" (from {origin})"));
                    }
                    self.remarks.push(remark);
                }
            }
        }
    }
}

/// Secrets that are as they should be.
fn assumed(cluster: &MilvusCluster, capabilities: &Capabilities) -> Facts {
    const STAND_IN: &[u8] = b"offline-stand-in";
    const NAMED: [&str; 7] = [
        "accesskey",
        "secretkey",
        "username",
        "password",
        "ca.crt",
        "tls.crt",
        "tls.key",
    ];
    let content = |keys: &[&str]| {
        let entries = keys
            .iter()
            .map(|key| ((*key).to_owned(), STAND_IN.to_vec()));
        SecretData(entries.collect())
    };
    let mut secrets: BTreeMap<String, SecretData> = secrets_referenced(cluster)
        .into_iter()
        .map(|(name, _)| (name, content(&NAMED)))
        .collect();
    for (name, key) in certificate_keys(&cluster.spec) {
        if let Some(secret) = secrets.get_mut(&name) {
            secret.0.insert(key, STAND_IN.to_vec());
        }
    }
    for generated in generated_secrets_needed(cluster, capabilities) {
        let keys: &[&str] = match generated.kind {
            GeneratedSecretKind::MinioCredentials => &["accesskey", "secretkey"],
            GeneratedSecretKind::FingerprintKey => &["fingerprint.key"],
            GeneratedSecretKind::GatewayPki => &[
                "ca.crt",
                "ca.key",
                "tls.crt",
                "tls.key",
                "client.crt",
                "client.key",
                "fingerprint.key",
            ],
        };
        secrets.insert(generated.name, content(keys));
    }
    Facts {
        secrets,
        fingerprint_key: STAND_IN.to_vec(),
        gateway_image: "milvus-gateway".to_owned(),
        // No machines: what a platform has room for is not the question here.
        ..Facts::default()
    }
}
