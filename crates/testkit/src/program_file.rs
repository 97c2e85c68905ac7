use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Writes its input to a file, which it makes executable at the end.
const WRITE: &str = r#"umask 077; cat >"$1" && chmod 755 -- "$1""#;

/// Copies a file, and makes the copy executable at the end.
const COPY: &str = r#"cp --no-target-directory -- "$1" "$2" && chmod 755 -- "$2""#;

/// Writes an executable file, mode 0755, which can be executed at once. A file that is already there gets the new text,
/// as with [`std::fs::write`].
///
/// A child process writes the file, so this process never has it open for writing. Otherwise a process that another
/// thread forks at that moment inherits the descriptor and keeps it until its own exec, and until then the system
/// refuses to execute the file: "Text file busy" (execve(2), ETXTBSY).
///
/// # Panics
/// If the file cannot be written, for example because a process is executing it.
#[track_caller]
pub fn write_program(path: &Path, text: impl AsRef<[u8]>) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", WRITE, "sh"]).arg(path);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let ended = command.spawn().and_then(|mut child| {
        let given = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_ref()));
        let output = child.wait_with_output()?;
        // A child that failed has not read everything: its own message says why.
        if output.status.success() {
            given?;
        }
        Ok(output)
    });
    check(path, ended);
}

/// Copies an executable file, mode 0755, whoever may execute the file itself; the copy can be executed at once. A file that is
/// already there gets the new content, as with [`std::fs::copy`]. A child process copies, for the reason that [`write_program`]
/// gives.
///
/// # Panics
/// If the file cannot be copied, for example because a process is executing the file that is to be replaced.
#[track_caller]
pub fn copy_program(from: &Path, to: &Path) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", COPY, "sh"]).arg(from).arg(to);
    check(to, command.stdin(Stdio::null()).output());
}

#[track_caller]
#[allow(clippy::panic, reason = "a test without its program has failed")]
fn check(path: &Path, ended: io::Result<Output>) {
    let why = match ended {
        Ok(output) if output.status.success() => return,
        Ok(output) => format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
        Err(error) => error.to_string(),
    };
    panic!("could not write the program {}: {why}", path.display());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::thread;

    use super::*;

    const THREADS: i32 = 4;
    const ROUNDS: i32 = 25;

    #[test]
    fn a_program_can_be_executed_at_once_while_other_threads_fork() {
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let program = folder.path().join(number.to_string());
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        write_program(&program, format!("#!/bin/sh\nexit {round}\n"));
                        let status = Command::new(&program).status().unwrap();
                        assert_eq!(status.code(), Some(round), "{status}");
                    }
                });
            }
        });
    }

    #[test]
    fn a_copy_can_be_executed_at_once_while_other_threads_fork() {
        let folder = tempfile::tempdir().unwrap();
        thread::scope(|scope| {
            for number in 0..THREADS {
                let folder = folder.path();
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let program = folder.join(format!("{number}-{round}"));
                        copy_program(Path::new("/bin/sh"), &program);
                        let status = Command::new(&program).args(["-c", "exit 7"]).status().unwrap();
                        assert_eq!(status.code(), Some(7), "{status}");
                    }
                });
            }
        });
    }

    #[test]
    fn the_same_file_gets_the_new_text_and_is_executable() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "a longer text of before\n".repeat(10)).unwrap();
        let before = fs::metadata(&program).unwrap();
        write_program(&program, "#!/bin/sh\n");
        let after = fs::metadata(&program).unwrap();
        assert_eq!((after.ino(), after.mode() & 0o7777), (before.ino(), 0o755));
        assert_eq!(fs::read(&program).unwrap(), b"#!/bin/sh\n");
    }

    #[test]
    #[should_panic(expected = "could not write the program /proc/none/program: ")]
    fn a_program_that_cannot_be_written_is_a_failed_test() {
        write_program(Path::new("/proc/none/program"), "#!/bin/sh\n");
    }
}
