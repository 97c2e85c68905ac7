use std::os::unix::fs::MetadataExt as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread;

use rustix::fs::Gid;
use rustix::process::geteuid;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities, set_thread_groups};

use crate::detach::of_user;
use crate::proc::ProcFolder;
use crate::{NotVisible, ProcessId, has_other_files};

/// The user and group without any rights: the kernel's `overflowuid` and `overflowgid`.
/// Source: proc_sys_kernel(5).
const NO_USER: u32 = 65_534;
const NO_GROUP: u32 = 65_534;

/// Writable by a group or by all others. With access lists, the group bits are the most that a list grants. Source:
/// inode(7), acl(5).
const OTHERS_WRITE: u32 = 0o022;

/// The largest `status` of a process, bytes: only a process with more than about 65,536 groups has a larger one.
const STATUS_BYTES_MAX: usize = 256 * 1024;

/// What a user may read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rights {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
    /// Whether its files are reached through `/proc/PID/root`, which in many containers is closed to its own user. No
    /// link is followed out of that root.
    enters: bool,
}

impl Rights {
    /// The rights of the owner of a folder, without a group: with them only files of the owner, or of everybody, can be
    /// read. A file in a folder that others may write to may not be its owner's: there only files of everybody can be
    /// read.
    ///
    /// # Errors The folder is not visible.
    /// The folder cannot be seen.
    pub fn of_owner(folder: &Path) -> Result<Self, NotVisible> {
        let meta = folder.metadata().map_err(|error| NotVisible::of_io(&error))?;
        let uid = if meta.mode() & OTHERS_WRITE == 0 { meta.uid() } else { NO_USER };
        Ok(Self::of_user(uid))
    }

    /// The rights of a user, without a group.
    pub fn of_user(uid: u32) -> Self {
        Self { uid, gid: NO_GROUP, groups: Vec::new(), enters: false }
    }

    /// The rights of a process.
    ///
    /// # Errors
    /// It is not visible, and why.
    pub fn of_process(process: &ProcessId) -> Result<Self, NotVisible> {
        let status = ProcFolder::open_exact(process)?.read_plain("status", STATUS_BYTES_MAX)?;
        let rights = Self::of_status(&String::from_utf8_lossy(&status)).ok_or(NotVisible::Malformed)?;
        Ok(Self { enters: has_other_files(process).unwrap_or(false), ..rights })
    }

    /// The last of the four users and groups is the one for files. Source: proc_pid_status(5).
    fn of_status(status: &str) -> Option<Self> {
        let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
        let numbers = |name: &str| -> Option<Vec<u32>> {
            line(name)?.split_ascii_whitespace().map(|word| word.parse().ok()).collect()
        };
        let (uid, gid) = (*numbers("Uid:")?.get(3)?, *numbers("Gid:")?.get(3)?);
        Some(Self { uid, gid, groups: numbers("Groups:")?, enters: false })
    }

    /// The same rights for paths of this machine only, never through `/proc/PID/root`.
    pub fn outside(self) -> Self {
        Self { enters: false, ..self }
    }

    /// Whether both are rights of one user, whatever the groups.
    pub fn same_user(&self, other: &Self) -> bool {
        self.is_of(other.uid)
    }

    /// Whether these are this user's rights.
    pub fn is_of(&self, uid: u32) -> bool {
        self.uid == uid
    }

