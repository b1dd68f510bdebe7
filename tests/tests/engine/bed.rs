//! A Swarm to try things on.

use crate::fixtures::desired;
use milvus_core::action::{Action, CreateCause, RemoveCause};
use milvus_core::component::{Component, WorkloadKey};
use milvus_core::desired::Desired;
use milvus_core::names::ClusterRef;
use milvus_core::observed::{InstanceState, Observed, Owner};
use milvus_core::outline::{ObjectClass, ObjectId};
use milvus_platform::{Backend, Class, PlatformError, Rendered};
use milvus_swarm::api::Engine;
use milvus_swarm::render::Native;
use milvus_swarm::{Settings, SwarmBackend};
use milvus_tests::testbed::Testbed;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The Swarm that all tests share: three managers.
pub fn testbed() -> &'static Testbed {
    static BED: OnceLock<Testbed> = OnceLock::new();
    BED.get_or_init(|| {
        let name = std::env::var("TESTBED_NAME").unwrap_or_else(|_| "test".to_owned());
        Testbed::up(&name, 3, 0)
    })
}

/// The gateway's image, which every node has.
pub fn gateway_image() -> String {
    milvus_tests::prepared("MILVUS_TEST_GATEWAY_IMAGE")
}

pub struct Bed {
    pub backend: SwarmBackend,
    pub host: String,
    pub nodes: Vec<String>,
}

impl Bed {
    pub async fn open() -> Self {
        let host = testbed().docker().host();
        let engine = Engine::connect(&host).await.unwrap();
        let backend = SwarmBackend::new(engine, Settings::new(gateway_image()));
        let topology = backend.topology().await.unwrap();
        let nodes: Vec<String> = topology.nodes.iter().map(|n| n.id.clone()).collect();
        assert_eq!(nodes.len(), 3, "three nodes are needed: {topology:?}");
        Self {
            backend,
            host,
            nodes,
        }
    }

    pub fn desired(&self, cluster: ClusterRef) -> Desired {
        let nodes: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        desired(cluster, &nodes)
    }

    pub async fn create_all(&self, rendered: &Rendered<Native>) -> usize {
        let mut wrote = 0;
        for class in [ObjectClass::Prerequisite, ObjectClass::Workload] {
            for (id, outline) in &rendered.outline {
                if outline.class == class {
                    let action = Action::Create {
                        id: id.clone(),
                        cause: CreateCause::New,
                    };
                    let outcome = self
                        .backend
                        .apply(&rendered.cluster, &action, Some(rendered))
                        .await
                        .unwrap();
                    wrote += usize::from(outcome.wrote);
                }
            }
        }
        wrote
    }

    /// Puts an object right. Where the engine was faster with a change of its own (the end of a rollout), it is looked at
    /// anew, as the operator does.
    pub async fn update(
        &self,
        rendered: &Rendered<Native>,
        id: &ObjectId,
        observed: &Observed,
    ) -> Result<bool, PlatformError> {
        let mut object = observed.objects[id].clone();
        for _ in 0..20 {
            let difference = object.difference.clone().unwrap();
            let action = Action::update(id, &object, &difference);
            let outcome = self
                .backend
                .apply(&rendered.cluster, &action, Some(rendered))
                .await;
            match outcome {
                Err(error) if error.class == Class::Conflict => println!("again: {error}"),
                outcome => return Ok(outcome?.wrote),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
            let observed = self.backend.observe(&rendered.cluster, Some(rendered));
            object = observed.await?.objects[id].clone();
        }
        panic!("{id} is never in the state in which it was seen");
    }

    pub async fn wait(
        &self,
        rendered: &Rendered<Native>,
        what: &str,
        done: impl Fn(&Observed) -> bool,
    ) -> Observed {
        let start = Instant::now();
        loop {
            let observed = self
                .backend
                .observe(&rendered.cluster, Some(rendered))
                .await
                .unwrap();
            if done(&observed) {
                println!("{what}: {:?}", start.elapsed());
                return observed;
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{what}: {observed:#?}"
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub async fn remove_all(&self, cluster: &ClusterRef) {
        let start = Instant::now();
        loop {
            let observed = self.backend.observe(cluster, None).await.unwrap();
            let mut objects: Vec<_> = observed
                .objects
                .iter()
                .filter(|(_, o)| o.owner != Owner::Foreign)
                .collect();
            if objects.is_empty() && !observed.instances.iter().any(|i| i.state.may_run()) {
                return;
            }
            objects.sort_by_key(|(_, o)| o.class == ObjectClass::Prerequisite);
            for (id, object) in objects {
                let action = Action::remove(id, object, RemoveCause::Deleted);
                if let Err(error) = self.backend.apply(cluster, &action, None).await {
                    let passes = matches!(error.class, Class::Transient | Class::Conflict);
                    assert!(passes, "{error}");
                }
            }
            assert!(start.elapsed() < Duration::from_secs(60), "{observed:#?}");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    pub fn docker(&self, args: &[&str]) -> String {
        let output = std::process::Command::new("docker")
            .args(["-H", &self.host])
            .args(args)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "docker {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

pub fn service(rendered: &Rendered<Native>, key: WorkloadKey) -> ObjectId {
    ObjectId::new("service", rendered.cluster.key.workload(key))
}

pub fn running(observed: &Observed, component: Component) -> usize {
    observed
        .instances
        .iter()
        .filter(|i| {
            i.workload.component == component
                && i.wanted
                && i.current
                && i.state == InstanceState::Running
        })
        .count()
}

pub fn up(observed: &Observed) -> bool {
    running(observed, Component::Etcd) == 3
        && running(observed, Component::Proxy) == 2
        && running(observed, Component::Gateway) == 3
        && observed.instances.iter().any(|i| {
            i.workload.component == Component::PulsarInit && i.state == InstanceState::Complete
        })
}

pub fn quiet(observed: &Observed) -> bool {
    observed
        .objects
        .values()
        .all(|o| o.difference.is_none() && !o.updating)
}
