//! The parent of the forgotten worker: reads the env file once, keeps its content, and later starts its child with
//! that.

use std::fs::{self, File};
use std::io::{self, Seek};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::fs::{MemfdFlags, memfd_create};

use crate::folder::Folder;
use crate::lifeline::stop_requested;
use crate::pid::PidFile;
use crate::restart::{wait_until_ready, worker_log};

/// How often it checks whether the env file is still the one that it read.
const LOOK_PAUSE_MS: u64 = 20;

/// Caches `api/api.env`, waits until somebody replaces that file, starts the forgotten worker from the cache, ends.
///
/// The cache is an anonymous file: until the child runs, no process has the value in its memory because of the cache,
/// so nothing is visible before a rotation begins to deliver.
pub(crate) async fn run(folder: &Folder) -> Result<(), Failure> {
    let env_file = folder.join("api/api.env");
    let failed = |what: &str, error: io::Error| {
        Failure::new(Class::Permanent, Code::DemoFailed, format!("{what} for the forgotten worker"))
            .because(error)
    };
    let cache = cache(&env_file).map_err(|error| failed("cache the env file", error))?;
    let seen = stamp(&env_file).map_err(|error| failed("look at the env file", error))?;
    let cast = crate::restart::forgotten()?;
    // The child starts seconds after its port was found free, so the port is kept from others until then.
    let address = cast.address(folder.ports()?);
    let kept = TcpListener::bind(address).map_err(|error| failed(&format!("keep {address}"), error))?;
    let pid_file = PidFile::write(folder, "parent")?;
    tokio::select! {
        () = replaced(&env_file, seen) => {}
        () = stop_requested(folder) => return Ok(()),
    }
    let (out, err) = worker_log(folder, "forgotten").map_err(|error| failed("open the log", error))?;
    drop(kept);
    let mut child = Command::new(folder.join("forgotten/mailer"))
        .args(["demo-part", "worker", "--inherit", "--name", "forgotten", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::from(cache))
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn()
        .map_err(|error| failed("start the program", error))?;
    wait_until_ready(folder, &cast, None, &mut child).await?;
    drop(pid_file);
    Ok(())
}

/// Copies a file into an anonymous one, inside the kernel.
fn cache(path: &Path) -> io::Result<File> {
    let mut cache = File::from(memfd_create("mailer-settings", MemfdFlags::CLOEXEC)?);
    io::copy(&mut File::open(path)?, &mut cache)?;
    cache.rewind()?;
    Ok(cache)
}

/// The identity of the file at a path, and when it was last changed.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed_s: i64,
    changed_ns: i64,
}

fn stamp(path: &Path) -> io::Result<Stamp> {
    let about = fs::metadata(path)?;
    let (changed_s, changed_ns) = (about.ctime(), about.ctime_nsec());
    Ok(Stamp { device: about.dev(), inode: about.ino(), changed_s, changed_ns })
}

async fn replaced(path: &Path, seen: Stamp) {
    while stamp(path).map_or(true, |now| now == seen) {
        tokio::time::sleep(Duration::from_millis(LOOK_PAUSE_MS)).await;
    }
}
