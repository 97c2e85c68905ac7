use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use keyroll_codes::Code;
use keyroll_http::via;
use keyroll_port::{
    AllowedChanges, Applied, Asked, Class, Failure, FailureKind, Holder, Host, Looked, Prepared, Probe,
    Probing, Proved, Proving, RefusedCalls, Sessions, Swept, Touched, Values,
};
use keyroll_rotation::{ConsumerId, FileId, HostId, Incarnation, Reconciled, Seq, Which};
use keyroll_secret::Fields;

use crate::concurrent::all;
use crate::looked::{Part, join};
use crate::member::{Member, sentence};
use crate::sessions::{Sent, is_near, of_member};

/// Many machines as one, in the plan's numbers.
///
/// What is about one file or consumer goes to the machine that has it. What is about all goes to each machine: at the same
/// time where it only looks, one after the other where it changes something. One without files and consumers is only
/// searched, see [`Bystander`](crate::Bystander).
pub struct Fleet {
    members: Vec<Member>,
    /// What cannot be reached holds up neither a plan nor a beginning.
    waits_for_none: bool,
    /// The hosts that were waived.
    away: Mutex<Vec<HostId>>,
}

impl Fleet {
    /// These machines. No two have the same file or consumer.
    pub fn new(members: Vec<Member>) -> Self {
        Self { members, waits_for_none: false, away: Mutex::default() }
    }

    /// The same for an emergency that revokes the old key first: a host that cannot be reached holds up neither its plan nor
    /// its beginning. Every look says that it is away.
    #[must_use]
    pub fn that_waits_for_none(self) -> Self {
        Self { waits_for_none: true, ..self }
    }

    /// Whether the answer of this member may be missing from a plan or a beginning.
    pub(crate) fn may_miss(&self, member: &Member, failure: &Failure) -> bool {
        let is_gone = failure.class != Class::Permanent || member.is_searched_only();
        let is_not_awaited = self.waits_for_none && !member.is_here && is_gone;
        is_not_awaited || self.is_away(member, failure)
    }

    /// Whether this failure of a member is one that nobody waits for: it may be away, and was not reached, or another machine
    /// answered. It is asked all the same, because it may be back; one that is there counts like every other. One that is only
    /// searched is away as long as it cannot be searched, for whatever reason.
    fn is_away(&self, member: &Member, failure: &Failure) -> bool {
        let gone = failure.kind == FailureKind::Unreached || member.is_searched_only();
        gone && !member.is_here && self.away().contains(&member.id)
    }

    /// After a panic in another call, the hosts are still those that were said last.
    fn away(&self) -> MutexGuard<'_, Vec<HostId>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What one of all members did, with its name; `None` if nothing of it is waited for.
    fn unless_away<T>(&self, member: &Member, done: Result<T, Failure>) -> Result<Option<T>, Failure> {
        match done {
            Ok(done) => Ok(Some(done)),
            Err(failure) if self.is_away(member, &failure) => Ok(None),
            Err(failure) => Err(member.named(failure)),
        }
    }

    /// The answers, without those that may be missing.
    fn answered<'a, T>(
        &self,
        all: Vec<(&'a Member, Result<T, Failure>)>,
    ) -> Result<Vec<(&'a Member, T)>, Failure> {
        let kept = all.into_iter().filter_map(|(member, answer)| match answer {
            Ok(own) => Some(Ok((member, own))),
            Err(failure) if self.may_miss(member, &failure) => None,
            Err(failure) => Some(Err(member.named(failure))),
        });
        kept.collect()
    }

    /// The members that are asked about everything.
    pub(crate) fn asked(&self) -> Vec<&Member> {
        self.members.iter().collect()
    }

    /// What each of them is sent for a look.
    pub(crate) fn sent(&self, sessions: &Sessions, stays: Which) -> Vec<(&Member, Sent)> {
        self.asked().into_iter().map(|member| (member, Sent::to(member.is_here, sessions, stays))).collect()
    }

    /// The machine that keyroll runs on.
    fn here(&self) -> Result<&Member, Failure> {
        let here = self.members.iter().find(|member| member.is_here);
        here.ok_or_else(|| not_in_plan("find this machine among the hosts of the plan".to_owned()))
    }

    /// The member that has a file, and its own number of it.
    fn with_file(&self, file: FileId) -> Result<(&Member, FileId), Failure> {
        let found = self.members.iter().find_map(|member| Some((member, member.own_file(file)?)));
        found.ok_or_else(|| not_in_plan(format!("find file {} of the plan", file.0)))
    }

