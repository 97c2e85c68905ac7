use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use keyroll_copy::{Format, Slot, Template};
use keyroll_manager::{Check, CommandLine, RateQuery, SharedWorkload, Turn};
use keyroll_observe::{LogSource, MemoryLimits};
use keyroll_port::Values;
use keyroll_rotation::{BystanderId, ConsumerId, FileId, HostId};
use keyroll_secret::{Fields, FingerprintKey};

use crate::Write;

/// The configuration of one secret on this machine: its files and consumers in the plan's order.
pub struct Setup {
    /// The number of this machine in plans.
    pub host: HostId,
    /// The rotation's id: the names of temporary files are made from it.
    pub rotation: String,
    /// The plan's files.
    pub files: Vec<FileSetup>,
    /// The plan's consumers.
    pub consumers: Vec<ConsumerSetup>,
    /// The bystanders that the configuration declares on this machine.
    pub bystanders: Vec<BystanderSetup>,
    /// More places to search by value.
    pub roots: Vec<PathBuf>,
    /// How much memory is searched.
    pub search: SearchLimits,
    /// keyroll's own folders, which hold sealed values, and the file that is the source of truth, which is read as such: a
    /// value there is explained.
    pub own_folders: Vec<PathBuf>,
    /// The time limit of one instance: no command of it runs longer.
    pub instance_time_max: Duration,
    /// Where pids of started commands and file locks are kept.
    pub work: PathBuf,
    /// The longest value, in bytes, and every byte that it may have, for Preflight.
    pub value_format: (Vec<u8>, usize),
    /// The ports at which consumers reach the issuer. They distinguish connections to the issuer from others with the
    /// same client port.
    pub servers: Vec<u16>,
    /// The error rate above which the rotation waits.
    pub gate: Option<GateSetup>,
    /// Where the issuer listens, if that is on this machine and the issuer shows its sessions. The server's memory
    /// keeps the values that clients present; that alone does not make it a holder. Its sessions show whether the
    /// listening process is the issuer or a pooler before it.
    pub issuer_at: Vec<SocketAddr>,
}

/// The limits of one search of all processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SearchLimits {
    /// How much memory of one process is searched, bytes.
    pub memory_bytes_max: u64,
    /// How long the search may take; one process takes half of it at most.
    pub time_max: Duration,
}

/// Those of one process, and twice its time.
impl Default for SearchLimits {
    fn default() -> Self {
        let MemoryLimits { bytes_max, wait, .. } = MemoryLimits::default();
        Self { memory_bytes_max: bytes_max, time_max: wait * 2 }
    }
}

impl SearchLimits {
    pub(super) fn of_one(self) -> MemoryLimits {
        let (bytes_max, wait) = (self.memory_bytes_max, self.time_max / 2);
        MemoryLimits { bytes_max, wait, ..MemoryLimits::default() }
    }
}

/// A declared bystander. A process has to be as everything here says; with neither a unit nor an executable none is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BystanderSetup {
    /// The digest of the declaration.
    pub id: BystanderId,
    /// The whole name of the unit: of the system's manager, or with `user` of that user's own.
    pub unit: Option<String>,
    /// The user, by name or number.
    pub user: Option<String>,
    /// The executable.
    pub executable: Option<PathBuf>,
}

/// One file that holds copies.
pub struct FileSetup {
    /// The path as configured.
    pub path: PathBuf,
    /// The file that the path led to when the plan was made; another one is refused. `None` = not resolved yet.
    pub planned: Option<PathBuf>,
    /// How it is written.
    pub write: Write,
    /// The copies in it.
    pub copies: Vec<CopySetup>,
    /// Its consumers fetch it, or a command makes it: keyroll reads it back and never writes it.
    pub generated: bool,
    /// The version that it must hold, where its consumers have a key of their own: keyroll reads it back and never
    /// writes it.
    pub own: Option<Arc<Fields>>,
    /// The command that makes it from another file.
    pub generator: Option<CommandLine>,
}

/// One copy in a file.
pub enum CopySetup {
    /// A value of a known format.
    Value {
        /// How the file is read.
        format: Format,
        /// The slot.
        slot: Slot,
        /// The content of the copy.
        source: CopySource,
    },
    /// A text anywhere in the file, found by the literal text around the values.
    Within(Template),
    /// A line of a list of logins. The next login gets its own line; the line of the present login stays until that
    /// login is ended.
    Login {
        /// The field with the user's name.
        user: String,
        /// The password.
        source: CopySource,
    },
}

/// The content of a copy.
pub enum CopySource {
    /// One field.
    Field(String),
    /// A text rendered from fields.
    Text(Template),
    /// The fingerprint of the whole version, under this key.
    Version(Arc<FingerprintKey>),
}

