//! Wire checks over a [`milvus_platform::Dial`]: etcd, MinIO and S3, ZooKeeper, BookKeeper, Pulsar, Milvus, and the client
//! endpoint. This room asks and reports; it judges nothing and writes nothing. Every question has a time-out.

mod ask;
mod bookies;
mod external;
mod http;
mod pass;
mod s3;
mod sessions;

pub use ask::{Question, ask};
pub use external::{ExternalAnswers, Via, Watched};
pub use pass::{ProbeMemory, Ways, probe};
