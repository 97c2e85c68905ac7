//! Other processes that search memory as this one does.

use std::fs::{self, File};
use std::io::{self, Read as _};

use keyroll_observe::{Holder, Place};

/// How much of two programs is compared at once, bytes.
const PIECE_BYTES: usize = 1 << 16;

/// Another keyroll at work: while it searches the memory of others, what it reads stands in its own. It holds nothing in
/// its environment; and if it used the value, its session would make it a holder all the same.
pub(super) fn searches(holder: &Holder) -> bool {
    let (Ok(own), Some(exe)) = (fs::read_link("/proc/self/exe"), &holder.process.exe) else { return false };
    let same = *exe == own
        || (exe.file_name() == own.file_name() && same_program(holder.process.id.pid).unwrap_or_default());
    same && !holder.places.contains_key(&Place::Environment)
}

/// Whether a process runs the very same program from another place: a copy for another user, or in another root.
fn same_program(pid: u32) -> io::Result<bool> {
    let mut own = File::open("/proc/self/exe")?;
    let mut other = File::open(format!("/proc/{pid}/exe"))?;
    if own.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut two) = (vec![0; PIECE_BYTES], vec![0; PIECE_BYTES]);
    loop {
        let read = own.read(&mut one)?;
        let (Some(one), Some(two)) = (one.get(..read), two.get_mut(..read)) else { return Ok(false) };
        other.read_exact(two)?;
        if read == 0 || one != two {
            return Ok(read == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::same_program;

    const WAIT: &str = "KEYROLL_TEST_WAIT";

    /// The part that a copy of this program plays: it is there until its input ends.
    #[test]
    fn part() {
        if std::env::var_os(WAIT).is_some() {
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        }
    }

    #[test]
    fn a_copy_of_the_program_is_the_same_one_and_another_of_its_name_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("copy");
        std::fs::copy(std::env::current_exe().unwrap(), &copy).unwrap();
        let start = |program: &std::path::Path| {
            let mut command = Command::new(program);
            command
                .args(["part", "--nocapture"])
                .env(WAIT, "yes")
                .stdin(Stdio::piped())
                .stdout(Stdio::null());
            // A process that another test forks in this moment may hold the copy open for writing until it executes.
            loop {
                match command.spawn() {
                    Ok(child) => return child,
                    Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ExecutableFileBusy, "{error}"),
                }
            }
        };
        let same = |program: &std::path::Path| {
            let mut child = start(program);
            let same = same_program(child.id()).unwrap();
            drop(child.stdin.take());
            child.wait().unwrap();
            same
        };
        assert!(same(&copy));
        // One byte at its end, which the loader does not look at.
        let mut bytes = std::fs::read(&copy).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let other = folder.path().join("other");
        std::fs::write(&other, bytes).unwrap();
        std::fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        assert!(!same(&other));
        assert!(same_program(u32::MAX).is_err());
    }
}
