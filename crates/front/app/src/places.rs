//! The folders and files of an installation.

use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keyroll_codes::Code;
use keyroll_journal::Act;
use keyroll_secret::SecretBytes;

use crate::env;
use crate::handles::Handles;
use crate::problem::Problem;
use crate::wiring::sealing_source::Source;

/// Asks the operator for a value without showing it; the argument names the value.
pub type AskHidden = fn(&str) -> Result<SecretBytes, Problem>;

/// The locations of an installation that the command line names. A missing one comes from the environment or a default.
#[derive(Debug, Clone, Default)]
pub struct Locations {
    /// The configuration file; else `KEYROLL_CONFIG`, or `keyroll.toml` in the current folder.
    pub config: Option<PathBuf>,
    /// The folder of the journal and the sealed values.
    pub state: Option<PathBuf>,
    /// The folder of the sealing key and the epoch witness.
    pub keys: Option<PathBuf>,
    /// What the sealing key is wrapped with.
    pub sealing_key: Option<String>,
    /// Asks the operator for the passphrase of the sealing key; none = nobody may be asked.
    pub ask: Option<AskHidden>,
    /// On whose behalf this process works; none = on that of its own user.
    pub asker: Option<Asker>,
}

/// Who asks for something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// As the journal records them: `token ada`, `user root`.
    pub by: String,
    /// What tells them from another one of the same name.
    pub id: Option<String>,
}

impl Asker {
    /// What is asked for, without what it is about.
    pub fn asks(self, what: &str) -> Act {
        let Self { by, id } = self;
        Act { by, id, what: what.to_owned(), ..Act::default() }
    }
}

/// The folders of an installation. There are two, so that no backup has to hold both the sealed values and their key.
#[derive(Debug, Clone)]
pub struct Places {
    /// The journal and the sealed values.
    pub state: PathBuf,
    /// The sealing key and the epoch witness.
    pub keys: PathBuf,
    /// What the sealing key is wrapped with, if the operator named it.
    pub sealing: Option<Source>,
    /// Asks the operator for its passphrase; none = nobody may be asked.
    pub ask: Option<AskHidden>,
    /// On whose behalf this process works; none = on that of its own user.
    pub asker: Option<Asker>,
    /// The parts of the installation that this command has opened; clones share them.
    pub(crate) handles: Arc<Handles>,
}

/// The names that keyroll gives in the state folder.
const FOLDERS: [&str; 4] = ["plans", "work", "incidents", "served"];
const FILES: [&str; 12] = [
    "journal.db",
    "secrets.db",
    "lock",
    "adopted.json",
    "waivers.json",
    "downtimes.jsonl",
    "serving.json",
    "scheduled.json",
    "notices.json",
    "approvals.json",
    "hosts.json",
    "views.json",
];

/// The mode of both folders.
const FOLDER_MODE: u32 = 0o700;

impl Places {
    /// The folders of an installation in this one.
    #[cfg(test)]
    pub(crate) fn within(folder: &Path) -> Self {
        Self {
            state: folder.join("state"),
            keys: folder.join("keys"),
            sealing: None,
            ask: None,
            asker: None,
            handles: Arc::default(),
        }
    }

