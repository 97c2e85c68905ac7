use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keyroll_needle::{Encoding, Needles};
use keyroll_observe::{
    MemoryLimits, MemoryReport, NotVisible, ProcessId, Search, UnreadMemory, memory_holds, resident_bytes,
};

use crate::processes::executed;
use crate::shell_exports::exports;
use crate::{Basis, Memory, Place, Sighting, Survey, Unseen, ValueId};

/// The longest time for reading the size of one process.
const RESIDENT_WAIT: Duration = Duration::from_secs(1);

/// How many complete searches of a memory a found value needs, and how many searches are made at most.
const WHOLE_LOOKS: usize = 2;
const LOOKS_MAX: usize = 4;

/// Limits of the second stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryStage {
    /// The most bytes that are read, of all processes together.
    pub bytes_max: u64,
    /// The longest time for all of them.
    pub wait: Duration,
    /// The longest time for one of them.
    pub wait_each: Duration,
}

/// 4 GiB, 60 seconds, 20 seconds.
impl Default for MemoryStage {
    fn default() -> Self {
        Self { bytes_max: 4 << 30, wait: Duration::from_secs(60), wait_each: Duration::from_secs(20) }
    }
}

/// What the second stage would read; announced before it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryAhead {
    /// The processes in the order of the search: first those that were started with a known value or have a file with
    /// one open, and among these the small ones, so that as many as possible are searched completely.
    pub processes: Vec<ProcessId>,
    /// About how many bytes they have in memory together.
    pub bytes: u64,
}

impl Survey {
    /// What a search of the memory of these instances would read.
    pub fn memory_ahead(&self, which: &BTreeSet<ProcessId>) -> MemoryAhead {
        let mut sized: Vec<(bool, u64, ProcessId)> = Vec::new();
        for process in which {
            let Some(instance) = self.instances.get(process) else { continue };
            let holds = !instance.values().is_empty() || !instance.open.is_empty();
            // A process whose size is not visible hides its memory too: the search reports it.
            sized.push((!holds, resident_bytes(process, RESIDENT_WAIT).unwrap_or(0), *process));
        }
        sized.sort_unstable();
        let bytes = sized.iter().map(|(_, bytes, _)| *bytes).sum();
        MemoryAhead { processes: sized.into_iter().map(|(_, _, process)| process).collect(), bytes }
    }

    /// The second stage: searches the memory of these processes for every value that the survey knows, in every
    /// encoding. `told` is called after each process.
    pub fn search_memory(
        &mut self,
        ahead: &MemoryAhead,
        limits: MemoryStage,
        told: &mut dyn FnMut(ProcessId, &Memory),
    ) {
        let Some(needles) = self.values.needles_for_memory() else { return };
        let deadline = Instant::now() + limits.wait;
        let mut left = limits.bytes_max;
        for (index, process) in ahead.processes.iter().enumerate() {
            let time = deadline.saturating_duration_since(Instant::now()).min(limits.wait_each);
            if left == 0 || time.is_zero() {
                let reason = if left == 0 { "the limit of bytes" } else { "the limit of time" };
                let what = format!("memory of {} processes", ahead.processes.len() - index);
                self.unseen.push(Unseen {
                    what,
                    reason: format!("{reason} was reached before it"),
                    uid: None,
                });
                break;
            }
            let of_one = MemoryLimits { bytes_max: left, wait: time, ..MemoryLimits::default() };
            let holds = self.instances.get(process).is_some_and(|one| !one.values().is_empty());
            let Looked { report, forms } = look(process, &needles, of_one, holds);
            left = left.saturating_sub(report.bytes_read);
            self.note_memory(*process, &report, &forms);
            if let Some(instance) = self.instances.get(process) {
                told(*process, &instance.memory);
            }
        }
        self.confirm_exports(left, deadline);
        self.search_names(left, deadline);
        self.leave_changed();
    }

    /// Settles which shells have exported what their children were started with: by the memory of the shell.
    fn confirm_exports(&mut self, mut left: u64, deadline: Instant) {
        let Self { values, instances, services, .. } = self;
        let common = |value: ValueId| values.get(value).is_none_or(crate::Value::common);
        let has = |shell: &ProcessId, value: ValueId| match instances.get(shell).map(|one| &one.memory) {
            Some(Memory::Whole(found)) if !common(value) => Some(found.contains(&value)),
            Some(Memory::InPart(found)) => found.contains(&value).then_some(true),
            Some(Memory::Whole(_) | Memory::NotSearched | Memory::Closed | Memory::Common) | None => None,
        };
        let mut exported: BTreeMap<(ProcessId, String), BTreeSet<ValueId>> = BTreeMap::new();
        for chain in services.iter().flat_map(|one| &one.chains) {
            for link in &chain.links {
                if let (Basis::Exported(shell), Some(value)) = (link.basis, link.value) {
                    exported.entry((shell, chain.name.clone())).or_default().insert(value);
                }
            }
        }
        let mut told: BTreeMap<(ProcessId, String, ValueId), bool> = BTreeMap::new();
        for ((shell, name), all) in exported {
            for value in &all {
                let exports = match has(&shell, *value) {
                    // Two children with different values do not both have theirs from the shell.
                    Some(true) if all.len() > 1 => None,
                    Some(true) => {
                        let wait = deadline.saturating_duration_since(Instant::now());
                        let limits = MemoryLimits { bytes_max: left, wait, ..MemoryLimits::default() };
                        let secret = values.get(*value).map(crate::Value::secret);
                        secret.and_then(|secret| exports(&shell, (&name, secret), limits, &mut left))
                    }
                    other => other,
                };
                told.extend(exports.map(|exports| ((shell, name.clone(), *value), exports)));
            }
        }
        for chain in services.iter_mut().flat_map(|one| &mut one.chains) {
            chain.confirm_exports(&|name, shell, value| told.get(&(shell, name.to_owned(), value)).copied());
        }
    }

