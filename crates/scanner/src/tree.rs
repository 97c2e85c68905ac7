use std::fs::File;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use ignore::{DirEntry, WalkBuilder, WalkState};
use keyroll_leak::Text;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::Scan;
use crate::scan::{At, Worker};
use crate::why::{why, why_ignore};

/// The most threads that read files.
const THREADS_MAX: usize = 16;

/// Rules for what is not looked at, in the form of `.gitignore`.
pub(crate) const IGNORE_FILE: &str = ".keyrollignore";

/// The largest file of such rules that is read, bytes.
pub(crate) const RULES_BYTES_MAX: u64 = 4 << 20;

/// Of what was named and cannot be read as a file.
const NO_FILE: &str = "it is no file: pipe it in with --stdin";

const BAD_RULES: &str = "its rules for what is not looked at are no regular file, or too large";

/// Files and folders that are looked at.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Which; a folder with all that is below it. No link is followed but one that is named here.
    pub paths: Vec<PathBuf>,
    /// Whether what `.gitignore`, `.ignore` and `.keyrollignore` name is left out.
    pub ignored_left_out: bool,
}

/// Names of files in which what stands behind a name is its value, by how they end.
const SETTINGS_ENDS: [&str; 34] = [
    ".env",
    ".envrc",
    ".ini",
    ".cfg",
    ".conf",
    ".cnf",
    ".config",
    ".properties",
    ".yaml",
    ".yml",
    ".toml",
    ".tfvars",
    ".service",
    ".netrc",
    ".pgpass",
    ".npmrc",
    ".pypirc",
    ".prefs",
    ".secrets",
    ".credentials",
    ".s3cfg",
    ".boto",
    ".gitconfig",
    ".git-credentials",
    ".hgrc",
    ".msmtprc",
    ".muttrc",
    ".curlrc",
    ".wgetrc",
    ".condarc",
    "_netrc",
    ".container",
    ".timer",
    ".dockerfile",
];

/// Whether a file holds settings, by its name.
pub(crate) fn text_of(path: &Path) -> Text {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    let env = name.starts_with(".env") || name.starts_with("env.");
    let plain = ["credentials", "config", "dockerfile", "containerfile", "my.cnf"].contains(&name.as_str());
    match env || plain || SETTINGS_ENDS.iter().any(|end| name.ends_with(end)) {
        true => Text::Settings,
        false => Text::Program,
    }
}

impl Tree {
    pub(crate) fn walk(&self, scan: &Scan<'_>) {
        let mut paths = self.paths.iter();
        let Some(first) = paths.next() else { return };
        let mut walk = WalkBuilder::new(first);
        paths.for_each(|path| {
            walk.add(path);
        });
        // Whoever made the tree may have put anything in the place of its rules.
        let roots =
            self.paths.iter().flat_map(|path| path.ancestors()).filter(|above| !above.as_os_str().is_empty());
        let bad =
            self.ignored_left_out.then(|| roots.into_iter().find(|above| !has_good_rules(above))).flatten();
        if let Some(bad) = bad {
            scan.skip(bad.display().to_string(), format!("{BAD_RULES}: nothing is left out"));
        }
        let on = self.ignored_left_out && bad.is_none();
        // What a repository says of the files of others is none of its business.
        walk.hidden(false).parents(on).ignore(on).git_ignore(on).git_exclude(on).git_global(on);
        walk.require_git(false).follow_links(false).threads(threads());
        if on {
            walk.add_custom_ignore_filename(IGNORE_FILE);
        }
        let refused = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&refused);
        walk.filter_entry(move |entry| {
            let folder = entry.file_type().is_some_and(|kind| kind.is_dir());
            let good = !on || !folder || has_good_rules(entry.path());
            if !good {
                seen.lock().unwrap_or_else(PoisonError::into_inner).push(entry.path().to_owned());
            }
            entry.depth() == 0 || good && entry.file_name() != ".git"
        });
        walk.build_parallel().run(|| {
            let mut worker = Worker::new(scan);
            Box::new(move |entry| {
                match entry {
                    Ok(entry) => visit(&mut worker, &entry),
                    Err(error) => worker.skip_named(String::new(), why_ignore(&error)),
                }
                WalkState::Continue
            })
        });
        for folder in refused.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            scan.skip(folder.display().to_string(), format!("{BAD_RULES} (--no-ignore looks at it)"));
        }
    }
}

/// Whether what would be read as rules of a folder can be: a regular file of bounded size.
fn has_good_rules(folder: &Path) -> bool {
    [".gitignore", ".ignore", IGNORE_FILE].iter().all(|name| {
        let path = folder.join(name);
        // Most folders have none. A link is followed, as whoever reads the rules does.
        path.symlink_metadata().is_err()
            || path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= RULES_BYTES_MAX)
    })
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

fn visit(worker: &mut Worker<'_>, entry: &DirEntry) {
    let at = At { source: None, path: Some(entry.path()), inside: &[] };
    // What stands in a rule file, and cannot be understood, leaves nothing out.
    if let Some(error) = entry.error() {
        worker.skip(at, why_ignore(error));
    }
    let named = entry.depth() == 0;
    let kind = entry.file_type();
    let looked = kind.is_some_and(|kind| kind.is_file() || named && kind.is_symlink());
    if named && !looked && !kind.is_some_and(|kind| kind.is_dir()) {
        return worker.skip(at, NO_FILE);
    }
    if !looked {
        return;
    }
    match open(entry.path(), named) {
        Ok(Some(file)) => worker.file(at, file),
        Ok(None) if named && !entry.path().is_dir() => worker.skip(at, NO_FILE),
        Ok(None) => {}
        Err(error) => worker.skip(at, why(&error)),
    }
}

/// A regular file; `None` for what is none. It is never waited for.
pub(crate) fn open(path: &Path, follow: bool) -> std::io::Result<Option<File>> {
    let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    if !follow {
        flags |= OFlags::NOFOLLOW;
    }
    let file = File::from(openat(CWD, path, flags, Mode::empty())?);
    Ok(file.metadata()?.is_file().then_some(file))
}
