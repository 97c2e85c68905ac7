//! Finds the secret that a command about a process or copy refers to.

use keyroll_codes::Code;
use keyroll_config::{Config, Secret};
use keyroll_port::RotationId;
use keyroll_rotation::{Hold, Incarnation, Next, Reason, State, Waived, way};

use super::blockers;
use super::index::Index;
use super::plan_names::Called;
use super::recorded::rotations_unread;
use super::remembered_names;
use super::waivers::{BUSY_SESSIONS, LAST_USE};
use crate::configured::{only_secret, secret};
use crate::operator::Holder;
use crate::places::Places;
use crate::problem::Problem;
use crate::wiring::open::{journal, runtime};

/// An open rotation, and whether the process blocks it.
struct Open {
    id: RotationId,
    secret: String,
    blocked: bool,
}

/// The named secret, the only configured secret, or the secret of the only open rotation that the process blocks.
pub fn meant<'a>(
    config: &'a Config,
    named: Option<&str>,
    holder: &str,
    places: &Places,
) -> Result<&'a Secret, Problem> {
    if named.is_some() || config.secrets.len() <= 1 || !places.journal().exists() {
        return only_secret(config, named);
    }
    let open = open(places, holder)?;
    let mut blocked = open.iter().filter(|one| one.blocked);
    match (blocked.next(), blocked.next()) {
        (Some(one), None) => return secret(config, &one.secret),
        (None, _) if open.is_empty() => return only_secret(config, None),
        (None | Some(_), _) => {}
    }
    let said: Vec<String> = open.iter().map(|one| format!("{} of {}", one.id, one.secret)).collect();
    let flags: Vec<String> = open.iter().map(|one| format!("--secret {}", one.secret)).collect();
    Err(Problem::new(Code::NameNotFound, "find the rotation")
        .because(format!("open here: {}", said.join(", ")))
        .help(format!("run the same command with {}", flags.join(" or "))))
}

fn open(places: &Places, holder: &str) -> Result<Vec<Open>, Problem> {
    let (journal, runtime) = (journal(places)?, runtime(places)?);
    let index = runtime.block_on(Index::read(&journal)).map_err(rotations_unread)?;
    let open = index.iter().map(|one| {
        let called = remembered_names::called(&*journal, &one.recorded, one.state.as_ref());
        let called = runtime.block_on(called);
        let blocked = one.state.as_ref().is_some_and(|state| blocks(&called, state, holder));
        Open { id: one.id().clone(), secret: one.secret().to_owned(), blocked }
    });
    Ok(open.collect())
}

fn blocks(called: &Called, state: &State, holder: &str) -> bool {
    if holder == LAST_USE {
        return state.hold() == Some(Hold::Paused(Reason::LastUseNotShown));
    }
    if holder == BUSY_SESSIONS {
        let waived = Next::Waive(Waived::BusySessions);
        let ways = way(state).map(|way| way.forward).unwrap_or_default();
        return ways.iter().any(|step| step.then.contains(&waived));
    }
    let (host, pid) = match holder.rsplit_once(':') {
        Some((host, pid)) => (Some(host), pid),
        None => (None, holder),
    };
    let Ok(pid) = pid.parse::<u32>() else { return pod_blocks(called, state, holder) };
    let is_it = |who: Incarnation| who.pid() == Some(pid) && called.host(who.host).as_deref() == host;
    let held = matches!(state.hold(), Some(Hold::Paused(Reason::Holder(who))) if is_it(who));
    let blocks = |holder: &Holder| holder.pid == Some(pid) && holder.host.as_deref() == host;
    held || blockers::all(called, state).iter().any(blocks)
}

/// Whether a container blocks, by its name.
fn pod_blocks(called: &Called, state: &State, holder: &str) -> bool {
    let Some((host, name)) = holder.split_once(':') else { return false };
    let is_it = |who: Incarnation| called.elsewhere(who).as_deref() == Some(holder);
    let held = matches!(state.hold(), Some(Hold::Paused(Reason::Holder(who))) if is_it(who));
    let shown = format!("{name} on {host}");
    let blocks = |one: &Holder| one.pid.is_none() && one.host.as_deref() == Some(host) && one.name == shown;
    held || blockers::all(called, state).iter().any(blocks)
}
