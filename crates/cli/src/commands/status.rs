use std::thread;
use std::time::Duration;

use keyroll_journal::{SqliteJournal, Work};
use keyroll_port::{Journal as _, Overview};
use keyroll_rotation::{Emergency, Hold, Stage, State, Which};
use tokio::runtime::Runtime;

use crate::args::StatusArgs;
use crate::context::{Context, chosen_id, no_rotation, rotation_id};
use crate::driving::steps::awaited_back;
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::begun::{driver, held_by};
use crate::records::called::Called;
use crate::records::past::{moved_units, outcome};
use crate::records::waivers::Waivers;
use crate::records::{blocked, cause, old_key, reasons, recorded};
use crate::ui::{Event, OldKeyShown, Outcome, Phase, StatusShown, Table, UnitShown};
use crate::wiring::open;

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
            Some(_) => Err(no_rotation().because(why).help("keyroll plan SECRET makes a plan")),
            None => {
                context.ui.note(why);
                Ok(Exit::Done)
            }
        };
    }
    let runtime = open::runtime()?;
    let (journal, doubt) = open::journal_for_a_look(&places)?;
    let id = match &args.id {
        Some(id) => {
            let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
            let all = runtime.block_on(journal.list()).map_err(reading)?;
            Some(chosen_id(id, all.iter().map(|one| one.id.0.as_str()), no_rotation())?)
        }
        None => None,
    };
    let mut shown = Vec::new();
    loop {
        let rows = look(&runtime, &journal, &places, id.as_deref())?;
        if rows != shown {
            show(&rows, args.id.is_some(), context);
            shown = rows;
        }
        let exit = shown.iter().map(exit).max_by_key(|exit| exit.number()).unwrap_or(Exit::Done);
        if !args.watch || !driven(&shown, args.id.is_none(), &places) {
            if args.watch {
                undriven(&shown, context);
            }
            context.ui.settle();
            return doubt.map_or(Ok(exit), Err);
        }
        thread::sleep(Duration::from_millis(WATCH_MS));
    }
}

/// Whether anything may change: somebody drives what is shown, or is about to open a rotation.
fn driven(shown: &[StatusShown], all: bool, places: &Places) -> bool {
    let mut open = shown.iter().filter(|row| !row.ended).peekable();
    match open.peek() {
        Some(_) => open.any(|row| row.driver.is_some()),
        None => all && driver(places).is_some(),
    }
}

/// Why the watch is over, where something is open still.
fn undriven(shown: &[StatusShown], context: &mut Context) {
    for row in shown.iter().filter(|row| !row.ended) {
        let next = row.next.as_ref().map(|next| format!(": {next}")).unwrap_or_default();
        let id = &row.id;
        context.ui.note(format!("nobody drives {id}, and nothing changes until somebody does{next}"));
    }
}

/// No driver is 4 before the point of no return, 6 after it; something owed or explained is a person's.
fn exit(row: &StatusShown) -> Exit {
    match (row.ended, row.owes, row.driver) {
        (_, true, _) => Exit::NeedsPerson,
        (true, false, _) | (false, false, Some(_)) => Exit::Done,
        (false, false, None) if row.decided || row.person => Exit::NeedsPerson,
        (false, false, None) => Exit::Paused,
    }
}

fn next(row: &StatusShown, hold: Option<String>) -> Option<String> {
    match (hold, row.ended, row.owes, row.driver) {
        (_, _, true, _) => Some(format!("keyroll revoke {} --version previous", row.secret)),
        (_, true, false, _) => None,
        (_, false, false, Some(_)) => Some(format!("keyroll status -w {}", row.id)),
        (Some(command), false, false, None) => Some(command),
        (None, false, false, None) => Some(format!("keyroll resume {}", row.id)),
    }
}

