use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::ProcessId;
use crate::proc::ProcFolder;

/// The longest file of /proc/PID that is read here, bytes.
const BYTES_MAX: usize = 64 * 1024;

/// Where a process reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    /// At a terminal.
    Terminal,
    /// It reads nothing, and writes output and errors to this file; /dev/null counts.
    File(PathBuf),
}

/// Where the standard streams of a process lead. `None` = to a pipe, a socket, several files, or a file that it cannot
/// write or that has no name; or that is not visible.
pub fn streams_of(process: &ProcessId) -> Option<Streams> {
    let folder = ProcFolder::open_exact(process).ok()?;
    let of = |number: u8| Target::of(&folder, number);
    match (of(0)?, of(1)?, of(2)?) {
        (Target::Terminal, Target::Terminal, Target::Terminal) => Some(Streams::Terminal),
        (Target::Terminal | Target::Nothing, Target::Nothing, Target::Nothing) => {
            Some(Streams::File(PathBuf::from("/dev/null")))
        }
        (Target::Terminal | Target::Nothing, Target::File(out), Target::File(err)) => {
            (out == err).then_some(Streams::File(out))
        }
        _ => None,
    }
}

#[derive(PartialEq, Eq)]
enum Target {
    Terminal,
    /// /dev/null, or closed.
    Nothing,
    /// A regular file that is open for writing and still has its name.
    File(PathBuf),
}

impl Target {
    fn of(folder: &ProcFolder, number: u8) -> Option<Self> {
        let Ok(path) = folder.link(&format!("fd/{number}")) else {
            let open = folder.numbers("fd", usize::MAX).ok()?;
            return (!open.contains(&u32::from(number))).then_some(Self::Nothing);
        };
        if path == Path::new("/dev/null") {
            return Some(Self::Nothing);
        }
        if path.starts_with("/dev/pts") || path.starts_with("/dev/tty") || path == Path::new("/dev/console") {
            return Some(Self::Terminal);
        }
        let open = folder.behind(&format!("fd/{number}")).ok()?;
        let named = path.symlink_metadata().ok().filter(std::fs::Metadata::is_file)?;
        if (named.dev(), named.ino()) != (open.st_dev, open.st_ino) {
            return None;
        }
        let info = folder.read_plain(&format!("fdinfo/{number}"), BYTES_MAX).ok()?;
        let info = String::from_utf8_lossy(&info);
        let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
        let flags = u32::from_str_radix(flags, 8).ok()?;
        // `O_ACCMODE` of open(2): reading alone is 0.
        (flags & 3 != 0).then_some(Self::File(path))
    }
}

/// The user and group of a process, if nothing sets them apart from those of a login: real, effective, saved and
/// filesystem ids are equal, and only root has capabilities.
pub fn plain_ids(process: &ProcessId) -> Option<(u32, u32)> {
    let status = ProcFolder::open_exact(process).ok()?.read_plain("status", BYTES_MAX).ok()?;
    let status = String::from_utf8_lossy(&status);
    let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let only = |name: &str| -> Option<u32> {
        let ids: Vec<u32> = line(name)?.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect();
        let first = *ids.first()?;
        (ids.len() == 4 && ids.iter().all(|id| *id == first)).then_some(first)
    };
    let (uid, gid) = (only("Uid:")?, only("Gid:")?);
    let powers = u64::from_str_radix(line("CapEff:")?, 16).ok()?;
    (uid == 0 || powers == 0).then_some((uid, gid))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;

    fn streams(command: &mut Command) -> Option<Streams> {
        let mut child = command.spawn().unwrap();
        let streams = streams_of(&crate::process(child.id()).unwrap().id);
        child.kill().unwrap();
        child.wait().unwrap();
        streams
    }

    #[test]
    fn only_one_file_that_is_written_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("log");
        let file = || File::create(&path).unwrap();
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("600").stdin(Stdio::null());
            command
        };
        let both = streams(sleep().stdout(file()).stderr(file()));
        assert_eq!(both, Some(Streams::File(path.clone())));
        assert_eq!(streams(sleep().stdout(file()).stderr(Stdio::null())), None, "two places");
        assert_eq!(streams(sleep().stdout(Stdio::piped()).stderr(Stdio::null())), None, "a pipe");
        assert_eq!(streams(sleep().stdin(Stdio::piped()).stdout(file()).stderr(file())), None, "reads");
        let read = || File::open(&path).unwrap();
        assert_eq!(streams(sleep().stdout(read()).stderr(read())), None, "it cannot write there");
        let mut child = sleep().stdout(file()).stderr(file()).spawn().unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "another file of that name").unwrap();
        assert_eq!(streams_of(&crate::process(child.id()).unwrap().id), None, "not its file any more");
        child.kill().unwrap();
        child.wait().unwrap();
        let nothing = streams(sleep().stdout(Stdio::null()).stderr(Stdio::null()));
        assert_eq!(nothing, Some(Streams::File("/dev/null".into())));
    }

    #[test]
    fn a_program_with_the_rights_of_another_user_is_told_apart() {
        let own = plain_ids(&crate::process(std::process::id()).unwrap().id).unwrap();
        assert_eq!(own.0, rustix::process::geteuid().as_raw());
        if !rustix::process::geteuid().is_root() {
            eprintln!("left out: only root can start a program with two users");
            return;
        }
        let mut child = Command::new("setpriv").args(["--ruid=65534", "sleep", "600"]).spawn().unwrap();
        let id = crate::process(child.id()).unwrap().id;
        while !std::fs::read_to_string(format!("/proc/{}/comm", id.pid)).unwrap().starts_with("sleep") {
            std::thread::yield_now();
        }
        assert_eq!(plain_ids(&id), None);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
