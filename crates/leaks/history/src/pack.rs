//! A pack: a file of many objects, most of them stored as deltas.
//!
//! The file is read, never mapped. So a truncation meanwhile is an error here and does not kill the process, and the
//! file's pages do not count as memory of the process.

pub(crate) mod delta;
pub(crate) mod delta_tree;
pub(crate) mod entry;
pub(crate) mod index;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zlib_rs::crc32::crc32;

use crate::object::buffer::{Buffer, bounded};
use crate::object::id::{HashFormat, ObjectId};
use crate::object::inflate::{Inflater, compressed_max, credible, ends_at};
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::pack::entry::{EntryData, HEAD_BYTES_MAX, PackEntry};
use crate::pack::index::PackIndex;
use crate::repository::regular_file;
use crate::scan::skipped::{SkipReason, SkippedItem};

/// The offset of the first entry, bytes.
pub(crate) const FIRST: u64 = 12;

/// Bytes that are read at once; most objects are smaller.
const READ_BYTES: usize = 128 * 1024;

/// Bytes of the first read if the entry's end is unknown.
const SHORT_READ_BYTES: usize = 4096;

/// The longest chain of deltas that is followed; git's own limit is 4,095.
const CHAIN_MAX: usize = 10_000;

/// A pack with its index.
pub(crate) struct Pack {
    path: PathBuf,
    file: File,
    /// The end of the entries, bytes.
    end: u64,
    format: HashFormat,
    pub(crate) index: PackIndex,
}

impl Pack {
    /// Opens the pack that belongs to an index.
    pub(crate) fn open(index: &Path, format: HashFormat) -> Result<Pack, (SkippedItem, SkipReason)> {
        let fault = |path: &Path, why: SkipReason| (SkippedItem::File(path.to_path_buf()), why);
        let path = index.with_extension("pack");
        let index = PackIndex::read(index, format).map_err(|why| fault(index, why))?;
        let file = regular_file::open(&path).map_err(|error| fault(&path, error.into()))?;
        let length = file.metadata().map_err(|error| fault(&path, error.into()))?.len();
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0).map_err(|_| fault(&path, SkipReason::Corrupt("it is too short")))?;
        if !matches!(head, [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3]) {
            return Err(fault(&path, SkipReason::Corrupt("it has no header of a pack")));
        }
        let end = length.saturating_sub(u64::try_from(format.id_bytes()).unwrap_or(32));
        Ok(Pack { path, file, end, format, index })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> HashFormat {
        self.format
    }

