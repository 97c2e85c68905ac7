use keyroll_app::exit::Exit;
use keyroll_app::operator::{DowntimeShown, Event, PastShown, clock, spent};
use keyroll_app::problem::Problem;
use keyroll_app::reports::history::{HistoryRequest, history};
use keyroll_app::reports::status::no_rotation_yet;

use super::status::led_to;
use crate::args::HistoryArgs;
use crate::context::Context;
use crate::ui::Table;

/// Shows rotations from their journal, the newest first; one rotation, named by its id, with every detail.
pub(super) fn run(args: &HistoryArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = HistoryRequest { about: args.about.as_deref(), all: args.all };
    let Some(history) = history(&request, &context.installation)? else {
        context.ui.note(no_rotation_yet(&context.installation.places()?));
        return Ok(Exit::Done);
    };
    show(history.rows, history.one, context);
    if history.older > 0 {
        context.ui.note(format!("{} older: keyroll history --all", history.older));
    }
    history.doubt.map_or(Ok(Exit::Done), Err)
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
        let moved =
            row.mint_to_last_moved_s.map(|s| format!("; last consumer moved {} after the mint", spent(s)));
        let away = away(&row.downtimes).map(|away| format!("; downtime {away}")).unwrap_or_default();
        text.push(format!("  {}{}{away}", row.id, moved.unwrap_or_default()));
        text.extend(row.cause.as_ref().map(|cause| format!("  {}: {cause}", led(row))));
        text.extend(row.waived.iter().map(|waived| format!("  waived: {waived}")));
        text.extend(row.emergency.as_ref().map(|shown| indented(&clock(shown))));
    }
    context.ui.lines(&text.join("\n"));
}

/// How the rotation ended, or the phase that it is in.
fn ended(row: &PastShown) -> String {
    let at = row.phase.map(|phase| format!("open, at {}", phase.word()));
    row.outcome.map(|outcome| outcome.word().to_owned()).or(at).unwrap_or_else(|| "-".to_owned())
}

fn led(row: &PastShown) -> &'static str {
    led_to(row.outcome, row.phase)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// One rotation with every detail of its journal.
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
    for waived in &row.waived {
        line("waived", waived.clone());
    }
    for asked in &row.asked {
        line("asked", format!("{} {}", asked.asked_at, asked.text()));
    }
    line("mint to moved", shown(row.mint_to_last_moved_s));
    line("mint to dead", shown(row.mint_to_dead_s));
    for downtime in &row.downtimes {
        line("away", format!("{}: {}", downtime.consumer, downtime.text()));
    }
    let mut lines = table.lines();
    lines.extend(row.emergency.as_ref().map(clock));
    lines
}

/// The longest measured downtime.
fn away(downtimes: &[DowntimeShown]) -> Option<String> {
    let longest = downtimes.iter().filter_map(|downtime| downtime.measured_s).reduce(f64::max);
    match longest {
        Some(seconds) => Some(spent(seconds)),
        None if downtimes.is_empty() => None,
        None => Some("not measured".to_owned()),
    }
}

fn shown(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "-".to_owned(), spent)
}
