//! What a rotation waived, and which declared bystanders may keep a value, as the operator reads it.

use keyroll_host::process_of;
use keyroll_rotation::{ConsumerId, HostId, State, Waived};

use super::blockers::described;
use super::bystanders;
use super::plan_names::Called;
use super::saved_plan::LeftOut;
use super::waivers::{UNSEEN_USER, Waivers};

/// What was waived and which declared bystanders were seen to hold a value, each with its reason.
pub fn waived_with_reasons(
    called: &Called,
    waivers: &Waivers,
    state: &State,
) -> Vec<(String, Option<String>)> {
    let (rotation, secret) = called.rotation();
    let recorded = |waived: &Waived| waivers.recorded(rotation, secret, *waived);
    let name = |waived: &Waived| match waived {
        Waived::Holder(who) if called.running_elsewhere(*who).is_some() => {
            called.running_elsewhere(*who).unwrap_or_default()
        }
        Waived::Holder(who) if called.unseen_pid(*who).is_some() => {
            format!("process {}", called.unseen_pid(*who).unwrap_or_default())
        }
        Waived::Holder(who) => match process_of(*who) {
            Some(id) => {
                let same = keyroll_observe::process(id.pid).is_ok_and(|now| now.id == id);
                let now = described(id.pid).filter(|_| same);
                let ended = || recorded(waived).map(|waiver| format!("{}, which has ended", waiver.place));
                now.or_else(ended).unwrap_or_else(|| format!("process {}, which has ended", id.pid))
            }
            None => "a job at rest".to_owned(),
        },
        Waived::Copy(digest) => {
            let place = waivers.place(*digest).or_else(|| called.undeclared(*digest));
            place.map_or_else(|| "a copy".to_owned(), |place| format!("the copy {place}"))
        }
        Waived::NotVisible(consumer) => {
            format!("evidence of {} that is not visible", called.consumer(*consumer))
        }
        Waived::BusySessions => "busy sessions on the old key".to_owned(),
        Waived::LastUse => UNSEEN_USER.to_owned(),
        Waived::Host(host) => host_left(called, state, *host),
        Waived::Gone(consumer) => format!("{}, which is gone", called.consumer(*consumer)),
        Waived::File(file) => format!("{} as it stands", called.file(*file)),
    };
    let reason = |waived: &Waived| recorded(waived).map(|waiver| waiver.reason.clone());
    let waived = state.waived().iter().map(|waived| (name(waived), reason(waived)));
    waived.chain(bystanders::kept(called, state)).collect()
}

/// A host that is away, with its consumers.
fn host_left(called: &Called, state: &State, host: HostId) -> String {
    let consumers = (0_u16..).zip(&state.plan().consumers).filter(|(_, it)| it.host == host);
    let mut names: Vec<String> = consumers.map(|(at, _)| called.consumer(ConsumerId(at))).collect();
    let name = called.host(host).unwrap_or_else(|| "this machine".to_owned());
    let left_out = called.left_out(&name).map(LeftOut::names).unwrap_or_default();
    names.extend(left_out.into_iter().map(|name| format!("`{name}`")));
    match names.is_empty() {
        true => format!("the host {name}, which is away and is not searched"),
        false => format!("the host {name}, which is away, with {}", names.join(" and ")),
    }
}

/// The same in one line each.
pub fn waived(called: &Called, waivers: &Waivers, state: &State) -> Vec<String> {
    let line = |(name, reason): (String, Option<String>)| match reason {
        Some(reason) => format!("{name}: {reason}"),
        None => name,
    };
    waived_with_reasons(called, waivers, state).into_iter().map(line).collect()
}
