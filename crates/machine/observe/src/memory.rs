use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::memory_read::{BUFFERS_MAX, Buffer, Buffers, FreeBuffers, Piece, locked, read_memory};
use crate::meter::Meter;
use crate::proc::ProcFolder;
use crate::worker::{Worker, within};
use crate::{NotVisible, ProcessId, Program, Search};

/// The longest /proc/PID/statm, bytes: seven numbers.
const STATM_BYTES_MAX: usize = 4096;

/// How many different gaps are recorded separately.
const GAPS_MAX: usize = 64;

/// Limits of one look into a process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The most bytes read.
    pub bytes_max: u64,
    /// The longest time for the whole look.
    pub wait: Duration,
    /// The longest time for one read; after it the look ends as stuck.
    pub step: Duration,
}

/// 4 GiB, 30 seconds, 2 seconds.
impl Default for MemoryLimits {
    fn default() -> Self {
        Self { bytes_max: 4 << 30, wait: Duration::from_secs(30), step: Duration::from_secs(2) }
    }
}

/// A part of the memory that could hold a value and was not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadMemory {
    /// How many bytes of address space.
    pub bytes: u64,
    /// Why.
    pub reason: NotVisible,
}

/// The result of one look into a process's memory.
///
/// A value that was found was there. A value that was not found is not proven gone: garbage collectors move residue, a
/// value may be held in another form, and [`MemoryReport::gaps`] were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryReport {
    /// Which process.
    pub process: ProcessId,
    /// Which program ran in it.
    pub program: Program,
    /// Nothing could be read at all, and why.
    pub not_visible: Option<NotVisible>,
    /// How many copies of each value were found; a value without copies has no entry.
    pub found: BTreeMap<u32, u64>,
    /// How many of these are in the kernel's record of the start (command line and environment): they show what the
    /// process was started with, not what it has read since.
    pub at_start: BTreeMap<u32, u64>,
    /// How many bytes were searched.
    pub bytes_read: u64,
    /// What could not be searched.
    pub gaps: Vec<UnreadMemory>,
}

impl MemoryReport {
    fn new(process: ProcessId, not_visible: Option<NotVisible>) -> Self {
        let (found, at_start) = Default::default();
        let program = Program::default();
        Self { process, program, not_visible, found, at_start, bytes_read: 0, gaps: Vec::new() }
    }

    /// Whether at least something was read.
    pub fn visible(&self) -> bool {
        self.not_visible.is_none()
    }

    /// How many copies of a value were found.
    pub fn count(&self, id: u32) -> u64 {
        self.found.get(&id).copied().unwrap_or(0)
    }

    /// How many copies were found outside the kernel's record of the start.
    pub fn own(&self, id: u32) -> u64 {
        self.count(id).saturating_sub(self.at_start.get(&id).copied().unwrap_or(0))
    }

    /// Whether all memory that could hold a value was searched.
    pub fn whole(&self) -> bool {
        self.visible() && self.gaps.is_empty()
    }

    fn gap(&mut self, bytes: u64, reason: NotVisible) {
        if let Some(known) = self.gaps.iter_mut().find(|gap| gap.reason == reason) {
            known.bytes = known.bytes.saturating_add(bytes);
        } else if self.gaps.len() < GAPS_MAX {
            self.gaps.push(UnreadMemory { bytes, reason });
        }
    }
}

/// How much of a process is in memory now, bytes: about what a search of it reads.
///
/// # Errors
/// It is not visible, and why.
pub fn resident_bytes(process: &ProcessId, wait: Duration) -> Result<u64, NotVisible> {
    let process = *process;
    let text = within(wait, move || ProcFolder::open_exact(&process)?.read_plain("statm", STATM_BYTES_MAX))??;
    // Pages: all, resident, and more. Source: proc_pid_statm(5).
    let text = String::from_utf8_lossy(&text);
    let pages = text.split_ascii_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok());
    pages.map(|pages| pages.saturating_mul(rustix::param::page_size() as u64)).ok_or(NotVisible::Malformed)
}

/// Searches the memory of one process: private and shared data, heap, stacks; not code, not files mapped read-only.
///
/// The process is not stopped. Pages that were never touched are not read, so the look does not make the process
/// larger.
pub fn memory_holds(process: &ProcessId, needles: &dyn Search, limits: MemoryLimits) -> MemoryReport {
    MemorySearch::new(needles).look(process, limits)
}

/// Searches the memory of processes one after the other, as [`memory_holds`] does, with one reading thread and its
/// buffers for all of them. A thread that gets stuck is abandoned, and another one reads the next process.
pub(crate) struct MemorySearch<'n> {
    needles: &'n dyn Search,
    reader: Option<ReadingThread>,
}

