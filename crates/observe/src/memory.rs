use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use crate::maps::{Choice, Region, choose};
use crate::meter::Meter;
use crate::proc::ProcFolder;
use crate::worker::Worker;
use crate::{NotVisible, ProcessId, Search};

/// The largest /proc/PID/maps that is read, bytes.
const MAPS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much is read at once, bytes.
const PIECE_BYTES: u64 = 1024 * 1024;

/// How many different gaps are kept apart.
const GAPS_MAX: usize = 64;

/// Limits of one look into a process's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// The most bytes read.
    pub bytes_max: u64,
    /// The longest time for the whole look.
    pub wait: Duration,
    /// The longest time for one read; behind it the look ends as stuck.
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
pub struct Gap {
    /// How many bytes of address space.
    pub bytes: u64,
    /// Why.
    pub reason: NotVisible,
}

/// What one look into a process's memory showed.
///
/// A value that was found was there. One that was not found is no proof that it is gone: collectors move residue,
/// a value may be held in another form, and [`MemoryReport::gaps`] were not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryReport {
    /// Which process.
    pub process: ProcessId,
    /// Nothing could be read at all, and why.
    pub not_visible: Option<NotVisible>,
    /// Per value how many copies were found; a value without copies has no entry.
    pub found: BTreeMap<u32, u64>,
    /// How many bytes were searched.
    pub bytes_read: u64,
    /// What could not be searched.
    pub gaps: Vec<Gap>,
}

impl MemoryReport {
    fn new(process: ProcessId, not_visible: Option<NotVisible>) -> Self {
        Self { process, not_visible, found: BTreeMap::new(), bytes_read: 0, gaps: Vec::new() }
    }

    /// Whether at least something was read.
    pub fn visible(&self) -> bool {
        self.not_visible.is_none()
    }

    /// How many copies of a value were found.
    pub fn count(&self, id: u32) -> u64 {
        self.found.get(&id).copied().unwrap_or(0)
    }

    fn gap(&mut self, bytes: u64, reason: NotVisible) {
        if let Some(known) = self.gaps.iter_mut().find(|gap| gap.reason == reason) {
            known.bytes = known.bytes.saturating_add(bytes);
        } else if self.gaps.len() < GAPS_MAX {
            self.gaps.push(Gap { bytes, reason });
        }
    }
}

/// What the reading thread tells.
enum Piece {
    Bytes { address: u64, bytes: Zeroizing<Vec<u8>> },
    Gap { bytes: u64, reason: NotVisible },
    Failed(NotVisible),
}

/// Searches the memory of one process: private and shared data, heap, stacks; not code, not files mapped read-only.
///
/// The process is not stopped; pages that were never touched are not read, so the look does not grow it.
pub fn memory_holds(process: &ProcessId, needles: &dyn Search, limits: MemoryLimits) -> MemoryReport {
    let _searching = Meter::start();
    let mut report = MemoryReport::new(*process, None);
    let (target, bytes_max) = (*process, limits.bytes_max);
    let read = move |pieces: &SyncSender<Piece>| {
        let _reading = Meter::start();
        read_memory(&target, bytes_max, pieces);
    };
    let worker = match Worker::start(read) {
        Ok(worker) => worker,
        Err(reason) => return MemoryReport::new(*process, Some(reason)),
    };
    let deadline = Instant::now() + limits.wait;
    let mut joined = Joined::with_room(needles.longest());
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let (answer, late) = match left.is_zero() {
            true => (Err(NotVisible::OutOfTime), NotVisible::OutOfTime),
            false => (worker.next(limits.step.min(left)), NotVisible::Stuck),
        };
        match answer {
            Ok(Some(Piece::Bytes { address, bytes })) => joined.search(address, &bytes, needles, &mut report),
            Ok(Some(Piece::Gap { bytes, reason })) => report.gap(bytes, reason),
            Ok(Some(Piece::Failed(reason))) => fail(&mut report, reason),
            Ok(None) => break,
            Err(_) => {
                fail(&mut report, late);
                break;
            }
        }
    }
    joined.finish(needles, &mut report);
    report
}

