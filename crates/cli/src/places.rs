use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::args::Globals;
use crate::env;
use crate::problem::Problem;
use crate::wiring::sealing::Source;

/// Where keyroll keeps what it knows. The two folders are apart so that one backup need not hold both the sealed
/// values and the key that opens them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    /// The journal and the sealed values.
    pub(crate) state: PathBuf,
    /// The sealing key and the epoch witness.
    pub(crate) keys: PathBuf,
    /// What the sealing key is wrapped with, where that was said.
    pub(crate) sealing: Option<Source>,
    /// Whether a person may be asked for its passphrase.
    pub(crate) ask: bool,
}

/// What keyroll makes in the state folder.
const FOLDERS: [&str; 2] = ["plans", "work"];
const FILES: [&str; 6] = ["journal.db", "secrets.db", "lock", "adopted.json", "waivers.json", "gaps.jsonl"];

/// The mode of both folders.
const FOLDER_MODE: u32 = 0o700;

impl Places {
    /// Where they are, without touching anything.
    ///
    /// `--state DIR` (or `KEYROLL_STATE`) puts the state into DIR and the keys into `DIR.keys`, unless `--keys` (or
    /// `KEYROLL_KEYS`) names another folder. Else: root `/var/lib/keyroll` and `/etc/keyroll`; anyone else the XDG
    /// folders.
    pub(crate) fn find(globals: &Globals) -> Result<Self, Problem> {
        let root = rustix::process::geteuid().is_root();
        let chosen = globals.state.clone().or_else(|| env::STATE.get().map(PathBuf::from));
        let chosen_keys = globals.keys.clone().or_else(|| env::KEYS.get().map(PathBuf::from));
        let state = match &chosen {
            Some(folder) => absolute(folder)?,
            None if root => PathBuf::from("/var/lib/keyroll"),
            None => home(env::XDG_STATE_HOME, ".local/state")?,
        };
        let keys = match (&chosen_keys, &chosen) {
            (Some(folder), _) => absolute(folder)?,
            (None, Some(_)) => beside(&state)?,
            (None, None) if root => PathBuf::from("/etc/keyroll"),
            (None, None) => home(env::XDG_CONFIG_HOME, ".config")?,
        };
        if keys == state {
            return Err(Problem::new("K0803", "choose the folders of keyroll")
                .because("the sealing key may not stand beside what it seals")
                .help("name another folder with --keys"));
        }
        let sealing = match (&globals.sealing_key, env::SEALING_KEY.get()) {
            (Some(text), _) => Some(Source::parse(text)?),
            (None, Some(text)) => Some(Source::parse(&text.to_string_lossy())?),
            (None, None) => None,
        };
        Ok(Self { state, keys, sealing, ask: !globals.no_input })
    }

    /// Makes both folders where they are missing, and refuses folders that others may use.
    pub(crate) fn ensure(&self) -> Result<(), Problem> {
        for folder in [&self.state, &self.keys] {
            let built = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
            built.map_err(|error| {
                Problem::new("K0803", format!("make the folder {}", folder.display()))
                    .because_of(&error)
                    .help("name other folders with --state and --keys")
            })?;
            check(folder)?;
        }
        Ok(())
    }

    /// What keyroll keeps in the state folder and others may use, with its mode: an earlier version made it so, or a person
    /// did. What else stands in that folder is a person's own.
    pub(crate) fn wide(&self) -> Vec<(PathBuf, u32)> {
        let mut wide = Vec::new();
        let mut folders = vec![self.state.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if folder == self.state && !is_own(&entry.file_name()) {
                    continue;
                }
                // A link is not followed, and what went meanwhile is nobody's.
                let Ok(meta) = entry.path().symlink_metadata() else { continue };
                if meta.is_dir() {
                    folders.push(entry.path());
                } else if !meta.is_file() {
                    continue;
                }
                if meta.mode() & 0o077 != 0 {
                    wide.push((entry.path(), meta.mode() & 0o7777));
                }
            }
        }
        wide.sort();
        wide
    }

    /// Takes the rights of others away there; what was done, in words. By its name alone: opening a database to change
    /// its mode would take back every lock on it.
    pub(crate) fn narrow(&self) -> Vec<String> {
        // What is not this user's, or stands open itself, is told by the command that needs it.
        if check(&self.state).is_err() {
            return Vec::new();
        }
        let narrowed = self.wide().into_iter().filter(|(path, mode)| {
            std::fs::set_permissions(path, Permissions::from_mode(mode & !0o077)).is_ok()
        });
        narrowed
            .map(|(path, mode)| {
                format!("{} was open to others (mode {mode:04o}), and is not any more", path.display())
            })
            .collect()
    }

    /// The journal's file.
    pub(crate) fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }

    /// The file of the sealed values.
    pub(crate) fn sealed(&self) -> PathBuf {
        self.state.join("secrets.db")
    }

    /// The key's file; made on first use, mode 0600.
    pub(crate) fn sealing_key(&self) -> PathBuf {
        self.keys.join("sealing.key")
    }

    /// The file of the epoch witness.
    pub(crate) fn witness(&self) -> PathBuf {
        self.keys.join("witness")
    }
}

/// Whether keyroll made it: by its name, which may have an end behind it (a database's log, a file that is being written).
fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_of =
        |own: &&str| name.strip_prefix(*own).is_some_and(|end| end.is_empty() || end.starts_with(['-', '.']));
    FOLDERS.contains(&name.as_ref()) || FILES.iter().any(is_of)
}

/// Refuses a folder of ours that belongs to another, or that others may use.
pub(crate) fn check(folder: &Path) -> Result<(), Problem> {
    let problem = || Problem::new("K0803", format!("use the folder {}", folder.display()));
    let meta = folder.metadata().map_err(|error| problem().because_of(&error))?;
    if !meta.is_dir() {
        return Err(problem().because("it is not a folder"));
    }
    let owner = rustix::process::geteuid().as_raw();
    if meta.uid() != owner {
        return Err(problem()
            .because(format!("it belongs to user {}, and this is user {owner}", meta.uid()))
            .help("run keyroll as the user who owns it, or name another folder"));
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(problem()
            .because(format!("others may use it (mode {mode:04o})"))
            .help(format!("chmod 700 {}", folder.display())));
    }
    Ok(())
}

fn absolute(folder: &Path) -> Result<PathBuf, Problem> {
    // Collected anew, so that a slash at the end does not show.
    std::path::absolute(folder).map(|path| path.components().collect()).map_err(|error| {
        Problem::new("K0803", format!("resolve the folder {}", folder.display())).because_of(&error)
    })
}

/// `DIR.keys` for `DIR`.
fn beside(state: &Path) -> Result<PathBuf, Problem> {
    let name = state.file_name().ok_or_else(|| {
        Problem::new("K0803", "choose the folder of the keys")
            .because(format!("{} has no name to put a folder beside", state.display()))
            .help("name it with --keys")
    })?;
    let mut name = name.to_owned();
    name.push(".keys");
    Ok(state.with_file_name(name))
}

fn home(variable: env::Variable, below: &str) -> Result<PathBuf, Problem> {
    let base = variable.absolute().or_else(|| env::HOME.absolute().map(|home| home.join(below)));
    base.map(|base| base.join("keyroll")).ok_or_else(|| {
        Problem::new("K0803", "find a folder for keyroll")
            .because(format!("neither {} nor HOME is set to an absolute path", variable.name))
            .help("name the folders with --state and --keys")
    })
}
