//! What an inspection of a host found.

use std::time::Duration;

use keyroll_port::{Downtime, Looked, Named};
use keyroll_rotation::{
    BystanderId, BystanderSeen, ConsumerId, Enumeration, FileId, Holds, ObservedInstance, SessionSeen,
    Unsearched,
};
use serde::{Deserialize, Serialize};

use super::limits::{FormError, all_sent, forms, list, sent, text, texts};
use super::numbers::{BackForm, FoundByForm, HoldsForm, SearchLimitForm, VisibilityForm};
use super::process::IncarnationForm;

/// One instance or holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObservedForm {
    /// Which life.
    pub who: IncarnationForm,
    /// The host's number of its consumer; `None` = undeclared.
    pub consumer: Option<u16>,
    /// Which of the consumer's slots.
    pub slot: u8,
    /// The old value was seen in it.
    pub old: VisibilityForm,
    /// The new value was seen in it.
    pub new: VisibilityForm,
    /// How it was found.
    pub by: FoundByForm,
}

/// A session that was opened with the credential that is about to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSeenForm {
    /// The process at its other end.
    pub who: Option<IncarnationForm>,
    /// A caller is using it.
    pub busy: bool,
}

/// A process whose memory was not searched completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsearchedForm {
    /// Which process.
    pub who: IncarnationForm,
    /// The limit.
    pub limit: SearchLimitForm,
}

/// A process that a declaration of a bystander fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BystanderForm {
    /// Which process.
    pub who: IncarnationForm,
    /// The digest of the declaration.
    pub id: u64,
}

/// One look at all instances, holders, files and sessions of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnumerationForm {
    /// Everything that had to be looked at was.
    pub complete: bool,
    /// 0: the driver measures it.
    pub took_ms: u64,
    /// Instances of consumers, and undeclared holders.
    pub instances: Vec<ObservedForm>,
    /// What each of the host's files holds, by its number there.
    pub files: Vec<(u16, HoldsForm)>,
    /// Sessions on the credential that is about to end; `None` = not visible.
    pub sessions: Option<Vec<SessionSeenForm>>,
    /// Undeclared copies, by a digest of the place.
    pub strangers: Vec<u64>,
    /// Processes whose memory was not searched completely.
    pub unsearched: Vec<UnsearchedForm>,
    /// The undeclared processes that a declaration of a bystander fits.
    pub bystanders: Vec<BystanderForm>,
}

/// A name behind a digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedForm {
    /// The digest.
    pub digest: u64,
    /// A path or a process's description.
    pub name: String,
}

/// A downtime that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowntimeForm {
    /// The host's number of the consumer.
    pub consumer: u16,
    /// The length of the downtime, milliseconds.
    pub length_ms: u64,
    /// What showed its end.
    pub back: BackForm,
}

/// The result of one inspection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LookedForm {
    /// What the protocol uses of it.
    pub enumeration: EnumerationForm,
    /// The names behind its digests.
    pub names: Vec<NamedForm>,
    /// What could not be searched, by name and reason.
    pub not_visible: Vec<String>,
    /// The downtimes that ended since the last answer.
    pub downtimes: Vec<DowntimeForm>,
}

impl From<&ObservedInstance> for ObservedForm {
    fn from(seen: &ObservedInstance) -> Self {
        let ObservedInstance { who, consumer, slot, old, new, by } = *seen;
        Self {
            who: IncarnationForm::of(who),
            consumer: consumer.map(|ConsumerId(number)| number),
            slot,
            old: old.into(),
            new: new.into(),
            by: by.into(),
        }
    }
}

impl ObservedForm {
    /// The instance, on the host 0.
    pub fn into_port(self) -> ObservedInstance {
        let Self { who, consumer, slot, old, new, by } = self;
        ObservedInstance {
            who: who.into_port(),
            consumer: consumer.map(ConsumerId),
            slot,
            old: old.into(),
            new: new.into(),
            by: by.into(),
        }
    }
}

impl From<&SessionSeen> for SessionSeenForm {
    fn from(seen: &SessionSeen) -> Self {
        Self { who: seen.who.map(IncarnationForm::of), busy: seen.busy }
    }
}

