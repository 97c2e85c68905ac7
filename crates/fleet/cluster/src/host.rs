//! A namespace of a cluster as a host: its consumers are pods, its files are keys of Secrets.
//!
//! Invariants, by what is absent: nothing runs in a container of the cluster's programs, and no log is read; a Secret that
//! another controller writes is not written; no value is written anywhere but into a Secret; a pod gives evidence only once
//! its roll-out is done.

mod api;
mod apply;
mod canary;
mod compose;
#[cfg(test)]
mod conformance_tests;
mod content;
mod deliver;
#[cfg(test)]
mod drawn_tests;
mod enumerate;
mod evidence;
#[cfg(test)]
mod fault_tests;
mod foreign;
#[cfg(test)]
mod foreign_tests;
mod memo;
mod object;
mod own;
mod probe;
mod probe_job;
mod probe_result;
mod refresh;
mod rolled_out;
#[cfg(test)]
mod sample;
mod seen;
mod setup;
#[cfg(test)]
mod shop;
mod survey;
mod sync;
mod template;
mod trial;
mod versioned;
#[cfg(test)]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_kube::{Address, Cluster, connect};
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, Clock, CopySeen, Failure, Holder, Host, Looked, PendingChanges,
    Prepared, Proved, Proving, RefusedCalls, Sessions, Survey, Surveying, Surveyor, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, Reconciled, Seq, Which};
use keyroll_secret::{Fields, FingerprintKey};
use tokio::sync::OnceCell;

use self::api::Api;
pub use self::compose::ClusterComposition;
pub use self::content::content;
use self::memo::Memo;
pub use self::setup::{ClusterSetup, KeySetup, PodsSetup};

/// A namespace of a cluster that a rotation is driven on. It speaks its own numbers and calls itself host 0.
pub struct ClusterHost {
    address: Address,
    setup: ClusterSetup,
    /// Makes digests of places, and the names of versions.
    key: FingerprintKey,
    clock: Arc<dyn Clock>,
    /// It is connected when it is first asked.
    cluster: OnceCell<Cluster>,
    memo: Mutex<Memo>,
    /// The uid of the Secret of each key, as it was read first: one of another uid was made anew.
    uids: Mutex<BTreeMap<FileId, String>>,
    /// What Preflight could not try, one sentence each.
    untried: Mutex<BTreeSet<String>>,
}

impl ClusterHost {
    /// The namespace at this address, whose login is trusted. Nothing is sent yet.
    pub fn new(address: Address, setup: ClusterSetup, key: FingerprintKey, clock: Arc<dyn Clock>) -> Self {
        Self {
            address,
            setup,
            key,
            clock,
            cluster: OnceCell::new(),
            memo: Mutex::default(),
            uids: Mutex::default(),
            untried: Mutex::default(),
        }
    }

    /// The connection.
    async fn cluster(&self) -> Result<&Cluster, Failure> {
        self.cluster.get_or_try_init(|| connect(&self.address)).await
    }

    /// For requests.
    async fn api(&self) -> Result<Api<'_>, Failure> {
        Ok(Api { cluster: self.cluster().await?, untried: &self.untried })
    }

    /// What earlier calls saw. After a panic in another call it is what it was.
    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The setup of a key.
    fn key_setup(&self, id: FileId) -> Result<&KeySetup, Failure> {
        self.setup.key(id).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::PlanStale, format!("find file {} of the plan", id.0))
                .because("the cluster was not told of it")
        })
    }

    /// The setup of a consumer.
    fn pods_setup(&self, id: ConsumerId) -> Result<&PodsSetup, Failure> {
        self.setup.consumer(id).ok_or_else(|| {
            Failure::new(Class::Permanent, Code::PlanStale, format!("find consumer {} of the plan", id.0))
                .because("the cluster was not told of it")
        })
    }

    /// What keyroll writes beside an effect: which rotation and which intent it is of.
    fn stamp(&self, intent: Seq) -> String {
        format!("{}/{intent}", self.setup.rotation)
    }

    /// The time limit of one consumer, milliseconds.
    fn unit_ms_max(&self) -> u64 {
        u64::try_from(self.setup.unit_time_max.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether an effect may still begin.
    fn may_begin(&self, asked: Asked, attempted: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.clock.monotonic_ms() < asked.until_ms {
            return Ok(());
        }
        let failure = Failure::new(Class::Retryable, Code::Stopped, attempted());
        Err(failure.because("its time was over before it began"))
    }
}

#[async_trait]
impl Host for ClusterHost {
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        self.try_keys(values).await
    }

    async fn carries(&self, fields: &Fields) -> Result<(), Failure> {
        self.setup.key_ids().try_for_each(|(_, key)| self.carries_key(key, fields))
    }

    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        self.remember_versions(values);
        self.deliver_key(file, which, values, asked).await?;
        self.refresh_pods(file, asked.intent).await;
        Ok(())
    }

    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        _intent: Seq,
    ) -> Result<Reconciled, Failure> {
        self.remember_versions(values);
        self.delivered_key(file, which, values).await
    }

    async fn remove_superseded(&self, values: Values<'_>, asked: Asked) -> Result<(), Failure> {
        self.remove_all_probes().await?;
        if self.setup.consumers.iter().any(|pods| pods.canary) {
            self.may_begin(asked, || "end what was moved first".to_owned())?;
            self.remove_canaries().await?;
        }
        self.remove_versions(values, asked).await
    }

    async fn fetch(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        self.remember_versions(values);
        self.sync(consumer, which, values, asked).await?;
        let file = self.pods_setup(consumer)?.file;
        self.refresh_pods(file, asked.intent).await;
        Ok(())
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        self.roll_out((consumer, slot), asked, brings).await
    }

    async fn await_end(&self, of: Touched, intent: Seq) -> Result<bool, Failure> {
        match of {
            Touched::Consumer(consumer) => self.is_rolled_by(consumer, intent).await,
            // A request is over when its answer came, or never will: nothing of it goes on.
            Touched::File(_) | Touched::All => Ok(false),
        }
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        self.remember_versions(values);
        self.look(values, sessions, stays).await
    }

    async fn prepare(&self, of: Proving<'_>, _before: &Sessions) -> Result<Prepared, Failure> {
        self.remember_versions(of.values);
        Ok(self.begin_evidence(of).await)
    }

    async fn go(&self, prepared: Prepared, of: Proving<'_>, _after: &Sessions) -> Proved {
        self.end_evidence(prepared, of)
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        self.memo().described.get(&who).cloned()
    }

    /// No log is read in a cluster.
    async fn watch_refusals(&self, _issuer: Option<&str>) -> Result<(), Failure> {
        Ok(())
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        Ok(RefusedCalls::default())
    }

    /// A connection that was refused has ended, and an address alone does not show which pod had it then.
    async fn caller(&self, _client: SocketAddr) -> Option<Holder> {
        None
    }

    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure> {
        self.remove_all_probes().await?;
        self.remove_canaries().await?;
        self.sweep_namespace(values).await
    }
}

#[async_trait]
impl Surveyor for ClusterHost {
    async fn survey(&self, of: Surveying<'_>) -> Result<Survey, Failure> {
        self.remember_versions(of.values);
        self.survey_namespace(of).await
    }

    async fn copies(&self, values: Values<'_>) -> Vec<CopySeen> {
        self.copies_seen(values).await
    }

    async fn live(&self) -> PendingChanges {
        self.pending_changes().await
    }
}
