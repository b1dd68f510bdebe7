//! Lives of the operator: the pass that ships, over a world and a store in memory. It may be killed after any write.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use milvus_core::names::ClusterKey;

use milvus_crds::MilvusCluster;
use milvus_operator::{
    Context, Home, Ledgers, Memory, Metrics, Namespaces, PASS_INTERVAL, Resources, SecretVersions,
    Turns,
};
use milvus_probes::ExternalAnswers;
use rand::Rng;
use tokio::runtime::Runtime;

use crate::render::Native;
use crate::seat::Seat;
use crate::store::{Lag, Store};
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
    /// Another has taken its place, and it has not ended yet.
    superseded: bool,
}

/// What there is between the start of an operator and its end.
struct Life {
    seat: Seat,
    context: Context<Seat, Seat>,
    workers: BTreeMap<ClusterKey, Worker>,
}

/// What looks after one cluster.
#[derive(Clone)]
struct Worker {
    memory: Memory<Native>,
    failures: u32,
    /// What the watches showed to the pass before.
    shown: Option<Shown>,
}

impl Default for Worker {
    fn default() -> Self {
        Self {
            memory: Memory::of(String::new()),
            failures: 0,
            shown: None,
        }
    }
}

/// What the watches show.
#[derive(Clone)]
struct Shown {
    resource: MilvusCluster,
    ledger: Option<String>,
    secrets: BTreeMap<(String, String), String>,
}

impl Shown {
    /// What there is.
    fn of(store: &Store) -> Option<Self> {
        Some(Self {
            resource: store.resource.clone()?,
            ledger: store.ledger_version(),
            secrets: store.secret_versions(),
        })
    }

    /// Where a watch is behind, it shows what it showed before.
    fn behind(self, before: Option<Self>, lag: Lag, rng: &mut impl Rng) -> Self {
        let mut lags = |percent| percent > 0 && rng.random_range(0..100) < percent;
        let lags = (lags(lag.resource), lags(lag.ledger), lags(lag.secrets));
        let Some(before) = before else {
            return self;
        };
        Self {
            resource: if lags.0 {
                before.resource
            } else {
                self.resource
            },
            ledger: if lags.1 { before.ledger } else { self.ledger },
            secrets: if lags.2 { before.secrets } else { self.secrets },
        }
    }
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
                workers: life.workers.clone(),
            })
        });
        Self {
            life,
            superseded: self.superseded,
        }
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
            workers: BTreeMap::new(),
        })
    }

    /// One pass; `None` when the operator was killed in it.
    async fn pass(&mut self, key: ClusterKey, resource: Arc<MilvusCluster>) -> Option<PassReport> {
        self.context.resources.put(key.clone(), resource.clone());
        let worker = self.workers.entry(key.clone()).or_default();
        let mut turn = self.context.turns.pass().await;
        let memory = &mut worker.memory;
        let pass = milvus_operator::pass(&self.context, &key, resource, memory, &mut turn);
        let mut pass = pin!(pass);
        let result = std::future::poll_fn(|cx| match pass.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(Some(result)),
            Poll::Pending if self.seat.lock().dead => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        Some(match result {
            Ok(next) => {
                worker.failures = 0;
                PassReport {
                    next: next.max(PASS_INTERVAL),
                    ..PassReport::default()
                }
            }
            Err(error) => {
                worker.failures += 1;
                PassReport {
                    failure: Some(error.to_string()),
                    next: error.pause(worker.failures),
                    ..PassReport::default()
                }
            }
        })
    }
}

impl Operator {
    /// Another operator has taken over. From now on this one takes nothing down and writes no ledger, whatever it had begun.
    pub fn supersede(&mut self) {
        self.superseded = true;
    }

    /// One pass over the resource of a store. Those of other stores are known to it from their own passes.
    pub fn pass(&mut self, world: &mut World, store: &mut Store) -> PassReport {
        store.mirror();
        let resting = PassReport {
            next: REST,
            ..PassReport::default()
        };
        let Some(shown) = Shown::of(store) else {
            return resting;
        };
        if self.life.is_none() {
            self.life = Life::new(world.now);
        }
        let Some(life) = &mut self.life else {
            return resting;
        };
        let key = milvus_core::validate::identity(&shown.resource).key;
        let worker = life.workers.entry(key.clone()).or_default();
        let shown = shown.behind(worker.shown.take(), store.lag, &mut world.rng);
        worker.shown = Some(shown.clone());
        life.context.secrets.replace(None, shown.secrets);
        life.context.resources.show_ledger(&key, shown.ledger);
        let (written, recorded) = (world.writes.len(), store.ledger_writes);
        life.seat.swap(world, store);
        life.seat.lock().leads = !self.superseded;
        let report = block_on(life.pass(key, Arc::new(shown.resource)));
        life.seat.swap(world, store);
        if self.superseded {
            let acts = world.writes.iter().skip(written);
            let acts = acts.map(|write| &write.action).filter(|a| a.takes_down());
            let acts: Vec<String> = acts.map(|action| format!("{action:?}")).collect();
            if !acts.is_empty() || store.ledger_writes != recorded {
                let wrote = store.ledger_writes - recorded;
                world.violations.push(format!(
                    "an operator that was superseded wrote {wrote} ledgers and did {acts:?}"
                ));
            }
        }
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
