//! A pack: many objects in one file, most of them told as differences from others.
//!
//! It is read, never mapped: a file that is cut short while it is read is an error here, not the end of the process,
//! and no page of it counts as memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use zlib_rs::crc32::crc32;

use crate::buffer::{Buffer, bounded};
use crate::delta;
use crate::entry::{self, Entry, HEAD_BYTES_MAX, Told};
use crate::id::{Format, ObjectId};
use crate::inflate::{Inflater, compressed_max, credible, ends_at};
use crate::kind::Kind;
use crate::pack_index::PackIndex;
use crate::reader::Reader;
use crate::regular;
use crate::skipped::{What, Why};

/// Where the first entry begins, bytes.
pub(crate) const FIRST: u64 = 12;

/// How much is read at once, bytes; most objects have less.
const READ_BYTES: usize = 128 * 1024;

/// How much is read at first where it is not known how much there is, bytes.
const SHORT_READ_BYTES: usize = 4096;

/// The most differences that one object is told through; git itself makes no more than 4,095.
const CHAIN_MAX: usize = 10_000;

/// A pack with its index.
pub(crate) struct Pack {
    path: PathBuf,
    file: File,
    /// Where the entries end, bytes.
    end: u64,
    format: Format,
    pub(crate) index: PackIndex,
}

impl Pack {
    /// Opens the pack that stands beside an index.
    pub(crate) fn open(index: &Path, format: Format) -> Result<Pack, (What, Why)> {
        let fault = |path: &Path, why: Why| (What::File(path.to_path_buf()), why);
        let path = index.with_extension("pack");
        let index = PackIndex::read(index, format).map_err(|why| fault(index, why))?;
        let file = regular::open(&path).map_err(|error| fault(&path, error.into()))?;
        let length = file.metadata().map_err(|error| fault(&path, error.into()))?.len();
        let mut head = [0; 8];
        file.read_exact_at(&mut head, 0).map_err(|_| fault(&path, Why::Corrupt("it is too short")))?;
        if !matches!(head, [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3]) {
            return Err(fault(&path, Why::Corrupt("it does not begin as a pack does")));
        }
        let end = length.saturating_sub(u64::try_from(format.id_bytes()).unwrap_or(32));
        Ok(Pack { path, file, end, format, index })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Where the entries end, bytes.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Reads as much as there is, and gives how much that was.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> Result<usize, Why> {
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

    /// The entry that begins at an offset, with its compressed part inflated.
    pub(crate) fn entry_at(
        &self,
        place: Place,
        bytes_max: u64,
        reader: &mut Inflated<'_>,
    ) -> Result<Entry, Why> {
        let Place { offset, end, checksum } = place;
        let room = if end == self.end {
            SHORT_READ_BYTES
        } else {
            usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX).saturating_add(HEAD_BYTES_MAX)
        };
        let Inflated { inflater, compressed, out } = reader;
        compressed.resize(READ_BYTES, 0);
        let first = compressed.get_mut(..room.min(READ_BYTES)).unwrap_or_default();
        let read = self.read_at(first, offset)?;
        let mut sum = Sum { sum: 0, to: offset, end: if checksum.is_some() { end } else { offset } };
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

    /// The object that begins at an offset, whatever it is told from.
    pub(crate) fn object_at(
        &self,
        number: usize,
        offset: u64,
        bytes_max: u64,
        reader: &mut Reader,
    ) -> Result<(Kind, Buffer), Why> {
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
            let base = match entry.told {
                Told::Whole(kind) => {
                    let mut out = reader.pool.take(bounded(entry.size, bytes_max)?);
                    self.entry_at(self.anywhere(at), bytes_max, &mut reader.inflating(&mut out))?;
                    reader.cache.add(number, at, kind, out.bytes());
                    break (kind, out);
                }
                Told::FromOffset(base) => base,
                Told::FromId(id) => {
                    self.index.find(&id).and_then(|at| self.index.offset(at)).ok_or(Why::NoBase)?
                }
            };
            if chain.len() >= CHAIN_MAX {
                return Err(Why::Corrupt("it is told through too many others"));
            }
            chain.push(at);
            at = base;
        };
        while let Some(at) = chain.pop() {
            let mut told = reader.pool.take(0);
            self.entry_at(self.anywhere(at), bytes_max, &mut reader.inflating(&mut told))?;
            let mut next = reader.pool.take(object.bytes().len());
            delta::apply(told.bytes(), object.bytes(), &mut next, bytes_max, &mut delta::Steps::default())?;
            reader.pool.give(told);
            reader.pool.give(std::mem::replace(&mut object, next));
            reader.cache.add(number, at, kind, object.bytes());
        }
        Ok((kind, object))
    }

    /// An entry of which it is not known where it ends.
    fn anywhere(&self, offset: u64) -> Place {
        Place { offset, end: self.end, checksum: None }
    }

    /// Whether an entry's bytes are those that the index was made from.
    pub(crate) fn check(&self, place: Place, room: &mut [u8]) -> Result<(), Why> {
        let mut sum = Sum { sum: 0, to: place.offset, end: place.end };
        while place.checksum.is_some() && sum.to < place.end {
            let from = sum.to;
            let left = usize::try_from(place.end.saturating_sub(from)).unwrap_or(usize::MAX).min(room.len());
            let read = self.read_at(room.get_mut(..left).unwrap_or_default(), from)?;
            if read == 0 {
                return Err(Why::Corrupt("it ends too early"));
            }
            sum.add(room.get(..read).unwrap_or_default(), from);
        }
        sum.check(place.checksum)
    }

    fn head_at(&self, offset: u64) -> Result<Entry, Why> {
        if offset < FIRST || offset >= self.end {
            return Err(Why::Corrupt("it stands outside of its pack"));
        }
        let mut bytes = [0; HEAD_BYTES_MAX];
        let read = self.read_at(&mut bytes, offset)?;
        entry::read(bytes.get(..read).unwrap_or_default(), offset, self.format)
    }

    /// An object of this pack, as it is named when it was not looked at.
    pub(crate) fn what(&self, position: u32) -> What {
        let path = self.path.clone();
        match (self.index.id(position), self.index.offset(position)) {
            (Some(id), Some(offset)) => What::Entry { id, pack: path, offset },
            _ => What::File(path),
        }
    }

    /// Whether it has this object.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.index.find(id).is_some()
    }
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// Where it begins, bytes.
    pub(crate) offset: u64,
    /// Where the next one begins.
    pub(crate) end: u64,
    /// The sum of the bytes between, if the index has it.
    pub(crate) checksum: Option<u32>,
}

