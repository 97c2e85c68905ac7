//! What the kernel lets this process see and hide.

use super::report::Report;

pub(super) fn check_process(report: &mut Report) {
    match is_dumpable() {
        true => report.bad("this process", "its memory can be dumped".to_owned(), "use a kernel with prctl"),
        false => report
            .good("this process", "writes no core dump, and other users cannot read its memory".to_owned()),
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

/// True if other processes of this user can read this process's memory, or the kernel may dump it.
fn is_dumpable() -> bool {
    !matches!(rustix::process::dumpable_behavior(), Ok(rustix::process::DumpableBehavior::NotDumpable))
}
