//! Drives a rotation in this process and shows it.

use keyroll_codes::Code;
use keyroll_engine::{Command, DriverState, Ending, Pace, Ports, run};
use keyroll_port::{Recorded, RotationId};
use keyroll_rotation::{Debt, Fact, Hold, OldKey, Overlap, Phase, Reason, State};
use tokio::sync::mpsc;

use super::manual_mint::awaited;
use super::options::DriveOptions;
use super::watch::Watch;
use crate::exit::Exit;
use crate::interrupt;
use crate::operator::{Event, Operator, Outcome, Residue, Summary};
use crate::problem::Problem;
use crate::records::hosts_left::HostsLeft;
use crate::records::past::{Past, is_only_said};
use crate::records::plan_names::Called;
use crate::records::reasons::reason_text;
use crate::records::recorded::state_of;
use crate::records::waivers::Waivers;
use crate::records::ways::ways;
use crate::records::{blockers, old_key, processes_outside, reasons, remembered_names};

/// The most operator events that may wait for the driver.
const COMMANDS_MAX: usize = 16;

/// Drives a rotation until it ends, pauses or needs the operator; returns how it ended.
pub(crate) async fn drive(
    ports: Ports,
    id: &RotationId,
    secret: &str,
    names: Vec<Vec<String>>,
    mut options: DriveOptions,
    operator: &mut dyn Operator,
) -> Result<Exit, Problem> {
    let opened = ports.journal.load(id).await.map_err(|error| driving().because_of(&error))?;
    // The driver reads only once it runs, so the channel has room for the first events and a request to pause.
    let (tell, commands) = mpsc::channel(COMMANDS_MAX.saturating_add(options.first.len()).saturating_add(1));
    let now = state_of(&opened).ok();
    let called = remembered_names::called(ports.journal.as_ref(), &opened, now.as_ref()).await;
    let escalates = options.first.iter().any(|fact| matches!(fact, Fact::Escalated { .. }));
    if escalates || now.as_ref().is_some_and(|state| state.emergency().is_some()) {
        processes_outside::remember(ports.journal.as_ref(), id).await;
    }
    let before = now.filter(|_| options.first.iter().any(goes_on));
    for fact in std::mem::take(&mut options.first) {
        tell.send(Command::Tell(fact)).await.map_err(|error| driving().because_of(&error))?;
    }
    // A driver that was asked to stop before it began only pauses.
    if interrupt::is_asked() {
        listen(tell.clone()).await;
    }
    let listener = tokio::spawn(listen(tell.clone()));
    let journal = ports.journal.clone();
    let (prompted, waivers) = (options.steps.prompted, options.waivers.clone());
    let mut watch = Watch::new(operator, id, secret, names, called, options, tell);
    watch.goes_on_from(&opened, before.and_then(|state| state.hold()));
    let ending = run(ports, id.clone(), Pace::default(), commands, &mut watch).await;
    listener.abort();
    let residues = watch.residues();
    let blocked = watch.blocked_by();
    let (not_there_s, downtimes, unwritten) = (watch.downtime_s(), watch.downtimes(), watch.is_unwritten());
    let interrupted = interrupt::is_asked();
    let (exit, outcome, state) = judge(ending, interrupted, id)?;
    let recorded = journal.load(id).await.map_err(|error| driving().because_of(&error))?;
    // If the operator is about to be asked for the key, do not first show that the rotation waits for it.
    if prompted && awaited(&state) && state.hold().is_none() && !interrupted {
        operator.settle();
        return Ok(exit);
    }
    // A debt does not block the secret: `resume` or `revoke` settles it, also after further rotations.
    if state.ended() {
        journal.close(id).await.map_err(|error| driving().because_of(&error))?;
    }
    let called = remembered_names::called(journal.as_ref(), &recorded, Some(state.as_ref())).await;
    show_paused(operator, &called, &state);
    if state.hold() != Some(Hold::Paused(Reason::RefusedUse)) && old_key::is_enabled_again(&recorded, &state)
    {
        operator.note(old_key::ENABLED_AGAIN.to_owned());
    }
    if interrupted {
        show_stopped(operator, &called, (&recorded, state.as_ref()), unwritten);
    }
    if state.ended() {
        show_end(operator, (&recorded, state.as_ref()), &waivers, &residues);
        operator.event(Event::Done { outcome });
    }
    operator.event(Event::Summary(Summary {
        downtimes,
        blocked_by: blocked,
        residues,
        ..summary((&recorded, &called), &state, outcome, not_there_s)
    }));
    operator.settle();
    Ok(exit)
}