/// The sum of an entry's bytes (CRC-32), as far as they were read. Git compares it when it packs anew. Here it tells
/// damage in an entry's head, which nothing else would: a blob that became a tree would be passed over.
struct Sum {
    sum: u32,
    to: u64,
    end: u64,
}

impl Sum {
    /// Adds what was read from `from` on, without what was added already.
    fn add(&mut self, bytes: &[u8], from: u64) {
        let part = |at: u64| usize::try_from(at.saturating_sub(from)).unwrap_or(usize::MAX).min(bytes.len());
        let (start, end) = (part(self.to), part(self.end));
        let new = bytes.get(start..end).unwrap_or_default();
        self.sum = crc32(self.sum, new);
        self.to = self.to.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
    }

    fn check(&self, checksum: Option<u32>) -> Result<(), Why> {
        match checksum {
            Some(checksum) if self.to >= self.end && self.sum != checksum => {
                Err(Why::Corrupt("its bytes are not those that the index was made from"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What is needed to inflate an entry.
pub(crate) struct Inflated<'a> {
    pub(crate) inflater: &'a mut Inflater,
    /// Room for compressed bytes.
    pub(crate) compressed: &'a mut Vec<u8>,
    /// Where the inflated bytes go.
    pub(crate) out: &'a mut Buffer,
}

impl Reader {
    /// Inflates into this buffer.
    pub(crate) fn inflating<'a>(&'a mut self, out: &'a mut Buffer) -> Inflated<'a> {
        Inflated { inflater: &mut self.inflater, compressed: &mut self.compressed, out }
    }
}
