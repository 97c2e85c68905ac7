//! Whether processes run that no listing here shows.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::proc::ProcFolder;

/// The link of the machine's first PID namespace. Source: the number that the kernel gives it (`PROC_PID_INIT_INO` of
/// include/linux/proc_ns.h).
const FIRST: &str = "pid:[4026531836]";

/// The longest statement, bytes.
const STATEMENT_BYTES_MAX: u64 = 128;

/// Who may write neither the statement nor its folder: the group and others.
const OTHERS_WRITE: u32 = 0o022;

/// Where root of a container states that nothing outside of it uses its secrets. The file has the link of the container's
/// PID namespace, the boot, and the start of the first process in ticks. The kernel gives a namespace's number again, so
/// the link alone could be that of a later container.
pub const WHOLE_MACHINE: &str = "/run/keyroll/whole-machine";

/// The command that writes the statement.
pub const STATE_WHOLE_MACHINE: &str = "umask 022; mkdir -p /run/keyroll; echo $(readlink /proc/self/ns/pid; \
                                       cat /proc/sys/kernel/random/boot_id; sed 's/.*) //' /proc/1/stat | \
                                       cut -d' ' -f20) >/run/keyroll/whole-machine";

/// What a listing of processes shows of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// All processes: this is the machine's first PID namespace.
    Machine,
    /// The processes of this container or PID namespace, and root states that no other uses its secrets
    /// ([`WHOLE_MACHINE`]).
    StatedWhole,
    /// The processes of this container or PID namespace only.
    Part,
}

/// What a listing shows from where this process runs.
pub fn extent() -> Extent {
    match std::fs::read_link("/proc/self/ns/pid") {
        Ok(link) if link.as_os_str() == FIRST => Extent::Machine,
        Ok(link) => match this_container(&link.to_string_lossy()) {
            Some(this) if is_stated(Path::new(WHOLE_MACHINE), &this, 0) => Extent::StatedWhole,
            Some(_) | None => Extent::Part,
        },
        // `/proc` is that of another namespace.
        Err(_) => Extent::Part,
    }
}

/// The PID namespace that this process runs in, apart from every other one and from each that has its number later: its link, the
/// boot, and the start of its first process, or `-` where another user's processes are hidden. None if it cannot be read.
pub fn view() -> Option<String> {
    let link = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let link = link.to_string_lossy();
    this_container(&link).or_else(|| Some(format!("{link} {} -", boot_id()?)))
}

/// What reports call the processes that no listing here shows, and why these do not stop a rotation, where root made the
/// statement.
pub fn stated_outside() -> Option<(&'static str, String)> {
    let why = || format!("root states in {WHOLE_MACHINE} that none uses its secrets");
    (extent() == Extent::StatedWhole).then(|| ("processes outside this container", why()))
}

/// What a statement about this container says.
fn this_container(link: &str) -> Option<String> {
    Some(format!("{link} {} {}", boot_id()?, ProcFolder::open(1).ok()?.stat.start_ticks))
}

fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|boot| boot.trim().to_owned())
}

/// Whether this user's own file says so.
fn is_stated(statement: &Path, this: &str, owner: u32) -> bool {
    let owned = |path: &Path| {
        let meta = std::fs::symlink_metadata(path).ok()?;
        (meta.uid() == owner && meta.mode() & OTHERS_WRITE == 0).then_some(meta)
    };
    let folder = statement.parent().and_then(owned).is_some_and(|meta| meta.is_dir());
    let file = owned(statement).is_some_and(|meta| meta.is_file() && meta.len() <= STATEMENT_BYTES_MAX);
    folder && file && std::fs::read(statement).is_ok_and(|text| text.trim_ascii() == this.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_the_owners_own_statement_about_this_very_namespace_counts() {
        let folder = tempfile::tempdir().unwrap();
        let me = fs::metadata(folder.path()).unwrap().uid();
        let path = folder.path().join("whole-machine");
        let this = "pid:[4026532001] 6ba7b810-9dad-11d1-80b4-00c04fd430c8 77";
        let put = |text: &str, mode: u32| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        };
        assert!(!is_stated(&path, this, me), "nothing is stated");
        put(&format!("{this}\n"), 0o644);
        assert!(is_stated(&path, this, me));
        assert!(!is_stated(&path, &this.replace("2001", "2002"), me), "of another container");
        assert!(
            !is_stated(&path, &this.replace("77", "78"), me),
            "of an earlier container with the same number"
        );
        assert!(!is_stated(&path, this, me + 1), "by another user");
        put(this, 0o664);
        assert!(!is_stated(&path, this, me), "a file that others may write");
        put(&format!("{this}{}", " ".repeat(128)), 0o644);
        assert!(!is_stated(&path, this, me), "a long file");
        put(this, 0o600);
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(!is_stated(&path, this, me), "a folder that others may write");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
        let other = folder.path().join("real");
        fs::rename(&path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(!is_stated(&path, this, me), "a link to a file");
    }
}
