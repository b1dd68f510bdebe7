//! Lives of the operator: the pass that ships, over a world and a store in memory. It may be killed after any write.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use milvus_core::names::ClusterKey;
use milvus_operator::{
    Context, Home, Ledgers, Memory, Metrics, Namespaces, PASS_INTERVAL, Resources, SecretVersions,
    Turns,
};
use milvus_probes::ExternalAnswers;
use tokio::runtime::Runtime;

use crate::render::Native;
use crate::seat::Seat;
use crate::store::Store;
use crate::world::World;

/// Where no resource is, the next look comes after this.
const REST: Duration = Duration::from_secs(15);

thread_local! {
    /// Passes run to their end without waiting: the time of the runtime stands still, that of the world is the test's.
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// One life of the operator. Starting anew is [`Operator::default`].
#[derive(Default)]
pub struct Operator {
    life: Option<Life>,
}

/// What there is between the start of an operator and its end.
struct Life {
    seat: Seat,
    context: Context<Seat, Seat>,
    memory: Memory<Native>,
    failures: u32,
}

/// What came of one pass.
#[derive(Debug, Default)]
pub struct PassReport {
    /// Killed in the middle.
    pub crashed: bool,
    /// What went wrong.
    pub failure: Option<String>,
    /// When to look again.
    pub next: Duration,
}

impl Clone for Operator {
    /// The same memory in a life of its own.
    fn clone(&self) -> Self {
        let life = self.life.as_ref().and_then(|life| {
            let seat = life.seat.apart();
            Some(Life {
                context: context(&seat)?,
                seat,
                memory: life.memory.clone(),
                failures: life.failures,
            })
        });
        Self { life }
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator").finish_non_exhaustive()
    }
}

fn context(seat: &Seat) -> Option<Context<Seat, Seat>> {
    let resources = Resources::default();
    resources.set_listed();
    Some(Context {
        client: seat.clone(),
        backend: seat.clone(),
        metrics: Metrics::new().ok()?,
        resources,
        secrets: SecretVersions::default(),
        ledgers: Ledgers::new(seat.clone(), Home::System),
        namespaces: Namespaces::default(),
        gateway_image: "milvus-operator:test".to_owned(),
        turns: Turns::default(),
        external: ExternalAnswers::default(),
        seams: seat.seams(),
    })
}

impl Life {
    fn new(now: jiff::Timestamp) -> Option<Self> {
        let seat = Seat::new(now);
        Some(Self {
            context: context(&seat)?,
            seat,
            memory: Memory::of(String::new()),
            failures: 0,
        })
    }

    /// One pass; `None` when the operator was killed in it.
    async fn pass(&mut self, resource: Arc<milvus_crds::MilvusCluster>) -> Option<PassReport> {
        let meta = &resource.metadata;
        let key = ClusterKey::new(
            meta.namespace.clone().unwrap_or_default(),
            meta.name.clone().unwrap_or_default(),
        );
        self.context.resources.put(key.clone(), resource.clone());
        let mut turn = self.context.turns.pass().await;
        let pass =
            milvus_operator::pass(&self.context, &key, resource, &mut self.memory, &mut turn);
        let mut pass = pin!(pass);
        let result = std::future::poll_fn(|cx| match pass.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if self.seat.lock().dead => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        Some(match result {
            Ok(next) => {
                self.failures = 0;
                PassReport {
                    next: next.max(PASS_INTERVAL),
                    ..PassReport::default()
                }
            }
            Err(error) => {
                self.failures += 1;
                PassReport {
                    failure: Some(error.to_string()),
                    next: error.pause(self.failures),
                    ..PassReport::default()
                }
            }
        })
    }
}

impl Operator {
    /// One pass over the one resource.
    pub fn pass(&mut self, world: &mut World, store: &mut Store) -> PassReport {
        store.mirror();
        let resting = PassReport {
            next: REST,
            ..PassReport::default()
        };
        let Some(resource) = store.resource.clone() else {
            return resting;
        };
        if self.life.is_none() {
            self.life = Life::new(world.now);
        }
        let Some(life) = &mut self.life else {
            return resting;
        };
        // The watches show what there is; what they lack is a fault of its own.
        life.context.secrets.replace(None, store.secret_versions());
        let key = milvus_core::validate::identity(&resource).key;
        life.context
            .resources
            .show_ledger(&key, store.ledger_version());
        life.seat.swap(world, store);
        let report = block_on(life.pass(Arc::new(resource)));
        life.seat.swap(world, store);
        report.flatten().unwrap_or(PassReport {
            crashed: true,
            ..PassReport::default()
        })
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> Option<T> {
    RUNTIME.with_borrow_mut(|runtime| {
        if runtime.is_none() {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            *runtime = builder.enable_time().start_paused(true).build().ok();
        }
        runtime.as_ref().map(|runtime| runtime.block_on(future))
    })
}
