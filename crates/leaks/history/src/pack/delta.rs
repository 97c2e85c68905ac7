//! Deltas: builds an object from its base, and records which bytes were copied from where.
//!
//! The format is git's, `Documentation/gitformat-pack.txt`, "Deltified representation".

use crate::object::buffer::{Buffer, bounded};
use crate::scan::skipped::SkipReason;

/// The most steps of a delta that are recorded. An object with more is scanned whole.
const STEPS_MAX: usize = 200_000;

/// A range of the built object and its origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeltaStep {
    /// Its start in the built object.
    pub(crate) to: usize,
    pub(crate) length: usize,
    /// Its start in the base; `None` if the delta contains the bytes.
    pub(crate) from: Option<usize>,
}

/// The steps of a delta in the order of the built object, without gaps. Adjacent copies that continue each other are
/// merged.
#[derive(Debug, Default)]
pub(crate) struct DeltaSteps {
    steps: Vec<DeltaStep>,
    too_many: bool,
}

impl DeltaSteps {
    /// The steps; `None` if there were too many to record.
    pub(crate) fn known(&self) -> Option<&[DeltaStep]> {
        (!self.too_many).then_some(self.steps.as_slice())
    }

    fn clear(&mut self) {
        self.steps.clear();
        self.too_many = false;
    }

    fn add(&mut self, step: DeltaStep) {
        if let Some(last) = self.steps.last_mut() {
            let continues = match (last.from, step.from) {
                (None, None) => true,
                (Some(before), Some(after)) => before + last.length == after,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if continues {
                last.length += step.length;
                return;
            }
        }
        if self.steps.len() >= STEPS_MAX {
            self.too_many = true;
        } else {
            self.steps.push(step);
        }
    }
}

/// Builds an object from its base. Checks both sizes that the delta declares.
pub(crate) fn apply(
    delta: &[u8],
    base: &[u8],
    out: &mut Buffer,
    bytes_max: u64,
    steps: &mut DeltaSteps,
) -> Result<(), SkipReason> {
    const SHORT: SkipReason = SkipReason::Corrupt("its delta is truncated");
    const OUTSIDE: SkipReason = SkipReason::Corrupt("its delta copies from outside of its base");
    const LONGER: SkipReason = SkipReason::Corrupt("its delta builds more than its declared size");
    let mut rest = delta;
    if size(&mut rest)? != u64::try_from(base.len()).unwrap_or(u64::MAX) {
        return Err(SkipReason::Corrupt("its base has another size than its delta declares"));
    }
    let length = bounded(size(&mut rest)?, bytes_max)?;
    steps.clear();
    let room = out.room(length).get_mut(..length).unwrap_or_default();
    let mut to = 0_usize;
    while let Some((&code, behind)) = rest.split_first() {
        rest = behind;
        let (bytes, from) = if code & 0x80 != 0 {
            let (from, count) = copied(code, &mut rest).ok_or(SHORT)?;
            let bytes = from.checked_add(count).and_then(|end| base.get(from..end)).ok_or(OUTSIDE)?;
            (bytes, Some(from))
        } else if code != 0 {
            let (bytes, behind) = rest.split_at_checked(usize::from(code)).ok_or(SHORT)?;
            rest = behind;
            (bytes, None)
        } else {
            return Err(SkipReason::Corrupt("its delta has an unknown instruction"));
        };
        let end = to.checked_add(bytes.len()).ok_or(LONGER)?;
        room.get_mut(to..end).ok_or(LONGER)?.copy_from_slice(bytes);
        steps.add(DeltaStep { to, length: bytes.len(), from });
        to = end;
    }
    if to != length {
        return Err(SkipReason::Corrupt("its delta builds less than its declared size"));
    }
    Ok(())
}

/// Parses a size: seven bits in each byte, lowest first.
fn size(rest: &mut &[u8]) -> Result<u64, SkipReason> {
    let mut size = 0_u64;
    let mut shift = 0_u32;
    while let Some((&byte, behind)) = rest.split_first() {
        *rest = behind;
        let part = u64::from(byte & 0x7f);
        if shift > 63 || (part << shift) >> shift != part {
            break;
        }
        size |= part << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(size);
        }
    }
    Err(SkipReason::Corrupt("its delta has no size"))
}

/// Parses the start in the base and the length of a copy. Each bit of `code` tells whether a byte of them follows.
fn copied(code: u8, rest: &mut &[u8]) -> Option<(usize, usize)> {
    let (mut from, mut count) = (0_usize, 0_usize);
    for bit in 0..7 {
        if code & (1 << bit) == 0 {
            continue;
        }
        let (&byte, behind) = rest.split_first()?;
        *rest = behind;
        if bit < 4 {
            from |= usize::from(byte) << (8 * bit);
        } else {
            count |= usize::from(byte) << (8 * (bit - 4));
        }
    }
    Some((from, if count == 0 { 0x1_0000 } else { count }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: u64 = 1 << 20;

    fn made(delta: &[u8], base: &[u8]) -> Result<(Vec<u8>, Vec<DeltaStep>), SkipReason> {
        let (mut out, mut steps) = (Buffer::default(), DeltaSteps::default());
        apply(delta, base, &mut out, MAX, &mut steps)?;
        Ok((out.bytes().to_vec(), steps.known().unwrap().to_vec()))
    }

    #[test]
    fn copies_and_inserts_make_the_object() {
        // 10 → 9: copy 2..6, copy 6..8, write "ab", copy 0..1.
        let delta = [10, 9, 0x91, 2, 4, 0x91, 6, 2, 2, b'a', b'b', 0x90, 1];
        let (object, steps) = made(&delta, b"0123456789").unwrap();
        assert_eq!(object, b"234567ab0");
        let expected = [(0, 6, Some(2)), (6, 2, None), (8, 1, Some(0))];
        assert_eq!(steps, expected.map(|(to, length, from)| DeltaStep { to, length, from }));
    }

    #[test]
    fn a_malformed_delta_is_refused() {
        let base = b"0123456789";
        for delta in [
            &[][..],
            &[0x80],
            &[9, 1, 1, b'a'],
            &[10, 2, 1, b'a'],
            &[10, 1, 2, b'a', b'b'],
            &[10, 3, 0x91, 8, 3],
            &[10, 1, 0],
            &[10, 5, 5, b'a'],
            &[10, 5, 0x91, 0],
            &[10, 1, 0x80],
        ] {
            assert!(matches!(made(delta, base), Err(SkipReason::Corrupt(_))), "{delta:?}");
        }
        // 2 MiB from a few bytes.
        let bomb = [10, 0x80, 0x80, 0x80, 0x01, 0x90, 1];
        assert_eq!(made(&bomb, base), Err(SkipReason::Large { bytes: 1 << 21, bytes_max: MAX }));
    }
}
