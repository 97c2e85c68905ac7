//! Who is at the other end of a connection, as the kernel says it.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keyroll_observe::{NotVisible, Process, process};

use crate::known::Life;

/// How many parents of `keyroll get` are looked at for the program that ran it.
const PARENTS_MAX: usize = 8;

/// A process that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// What runs in it.
    pub life: Life,
    /// Its user.
    pub uid: u32,
    /// Its executable; `None` = not visible to keyroll.
    pub exe: Option<PathBuf>,
    /// The file of the executable was replaced or removed since the start.
    is_replaced: bool,
    ppid: u32,
}

impl Peer {
    /// The process with this id, which the kernel named at the other end of a connection of this user.
    ///
    /// # Errors
    /// It has ended, or cannot be looked at.
    pub fn of(pid: u32, uid: u32) -> Result<Self, NotVisible> {
        let one = process(pid)?;
        if one.uid.is_some_and(|now| now != uid) {
            // The id was given to another process since, or the process changed its user.
            return Err(NotVisible::Replaced);
        }
        Ok(Self::seen(one, uid))
    }

    fn seen(one: Process, uid: u32) -> Self {
        Self { life: Life::of(&one.id), uid, exe: one.exe, is_replaced: one.exe_deleted, ppid: one.ppid }
    }

    /// The file of the executable, as the kernel has it: device and inode. `None` = not visible, or replaced.
    fn file(&self) -> Option<(u64, u64)> {
        let meta = std::fs::metadata(format!("/proc/{}/exe", self.life.pid)).ok()?;
        (!self.is_replaced).then(|| (meta.dev(), meta.ino()))
    }

    /// Whether it sees the same files as keyroll.
    pub(crate) fn is_here(&self) -> bool {
        let mounts = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
        mounts("self").is_some_and(|own| mounts(&self.life.pid.to_string()) == Some(own))
    }

    /// Whether it runs this executable. A path inside of a container proves nothing: there the file must be the same one.
    pub fn runs(&self, exe: &Path) -> bool {
        // Links are followed each time: an update of a program changes them.
        let same_path = self.exe.is_some() && self.exe == exe.canonicalize().ok();
        let same_file =
            || std::fs::metadata(exe).is_ok_and(|meta| self.file() == Some((meta.dev(), meta.ino())));
        same_path && self.is_here() || same_file()
    }

    /// Whether the program that it is about to start is this one. `program` has no links: no file that the other end names is
    /// looked at. Inside of a container a path proves nothing.
    pub(crate) fn starts(&self, program: &Path, exe: &Path) -> bool {
        exe.canonicalize().is_ok_and(|exe| exe == program) && self.is_here()
    }

    /// Whether it is keyroll itself: `keyroll get` asks for the program that runs it.
    pub fn is_keyroll(&self) -> bool {
        std::fs::metadata("/proc/self/exe").is_ok_and(|own| self.file() == Some((own.dev(), own.ino())))
    }

    /// The processes that started it, the nearest first, as far as they are of the same user.
    pub fn parents(&self) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let mut next = self.ppid;
        while all.len() < PARENTS_MAX && next > 1 {
            let Ok(one) = process(next) else { break };
            if one.uid != Some(self.uid) {
                break;
            }
            next = one.ppid;
            all.push(Self::seen(one, self.uid));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_itself_and_not_another_program() {
        let uid = rustix::process::getuid().as_raw();
        let own = Peer::of(std::process::id(), uid).expect("this process");
        let exe = std::env::current_exe().expect("its executable");
        assert!(own.runs(&exe) && own.is_keyroll() && own.life.goes_on());
        assert!(!own.runs(Path::new("/proc/self/status")) && !own.runs(Path::new("/nowhere")));
        assert!(Peer::of(std::process::id(), uid + 1).is_err(), "another user asks with its id");
        assert!(!Life { start: own.life.start + 1, ..own.life }.goes_on(), "another process with its id");
        assert!(!Life { program: own.life.program ^ 2, ..own.life }.goes_on(), "another program in it");
    }
}