/// The events of the operator that end a hold.
fn goes_on(fact: &Fact) -> bool {
    matches!(fact, Fact::Resumed | Fact::AbortAsked | Fact::Escalated { .. } | Fact::HandRevoked)
}

/// The summary, from the journal and the state.
fn summary(
    (recorded, called): (&Recorded, &Called),
    state: &State,
    outcome: Outcome,
    not_there_s: Option<f64>,
) -> Summary {
    let past = Past::of(recorded).with_outside(called.outside());
    // If minting revokes the old value, consumers have no working value until they have moved.
    let exchange_s = past.mint_to_last_moved_s.filter(|_| state.plan().capabilities.overlap == Overlap::None);
    let kept = !state.plan().aim.ends_old();
    Summary {
        outcome,
        requests: None,
        failed: None,
        mint_to_last_moved_s: past.mint_to_last_moved_s,
        downtime_s: [not_there_s, exchange_s].into_iter().flatten().reduce(f64::max),
        downtimes: Vec::new(),
        dead_confirmed: !is_only_said(recorded) && saw_dead(state.phase(), state.debt(), state.old_key()),
        old_kept: kept && state.old_key() != OldKey::Ended,
        blocked_by: None,
        residues: Vec::new(),
        emergency: past.emergency,
    }
}

/// Whether the old key was seen dead. With a debt that only lacks a complete list of the keys it was.
fn saw_dead(phase: Phase, debt: Option<Debt>, old: OldKey) -> bool {
    phase == Phase::Done && old == OldKey::Ended && matches!(debt, None | Some(Debt::NotListed))
}

fn driving() -> Problem {
    Problem::new(Code::Stopped, "drive the rotation")
}

/// A request to stop pauses the rotation, also one that came before the drive.
async fn listen(tell: mpsc::Sender<Command>) {
    interrupt::asked().await;
    // A driver that has ended needs no event.
    let _ = tell.send(Command::Tell(Fact::PauseAsked)).await;
    let _ = tell.send(Command::Leave).await;
}

fn judge(ending: Ending, interrupted: bool, id: &RotationId) -> Result<(Exit, Outcome, Box<State>), Problem> {
    let (standing, state) = match ending {
        Ending::At(standing, state) => (standing, state),
        Ending::Left(state) => {
            let exit = if interrupted { Exit::Interrupted } else { Exit::Paused };
            return Ok((exit, Outcome::Paused, state));
        }
        Ending::Journal(error) => {
            let mend = "make the journal writable again: the next driver finds out what each step did";
            return Err(driving().because_of(&error).mend(mend).exits(Exit::NeedsPerson));
        }
        Ending::Impossible(seq, illegal) => {
            return Err(driving()
                .because(format!("entry {seq} of the journal contradicts the entries before it"))
                .because_of(&illegal)
                .exits(Exit::NeedsPerson));
        }
        Ending::Plan(defect) => {
            return Err(driving().because(format!("the plan in the journal is not valid: {defect}")));
        }
    };
    Ok(match standing {
        DriverState::Ended => {
            let (exit, outcome) = ended(&state);
            (exit, outcome, state)
        }
        DriverState::Held(_) if interrupted => (Exit::Interrupted, Outcome::Paused, state),
        DriverState::Held(hold @ Hold::Paused(_)) if !reasons::needs_person(hold) => {
            (Exit::Paused, Outcome::Paused, state)
        }
        DriverState::Held(Hold::Paused(_)) => (Exit::NeedsPerson, Outcome::Paused, state),
        DriverState::Held(Hold::Stuck(_)) => (Exit::NeedsPerson, Outcome::Stuck, state),
        DriverState::Person(_) | DriverState::Driving => (Exit::NeedsPerson, Outcome::Paused, state),
        DriverState::Lost => {
            return Err(driving()
                .because("another driver took the rotation over")
                .help(format!("keyroll status -w {id}"))
                .exits(Exit::Held));
        }
    })
}

