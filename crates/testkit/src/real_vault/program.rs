use std::fs::{self, File};
use std::io;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, flock};

use crate::debian_host::cache;
use crate::issuer::sha256_hex;
use crate::managers::ran;

/// The sources of the program.
const SOURCES: [(&str, &str); 3] = [
    ("main.go", include_str!("../vault/server/main.go")),
    ("go.mod", include_str!("../vault/server/go.mod")),
    ("go.sum", include_str!("../vault/server/go.sum")),
];

/// The program that is Vault. The first test that needs it builds it, from Go's module proxy, which takes minutes; it is kept
/// in the user's cache, under a name that changes with its sources and with the version of Go.
pub(super) fn built() -> Result<PathBuf, String> {
    let io = |error: io::Error| error.to_string();
    let version = Command::new("go").arg("version").stdin(Stdio::null()).output();
    let mut key = version.map_err(|error| format!("Go cannot be started: {error}"))?.stdout;
    SOURCES.iter().for_each(|(_, text)| key.extend_from_slice(text.as_bytes()));
    let folder = cache().join("vault").join(sha256_hex(&key));
    fs::create_dir_all(&folder).map_err(io)?;
    let lock = File::create(folder.join(".lock")).map_err(io)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| error.to_string())?;
    let program = folder.join("vault");
    if program.exists() {
        return Ok(program);
    }
    let work = tempfile::tempdir_in(&folder).map_err(io)?;
    for (name, text) in SOURCES {
        fs::write(work.path().join(name), text).map_err(io)?;
    }
    let made = work.path().join("made");
    let mut build = Command::new("nice");
    build.args(["-n", "10", "go", "build", "-mod=readonly", "-buildvcs=false", "-trimpath"]);
    build.args(["-ldflags", "-s -w", "-o"]).arg(&made).arg(".");
    ran(build.env("CGO_ENABLED", "0").current_dir(work.path()))?;
    // A build that was interrupted leaves nothing under the name of the program.
    fs::rename(&made, &program).map_err(io)?;
    Ok(program)
}
