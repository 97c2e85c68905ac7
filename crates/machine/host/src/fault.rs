//! How an error of the system becomes a [`Failure`].

use std::io;

use keyroll_codes::Code;
use keyroll_port::{Class, Failure};
use rustix::io::Errno;

/// A failure that certainly had no effect: either temporary (a full disk, no memory) or permanent (rights, a read-only
/// disk).
pub(crate) fn no_effect(code: Code, attempted: String, errno: Errno) -> Failure {
    let passing = [
        Errno::NOSPC,
        Errno::DQUOT,
        Errno::NOMEM,
        Errno::MFILE,
        Errno::NFILE,
        Errno::INTR,
        Errno::AGAIN,
        Errno::BUSY,
        Errno::STALE,
    ];
    let class = if passing.contains(&errno) { Class::Retryable } else { Class::Permanent };
    with_help(Failure::new(class, code, attempted), errno)
}

/// A failure after which only a look at the file tells what happened.
pub(crate) fn unknown(code: Code, attempted: String, errno: Errno) -> Failure {
    with_help(Failure::new(Class::Unknown, code, attempted), errno)
}

/// A refusal of ours, before anything was changed.
pub(crate) fn refused(code: Code, attempted: String, why: &str, help: &str) -> Failure {
    Failure::new(Class::Permanent, code, attempted).because(why).help(help)
}

fn with_help(failure: Failure, errno: Errno) -> Failure {
    let failure = failure.because(io::Error::from(errno));
    match help(errno) {
        Some(help) => failure.help(help),
        None => failure,
    }
}

fn help(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::NOSPC | Errno::DQUOT => Some("free space on the file system that holds it"),
        Errno::ROFS => Some("mount the file system read-write"),
        Errno::ACCESS | Errno::PERM => Some("run keyroll as the file's owner with its group, or as root"),
        Errno::NOENT => Some("create the file or correct its path in keyroll.toml"),
        Errno::EXIST => Some("an earlier run left it: the next driver of the rotation removes it"),
        Errno::IO => Some("the disk reports errors: look at `dmesg` before trying again"),
        _ => None,
    }
}
