use rustix::process::{Gid, getegid, geteuid, getgroups};

/// What the group and others may do.
const NOT_OWNER: u32 = 0o077;
/// The same without reading by the group.
const MORE_THAN_GROUP_READS: u32 = 0o037;
const ROOT: u32 = 0;

/// Kubernetes sets it in each container, and nothing else tells a process that it is in a pod.
const IN_POD: &str = "KUBERNETES_SERVICE_HOST";

/// Whether a file of this mode, owner and group gives nobody but the user of this process and root access. Who may be its
/// owner is for the caller to say.
///
/// In a pod a file of root counts too that a group of this process may read: a volume of a Secret belongs to root, and what
/// runs as another user can have access by the volume's group alone (`fsGroup`, mode 0440). That group is the pod's: no user
/// of another pod is in it.
pub fn is_private(mode: u32, uid: u32, gid: u32) -> bool {
    mode & NOT_OWNER == 0 || is_of_pod(mode, uid, gid, &Process::own())
}

/// Who this process is.
struct Process {
    user: u32,
    groups: Vec<u32>,
    in_pod: bool,
}

impl Process {
    #[expect(clippy::disallowed_methods, reason = "there is no other sign of a pod")]
    fn own() -> Self {
        let groups = getgroups().unwrap_or_default().into_iter().chain([getegid()]);
        Self {
            user: geteuid().as_raw(),
            groups: groups.map(Gid::as_raw).collect(),
            in_pod: std::env::var_os(IN_POD).is_some_and(|host| !host.is_empty()),
        }
    }
}

/// Whether it is a file of a pod's volume that only this pod's group may read.
fn is_of_pod(mode: u32, uid: u32, gid: u32, process: &Process) -> bool {
    // Root would read a file of its own without a group; and the group of root is not a pod's alone.
    let is_volume = uid == ROOT && gid != ROOT && process.user != ROOT && process.groups.contains(&gid);
    process.in_pod && is_volume && mode & MORE_THAN_GROUP_READS == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: u32 = 65_532;
    const GROUP: u32 = 65_533;

    fn process() -> Process {
        Process { user: USER, groups: vec![USER, GROUP], in_pod: true }
    }

    #[test]
    fn a_file_of_the_owner_alone_is_private_wherever_it_is() {
        for (mode, uid, gid) in [(0o600, USER, USER), (0o400, 0, 0), (0o100_700, 1000, 100)] {
            assert!(is_private(mode, uid, gid), "{mode:o} {uid} {gid}");
        }
        for mode in [0o604, 0o602, 0o601, 0o660, 0o610] {
            assert!(!is_private(mode, 0, GROUP), "{mode:o}");
        }
    }

    #[test]
    fn a_volume_of_a_pod_may_be_read_by_a_group_of_the_process() {
        for mode in [0o440, 0o640, 0o100_440, 0o102_440] {
            assert!(is_of_pod(mode, 0, GROUP, &process()), "{mode:o}");
        }
        for mode in [0o460, 0o450, 0o444, 0o442, 0o441, 0o660, 0o644, 0o777] {
            assert!(!is_of_pod(mode, 0, GROUP, &process()), "{mode:o}");
        }
    }

    #[test]
    fn no_other_file_may_be_read_by_a_group() {
        for (uid, gid, why) in [
            (USER, GROUP, "it is the user's own: the user can close it"),
            (1000, GROUP, "it is another user's"),
            (0, 1000, "it is of another group"),
            (0, 0, "it is of the group of root"),
        ] {
            assert!(!is_of_pod(0o440, uid, gid, &process()), "{why}");
        }
        let with_root = Process { groups: vec![0], ..process() };
        assert!(!is_of_pod(0o440, 0, 0, &with_root), "the group of root is not the pod's");
        assert!(!is_of_pod(0o440, 0, GROUP, &Process { in_pod: false, ..process() }), "there is no pod");
        assert!(!is_of_pod(0o440, 0, GROUP, &Process { user: 0, ..process() }), "root needs no group");
    }
}
