use keyroll_journal::SqliteJournal;
use keyroll_port::{Journal as _, Overview};
use tokio::runtime::Runtime;

use crate::args::HistoryArgs;
use crate::context::{Context, chosen_id, no_rotation, secret};
use crate::exit::Exit;
use crate::places::Places;
use crate::problem::Problem;
use crate::records::called::Called;
use crate::records::gaps::{Gaps, Measured};
use crate::records::past::{Past, outcome};
use crate::records::saved::Saved;
use crate::records::{cause, old_key, reasons};
use crate::ui::{Event, GapShown, Outcome, PastShown, Phase, Table, clock, spent};
use crate::wiring::open;

/// How many rotations are shown where `--all` does not ask for more.
const SHOWN_MAX: usize = 20;

/// Shows the rotations of this machine, the newest first, from their journal: how each ended, and how long it took. Of
/// one of them, named by its id, all that is known.
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
    let one = match &args.about {
        Some(name) => chosen(&mut all, name, context)?,
        None => false,
    };
    let more = if args.all || one { 0 } else { all.len().saturating_sub(SHOWN_MAX) };
    all.truncate(all.len() - more);
    let measured = Measured::all(&places);
    let mut rows = Vec::new();
    for overview in &all {
        rows.push(row(&runtime, &journal, overview, (&measured, &places))?);
    }
    show(rows, one, context);
    if more > 0 {
        context.ui.note(format!("{more} older: keyroll history --all"));
    }
    doubt.map_or(Ok(Exit::Done), Err)
}

/// Keeps those that are meant: by the name of a secret, also of one that is in no configuration any more, or the one with
/// this id. Returns whether it is one by its id.
fn chosen(all: &mut Vec<Overview>, name: &str, context: &Context) -> Result<bool, Problem> {
    if all.iter().any(|one| one.secret == name) {
        all.retain(|one| one.secret == name);
        return Ok(false);
    }
    if context.config().is_ok_and(|config| config.secret(name).is_ok()) {
        all.clear();
        return Ok(false);
    }
    let ids = all.iter().map(|one| one.id.0.as_str());
    match chosen_id(name, ids, no_rotation()) {
        Ok(id) => {
            all.retain(|one| one.id.0 == id);
            Ok(true)
        }
        // What does not look like an id was meant as a name.
        Err(problem) if name.bytes().all(|byte| byte.is_ascii_hexdigit()) => Err(problem),
        Err(problem) => secret(&context.config()?, name).map_or_else(Err, |_| Err(problem)),
    }
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
    let cause = cause::of(&recorded, &Called::of(&recorded));
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
        cause,
    })
}

fn show(rows: Vec<PastShown>, one: bool, context: &mut Context) {
    if context.ui.look.json {
        return rows.into_iter().for_each(|row| context.ui.event(Event::Past(row)));
    }
    if rows.is_empty() {
        return context.ui.note("no rotation was begun");
    }
    if one {
        return rows.iter().for_each(|row| context.ui.lines(&card(row).join("\n")));
    }
    let mut table = Table::new(["BEGAN", "SECRET", "ENDED", "TOOK", "OLD KEY"]);
    for row in &rows {
        table.row([
            row.began.clone(),
            row.secret.clone(),
            ended(row),
            shown(row.took_s),
            row.old_key.clone(),
        ]);
    }
    let mut lines = table.lines().into_iter();
    let mut text: Vec<String> = lines.next().into_iter().collect();
    for (line, row) in lines.zip(&rows) {
        text.push(line);
        let moved = row.mint_to_last_moved_s.map(|s| format!("; everyone moved {} after the mint", spent(s)));
        let away = away(&row.gaps).map(|away| format!("; away {away}")).unwrap_or_default();
        text.push(format!("  {}{}{away}", row.id, moved.unwrap_or_default()));
        text.extend(row.cause.as_ref().map(|cause| format!("  {}: {cause}", led(row))));
        text.extend(row.emergency.as_ref().map(|shown| indented(&clock(shown))));
    }
    context.ui.lines(&text.join("\n"));
}

/// How it ended, or where it stands.
fn ended(row: &PastShown) -> String {
    let at = row.phase.map(|phase| format!("open, at {}", phase.word()));
    row.outcome.map(|outcome| outcome.word().to_owned()).or(at).unwrap_or_else(|| "-".to_owned())
}

fn led(row: &PastShown) -> &'static str {
    let back = row.outcome == Some(Outcome::RolledBack) || row.phase == Some(Phase::RollingBack);
    if back { "went back" } else { "seen" }
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// One rotation, with all that its journal tells.
fn card(row: &PastShown) -> Vec<String> {
    let mut table = Table::new(["rotation", row.id.as_str()]);
    let mut line = |name: &str, text: String| table.row([name.to_owned(), text]);
    line("secret", row.secret.clone());
    line("began", row.began.clone());
    line("ended", ended(row));
    line("took", shown(row.took_s));
    if let Some(cause) = &row.cause {
        line(led(row), cause.clone());
    }
    line("old key", row.old_key.clone());
    line("mint to moved", shown(row.mint_to_last_moved_s));
    line("mint to dead", shown(row.mint_to_dead_s));
    for gap in &row.gaps {
        line("away", format!("{}: {}", gap.consumer, gap.text()));
    }
    let mut lines = table.lines();
    lines.extend(row.emergency.as_ref().map(clock));
    lines
}

/// The longest that was measured.
fn away(gaps: &[GapShown]) -> Option<String> {
    let longest = gaps.iter().filter_map(|gap| gap.measured_s).reduce(f64::max);
    match longest {
        Some(seconds) => Some(spent(seconds)),
        None if gaps.is_empty() => None,
        None => Some("not measured".to_owned()),
    }
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), spent)
}
