//! All objects that a repository has, wherever they stand.

use std::fs;
use std::path::PathBuf;

use crate::buffer::Buffer;
use crate::id::{Format, ObjectId};
use crate::kind::Kind;
use crate::loose;
use crate::pack::Pack;
use crate::reader::Reader;
use crate::repository::Repository;
use crate::skipped::{Skips, What, Why};

/// The most packs that are read; each keeps a file open.
const PACKS_MAX: usize = 4096;

/// All objects that a repository has.
pub(crate) struct Store {
    pub(crate) format: Format,
    pub(crate) packs: Vec<Pack>,
    /// Folders of loose objects.
    pub(crate) folders: Vec<PathBuf>,
}

impl Store {
    /// Opens every pack. One that cannot be read is named, and the others are read.
    pub(crate) fn open(repository: &Repository, skips: &mut Skips) -> Store {
        let mut packs = Vec::new();
        for folder in &repository.objects {
            let mut indices: Vec<PathBuf> = match fs::read_dir(folder.join("pack")) {
                Ok(files) => files.filter_map(|file| Some(file.ok()?.path())).collect(),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                Err(error) => {
                    skips.add(What::File(folder.join("pack")), error.into());
                    Vec::new()
                }
            };
            // A pack without an index is one that is just being written, or whose index is gone.
            let with = |path: &PathBuf, extension: &str| path.extension().is_some_and(|is| is == extension);
            for pack in indices.iter().filter(|path| with(path, "pack")) {
                if !indices.contains(&pack.with_extension("idx")) {
                    skips.add(What::File(pack.clone()), Why::Corrupt("it has no index"));
                }
            }
            indices.retain(|path| with(path, "idx"));
            indices.sort();
            for index in indices {
                if packs.len() >= PACKS_MAX {
                    skips.add(
                        What::File(index),
                        Why::TooMany { max: u64::try_from(PACKS_MAX).unwrap_or(u64::MAX) },
                    );
                    continue;
                }
                match Pack::open(&index, repository.format) {
                    Ok(pack) => packs.push(pack),
                    Err((what, why)) => skips.add(what, why),
                }
            }
        }
        Store { format: repository.format, packs, folders: repository.objects.clone() }
    }

    /// Whether an object is there, as far as the indices say.
    pub(crate) fn has(&self, id: &ObjectId) -> bool {
        self.packs.iter().any(|pack| pack.has(id))
            || self.folders.iter().any(|folder| fs::symlink_metadata(loose::path(folder, id)).is_ok())
    }

    /// Reads an object from the first place that gives it. `but` is a pack that does not.
    pub(crate) fn read(
        &self,
        id: &ObjectId,
        bytes_max: u64,
        reader: &mut Reader,
        but: Option<usize>,
    ) -> Result<(Kind, Buffer), Why> {
        let mut fault = Why::Missing;
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
                Err(Why::Missing) => {}
                Err(why) => fault = why,
            }
        }
        Err(fault)
    }
}
