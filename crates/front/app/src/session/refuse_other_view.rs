//! Refuses to go on with a rotation in a PID namespace that does not show the processes that use its keys.

use keyroll_codes::Code;
use keyroll_observe::STATE_WHOLE_MACHINE;
use keyroll_port::Journal as _;
use keyroll_rotation::{HostId, InstanceIdentity, State, is_unmoved};

use super::options::ApplyOptions;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::recorded::{Opened, rotations_unread};
use crate::records::seen_from::{is_hidden, note};
use crate::wiring::open::{journal, runtime};

/// The machine that keyroll runs on.
const HERE: HostId = HostId(0);

/// Here no process of another PID namespace is listed, so each of them would count as ended, and the key that it uses could be
/// revoked. An emergency goes on: the old key is compromised.
///
/// # Errors
/// The rotation's processes were seen from another PID namespace of this boot, and not all of that is visible from here.
pub(super) fn refuse_other_view(
    opened: &Opened,
    asked: &ApplyOptions,
    places: &Places,
) -> Result<(), Problem> {
    let may_go_on = is_free(opened, asked) || opened.state.ended() || !has_processes(&opened.state);
    if may_go_on || !is_hidden(opened, places)? {
        return Ok(());
    }
    Err(Problem::new(Code::ProcessesHidden, "go on with the rotation in this PID namespace")
        .because("its processes were seen from another one, as of the machine or of another container: from here nothing shows whether they have ended")
        .mend(format!(
            "run the command there, or on the machine itself, which shows the processes of all containers. If nothing outside of \
             this container uses the secret, root of the container may state that: {STATE_WHOLE_MACHINE}"
        )))
}

/// The same under the lock: until then another driver may have moved a consumer. Whoever goes on with the rotation later has to see
/// what is seen from here too.
///
/// # Errors
/// Also if the state folder cannot be read or written.
pub(super) fn drive_from_here(opened: &Opened, asked: &ApplyOptions, places: &Places) -> Result<(), Problem> {
    refuse_other_view(opened, asked, places)?;
    if is_free(opened, asked) {
        return Ok(());
    }
    let all = runtime(places)?.block_on(journal(places)?.list()).map_err(rotations_unread)?;
    note(opened, &all, places)
}

/// Whether it goes on wherever it is: it only enables the old key, or ends a key that is compromised.
fn is_free(opened: &Opened, asked: &ApplyOptions) -> bool {
    asked.enables || asked.emergency.is_some() || opened.state.emergency().is_some()
}

/// Whether processes of this machine may use a key of the rotation: a look saw one, or a consumer was moved that does not fetch its
/// key by itself, which may have been restarted after the last look.
fn has_processes(state: &State) -> bool {
    let seen = state.look().into_iter().flat_map(|look| &look.seen.instances);
    let runs = |life| matches!(life, InstanceIdentity::Process { .. });
    let mut consumers = state.plan().consumers.iter().enumerate();
    seen.filter(|it| it.who.host == HERE).any(|it| runs(it.who.life))
        || consumers.any(|(at, it)| it.host == HERE && !it.follows_live() && !is_unmoved(state, at))
}
