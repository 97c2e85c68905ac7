use std::thread;
use std::time::Duration;

use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Overview};
use keyroll_rotation::{Hold, Person, Phase, Reason, State, Want, wants};
use tokio::runtime::Runtime;

use crate::args::StatusArgs;
use crate::context::{Context, rotation_id};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::ui::{Event, Outcome, Table};
use crate::wiring::begun::driver;
use crate::wiring::called::Called;
use crate::wiring::{drive, holds, open, watch};

/// Between two looks of `--watch`, milliseconds.
const WATCH_MS: u64 = 500;
/// Ended rotations that are listed besides the open ones.
const ENDED_SHOWN_MAX: usize = 5;

/// Shows what is open, who holds what, and what to do next. It never drives.
pub(super) fn run(args: &StatusArgs, context: &mut Context) -> Result<Exit, Problem> {
    args.id.as_deref().map_or(Ok(()), rotation_id)?;
    let places = context.places()?;
    if !places.journal().exists() {
        let why = format!("no rotation was ever begun here ({})", places.state.display());
        return match &args.id {
            Some(_) => Err(finding().because(why)),
            None => {
                context.ui.note(why);
                Ok(Exit::Done)
            }
        };
    }
    let runtime = open::runtime()?;
    let journal = open::journal(&places)?;
    let mut shown = Vec::new();
    loop {
        let rows = look(&runtime, &journal, &places, args.id.as_deref())?;
        if rows != shown {
            show(&rows, context);
            shown = rows;
        }
        let exit = shown.iter().map(Row::exit).max_by_key(|exit| exit.number()).unwrap_or(Exit::Done);
        let driven = shown.iter().any(|row| !row.ended && row.driver.is_some());
        if !args.watch || !driven {
            context.ui.settle();
            return Ok(exit);
        }
        thread::sleep(Duration::from_millis(WATCH_MS));
    }
}

fn finding() -> Problem {
    Problem::new("K0807", "find the rotation")
}

/// One rotation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    id: String,
    secret: String,
    began: String,
    phase: Phase,
    ended: bool,
    owes: bool,
    decided: bool,
    /// Consumers on the new version, of all.
    moved: (usize, usize),
    /// The process that drives it; 0 = one that did not say.
    driver: Option<u32>,
    /// Why it stands still, and the command that continues it.
    hold: Option<(String, String)>,
    /// It does not go on by resuming alone.
    person: bool,
}

impl Row {
    /// No driver is 4 before the point of no return, 6 after it; something owed or explained is a person's.
    fn exit(&self) -> Exit {
        match (self.ended, self.owes, self.driver) {
            (_, true, _) => Exit::NeedsPerson,
            (true, false, _) | (false, false, Some(_)) => Exit::Done,
            (false, false, None) if self.decided || self.person => Exit::NeedsPerson,
            (false, false, None) => Exit::Paused,
        }
    }

    fn next(&self) -> String {
        match (&self.hold, self.ended, self.owes, self.driver) {
            (_, _, true, _) => format!("keyroll revoke {} --version previous", self.secret),
            (_, true, false, _) => String::new(),
            (_, false, false, Some(_)) => format!("keyroll status -w {}", self.id),
            (Some((_, command)), false, false, None) => command.clone(),
            (None, false, false, None) => format!("keyroll resume {}", self.id),
        }
    }
}

fn look(
    runtime: &Runtime,
    journal: &SqliteJournal,
    places: &Places,
    id: Option<&str>,
) -> Result<Vec<Row>, Problem> {
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    // The list is newest first.
    let all = runtime.block_on(journal.list()).map_err(reading)?;
    let driver = driver(places);
    let mut rows = Vec::new();
    let mut ended = 0;
    for overview in all {
        match id {
            Some(id) if overview.id.0 != id => continue,
            Some(_) => {}
            None if overview.open => {}
            None => {
                ended += 1;
                if ended > ENDED_SHOWN_MAX {
                    continue;
                }
            }
        }
        let recorded = runtime.block_on(journal.load(&overview.id)).map_err(reading)?;
        match drive::state_of(&recorded) {
            Ok(state) => rows.push(row(&overview, &Called::of(&recorded), &state, driver)),
            Err(problem) if id.is_some() => return Err(problem),
            // One that cannot be read hides none of the others.
            Err(problem) => rows.push(unreadable(&overview, &problem)),
        }
    }
    match id.is_some() && rows.is_empty() {
        true => Err(finding().because("no rotation has this id").help("keyroll status shows the ids of all")),
        false => Ok(rows),
    }
}

