use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

/// What pip brings, and what npm does. Changes with the folder's name.
const PIP: [&str; 4] = ["supervisor==4.3.0", "gunicorn==23.0.0", "uvicorn==0.34.0", "python-dotenv==1.0.1"];
const NPM: &str = "pm2@7.0.4";
const FOLDER: &str = "managers-3";

/// Real process managers: supervisord, gunicorn, uvicorn, pm2.
#[derive(Debug, Clone)]
pub struct ManagerTools {
    folder: PathBuf,
}

impl ManagerTools {
    /// Has them in a folder that tests share, installed there by the first one. `None`, with a word on stderr, where they
    /// cannot be had; a panic where `CI=true`.
    pub fn or_skip(what: &str, target_tmp: &str) -> Option<Self> {
        match Self::had(Path::new(target_tmp)) {
            Ok(tools) => Some(tools),
            Err(why) => {
                assert!(
                    std::env::var("CI").as_deref() != Ok("true"),
                    "{what} needs its managers here: {why}"
                );
                eprintln!("left out: {what} ({why})");
                None
            }
        }
    }

    fn had(shared: &Path) -> Result<Self, String> {
        let folder = shared.join(FOLDER);
        let io = |error: std::io::Error| error.to_string();
        fs::create_dir_all(&folder).map_err(io)?;
        let folder = folder.canonicalize().map_err(io)?;
        let lock = File::create(folder.join(".lock")).map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        let done = folder.join(".done");
        if !is_installed(&folder, &done) {
            let venv = folder.join("venv");
            for old in [&venv, &folder.join("node_modules")] {
                match fs::remove_dir_all(old) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
                    Ok(()) | Err(_) => {}
                }
            }
            ran(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            let pip = [&["install", "--quiet", "--disable-pip-version-check"][..], &PIP].concat();
            ran(Command::new(venv.join("bin/pip")).args(pip))?;
            let npm = ["install", "--silent", "--no-audit", "--no-fund", NPM];
            ran(Command::new("npm").args(npm).arg("--prefix").arg(&folder))?;
            fs::write(&done, folder.as_os_str().as_encoded_bytes()).map_err(io)?;
        }
        Ok(Self { folder })
    }

    /// One of the programs.
    pub fn program(&self, name: &str) -> PathBuf {
        let of_python = self.folder.join("venv/bin").join(name);
        if of_python.exists() { of_python } else { self.folder.join("node_modules/.bin").join(name) }
    }

    /// A search path with all of them.
    pub fn path(&self) -> String {
        let folder = self.folder.display();
        let system = std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned());
        format!("{folder}/venv/bin:{folder}/node_modules/.bin:{system}")
    }
}

/// Whether all was installed at this very place. What pip installs has the folder's path in it: in a folder that was
/// moved or copied it starts what is at the place of before, if anything.
pub(crate) fn is_installed(folder: &Path, done: &Path) -> bool {
    fs::read(done).is_ok_and(|of| of == folder.as_os_str().as_encoded_bytes())
}

pub(crate) fn ran(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{command:?}: {}", said.trim())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_of_a_folder_that_was_moved_are_installed_anew() {
        let home = tempfile::tempdir().unwrap();
        let (first, second) = (home.path().join("a"), home.path().join("b"));
        fs::create_dir(&first).unwrap();
        assert!(!is_installed(&first, &first.join(".done")));
        fs::write(first.join(".done"), first.as_os_str().as_encoded_bytes()).unwrap();
        assert!(is_installed(&first, &first.join(".done")));
        fs::rename(&first, &second).unwrap();
        assert!(!is_installed(&second, &second.join(".done")));
    }
}
