//! Programs of the system that keep what others wrote: they use no key, and cannot be moved to another.

use std::path::Path;

/// Their executables, in the folders of the system. A container engine and its shims have the output of containers.
const KEEPERS: [&str; 9] = [
    "systemd-journald",
    "systemd-coredump",
    "rsyslogd",
    "syslog-ng",
    "auditd",
    "dockerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "conmon",
];

/// The folders of the system, which only root writes.
const FOLDERS: [&str; 4] = ["/usr", "/lib", "/sbin", "/bin"];

/// Whether a process of this machine keeps logs. False if it is not visible.
pub(crate) fn keeps_logs(pid: u32) -> bool {
    keyroll_observe::process(pid).is_ok_and(|process| process.exe.as_deref().is_some_and(is_keeper))
}

fn is_keeper(exe: &Path) -> bool {
    let name = exe.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| KEEPERS.contains(&name)) && FOLDERS.iter().any(|folder| exe.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_keeps_the_logs_of_the_system_is_no_consumer_and_a_program_of_that_name_elsewhere_may_be() {
        for keeper in
            ["/usr/lib/systemd/systemd-journald", "/usr/bin/containerd-shim-runc-v2", "/usr/sbin/rsyslogd"]
        {
            assert!(is_keeper(Path::new(keeper)), "{keeper}");
        }
        for other in ["/srv/app/rsyslogd", "/usr/bin/python3", "/usr/lib/systemd/systemd", "/"] {
            assert!(!is_keeper(Path::new(other)), "{other}");
        }
        assert!(!keeps_logs(std::process::id()));
    }
}