/// The reading thread, as the caller sees it.
struct ReadingThread {
    /// The processes to read, each with the most bytes.
    ask: SyncSender<(ProcessId, u64)>,
    pieces: Worker<Piece>,
    free: FreeBuffers,
    /// Shows the thread that a buffer has become free.
    returned: SyncSender<()>,
}

impl Drop for ReadingThread {
    /// Overwrites what was read, also if the thread is stuck and never ends.
    fn drop(&mut self) {
        locked(&self.free).clear();
    }
}

impl ReadingThread {
    fn start(room: usize) -> Result<Self, NotVisible> {
        let (ask, asked) = sync_channel::<(ProcessId, u64)>(1);
        let (returned, returns) = sync_channel(BUFFERS_MAX);
        let free = FreeBuffers::default();
        let of_thread = Arc::clone(&free);
        let read = move |pieces: &SyncSender<Piece>| {
            let mut buffers = Buffers::new(of_thread, returns, room);
            for (process, bytes_max) in asked {
                let reading = Meter::start();
                read_memory(&process, bytes_max, &mut buffers, pieces);
                drop(reading);
                if pieces.send(Piece::End).is_err() {
                    return;
                }
            }
        };
        Ok(Self { ask, pieces: Worker::start(read)?, free, returned })
    }
}

impl<'n> MemorySearch<'n> {
    pub(crate) fn new(needles: &'n dyn Search) -> Self {
        Self { needles, reader: None }
    }

    pub(crate) fn look(&mut self, process: &ProcessId, limits: MemoryLimits) -> MemoryReport {
        let _searching = Meter::start();
        let keep = self.needles.longest().saturating_sub(1);
        let reader = match self.reader.take().map_or_else(|| ReadingThread::start(keep), Ok) {
            Ok(reader) => reader,
            Err(reason) => return MemoryReport::new(*process, Some(reason)),
        };
        let mut look = Look::new(MemoryReport::new(*process, None), keep);
        // If the thread has ended, it gives no piece.
        let _ = reader.ask.send((*process, limits.bytes_max));
        let deadline = Instant::now() + limits.wait;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match left.is_zero() {
                true => Err(NotVisible::OutOfTime),
                false => reader.pieces.next(limits.step.min(left)),
            };
            match answer {
                Ok(Some(Piece::Of(program, kept))) => (look.report.program, look.kept) = (program, kept),
                Ok(Some(Piece::Bytes(mut buffer))) => {
                    look.search(&mut buffer, self.needles);
                    locked(&reader.free).push(buffer);
                    // If several are waiting to be noticed already, the thread looks for a free buffer anyway.
                    let _ = reader.returned.try_send(());
                }
                Ok(Some(Piece::Unread { bytes, reason })) => look.report.gap(bytes, reason),
                Ok(Some(Piece::Failed(reason))) => fail(&mut look.report, reason),
                Ok(Some(Piece::End)) => {
                    self.reader = Some(reader);
                    return look.report;
                }
                // Without an answer the thread panicked.
                Ok(None) | Err(_) => {
                    fail(&mut look.report, answer.err().unwrap_or(NotVisible::Malformed));
                    return look.report;
                }
            }
        }
    }
}

/// A failure before the first read means "not visible"; a later one is a gap of unknown size.
fn fail(report: &mut MemoryReport, reason: NotVisible) {
    if report.bytes_read == 0 {
        report.not_visible = Some(reason);
    } else {
        report.gap(0, reason);
    }
}

/// A search through pieces in the order in which they arrive. If two pieces are adjacent, the end of the first is
/// searched again with the second: a match across their border is found, and a match before it is not counted twice.
struct Look {
    report: MemoryReport,
    kept: [[u64; 2]; 2],
    /// The longest match less one byte.
    keep: usize,
    /// The end of the last piece, and the address after it.
    end: Zeroizing<Vec<u8>>,
    behind: u64,
    /// The matches that were counted in that end: addresses and values.
    counted: Vec<(u64, u32)>,
}

impl Look {
    fn new(report: MemoryReport, keep: usize) -> Self {
        let end = Zeroizing::new(Vec::with_capacity(keep));
        Self { report, kept: [[0; 2]; 2], keep, end, behind: 0, counted: Vec::new() }
    }