/// A failure before anything was read means "not visible"; one after it is a gap of unknown size.
fn fail(report: &mut MemoryReport, reason: NotVisible) {
    if report.bytes_read == 0 {
        report.not_visible = Some(reason);
    } else {
        report.gap(0, reason);
    }
}

/// Pieces that lie side by side, searched so that a match across their border is found once.
#[derive(Default)]
struct Joined {
    start: u64,
    held: Zeroizing<Vec<u8>>,
}

impl Joined {
    /// With room for a piece and a rest, so that the buffer never moves and leaves a copy behind.
    fn with_room(longest: usize) -> Self {
        let piece = usize::try_from(PIECE_BYTES).unwrap_or(0);
        Self { start: 0, held: Zeroizing::new(Vec::with_capacity(piece + longest)) }
    }

    fn search(&mut self, address: u64, bytes: &[u8], needles: &dyn Search, report: &mut MemoryReport) {
        report.bytes_read = report.bytes_read.saturating_add(bytes.len() as u64);
        if self.start + self.held.len() as u64 != address {
            self.finish(needles, report);
            self.start = address;
        }
        self.held.extend_from_slice(bytes);
        // A match that begins in the last `longest - 1` bytes may go on in the next piece: it is left for then.
        let keep = needles.longest().saturating_sub(1).min(self.held.len());
        self.count_before(self.held.len() - keep, needles, report);
    }

    fn finish(&mut self, needles: &dyn Search, report: &mut MemoryReport) {
        self.count_before(self.held.len(), needles, report);
    }

    fn count_before(&mut self, cut: usize, needles: &dyn Search, report: &mut MemoryReport) {
        let mut hits = Vec::new();
        needles.find(&self.held, &mut |id, offset| {
            if offset < cut {
                hits.push((id, offset));
            }
        });
        hits.sort_unstable();
        // Two encodings of one value can match at one place; it is one copy.
        hits.dedup();
        for (id, _) in hits {
            *report.found.entry(id).or_default() += 1;
        }
        self.held.drain(..cut);
        self.start += cut as u64;
    }
}

fn read_memory(process: &ProcessId, bytes_max: u64, pieces: &SyncSender<Piece>) {
    let opened = ProcFolder::open_exact(process).and_then(|folder| {
        let maps = folder.read("maps", MAPS_BYTES_MAX)?;
        // The map was readable and the memory is not: this is the process's or the machine's own choice.
        let closed = |reason| if reason == NotVisible::Permission { NotVisible::NoPtrace } else { reason };
        let memory = folder.file("mem").map_err(closed)?;
        Ok((maps, memory, folder.file("pagemap").ok()))
    });
    let (maps, memory, pagemap) = match opened {
        Ok(opened) => opened,
        Err(reason) => return drop(pieces.send(Piece::Failed(reason))),
    };
    let mut left = bytes_max;
    for line in String::from_utf8_lossy(&maps).lines() {
        let told = match choose(line) {
            Some(Choice::Leave) => true,
            Some(Choice::Closed(bytes)) => send_gap(pieces, bytes, NotVisible::ClosedMemory),
            Some(Choice::TooLarge(bytes)) => send_gap(pieces, bytes, NotVisible::TooLarge),
            Some(Choice::Read(region)) => read_region(&memory, pagemap.as_ref(), &region, &mut left, pieces),
            None => send_gap(pieces, 0, NotVisible::Malformed),
        };
        if !told {
            return;
        }
    }
    if maps.is_empty() {
        drop(pieces.send(Piece::Failed(NotVisible::Vanished)));
    }
}

fn send_gap(pieces: &SyncSender<Piece>, bytes: u64, reason: NotVisible) -> bool {
    pieces.send(Piece::Gap { bytes, reason }).is_ok()
}

