use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::folder::{Folder, write_whole};

/// The pid file of a running part; removed when the part ends normally.
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes the pid file of this process.
    pub(crate) fn write(folder: &Folder, name: &str) -> Result<Self, Failure> {
        let path = folder.pid_file(name);
        write_whole(&path, format!("{}\n", std::process::id()).as_bytes(), 0o644).map_err(|error| {
            Failure::new(Class::Permanent, Code::DemoFailed, format!("write {}", path.display()))
                .because(error)
        })?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        if read(&self.0) == Some(std::process::id()) {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// The process id in a pid file, if there is one.
pub(crate) fn read(path: &Path) -> Option<u32> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// A process that cannot be mistaken for another one, even if its process id is reused.
pub(crate) struct Process {
    pub(crate) pid: u32,
    handle: OwnedFd,
}

impl Process {
    /// The process that has this id now.
    pub(crate) fn open(pid: u32) -> Option<Self> {
        let id = Pid::from_raw(i32::try_from(pid).ok()?)?;
        Some(Self { pid, handle: pidfd_open(id, PidfdFlags::empty()).ok()? })
    }

    /// The part of this folder that a pid file names; none for a pid file that was left behind.
    pub(crate) fn of_part(folder: &Folder, pid_file: &Path) -> Option<Self> {
        let process = Self::open(read(pid_file)?)?;
        let command = fs::read(format!("/proc/{}/cmdline", process.pid)).ok()?;
        let ours = folder.path().as_os_str().as_encoded_bytes();
        command.split(|byte| *byte == 0).any(|word| word == ours).then_some(process)
    }

    /// Asks it to end; it may have ended already.
    pub(crate) fn terminate(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::TERM);
    }

    /// Interrupts it, as Ctrl-C does; it may have ended already.
    pub(crate) fn interrupt(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::INT);
    }

    /// Ends it at once; it may have ended already.
    pub(crate) fn kill(&self) {
        let _ = pidfd_send_signal(&self.handle, Signal::KILL);
    }

    /// Waits until it has ended; `false` if it has not within this time.
    pub(crate) fn wait(&self, at_most: Duration) -> bool {
        let Ok(limit) = Timespec::try_from(at_most) else { return false };
        let mut watched = [PollFd::new(&self.handle, PollFlags::IN)];
        loop {
            match poll(&mut watched, Some(&limit)) {
                Ok(0) => return false,
                Ok(_) => return true,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return false,
            }
        }
    }
}