    fn search(&mut self, buffer: &mut Buffer, needles: &dyn Search) {
        let last = buffer.parts.len().saturating_sub(1);
        for (index, part) in std::mem::take(&mut buffer.parts).into_iter().enumerate() {
            // Parts of one buffer are never adjacent: otherwise they would be one part. Only the first part may
            // continue the last buffer.
            let carried = if index == 0 && part.address == self.behind { self.end.len() } else { 0 };
            let from = part.start.saturating_sub(carried);
            if let Some(room) = buffer.bytes.get_mut(from..part.start).filter(|_| carried > 0) {
                room.copy_from_slice(&self.end);
            }
            let bytes = buffer.bytes.get(from..part.end).unwrap_or_default();
            let address = part.address - carried as u64;
            self.part(address, bytes, carried > 0, needles);
            self.report.bytes_read += (part.end - part.start) as u64;
            if index == last {
                let end = bytes.get(bytes.len().saturating_sub(self.keep)..).unwrap_or_default();
                self.behind = address + bytes.len() as u64;
                self.end.clear();
                self.end.extend_from_slice(end);
                let from = self.behind - end.len() as u64;
                self.counted.retain(|(at, _)| *at >= from);
            }
        }
    }

    fn part(&mut self, address: u64, bytes: &[u8], goes_on: bool, needles: &dyn Search) {
        let mut hits = Vec::new();
        needles.find(bytes, &mut |id, offset| hits.push((address + offset as u64, id)));
        hits.sort_unstable();
        // Two encodings of one value can match at one place; it is one copy.
        hits.dedup();
        for (at, id) in &hits {
            if goes_on && self.counted.contains(&(*at, *id)) {
                continue;
            }
            *self.report.found.entry(*id).or_default() += 1;
            if self.kept.iter().any(|[from, to]| (from..to).contains(&at)) {
                *self.report.at_start.entry(*id).or_default() += 1;
            }
        }
        self.counted = hits;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct FixedText(&'static [u8]);

    impl Search for FixedText {
        fn find(&self, bytes: &[u8], hit: &mut dyn FnMut(u32, usize)) {
            for (offset, window) in bytes.windows(self.0.len()).enumerate() {
                if window == self.0 {
                    hit(1, offset);
                }
            }
        }

        fn longest(&self) -> usize {
            self.0.len() + 3
        }
    }

    /// Searches the pieces, each in a buffer of its own.
    fn looked(pieces: &[(u64, &[u8])], kept: [[u64; 2]; 2]) -> MemoryReport {
        let needle = FixedText(b"needle");
        let keep = needle.longest() - 1;
        let process = ProcessId { boot: 1, pid: 1, start_ticks: 1 };
        let mut look = Look { kept, ..Look::new(MemoryReport::new(process, None), keep) };
        for (address, bytes) in pieces {
            let mut buffer = Buffer::new(keep);
            buffer.bytes[keep..keep + bytes.len()].copy_from_slice(bytes);
            buffer.note(*address, bytes.len());
            look.search(&mut buffer, &needle);
        }
        look.report
    }

    #[test]
    fn a_match_across_pieces_is_counted_once_wherever_the_border_is() {
        let text = b"..needle....needleneedle..";
        for cut in 0..=text.len() {
            for second in cut..=text.len() {
                let pieces = [(0, cut), (cut, second), (second, text.len())]
                    .map(|(from, to)| (100 + from as u64, &text[from..to]));
                assert_eq!(looked(&pieces, [[0; 2]; 2]).count(1), 3, "cut at {cut} and {second}");
            }
        }
    }

    #[test]
    fn pieces_that_are_apart_are_not_joined() {
        assert_eq!(looked(&[(100, b"..nee"), (4096, b"dle..")], [[0; 2]; 2]).count(1), 0);
    }

    #[test]
    fn parts_of_one_buffer_are_searched_one_by_one() {
        let mut buffer = Buffer::new(8);
        let process = ProcessId { boot: 1, pid: 1, start_ticks: 1 };
        let mut look = Look::new(MemoryReport::new(process, None), 8);
        for (address, bytes) in [(100, &b"..nee"[..]), (4096, b"dle.needle"), (9000, b"nee")] {
            let at = buffer.parts.last().map_or(8, |part| part.end);
            buffer.bytes[at..at + bytes.len()].copy_from_slice(bytes);
            buffer.note(address, bytes.len());
        }
        look.search(&mut buffer, &FixedText(b"needle"));
        assert_eq!((look.report.count(1), look.report.bytes_read), (1, 18));
        let mut next = Buffer::new(8);
        next.bytes[8..11].copy_from_slice(b"dle");
        next.note(9003, 3);
        look.search(&mut next, &FixedText(b"needle"));
        assert_eq!(look.report.count(1), 2, "the last part goes on in the next buffer");
    }

    #[test]
    fn what_the_kernel_keeps_of_the_start_is_counted_apart() {
        let report = looked(&[(100, b"needle..needle..needle")], [[108, 110], [0, 0]]);
        assert_eq!((report.count(1), report.own(1)), (3, 2));
    }
}
