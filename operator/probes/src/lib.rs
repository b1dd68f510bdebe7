//! Wire checks over a [`milvus_platform::Dial`]: etcd, MinIO and S3, ZooKeeper, BookKeeper, Pulsar, Kafka, Milvus, and the client
//! endpoint. This room asks and reports; it judges nothing, and writes nothing but a cluster's mark where the planner asks for that.
//! Every question has a time-out.

mod ask;
mod bookies;
mod client_tls;
mod etcd;
mod external;
mod http;
mod kafka;
mod marks;
mod pass;
mod s3;
mod scram;
mod sessions;
mod tls;

pub use ask::{Question, ask};
pub use external::{ExternalAnswers, Via, Watched};
pub use marks::{Marking, mark};
pub use pass::{ProbeMemory, Ways, probe};