    /// The member that has a consumer, and its own number of it.
    fn with_consumer(&self, consumer: ConsumerId) -> Result<(&Member, ConsumerId), Failure> {
        let found = self.members.iter().find_map(|member| Some((member, member.own_consumer(consumer)?)));
        found.ok_or_else(|| not_in_plan(format!("find consumer {} of the plan", consumer.0)))
    }
}

/// No machine has what the plan names.
fn not_in_plan(attempted: String) -> Failure {
    Failure::new(Class::Permanent, Code::PlanStale, attempted)
}

#[async_trait]
impl Host for Fleet {
    async fn trial(&self, values: Values<'_>) -> Result<Vec<Failure>, Failure> {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.trial(values))).collect();
        let answers = self.answered(all(asked).await)?.into_iter();
        Ok(answers.flat_map(|(member, own)| member.all_named(own)).collect())
    }

    fn may_be_away(&self, hosts: &[HostId]) {
        *self.away() = hosts.to_vec();
    }

    async fn call_from(&self, host: HostId, call: Probing<'_>) -> Probe {
        let Some(member) = self.members.iter().find(|member| member.id == host) else {
            return Probe::Unknown(format!("host {} is not one of the plan", host.0));
        };
        match &member.dialer {
            _ if member.is_here => call.await,
            Some(dialer) => {
                let (probe, ends) = via::through_seen(Arc::clone(dialer), call).await;
                // An answer that needed no connection from there says nothing about that host.
                match probe {
                    Probe::Alive | Probe::Denied | Probe::Dead if ends.is_empty() => {
                        Probe::Unknown("the call did not leave from there".to_owned())
                    }
                    Probe::Alive | Probe::Denied | Probe::Dead | Probe::Unknown(_) => probe,
                }
            }
            None => Probe::Unknown(format!("no connection can be made from {}", member.name)),
        }
    }

