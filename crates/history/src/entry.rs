//! The head of an entry in a pack: what it is, how large, and what it differs from.

use crate::id::{Format, ObjectId};
use crate::kind::Kind;
use crate::skipped::Why;

/// The most bytes of an entry's head: its size, and a name or a distance.
pub(crate) const HEAD_BYTES_MAX: usize = 64;

/// How an entry is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Told {
    /// As it is.
    Whole(Kind),
    /// As what differs from the entry that begins here.
    FromOffset(u64),
    /// As what differs from the object with this name.
    FromId(ObjectId),
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) told: Told,
    /// How many bytes its compressed part becomes.
    pub(crate) size: u64,
    /// Where its compressed part begins, bytes from the pack's beginning.
    pub(crate) data: u64,
}

/// Reads the head of the entry that begins at `offset`, from the bytes that stand there.
pub(crate) fn read(bytes: &[u8], offset: u64, format: Format) -> Result<Entry, Why> {
    const SHORT: Why = Why::Corrupt("its head ends too early");
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
            return Err(Why::Corrupt("its size is too large to be true"));
        }
        size |= part << shift;
        shift += 7;
    }
    let told = match code {
        1 => Told::Whole(Kind::Commit),
        2 => Told::Whole(Kind::Tree),
        3 => Told::Whole(Kind::Blob),
        4 => Told::Whole(Kind::Tag),
        6 => {
            (at, byte) = next()?;
            let mut distance = u64::from(byte & 0x7f);
            while byte & 0x80 != 0 {
                (at, byte) = next()?;
                distance = distance
                    .checked_add(1)
                    .and_then(|distance| distance.checked_mul(128))
                    .ok_or(Why::Corrupt("its base is too far away to be true"))?
                    | u64::from(byte & 0x7f);
            }
            let base = offset.checked_sub(distance).filter(|base| *base < offset);
            Told::FromOffset(base.ok_or(Why::Corrupt("its base is outside of the pack"))?)
        }
        7 => {
            let id =
                bytes.get(at + 1..at + 1 + format.id_bytes()).and_then(ObjectId::from_bytes).ok_or(SHORT)?;
            at += format.id_bytes();
            Told::FromId(id)
        }
        _ => return Err(Why::Corrupt("it is of no kind that there is")),
    };
    Ok(Entry { told, size, data: offset.saturating_add(u64::try_from(at).unwrap_or(0)).saturating_add(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_as_git_writes_them() {
        // 0x95 0x0a: kind 1, size 5 + 10 * 16.
        let whole = read(&[0x95, 0x0a, 0x78], 12, Format::Sha1).unwrap();
        assert_eq!(whole, Entry { told: Told::Whole(Kind::Commit), size: 165, data: 14 });
        // A distance of two bytes: ((0 + 1) << 7) | 5.
        let delta = read(&[0x63, 0x80, 0x05], 1000, Format::Sha1).unwrap();
        assert_eq!(delta, Entry { told: Told::FromOffset(1000 - 133), size: 3, data: 1003 });
        let mut bytes = vec![0x71];
        bytes.extend([7; 32]);
        let other = read(&bytes, 50, Format::Sha256).unwrap();
        assert_eq!((other.told, other.data), (Told::FromId(ObjectId::from_bytes(&[7; 32]).unwrap()), 83));
    }

    #[test]
    fn heads_that_cannot_be_are_refused() {
        for bytes in
            [&[][..], &[0x80], &[0x00], &[0x50], &[0x61, 0x00], &[0x61, 0x7f], &[0x71, 1, 2], &[0xff; 64]]
        {
            assert!(matches!(read(bytes, 20, Format::Sha1), Err(Why::Corrupt(_))), "{bytes:?}");
        }
    }
}