impl SessionSeenForm {
    /// The session, of a process on the host 0.
    pub fn into_port(self) -> SessionSeen {
        SessionSeen { who: self.who.map(IncarnationForm::into_port), busy: self.busy }
    }
}

impl From<&Unsearched> for UnsearchedForm {
    fn from(one: &Unsearched) -> Self {
        Self { who: IncarnationForm::of(one.who), limit: one.limit.into() }
    }
}

impl UnsearchedForm {
    /// The process, on the host 0.
    pub fn into_port(self) -> Unsearched {
        Unsearched { who: self.who.into_port(), limit: self.limit.into() }
    }
}

impl From<&BystanderSeen> for BystanderForm {
    fn from(seen: &BystanderSeen) -> Self {
        Self { who: IncarnationForm::of(seen.who), id: seen.id.0 }
    }
}

impl BystanderForm {
    /// The process, on the host 0.
    pub fn into_port(self) -> BystanderSeen {
        BystanderSeen { who: self.who.into_port(), id: BystanderId(self.id) }
    }
}

impl From<&Enumeration> for EnumerationForm {
    fn from(look: &Enumeration) -> Self {
        Self {
            complete: look.complete,
            took_ms: look.took_ms,
            instances: forms(&look.instances),
            files: look.files.iter().map(|&(FileId(file), holds)| (file, HoldsForm::from(holds))).collect(),
            sessions: look.sessions.as_deref().map(forms),
            strangers: look.strangers.clone(),
            unsearched: forms(&look.unsearched),
            bystanders: forms(&look.bystanders),
        }
    }
}

impl EnumerationForm {
    /// The look. A list that is too long is not cut: a look that lacks something proves nothing.
    ///
    /// # Errors
    /// A list is too long.
    pub fn into_port(self) -> Result<Enumeration, FormError> {
        let sessions = self.sessions.map(|all| list(all, |one| Ok(one.into_port()))).transpose()?;
        Ok(Enumeration {
            complete: self.complete,
            took_ms: self.took_ms,
            instances: list(self.instances, |one| Ok(one.into_port()))?,
            files: list(self.files, |(file, holds)| Ok((FileId(file), Holds::from(holds))))?,
            sessions,
            absent: Vec::new(),
            strangers: list(self.strangers, Ok)?,
            unsearched: list(self.unsearched, |one| Ok(one.into_port()))?,
            bystanders: list(self.bystanders, |one| Ok(one.into_port()))?,
        })
    }
}

impl From<&Named> for NamedForm {
    fn from(named: &Named) -> Self {
        Self { digest: named.digest, name: sent(&named.name) }
    }
}

impl NamedForm {
    /// The name.
    ///
    /// # Errors
    /// It is too long.
    pub fn into_port(self) -> Result<Named, FormError> {
        Ok(Named { digest: self.digest, name: text(self.name)? })
    }
}

impl From<&Downtime> for DowntimeForm {
    fn from(downtime: &Downtime) -> Self {
        let Downtime { consumer: ConsumerId(consumer), length, back } = *downtime;
        let length_ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self { consumer, length_ms, back: back.into() }
    }
}

impl DowntimeForm {
    /// The downtime.
    pub fn into_port(self) -> Downtime {
        let Self { consumer, length_ms, back } = self;
        let length = Duration::from_millis(length_ms);
        Downtime { consumer: ConsumerId(consumer), length, back: back.into() }
    }
}

/// The downtimes of a reply.
pub(super) fn downtimes(all: Vec<DowntimeForm>) -> Result<Vec<Downtime>, FormError> {
    list(all, |one| Ok(one.into_port()))
}

impl From<&Looked> for LookedForm {
    fn from(looked: &Looked) -> Self {
        Self {
            enumeration: (&looked.enumeration).into(),
            names: forms(&looked.names),
            not_visible: all_sent(&looked.not_visible),
            downtimes: forms(&looked.downtimes),
        }
    }
}

impl LookedForm {
    /// The result.
    ///
    /// # Errors
    /// A list or a text is too long.
    pub fn into_port(self) -> Result<Looked, FormError> {
        Ok(Looked {
            enumeration: self.enumeration.into_port()?,
            names: list(self.names, NamedForm::into_port)?,
            not_visible: texts(self.not_visible)?,
            downtimes: downtimes(self.downtimes)?,
        })
    }
}
