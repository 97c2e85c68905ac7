//! Openings and events to write, and a place to write them to.
#![allow(dead_code)]

pub(crate) mod facts;

use std::path::{Path, PathBuf};

use keyroll_journal::{OpenError, SqliteJournal};
use keyroll_port::{Opening, RotationId};
use keyroll_rotation::{
    Capabilities, Consumer, Delivery, Event, Fact, FileId, HostId, Kinds, LastUsed, MintedBy, OnFailure,
    Overlap, Plan, Policy, Refusals, ReloadMode, Stamp,
};

/// A state folder and a witness apart from it.
pub(crate) struct Place(tempfile::TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root().join("state")
    }

    pub(crate) fn witness(&self) -> PathBuf {
        self.root().join("config/witness")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.state().join("journal.db")
    }

    pub(crate) fn try_open(&self) -> Result<SqliteJournal, OpenError> {
        SqliteJournal::open(&self.state(), &self.witness())
    }

    pub(crate) fn open(&self) -> SqliteJournal {
        self.try_open().unwrap()
    }
}

pub(crate) fn id(number: u32) -> RotationId {
    RotationId(format!("0190-{number:04}"))
}

pub(crate) fn event(epoch: u64, fact: Fact) -> Event {
    Event { at: Stamp { ms: 5, boot: 6, epoch }, fact }
}

pub(crate) fn opening(secret: &str) -> Opening {
    Opening {
        secret: secret.to_owned(),
        from_version: 1,
        plan: plan(),
        names: "{}".to_owned(),
        at: Stamp { ms: 1, boot: 2, epoch: 0 },
        unix_ms: 3,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        capabilities: Capabilities {
            minted_by: MintedBy::Us,
            overlap: Overlap::TwoSlots,
            disable: true,
            label: true,
            mint_replaces: false,
            list: true,
            last_used: LastUsed::PerKey { lag_ms: 1, granularity_ms: 2 },
            refusals: Refusals::ConsumerLogs,
            sessions: true,
            attributes: true,
            birth_ms_max: 3,
            death_ms_max: 4,
            request_ms_max: 5,
        },
        policy: Policy {
            on_failure: OnFailure::Pause,
            parallel_max: 1,
            probes_alive: 3,
            probes_dead: 3,
            idle_ms: 6,
            soak_ms: 7,
            phase_ms_max: 8,
            unit_ms_max: 9,
            look_age_ms_max: 10_000,
            require: Kinds::READ.and(Kinds::LOADED),
            standing_consent: false,
            roll: None,
        },
        endpoints: vec![HostId(0)],
        files: vec![HostId(0), HostId(0)],
        consumers: vec![Consumer {
            host: HostId(0),
            delivery: Delivery::Push,
            uptake: ReloadMode::Verb,
            files: vec![FileId(0), FileId(1)],
            slots: 2,
            paths: 1,
            attributable: true,
            own_word: false,
            wave: 0,
        }],
        bystanders: Vec::new(),
        bound: true,
        denied_is_alive: false,
        recovery: false,
        aim: keyroll_rotation::Aim::Replace,
        protocol: keyroll_rotation::PROTOCOL,
    }
}