fn look(
    runtime: &Runtime,
    journal: &SqliteJournal,
    places: &Places,
    id: Option<&str>,
) -> Result<Vec<StatusShown>, Problem> {
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    // The list is newest first.
    let all = runtime.block_on(journal.list()).map_err(reading)?;
    let held = held_by(places);
    let waivers = Waivers::load(places)?;
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
        // Whoever drives another one does not drive this.
        let its = |work: &Option<Work>| work.as_ref().is_none_or(|work| work.rotation == overview.id);
        let driver = held.as_ref().filter(|(_, work)| its(work)).map(|(pid, _)| pid.unwrap_or_default());
        let recorded = runtime.block_on(journal.load(&overview.id)).map_err(reading)?;
        match recorded::state_of(&recorded) {
            Ok(state) => {
                let called = Called::of(&recorded);
                let old_key = old_key::seen(&recorded, &state);
                let mut row = row(&overview, &called, &state, driver, old_key);
                row.blocked_by = blocked::all(&called, &state);
                row.waived = blocked::waived(&called, &waivers, &state);
                row.cause = cause::of(&recorded, &called);
                if let Some(back) = awaited_back(&recorded, &state, places) {
                    row.why = Some(match row.why.take() {
                        Some(why) => format!("{why}\n{back}"),
                        None => back,
                    });
                }
                rows.push(row);
            }
            Err(problem) if id.is_some() => return Err(problem),
            // One that cannot be read hides none of the others.
            Err(problem) => rows.push(unreadable(&overview, &problem)),
        }
    }
    Ok(rows)
}

/// When it was opened, for people.
fn began(overview: &Overview) -> String {
    old_key::clock(overview.unix_ms)
}

/// A rotation whose entries this version does not understand. Nothing is done with it.
fn unreadable(overview: &Overview, problem: &Problem) -> StatusShown {
    StatusShown {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: began(overview),
        phase: None,
        ended: !overview.open,
        owes: false,
        decided: false,
        emergency: None,
        moved: 0,
        units: Vec::new(),
        old_key: OldKeyShown { state: "unknown", since: None },
        driver: None,
        outcome: None,
        why: Some(format!("its journal cannot be read ({})", problem.code)),
        cause: None,
        person: true,
        blocked_by: Vec::new(),
        waived: Vec::new(),
        next: overview.open.then(|| format!("keyroll status {}", overview.id)),
    }
}

fn row(
    overview: &Overview,
    called: &Called,
    state: &State,
    driver: Option<u32>,
    old_key: OldKeyShown,
) -> StatusShown {
    let awaited = reasons::awaited(state, &overview.id.0, &overview.secret);
    let person = awaited.is_some();
    let hold = match state.hold() {
        _ if person => awaited,
        Some(hold @ (Hold::Paused(reason) | Hold::Stuck(reason))) => {
            let before = if let Hold::Paused(_) = hold { reasons::way_out(reason) } else { None };
            let next = before.unwrap_or_default() + &reasons::command(state, hold, &overview.id.0);
            Some((reasons::reason_text(called, state, reason), next))
        }
        None => None,
    };
    let (why, way) = hold.unzip();
    let units: Vec<UnitShown> = state
        .units()
        .iter()
        .zip(called.consumers())
        .map(|(unit, name)| UnitShown { name: name.to_owned(), stage: stage(unit.stage, unit.toward) })
        .collect();
    let moved = moved_units(state);
    let mut row = StatusShown {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: began(overview),
        phase: reasons::phase(state.phase()),
        ended: state.ended(),
        owes: state.debt().is_some(),
        decided: state.decided(),
        emergency: state.emergency().map(|mode| match mode {
            Emergency::RollFirst => "roll-first",
            Emergency::RevokeNow => "revoke-now",
        }),
        moved,
        units,
        old_key,
        // The lock is the folder's: whoever has it drives what is open and does not stand still.
        driver: driver.filter(|_| !state.ended() && state.hold().is_none()),
        outcome: outcome(state),
        why,
        cause: None,
        person: person || state.hold().is_some_and(reasons::needs_person),
        blocked_by: Vec::new(),
        waived: Vec::new(),
        next: None,
    };
    row.next = next(&row, way);
    row
}

/// Where one consumer is, in a word.
fn stage(stage: Stage, toward: Which) -> String {
    let way = match toward {
        Which::New => "the new key",
        Which::Old => "the old key",
    };
    match stage {
        Stage::Waiting => format!("waits to go to {way}"),
        Stage::Delivering => format!("its files are written with {way}"),
        Stage::Applying(_) => format!("is told to load {way}"),
        Stage::Proving(_) => format!("is asked to show {way}"),
        Stage::Settled => format!("on {way}"),
        Stage::Failed => format!("did not take {way}"),
    }
}

