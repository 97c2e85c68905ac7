use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use keyroll_observe::{
    Listing, NotVisible, Process, ProcessId, Program, called, is_interpreter, is_shell, passes_on, script,
    started_unix_ms,
};

use crate::{Held, Memory, ValueId};

/// A word in the command line of a worker that Python's `multiprocessing` starts as a program of its own.
const SPAWNED: &[u8] = b"multiprocessing";

/// One running process: what it belongs to, and which values it holds.
#[derive(Debug, Clone)]
pub struct Instance {
    /// Which process.
    pub process: ProcessId,
    /// The process that started it, if that is listed.
    pub parent: Option<ProcessId>,
    /// When it was started, milliseconds since 1970 by today's clock; at most 10 ms too early.
    pub started_unix_ms: Option<u64>,
    /// No earlier than this its service was made, if each restart uses the environment of that time: milliseconds since 1970.
    pub made_unix_ms: Option<u64>,
    /// Forked, and no exec since: it has its parent's environment and what its parent had loaded.
    pub forked: bool,
    /// An interactive shell, which passes its exports on.
    pub shell: bool,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
    /// The container that it runs in.
    pub container: Option<String>,
    /// Its place among the workers of one master.
    pub worker: Option<Worker>,
    /// The program run that was inspected; another program that it executes later is another instance.
    pub program: Program,
    /// Every value that it was started with; or why its start is not completely visible.
    pub start: Result<BTreeSet<ValueId>, StartUnseen>,
    /// Every value in its memory.
    pub memory: Memory,
    /// How many copies of each value its memory has.
    pub copies: BTreeMap<ValueId, u64>,
    /// The files with copies that it has open.
    pub open: BTreeSet<Opened>,
    /// The values in the present content of files that it has open.
    pub read: BTreeSet<ValueId>,
}

/// Why a process's start environment is not visible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StartUnseen {
    /// The kernel does not show it.
    #[error("{0}")]
    Hidden(NotVisible),
    /// The process overwrote it to show a title.
    #[error("the process wrote over its environment")]
    Overwritten,
}

/// One of several processes of one program under one master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// The master.
    pub of: ProcessId,
    /// From 1 on, in the order of their starts.
    pub index: usize,
    /// How many there are.
    pub count: usize,
}

/// A file with a copy that a process has open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opened {
    /// Its path.
    pub path: PathBuf,
    /// It is an earlier file of this path.
    pub replaced: bool,
}

impl Instance {
    /// A process without any evidence yet.
    pub fn new(process: ProcessId) -> Self {
        Self {
            process,
            parent: None,
            started_unix_ms: None,
            made_unix_ms: None,
            forked: false,
            shell: false,
            unit: None,
            container: None,
            worker: None,
            program: Program::default(),
            start: Err(StartUnseen::Hidden(NotVisible::OutOfTime)),
            memory: Memory::NotSearched,
            copies: BTreeMap::new(),
            open: BTreeSet::new(),
            read: BTreeSet::new(),
        }
    }

    /// The evidence about these versions of one secret; `common` = one of them may occur anywhere by chance.
    pub fn held(&self, versions: &BTreeSet<ValueId>, common: bool) -> Held {
        let of = |all: &BTreeSet<ValueId>| all.intersection(versions).copied().collect();
        let memory = match &self.memory {
            Memory::NotSearched => Memory::NotSearched,
            Memory::Closed => Memory::Closed,
            _ if common => Memory::Common,
            Memory::Whole(found) => Memory::Whole(of(found)),
            Memory::InPart(found) => Memory::InPart(of(found)),
            Memory::Common => Memory::Common,
        };
        let start = self.start.as_ref().ok().map(of);
        Held { start, beside: BTreeSet::new(), memory, read: of(&self.read) }
    }

    /// Every value that it was seen to hold, in any place.
    pub fn values(&self) -> BTreeSet<ValueId> {
        let mut all: BTreeSet<ValueId> = self.start.iter().flatten().copied().collect();
        if let Memory::Whole(found) | Memory::InPart(found) = &self.memory {
            all.extend(found);
        }
        all
    }
}

/// The listed processes without keyroll's own, each with what it belongs to; their values are read later.
pub(crate) fn instances(listing: &Listing, own: &[u32]) -> BTreeMap<ProcessId, Instance> {
    let by_pid: BTreeMap<u32, &Process> = listing.seen.iter().map(|one| (one.id.pid, one)).collect();
    let mut workers: BTreeMap<ProcessId, Vec<&Process>> = BTreeMap::new();
    for process in &listing.seen {
        if let Some(master) = by_pid.get(&process.ppid).filter(|parent| masters(parent, process)) {
            workers.entry(master.id).or_default().push(process);
        }
    }
    let mut place: BTreeMap<ProcessId, Worker> = BTreeMap::new();
    for (of, mut all) in workers {
        all.sort_by_key(|one| (one.id.start_ticks, one.id.pid));
        let count = all.len();
        place.extend(
            all.into_iter().enumerate().map(|(index, one)| (one.id, Worker { of, index: index + 1, count })),
        );
    }
    let listed = listing.seen.iter().filter(|one| !own.contains(&one.id.pid));
    listed
        .map(|one| {
            let instance = Instance {
                parent: by_pid.get(&one.ppid).map(|parent| parent.id),
                started_unix_ms: started_unix_ms(&one.id).ok(),
                forked: one.forked,
                shell: passes_on(one),
                unit: one.unit().map(str::to_owned),
                container: one.container().map(str::to_owned),
                worker: place.get(&one.id).copied(),
                ..Instance::new(one.id)
            };
            (one.id, instance)
        })
        .collect()
}

/// Whether one process is the master of the other: the other is a fork of it, or both run the same program. A shell may
/// start any program, and so may an interpreter with another script: supervisord's programs are not its workers.
fn masters(parent: &Process, child: &Process) -> bool {
    let Some(exe) = parent.exe.as_deref().filter(|exe| parent.exe == child.exe && !is_shell(exe)) else {
        return false;
    };
    // Python's own way to start workers as new processes.
    let spawned =
        |process: &Process| process.args.any(|one| one.windows(SPAWNED.len()).any(|at| at == SPAWNED));
    // Of two without a script, a title or a module tells whether they run the same.
    let same = || script(parent) == script(child) && called(parent) == called(child);
    child.forked || !is_interpreter(exe) || spawned(child) || same()
}
