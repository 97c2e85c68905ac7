use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FlockOperation, flock};

use crate::managers::{is_installed, ran};

/// The programs of these Python packages in a folder of their own, installed there by the first test that needs them; the
/// folder with the programs.
pub(crate) fn python_tools(folder: &Path, packages: &[&str]) -> Result<PathBuf, String> {
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
        let pip = [&["install", "--quiet", "--disable-pip-version-check"][..], packages].concat();
        ran(Command::new(venv.join("bin/pip")).args(pip))?;
        fs::write(&done, folder.as_os_str().as_encoded_bytes()).map_err(io)?;
    }
    Ok(venv.join("bin"))
}
