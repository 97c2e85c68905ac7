pub(crate) mod ignored;

use std::fs::File;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread;

use ignore::{DirEntry, WalkBuilder, WalkState};
use keyroll_leak::Text;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::Scan;
use crate::scan::{At, Worker};
use crate::tree::ignored::{BadRules, Rules, Way};
use crate::why::{why, why_ignore};

/// The most threads that read files.
const THREADS_MAX: usize = 16;

/// Of what was named and cannot be read as a file.
const NO_FILE: &str = "it is no file: pipe it in with --stdin";

const BAD_RULES: &str = "its rules for what is not looked at are no regular file, or too large";

/// Files and folders that are looked at.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Which; a folder with all that is below it. No link is followed but one that is named here.
    pub paths: Vec<PathBuf>,
    /// Whether what `.gitignore`, `.ignore` and `.keyrollignore` name is left out. Those count that stand in what is looked at, and
    /// above it up to the top of its repository.
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
        let told = |folder: &Path, line: Option<String>| {
            let why = line.unwrap_or_else(|| format!("{BAD_RULES}: nothing is left out"));
            scan.skip(folder.display().to_string(), why);
        };
        let rules = self.ignored_left_out.then(|| Rules::of(&self.paths, told));
        walk.standard_filters(false).follow_links(false).threads(threads());
        walk.filter_entry(|entry| entry.depth() == 0 || entry.file_name() != ".git");
        walk.build_parallel().run(|| {
            let mut worker = Worker::new(scan);
            let mut way = rules.as_ref().map(Way::new);
            Box::new(move |entry| match entry {
                Ok(entry) => visit(&mut worker, way.as_mut(), &entry),
                Err(error) => {
                    worker.skip_named(String::new(), why_ignore(&error));
                    WalkState::Continue
                }
            })
        });
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX)
}

fn visit(worker: &mut Worker<'_>, way: Option<&mut Way<'_>>, entry: &DirEntry) -> WalkState {
    let (path, depth) = (entry.path(), entry.depth());
    let at = At { source: None, path: Some(path), inside: &[] };
    let kind = entry.file_type();
    let is_folder = kind.is_some_and(|kind| kind.is_dir());
    if let Some(way) = way {
        if way.leaves_out(path, depth, is_folder) {
            return WalkState::Skip;
        }
        let entered = if is_folder { way.enter(path, depth) } else { Ok(Vec::new()) };
        match entered {
            // What cannot be understood leaves nothing out.
            Ok(lines) => lines.into_iter().for_each(|line| worker.skip(at, line)),
            Err(BadRules) => {
                worker.skip(at, format!("{BAD_RULES} (--no-ignore looks at it)"));
                return WalkState::Skip;
            }
        }
    }
    let named = depth == 0;
    let looked = kind.is_some_and(|kind| kind.is_file() || named && kind.is_symlink());
    if looked {
        match open(path, named) {
            Ok(Some(file)) => worker.file(at, file),
            Ok(None) if named && !path.is_dir() => worker.skip(at, NO_FILE),
            Ok(None) => {}
            Err(error) => worker.skip(at, why(&error)),
        }
    } else if named && !is_folder {
        worker.skip(at, NO_FILE);
    }
    WalkState::Continue
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
