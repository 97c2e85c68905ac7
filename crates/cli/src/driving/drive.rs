//! Drives a rotation in this process and shows it.

use keyroll_engine::{Command, Ending, Pace, Ports, Standing, run};
use keyroll_host::Complaints;
use keyroll_port::{Recorded, RotationId};
use keyroll_rotation::{Debt, Fact, Hold, OldKey, Overlap, Phase, State};
use tokio::sync::mpsc;

use super::by_hand::awaited;
use super::steps::Steps;
use super::watch::Watch;
use crate::exit::Exit;
use crate::interrupt;
use crate::problem::Problem;
use crate::records::called::Called;
use crate::records::gaps::Gaps;
use crate::records::old_key;
use crate::records::past::Past;
use crate::records::reasons::{self, command, reason_text};
use crate::records::waivers::Waivers;
use crate::ui::{Event, Outcome, Summary, Ui};

/// Words to the driver that may wait.
const COMMANDS_MAX: usize = 16;

/// How a drive was asked for.
pub(crate) struct Wishes {
    /// Consent to the end of the old key, by its name.
    pub(crate) confirmed: bool,
    /// Pause before this phase.
    pub(crate) until: Option<Phase>,
    /// What is told first: waivers, a resume, an abort.
    pub(crate) first: Vec<Fact>,
    /// What was waived by name before it was opened.
    pub(crate) waivers: Waivers,
    /// What failing checks say.
    pub(crate) complaints: Complaints,
    /// What a person does at the issuer's console.
    pub(crate) steps: Steps,
    /// Who is away while they are restarted.
    pub(crate) gaps: Gaps,
}

/// Drives it until it ends, stands still or needs a person, and says how it ended.
pub(crate) async fn drive(
    ports: Ports,
    id: &RotationId,
    secret: &str,
    names: Vec<Vec<String>>,
    wishes: Wishes,
    ui: &mut Ui,
) -> Result<Exit, Problem> {
    let opened = ports.journal.load(id).await.map_err(|error| driving().because_of(&error))?;
    // Nobody reads before the drive begins: what is told first, and a word to pause, have room of their own.
    let (tell, commands) = mpsc::channel(COMMANDS_MAX.saturating_add(wishes.first.len()).saturating_add(1));
    for fact in wishes.first {
        tell.send(Command::Tell(fact)).await.map_err(|error| driving().because_of(&error))?;
    }
    // One that was asked to stop before it began begins nothing but its pause.
    if interrupt::is_asked() {
        listen(tell.clone()).await;
    }
    let listener = tokio::spawn(listen(tell.clone()));
    let journal = ports.journal.clone();
    let prompted = wishes.steps.prompted;
    let called = (Called::of(&opened), wishes.waivers, wishes.complaints, wishes.steps, wishes.gaps);
    let mut watch = Watch::new(
        ui,
        (id.0.clone(), secret.to_owned()),
        names,
        called,
        wishes.confirmed,
        wishes.until,
        tell,
    );
    let ending = run(ports, id.clone(), Pace::default(), commands, &mut watch).await;
    listener.abort();
    let residues = watch.residues();
    let blocked = watch.blocked_by();
    let (not_there_s, gaps) = (watch.gap_s(), watch.gaps());
    let interrupted = interrupt::is_asked();
    let (exit, outcome, state) = judge(ending, interrupted, id)?;
    let recorded = journal.load(id).await.map_err(|error| driving().because_of(&error))?;
    // Whoever is asked for the key in a moment is not told first that it waits for them.
    if prompted && awaited(&state) && state.hold().is_none() && !interrupted {
        ui.settle();
        return Ok(exit);
    }
    // A debt does not hold the secret: it is paid by `resume` or `revoke`, also after further rotations.
    if state.ended() {
        journal.close(id).await.map_err(|error| driving().because_of(&error))?;
    }
    if let Some((reason, resume_with)) = reasons::awaited(&state, &id.0, secret) {
        ui.event(Event::Paused { reason, resume_with });
    } else if let Some(hold) = state.hold() {
        show_hold(ui, &recorded, &state, hold, id);
    }
    if interrupted {
        show_stopped(ui, &recorded, &state, id);
    }
    if state.ended() {
        residues.iter().cloned().for_each(|residue| ui.event(Event::Residue(residue)));
        ui.event(Event::Done { outcome });
    }
    ui.event(Event::Summary(Summary {
        gaps,
        blocked_by: blocked,
        residues,
        ..summary(&recorded, &state, outcome, not_there_s)
    }));
    ui.settle();
    Ok(exit)
}

