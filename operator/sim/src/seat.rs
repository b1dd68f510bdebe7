//! Where an operator sits: a world and a store behind the seams of the shipped pass, for the time of one pass.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use milvus_core::action::Plan;
use milvus_core::check::{check, check_deletion};
use milvus_core::desired::Desired;
use milvus_core::names::ClusterKey;
use milvus_core::observed::Observed;
use milvus_core::plan::{DeletionInput, PlanInput};
use milvus_core::probe::{ProbeFailure, ProbeId, ProbeResult};
use milvus_core::validate::GeneratedSecretKind;
use milvus_operator::{Clock, Credentials, Fence, GatherError, Judge, Seams, Wire};
use milvus_platform::Dial;
use milvus_probes::{Marking, ProbeMemory, Ways};
use tokio::time::Instant;

use crate::store::Store;
use crate::world::{Options, World};

/// What an operator works on.
pub(crate) struct Seated {
    pub(crate) world: World,
    pub(crate) store: Store,
    /// What the present pass wants.
    pub(crate) desired: Option<Desired>,
    /// The operator has been killed.
    pub(crate) dead: bool,
    /// It leads, as far as the store knows.
    pub(crate) leads: bool,
}

/// A seat. Its clones are the same one.
#[derive(Clone)]
pub(crate) struct Seat {
    seated: Arc<Mutex<Seated>>,
    /// Where the clock that never goes back begins.
    began: (Instant, Timestamp),
}

impl Seat {
    pub(crate) fn new(now: Timestamp) -> Self {
        let nothing = Options {
            nodes: 0,
            ..Options::default()
        };
        let seated = Seated {
            world: World::new(nothing),
            store: Store::default(),
            desired: None,
            dead: false,
            leads: true,
        };
        Self {
            seated: Arc::new(Mutex::new(seated)),
            began: (Instant::from_std(std::time::Instant::now()), now),
        }
    }

    /// Another seat with the same time on its clock.
    pub(crate) fn apart(&self) -> Self {
        Self {
            began: self.began,
            ..Self::new(self.began.1)
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Seated> {
        self.seated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a world and a store on the seat, and what was on it into their place.
    pub(crate) fn swap(&self, world: &mut World, store: &mut Store) {
        let seated = &mut *self.lock();
        std::mem::swap(&mut seated.world, world);
        std::mem::swap(&mut seated.store, store);
        seated.desired = None;
        seated.dead = false;
    }

    /// Comes back unless the operator dies here, after something was written.
    pub(crate) async fn survive(&self) {
        let dies = {
            let seated = &mut *self.lock();
            match seated.world.faults.crash_after {
                None => false,
                Some(0) => {
                    seated.world.faults.crash_after = None;
                    seated.dead = true;
                    true
                }
                Some(left) => {
                    seated.world.faults.crash_after = Some(left - 1);
                    false
                }
            }
        };
        if dies {
            std::future::pending().await
        }
    }

    pub(crate) fn seams(&self) -> Seams {
        Seams {
            clock: Arc::new(self.clone()),
            wire: Arc::new(self.clone()),
            credentials: Arc::new(Given),
            judge: Some(Arc::new(self.clone())),
            fence: Some(Arc::new(self.clone())),
        }
    }
}

impl Clock for Seat {
    fn now(&self) -> Timestamp {
        self.lock().world.now
    }

    fn instant(&self) -> Instant {
        let (instant, began) = self.began;
        let passed = self.now().duration_since(began);
        instant + passed.unsigned_abs()
    }
}

impl Wire for Seat {
    fn ask<'a>(
        &'a self,
        _: &'a Ways<'a>,
        desired: &'a Desired,
        observed: &'a Observed,
        _: &'a [String],
        _: &'a mut ProbeMemory,
    ) -> BoxFuture<'a, BTreeMap<ProbeId, ProbeResult>> {
        let answers = self.lock().world.probe(desired, observed);
        async move { answers }.boxed()
    }

    fn mark<'a>(
        &'a self,
        _: &'a dyn Dial,
        marking: &'a Marking<'a>,
    ) -> BoxFuture<'a, Result<(), ProbeFailure>> {
        let uid = &marking.desired.cluster.uid;
        let world = &mut self.lock().world;
        let marked = world.mark(uid, marking.component, marking.text);
        async move { marked }.boxed()
    }
}

impl Fence for Seat {
    fn confirm(&self) -> BoxFuture<'_, Result<(), String>> {
        let leads = self.lock().leads;
        let answer = leads.then_some(()).ok_or("another operator leads");
        async move { answer.map_err(str::to_owned) }.boxed()
    }
}

impl Judge for Seat {
    fn plan(&self, plan: &Plan, input: &PlanInput<'_>) {
        let found = check(plan, input);
        self.lock().world.violations.extend(found);
    }

    fn deletion(&self, plan: &Plan, input: &DeletionInput<'_>) {
        let found = check_deletion(plan, input);
        self.lock().world.violations.extend(found);
    }
}

/// The same credentials in every run, so that runs can be compared.
struct Given;

impl Credentials for Given {
    fn generate(
        &self,
        _: &ClusterKey,
        kind: &GeneratedSecretKind,
    ) -> Result<BTreeMap<String, Vec<u8>>, GatherError> {
        let content: &[(&str, &str)] = match kind {
            GeneratedSecretKind::MinioCredentials => &[
                ("accesskey", "generated-access-key"),
                ("secretkey", "generated-secret-key"),
            ],
            GeneratedSecretKind::FingerprintKey => &[("fingerprint.key", "key of the tests")],
            GeneratedSecretKind::GatewayPki => &[
                ("ca.crt", "authority\n"),
                ("tls.crt", "certificate\n"),
                ("tls.key", "key\n"),
                ("client.crt", "client certificate\n"),
                ("client.key", "client key\n"),
                ("fingerprint.key", "key of the tests"),
            ],
        };
        let content = content.iter();
        Ok(content
            .map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()))
            .collect())
    }
}
