//! What this user may inspect on this host, and what hides something from it.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use keyroll_link::Fact;
use keyroll_observe::{Extent, extent};
use rustix::fs::{Access, access};
use rustix::process::geteuid;

use crate::hello::user;

/// The sockets of the container engine, as packages place them.
const DOCKER: [&str; 2] = ["/run/docker.sock", "/var/run/docker.sock"];

/// Where the kernel says who may read the memory of a process. Source: Documentation/admin-guide/LSM/Yama.rst.
const PTRACE: &str = "/proc/sys/kernel/yama/ptrace_scope";

/// Everything that is checked.
pub(crate) fn facts() -> Vec<Fact> {
    let root = geteuid().is_root();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let ptrace = fs::read_to_string(PTRACE).ok();
    vec![
        of_user(root),
        of_processes(extent()),
        of_hidepid(&mounts, root),
        of_ptrace(ptrace.as_deref(), root),
        of_docker(),
        of_environments(),
    ]
}

fn fact(what: &str, good: bool, detail: impl Into<String>) -> Fact {
    Fact { what: what.to_owned(), good, detail: detail.into() }
}

fn of_user(root: bool) -> Fact {
    match root {
        true => fact("user", true, "root"),
        false => {
            let hidden = "environments and memory of other users' processes are not visible";
            fact("user", false, format!("{}: {hidden}", user()))
        }
    }
}

fn of_processes(extent: Extent) -> Fact {
    let (good, detail) = match extent {
        Extent::Machine => (true, "all processes of the machine are visible"),
        Extent::StatedWhole => {
            (true, "this is a container, and root states that none outside uses its secrets")
        }
        Extent::Part => (false, "only processes of this container or PID namespace are visible"),
    };
    fact("processes", good, detail)
}

/// Whether /proc hides the processes of other users. Source: proc(5), `hidepid`.
fn of_hidepid(mounts: &str, root: bool) -> Fact {
    let options = mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some("/proc") && words.next() == Some("proc")).then(|| words.next())?
    });
    let hides = options
        .into_iter()
        .flat_map(|options| options.split(','))
        .find_map(|option| option.strip_prefix("hidepid=").filter(|value| !matches!(*value, "0" | "off")));
    match hides {
        None => fact("hidepid", true, "/proc hides no processes"),
        Some(value) if root => fact("hidepid", true, format!("hidepid={value} does not concern root")),
        Some(value) => {
            fact("hidepid", false, format!("hidepid={value}: /proc hides the processes of other users"))
        }
    }
}

fn of_ptrace(scope: Option<&str>, root: bool) -> Fact {
    let (good, detail) = match (scope.map(str::trim), root) {
        (None | Some("0"), _) => (true, "the memory of this user's processes can be read"),
        (Some("1" | "2"), true) => (true, "root can read the memory of processes"),
        (Some("3"), _) => {
            (false, "ptrace_scope is 3: nobody can read the memory of processes until the next boot")
        }
        (Some(_), false) => (false, "ptrace_scope keeps the memory of processes from all but root"),
        (Some(_), true) => {
            (false, "ptrace_scope has an unknown value: memory of processes may not be readable")
        }
    };
    fact("ptrace", good, detail)
}

fn of_docker() -> Fact {
    let Some(socket) = DOCKER.iter().map(Path::new).find(|path| path.exists()) else {
        return fact("docker", true, "there is no socket of docker");
    };
    match access(socket, Access::READ_OK | Access::WRITE_OK) {
        Ok(()) => fact("docker", true, "docker can be asked for its containers"),
        Err(_) => fact("docker", false, "this user may not ask docker for its containers"),
    }
}

/// How many programs hide their environment from this user. Kernel threads have none.
fn of_environments() -> Fact {
    let (mut all, mut closed) = (0_usize, 0_usize);
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let process = entry.path();
        let number = entry.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
        if !number || !has_arguments(&process) {
            continue;
        }
        all += 1;
        let opened = File::open(process.join("environ"));
        closed += usize::from(opened.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied));
    }
    let detail = match closed {
        0 => format!("the environments of all {all} visible programs can be read"),
        closed => format!("the environments of {closed} of {all} visible programs cannot be read"),
    };
    fact("environments", closed == 0, detail)
}

fn has_arguments(process: &Path) -> bool {
    let mut first = [0];
    File::open(process.join("cmdline"))
        .and_then(|mut file| file.read(&mut first))
        .is_ok_and(|count| count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_processes_are_told_from_the_options_of_proc() {
        let mounts = |options: &str| format!("sys /sys sysfs rw 0 0\nproc /proc proc rw,{options} 0 0\n");
        for (options, root, good) in [
            ("nosuid", false, true),
            ("hidepid=0", false, true),
            ("hidepid=off", false, true),
            ("nosuid,hidepid=invisible", false, false),
            ("hidepid=2,gid=27", false, false),
            ("hidepid=2", true, true),
        ] {
            assert_eq!(of_hidepid(&mounts(options), root).good, good, "{options}");
        }
        // The last mount is the one that is seen.
        let twice = mounts("hidepid=2") + "proc /proc proc rw 0 0\n";
        assert!(of_hidepid(&twice, false).good);
    }

    #[test]
    fn who_may_read_memory_is_told_from_the_kernels_number() {
        for (scope, root, good) in [
            (None, false, true),
            (Some("0\n"), false, true),
            (Some("1\n"), false, false),
            (Some("1\n"), true, true),
            (Some("2\n"), true, true),
            (Some("3\n"), true, false),
        ] {
            assert_eq!(of_ptrace(scope, root).good, good, "{scope:?} {root}");
        }
    }

    #[test]
    fn everything_is_checked_once() {
        let what: Vec<String> = facts().into_iter().map(|fact| fact.what).collect();
        assert_eq!(what, ["user", "processes", "hidepid", "ptrace", "docker", "environments"]);
    }
}
