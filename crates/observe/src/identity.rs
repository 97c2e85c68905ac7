use std::fmt;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::NotVisible;
use crate::proc::ProcFolder;

/// How many ancestors are followed to find the exec that a forked process comes from.
const FORK_CHAIN_MAX: usize = 64;

/// One process, told apart from every other that had or will have its number.
///
/// Two processes of one number within one clock tick (10 ms) would be equal; the kernel gives a number again only
/// after all others, so this is not met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// Which boot of the machine, see [`boot`].
    pub boot: u64,
    /// The number, as seen from keyroll's own PID namespace.
    pub pid: u32,
    /// When it was forked, in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_ticks: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)
    }
}

/// One run of a program in a process: a process that executes another one is the same process, and holds nothing of what
/// it held. Told apart by addresses that are drawn at random for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Program(pub(crate) [u64; 3]);

impl Program {
    /// Whether these are surely two: `false` also where the kernel hides one of them.
    pub fn differs(self, other: Self) -> bool {
        !self.0.contains(&0) && !other.0.contains(&0) && self != other
    }
}

/// When a write was complete, on the boot clock: the clock that process start times are given in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WrittenAt {
    /// Which boot of the machine.
    pub boot: u64,
    /// Clock ticks since that boot.
    pub ticks: u64,
}

impl WrittenAt {
    /// Now. To be called *after* the write (the rename) has returned: then a later start surely comes after it.
    ///
    /// # Errors
    /// /proc is not there.
    pub fn now() -> Result<Self, NotVisible> {
        let now = clock_gettime(ClockId::Boottime);
        let per_second = clock_ticks_per_second();
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanoseconds = u64::try_from(now.tv_nsec).unwrap_or(0);
        let ticks = seconds * per_second + nanoseconds * per_second / 1_000_000_000;
        Ok(Self { boot: boot()?, ticks })
    }
}

/// An answer about before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// Surely after.
    Yes,
    /// Before, or not shown to be after although that would be visible.
    No,
    /// Within the same tick, or in another boot, or not visible.
    Unknown,
}

/// Which boot of the machine this is: the two halves of /proc/sys/kernel/random/boot_id, folded into one number.
///
/// # Errors
/// /proc is not there, or does not hold a UUID.
pub fn boot() -> Result<u64, NotVisible> {
    static BOOT: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    if let Some(known) = BOOT.get() {
        return Ok(*known);
    }
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_err(|error| NotVisible::of_io(&error))?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    let number = u128::from_str_radix(&digits, 16).map_err(|_| NotVisible::Malformed)?;
    let [high, low] = [(number >> 64) as u64, number as u64];
    Ok(*BOOT.get_or_init(|| high ^ low))
}

/// Whether the process was *forked* after the write. Equal ticks are unknown: the write may lie in the same 10 ms.
///
/// Pure comparison; a process that reads the file itself at its start has read the new content if this is
/// [`After::Yes`] **and** it is no fork of a preloaded one ([`exec_came_after`]).
pub fn started_after(process: &ProcessId, written: WrittenAt) -> After {
    if process.boot != written.boot {
        return After::Unknown;
    }
    match process.start_ticks.cmp(&written.ticks) {
        std::cmp::Ordering::Greater => After::Yes,
        std::cmp::Ordering::Equal => After::Unknown,
        std::cmp::Ordering::Less => After::No,
    }
}

/// Whether the process was forked and has not executed a program since (`PF_FORKNOEXEC` in field 9 of
/// /proc/PID/stat, which the kernel clears in `begin_new_exec`). Such a process still holds what its parent had
/// loaded, and its environment is its parent's.
///
/// # Errors
/// The process is gone.
pub fn forked_without_exec(process: &ProcessId) -> Result<bool, NotVisible> {
    Ok(ProcFolder::open_exact(process)?.stat.forked_no_exec())
}

/// Whether the program that runs in the process was *executed* after the write: the fact behind "it was loaded at
/// start". A worker forked from a preloaded master is traced back to the master's exec; where the master is gone
/// or cannot be told, the answer is never [`After::Yes`].
///
/// A process that was forked before the write and executed its program after it reads [`After::No`]: the kernel
/// does not show when an exec happened, so this is the cautious answer.
pub fn exec_came_after(process: &ProcessId, written: WrittenAt) -> After {
    let mut own = *process;
    let Ok(mut folder) = ProcFolder::open_exact(&own) else { return After::Unknown };
    for _ in 0..FORK_CHAIN_MAX {
        let started = started_after(&own, written);
        if !folder.stat.forked_no_exec() || started == After::No {
            return started;
        }
        // The addresses of one exec are drawn at random and inherited by forks: equal ones mean that the present
        // parent is the one it was forked from, and not a stranger (init) that took over an orphan.
        let image = folder.stat.image;
        let Ok(parent) = ProcFolder::open(folder.stat.ppid) else { return After::Unknown };
        if image.contains(&0) || parent.stat.image != image {
            return After::Unknown;
        }
        own = ProcessId { boot: own.boot, pid: folder.stat.ppid, start_ticks: parent.stat.start_ticks };
        folder = parent;
    }
    After::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_ticks_and_other_boots_are_unknown() {
        let process = ProcessId { boot: 1, pid: 7, start_ticks: 500 };
        let written = |boot, ticks| WrittenAt { boot, ticks };
        assert_eq!(started_after(&process, written(1, 499)), After::Yes);
        assert_eq!(started_after(&process, written(1, 500)), After::Unknown);
        assert_eq!(started_after(&process, written(1, 501)), After::No);
        assert_eq!(started_after(&process, written(2, 1)), After::Unknown);
    }

    #[test]
    fn this_boot_has_one_number() {
        assert_eq!(boot().expect("a boot id"), boot().expect("a boot id"));
    }
}
