// The one file of this room that may hold `unsafe`: between fork and exec only the raw system calls are allowed, and
// fanotify and setfsuid(2) have no safe binding among our dependencies.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first descriptor behind standard input, output and error.
const FIRST_DESCRIPTOR: libc::c_uint = 3;

/// Makes a command start on its own: in a new session (so that it outlives keyroll and can be ended as a process
/// group of its own) and with no open file of keyroll but the three standard ones.
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
        // Marked, not closed: one of them is the descriptor that reports a failed exec to the parent. Kernels before
        // 5.11 do not know the call; there keyroll's own files are closed by their own flag.
        let flags = libc::CLOSE_RANGE_CLOEXEC;
        libc::syscall(libc::SYS_close_range, FIRST_DESCRIPTOR, libc::c_uint::MAX, flags);
    }
    Ok(())
}

/// A descriptor that reports opens of marked files, without a descriptor of the file in each event. Only root can see
/// which process opened a file. Source: fanotify_init(2).
pub(crate) fn open_events() -> std::io::Result<OwnedFd> {
    let flags = libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_REPORT_FID;
    let of_events = libc::c_uint::try_from(libc::O_RDONLY).unwrap_or(0);
    // SAFETY: a plain system call without pointers.
    let descriptor = unsafe { libc::fanotify_init(flags, of_events) };
    if descriptor == -1 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: the call made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Adds an open file (the file itself, under any name) to those whose opens are reported. Source: fanotify_mark(2).
pub(crate) fn mark_opens(events: BorrowedFd<'_>, file: BorrowedFd<'_>) -> std::io::Result<()> {
    // SAFETY: both descriptors are open for the length of the call; without a path the second one is marked.
    let marked = unsafe {
        libc::fanotify_mark(
            events.as_raw_fd(),
            libc::FAN_MARK_ADD,
            libc::FAN_OPEN,
            file.as_raw_fd(),
            std::ptr::null(),
        )
    };
    if marked == -1 { Err(std::io::Error::last_os_error()) } else { Ok(()) }
}

/// Gives this thread alone a user's and a group's rights to files; its supplementary groups stay.
pub(crate) fn of_user(uid: u32, gid: u32) -> std::io::Result<()> {
    // SAFETY: plain system calls without pointers. Each call returns the former setting. The second call, for no user,
    // changes nothing and returns the present setting.
    let (user, group) = unsafe {
        libc::setfsgid(gid);
        libc::setfsuid(uid);
        (libc::setfsuid(libc::uid_t::MAX), libc::setfsgid(libc::gid_t::MAX))
    };
    let same = user.cast_unsigned() == uid && group.cast_unsigned() == gid;
    if same { Ok(()) } else { Err(std::io::Error::from_raw_os_error(libc::EPERM)) }
}
