use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Overview};
use tokio::runtime::Runtime;

use crate::args::HistoryArgs;
use crate::context::{Context, secret};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::gaps::{Gaps, Measured};
use crate::records::past::{Past, outcome};
use crate::records::saved::Saved;
use crate::records::{old_key, reasons};
use crate::ui::{Event, GapShown, PastShown, Table, spent};
use crate::wiring::open;

/// How many rotations are shown where `--all` does not ask for more.
const SHOWN_MAX: usize = 20;

/// Shows the rotations of this machine, the newest first, from their journal: how each ended, and how long it took.
pub(super) fn run(args: &HistoryArgs, context: &mut Context) -> Result<Exit, Problem> {
    let places = context.places()?;
    if !places.journal().exists() {
        context.ui.note(format!("no rotation was ever begun here ({})", places.state.display()));
        return Ok(Exit::Done);
    }
    let runtime = open::runtime()?;
    let (journal, doubt) = open::journal_for_a_look(&places)?;
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let mut all = runtime.block_on(journal.list()).map_err(reading)?;
    all.retain(|one| args.secret.as_ref().is_none_or(|name| *name == one.secret));
    // One that is in no configuration any more has a past too; a name without one may be mistyped.
    if let Some(name) = args.secret.as_ref().filter(|_| all.is_empty()) {
        secret(&context.config()?, name)?;
    }
    let more = if args.all { 0 } else { all.len().saturating_sub(SHOWN_MAX) };
    all.truncate(all.len() - more);
    let measured = Measured::all(&places);
    let mut rows = Vec::new();
    for overview in &all {
        rows.push(row(&runtime, &journal, overview, (&measured, &places))?);
    }
    show(rows, context);
    if more > 0 {
        context.ui.note(format!("{more} older: keyroll history --all"));
    }
    doubt.map_or(Ok(Exit::Done), Err)
}

fn row(
    runtime: &Runtime,
    journal: &SqliteJournal,
    overview: &Overview,
    (measured, places): (&[Measured], &Places),
) -> Result<PastShown, Problem> {
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let recorded = runtime.block_on(journal.load(&overview.id)).map_err(reading)?;
    let past = Past::of(&recorded);
    let state = past.state.as_ref();
    let old_key = state.map(|state| old_key::seen(&recorded, state).text());
    Ok(PastShown {
        id: overview.id.to_string(),
        secret: overview.secret.clone(),
        began: old_key::clock(overview.unix_ms),
        outcome: state.and_then(outcome),
        phase: state.and_then(|state| reasons::phase(state.phase())),
        took_s: past.all_s,
        mint_to_last_moved_s: past.mint_to_last_moved_s,
        mint_to_dead_s: past.mint_to_dead_s,
        emergency: past.emergency,
        gaps: Saved::of(&recorded).map_or_else(|_| Vec::new(), |saved| Gaps::past(measured, places, &saved)),
        old_key: old_key.unwrap_or_else(|| "unknown: its journal cannot be read".to_owned()),
    })
}

fn show(rows: Vec<PastShown>, context: &mut Context) {
    if context.ui.look.json {
        return rows.into_iter().for_each(|row| context.ui.event(Event::Past(row)));
    }
    if rows.is_empty() {
        return context.ui.note("no rotation was begun");
    }
    let mut table =
        Table::new(["BEGAN", "SECRET", "ROTATION", "ENDED", "TOOK", "MINT TO MOVED", "AWAY", "OLD KEY"]);
    for row in rows {
        let at = row.phase.map(|phase| format!("open, at {}", phase.word()));
        let ended = row.outcome.map(|outcome| outcome.word().to_owned()).or(at);
        table.row([
            row.began,
            row.secret,
            row.id,
            ended.unwrap_or_else(|| "-".to_owned()),
            shown(row.took_s),
            shown(row.mint_to_last_moved_s),
            away(&row.gaps),
            row.old_key,
        ]);
    }
    context.ui.data(&table.lines().join("\n"));
}

/// The longest that was measured.
fn away(gaps: &[GapShown]) -> String {
    let longest = gaps.iter().filter_map(|gap| gap.measured_s).reduce(f64::max);
    match longest {
        Some(seconds) => spent(seconds),
        None if gaps.is_empty() => "-".to_owned(),
        None => "not measured".to_owned(),
    }
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), spent)
}