/// Reads one mapping piece by piece. `false` = nobody takes the pieces any more, or the process is gone.
fn read_region(
    memory: &File,
    pagemap: Option<&File>,
    region: &Region,
    left: &mut u64,
    pieces: &SyncSender<Piece>,
) -> bool {
    let mut address = region.start;
    while address < region.end {
        let end = region.end.min(address.saturating_add(PIECE_BYTES));
        let pages = pagemap.filter(|_| region.private);
        for (start, end) in pages.map_or(vec![(address, end)], |pages| touched(pages, address, end)) {
            if end - start > *left {
                return send_gap(pieces, region.end - start, NotVisible::TooLarge);
            }
            *left -= end - start;
            let Ok(length) = usize::try_from(end - start) else { return false };
            let mut bytes = Zeroizing::new(vec![0; length]);
            let sent = match memory.read_at(&mut bytes, start) {
                // The address space is gone: the process ended or executed another program.
                Ok(0) => drop_failed(pieces),
                Ok(read) => {
                    bytes.truncate(read);
                    let whole =
                        read == length || send_gap(pieces, (length - read) as u64, NotVisible::ClosedMemory);
                    whole && pieces.send(Piece::Bytes { address: start, bytes }).is_ok()
                }
                // EIO: unmapped since, or not readable by anyone.
                Err(error) if error.raw_os_error() == Some(libc::EIO) => {
                    send_gap(pieces, end - start, NotVisible::ClosedMemory)
                }
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => drop_failed(pieces),
                Err(error) => send_gap(pieces, end - start, NotVisible::of_io(&error)),
            };
            if !sent {
                return false;
            }
        }
        address = end;
    }
    true
}

fn drop_failed(pieces: &SyncSender<Piece>) -> bool {
    drop(pieces.send(Piece::Failed(NotVisible::Vanished)));
    false
}

/// The parts of an address range that have pages, in memory or swapped out: bits 63 and 62 of each 64-bit entry of
/// /proc/PID/pagemap. Source: admin-guide/mm/pagemap.rst. All of it where the entries cannot be read.
fn touched(pagemap: &File, start: u64, end: u64) -> Vec<(u64, u64)> {
    let page = rustix::param::page_size() as u64;
    let mut entries = vec![0; usize::try_from((end - start) / page * 8).unwrap_or(0)];
    if pagemap.read_exact_at(&mut entries, start / page * 8).is_err() {
        return vec![(start, end)];
    }
    let mut parts: Vec<(u64, u64)> = Vec::new();
    for (index, entry) in entries.chunks_exact(8).enumerate() {
        // Little-endian machines only: the two bits are in the last byte.
        let present = entry.last().is_some_and(|high| high & 0b1100_0000 != 0);
        let here = start + index as u64 * page;
        match parts.last_mut() {
            _ if !present => {}
            Some((_, behind)) if *behind == here => *behind = here + page,
            _ => parts.push((here, here + page)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Word(&'static [u8]);

    impl Search for Word {
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

    #[test]
    fn a_match_across_pieces_is_counted_once_wherever_the_border_is() {
        let text = b"..needle....needleneedle..";
        let process = ProcessId { boot: 1, pid: 1, start_ticks: 1 };
        for cut in 0..=text.len() {
            for second in cut..=text.len() {
                let mut report = MemoryReport::new(process, None);
                let mut joined = Joined::default();
                for (from, to) in [(0, cut), (cut, second), (second, text.len())] {
                    joined.search(100 + from as u64, &text[from..to], &Word(b"needle"), &mut report);
                }
                joined.finish(&Word(b"needle"), &mut report);
                assert_eq!(report.count(1), 3, "cut at {cut} and {second}");
            }
        }
    }

    #[test]
    fn pieces_that_are_apart_are_not_joined() {
        let mut report = MemoryReport::new(ProcessId { boot: 1, pid: 1, start_ticks: 1 }, None);
        let mut joined = Joined::default();
        joined.search(100, b"..nee", &Word(b"needle"), &mut report);
        joined.search(4096, b"dle..", &Word(b"needle"), &mut report);
        joined.finish(&Word(b"needle"), &mut report);
        assert_eq!(report.count(1), 0);
    }
}
