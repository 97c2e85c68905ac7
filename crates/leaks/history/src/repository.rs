//! Where the parts of a repository are: its folder, its objects, and the object folders that it borrows from.

pub(crate) mod alternates;
pub(crate) mod config;
pub(crate) mod index_file;
pub(crate) mod open_error;
pub(crate) mod references;
pub(crate) mod regular_file;

use std::fs;
use std::path::{Path, PathBuf};

use crate::object::id::{HashFormat, ObjectId};
use crate::repository::alternates::borrowed;
use crate::repository::config::{CONFIG_BYTES_MAX, form};
use crate::repository::open_error::OpenError;
use crate::repository::regular_file::{lines, path_of};
use crate::scan::skipped::{SkipList, SkipReason, SkippedItem};

/// The longest file that names another folder, bytes.
const LINK_BYTES_MAX: u64 = 64 * 1024;

/// The longest list of a shallow clone's last commits, bytes.
const SHALLOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The folders of a repository.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The folder of this working tree: HEAD and the index.
    pub(crate) own: PathBuf,
    /// The folder that all working trees share: references and objects.
    pub(crate) shared: PathBuf,
    /// The folders of objects: its own first, then those that it borrows from.
    pub(crate) objects: Vec<PathBuf>,
    pub(crate) format: HashFormat,
    /// Whether the references are in a table that is not read here.
    pub(crate) reftable: bool,
    /// The commits of a shallow clone whose parents are not there.
    pub(crate) shallow: Vec<ObjectId>,
}

/// Finds the repository that a path is in: its own `.git`, that of a folder above, or a bare one. The environment
/// (`GIT_DIR` and the like) is ignored.
pub(crate) fn find(path: &Path, skips: &mut SkipList) -> Result<Repository, OpenError> {
    let real = fs::canonicalize(path)
        .map_err(|source| OpenError::Unreadable { path: path.to_path_buf(), source })?;
    let own = real
        .ancestors()
        .find_map(git_folder)
        .ok_or_else(|| OpenError::NoRepository { path: real.clone() })?;
    let shared = shared_by(&own);
    let file = shared.join("config");
    let text = match regular_file::read(&file, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(OpenError::Unreadable { path: file, source }),
    };
    let said = form(&text);
    if said.version.is_some_and(|version| version != b"0" && version != b"1") {
        return Err(OpenError::Unknown { path: file, what: "has an unsupported repository format version" });
    }
    let format = match said.objects.as_deref() {
        None | Some(b"sha1") => HashFormat::Sha1,
        Some(b"sha256") => HashFormat::Sha256,
        Some(_) => {
            return Err(OpenError::Unknown { path: file, what: "uses an unsupported object hash" });
        }
    };
    let reftable = said.references.is_some_and(|kind| kind != b"files");
    if reftable {
        skips.add(SkippedItem::File(shared.join("reftable")), SkipReason::Reftable);
    }
    if said.partial {
        skips.add(SkippedItem::History, SkipReason::Partial);
    }
    let shallow = shallow(&shared, skips);
    let objects = borrowed(&shared.join("objects"), skips);
    Ok(Repository { own, shared, objects, format, reftable, shallow })
}

/// The repository's folder, if this folder has one or is one.
fn git_folder(folder: &Path) -> Option<PathBuf> {
    let inside = folder.join(".git");
    if inside.is_dir() && is_git_folder(&inside) {
        return Some(inside);
    }
    // A working tree of another repository, or a submodule: a file that names the folder.
    if let Some(named) = named_by(&inside, b"gitdir:", folder).filter(|named| is_git_folder(named)) {
        return Some(named);
    }
    is_git_folder(folder).then(|| folder.to_path_buf())
}

/// The folder that all working trees share, by that of one of them.
fn shared_by(own: &Path) -> PathBuf {
    named_by(&own.join("commondir"), b"", own).unwrap_or_else(|| own.to_owned())
}

/// The folders of git's own files, as of [`History::folders`](crate::History::folders), if this folder's `.git` leads
/// elsewhere: a file that names the folder, as in a linked working tree and in a submodule, or a link.
pub fn linked_folders(folder: &Path) -> Option<[PathBuf; 2]> {
    let inside = folder.join(".git");
    let kind = fs::symlink_metadata(&inside).ok()?.file_type();
    let own = match kind.is_symlink() && inside.is_dir() {
        true => Some(inside),
        false => named_by(&inside, b"gitdir:", folder),
    };
    let own = own.filter(|own| is_git_folder(own))?;
    let shared = shared_by(&own);
    is_git_folder(&shared).then_some([shared, own])
}

fn is_git_folder(folder: &Path) -> bool {
    let has = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    has("HEAD") && (has("commondir") || (folder.join("objects").is_dir() && folder.join("refs").is_dir()))
}

/// The folder that a small file names, seen from `from`.
fn named_by(file: &Path, prefix: &[u8], from: &Path) -> Option<PathBuf> {
    let text = regular_file::read(file, LINK_BYTES_MAX).ok()?;
    let name = text.strip_prefix(prefix)?.trim_ascii();
    (!name.is_empty()).then(|| from.join(path_of(name)))
}

fn shallow(shared: &Path, skips: &mut SkipList) -> Vec<ObjectId> {
    let file = shared.join("shallow");
    match regular_file::read(&file, SHALLOW_BYTES_MAX) {
        Ok(text) => {
            let commits: Vec<ObjectId> = lines(&text).filter_map(ObjectId::from_hex).collect();
            if !commits.is_empty() {
                skips.add(SkippedItem::History, SkipReason::Shallow { commits: commits.len() });
            }
            commits
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            skips.add(SkippedItem::File(file), error.into());
            Vec::new()
        }
    }
}
