// The one file of this room that may hold `unsafe`: between fork and exec only the raw system calls are allowed.
#![allow(unsafe_code)]

use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first descriptor behind standard input, output and error.
const FIRST_DESCRIPTOR: libc::c_uint = 3;

/// Makes a command start on its own: in a new session (so that it outlives keyroll and can be ended as a process
/// group of its own) and with no open file of keyroll but the three standard ones, whoever had left it open.
pub fn detach(command: &mut Command) -> &mut Command {
    // SAFETY: the closure runs in the child between fork and exec. It makes two async-signal-safe system calls and
    // allocates nothing; it reads and writes no memory of the parent.
    unsafe { command.pre_exec(own_session) }
}

fn own_session() -> std::io::Result<()> {
    // SAFETY: plain system calls without pointers.
    unsafe {
        if libc::setsid() == -1 {
            return Err(std::io::Error::last_os_error());
        }
        // Marked, not closed: the descriptor through which a failed exec is told to the parent is among them.
        // Kernels before 5.11 do not know the call; there keyroll's own files are closed by their own mark.
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        libc::syscall(libc::SYS_close_range, FIRST_DESCRIPTOR, libc::c_uint::MAX, flags);
    }
    Ok(())
}