    /// Derives the folders; nothing is read or made.
    ///
    /// `--state DIR` (or `KEYROLL_STATE`) puts the state into DIR and the keys into `DIR.keys`, unless `--keys` (or
    /// `KEYROLL_KEYS`) names another folder. Else root has `/var/lib/keyroll` and `/etc/keyroll`, and any other
    /// user the XDG folders.
    pub fn find(locations: &Locations) -> Result<Self, Problem> {
        let root = rustix::process::geteuid().is_root();
        let chosen = locations.state.clone().or_else(|| env::STATE.get().map(PathBuf::from));
        let chosen_keys = locations.keys.clone().or_else(|| env::KEYS.get().map(PathBuf::from));
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
            return Err(Problem::new(Code::FolderUnsuitable, "choose the folders of keyroll")
                .because("the sealing key must not be in the folder of the values that it seals")
                .help("name another folder with --keys"));
        }
        let sealing = match (&locations.sealing_key, env::SEALING_KEY.get()) {
            (Some(text), _) => Some(Source::parse(text)?),
            (None, Some(text)) => Some(Source::parse(&text.to_string_lossy())?),
            (None, None) => None,
        };
        let asker = locations.asker.clone();
        Ok(Self { state, keys, sealing, ask: locations.ask, asker, handles: Arc::default() })
    }

    /// Refuses a state folder into which this user cannot look: what is there would count as absent, and its values would
    /// not be redacted. A folder that does not exist yet is no problem.
    pub(crate) fn check_visible(&self) -> Result<(), Problem> {
        match self.journal().symlink_metadata() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Problem::new(Code::FolderUnsuitable, format!("use the folder {}", self.state.display()))
                    .because_of(&error)
                    .help("run keyroll as the user who owns it, or name another folder with --state"))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// The same folders with nothing opened yet. The operator is asked for a passphrase only if `ask`.
    pub(crate) fn opened_anew(self, ask: bool) -> Self {
        Self { ask: self.ask.filter(|_| ask), handles: Arc::default(), ..self }
    }

    /// The same folders, where nobody is asked for a passphrase. What is open is shared.
    #[must_use]
    pub fn unasked(self) -> Self {
        Self { ask: None, ..self }
    }

    /// Makes the missing folders, and refuses folders that others can access.
    pub fn ensure(&self) -> Result<(), Problem> {
        for folder in [&self.state, &self.keys] {
            make_folder(folder).map_err(|error| {
                Problem::new(Code::FolderUnsuitable, format!("make the folder {}", folder.display()))
                    .because_of(&error)
                    .help("name other folders with --state and --keys")
            })?;
            check(folder)?;
        }
        Ok(())
    }

    /// keyroll's files and folders in the state folder that others can access, each with its mode. Other files there
    /// belong to the operator.
    pub fn wide(&self) -> Vec<(PathBuf, u32)> {
        let mut wide = Vec::new();
        let mut folders = vec![self.state.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                if folder == self.state && !is_own(&entry.file_name()) {
                    continue;
                }
                // A link is not followed; a file that was removed meanwhile is skipped.
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

    /// Removes the access of others to those files; returns a sentence for each. Files are not opened: closing a database
    /// would release every lock on it.
    #[expect(clippy::disallowed_methods, reason = "closes the files of an installation")]
    pub fn narrow(&self) -> Vec<String> {
        // A folder of another user, or one that is open itself, is reported by the command that needs it.
        if check(&self.state).is_err() {
            return Vec::new();
        }
        let narrowed = self.wide().into_iter().filter(|(path, mode)| {
            std::fs::set_permissions(path, Permissions::from_mode(mode & !0o077)).is_ok()
        });
        narrowed
            .map(|(path, mode)| {
                format!("closed {}: other users could access it (mode {mode:04o})", path.display())
            })
            .collect()
    }

    /// The journal's file.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal.db")
    }

    /// The file of the sealed values.
    pub fn sealed(&self) -> PathBuf {
        self.state.join("secrets.db")
    }

    /// The file that a server locks: there is one server per state folder.
    pub fn server_lock(&self) -> PathBuf {
        self.state.join("lock.server")
    }

    /// The secrets whose drivers a server has.
    pub fn serving(&self) -> PathBuf {
        self.state.join("serving.json")
    }

    /// The due rotations that a server could not begin.
    pub fn scheduled(&self) -> PathBuf {
        self.state.join("scheduled.json")
    }

    /// What was told to whom by a server's notices.
    pub fn notices(&self) -> PathBuf {
        self.state.join("notices.json")
    }

    /// Who approved the end of which old key by a server.
    pub fn approvals(&self) -> PathBuf {
        self.state.join("approvals.json")
    }

    /// Which machines were accepted under the names of hosts.
    pub fn hosts(&self) -> PathBuf {
        self.state.join("hosts.json")
    }

    /// The folder of the incidents.
    pub fn incidents(&self) -> PathBuf {
        self.state.join("incidents")
    }

    /// The key's file; made on first use, mode 0600.
    pub fn sealing_key(&self) -> PathBuf {
        self.keys.join("sealing.key")
    }

    /// Whether there is a journal, or was one: without its file, it was lost.
    pub fn has_journal(&self) -> bool {
        self.journal().exists() || self.witness().exists()
    }

    /// The file of the epoch witness.
    pub fn witness(&self) -> PathBuf {
        self.keys.join("witness")
    }
}

/// True for the names that keyroll gives, also with an ending: a database's log, a temporary file.
fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_of =
        |own: &&str| name.strip_prefix(*own).is_some_and(|end| end.is_empty() || end.starts_with(['-', '.']));
    FOLDERS.contains(&name.as_ref()) || FILES.iter().any(is_of)
}

/// Makes a folder and those above it, if they are missing; only this user can use it.
#[expect(clippy::disallowed_methods, reason = "makes the folders of an installation")]
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)
}

/// Refuses a folder of the installation that belongs to another user or that others can access.
pub fn check(folder: &Path) -> Result<(), Problem> {
    let problem = || Problem::new(Code::FolderUnsuitable, format!("use the folder {}", folder.display()));
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
            .because(format!("other users can access it (mode {mode:04o})"))
            .help(format!("chmod 700 {}", folder.display())));
    }
    Ok(())
}

fn absolute(folder: &Path) -> Result<PathBuf, Problem> {
    // Collected anew, so that a slash at the end does not show.
    std::path::absolute(folder).map(|path| path.components().collect()).map_err(|error| {
        Problem::new(Code::FolderUnsuitable, format!("resolve the folder {}", folder.display()))
            .because_of(&error)
    })
}

/// `DIR.keys` for `DIR`.
fn beside(state: &Path) -> Result<PathBuf, Problem> {
    let name = state.file_name().ok_or_else(|| {
        Problem::new(Code::FolderUnsuitable, "choose the folder of the keys")
            .because(format!("{} has no name from which to derive the keys folder", state.display()))
            .help("name it with --keys")
    })?;
    let mut name = name.to_owned();
    name.push(".keys");
    Ok(state.with_file_name(name))
}

fn home(variable: env::Variable, below: &str) -> Result<PathBuf, Problem> {
    let base = variable.absolute().or_else(|| env::HOME.absolute().map(|home| home.join(below)));
    base.map(|base| base.join("keyroll")).ok_or_else(|| {
        Problem::new(Code::FolderUnsuitable, "find a folder for keyroll")
            .because(format!("neither {} nor HOME is set to an absolute path", variable.name))
            .help("name the folders with --state and --keys")
    })
}
