//! Objects that stand in files of their own: `objects/ab/cdef…`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::buffer::{Buffer, bounded};
use crate::id::{Format, ObjectId};
use crate::inflate::{compressed_max, credible, ends_at};
use crate::kind::Kind;
use crate::reader::Reader;
use crate::regular;
use crate::skipped::{Skips, What, Why};

/// The longest head of a loose object, bytes: a kind, a size, a zero.
const HEAD_BYTES_MAX: usize = 64;

/// Into how many folders the objects are divided, by the first byte of their names.
pub(crate) const FOLDERS: usize = 256;

/// The most objects in one of these folders. Git packs them when there are about 27.
const OBJECTS_MAX: usize = 1_000_000;

/// The file of an object.
pub(crate) fn path(objects: &Path, id: &ObjectId) -> PathBuf {
    let digits = id.to_string();
    let (folder, name) = digits.split_at_checked(2).unwrap_or_default();
    objects.join(folder).join(name)
}

/// The objects in one of the folders, in no order.
pub(crate) fn list(objects: &Path, first: usize, format: Format, skips: &mut Skips) -> Vec<ObjectId> {
    let prefix = format!("{first:02x}");
    let folder = objects.join(&prefix);
    let files = match fs::read_dir(&folder) {
        Ok(files) => files,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            skips.add(What::File(folder), error.into());
            return Vec::new();
        }
    };
    let mut found = Vec::new();
    for file in files {
        let Ok(file) = file else {
            skips.add(What::File(folder.clone()), Why::Corrupt("the folder's end cannot be read"));
            break;
        };
        if found.len() >= OBJECTS_MAX {
            skips.add(
                What::File(folder.clone()),
                Why::TooMany { max: u64::try_from(OBJECTS_MAX).unwrap_or(u64::MAX) },
            );
            break;
        }
        let digits = [prefix.as_bytes(), file.file_name().as_encoded_bytes()].concat();
        found.extend(ObjectId::from_hex(&digits).filter(|id| id.as_bytes().len() == format.id_bytes()));
    }
    found
}

/// Reads an object's file.
pub(crate) fn read(path: &Path, bytes_max: u64, reader: &mut Reader) -> Result<(Kind, Buffer), Why> {
    let compressed = regular::read(path, compressed_max(bytes_max))?;
    reader.inflater.begin();
    let mut head = [0; HEAD_BYTES_MAX];
    let step = reader.inflater.step(&compressed, &mut head, false)?;
    let begun = head.get(..step.written).unwrap_or_default();
    let (kind, size, body) = parts(begun).ok_or(Why::Corrupt("its head is not what it must be"))?;
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

/// The kind and size that a head names, and what stands behind it.
fn parts(begun: &[u8]) -> Option<(Kind, u64, &[u8])> {
    let zero = begun.iter().position(|byte| *byte == 0)?;
    let (head, body) = (begun.get(..zero)?, begun.get(zero + 1..)?);
    let blank = head.iter().position(|byte| *byte == b' ')?;
    let kind = Kind::named(head.get(..blank)?)?;
    let digits = std::str::from_utf8(head.get(blank + 1..)?).ok()?;
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    Some((kind, plain.then(|| digits.parse().ok()).flatten()?, body))
}
