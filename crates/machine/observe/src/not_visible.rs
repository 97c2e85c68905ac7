use rustix::io::Errno;

/// Why a part of a process is not visible. "Not visible" is an answer of its own: it never means "not there".
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum NotVisible {
    /// The kernel refuses it to this user (another user's process, a missing capability).
    #[error("permission denied")]
    Permission,
    /// The process is ours, but reading another process's memory is closed on this machine (Yama, a sandbox) or by
    /// the process itself (`PR_SET_DUMPABLE`).
    #[error("memory of other processes is closed on this machine or by the process itself")]
    NoPtrace,
    /// The process ended while it was read.
    #[error("the process ended")]
    Vanished,
    /// The process id belongs to another process by now.
    #[error("the process id was given to another process")]
    Replaced,
    /// The read did not answer in time; its thread was abandoned.
    #[error("the read did not answer in time")]
    Stuck,
    /// More abandoned reads are pending than are allowed.
    #[error("too many earlier reads are stuck")]
    TooManyStuck,
    /// More bytes, pages or entries than the limit.
    #[error("larger than the limit of this search")]
    TooLarge,
    /// The time of the whole search was over before this was reached.
    #[error("the time limit of this search was reached before it")]
    OutOfTime,
    /// Secret memory (`memfd_secret`) or a device mapping, which the kernel shows to no other process.
    #[error("memory that the kernel shows to no other process")]
    ClosedMemory,
    /// The content was written after the process was started.
    #[error("it was written after the process was started")]
    Newer,
    /// The kernel's text could not be understood.
    #[error("an unexpected answer from /proc")]
    Malformed,
    /// Any other error of the system.
    #[error("system error {0}")]
    System(i32),
}

impl NotVisible {
    /// The reason behind an error of the system.
    pub(crate) fn of(errno: Errno) -> Self {
        match errno {
            Errno::ACCESS | Errno::PERM => Self::Permission,
            Errno::NOENT | Errno::SRCH => Self::Vanished,
            other => Self::System(other.raw_os_error()),
        }
    }

    /// The reason behind an IO error.
    pub(crate) fn of_io(error: &std::io::Error) -> Self {
        error.raw_os_error().map_or(Self::Malformed, |code| Self::of(Errno::from_raw_os_error(code)))
    }
}