    async fn carries(&self, fields: &Fields) -> Result<(), Failure> {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.carries(fields))).collect();
        self.answered(all(asked).await).map(drop)
    }

    async fn deliver(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let (member, file) = self.with_file(file)?;
        let done = member.machine.deliver(file, which, values, asked).await;
        done.map_err(|failure| member.named(failure))
    }

    async fn delivered(
        &self,
        file: FileId,
        which: Which,
        values: Values<'_>,
        intent: Seq,
    ) -> Result<Reconciled, Failure> {
        let (member, file) = self.with_file(file)?;
        let found = member.machine.delivered(file, which, values, intent).await;
        found.map_err(|failure| member.named(failure))
    }

    async fn remove_superseded(&self, values: Values<'_>, asked: Asked) -> Result<(), Failure> {
        let mut failed: Option<Failure> = None;
        for member in self.asked() {
            let done = member.machine.remove_superseded(values, asked).await;
            if let Err(failure) = self.unless_away(member, done) {
                // One that may succeed later is asked again; the others are not held up by any.
                let first = failed.as_ref().is_none_or(|failed| failed.class != Class::Retryable);
                if first && (failed.is_none() || failure.class == Class::Retryable) {
                    failed = Some(failure);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn before_given_out(
        &self,
        which: Which,
        values: Values<'_>,
        sessions: &Sessions,
    ) -> Result<(), Failure> {
        for member in self.asked() {
            let own = of_member(member.is_here, sessions);
            let done = member.machine.before_given_out(which, values, &own).await;
            self.unless_away(member, done)?;
        }
        Ok(())
    }

    async fn fetch(
        &self,
        consumer: ConsumerId,
        which: Which,
        values: Values<'_>,
        asked: Asked,
    ) -> Result<(), Failure> {
        let (member, consumer) = self.with_consumer(consumer)?;
        let done = member.machine.fetch(consumer, which, values, asked).await;
        done.map_err(|failure| member.named(failure))
    }

    async fn apply(
        &self,
        consumer: ConsumerId,
        slot: u8,
        asked: Asked,
        brings: AllowedChanges<'_>,
    ) -> Result<Applied, Failure> {
        let (member, consumer) = self.with_consumer(consumer)?;
        let applied = member.machine.apply(consumer, slot, asked, brings).await;
        applied.map_err(|failure| member.named(failure))
    }

    async fn await_end(&self, of: Touched, intent: Seq) -> Result<bool, Failure> {
        let (member, own) = match of {
            Touched::File(file) => {
                let (member, file) = self.with_file(file)?;
                (member, Touched::File(file))
            }
            Touched::Consumer(consumer) => {
                let (member, consumer) = self.with_consumer(consumer)?;
                (member, Touched::Consumer(consumer))
            }
            Touched::All => {
                for member in self.asked() {
                    let ended = member.machine.await_end(Touched::All, intent).await;
                    self.unless_away(member, ended.map(drop))?;
                }
                return Ok(false);
            }
        };
        let ended = member.machine.await_end(own, intent).await;
        ended.map_err(|failure| member.named(failure))
    }

    async fn enumerate(
        &self,
        values: Values<'_>,
        sessions: &Sessions,
        stays: Which,
    ) -> Result<Looked, Failure> {
        let sent = self.sent(sessions, stays);
        let asked = sent
            .iter()
            .map(|(member, sent)| (*member, member.machine.enumerate(values, &sent.sessions, stays)))
            .collect();
        let answers = all(asked).await;
        let parts = answers.into_iter().zip(&sent).map(|((member, answer), (_, sent))| Part {
            member,
            sent,
            looked: answer.and_then(|own| member.looked(own)),
        });
        join(sessions.of(stays.other()), parts.collect())
    }

    async fn prepare(&self, of: Proving<'_>, before: &Sessions) -> Result<Prepared, Failure> {
        let (member, consumer) = self.with_consumer(of.consumer)?;
        let own = of_member(member.is_here, before);
        let prepared = member.machine.prepare(Proving { consumer, ..of }, &own).await;
        prepared.map_err(|failure| member.named(failure))
    }

    async fn go(&self, prepared: Prepared, of: Proving<'_>, after: &Sessions) -> Proved {
        match self.with_consumer(of.consumer) {
            Ok((member, consumer)) => {
                let own = of_member(member.is_here, after);
                member.proved(member.machine.go(prepared, Proving { consumer, ..of }, &own).await)
            }
            Err(failure) => Proved {
                evidence: Err(failure),
                remarks: Vec::new(),
                failing_checks: Vec::new(),
                downtimes: Vec::new(),
            },
        }
    }

    async fn describe(&self, who: Incarnation) -> Option<Holder> {
        let member = self.members.iter().find(|member| member.id == who.host)?;
        let holder = member.machine.describe(member.own_incarnation(who)?).await?;
        Some(member.holder(holder))
    }

    /// The issuer's mark is kept on this machine alone, and last: where it is, the marks of all logs are.
    async fn watch_refusals(&self, issuer: Option<&str>) -> Result<(), Failure> {
        let here = self.here()?;
        let others: Vec<&Member> = self.asked().into_iter().filter(|member| !member.is_here).collect();
        for member in others {
            let done = member.machine.watch_refusals(None).await;
            self.unless_away(member, done)?;
        }
        here.machine.watch_refusals(issuer).await
    }

    async fn refusals_mark(&self) -> Result<Option<String>, Failure> {
        self.here()?.machine.refusals_mark().await
    }

    async fn refusals(&self) -> Result<RefusedCalls, Failure> {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.refusals())).collect();
        let mut joined = RefusedCalls::default();
        for (member, answer) in all(asked).await {
            let Some(own) = self.unless_away(member, answer)? else { continue };
            let RefusedCalls { count, remarks } = member.refusals(own);
            joined.count = joined.count.saturating_add(count);
            joined.remarks.extend(remarks);
        }
        Ok(joined)
    }

    /// This machine is asked first. Another one is not asked about an address that may be of the issuer's machine.
    async fn caller(&self, client: SocketAddr) -> Option<Holder> {
        let mut members = self.asked();
        members.retain(|member| member.is_here || !is_near(client));
        members.sort_by_key(|member| !member.is_here);
        for member in members {
            if let Some(holder) = member.machine.caller(client).await {
                return Some(member.holder(holder));
            }
        }
        None
    }

    async fn sweep(&self, values: Values<'_>) -> Result<Swept, Failure> {
        let asked = self.asked().into_iter().map(|member| (member, member.machine.sweep(values))).collect();
        let mut joined = Swept { residues: Vec::new(), not_visible: Vec::new(), downtimes: Vec::new() };
        for (member, answer) in all(asked).await {
            let swept = match answer.and_then(|own| member.swept(own)) {
                Ok(swept) => swept,
                Err(failure) if member.is_here => return Err(failure),
                // What was not searched is named. The old key is dead by then.
                Err(failure) => {
                    joined.not_visible.push(format!("{}: {}", member.name, sentence(&failure)));
                    continue;
                }
            };
            joined.residues.extend(swept.residues);
            joined.not_visible.extend(swept.not_visible);
            joined.downtimes.extend(swept.downtimes);
        }
        Ok(joined)
    }
}