/// One consumer.
pub struct ConsumerSetup {
    /// Its name.
    pub name: String,
    /// The files that it starts from.
    pub files: Vec<FileId>,
    /// The command that regenerates its files from the store.
    pub fetch: Option<CommandLine>,
    /// Its slots, in the order in which they are moved.
    pub slots: Vec<SlotSetup>,
    /// It reads the store itself, and has no files.
    pub follows: bool,
    /// It asks keyroll's socket for the value.
    pub served: Option<ServedSetup>,
    /// A later consumer finds its processes in the same way: they were adopted anew, and are that one's.
    pub succeeded: bool,
}

/// A consumer that asks keyroll's socket for the value.
pub struct ServedSetup {
    /// The secret that it asks for.
    pub secret: String,
    /// The folder with the ledger.
    pub folder: PathBuf,
    /// The secret's other consumers.
    pub others: Vec<String>,
    /// The names of its paths; the first is the main one.
    pub paths: Vec<String>,
    /// The key of the fingerprints of versions.
    pub key: Arc<FingerprintKey>,
    /// The operator trusts the word of its processes: a refused call that one reports counts.
    pub trusted: bool,
}

/// One instance of a consumer.
pub struct SlotSetup {
    /// Its name, where it has one.
    pub instance: Option<String>,
    /// The workload of this instance alone.
    pub run: SharedWorkload,
    /// The check of each path; `None` = only traffic proves the path.
    pub checks: Vec<Option<CheckSetup>>,
    /// Its log.
    pub log: Option<LogSetup>,
    /// The check that passes when it is ready.
    pub ready: Option<Check>,
}

/// A check, and how it can be seen to fail.
pub enum CheckSetup {
    /// A command. An argument `{copy}` stands for the file that the consumer starts from. With a wrong copy the command
    /// must fail; otherwise its success counts only as `reported`.
    Exec {
        /// The command; its arguments may be `{copy}`.
        command: CommandLine,
        /// The file that stands for `{copy}`.
        copy: Option<FileId>,
        /// A turn of the agent, which must succeed after the command. Only the turn reaches the process, and only the
        /// command can be seen to fail.
        turn: Option<Turn>,
    },
    /// A request to the running process.
    Http(Check),
    /// A request to each worker of a LiteLLM proxy.
    LiteLlm(LiteLlmSetup),
}

/// A consumer's log.
#[derive(Debug, Clone)]
pub struct LogSetup {
    /// Where its lines are.
    pub source: LogSource,
    /// A line that shows an accepted credential.
    pub success: String,
    /// A line that shows a refused credential.
    pub failure: String,
}

/// A condition besides the evidence: the error rate.
#[derive(Debug, Clone, PartialEq)]
pub struct GateSetup {
    /// The query for the rate.
    pub rate: RateQuery,
    /// The highest rate that is accepted.
    pub max: f64,
}

/// How a proxy's workers are asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiteLlmSetup {
    /// Where it answers.
    pub address: SocketAddr,
    /// Its configuration file.
    pub config: PathBuf,
    /// The file with its own key, where it has one.
    pub key: Option<PathBuf>,
    /// One of its models, by the name that callers use; `None` = all that use the value.
    pub model: Option<String>,
    /// Files of variables that its workers read.
    pub env_files: Vec<PathBuf>,
    /// The field that its models use.
    pub field: String,
}

impl FileSetup {
    /// The versions that this file is compared with.
    pub(super) fn versions<'a>(&'a self, values: Values<'a>) -> Values<'a> {
        Values { new: self.own.as_deref().or(values.new), ..values }
    }
}

impl Setup {
    /// The versions that a consumer is compared with; its own key is the one in its files.
    pub(super) fn versions_of<'a>(&'a self, id: ConsumerId, values: Values<'a>) -> Values<'a> {
        let files = self.consumer(id).map(|consumer| consumer.files.as_slice()).unwrap_or_default();
        let own = files.iter().find_map(|file| self.file(*file).filter(|file| file.own.is_some()));
        own.map_or(values, |file| file.versions(values))
    }

    pub(super) fn file(&self, id: FileId) -> Option<&FileSetup> {
        self.files.get(id.index())
    }

    pub(super) fn consumer(&self, id: ConsumerId) -> Option<&ConsumerSetup> {
        self.consumers.get(id.index())
    }

    pub(super) fn consumer_ids(&self) -> impl Iterator<Item = (ConsumerId, &ConsumerSetup)> {
        let numbered = self.consumers.iter().enumerate();
        numbered.filter_map(|(at, consumer)| u16::try_from(at).ok().map(|at| (ConsumerId(at), consumer)))
    }

    pub(super) fn file_ids(&self) -> impl Iterator<Item = (FileId, &FileSetup)> {
        let numbered = self.files.iter().enumerate();
        numbered.filter_map(|(at, file)| u16::try_from(at).ok().map(|at| (FileId(at), file)))
    }
}
