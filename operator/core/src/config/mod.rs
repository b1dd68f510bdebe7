//! The files that processes read: milvus.yaml's user layer, and the configuration of the dependencies. Pure text.
//!
//! Precedence in milvus.yaml, lowest first: what the operator proposes, what components need (standby), what the user writes in
//! `spec.config`, and what must be so for the cluster to hang together (addresses, credentials, the queue's kind). The last
//! kind cannot be overridden: validation refuses it in `spec.config` with its path, so nothing of the user's is ever dropped.

pub(crate) mod milvus;
pub(crate) mod properties;
pub(crate) mod pulsar;
pub(crate) mod settings;
pub(crate) mod yaml;