    /// The end of the entries, bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Reads until the buffer is full or the file ends. Returns the number of bytes.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, SkipReason> {
        let mut filled = 0;
        while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(u64::try_from(filled).unwrap_or(u64::MAX))) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(filled)
    }

    /// Reads and inflates the entry at a place.
    pub(crate) fn entry_at(
        &self,
        place: EntryLocation,
        bytes_max: u64,
        reader: &mut Inflated<'_>,
    ) -> Result<PackEntry, SkipReason> {
        let EntryLocation { offset, end, checksum } = place;
        let room = if end == self.end {
            SHORT_READ_BYTES
        } else {
            usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).saturating_add(HEAD_BYTES_MAX)
        };
        let Inflated { inflater, compressed, out } = reader;
        compressed.resize(READ_BYTES, 0);
        let first = compressed.get_mut(..room.min(READ_BYTES)).unwrap_or_default();
        let read = self.read_at(first, offset)?;
        let mut sum =
            EntryChecksum { sum: 0, to: offset, end: if checksum.is_some() { end } else { offset } };
        sum.add(first.get(..read).unwrap_or_default(), offset);
        let entry = entry::read(first.get(..read).unwrap_or_default(), offset, self.format)?;
        let size = bounded(entry.size, bytes_max)?;
        let end = end.min(self.end).min(entry.data.saturating_add(compressed_max(entry.size)));
        credible(entry.size, end.saturating_sub(entry.data))?;
        inflater.begin();
        let target = out.room(size);
        let head = usize::try_from(entry.data.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut piece = head..read;
        let (mut written, mut position) = (0, entry.data);
        loop {
            let input = compressed.get(piece.clone()).unwrap_or_default();
            let last = position.saturating_add(u64::try_from(input.len()).unwrap_or(0)) >= end;
            let step = inflater.step(input, target.get_mut(written..).unwrap_or_default(), last)?;
            written = written.saturating_add(step.written);
            position = position.saturating_add(u64::try_from(step.read).unwrap_or(0));
            let stuck = step.read == 0 && step.written == 0;
            if step.ended || written > size || last || stuck {
                ends_at(written, size, step.ended)?;
                return sum.check(checksum).map(|()| entry);
            }
            let read = self.read_at(compressed, position)?;
            sum.add(compressed.get(..read).unwrap_or_default(), position);
            piece = 0..read;
        }
    }

    /// Builds the object at an offset, from its chain of deltas.
    pub(crate) fn object_at(
        &self,
        number: usize,
        offset: u64,
        bytes_max: u64,
        reader: &mut Reader,
    ) -> Result<(ObjectKind, Buffer), SkipReason> {
        let mut chain = Vec::new();
        let mut at = offset;
        let (kind, mut object) = loop {
            if let Some(cached) = reader.cache.get(number, at) {
                let mut copy = reader.pool.take(cached.bytes.len());
                copy.room(cached.bytes.len())
                    .get_mut(..cached.bytes.len())
                    .unwrap_or_default()
                    .copy_from_slice(&cached.bytes);
                break (cached.kind, copy);
            }
            let entry = self.head_at(at)?;
            let base = match entry.stored {
                EntryData::Whole(kind) => {
                    let mut out = reader.pool.take(bounded(entry.size, bytes_max)?);
                    self.entry_at(self.anywhere(at), bytes_max, &mut reader.inflating(&mut out))?;
                    reader.cache.add(number, at, kind, out.bytes());
                    break (kind, out);
                }
                EntryData::FromOffset(base) => base,
                EntryData::FromId(id) => {
                    self.index.find(&id).and_then(|at| self.index.offset(at)).ok_or(SkipReason::NoBase)?
                }
            };
            if chain.len() >= CHAIN_MAX {
                return Err(SkipReason::Corrupt("its chain of deltas is too long"));
            }
            chain.push(at);
            at = base;
        };
        while let Some(at) = chain.pop() {
            let mut delta = reader.pool.take(0);
            self.entry_at(self.anywhere(at), bytes_max, &mut reader.inflating(&mut delta))?;
            let mut next = reader.pool.take(object.bytes().len());
            delta::apply(
                delta.bytes(),
                object.bytes(),
                &mut next,
                bytes_max,
                &mut delta::DeltaSteps::default(),
            )?;
            reader.pool.give(delta);
            reader.pool.give(std::mem::replace(&mut object, next));
            reader.cache.add(number, at, kind, object.bytes());
        }
        Ok((kind, object))
    }

    /// An entry whose end is unknown.
    fn anywhere(&self, offset: u64) -> EntryLocation {
        EntryLocation { offset, end: self.end, checksum: None }
    }

    /// Checks the stored bytes of an entry against the checksum in the index.
    pub(crate) fn check(&self, place: EntryLocation, room: &mut [u8]) -> Result<(), SkipReason> {
        let mut sum = EntryChecksum { sum: 0, to: place.offset, end: place.end };
        while place.checksum.is_some() && sum.to < place.end {
            let from = sum.to;
            let left = usize::try_from(place.end.saturating_sub(from)).unwrap_or(usize::MAX).min(room.len());
            let read = self.read_at(room.get_mut(..left).unwrap_or_default(), from)?;
            if read == 0 {
                return Err(SkipReason::Corrupt("it is truncated"));
            }
            sum.add(room.get(..read).unwrap_or_default(), from);
        }
        sum.check(place.checksum)
    }

    fn head_at(&self, offset: u64) -> Result<PackEntry, SkipReason> {
        if offset < FIRST || offset >= self.end {
            return Err(SkipReason::Corrupt("its offset is outside of the pack"));
        }
        let mut bytes = [0; HEAD_BYTES_MAX];
        let read = self.read_at(&mut bytes, offset)?;
        entry::read(bytes.get(..read).unwrap_or_default(), offset, self.format)
    }

    /// An object of this pack, for a list of skipped items.
    pub(crate) fn what(&self, position: u32) -> SkippedItem {
        let path = self.path.clone();
        match (self.index.id(position), self.index.offset(position)) {
            (Some(id), Some(offset)) => SkippedItem::Entry { id, pack: path, offset },
            _ => SkippedItem::File(path),
        }
    }

    /// Whether it has this object.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.index.find(id).is_some()
    }
}

/// The location of an entry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryLocation {
    /// Its offset, bytes.
    pub(crate) offset: u64,
    /// The offset of the next entry.
    pub(crate) end: u64,
    /// The CRC-32 of the stored bytes; version 1 of an index has none.
    pub(crate) checksum: Option<u32>,
}

/// The CRC-32 of the bytes of an entry that were read so far. It detects damage in an entry's header, which nothing
/// else does: a blob that became a tree would not be scanned.
struct EntryChecksum {
    sum: u32,
    to: u64,
    end: u64,
}

impl EntryChecksum {
    /// Adds the bytes read at offset `from`, except those that it has already.
    fn add(&mut self, bytes: &[u8], from: u64) {
        let part = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (part(self.to), part(self.end));
        let new = bytes.get(start..end).unwrap_or_default();
        self.sum = crc32(self.sum, new);
        self.to = self.to.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
    }

    fn check(&self, checksum: Option<u32>) -> Result<(), SkipReason> {
        match checksum {
            Some(checksum) if self.to >= self.end && self.sum != checksum => {
                Err(SkipReason::Corrupt("its checksum differs from that in the index"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The state of inflating one entry.
pub(crate) struct Inflated<'a> {
    pub(crate) inflater: &'a mut Inflater,
    /// A buffer for compressed bytes.
    pub(crate) compressed: &'a mut Vec<u8>,
    /// The output.
    pub(crate) out: &'a mut Buffer,
}

impl Reader {
    pub(crate) fn inflating<'a>(&'a mut self, out: &'a mut Buffer) -> Inflated<'a> {
        Inflated { inflater: &mut self.inflater, compressed: &mut self.compressed, out }
    }
}