/// When it was opened, for people.
fn began(overview: &Overview) -> String {
    let began =
        i64::try_from(overview.unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    began.map(|at| at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()).unwrap_or_default()
}

/// A rotation whose entries this version does not understand. Nothing is done with it.
fn unreadable(overview: &Overview, problem: &Problem) -> Row {
    let why = format!("its journal cannot be read ({})", problem.code);
    Row {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: began(overview),
        phase: Phase::Preflight,
        ended: !overview.open,
        owes: false,
        decided: false,
        moved: (0, 0),
        driver: None,
        hold: overview.open.then(|| (why, format!("keyroll status {}", overview.id))),
        person: true,
    }
}

fn row(overview: &Overview, called: &Called, state: &State, driver: Option<u32>) -> Row {
    let consent = wants(state).iter().any(|want| matches!(want, Want::Person(Person::Consent(_))));
    let confirm = || format!("keyroll resume {} --confirm={}", overview.id, overview.secret);
    let hold = match state.hold() {
        Some(Hold::Paused(Reason::Consent)) => Some((watch::CONSENT.to_owned(), confirm())),
        Some(hold @ (Hold::Paused(reason) | Hold::Stuck(reason))) => {
            let before = if let Hold::Paused(_) = hold { holds::way_out(reason) } else { None };
            let next = before.unwrap_or_default() + &holds::command(state, hold, &overview.id.0);
            Some((holds::reason_text(called, state, reason), next))
        }
        None if consent => Some((watch::CONSENT.to_owned(), confirm())),
        None => None,
    };
    let moved = state.units().iter().filter(|unit| {
        unit.stage == keyroll_rotation::Stage::Settled && unit.toward == keyroll_rotation::Which::New
    });
    Row {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: began(overview),
        phase: state.phase(),
        ended: state.ended(),
        owes: state.debt().is_some(),
        decided: state.decided(),
        moved: (moved.count(), state.units().len()),
        // The lock is the folder's: whoever has it drives what is open and does not stand still.
        driver: driver.filter(|_| !state.ended() && state.hold().is_none()),
        hold,
        person: consent || state.hold().is_some_and(drive::needs_person),
    }
}

fn show(rows: &[Row], context: &mut Context) {
    if context.ui.look.json {
        for row in rows {
            context.ui.event(Event::Rotation { id: row.id.clone(), secret: row.secret.clone() });
            if let Some(phase) = watch::phase(row.phase) {
                context.ui.event(Event::Phase { phase });
            }
            match &row.hold {
                Some((reason, resume_with)) => {
                    let (reason, resume_with) = (reason.clone(), resume_with.clone());
                    context.ui.event(Event::Paused { reason, resume_with });
                }
                None if !row.ended && row.driver.is_none() => {
                    context
                        .ui
                        .event(Event::Paused { reason: "no driver".to_owned(), resume_with: row.next() });
                }
                None => {}
            }
            if let Some(outcome) = outcome(row) {
                context.ui.event(Event::Done { outcome });
            }
        }
        return;
    }
    if rows.is_empty() {
        return context.ui.note("no rotation is open");
    }
    let mut table = Table::new(["ROTATION", "SECRET", "BEGAN", "PHASE", "MOVED", "STATE", "NEXT"]);
    for row in rows {
        let phase = watch::phase(row.phase).map_or_else(String::new, |phase| phase.word().to_owned());
        let state = match (outcome(row), &row.hold, row.driver) {
            (Some(outcome), _, _) => outcome.word().to_owned(),
            (None, Some((reason, _)), _) => format!("stands still: {reason}"),
            (None, None, Some(pid)) => format!("driven by process {pid}"),
            (None, None, None) => "no driver".to_owned(),
        };
        let moved = format!("{}/{}", row.moved.0, row.moved.1);
        table.row([row.id.clone(), row.secret.clone(), row.began.clone(), phase, moved, state, row.next()]);
    }
    context.ui.data(&table.lines().join("\n"));
}

fn outcome(row: &Row) -> Option<Outcome> {
    match (row.phase, row.owes) {
        (_, true) => Some(Outcome::Debt),
        (Phase::RolledBack, false) => Some(Outcome::RolledBack),
        (Phase::Done, false) => Some(Outcome::Done),
        _ => None,
    }
}
