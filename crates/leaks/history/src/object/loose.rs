//! Loose objects: one file for each object, `objects/ab/cdef…`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::object::buffer::{Buffer, bounded};
use crate::object::id::{HashFormat, ObjectId};
use crate::object::inflate::{compressed_max, credible, ends_at};
use crate::object::kind::ObjectKind;
use crate::object::reader::Reader;
use crate::repository::regular_file;
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest header of a loose object, bytes: kind, size, zero byte.
const HEAD_BYTES_MAX: usize = 64;

/// The number of folders for loose objects: one for each first byte of an id.
pub(crate) const FOLDERS: usize = 256;

/// The most objects that are read from one of these folders. Git packs them at about 27.
const OBJECTS_MAX: usize = 1_000_000;

/// The path of an object's file.
pub(crate) fn path(objects: &Path, id: &ObjectId) -> PathBuf {
    let digits = id.to_string();
    let (folder, name) = digits.split_at_checked(2).unwrap_or_default();
    objects.join(folder).join(name)
}

/// The ids of the objects in one of the folders, in no order.
pub(crate) fn list(objects: &Path, first: usize, format: HashFormat, skips: &mut SkipList) -> Vec<ObjectId> {
    let prefix = format!("{first:02x}");
    let folder = objects.join(&prefix);
    let files = match fs::read_dir(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            skips.add(SkippedItem::File(folder), error.into());
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for file in files {
        let Ok(file) = file else {
            skips.add(
                SkippedItem::File(folder.clone()),
                SkipReason::Corrupt("the folder cannot be read to its end"),
            );
            break;
        };
        if found.len() >= OBJECTS_MAX {
            skips.add(
                SkippedItem::File(folder.clone()),
                SkipReason::TooMany { max: u64::try_from(OBJECTS_MAX).unwrap_or(u64::MAX) },
            );
            break;
        }
        let digits = [prefix.as_bytes(), file.file_name().as_encoded_bytes()].concat();
        found.extend(ObjectId::from_hex(&digits).filter(|id| id.as_bytes().len() == format.id_bytes()));
    }
    found
}

pub(crate) fn read(
    path: &Path,
    bytes_max: u64,
    reader: &mut Reader,
) -> Result<(ObjectKind, Buffer), SkipReason> {
    let compressed = regular_file::read(path, compressed_max(bytes_max))?;
    reader.inflater.begin();
    let mut head = [0; HEAD_BYTES_MAX];
    let step = reader.inflater.step(&compressed, &mut head, false)?;
    let begun = head.get(..step.written).unwrap_or_default();
    let (kind, size, body) = parts(begun).ok_or(SkipReason::Corrupt("its header is malformed"))?;
    let length = bounded(size, bytes_max)?;
    credible(size, u64::try_from(compressed.len()).unwrap_or(u64::MAX))?;
    let mut object = reader.pool.take(length);
    let room = object.room(length);
    let there = body.len().min(room.len());
    if let (Some(room), Some(body)) = (room.get_mut(..there), body.get(..there)) {
        room.copy_from_slice(body);
    }
    let mut ended = step.ended;
    let mut written = body.len();
    if !ended {
        let rest = compressed.get(step.read..).unwrap_or_default();
        let step = reader.inflater.step(rest, room.get_mut(there..).unwrap_or_default(), true)?;
        ended = step.ended;
        written = written.saturating_add(step.written);
    }
    ends_at(written, length, ended)?;
    Ok((kind, object))
}

/// Splits the first bytes of an object into kind, size and the start of its content.
fn parts(begun: &[u8]) -> Option<(ObjectKind, u64, &[u8])> {
    let zero = begun.iter().position(|byte| *byte == 0)?;
    let (head, body) = (begun.get(..zero)?, begun.get(zero + 1..)?);
    let blank = head.iter().position(|byte| *byte == b' ')?;
    let kind = ObjectKind::named(head.get(..blank)?)?;
    let digits = std::str::from_utf8(head.get(blank + 1..)?).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    Some((kind, plain.then(|| digits.parse().ok()).flatten()?, body))
}
