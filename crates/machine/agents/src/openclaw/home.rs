use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::OpenClawError;
use super::settings::{OpenClawSettings, ReferencedFile, SETTINGS_BYTES_MAX};

/// The settings, in the state folder.
pub(super) const SETTINGS: &str = "openclaw.json";

/// The database, in the state folder.
pub(super) const STATE: &str = "state/openclaw.sqlite";

/// The file of variables, beside them.
pub(super) const DOTENV: &str = ".env";

/// The longest lock file, bytes.
const LOCK_BYTES_MAX: u64 = 16 * 1024;

/// Without this flag, opening a pipe would block the reader. Source: open(2), `O_NONBLOCK`.
const NONBLOCK: i32 = 0o4000;

/// Copies of the settings that OpenClaw makes before each change, and when a gateway ran well with them. It never reads
/// one by itself.
const LEFT: [&str; 7] = [
    "openclaw.json.bak",
    "openclaw.json.bak.1",
    "openclaw.json.bak.2",
    "openclaw.json.bak.3",
    "openclaw.json.bak.4",
    "openclaw.json.last-good",
    "openclaw.json.pre-update",
];

/// The databases with SQLite's files beside them: a replaced value stays in free pages. The present content of their
/// rows does not count here: [`OpenClawHome::key_rows`].
const DATABASES: [&str; 2] = ["state/openclaw.sqlite", "state/openclaw.sqlite-wal"];

/// The ends of the names of the scripts from which the gateway starts its own processes. Source: seen with 2026.9.6.
const HELPERS: [&str; 2] = ["worker.js", "-relay.js"];

/// The state folder of one installation, `~/.openclaw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClawHome {
    /// The folder.
    pub state: PathBuf,
}

/// The process that owns the state folder.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lock {
    pid: u32,
    role: Option<String>,
    start_time: Option<u64>,
}

impl OpenClawHome {
    /// The installation with this state folder.
    pub fn at(state: impl Into<PathBuf>) -> Self {
        Self { state: state.into() }
    }

    /// The installations of a user, by the user's home: the default one, and those of named profiles.
    pub fn of_user(home: &Path) -> Vec<Self> {
        let folders = fs::read_dir(home).into_iter().flatten().flatten().map(|entry| entry.path());
        let named = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name == ".openclaw" || name.starts_with(".openclaw-")
        };
        let mut found: Vec<Self> = folders.filter(named).map(Self::at).filter(Self::is_there).collect();
        found.sort_by(|one, other| one.state.cmp(&other.state));
        found
    }

    /// Whether the installation exists.
    pub fn is_there(&self) -> bool {
        self.settings_file().is_file()
    }

    /// `openclaw.json`.
    pub fn settings_file(&self) -> PathBuf {
        self.state.join(SETTINGS)
    }

    /// `.env`.
    pub fn dotenv(&self) -> PathBuf {
        self.state.join(DOTENV)
    }

    /// The database of its profiles and of its store.
    pub fn database(&self) -> PathBuf {
        self.state.join(STATE)
    }

    /// Reads `openclaw.json`.
    ///
    /// # Errors The file is missing, is too long, or has another form than in this release.
    pub fn settings(&self) -> Result<OpenClawSettings, OpenClawError> {
        let path = self.settings_file();
        let text = text_of(&path, SETTINGS_BYTES_MAX)
            .map_err(|why| OpenClawError::Unread { path: path.clone(), why: why.to_string() })?;
        OpenClawSettings::parse(&path, text.as_str())
    }

    /// The files that the references of all its providers name: `secrets reload` reads every one of them.
    ///
    /// # Errors
    /// As [`Self::settings`].
    pub fn referenced_files(&self) -> Result<Vec<ReferencedFile>, OpenClawError> {
        let home = self.state.parent().unwrap_or(&self.state);
        Ok(self.settings()?.referenced_files(home))
    }

    /// The process that, according to the lock file, is the gateway of this state folder, and the start tick in that
    /// file; `None` if no lock file names one. The caller must check that this process exists and is the one that wrote
    /// the file.
    pub fn gateway(&self) -> Option<(u32, Option<u64>)> {
        let folders = fs::read_dir(self.state.join("tmp")).ok()?.flatten();
        let locks = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("openclaw"));
        locks.map(|entry| entry.path().join("gateway.state.lock")).find_map(|path| {
            let lock: Lock = serde_json::from_str(&text_of(&path, LOCK_BYTES_MAX).ok()?).ok()?;
            lock.role.is_none_or(|role| role == "gateway").then_some((lock.pid, lock.start_time))
        })
    }

    /// Files with leftover copies from which OpenClaw never takes a key by itself: copies of the settings, and
    /// databases whose old pages may hold a replaced value. OpenClaw's own audit names none of them.
    pub fn left(&self) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> =
            LEFT.iter().chain(&DATABASES).map(|name| self.state.join(name)).collect();
        left.retain(|path| path.exists());
        for agent in self.agents() {
            // Files that were once read into the database, under the names that the migration gave them.
            let files = fs::read_dir(agent.join("agent")).into_iter().flatten().flatten();
            let moved = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("auth-profiles.json.migrated-")
            };
            left.extend(files.map(|entry| entry.path()).filter(moved));
        }
        left
    }

    /// The databases among these files. OpenClaw takes keys from their rows only, never from other bytes in them.
    pub fn databases(&self) -> Vec<PathBuf> {
        DATABASES.iter().map(|name| self.state.join(name)).filter(|path| path.exists()).collect()
    }

    /// Profiles in files from before the database. While such a file exists, every request to its provider fails, and
    /// yet the reload that caused this reports success.
    pub fn old_profiles(&self) -> Vec<PathBuf> {
        let files = self.agents().into_iter().map(|agent| agent.join("agent/auth-profiles.json"));
        files.filter(|path| path.exists()).collect()
    }

    /// The folders of its agents.
    pub(super) fn agents(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(self.state.join("agents")).into_iter().flatten().flatten();
        let mut found: Vec<PathBuf> = found.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        found.sort();
        found
    }

    /// Whether a process of the gateway's executable that was started with this script is one of the gateway's own
    /// helpers. A helper passes its environment on and calls nobody. `program`: the real path of OpenClaw's program.
    pub fn is_helper(program: &Path, script: &[u8]) -> bool {
        let name = HELPERS.iter().any(|end| script.ends_with(end.as_bytes()));
        // Without a `package.json` beside the program, nobody knows which folder its package is.
        let package = program.parent().filter(|folder| folder.join("package.json").is_file());
        let script = Path::new(OsStr::from_bytes(script));
        let real = script.canonicalize().ok().filter(|_| name && script.is_absolute());
        package.zip(real).is_some_and(|(package, real)| real.starts_with(package.join("dist")))
    }
}

/// A regular file as text, within a limit.
#[expect(clippy::disallowed_methods, reason = "opens for reading, and does not wait for a FIFO")]
pub(super) fn text_of(path: &Path, most: u64) -> std::io::Result<String> {
    let file = File::options().read(true).custom_flags(NONBLOCK).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > most {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut text = String::new();
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}
