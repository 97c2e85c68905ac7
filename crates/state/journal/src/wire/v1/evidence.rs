use keyroll_rotation as own;
use keyroll_rotation::{ConsumerId, FileId, HostId, Kinds, PATHS_MAX};
use serde::{Deserialize, Serialize};

use super::words::{FoundBy, Holds, Sight, Which};
use crate::wire::WireError;

/// A set of kinds from its persisted bits.
pub(super) fn kinds(bits: u8) -> Result<Kinds, WireError> {
    Kinds::from_bits(bits).ok_or(WireError::Unsound("a kind of evidence that does not exist"))
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Life {
    Process { boot: u64, pid: u32, start_ticks: u64 },
    AtRest(u16),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Incarnation {
    host: u16,
    life: Life,
}

impl From<own::Incarnation> for Incarnation {
    fn from(who: own::Incarnation) -> Self {
        let own::Incarnation { host, life } = who;
        let life = match life {
            own::Life::Process { boot, pid, start_ticks } => Life::Process { boot, pid, start_ticks },
            own::Life::AtRest(ConsumerId(consumer)) => Life::AtRest(consumer),
        };
        Self { host: host.0, life }
    }
}

impl From<Incarnation> for own::Incarnation {
    fn from(who: Incarnation) -> Self {
        let life = match who.life {
            Life::Process { boot, pid, start_ticks } => own::Life::Process { boot, pid, start_ticks },
            Life::AtRest(consumer) => own::Life::AtRest(ConsumerId(consumer)),
        };
        Self { host: HostId(who.host), life }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seen {
    who: Incarnation,
    consumer: Option<u16>,
    slot: u8,
    old: Sight,
    new: Sight,
    by: FoundBy,
}

impl From<own::Seen> for Seen {
    fn from(seen: own::Seen) -> Self {
        let own::Seen { who, consumer, slot, old, new, by } = seen;
        let consumer = consumer.map(|ConsumerId(consumer)| consumer);
        Self { who: who.into(), consumer, slot, old: old.into(), new: new.into(), by: by.into() }
    }
}

impl From<Seen> for own::Seen {
    fn from(seen: Seen) -> Self {
        let Seen { who, consumer, slot, old, new, by } = seen;
        let consumer = consumer.map(ConsumerId);
        Self { who: who.into(), consumer, slot, old: old.into(), new: new.into(), by: by.into() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSeen {
    file: u16,
    holds: Holds,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SessionSeen {
    who: Option<Incarnation>,
    busy: bool,
}

impl From<own::SessionSeen> for SessionSeen {
    fn from(session: own::SessionSeen) -> Self {
        let own::SessionSeen { who, busy } = session;
        Self { who: who.map(Incarnation::from), busy }
    }
}

impl From<SessionSeen> for own::SessionSeen {
    fn from(session: SessionSeen) -> Self {
        let SessionSeen { who, busy } = session;
        Self { who: who.map(own::Incarnation::from), busy }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Enumeration {
    complete: bool,
    instances: Vec<Seen>,
    files: Vec<FileSeen>,
    sessions: Option<Vec<SessionSeen>>,
    strangers: Vec<u64>,
}

impl From<&own::Enumeration> for Enumeration {
    fn from(enumeration: &own::Enumeration) -> Self {
        let own::Enumeration { complete, instances, files, sessions, strangers } = enumeration;
        let file = |&(FileId(file), holds): &(FileId, own::Holds)| FileSeen { file, holds: holds.into() };
        let all = |seen: &Vec<own::SessionSeen>| seen.iter().copied().map(SessionSeen::from).collect();
        Self {
            complete: *complete,
            instances: instances.iter().copied().map(Seen::from).collect(),
            files: files.iter().map(file).collect(),
            sessions: sessions.as_ref().map(all),
            strangers: strangers.clone(),
        }
    }
}

impl From<Enumeration> for own::Enumeration {
    fn from(enumeration: Enumeration) -> Self {
        let Enumeration { complete, instances, files, sessions, strangers } = enumeration;
        let all = |seen: Vec<SessionSeen>| seen.into_iter().map(own::SessionSeen::from).collect();
        Self {
            complete,
            instances: instances.into_iter().map(own::Seen::from).collect(),
            files: files.into_iter().map(|seen| (FileId(seen.file), seen.holds.into())).collect(),
            sessions: sessions.map(all),
            strangers,
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proof {
    who: Incarnation,
    slot: u8,
    version: Which,
    /// The bits of each path's kinds.
    paths: [u8; PATHS_MAX],
    other_session: Sight,
}

impl From<own::Proof> for Proof {
    fn from(proof: own::Proof) -> Self {
        let own::Proof { who, slot, version, paths, other_session } = proof;
        Self {
            who: who.into(),
            slot,
            version: version.into(),
            paths: paths.map(Kinds::bits),
            other_session: other_session.into(),
        }
    }
}

impl TryFrom<Proof> for own::Proof {
    type Error = WireError;

    fn try_from(proof: Proof) -> Result<Self, WireError> {
        let mut paths = [Kinds::NONE; PATHS_MAX];
        for (path, bits) in paths.iter_mut().zip(proof.paths) {
            *path = kinds(bits)?;
        }
        Ok(Self {
            who: proof.who.into(),
            slot: proof.slot,
            version: proof.version.into(),
            paths,
            other_session: proof.other_session.into(),
        })
    }
}
