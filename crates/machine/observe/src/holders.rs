use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::environment::{ENVIRONMENT_STEP_MS_MAX, Start, read_start};
use crate::memory::MemorySearch;
use crate::proc::ProcFolder;
use crate::worker::read_each;
use crate::{Listing, MemoryLimits, NotVisible, Process, ProcessId, Search, is_shell};

/// Where a process holds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// In the environment that the process was started with.
    Environment,
    /// In its memory.
    Memory,
}

/// One process that holds a value.
#[derive(Debug, Clone)]
pub struct Holder {
    /// Which process.
    pub process: Process,
    /// The values in each place.
    pub places: BTreeMap<Place, BTreeSet<u32>>,
    /// A shell at a terminal that holds the value in its environment and only passes it on to the programs that it
    /// starts. A shell that runs a script, also one from its standard input, is a holder like any other.
    pub shell: bool,
}

/// One process that could not be searched, in whole or in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotSeen {
    /// Which process.
    pub process: ProcessId,
    /// Its user, where known.
    pub uid: Option<u32>,
    /// Which part of it.
    pub place: Place,
    /// Why.
    pub reason: NotVisible,
}

/// What a search for holders found, and what was not visible.
#[derive(Debug, Clone, Default)]
pub struct HoldersReport {
    /// Processes that hold at least one of the values.
    pub holders: Vec<Holder>,
    /// Processes that were not searched whole.
    pub not_seen: Vec<NotSeen>,
}

/// keyroll's own process and those of its parents that run the same executable (`demo` that runs `apply`).
/// Children are not among them: a worker that was started by a restart command is a consumer.
pub fn own_tree(listing: &Listing) -> Vec<u32> {
    let own = std::process::id();
    let Some(process) = listing.seen.iter().find(|process| process.id.pid == own) else { return vec![own] };
    let same = |parent: &&&Process| parent.exe.is_some() && parent.exe == process.exe;
    let parents = crate::parents(listing, process);
    std::iter::once(own).chain(parents.iter().take_while(same).map(|parent| parent.id.pid)).collect()
}

/// Searches every listed process for the values: its environment first, and, where `memory` gives limits, its
/// memory. `memory.wait` limits each process, `wait` the whole search; the memory of the processes in `first` is searched
/// before that of the others. keyroll's own processes ([`own_tree`]) are left out.
pub fn search_holders(
    listing: &Listing,
    needles: &dyn Search,
    first: &BTreeSet<ProcessId>,
    memory: Option<MemoryLimits>,
    wait: Duration,
) -> HoldersReport {
    let deadline = Instant::now() + wait;
    let own = own_tree(listing);
    let left_out = |pid: &u32| own.contains(pid);
    let searched: BTreeMap<ProcessId, &Process> = listing
        .seen
        .iter()
        .filter(|process| !left_out(&process.id.pid))
        .map(|process| (process.id, process))
        .collect();
    let mut found: BTreeMap<ProcessId, BTreeMap<Place, BTreeSet<u32>>> = BTreeMap::new();
    let mut not_seen = Vec::new();
    let mut missed = |process: &Process, place, reason| {
        if !matches!(reason, NotVisible::Vanished | NotVisible::Replaced) {
            not_seen.push(NotSeen { process: process.id, uid: process.uid, place, reason });
        }
    };
    let ids: Vec<ProcessId> = searched.keys().copied().collect();
    let step = Duration::from_millis(ENVIRONMENT_STEP_MS_MAX);
    let answered = |answer: Result<Start, _>| answer.and_then(|start| start.holds(needles));
    read_each(&ids, step, deadline, read_start, &mut |id, answer| match answered(answer) {
        Ok(ids) => note(&mut found, *id, Place::Environment, ids),
        Err(reason) => {
            searched.get(id).into_iter().for_each(|one| missed(one, Place::Environment, reason.clone()))
        }
    });
    let mut memory_search = MemorySearch::new(needles);
    let (early, late): (Vec<_>, Vec<_>) = searched.iter().partition(|(id, _)| first.contains(id));
    for &(id, process) in memory.iter().flat_map(|_| early.iter().chain(&late)) {
        let left = deadline.saturating_duration_since(Instant::now());
        let limits = memory.unwrap_or_default();
        let report = memory_search.look(id, MemoryLimits { wait: limits.wait.min(left), ..limits });
        note(&mut found, *id, Place::Memory, report.found.keys().copied().collect());
        for reason in report.not_visible.into_iter().chain(report.gaps.into_iter().map(|gap| gap.reason)) {
            missed(process, Place::Memory, reason);
        }
    }
    let holder = |(id, places): (ProcessId, BTreeMap<Place, BTreeSet<u32>>)| {
        let process = (*searched.get(&id)?).clone();
        let shell = passes_on(&process);
        Some(Holder { process, places, shell })
    };
    HoldersReport { holders: found.into_iter().filter_map(holder).collect(), not_seen }
}

fn note(
    found: &mut BTreeMap<ProcessId, BTreeMap<Place, BTreeSet<u32>>>,
    process: ProcessId,
    place: Place,
    ids: BTreeSet<u32>,
) {
    if !ids.is_empty() {
        found.entry(process).or_default().insert(place, ids);
    }
}

/// Whether a process is an interactive shell: no command (`-c`) and no script among its arguments, and a terminal as
/// its standard input. A shell with a file or a pipe as input runs a program that works with the value (`sh < script`,
/// `bash -s`).
pub fn passes_on(process: &Process) -> bool {
    // One program may be many (busybox): the name that it was started under counts too.
    let shell =
        [process.exe.as_deref(), process.args.program()].iter().all(|path| path.is_some_and(is_shell));
    let runs_something = |argument: &[u8]| {
        !argument.starts_with(b"-") || (!argument.starts_with(b"--") && argument.contains(&b'c'))
    };
    shell && !process.args.any(runs_something) && at_terminal(&process.id)
}

/// Whether a process reads from a terminal; `false` also where that is not visible.
fn at_terminal(process: &ProcessId) -> bool {
    let input = ProcFolder::open_exact(process).and_then(|folder| folder.link("fd/0"));
    let numbered = |name: &str, start: &str| {
        let number = name.strip_prefix(start);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    input.is_ok_and(|input| {
        let name = input.to_string_lossy();
        numbered(&name, "/dev/pts/") || numbered(&name, "/dev/tty") || name == "/dev/console"
    })
}
