//! This machine as a host of rotations: copies, managers and observation behind one port.

mod apply;
mod bystanders;
mod check_output;
mod checks;
mod concurrent_scanners;
mod copies;
mod copy_value;
mod deliver;
mod downtime;
mod enumerate;
mod exec_in_place;
mod fetched;
mod file_fingerprint;
mod find;
mod followers;
mod gate;
mod generations;
mod given_out;
mod halves;
mod identity;
mod inside;
mod links;
mod litellm;
mod live;
mod live_containers;
mod live_units;
mod logs;
mod managers;
mod memo;
mod mounts;
mod network;
mod not_loaded;
mod not_seen;
mod pgbouncer_userlist;
mod prints;
mod prove;
mod reads;
mod rehearse;
mod running;
mod scratch_dir;
mod served;
mod session_calls;
mod setup;
mod survey;
mod sweep;
mod undeclared_copies;
mod under_way;
mod unsearched;
mod variables_within;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keyroll_observe::ProcessId;
use keyroll_port::{
    AllowedChanges, Applied, Asked, Failure, Holder, Host, Looked, Prepared, Proved, Proving, RefusedCalls,
    Sessions, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, Incarnation, InstanceIdentity, Reconciled, Seq, Which};
use keyroll_secret::{Fields, FingerprintKey};
use tokio::task::block_in_place;

use memo::{Memo, UnderWay};

pub use checks::wrong_copy;
pub use copies::{copy_carries, copy_carries_all, copy_edited, copy_holds, copy_text};
pub use find::place_digest;
pub use identity::{LOCAL, incarnation, process_of};
pub use prints::{Prints, prints_of};
pub use scratch_dir::{keep_whole, remove_left_copies, remove_own_copies, tidy};
pub use setup::{
    BystanderSetup, CheckSetup, ConsumerSetup, CopySetup, CopySource, FileSetup, GateSetup, LiteLlmSetup,
    LogSetup, SearchLimits, ServedSetup, Setup, SlotSetup,
};

/// This machine. Its calls block their thread, so the runtime must have more than one, and a caller must keep the time
/// limit of a call outside of the call's own task. A call whose caller has stopped waiting runs on to its own limits, and
/// begins nothing new. The calls do not move to threads without a caller, because they borrow the values.
pub struct Local {
    setup: Setup,
    /// The key of the digests of pending changes: a plain digest of a short value could be guessed.
    key: FingerprintKey,
    memo: Mutex<Memo>,
    under_way: UnderWay,
}

impl Local {
    /// This machine with these consumers. `key` is for the digests by which pending changes are remembered.
    pub fn new(setup: Setup, key: FingerprintKey) -> Self {
        Self { setup, key, memo: Mutex::new(Memo::default()), under_way: UnderWay::default() }
    }

    /// A process of this machine, with the program that runs in it now.
    fn incarnation(&self, process: &ProcessId) -> Incarnation {
        incarnation(self.setup.host, process)
    }

    /// A consumer with nothing running.
    fn at_rest(&self, id: ConsumerId) -> Incarnation {
        Incarnation { host: self.setup.host, life: InstanceIdentity::AtRest(id) }
    }

    /// The same with the versions that the consumer is compared with.
    fn with_own_versions<'a>(&'a self, of: Proving<'a>) -> Proving<'a> {
        Proving { values: self.setup.versions_of(of.consumer, of.values), ..of }
    }

    /// After a panic in another call, at worst a check runs once more.
    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Host for Local {
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        block_in_place(|| self.trial_all(values))
    }

    async fn carries(&self, fields: &Fields) -> Result<(), Failure> {
        block_in_place(|| self.carries_all(fields))
    }

    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        block_in_place(|| {
            self.learn(values);
            self.deliver_file(file, which, values, &self.begin(asked)?)
        })
    }

    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Reconciled, Failure> {
        block_in_place(|| {
            self.refuse_under_way(intent)?;
            self.delivered_file(file, which, values, intent)
        })
    }

    async fn before_given_out(
        &self,
        which: Which,
        values: Values<'_>,
        sessions: &Sessions,
    ) -> Result<(), Failure> {
        block_in_place(|| {
            self.learn(values);
            self.note_given_out(which, values, sessions)
        })
    }

    async fn fetch(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        block_in_place(|| {
            self.learn(values);
            self.fetch_for(consumer, which, values, &self.begin(asked)?)
        })
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        block_in_place(|| self.apply_slot(consumer, slot, &self.begin(asked)?, brings))
    }

    async fn await_end(&self, _: Touched, intent: Seq) -> Result<bool, Failure> {
        block_in_place(|| {
            // What this process carries out is not a command that another driver left: it is not ended.
            self.refuse_under_way(intent)?;
            self.end_left(intent)?;
            Ok(false)
        })
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        block_in_place(|| self.enumerate_all(values, sessions, stays))
    }

    async fn prepare(&self, of: Proving<'_>, before: &Sessions) -> Result<Prepared, Failure> {
        let of = self.with_own_versions(of);
        block_in_place(|| {
            self.learn(of.values);
            let seen = self.begin_proof(of, before);
            Ok(self.keep_half(of, seen))
        })
    }

    async fn go(&self, prepared: Prepared, of: Proving<'_>, after: &Sessions) -> Proved {
        let of = self.with_own_versions(of);
        block_in_place(|| {
            self.learn(of.values);
            let evidence = self.end_proof(prepared.number, of, after);
            Proved {
                evidence,
                remarks: self.take_remarks(),
                failing_checks: self.failing_checks(of.consumer),
                downtimes: self.take_downtimes(),
            }
        })
    }

    async fn remove_superseded(&self, values: Values<'_>, asked: Asked) -> Result<(), Failure> {
        block_in_place(|| self.remove_superseded_all(values, &self.begin(asked)?))
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        block_in_place(|| self.describe_holder(who))
    }

    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure> {
        block_in_place(|| self.mark_logs(issuer))
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        block_in_place(|| self.issuer_mark())
    }

    async fn caller(&self, client: SocketAddr) -> Option<Holder> {
        block_in_place(|| self.caller_at(client))
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        let count = block_in_place(|| self.count_refusals())?;
        Ok(RefusedCalls { count, remarks: self.take_remarks() })
    }

    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure> {
        block_in_place(|| self.sweep_all(values))
    }
}