fn show(rows: &[StatusShown], details: bool, context: &mut Context) {
    if context.ui.look.json {
        return rows.iter().for_each(|row| events(row, context));
    }
    if rows.is_empty() {
        return context.ui.note("no rotation is open");
    }
    if details {
        for row in rows {
            context.ui.lines(&card(row).join("\n"));
        }
        return;
    }
    let mut table = Table::new(["ROTATION", "SECRET", "AT", "MOVED", "OLD KEY"]);
    for row in rows {
        let moved = format!("{}/{}", row.moved, row.units.len());
        let old_key = row.old_key.state.to_owned();
        table.row([row.id.clone(), row.secret.clone(), at(row).to_owned(), moved, old_key]);
    }
    let mut lines = table.lines().into_iter();
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (line, row) in lines.zip(rows) {
        text.push(line);
        let state = said(row);
        text.extend(state.map(|state| format!("  {state}")));
        text.extend(led(row).map(|(what, why)| format!("  {what}: {why}")));
        for holder in &row.blocked_by {
            let lines = holder.lines("blocked by ");
            text.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
        text.extend(row.next.as_ref().map(|next| format!("  next: {next}")));
    }
    context.ui.lines(&text.join("\n"));
}

fn at(row: &StatusShown) -> &'static str {
    row.outcome.map(Outcome::word).or(row.phase.map(crate::ui::Phase::word)).unwrap_or("-")
}

/// Whether it goes on, or why not; nothing of one that has ended well.
fn said(row: &StatusShown) -> Option<String> {
    match (row.outcome, &row.why, row.driver) {
        (Some(Outcome::Debt), _, _) => Some("the end of the old key is owed".to_owned()),
        (Some(_), _, _) => None,
        (None, Some(why), _) => Some(format!("stands still: {why}")),
        (None, None, Some(pid)) => Some(format!("driven by process {pid}")),
        (None, None, None) => Some("no driver".to_owned()),
    }
}

/// What led to where it stands, by what that is.
fn led(row: &StatusShown) -> Option<(&'static str, &String)> {
    let back = row.outcome == Some(Outcome::RolledBack) || row.phase == Some(Phase::RollingBack);
    row.cause.as_ref().map(|why| (if back { "went back" } else { "seen" }, why))
}

/// One rotation, with all that is known of it.
fn card(row: &StatusShown) -> Vec<String> {
    let mut table = Table::new(["rotation", row.id.as_str()]);
    let mut line = |name: &str, text: String| table.row([name.to_owned(), text]);
    line("secret", row.secret.clone());
    line("began", row.began.clone());
    line("at", at(row).to_owned());
    if let Some(said) = said(row) {
        line("state", said);
    }
    if let Some((what, why)) = led(row) {
        line(what, why.clone());
    }
    line("old key", row.old_key.text());
    if let Some(mode) = row.emergency {
        line("emergency", mode.to_owned());
    }
    let no_return = match (row.decided, row.ended) {
        (true, _) => Some("behind: there is no way back"),
        (false, false) if row.emergency.is_some() => {
            Some("there is no way back: the old value is compromised")
        }
        (false, false) => Some("ahead: keyroll abort takes it back"),
        (false, true) => None,
    };
    if let Some(no_return) = no_return {
        line("no return", no_return.to_owned());
    }
    for unit in &row.units {
        line("consumer", format!("{}: {}", unit.name, unit.stage));
    }
    for waived in &row.waived {
        line("waived", waived.clone());
    }
    if let Some(next) = &row.next {
        line("next", next.clone());
    }
    let mut lines = table.lines();
    for holder in &row.blocked_by {
        lines.extend(holder.lines("blocked by "));
    }
    lines
}

fn events(row: &StatusShown, context: &mut Context) {
    context.ui.event(Event::Rotation { id: row.id.clone(), secret: row.secret.clone() });
    if let Some(phase) = row.phase {
        context.ui.event(Event::Phase { phase });
    }
    context.ui.event(Event::Status(row.clone()));
    let resume_with = row.next.clone().unwrap_or_default();
    match &row.why {
        Some(reason) => context.ui.event(Event::Paused { reason: reason.clone(), resume_with }),
        None if !row.ended && row.driver.is_none() => {
            context.ui.event(Event::Paused { reason: "no driver".to_owned(), resume_with });
        }
        None => {}
    }
    if let Some(outcome) = row.outcome {
        context.ui.event(Event::Done { outcome });
    }
}
