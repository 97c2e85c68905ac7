use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::managers::{is_installed, ran};
use crate::systemd_host::cache;

/// The release that everything said of the proxy was seen with.
pub const LITELLM_VERSION: &str = "1.106.2";

/// The LiteLLM proxy, as pip brings it.
#[derive(Debug, Clone)]
pub struct LiteLlmProgram {
    program: PathBuf,
}

impl LiteLlmProgram {
    /// Has it in the user's cache, installed there by the first test. `None`, with a word on stderr, where it cannot be
    /// had; a panic where `CI=true`.
    ///
    /// # Panics
    /// If it cannot be had although `CI=true`.
    pub fn or_skip(what: &str) -> Option<Self> {
        match Self::had(&cache().join(format!("litellm-{LITELLM_VERSION}"))) {
            Ok(program) => Some(program),
            Err(why) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} needs LiteLLM here: {why}");
                eprintln!("left out: {what} ({why})");
                None
            }
        }
    }

    fn had(folder: &Path) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        fs::create_dir_all(folder).map_err(io)?;
        let folder = folder.canonicalize().map_err(io)?;
        let lock = File::create(folder.join(".lock")).map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        let done = folder.join(".done");
        let venv = folder.join("venv");
        if !is_installed(&folder, &done) {
            match fs::remove_dir_all(&venv) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                Ok(()) | Err(_) => {}
            }
            ran(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            let wanted = format!("litellm[proxy]=={LITELLM_VERSION}");
            let pip = ["install", "--quiet", "--disable-pip-version-check", &wanted];
            ran(Command::new(venv.join("bin/pip")).args(pip))?;
            fs::write(&done, folder.as_os_str().as_encoded_bytes()).map_err(io)?;
        }
        Ok(Self { program: venv.join("bin/litellm") })
    }

    /// The command of the proxy.
    pub fn program(&self) -> &Path {
        &self.program
    }
}