    /// Runs `read` with only these rights to files, if this process is root. A user chooses the content of a home and
    /// the arguments of their programs, so a link there must not lead to a file that the user could not read.
    ///
    /// # Errors This process cannot take these rights; nothing was done.
    pub fn reading<T: Send>(&self, read: impl FnOnce() -> T + Send) -> Result<T, NotVisible> {
        if !geteuid().is_root() || self.uid == 0 {
            return Ok(read());
        }
        // Only one thread takes these rights, and it ends afterwards.
        thread::scope(|scope| {
            let reader = thread::Builder::new().spawn_scoped(scope, || {
                self.take()?;
                Ok(read())
            });
            let ended = reader.map_err(|error| NotVisible::of_io(&error))?.join();
            ended.unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    fn take(&self) -> Result<(), NotVisible> {
        let groups: Vec<Gid> = self.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups).map_err(NotVisible::of)?;
        of_user(self.uid, self.gid).map_err(|error| NotVisible::of_io(&error))?;
        if self.enters {
            return Ok(());
        }
        // This capability does not concern files and stays with root's thread: with it, a link through `/proc/PID/root`
        // leads to files that only a container or a service can see.
        let mut sets = capabilities(None).map_err(NotVisible::of)?;
        sets.effective.remove(CapabilitySet::SYS_PTRACE);
        set_capabilities(None, sets).map_err(NotVisible::of)
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
    use std::path::PathBuf;
    use std::process::Command;

    use super::*;

    #[test]
    fn the_rights_of_a_process_are_those_that_it_has_to_files() {
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nFDSize:\t64\nGroups:\t9 10 \n";
        assert_eq!(
            Rights::of_status(status),
            Some(Rights { uid: 4, gid: 8, groups: vec![9, 10], enters: false })
        );
        let none = status.replace("9 10 ", "");
        assert_eq!(Rights::of_status(&none).map(|rights| rights.groups), Some(Vec::new()));
        let own = crate::process(std::process::id()).unwrap().id;
        assert_eq!(Rights::of_process(&own).unwrap().uid, geteuid().as_raw());
    }

    #[test]
    fn nothing_is_read_that_the_user_could_not_read_and_rights_come_back() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let put = |name: &str, mode: u32, owner: (u32, u32)| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            if geteuid().is_root() {
                chown(&path, Some(owner.0), Some(owner.1)).unwrap();
            }
        };
        put("own", 0o600, (21_001, 21_001));
        put("of-another", 0o600, (21_002, 21_002));
        put("of-root", 0o640, (0, 0));
        put("of-a-group", 0o640, (0, 21_003));
        let reads = |rights: &Rights, name: &str| {
            rights.reading(|| fs::read(folder.path().join(name)).is_ok()).unwrap()
        };
        if !geteuid().is_root() {
            // Without root's rights there are none to give up.
            let other = Rights::of_user(21_002);
            return assert!(reads(&other, "own"));
        }
        let owner = folder.path().join("home");
        fs::create_dir(&owner).unwrap();
        chown(&owner, Some(21_001), Some(0)).unwrap();
        let owner = Rights::of_owner(&owner).unwrap();
        assert!(reads(&owner, "own"));
        for other in ["of-another", "of-root", "of-a-group"] {
            assert!(!reads(&owner, other), "{other}");
        }
        let member = Rights { groups: vec![21_003], ..owner };
        assert!(reads(&member, "of-a-group") && !reads(&member, "of-root"));
        assert!(fs::read(folder.path().join("of-another")).is_ok(), "this thread kept its own");
    }

    /// Files that everybody may read, behind the root of another user's process, which only root may enter.
    #[test]
    fn no_link_leads_through_a_process_that_the_user_could_not_look_into() {
        if !geteuid().is_root() {
            return eprintln!("left out: only root can give up its rights");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let path = folder.path().canonicalize().unwrap().join("file");
        fs::write(&path, "everybody's").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let mut other = Command::new("sleep").arg("100000").spawn().unwrap();
        let through =
            PathBuf::from(format!("/proc/{}/root", other.id())).join(path.strip_prefix("/").unwrap());
        let link = folder.path().join("link");
        symlink(&through, &link).unwrap();
        let as_root = fs::read(&link).is_ok();
        let user = Rights::of_user(21_001);
        let [plain, linked] = [&path, &link].map(|path| user.reading(|| fs::read(path).is_ok()).unwrap());
        // The process's own files are below that root, and no link is followed out of it.
        let entered = Rights { enters: true, ..user };
        let entered = entered.reading(|| fs::read(&through).is_ok()).unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(as_root && plain);
        assert!(!linked, "root's right to look into processes stayed");
        let all = capabilities(None).unwrap().effective;
        assert_eq!(entered, all.contains(CapabilitySet::SYS_PTRACE));
    }

    /// `/tmp` belongs to root, and anybody can put a link there.
    #[test]
    fn a_folder_that_others_may_write_to_gives_nobody_its_owners_rights() {
        if !geteuid().is_root() {
            return eprintln!("left out: only root can give up its rights");
        }
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let put = |name: &str, mode: u32| {
            let path = folder.path().join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let (of_root, everybodys) = (put("of-root", 0o600), put("everybodys", 0o644));
        let home = folder.path().join("home");
        fs::create_dir(&home).unwrap();
        let reads = |mode: u32, path: &Path| {
            fs::set_permissions(&home, Permissions::from_mode(mode)).unwrap();
            Rights::of_owner(&home).unwrap().reading(|| fs::read(path).is_ok()).unwrap()
        };
        for mode in [0o700, 0o755] {
            assert!(reads(mode, &of_root), "{mode:o}");
        }
        for mode in [0o1777, 0o777, 0o2775, 0o770, 0o702] {
            assert!(!reads(mode, &of_root), "{mode:o}");
            assert!(reads(mode, &everybodys), "{mode:o}");
        }
    }
}
