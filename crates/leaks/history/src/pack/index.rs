//! The index of a pack (`.idx`, versions 1 and 2): the offset of each object.
//!
//! The format is git's, `Documentation/gitformat-pack.txt`.

use std::path::Path;

use crate::object::id::{HashFormat, ObjectId};
use crate::repository::regular_file;
use crate::scan::skipped::SkipReason;

/// The most objects of a pack that is read. Each costs about 60 bytes of memory during the scan.
pub const PACK_OBJECTS_MAX: u32 = 20_000_000;

/// The entries of the fan-out table: one for each first byte of an id.
const FAN: usize = 256;

/// The index of a pack.
pub(crate) struct PackIndex {
    bytes: Vec<u8>,
    format: HashFormat,
    count: u32,
    /// The offset of the fan-out table; 0 in version 1, which has no header.
    fan: usize,
}

impl PackIndex {
    /// Reads an index. Its checksum is not verified; inconsistent content is rejected here or when it is used.
    pub(crate) fn read(path: &Path, format: HashFormat) -> Result<PackIndex, SkipReason> {
        let entry = u64::try_from(format.id_bytes()).unwrap_or(32) + 16;
        let bytes = regular_file::read(path, u64::from(PACK_OBJECTS_MAX) * entry + 4096)?;
        let fan = match bytes.get(..8) {
            Some([0xff, b't', b'O', b'c', 0, 0, 0, 2]) => 8,
            Some([0xff, b't', b'O', b'c', ..]) => {
                return Err(SkipReason::Corrupt("its version is unsupported"));
            }
            _ => 0,
        };
        let mut index = PackIndex { bytes, format, count: 0, fan };
        let mut before = 0;
        for first in 0..FAN {
            let count = index.word(fan + 4 * first).ok_or(SkipReason::Corrupt("the index is truncated"))?;
            if count < before {
                return Err(SkipReason::Corrupt("the index's fan-out table is not sorted"));
            }
            before = count;
        }
        if before > PACK_OBJECTS_MAX {
            return Err(SkipReason::TooMany { max: u64::from(PACK_OBJECTS_MAX) });
        }
        index.count = before;
        let entries = index.count as usize * (index.id_bytes() + if fan == 0 { 4 } else { 8 });
        if index.bytes.len() < fan + 4 * FAN + entries + 2 * index.id_bytes() {
            return Err(SkipReason::Corrupt("the index is truncated"));
        }
        Ok(index)
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    fn id_bytes(&self) -> usize {
        self.format.id_bytes()
    }

    fn word(&self, at: usize) -> Option<u32> {
        let bytes = self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_be_bytes(*bytes))
    }

    fn name(&self, position: u32) -> Option<&[u8]> {
        let (stride, skip) = if self.fan == 0 { (self.id_bytes() + 4, 4) } else { (self.id_bytes(), 0) };
        let at = self.fan + 4 * FAN + position as usize * stride + skip;
        self.bytes.get(at..at + self.id_bytes())
    }

    /// The id at a position; positions are in the order of ids.
    pub(crate) fn id(&self, position: u32) -> Option<ObjectId> {
        (position < self.count).then(|| self.name(position).and_then(ObjectId::from_bytes)).flatten()
    }

    /// The offset in the pack of the object at this position, bytes.
    pub(crate) fn offset(&self, position: u32) -> Option<u64> {
        if position >= self.count {
            return None;
        }
        let (count, at) = (self.count as usize, position as usize);
        let names = self.fan + 4 * FAN;
        if self.fan == 0 {
            return self.word(names + at * (self.id_bytes() + 4)).map(u64::from);
        }
        let short = names + count * (self.id_bytes() + 4);
        let word = self.word(short + at * 4)?;
        if word & 0x8000_0000 == 0 {
            return Some(u64::from(word));
        }
        let long = short + count * 4 + (word & 0x7fff_ffff) as usize * 8;
        let bytes = self.bytes.get(long..)?.first_chunk::<8>()?;
        Some(u64::from_be_bytes(*bytes))
    }

    /// The CRC-32 of an object's stored bytes. Version 1 has none.
    pub(crate) fn checksum(&self, position: u32) -> Option<u32> {
        if self.fan == 0 || position >= self.count {
            return None;
        }
        let sums = self.fan + 4 * FAN + self.count as usize * self.id_bytes();
        self.word(sums + position as usize * 4)
    }

    /// The position of an object.
    pub(crate) fn find(&self, id: &ObjectId) -> Option<u32> {
        let first = usize::from(*id.as_bytes().first()?);
        let mut low = if first == 0 { 0 } else { self.word(self.fan + 4 * (first - 1))? };
        let mut high = self.word(self.fan + 4 * first)?;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.name(middle)?.cmp(id.as_bytes()) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }
}
