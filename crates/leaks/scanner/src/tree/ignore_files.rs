//! Reads ignore files, `.gitignore` and the like. Anybody who can write in a folder may have replaced one, so each is
//! opened safely, up to a limit.

use std::fs::Metadata;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rustix::process::geteuid;

use crate::error_text::ignore_error_text;
use crate::regular_file::open;

/// keyroll's own ignore file, in the format of `.gitignore`.
pub(crate) const IGNORE_FILE: &str = ".keyrollignore";

/// The largest ignore file that is read, bytes.
pub(crate) const RULES_BYTES_MAX: u64 = 4 << 20;

/// The most malformed lines of one file that are listed.
const LINES_NAMED_MAX: usize = 10;

/// The ignore files of a folder, in order of precedence across all folders.
const FILES: [&str; 4] = [IGNORE_FILE, ".ignore", ".gitignore", ".git/info/exclude"];

/// What some editors begin a text with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rules of one folder, by [`FILES`].
type FolderRules = [Option<Gitignore>; FILES.len()];

/// An ignore file is too large, or not a regular file.
pub(crate) struct BadRules;

/// The ignore rules for the scanned paths.
pub(crate) struct ExcludeRules {
    roots: Vec<ScanRoot>,
    /// The user's global rules.
    global: Gitignore,
}

/// One scanned path.
struct ScanRoot {
    path: PathBuf,
    /// The applicable rules of the folders above, the nearest first, each with the path from there.
    above: Vec<(PathBuf, FolderRules)>,
    /// Whether any rules apply: none do if one file is bad.
    counts: bool,
}

impl ExcludeRules {
    /// Calls `told` for malformed lines in folders above and, without a line, for a folder with a bad file, whose
    /// rules do not apply.
    pub(crate) fn of(paths: &[PathBuf], mut told: impl FnMut(&Path, Option<String>)) -> Self {
        let roots = paths.iter().map(|path| {
            let mut root = ScanRoot { path: path.clone(), above: Vec::new(), counts: true };
            if path.is_dir() {
                let own = of_folder(path, path, &|_| true).map_err(|BadRules| path.clone());
                match own.and_then(|_| above(path)) {
                    Ok((above, lines)) => {
                        root.above = above;
                        lines.into_iter().for_each(|(folder, line)| told(&folder, Some(line)));
                    }
                    Err(folder) => {
                        root.counts = false;
                        told(&folder, None);
                    }
                }
            }
            root
        });
        Self { roots: roots.collect(), global: Gitignore::global().0 }
    }
}

type RulesAbove = (Vec<(PathBuf, FolderRules)>, Vec<(PathBuf, String)>);

/// The rules of the folders above one, up to the top of its repository; none outside of a repository. Others who can
/// write in a folder above must not decide: files and folders that do not belong to the folder's owner, the user or
/// root do not count, nor anything above them.
fn above(path: &Path) -> Result<RulesAbove, PathBuf> {
    let (mut all, mut lines) = (Vec::new(), Vec::new());
    let Ok((real, owners)) =
        path.canonicalize().and_then(|real| trusted_owners(&real).map(|owners| (real, owners)))
    else {
        return Ok((all, lines));
    };
    let counts = |meta: &Metadata| owners.contains(&meta.uid());
    let is_ours = |path: &Path| path.symlink_metadata().is_ok_and(|meta| counts(&meta));
    let folders: Vec<&Path> = real.ancestors().take_while(|folder| is_ours(folder)).collect();
    let top = folders.iter().position(|folder| is_ours(&folder.join(".git")));
    for folder in folders.iter().take(top.map_or(0, |top| top + 1)).skip(1) {
        // They match paths relative to their own folder.
        let (rules, said) =
            of_folder(folder, Path::new(""), &counts).map_err(|BadRules| folder.to_path_buf())?;
        lines.extend(said.into_iter().map(|line| (folder.to_path_buf(), line)));
        all.push((real.strip_prefix(folder).unwrap_or(&real).to_owned(), rules));
    }
    Ok((all, lines))
}

/// Whose files outside of a scanned folder count: root's, the user's, and those of the folder's owner.
pub(crate) fn trusted_owners(folder: &Path) -> io::Result<[u32; 3]> {
    Ok([0, geteuid().as_raw(), folder.metadata()?.uid()])
}

/// The rules in a folder, and their malformed lines. `from` is the start of the paths to match.
fn of_folder(
    folder: &Path,
    from: &Path,
    counts: &dyn Fn(&Metadata) -> bool,
) -> Result<(FolderRules, Vec<String>), BadRules> {
    let (mut all, mut lines) = (FolderRules::default(), Vec::new());
    for (rules, name) in all.iter_mut().zip(FILES) {
        let path = folder.join(name);
        // Most folders have none.
        let Ok(meta) = path.symlink_metadata() else { continue };
        if counts(&meta) {
            *rules = of_file(&path, from, counts, &mut lines)?;
        }
    }
    Ok((all, lines))
}

