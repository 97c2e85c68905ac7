//! The ids of this machine's processes in plans and events, and the names of versions.

use keyroll_observe::ProcessId;
use keyroll_rotation::{HostId, Incarnation, InstanceIdentity, Which};

/// The machine that keyroll itself runs on.
pub const LOCAL: HostId = HostId(0);

/// A process of this machine, with the program that runs in it now, as an incarnation. `host`: the machine's number in
/// plans.
pub fn incarnation(host: HostId, process: &ProcessId) -> Incarnation {
    let (boot, pid, start_ticks) = (process.boot, process.pid, process.start_ticks);
    let program = keyroll_observe::program(process).number();
    Incarnation { host, life: InstanceIdentity::Process { boot, pid, start_ticks, program } }
}

/// The process of this machine behind an incarnation; `None` for one at rest, for a container, and for one of another
/// machine, whose processes have the same ids.
pub fn process_of(who: Incarnation) -> Option<ProcessId> {
    match who.life {
        InstanceIdentity::Process { boot, pid, start_ticks, program: _ } if who.host == LOCAL => {
            Some(ProcessId { boot, pid, start_ticks })
        }
        InstanceIdentity::Process { .. }
        | InstanceIdentity::AtRest(_)
        | InstanceIdentity::Container { .. } => None,
    }
}

/// A version's name in a sentence, and in keyroll's own records.
pub(super) fn version_name(which: Which) -> &'static str {
    match which {
        Which::Old => "old",
        Which::New => "new",
    }
}
