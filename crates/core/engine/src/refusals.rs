//! Refused uses of the old key: at the issuer and in the consumers' logs, from the moment before it was disabled.

use keyroll_codes::Code;
use keyroll_port::{Class, Failure, RefusedUse, Sessions};
use keyroll_rotation::{
    BystanderId, Enumeration, Fact, Incarnation, OldKey, Refusals, State, Visibility, Which, standing,
};

use crate::executor::{Executor, Note, Old, values};

impl Executor {
    /// Marks where every record ends, before the old key is disabled. Where the issuer's own cannot be marked nothing
    /// is disabled: a refused use would not be seen.
    pub(crate) async fn watch_refusals(&self, old: &Old, state: &State) -> Result<(), Failure> {
        let mark = match state.plan().capabilities.refusals {
            Refusals::IssuerLog => Some(self.ports.issuer.mark_refusals(&old.credential).await?),
            Refusals::ConsumerLogs | Refusals::NotVisible => None,
        };
        self.ports.host.watch_refusals(mark.as_deref()).await
    }

    /// Whether the marks of a first attempt to disable it are there.
    pub(crate) async fn is_watched(&self, state: &State) -> bool {
        let host = &self.ports.host;
        let at_issuer = state.plan().capabilities.refusals == Refusals::IssuerLog;
        let marked = !at_issuer || host.refusals_mark().await.is_ok_and(|mark| mark.is_some());
        marked && self.logged().await.is_ok()
    }

    /// Whether a probe of the old key by us might be refused and be counted as a use by a consumer.
    pub(crate) fn would_count(&self, state: &State) -> bool {
        let off = match state.old_key() {
            OldKey::Off(_) => true,
            OldKey::On => state.off_in_doubt(),
            OldKey::Ended => false,
        };
        off && !state.decided() && state.plan().capabilities.refusals != Refusals::NotVisible
    }

    /// What was seen in one record counts whatever another hides; but none counts as none only where every record was
    /// read.
    pub(crate) async fn refusals(&self, old: &Old, state: &State) -> Result<Fact, Failure> {
        let (at_issuer, logged) = match state.plan().capabilities.refusals {
            Refusals::IssuerLog => (self.refused_at_issuer(old).await, self.logged().await),
            Refusals::ConsumerLogs => (Ok(Vec::new()), self.logged().await),
            Refusals::NotVisible => (Ok(Vec::new()), Ok(0)),
        };
        let mut count = 0u32;
        let mut unread = Vec::new();
        match logged {
            Ok(lines) => count = lines,
            Err(failure) => unread.push(failure),
        }
        match at_issuer {
            Ok(uses) => {
                count = count.saturating_add(u32::try_from(uses.len()).unwrap_or(u32::MAX));
                self.name(&uses).await;
            }
            Err(failure) => unread.push(failure),
        }
        match unread.pop() {
            Some(failure) if count == 0 => Err(failure),
            Some(failure) => {
                self.note(Note::Failed(failure));
                Ok(Fact::Refusals { count, took_ms: 0 })
            }
            None => Ok(Fact::Refusals { count, took_ms: 0 }),
        }
    }

    /// How many the consumers' logs show; what people should hear of them is noted.
    async fn logged(&self) -> Result<u32, Failure> {
        let seen = self.ports.host.refusals().await?;
        self.note_remarks(seen.remarks);
        Ok(seen.count)
    }

    async fn refused_at_issuer(&self, old: &Old) -> Result<Vec<RefusedUse>, Failure> {
        let mark = self.ports.host.refusals_mark().await?.ok_or_else(|| {
            Failure::new(
                Class::Retryable,
                Code::RefusedUsesUnknown,
                "find where the issuer's record of refused uses ended",
            )
            .because("no mark of it was kept when the key was disabled")
            .help("it is marked anew when the key is disabled again")
        })?;
        self.ports.issuer.refusals(&old.credential, &mark).await
    }

    /// Who it was: the process at the other end where that is on this machine, else as the issuer names it.
    async fn name(&self, uses: &[RefusedUse]) {
        for used in uses.iter().take(NAMED_MAX) {
            let holder = match used.client {
                Some(client) => self.ports.host.caller(client).await,
                None => None,
            };
            if let Some(holder) = holder {
                self.note(Note::User(holder));
                continue;
            }
            let client = used.client.map(|client| client.to_string());
            let told: Vec<String> = client.into_iter().chain(used.told.clone()).collect();
            if !told.is_empty() {
                self.note(Note::Refused(told.join(", ")));
            }
        }
    }

    /// A connection that was refused is seldom still open: with the old key enabled, its holders are looked for.
    pub(crate) async fn name_holders(&self, state: &State) -> Result<(), Failure> {
        let old = self.old().await?;
        let new = self.new_credential(state).await?;
        let host = &self.ports.host;
        let looked =
            host.enumerate(values(&old, new.as_ref(), state), &Sessions::default(), Which::New).await?;
        self.note_downtimes(looked.downtimes);
        for who in may_use_old(&looked.enumeration, &state.plan().bystanders) {
            if let Some(holder) = host.describe(who).await {
                self.note(Note::User(holder));
            }
        }
        Ok(())
    }
}

/// What a look shows to hold the old key, and may be what used it. A declared bystander holds a value and never presents it.
fn may_use_old(seen: &Enumeration, declared: &[BystanderId]) -> Vec<Incarnation> {
    let standing = standing(declared, seen);
    let holders =
        seen.instances.iter().filter(|it| it.old == Visibility::Yes && !standing.contains_key(&it.who));
    holders.map(|it| it.who).collect()
}

/// How many refused uses of one look are named: a client that retries needs no second line.
const NAMED_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use keyroll_rotation::{BystanderSeen, ConsumerId, FoundBy, HostId, InstanceIdentity, ObservedInstance};

    use super::*;

    fn who(pid: u32) -> Incarnation {
        let life = InstanceIdentity::Process { boot: 1, pid, start_ticks: 7, program: 0 };
        Incarnation { host: HostId(0), life }
    }

    fn holds(pid: u32, consumer: Option<ConsumerId>) -> ObservedInstance {
        let (old, new) = (Visibility::Yes, Visibility::No);
        ObservedInstance { who: who(pid), consumer, slot: 0, old, new, by: FoundBy::Memory }
    }

    /// Red where a declared bystander is named as what uses the old key, or where what is none is not named.
    #[test]
    fn a_declared_bystander_is_not_named_as_what_uses_the_old_key() {
        let (declared, other) = (BystanderId(1), BystanderId(2));
        let stands = |pid, id| BystanderSeen { who: who(pid), id };
        let seen = Enumeration {
            complete: true,
            took_ms: 0,
            instances: vec![
                holds(10, None),
                holds(11, None),
                holds(12, None),
                holds(13, Some(ConsumerId(0))),
            ],
            files: Vec::new(),
            sessions: None,
            absent: Vec::new(),
            strangers: Vec::new(),
            unsearched: Vec::new(),
            bystanders: vec![stands(11, declared), stands(12, other), stands(13, declared)],
        };
        assert_eq!(may_use_old(&seen, &[declared]), [10, 12, 13].map(who));
    }
}
