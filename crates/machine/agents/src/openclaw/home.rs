use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::error::OpenClawError;
use super::settings::{OpenClawSettings, SETTINGS_BYTES_MAX};

/// The settings, in the state folder.
pub(super) const SETTINGS: &str = "openclaw.json";

/// The database, in the state folder.
pub(super) const STATE: &str = "state/openclaw.sqlite";

/// The file of variables, beside them.
pub(super) const DOTENV: &str = ".env";

/// The longest lock file, bytes.
const LOCK_BYTES_MAX: u64 = 16 * 1024;

/// Without a look at the type first, a pipe would keep the reader waiting. Source: open(2), `O_NONBLOCK`.
const NONBLOCK: i32 = 0o4000;

/// What the settings are copied to before each change, and when a gateway was well with them: never read by themselves.
const LEFT: [&str; 7] = [
    "openclaw.json.bak",
    "openclaw.json.bak.1",
    "openclaw.json.bak.2",
    "openclaw.json.bak.3",
    "openclaw.json.bak.4",
    "openclaw.json.last-good",
    "openclaw.json.pre-update",
];

/// The databases, with what SQLite keeps beside them: an old value stays in free pages after it was replaced. What
/// their rows hold now is no such copy: [`OpenClawHome::key_rows`].
const DATABASES: [&str; 2] = ["state/openclaw.sqlite", "state/openclaw.sqlite-wal"];

/// How the scripts end by which the gateway starts processes of its own. Source: seen with 2026.9.6.
const HELPERS: [&str; 2] = ["worker.js", "-relay.js"];

/// The state folder of one installation, `~/.openclaw`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClawHome {
    /// The folder.
    pub state: PathBuf,
}

/// Who owns the state folder.
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

    /// The installations of a user, by the user's home: the usual one, and those of named profiles.
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

    /// Whether there is one.
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

    /// What `openclaw.json` says.
    ///
    /// # Errors
    /// It is not there, is too long, or has another form than this release's.
    pub fn settings(&self) -> Result<OpenClawSettings, OpenClawError> {
        let path = self.settings_file();
        let text = text_of(&path, SETTINGS_BYTES_MAX)
            .map_err(|why| OpenClawError::Unread { path: path.clone(), why: why.to_string() })?;
        OpenClawSettings::parse(&path, text.as_str())
    }

    /// The process that says that it is the gateway of this state folder, and the tick at which it says that it began;
    /// `None` where none does. Whether that process is there, and is the one that wrote it, is for the caller to see.
    pub fn gateway(&self) -> Option<(u32, Option<u64>)> {
        let folders = fs::read_dir(self.state.join("tmp")).ok()?.flatten();
        let locks = folders.filter(|entry| entry.file_name().to_string_lossy().starts_with("openclaw"));
        locks.map(|entry| entry.path().join("gateway.state.lock")).find_map(|path| {
            let lock: Lock = serde_json::from_str(&text_of(&path, LOCK_BYTES_MAX).ok()?).ok()?;
            lock.role.is_none_or(|role| role == "gateway").then_some((lock.pid, lock.start_time))
        })
    }

    /// Files in which it leaves copies that it never takes a key from by itself: copies of the settings, and databases,
    /// of which old pages may hold what was replaced. None of them is named by its own audit.
    pub fn left(&self) -> Vec<PathBuf> {
        let mut left: Vec<PathBuf> =
            LEFT.iter().chain(&DATABASES).map(|name| self.state.join(name)).collect();
        left.retain(|path| path.exists());
        for agent in self.agents() {
            // What was read into the database once, under the name that the move gave it.
            let files = fs::read_dir(agent.join("agent")).into_iter().flatten().flatten();
            let moved = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                name.starts_with("auth-profiles.json.migrated-")
            };
            left.extend(files.map(|entry| entry.path()).filter(moved));
        }
        left
    }

    /// Those of them that are databases: with what their rows say, no other bytes of them hold a key that is taken.
    pub fn databases(&self) -> Vec<PathBuf> {
        DATABASES.iter().map(|name| self.state.join(name)).filter(|path| path.exists()).collect()
    }

    /// Profiles in files of before the database: their presence alone makes every request to their providers fail,
    /// and the reload that brought that about reports success.
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

    /// Whether a process of the gateway's executable that was started with this script is one of the gateway's own,
    /// which hands its environment on and calls nobody; `program`: the real path of OpenClaw's program.
    pub fn is_helper(program: &Path, script: &[u8]) -> bool {
        let name = HELPERS.iter().any(|end| script.ends_with(end.as_bytes()));
        // A program that does not stand beside the description of its package says nothing of where that ends.
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
