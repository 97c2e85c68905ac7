//! What the kernel lets this process see and hide.

use keyroll_observe::{Extent, STATE_WHOLE_MACHINE, WHOLE_MACHINE, extent};
use keyroll_secret::LockedMemory;
use rustix::process::{Resource, getrlimit};

use super::report::Report;

/// The row about the memory that values are in.
const LOCKED: &str = "values in memory";
/// The row about what a list of processes leaves out.
const OUTSIDE: &str = "processes outside";

pub(super) fn check_process(report: &mut Report) {
    match is_dumpable() {
        true => report.bad("this process", "its memory can be dumped".to_owned(), "use a kernel with prctl"),
        false => report
            .good("this process", "writes no core dump, and other users cannot read its memory".to_owned()),
    }
    check_locked_memory(report);
    match extent() {
        Extent::Machine => {}
        Extent::StatedWhole => {
            report.note(OUTSIDE, format!("not visible; {WHOLE_MACHINE} states that none uses the secrets of this container"));
        }
        Extent::Part => report.note(
            OUTSIDE,
            format!(
                "not visible: this is a container or PID namespace. Run keyroll on the host or, if nothing outside uses \
                 these secrets, state this as root, after each start of the container (a statement with another content, \
                 or that others may write, does not count): {STATE_WHOLE_MACHINE}"
            ),
        ),
    }
    // From Yama's scope 1 on, the memory of processes that are not children of this one is not visible.
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    match (root, scope.trim()) {
        (true, _) => report.good("memory of others", "visible: this user is root".to_owned()),
        (false, "" | "0") => report.good("memory of others", "visible for processes of this user".to_owned()),
        (false, scope) => report.note(
            "memory of others",
            format!(
                "not visible (kernel.yama.ptrace_scope = {scope}); keyroll uses sockets, files and checks instead"
            ),
        ),
    }
}

/// Whether values can be written to swap.
fn check_locked_memory(report: &mut Report) {
    let memory = LockedMemory::now();
    let locked = memory.locked_bytes / 1024;
    let limit = getrlimit(Resource::Memlock).current;
    let limit = limit.map_or_else(|| "none".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    match memory.refused {
        false => report.good(LOCKED, format!("locked, never written to swap ({locked} KiB now, limit {limit})")),
        true => report.note(
            LOCKED,
            format!(
                "may be written to swap: only {locked} KiB are locked (limit {limit}). Encrypt the swap, or raise the \
                 limit: `ulimit -l`, or LimitMEMLOCK=8M in the unit"
            ),
        ),
    }
}

/// True if other processes of this user can read this process's memory, or the kernel may dump it.
fn is_dumpable() -> bool {
    !matches!(rustix::process::dumpable_behavior(), Ok(rustix::process::DumpableBehavior::NotDumpable))
}