fn of_file(
    path: &Path,
    from: &Path,
    counts: &dyn Fn(&Metadata) -> bool,
    lines: &mut Vec<String>,
) -> Result<Option<Gitignore>, BadRules> {
    // Links are followed. Anything else than a file is not even opened.
    let meta = path.metadata().map_err(|_| BadRules)?;
    if !meta.is_file() {
        return Err(BadRules);
    }
    let file = match open(path, true) {
        Ok(Some(file)) => file,
        Ok(None) => return Err(BadRules),
        // Unreadable: no rules.
        Err(_) => return Ok(None),
    };
    if !file.metadata().is_ok_and(|meta| counts(&meta)) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    if file.take(RULES_BYTES_MAX + 1).read_to_end(&mut bytes).is_err() {
        return Ok(None);
    }
    if bytes.len() as u64 > RULES_BYTES_MAX {
        return Err(BadRules);
    }
    let mut rules = GitignoreBuilder::new(from);
    let mut named = Vec::new();
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let added = match str::from_utf8(line) {
            Ok(line) => rules.add_line(None, line).map(drop),
            Err(_) => Err(ignore::Error::InvalidDefinition),
        };
        if let Err(error) = added
            && named.len() < LINES_NAMED_MAX
        {
            named.push(format!("{}: line {number}: {}", path.display(), ignore_error_text(&error)));
        }
    }
    lines.append(&mut named);
    match rules.build() {
        Ok(rules) => Ok(Some(rules).filter(|rules| !rules.is_empty())),
        Err(error) => {
            lines.push(format!("{}: {}", path.display(), ignore_error_text(&error)));
            Ok(None)
        }
    }
}

/// The position of one thread in the trees. Holds only the rules of the current path, and reads others again.
pub(crate) struct ExcludeStack<'r> {
    rules: &'r ExcludeRules,
    root: Option<&'r ScanRoot>,
    /// From the scanned path on.
    folders: Vec<(PathBuf, FolderRules)>,
}

impl<'r> ExcludeStack<'r> {
    pub(crate) fn new(rules: &'r ExcludeRules) -> Self {
        Self { rules, root: None, folders: Vec::new() }
    }

    /// Enters a folder `depth` levels below a scanned path. Returns the malformed lines of its rules.
    ///
    /// # Errors Its rules cannot be read.
    pub(crate) fn enter(&mut self, folder: &Path, depth: usize) -> Result<Vec<String>, BadRules> {
        if self.folders.get(depth).is_some_and(|(known, _)| known == folder) {
            self.folders.truncate(depth + 1);
            return Ok(Vec::new());
        }
        let mut way: Vec<&Path> = folder.ancestors().take(depth + 1).collect();
        way.reverse();
        let same = self.folders.iter().zip(&way).take_while(|((known, _), path)| known == *path).count();
        self.folders.truncate(same);
        if same == 0 {
            self.root = self.rules.roots.iter().find(|root| way.first() == Some(&root.path.as_path()));
        }
        let mut lines = Vec::new();
        for path in way.into_iter().skip(same) {
            let (rules, said) = match self.root.is_some_and(|root| root.counts) {
                true => of_folder(path, path, &|_| true)?,
                false => Default::default(),
            };
            self.folders.push((path.to_owned(), rules));
            lines = said;
        }
        Ok(lines)
    }

    /// Whether a path is ignored. A path that was named is not. For files of git itself only keyroll's own rules count:
    /// git's are not about them.
    pub(crate) fn leaves_out(&mut self, path: &Path, depth: usize, is_folder: bool, of_git: bool) -> bool {
        let (Some(above), Some(folder)) = (depth.checked_sub(1), path.parent()) else { return false };
        if self.enter(folder, above).is_err() {
            return false;
        }
        let Some(root) = self.root.filter(|root| root.counts) else { return false };
        let below = path.strip_prefix(&root.path).unwrap_or(path);
        // keyroll's own file is the first.
        let kinds = if of_git { 1 } else { FILES.len() };
        for kind in 0..kinds {
            let near = self.folders.iter().rev().filter_map(|(_, rules)| rules.get(kind)?.as_ref());
            let near = near.map(|rules| rules.matched(path, is_folder));
            let far = root.above.iter().filter_map(|(way, rules)| {
                Some(rules.get(kind)?.as_ref()?.matched(way.join(below), is_folder))
            });
            if let Some(says) = near.chain(far).find(|says| !says.is_none()) {
                return says.is_ignore();
            }
        }
        !of_git && self.rules.global.matched(path, is_folder).is_ignore()
    }
}
