use std::fs;
use std::path::PathBuf;

use crate::object::buffer::Buffer;
use crate::object::id::{HashFormat, ObjectId};
use crate::object::kind::ObjectKind;
use crate::object::loose;
use crate::object::reader::Reader;
use crate::pack::Pack;
use crate::repository::Repository;
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The most packs that are read; each keeps a file open.
const PACKS_MAX: usize = 4096;

/// All objects of a repository: packs and loose objects, with those of alternates.
pub(crate) struct ObjectStore {
    pub(crate) format: HashFormat,
    pub(crate) packs: Vec<Pack>,
    /// Folders of loose objects.
    pub(crate) folders: Vec<PathBuf>,
}

impl ObjectStore {
    /// Opens every pack. Unreadable ones are listed in `skips`.
    pub(crate) fn open(repository: &Repository, skips: &mut SkipList) -> ObjectStore {
        let mut packs = Vec::new();
        for folder in &repository.objects {
            let mut indices: Vec<PathBuf> = match fs::read_dir(folder.join("pack")) {
                Ok(files) => files.filter_map(|file| Some(file.ok()?.path())).collect(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => {
                    skips.add(SkippedItem::File(folder.join("pack")), error.into());
                    Vec::new()
                }
            };
            // Git is writing a pack without an index, or the index was lost.
            let with = |path: &PathBuf, extension: &str| path.extension().is_some_and(|is| is == extension);
            for pack in indices.iter().filter(|path| with(path, "pack")) {
                if !indices.contains(&pack.with_extension("idx")) {
                    skips.add(SkippedItem::File(pack.clone()), SkipReason::Corrupt("it has no index"));
                }
            }
            indices.retain(|path| with(path, "idx"));
            indices.sort();
            for index in indices {
                if packs.len() >= PACKS_MAX {
                    skips.add(
                        SkippedItem::File(index),
                        SkipReason::TooMany { max: u64::try_from(PACKS_MAX).unwrap_or(u64::MAX) },
                    );
                    continue;
                }
                match Pack::open(&index, repository.format) {
                    Ok(pack) => packs.push(pack),
                    Err((what, why)) => skips.add(what, why),
                }
            }
        }
        ObjectStore { format: repository.format, packs, folders: repository.objects.clone() }
    }

    /// Whether an object exists, according to the pack indices and file names.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.has(id))
            || self.folders.iter().any(|folder| fs::symlink_metadata(loose::path(folder, id)).is_ok())
    }

    /// Reads an object from the first pack or folder that has it intact. `but`: the number of a pack to skip.
    pub(crate) fn read(
        &self,
        id: &ObjectId,
        bytes_max: u64,
        reader: &mut Reader,
        but: Option<usize>,
    ) -> Result<(ObjectKind, Buffer), SkipReason> {
        let mut fault = SkipReason::Missing;
        for (number, pack) in self.packs.iter().enumerate().filter(|(number, _)| Some(*number) != but) {
            let Some(offset) = pack.index.find(id).and_then(|at| pack.index.offset(at)) else { continue };
            match pack.object_at(number, offset, bytes_max, reader) {
                Ok(object) => return Ok(object),
                Err(why) => fault = why,
            }
        }
        for folder in &self.folders {
            match loose::read(&loose::path(folder, id), bytes_max, reader) {
                Ok(object) => return Ok(object),
                Err(SkipReason::Missing) => {}
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }
}