    fn note_memory(&mut self, process: ProcessId, report: &MemoryReport, forms: &BTreeMap<u32, Encoding>) {
        let Some(instance) = self.instances.get_mut(&process) else { return };
        let uid = self.listing.seen.iter().find(|one| one.id == process).and_then(|one| one.uid);
        let gone =
            [&report.not_visible].into_iter().flatten().chain(report.gaps.iter().map(|gap| &gap.reason));
        let ended =
            gone.into_iter().any(|reason| matches!(reason, NotVisible::Vanished | NotVisible::Replaced));
        if ended || instance.program.differs(report.program) {
            // Its values say nothing about another process in its place, which was not searched.
            self.instances.remove(&process);
            let (what, reason) = (format!("process {}", process.pid), "it ended meanwhile".to_owned());
            let unseen = if ended { Unseen { what, reason, uid } } else { executed(process, uid) };
            return self.unseen.push(unseen);
        }
        let unseen = report.not_visible.iter().map(|reason| (reason, 0));
        for (reason, bytes) in unseen.chain(report.gaps.iter().map(|gap| (&gap.reason, gap.bytes))) {
            let part = if bytes == 0 { String::new() } else { format!("{bytes} bytes of ") };
            let what = format!("{part}memory of process {}", process.pid);
            self.unseen.push(Unseen { what, reason: reason.to_string(), uid });
        }
        instance.copies = report.found.keys().map(|id| (ValueId(*id), report.own(*id))).collect();
        instance.copies.retain(|_, copies| *copies > 0);
        let found: BTreeSet<ValueId> = instance.copies.keys().copied().collect();
        let sighting = |value: &ValueId| {
            let encoding = forms.get(&value.0).copied().unwrap_or(Encoding::Raw);
            Sighting { value: *value, place: Place::Memory { process }, name: None, slot: None, encoding }
        };
        self.sightings.extend(found.iter().map(sighting));
        instance.memory = match report {
            report if !report.visible() => Memory::Closed,
            report if report.whole() => Memory::Whole(found),
            _ => Memory::InPart(found),
        };
    }
}

struct Looked {
    report: MemoryReport,
    forms: BTreeMap<u32, Encoding>,
}

/// Searches the memory of a process. The process runs on and moves its data: a value could first be where the search
/// has not been yet, and then where it has been already. If a value was found, or was in its start, a verdict may
/// depend on the search: then everything is searched twice, and a value that was found either time counts. Memory that
/// was unmapped during one search is no gap of the next one.
fn look(process: &ProcessId, needles: &Needles, limits: MemoryLimits, holds: bool) -> Looked {
    let search = Noting { needles, forms: RefCell::default() };
    let began = Instant::now();
    let mut report = memory_holds(process, &search, limits);
    let mut whole = usize::from(report.whole());
    for _ in 1..LOOKS_MAX {
        let wanted = if report.found.is_empty() && !holds { 1 } else { WHOLE_LOOKS };
        let passing =
            report.visible() && report.gaps.iter().all(|gap| gap.reason == NotVisible::ClosedMemory);
        if whole >= wanted || !passing {
            break;
        }
        let bytes_max = limits.bytes_max.saturating_sub(report.bytes_read);
        let wait = limits.wait.saturating_sub(began.elapsed());
        let again = memory_holds(process, &search, MemoryLimits { bytes_max, wait, ..limits });
        whole += usize::from(again.whole());
        for (counted, more) in [(&mut report.found, again.found), (&mut report.at_start, again.at_start)] {
            for (id, copies) in more {
                let known = counted.entry(id).or_default();
                *known = copies.max(*known);
            }
        }
        // The last search notices another program in the process's place.
        if again.not_visible.is_none() {
            report.program = again.program;
        }
        report.bytes_read += again.bytes_read;
        report.gaps = again.gaps;
        report.gaps.extend(again.not_visible.map(|reason| UnreadMemory { bytes: 0, reason }));
    }
    Looked { report, forms: search.forms.into_inner() }
}

/// Records the form in which a value was first found.
struct Noting<'n> {
    needles: &'n Needles,
    forms: RefCell<BTreeMap<u32, Encoding>>,
}

impl Search for Noting<'_> {
    fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
        self.needles.find(bytes, &mut |found| {
            self.forms.borrow_mut().entry(found.id.0).or_insert(found.encoding);
            hit(found.id.0, found.start);
        });
    }

    fn longest(&self) -> usize {
        self.needles.longest()
    }
}
