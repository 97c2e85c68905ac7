use std::fmt;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::NotVisible;

/// One process, distinct from every other that had or will have its process id.
///
/// Two processes with one id within one clock tick (10 ms) would be equal; the kernel reuses an id only
/// after all others, so this does not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId {
    /// Which boot of the machine, see [`boot`].
    pub boot: u64,
    /// The process id, as seen from keyroll's own PID namespace.
    pub pid: u32,
    /// When it was forked, in clock ticks since boot (field 22 of /proc/PID/stat).
    pub start_ticks: u64,
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pid)
    }
}

/// One run of a program in a process. A process that executes another program is the same process, and loses everything
/// that the former program held. Runs differ by addresses that the kernel draws at random for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Program(pub(crate) [u64; 3]);

/// An odd number with as many ones as zeros, so that every bit of an address counts in the mixed number.
const ODD: u64 = 0x9e37_79b9_7f4a_7c15;

impl Program {
    /// Whether these are certainly two runs: `false` also if the kernel hides one of them.
    pub fn differs(self, other: Self) -> bool {
        self.visible() && other.visible() && self != other
    }

    /// One number for the run, the same whenever it is read; 0 if the kernel hides it.
    pub fn number(self) -> u64 {
        if !self.visible() {
            return 0;
        }
        let mixed = self.0.iter().fold(0, |sum: u64, part| (sum.rotate_left(23) ^ part).wrapping_mul(ODD));
        mixed.max(1)
    }

    fn visible(self) -> bool {
        !self.0.contains(&0)
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
    /// Now. To be called *after* the write (the rename) has returned: a later start then certainly comes after it.
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

/// The kernel's clock ticks in a second.
pub fn ticks_per_second() -> u32 {
    u32::try_from(clock_ticks_per_second()).unwrap_or(u32::MAX)
}

/// An answer about before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum After {
    /// Certainly after.
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
