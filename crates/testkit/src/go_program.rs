use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;

use crate::debian_host::cache;
use crate::issuer::sha256_hex;
use crate::managers::ran;

/// A program in Go. The first test that needs it builds it, from Go's module proxy, which takes minutes; it is kept in the
/// user's cache, under a name that changes with its sources and with the version of Go.
pub(crate) struct GoProgram {
    pub(crate) name: &'static str,
    /// The module that it is, `path@version` and its sum; none where these sources are all of it.
    pub(crate) module: Option<(&'static str, &'static str)>,
    /// Files of the module by their paths in it, in place of those that it has there.
    pub(crate) sources: &'static [(&'static str, &'static str)],
    /// What the linker gets besides `-s -w`.
    pub(crate) linked: &'static str,
    /// Its package, where that is not the module's folder: `./cmd/helm`.
    pub(crate) package: Option<&'static str>,
    /// A file of the module that is kept beside the program, under its own name.
    pub(crate) beside: Option<&'static str>,
}

impl GoProgram {
    /// The program's file.
    pub(crate) fn built(&self) -> Result<PathBuf, String> {
        let folder = cache().join(self.name).join(self.key()?);
        fs::create_dir_all(&folder).map_err(said)?;
        let lock = File::create(folder.join(".lock")).map_err(said)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
        let program = folder.join(self.name);
        if program.exists() {
            return Ok(program);
        }
        let work = tempfile::tempdir_in(&folder).map_err(said)?;
        let module = work.path().join("module");
        fs::create_dir(&module).map_err(said)?;
        if let Some((name, sum)) = self.module {
            copy(name, sum, &module)?;
        }
        for (path, text) in self.sources {
            fs::write(module.join(path), text).map_err(said)?;
        }
        let made = work.path().join("made");
        let mut build = Command::new("nice");
        build.args(["-n", "10", "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags"]);
        build.arg(format!("-s -w {}", self.linked)).arg("-o").arg(&made).arg(self.package.unwrap_or("."));
        ran(build.env("CGO_ENABLED", "0").current_dir(&module))?;
        if let Some(path) = self.beside.map(Path::new) {
            fs::copy(module.join(path), folder.join(path.file_name().unwrap_or_default())).map_err(said)?;
        }
        // A build that was interrupted leaves nothing under the name of the program.
        fs::rename(&made, &program).map_err(said)?;
        Ok(program)
    }

    fn key(&self) -> Result<String, String> {
        let version = Command::new("go").arg("version").stdin(Stdio::null()).output();
        let mut key = version.map_err(|error| format!("Go cannot be started: {error}"))?.stdout;
        self.sources.iter().for_each(|(_, text)| key.extend_from_slice(text.as_bytes()));
        let (name, sum) = self.module.unwrap_or_default();
        let (beside, package) = (self.beside.unwrap_or_default(), self.package.unwrap_or_default());
        for text in [self.linked, name, sum, beside, package] {
            key.extend_from_slice(text.as_bytes());
        }
        Ok(sha256_hex(&key))
    }
}

/// Brings a module, which must have this sum, into a folder.
fn copy(name: &str, sum: &str, to: &Path) -> Result<(), String> {
    // A module's folder: else Go would heed what lies above.
    fs::write(to.join("go.mod"), "module none\n").map_err(said)?;
    let mut download = Command::new("go");
    download.args(["mod", "download", "-json", name]).current_dir(to).stdin(Stdio::null());
    let output = download.output().map_err(said)?;
    let shown: Value = serde_json::from_slice(&output.stdout).map_err(|error| format!("{name}: {error}"))?;
    let of = |member: &str| shown.get(member).and_then(Value::as_str).unwrap_or_default();
    if of("Sum") != sum {
        return Err(format!("{name} is not what it was: {} {}", of("Sum"), of("Error")));
    }
    // The files of Go's own folder are not to be written.
    ran(Command::new("cp").args(["-r", "--no-preserve=mode", "--", &format!("{}/.", of("Dir"))]).arg(to))
}

fn said(error: io::Error) -> String {
    error.to_string()
}
