//! Where the parts of a repository stand: its folder, its objects and those that it borrows.

use std::fs;
use std::path::{Path, PathBuf};

use crate::alternates::borrowed;
use crate::config::{CONFIG_BYTES_MAX, form};
use crate::id::{Format, ObjectId};
use crate::refused::Refused;
use crate::regular::{self, lines};
use crate::skipped::{Skips, What, Why};

/// The longest file that names another folder, bytes.
const LINK_BYTES_MAX: u64 = 64 * 1024;

/// The longest list of a shallow clone's last commits, bytes.
const SHALLOW_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where the parts of a repository stand.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The folder of this working tree: HEAD and the index.
    pub(crate) own: PathBuf,
    /// The folder that all working trees share: references and objects.
    pub(crate) shared: PathBuf,
    /// The folders of objects: its own first, then those that it borrows from.
    pub(crate) objects: Vec<PathBuf>,
    pub(crate) format: Format,
    /// Whether the references are in a table that is not read here.
    pub(crate) reftable: bool,
    /// The commits of a shallow clone whose parents are not there.
    pub(crate) shallow: Vec<ObjectId>,
}

/// Finds the repository that a path is in: its own `.git`, that of a folder above, or a bare one. The environment
/// (`GIT_DIR` and its like) says nothing here.
pub(crate) fn find(path: &Path, skips: &mut Skips) -> Result<Repository, Refused> {
    let real =
        fs::canonicalize(path).map_err(|source| Refused::Unreadable { path: path.to_path_buf(), source })?;
    let own =
        real.ancestors().find_map(git_folder).ok_or_else(|| Refused::NoRepository { path: real.clone() })?;
    let shared = named_by(&own.join("commondir"), b"", &own).unwrap_or_else(|| own.clone());
    let file = shared.join("config");
    let text = match regular::read(&file, CONFIG_BYTES_MAX) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => return Err(Refused::Unreadable { path: file, source }),
    };
    let said = form(&text);
    if said.version.is_some_and(|version| version != b"0" && version != b"1") {
        return Err(Refused::Unknown {
            path: file,
            what: "has a version of the repository's form that is not known",
        });
    }
    let format = match said.objects.as_deref() {
        None | Some(b"sha1") => Format::Sha1,
        Some(b"sha256") => Format::Sha256,
        Some(_) => {
            return Err(Refused::Unknown { path: file, what: "names objects by a hash that is not known" });
        }
    };
    let reftable = said.references.is_some_and(|kind| kind != b"files");
    if reftable {
        skips.add(What::File(shared.join("reftable")), Why::Reftable);
    }
    if said.partial {
        skips.add(What::History, Why::Partial);
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

fn is_git_folder(folder: &Path) -> bool {
    let has = |name: &str| fs::symlink_metadata(folder.join(name)).is_ok();
    has("HEAD") && (has("commondir") || (folder.join("objects").is_dir() && folder.join("refs").is_dir()))
}

/// The folder that a small file names, seen from `from`.
fn named_by(file: &Path, prefix: &[u8], from: &Path) -> Option<PathBuf> {
    let text = regular::read(file, LINK_BYTES_MAX).ok()?;
    let name = text.strip_prefix(prefix)?.trim_ascii();
    (!name.is_empty()).then(|| from.join(path_of(name)))
}

/// A path from bytes.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

fn shallow(shared: &Path, skips: &mut Skips) -> Vec<ObjectId> {
    let file = shared.join("shallow");
    match regular::read(&file, SHALLOW_BYTES_MAX) {
        Ok(text) => {
            let commits: Vec<ObjectId> = lines(&text).filter_map(ObjectId::from_hex).collect();
            if !commits.is_empty() {
                skips.add(What::History, Why::Shallow { commits: commits.len() });
            }
            commits
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => {
            skips.add(What::File(file), error.into());
            Vec::new()
        }
    }
}