fn ended(state: &State) -> (Exit, Outcome) {
    match (state.phase(), state.debt()) {
        (Phase::Done, None) => (Exit::Done, Outcome::Done),
        (Phase::Done, Some(Debt::NotDead | Debt::NotRevoked | Debt::NotListed)) => {
            (Exit::NeedsPerson, Outcome::Debt)
        }
        _ if state.minted().is_none() => (Exit::Failed, Outcome::RolledBack),
        _ => (Exit::RolledBack, Outcome::RolledBack),
    }
}

/// What is shown for a rotation that was asked to stop.
fn show_stopped(
    operator: &mut dyn Operator,
    called: &Called,
    (recorded, state): (&Recorded, &State),
    unwritten: bool,
) {
    if state.ended() {
        return;
    }
    if state.hold().is_none() {
        let reason = match unwritten {
            true => {
                "it was asked to stop while the journal could not be written: the next driver finds out what the last steps did"
            }
            false => "it was asked to stop",
        };
        operator.event(Event::Paused { reason: reason.to_owned(), resume_with: next(called, state) });
    }
    operator.note(old_key::keys(recorded, state));
}

/// What is left behind: copies of the dead value, files that nobody asks about, and hosts that were waived and not seen again.
fn show_end(
    operator: &mut dyn Operator,
    (recorded, state): (&Recorded, &State),
    waivers: &Waivers,
    residues: &[Residue],
) {
    residues.iter().cloned().for_each(|residue| operator.event(Event::Residue(residue)));
    let called = Called::of(recorded);
    state.files_left().into_iter().for_each(|file| operator.note(left_file(&called.file(file), state)));
    let left = HostsLeft::of(recorded).away(&called, waivers, state);
    left.into_iter().for_each(|host| operator.event(Event::HostLeft(host)));
}

/// A file that was accepted as it stands, or that could not be restored for a consumer that has gone.
fn left_file(path: &str, state: &State) -> String {
    let stays = if state.phase() == Phase::RolledBack { "old" } else { "new" };
    format!(
        "{path} was left as it stands, and is not seen to hold the {stays} key: write that key into it, or what reads it next \
         loses access"
    )
}

/// Why a rotation is paused or stuck, or what it waits for from the operator.
fn show_paused(operator: &mut dyn Operator, called: &Called, state: &State) {
    let held = || state.hold().map(|hold| reason_text(called, state, hold.reason()));
    let reason = reasons::awaited(state).map(str::to_owned).or_else(held);
    if let Some(reason) = reason {
        operator.event(Event::Paused { reason, resume_with: next(called, state) });
    }
}

/// What continues it: the sentence that its status has.
fn next(called: &Called, state: &State) -> String {
    let blocked = !blockers::all(called, state).is_empty();
    ways(called, state, false, blocked).map(|ways| ways.next).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use keyroll_rotation::{Aim, Plan};

    use super::*;
    use crate::records::recorded::of_walk;
    use crate::records::walk::{Walk, plan};

    /// Red where the statement about a shared key is shown as a sight of its end, or the key as one that lives.
    #[test]
    fn the_end_of_a_shared_key_that_was_only_said_is_shown_neither_as_seen_nor_as_alive() {
        let mut walk = Walk::of(Plan { aim: Aim::Part, ..plan() });
        walk.until(|state| state.phase() == Phase::Quiesce);
        walk.say(Fact::AbortAsked);
        walk.wait(walk.state.plan().policy.phase_ms_max * 2);
        walk.say(Fact::HandRevoked);
        walk.until(State::ended);
        let called = Called::of_rotation("0192", "acme");
        let shown = summary((&of_walk(&walk), &called), &walk.state, Outcome::Done, None);
        assert!(!shown.dead_confirmed && !shown.old_kept, "{shown:?}");
    }

    #[test]
    fn a_key_that_was_seen_dead_is_reported_as_dead_whatever_the_list_lacks() {
        for (debt, seen) in [
            (None, true),
            (Some(Debt::NotListed), true),
            (Some(Debt::NotDead), false),
            (Some(Debt::NotRevoked), false),
        ] {
            assert_eq!(saw_dead(Phase::Done, debt, OldKey::Ended), seen, "{debt:?}");
        }
        assert!(!saw_dead(Phase::Done, None, OldKey::On));
        assert!(!saw_dead(Phase::RolledBack, None, OldKey::Ended));
    }
}
