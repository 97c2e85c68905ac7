//! Which program a process runs, and when it was executed: a forked process holds what its parent had loaded.

use crate::NotVisible;
use crate::identity::{After, ProcessId, Program, WrittenAt, started_after};
use crate::proc::ProcFolder;

/// How many ancestors are followed to find the exec that a forked process comes from.
const FORK_CHAIN_MAX: usize = 64;

/// The run of a program that is in this process now; one that is hidden also if the process is gone.
pub fn program(process: &ProcessId) -> Program {
    ProcFolder::open_exact(process).map_or_else(|_| Program::default(), |folder| Program(folder.stat.image))
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

/// Whether the program in the process was *executed* after the write: the basis of "it was loaded at start". A worker
/// that was forked from a preloaded master is traced back to the master's exec. If the master is gone or not visible,
/// the answer is never [`After::Yes`].
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
        // The addresses of one exec are drawn at random and inherited by forks. Equal addresses mean that the present
        // parent forked the process, and is not another process (init) that adopted an orphan.
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