/// What its journal and its state tell of the whole.
fn summary(recorded: &Recorded, state: &State, outcome: Outcome, not_there_s: Option<f64>) -> Summary {
    let past = Past::of(recorded);
    // Where the new value ends the old one, its users have none that works until they have moved.
    let exchange_s = past.mint_to_last_moved_s.filter(|_| state.plan().capabilities.overlap == Overlap::None);
    Summary {
        outcome,
        requests: None,
        failed: None,
        mint_to_last_moved_s: past.mint_to_last_moved_s,
        gap_s: [not_there_s, exchange_s].into_iter().flatten().reduce(f64::max),
        gaps: Vec::new(),
        dead_confirmed: state.phase() == Phase::Done
            && state.debt().is_none()
            && state.old_key() == OldKey::Ended,
        old_kept: !state.plan().aim.ends_old(),
        blocked_by: None,
        residues: Vec::new(),
        emergency: past.emergency,
    }
}

fn driving() -> Problem {
    Problem::new("K0834", "drive the rotation")
}

/// Asked to stop, also before it was driven, it pauses: nothing is lost.
async fn listen(tell: mpsc::Sender<Command>) {
    interrupt::asked().await;
    // A driver that has ended meanwhile needs no word.
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
            let help = format!(
                "once the journal can be written: keyroll resume {id}; it finds out what became of each step"
            );
            return Err(driving().because_of(&error).help(help).exits(Exit::NeedsPerson));
        }
        Ending::Impossible(seq, illegal) => {
            return Err(driving()
                .because(format!("entry {seq} of the journal cannot follow from those before it"))
                .because_of(&illegal)
                .exits(Exit::NeedsPerson));
        }
        Ending::Plan(defect) => {
            return Err(driving().because(format!("the plan in the journal is not sound: {defect}")));
        }
    };
    Ok(match standing {
        Standing::Ended => {
            let (exit, outcome) = ended(&state);
            (exit, outcome, state)
        }
        Standing::Held(_) if interrupted => (Exit::Interrupted, Outcome::Paused, state),
        Standing::Held(hold @ Hold::Paused(_)) if !reasons::needs_person(hold) => {
            (Exit::Paused, Outcome::Paused, state)
        }
        Standing::Held(Hold::Paused(_)) => (Exit::NeedsPerson, Outcome::Paused, state),
        Standing::Held(Hold::Stuck(_)) => (Exit::NeedsPerson, Outcome::Stuck, state),
        Standing::Person(_) | Standing::Driving => (Exit::NeedsPerson, Outcome::Paused, state),
        Standing::Lost => {
            return Err(driving()
                .because("another driver has taken it over")
                .help(format!("keyroll status -w {id}"))
                .exits(Exit::Held));
        }
    })
}

fn ended(state: &State) -> (Exit, Outcome) {
    match (state.phase(), state.debt()) {
        (Phase::Done, None) => (Exit::Done, Outcome::Done),
        (Phase::Done, Some(Debt::NotDead | Debt::NotRevoked)) => (Exit::NeedsPerson, Outcome::Debt),
        // Nothing was minted: nothing was changed.
        _ if state.minted().is_none() => (Exit::Failed, Outcome::RolledBack),
        _ => (Exit::RolledBack, Outcome::RolledBack),
    }
}

/// What stands where it was asked to stop.
fn show_stopped(ui: &mut Ui, recorded: &Recorded, state: &State, id: &RotationId) {
    if state.ended() {
        return;
    }
    if state.hold().is_none() {
        ui.event(Event::Paused {
            reason: "it was asked to stop".to_owned(),
            resume_with: format!("keyroll resume {id}"),
        });
    }
    ui.note(old_key::keys(recorded, state));
}

fn show_hold(ui: &mut Ui, recorded: &Recorded, state: &State, hold: Hold, id: &RotationId) {
    let (Hold::Paused(reason) | Hold::Stuck(reason)) = hold;
    let text = reason_text(&Called::of(recorded), state, reason);
    ui.event(Event::Paused { reason: text, resume_with: command(state, hold, &id.0) });
}
