use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{Receiver, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zeroize::Zeroize as _;

use crate::maps::{Choice, Region, RegionKind, choose};
use crate::proc::ProcFolder;
use crate::{NotVisible, ProcessId, Program};

/// The largest /proc/PID/maps that is read, bytes.
pub(crate) const MAPS_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How much is passed on at once, bytes: it fits into a core's cache.
const PIECE_BYTES: usize = 1024 * 1024;

/// How much of a reserved mapping is looked up at once, bytes: it has few pages.
const RESERVED_STEP_BYTES: u64 = 64 << 20;

/// How many buffers there are: one is filled while one is searched, and one waits.
pub(crate) const BUFFERS_MAX: usize = 3;

/// A message of the reading thread.
pub(crate) enum Piece {
    /// Sent before any bytes: the program of the process, and the addresses of the kernel's record of its start.
    Of(Program, [[u64; 2]; 2]),
    Bytes(Buffer),
    Unread {
        bytes: u64,
        reason: NotVisible,
    },
    Failed(NotVisible),
    /// Nothing more of this process.
    End,
}

/// Bytes of one range of addresses in a buffer.
pub(crate) struct Part {
    pub(crate) address: u64,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// Bytes of several address ranges, one after the other, with space before the first for the end of the previous
/// buffer. Buffers are reused: memory is not allocated and overwritten for every piece.
pub(crate) struct Buffer {
    pub(crate) bytes: Vec<u8>,
    pub(crate) parts: Vec<Part>,
    room: usize,
    /// How far it has ever been written. Most processes fill only a small part of a buffer.
    written: usize,
}

impl Buffer {
    pub(crate) fn new(room: usize) -> Self {
        Self { bytes: vec![0; room + PIECE_BYTES], parts: Vec::new(), room, written: room }
    }

    /// The next `length` free bytes, to be written to.
    fn free_bytes(&mut self, length: usize) -> &mut [u8] {
        let from = self.filled();
        self.written = self.written.max(from + length);
        self.bytes.get_mut(from..from + length).unwrap_or_default()
    }

    fn filled(&self) -> usize {
        self.parts.last().map_or(self.room, |part| part.end)
    }

    fn free(&self) -> usize {
        self.bytes.len().saturating_sub(self.filled())
    }

    /// Records that so many bytes of this address were read into the buffer.
    pub(crate) fn note(&mut self, address: u64, length: usize) {
        let start = self.filled();
        self.written = self.written.max(start + length);
        match self.parts.last_mut() {
            Some(last) if last.address + (last.end - last.start) as u64 == address => last.end += length,
            _ => self.parts.push(Part { address, start, end: start + length }),
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let written = self.written.min(self.bytes.len());
        self.bytes.get_mut(..written).unwrap_or_default().zeroize();
    }
}

/// The buffers that are neither filled nor searched now. The caller has them too: a thread that is stuck keeps none of
/// them, since they hold memory of other processes.
pub(crate) type FreeBuffers = Arc<Mutex<Vec<Buffer>>>;

pub(crate) fn locked(free: &FreeBuffers) -> MutexGuard<'_, Vec<Buffer>> {
    free.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The buffers of a reading thread.
pub(crate) struct Buffers {
    free: FreeBuffers,
    /// Shows that a searched buffer may have become free.
    returned: Receiver<()>,
    /// The free bytes before the first part of each.
    room: usize,
    made: usize,
}

impl Buffers {
    pub(crate) fn new(free: FreeBuffers, returned: Receiver<()>, room: usize) -> Self {
        Self { free, returned, room, made: 0 }
    }

    /// `None` = the caller takes no more pieces.
    fn next(&mut self) -> Option<Buffer> {
        loop {
            if let Some(free) = locked(&self.free).pop() {
                return Some(free);
            }
            if self.made < BUFFERS_MAX {
                self.made += 1;
                return Some(Buffer::new(self.room));
            }
            self.returned.recv().ok()?;
        }
    }
}

/// Reads the memory of a process in pieces and passes them on: first the memory that most likely holds a value, at most
/// `bytes_max`.
pub(crate) fn read_memory(
    process: &ProcessId,
    bytes_max: u64,
    buffers: &mut Buffers,
    pieces: &SyncSender<Piece>,
) {
    let opened = ProcFolder::open_exact(process).and_then(|folder| {
        let maps = folder.read("maps", MAPS_BYTES_MAX)?;
        // The map was readable and the memory is not: the process or the machine has closed it.
        let closed = |reason| if reason == NotVisible::Permission { NotVisible::NoPtrace } else { reason };
        let memory = folder.file("mem").map_err(closed)?;
        let pagemap = folder.file("pagemap").ok();
        // Read last, so that another program that was executed since is noticed.
        Ok((maps, memory, pagemap, ProcFolder::open_exact(process)?.stat))
    });
    let (maps, memory, pagemap, stat) = match opened {
        Ok(opened) => opened,
        Err(reason) => return drop(pieces.send(Piece::Failed(reason))),
    };
    if maps.is_empty() {
        return drop(pieces.send(Piece::Failed(NotVisible::Vanished)));
    }
    let entries = Vec::new();
    let mut reader = Reader { memory, pagemap, left: bytes_max, buffers, pieces, buffer: None, entries };
    let mut told = pieces.send(Piece::Of(Program(stat.image), stat.kept)).is_ok();
    let mut regions = Vec::new();
    for line in String::from_utf8_lossy(&maps).lines() {
        told = told
            && match choose(line) {
                Some(Choice::Leave) => true,
                Some(Choice::Closed(bytes)) => reader.gap(bytes, NotVisible::ClosedMemory),
                Some(Choice::TooLarge(bytes)) => reader.gap(bytes, NotVisible::TooLarge),
                Some(Choice::Read(region)) => {
                    regions.push(region);
                    true
                }
                None => reader.gap(0, NotVisible::Malformed),
            };
    }
    regions.sort_by_key(|region| region.kind);
    if told && regions.iter().all(|region| reader.region(region)) {
        reader.hand_over();
    }
    reader.put_back();
}

struct Reader<'c> {
    memory: File,
    pagemap: Option<File>,
    /// How many bytes may still be read.
    left: u64,
    buffers: &'c mut Buffers,
    pieces: &'c SyncSender<Piece>,
    /// The buffer that is being filled.
    buffer: Option<Buffer>,
    /// Entries of the page map; the buffer is reused.
    entries: Vec<u8>,
}

/// Each method returns whether to continue: `false` = the caller takes no more pieces, or the process is gone.
impl Reader<'_> {
    fn gap(&self, bytes: u64, reason: NotVisible) -> bool {
        self.pieces.send(Piece::Unread { bytes, reason }).is_ok()
    }

    /// A buffer without any bytes remains for the next process: lost ones would not be made again.
    fn hand_over(&mut self) -> bool {
        match self.buffer.take_if(|buffer| !buffer.parts.is_empty()) {
            Some(buffer) => self.pieces.send(Piece::Bytes(buffer)).is_ok(),
            None => true,
        }
    }

    /// Keeps the buffer that nobody needs any more for the next process.
    fn put_back(&mut self) {
        if let Some(mut unused) = self.buffer.take() {
            unused.parts.clear();
            locked(&self.buffers.free).push(unused);
        }
    }

    /// A buffer with free space in it.
    fn space(&mut self) -> Option<Buffer> {
        match self.buffer.take() {
            Some(buffer) if buffer.free() > 0 => return Some(buffer),
            Some(full) => self.pieces.send(Piece::Bytes(full)).ok()?,
            None => {}
        }
        self.buffers.next()
    }

    fn region(&mut self, region: &Region) -> bool {
        let mut address = region.start;
        while address < region.end {
            let reserved = region.kind == RegionKind::Reserved;
            let step = if reserved { RESERVED_STEP_BYTES } else { PIECE_BYTES as u64 };
            let end = region.end.min(address.saturating_add(step));
            let touched = if region.private() { self.touched(address, end) } else { None };
            let runs = match touched {
                Some(runs) => runs,
                None if reserved => return self.gap(region.end - address, NotVisible::NoPtrace),
                None => vec![(address, end)],
            };
            for (start, end) in runs {
                if end - start > self.left {
                    return self.gap(region.end - start, NotVisible::TooLarge);
                }
                self.left -= end - start;
                if !self.run(start, end) {
                    return false;
                }
            }
            address = end;
        }
        true
    }

    /// Reads adjacent pages.
    fn run(&mut self, mut address: u64, end: u64) -> bool {
        while address < end {
            let Some(mut buffer) = self.space() else { return false };
            let length = usize::try_from(end - address).unwrap_or(usize::MAX).min(buffer.free());
            let read = self.memory.read_at(buffer.free_bytes(length), address);
            if let Ok(read @ 1..) = read {
                buffer.note(address, read);
            }
            self.buffer = Some(buffer);
            let on = match read {
                Ok(read) if read == length => true,
                // The address space is gone: the process ended or executed another program.
                Ok(0) => self.failed(),
                Ok(read) => self.gap((length - read) as u64, NotVisible::ClosedMemory),
                Err(error) => match error.raw_os_error() {
                    Some(libc::ESRCH) => self.failed(),
                    // Unmapped since, or not readable by anyone.
                    Some(libc::EIO) => self.gap(length as u64, NotVisible::ClosedMemory),
                    _ => self.gap(length as u64, NotVisible::of_io(&error)),
                },
            };
            if !on {
                return false;
            }
            address += length as u64;
        }
        true
    }

    /// Passes on what was read before the failure.
    fn failed(&mut self) -> bool {
        if self.hand_over() {
            drop(self.pieces.send(Piece::Failed(NotVisible::Vanished)));
        }
        false
    }

    /// The parts of an address range that have pages, in memory or swapped out: bits 63 and 62 of each 64-bit entry of
    /// /proc/PID/pagemap. Source: admin-guide/mm/pagemap.rst. `None` where the entries cannot be read.
    fn touched(&mut self, start: u64, end: u64) -> Option<Vec<(u64, u64)>> {
        let page = rustix::param::page_size() as u64;
        self.entries.resize(usize::try_from((end - start) / page * 8).unwrap_or(0), 0);
        let read = self.pagemap.as_ref().map(|file| file.read_exact_at(&mut self.entries, start / page * 8));
        if read.is_none_or(|read| read.is_err()) {
            return None;
        }
        let mut parts: Vec<(u64, u64)> = Vec::new();
        for (index, entry) in self.entries.chunks_exact(8).enumerate() {
            // Little-endian machines only: the two bits are in the last byte.
            let present = entry.last().is_some_and(|high| high & 0b1100_0000 != 0);
            let here = start + index as u64 * page;
            match parts.last_mut() {
                _ if !present => {}
                Some((_, behind)) if *behind == here => *behind = here + page,
                _ => parts.push((here, here + page)),
            }
        }
        Some(parts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[test]
    fn a_process_of_which_nothing_is_read_loses_no_buffer() {
        let (give, returned) = sync_channel(BUFFERS_MAX);
        // A reader that waits for a buffer gets none.
        drop(give);
        let mut buffers = Buffers::new(FreeBuffers::default(), returned, 8);
        let (pieces, passed_on) = sync_channel(1);
        for _ in 0..=BUFFERS_MAX {
            let mut reader = Reader {
                memory: tempfile::tempfile().unwrap(),
                pagemap: None,
                left: 4096,
                buffers: &mut buffers,
                pieces: &pieces,
                buffer: None,
                entries: Vec::new(),
            };
            assert!(!reader.run(0, 4096), "the memory ends before this address");
            reader.put_back();
            assert!(matches!(passed_on.try_recv(), Ok(Piece::Failed(NotVisible::Vanished))));
        }
        assert_eq!(buffers.made, 1);
    }
}
