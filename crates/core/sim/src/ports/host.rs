use std::net::SocketAddr;

use async_trait::async_trait;
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, Evidence, Failure, Holder, Host, Looked, Prepared, Probe, Probing,
    Proved, Proving, RefusedCalls, Session, Sessions, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, HostId, Incarnation, Reconciled, Refusals, Seq, Which};
use keyroll_secret::Fields;

use super::{DECOY, Port, failure, mistaken, number, outcome, scope};
use crate::calls::{Call, CallResult};
use crate::issuer::{OLD, OWN, Value};
use crate::scene::Family;

impl Port {
    /// The value of a version; where the consumers have a key of their own, the host knows that one.
    fn value(&self, which: Which, values: Values<'_>) -> Option<Value> {
        match which {
            Which::Old => Some(OLD),
            Which::New if self.family == Family::End => Some(OWN),
            Which::New => values.new.and_then(number),
        }
    }

    /// Refuses to begin an effect after its time limit, which goes with it.
    fn in_time(&self, asked: Asked) -> Result<(), Failure> {
        let mut run = self.run();
        if run.world.mono() >= asked.until_ms {
            return Err(failure(Class::Retryable));
        }
        if let Some(it) = scope().and_then(|at| run.scopes.get_mut(at)) {
            it.until_ms = asked.until_ms;
        }
        Ok(())
    }

    /// What is asked of all hosts fails if one is away that the protocol does not leave out.
    fn all_answer(&self) -> Result<(), Failure> {
        let run = self.run();
        let left_out = run.slots.get(self.slot).map(|slot| slot.may_be_away.as_slice()).unwrap_or_default();
        let all = run.world.absent().iter().all(|host| left_out.contains(host));
        if all { Ok(()) } else { Err(failure(Class::Retryable)) }
    }

    /// The calls of this action to the issuer leave from this host.
    fn asks_from(&self, host: HostId) {
        let mut run = self.run();
        if let Some(asked) = scope().and_then(|at| run.scopes.get_mut(at)) {
            asked.from = host;
        }
    }

    async fn evidence(&self, of: Proving<'_>, sessions: &Sessions) -> Result<Evidence, Failure> {
        let Proving { consumer, slot, which, values, watched } = of;
        let value = self.value(which, values);
        let mut others = None;
        if self.capabilities.sessions {
            let other = if which == Which::New { &sessions.old } else { &sessions.new };
            others = Some(pids(other.as_deref().unwrap_or_default()));
        }
        match outcome(self.call(Call::Prove { consumer, slot, which, value, others, watched }).await)? {
            CallResult::Proved(proofs, against) => Ok(Evidence { proofs, against }),
            _ => mistaken(),
        }
    }
}

fn pids(sessions: &[Session]) -> Vec<u32> {
    sessions.iter().filter_map(|session| session.pid).collect()
}

#[async_trait]
impl Host for Port {
    async fn trial(&self, _: Values<'_>) -> Result<Vec<Failure>, Failure> {
        self.all_answer()?;
        self.act(Call::Trial).await.map(|()| Vec::new())
    }

    fn may_be_away(&self, hosts: &[HostId]) {
        if let Some(slot) = self.run().slots.get_mut(self.slot) {
            slot.may_be_away = hosts.to_vec();
        }
    }

    async fn call_from(&self, host: HostId, call: Probing<'_>) -> Probe {
        self.asks_from(host);
        let answer = call.await;
        self.asks_from(HostId(0));
        answer
    }

    async fn carries(&self, fields: &Fields) -> Result<(), Failure> {
        self.all_answer()?;
        self.act(Call::Carries(number(fields).unwrap_or(DECOY))).await
    }

    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        self.in_time(asked)?;
        let (goal, new) = (self.value(which, values), self.value(Which::New, values));
        self.act(Call::Deliver { file, goal, new }).await
    }

    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        _: Seq,
    ) -> Result<Reconciled, Failure> {
        let (goal, new) = (self.value(which, values), self.value(Which::New, values));
        match outcome(self.call(Call::Delivered { file, goal, new }).await)? {
            CallResult::Reconciled(found) => Ok(found),
            _ => mistaken(),
        }
    }

    async fn fetch(
        &self,
        consumer: ConsumerId,
        _: Which,
        _: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        self.in_time(asked)?;
        self.act(Call::Fetch(consumer)).await
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        self.in_time(asked)?;
        let accepted = match brings {
            AllowedChanges::Accepted(accepted) => Some(accepted.to_vec()),
            AllowedChanges::Anything => None,
        };
        match outcome(self.call(Call::Apply { consumer, slot, accepted }).await)? {
            CallResult::Applied(applied) => Ok(applied),
            _ => mistaken(),
        }
    }

    async fn await_end(&self, of: Touched, intent: Seq) -> Result<bool, Failure> {
        match outcome(self.call(Call::AwaitEnd { of, intent }).await)? {
            CallResult::Reconciled(found) => Ok(found == Reconciled::Executed(None)),
            CallResult::Done => Ok(false),
            _ => mistaken(),
        }
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        let going = if stays == Which::Old { &sessions.new } else { &sessions.old };
        let mut sessions = going.clone();
        // The version that goes was never made: there is no session on it.
        if self.capabilities.sessions {
            sessions.get_or_insert_with(Vec::new);
        }
        let new = self.value(Which::New, values);
        match outcome(self.call(Call::Enumerate { new, stays, sessions }).await)? {
            CallResult::Looked(enumeration) => {
                Ok(Looked { enumeration, names: Vec::new(), not_visible: Vec::new(), downtimes: Vec::new() })
            }
            _ => mistaken(),
        }
    }

    /// This world's processes answer at once: the second half is the whole call.
    async fn prepare(&self, _: Proving<'_>, _: &Sessions) -> Result<Prepared, Failure> {
        Ok(Prepared { number: 0, reads_again: false })
    }

    async fn go(&self, _: Prepared, of: Proving<'_>, after: &Sessions) -> Proved {
        let evidence = self.evidence(of, after).await;
        Proved { evidence, remarks: Vec::new(), failing_checks: Vec::new(), downtimes: Vec::new() }
    }

    async fn describe(&self, _: Incarnation) -> Option<Holder> {
        None
    }

    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure> {
        let mut run = self.run();
        run.world.watch(issuer.map(str::to_owned));
        Ok(())
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        Ok(self.run().world.marked.as_ref().and_then(|marked| marked.0.clone()))
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        let marked = self.run().world.marked.as_ref().map(|marked| marked.1);
        let since = marked.ok_or_else(|| failure(Class::Retryable))?;
        if self.capabilities.refusals != Refusals::ConsumerLogs {
            return Ok(RefusedCalls::default());
        }
        self.all_answer()?;
        match outcome(self.call(Call::Refusals { since }).await)? {
            CallResult::Count(count) => Ok(RefusedCalls { count, remarks: Vec::new() }),
            _ => mistaken(),
        }
    }

    async fn caller(&self, _: SocketAddr) -> Option<Holder> {
        None
    }

    async fn sweep(&self, _: Values<'_>) -> Result<Swept, Failure> {
        self.all_answer()?;
        self.act(Call::Trial).await?;
        Ok(Swept { residues: Vec::new(), not_visible: Vec::new(), downtimes: Vec::new() })
    }
}
