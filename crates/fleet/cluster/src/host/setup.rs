//! What a cluster is told of one secret and one rotation, in its own numbers.

use std::sync::Arc;
use std::time::Duration;

use keyroll_config::{Argv, WorkloadKind};
use keyroll_host::CopySetup;
use keyroll_rotation::{ConsumerId, FileId};
use keyroll_secret::Fields;

use crate::marks::VERSION;

/// The consumers of one secret in one namespace, and the keys of Secrets that they take.
pub struct ClusterSetup {
    /// The rotation's id; empty without one. What keyroll writes beside values names it.
    pub rotation: String,
    /// The keys of Secrets, by their numbers.
    pub keys: Vec<KeySetup>,
    /// The consumers, by their numbers.
    pub consumers: Vec<PodsSetup>,
    /// The time limit of one consumer: no probe of it runs longer.
    pub unit_time_max: Duration,
    /// The longest value, in bytes, and every byte that it may have, for Preflight.
    pub value_format: (Vec<u8>, usize),
}

/// One key of a Secret: a file of the plan.
pub struct KeySetup {
    /// The Secret that the configuration names.
    pub secret: String,
    /// The key.
    pub key: String,
    /// What it holds of a version.
    pub copy: CopySetup,
    /// External Secrets writes it from the store: keyroll reads it back and never writes it.
    pub synced: bool,
    /// Each version has an immutable Secret of its own; this workload's template names the present one.
    pub versioned: Option<(WorkloadKind, String)>,
    /// The version that it must hold, where its consumers have a key of their own: it is read back and never written.
    pub own: Option<Arc<Fields>>,
}

/// The pods of one workload.
pub struct PodsSetup {
    /// Its name in the configuration.
    pub name: String,
    /// What runs its pods.
    pub kind: WorkloadKind,
    /// The name of the workload.
    pub workload: String,
    /// The container that takes the value; none: any.
    pub container: Option<String>,
    /// The key that it takes.
    pub file: FileId,
    /// Its program reads the mounted file again by itself.
    pub rereads: bool,
    /// The operator trusts it to.
    pub trusted: bool,
    /// One pod is moved before the others: slot 0.
    pub canary: bool,
    /// The check of each path, the main one first; `None`: the path has none.
    pub checks: Vec<Option<Argv>>,
}

impl PodsSetup {
    /// Its pods are made for one run each: nothing is rolled out.
    pub(crate) fn is_job(&self) -> bool {
        matches!(self.kind, WorkloadKind::CronJob | WorkloadKind::Job)
    }

    /// Whether a roll-out replaces its pods.
    pub(crate) fn has_roll_out(&self) -> bool {
        !self.is_job() && !self.rereads && self.kind != WorkloadKind::Pod
    }

    /// As kubectl names it: `deployment/agent`.
    pub(crate) fn object(&self) -> String {
        format!("{}/{}", self.kind.word(), self.workload)
    }
}

impl KeySetup {
    /// Whether a Secret of this name holds a version of the key.
    pub(crate) fn is_of(&self, name: &str) -> bool {
        let versioned = |rest: &str| {
            rest.len() == VERSION_DIGITS
                && rest.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        name == self.secret
            || self.versioned.is_some()
                && name
                    .strip_prefix(&self.secret)
                    .and_then(|rest| rest.strip_prefix('-'))
                    .is_some_and(versioned)
    }

    /// The annotation of its workload that notes which Secret the next roll-out brings.
    pub(crate) fn mark(&self) -> String {
        format!("{VERSION}{}", self.secret)
    }

    /// The Secret with a version of it that is noted there, if it was noted by this rotation: with an earlier template,
    /// `kubectl rollout undo` brings back earlier annotations, too.
    pub(crate) fn noted<'t>(&self, text: &'t str, rotation: &str) -> Option<&'t str> {
        let (of, name) = text.split_once('/')?;
        let is_own = self.versioned.is_some() && of == rotation && !rotation.is_empty();
        (is_own && self.is_of(name)).then_some(name)
    }

    /// As it is shown: `secret/anthropic-credentials api-key`.
    pub(crate) fn shown(&self) -> String {
        format!("secret/{} {}", self.secret, self.key)
    }
}

/// How many hex digits of the keyed fingerprint of its content the name of a version's own Secret ends with.
pub(crate) const VERSION_DIGITS: usize = 10;

impl ClusterSetup {
    /// A key by its number.
    pub(crate) fn key(&self, id: FileId) -> Option<&KeySetup> {
        self.keys.get(id.index())
    }

    /// A consumer by its number.
    pub(crate) fn consumer(&self, id: ConsumerId) -> Option<&PodsSetup> {
        self.consumers.get(id.index())
    }

    /// The keys with their numbers.
    pub(crate) fn key_ids(&self) -> impl Iterator<Item = (FileId, &KeySetup)> {
        (0_u16..).map(FileId).zip(&self.keys)
    }

    /// The consumers with their numbers.
    pub(crate) fn consumer_ids(&self) -> impl Iterator<Item = (ConsumerId, &PodsSetup)> {
        (0_u16..).map(ConsumerId).zip(&self.consumers)
    }

    /// The consumers that take a key.
    pub(crate) fn takers_of(&self, file: FileId) -> impl Iterator<Item = (ConsumerId, &PodsSetup)> {
        self.consumer_ids().filter(move |(_, pods)| pods.file == file)
    }
}
