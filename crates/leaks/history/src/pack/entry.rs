//! Parses the header of a pack entry: kind, size, delta base.

use crate::object::id::{HashFormat, ObjectId};
use crate::object::kind::ObjectKind;
use crate::scan::skipped::SkipReason;

/// The longest header of an entry, bytes: a size, and an id or an offset.
pub(crate) const HEAD_BYTES_MAX: usize = 64;

/// How an entry is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EntryData {
    /// Whole.
    Whole(ObjectKind),
    /// As a delta against the entry at this offset.
    FromOffset(u64),
    /// As a delta against the object with this id.
    FromId(ObjectId),
}

/// The header of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackEntry {
    pub(crate) stored: EntryData,
    /// The inflated size, bytes.
    pub(crate) size: u64,
    /// The offset of the compressed data in the pack, bytes.
    pub(crate) data: u64,
}

/// Parses the header of the entry at `offset` from its first bytes.
pub(crate) fn read(bytes: &[u8], offset: u64, format: HashFormat) -> Result<PackEntry, SkipReason> {
    const SHORT: SkipReason = SkipReason::Corrupt("its header is truncated");
    let mut rest = bytes.iter().copied().enumerate();
    let mut next = || rest.next().ok_or(SHORT);
    let (mut at, mut byte) = next()?;
    let code = (byte >> 4) & 7;
    let mut size = u64::from(byte & 15);
    let mut shift = 4;
    while byte & 0x80 != 0 {
        (at, byte) = next()?;
        let part = u64::from(byte & 0x7f);
        if shift > 60 || (part << shift) >> shift != part {
            return Err(SkipReason::Corrupt("its size is impossible"));
        }
        size |= part << shift;
        shift += 7;
    }
    let stored = match code {
        1 => EntryData::Whole(ObjectKind::Commit),
        2 => EntryData::Whole(ObjectKind::Tree),
        3 => EntryData::Whole(ObjectKind::Blob),
        4 => EntryData::Whole(ObjectKind::Tag),
        6 => {
            (at, byte) = next()?;
            let mut distance = u64::from(byte & 0x7f);
            while byte & 0x80 != 0 {
                (at, byte) = next()?;
                distance = distance
                    .checked_add(1)
                    .and_then(|distance| distance.checked_mul(128))
                    .ok_or(SkipReason::Corrupt("the distance of its base is impossible"))?
                    | u64::from(byte & 0x7f);
            }
            let base = offset.checked_sub(distance).filter(|base| *base < offset);
            EntryData::FromOffset(base.ok_or(SkipReason::Corrupt("its base is outside of the pack"))?)
        }
        7 => {
            let id =
                bytes.get(at + 1..at + 1 + format.id_bytes()).and_then(ObjectId::from_bytes).ok_or(SHORT)?;
            at += format.id_bytes();
            EntryData::FromId(id)
        }
        _ => return Err(SkipReason::Corrupt("its kind is unknown")),
    };
    Ok(PackEntry {
        stored,
        size,
        data: offset.saturating_add(u64::try_from(at).unwrap_or(0)).saturating_add(1),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_git_writes_them() {
        // 0x95 0x0a: kind 1, size 5 + 10 * 16.
        let whole = read(&[0x95, 0x0a, 0x78], 12, HashFormat::Sha1).unwrap();
        assert_eq!(whole, PackEntry { stored: EntryData::Whole(ObjectKind::Commit), size: 165, data: 14 });
        // A distance of two bytes: ((0 + 1) << 7) | 5.
        let delta = read(&[0x63, 0x80, 0x05], 1000, HashFormat::Sha1).unwrap();
        assert_eq!(delta, PackEntry { stored: EntryData::FromOffset(1000 - 133), size: 3, data: 1003 });
        let mut bytes = vec![0x71];
        bytes.extend([7; 32]);
        let other = read(&bytes, 50, HashFormat::Sha256).unwrap();
        assert_eq!(
            (other.stored, other.data),
            (EntryData::FromId(ObjectId::from_bytes(&[7; 32]).unwrap()), 83)
        );
    }

    #[test]
    fn malformed_headers_are_refused() {
        for bytes in
            [&[][..], &[0x80], &[0x00], &[0x50], &[0x61, 0x00], &[0x61, 0x7f], &[0x71, 1, 2], &[0xff; 64]]
        {
            assert!(matches!(read(bytes, 20, HashFormat::Sha1), Err(SkipReason::Corrupt(_))), "{bytes:?}");
        }
    }
}
