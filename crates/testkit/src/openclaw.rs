use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

/// The releases that are installed. The folder's name has them.
const NODE: &str = "24.21.0";
const OPENCLAW: &str = "2026.9.6";

/// OpenClaw itself, and the node that runs it, as npm brings them.
#[derive(Debug, Clone)]
pub struct OpenClaw {
    folder: PathBuf,
}

impl OpenClaw {
    /// Has it in a folder outside of every checkout, installed there by the first test that needs it: some 800 MB.
    /// `KEYROLL_OPENCLAW` names a folder that has both already. `None`, with a word on stderr, where it cannot be had; a
    /// panic where `CI=true`.
    pub fn or_skip(what: &str) -> Option<Self> {
        match Self::had() {
            Ok(openclaw) => Some(openclaw),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} needs OpenClaw here: {why}");
                eprintln!("left out: {what} ({why})");
                None
            }
        }
    }

    fn had() -> Result<Self, String> {
        if let Some(folder) = std::env::var_os("KEYROLL_OPENCLAW") {
            return Ok(Self { folder: folder.into() });
        }
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
        let cache = cache.ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
        let folder = cache.join("keyroll-tests").join(format!("openclaw-{OPENCLAW}-node-{NODE}"));
        let io = |error: std::io::Error| error.to_string();
        fs::create_dir_all(&folder).map_err(io)?;
        let lock = File::create(folder.join(".lock")).map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        let done = folder.join(".done");
        if !done.exists() {
            install(&folder, &format!("node@{NODE}"), None)?;
            // What it brings along is built for the node that runs it.
            install(&folder, &format!("openclaw@{OPENCLAW}"), Some(&folder.join("node_modules/node/bin")))?;
            fs::write(&done, OPENCLAW).map_err(io)?;
        }
        Ok(Self { folder })
    }

    /// The node that runs it.
    pub fn node(&self) -> PathBuf {
        self.folder.join("node_modules/node/bin/node")
    }

    /// Its program, which that node interprets.
    pub fn program(&self) -> PathBuf {
        self.folder.join("node_modules/openclaw/openclaw.mjs")
    }
}

fn install(folder: &Path, package: &str, first: Option<&Path>) -> Result<(), String> {
    let system = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
    let path = first.map_or(system.clone(), |first| format!("{}:{system}", first.display()));
    let words = ["install", "--silent", "--no-audit", "--no-fund", package, "--prefix"];
    let mut command = Command::new("npm");
    command.args(words).arg(folder).env("PATH", path).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("npm: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("npm install {package}: {}", said.trim())) }
}
