//! Other keyroll processes that search memory at the same time.

use std::fs::{self, File};
use std::io::{self, Read as _};

use keyroll_observe::{Holder, Place};

/// How many bytes of two programs are compared at once.
const PIECE_BYTES: usize = 1 << 16;

/// Whether a holder is another keyroll process: while it searches the memory of others, the bytes that it reads are in
/// its own memory. It has no value in its environment; and if it used the value itself, its session would make it a
/// holder.
pub(super) fn searches(holder: &Holder) -> bool {
    let (Ok(own), Some(exe)) = (fs::read_link("/proc/self/exe"), &holder.process.exe) else { return false };
    let same = *exe == own
        || (exe.file_name() == own.file_name() && same_program(holder.process.id.pid).unwrap_or_default());
    same && !holder.places.contains_key(&Place::Environment)
}

/// Whether a process runs a copy of this program: one for another user, or in another root.
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

    use keyroll_testkit::{copy_program, write_program};

    use super::same_program;

    const WAIT: &str = "KEYROLL_TEST_WAIT";

    /// The role of a copy of this program: it runs until its input ends.
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
        copy_program(&std::env::current_exe().unwrap(), &copy);
        let start = |program: &std::path::Path| {
            let mut command = Command::new(program);
            command
                .args(["part", "--nocapture"])
                .env(WAIT, "yes")
                .stdin(Stdio::piped())
                .stdout(Stdio::null());
            command.spawn().unwrap()
        };
        let same = |program: &std::path::Path| {
            let mut child = start(program);
            let same = same_program(child.id()).unwrap();
            drop(child.stdin.take());
            child.wait().unwrap();
            same
        };
        assert!(same(&copy));
        // Changes the last byte, which the loader does not read.
        let mut bytes = std::fs::read(&copy).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        let other = folder.path().join("other");
        write_program(&other, bytes);
        assert!(!same(&other));
        assert!(same_program(u32::MAX).is_err());
    }
}
