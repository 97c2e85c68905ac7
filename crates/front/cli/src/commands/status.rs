use std::thread;
use std::time::Duration;

use keyroll_app::exit::Exit;
use keyroll_app::operator::{Event, Outcome, Phase, StatusShown, WaitingShown};
use keyroll_app::problem::Problem;
use keyroll_app::records::rotation_ids::rotation_id;
use keyroll_app::reports::status::{StatusReader, no_rotation_yet};

use crate::args::StatusArgs;
use crate::context::Context;
use crate::ui::Table;

/// The pause between two readings of `--watch`, milliseconds.
const WATCH_MS: u64 = 500;

/// Why a command comes before the others.
const FIRST: &str =
    "a process drives that rotation: until it pauses or ends, the commands of this one are refused";

/// Shows the rotations, what blocks each of them, and the next command. Never drives one.
pub(super) fn run(args: &StatusArgs, context: &mut Context) -> Result<Exit, Problem> {
    args.id.as_deref().map_or(Ok(()), rotation_id)?;
    let places = context.installation.places()?;
    let Some(reader) = StatusReader::open(&places, args.id.as_deref())? else {
        context.ui.note(no_rotation_yet(&places));
        return Ok(Exit::Done);
    };
    // What follows is worth no more than this says; in a stream an error is the last line.
    if let Some(doubt) = reader.doubt.as_ref().filter(|_| !context.ui.look.json) {
        context.ui.problem(doubt);
    }
    let mut shown = Vec::new();
    loop {
        let rows = reader.read()?;
        if rows != shown {
            show(&rows, args.id.is_some(), context);
            shown = rows;
        }
        let exit = shown.iter().map(exit).max_by_key(|exit| exit.number()).unwrap_or(Exit::Done);
        if !args.watch || !reader.is_driven(&shown) {
            if args.watch {
                undriven(&shown, context);
            }
            context.ui.settle();
            return match reader.doubt {
                Some(doubt) if context.ui.look.json => Err(doubt),
                Some(doubt) => Ok(doubt.exit()),
                None => Ok(exit),
            };
        }
        thread::sleep(Duration::from_millis(WATCH_MS));
    }
}

/// Says why the watch ends while a rotation is open.
fn undriven(shown: &[StatusShown], context: &mut Context) {
    for row in shown.iter().filter(|row| !row.ended) {
        let next = row.next.as_ref().map(|next| format!(": {next}")).unwrap_or_default();
        let id = &row.id;
        context.ui.note(format!("{id} has no driver, and nothing changes without one{next}"));
    }
}

/// Without a driver: 4 before the point of no return, 6 after it; 6 too if the operator has something to do, also if that is
/// to answer its driver.
fn exit(row: &StatusShown) -> Exit {
    match (row.ended, row.owes, row.driver) {
        (_, true, _) => Exit::NeedsPerson,
        (false, false, Some(_)) if row.person => Exit::NeedsPerson,
        (true, false, _) | (false, false, Some(_)) => Exit::Done,
        (false, false, None) if row.decided || row.person => Exit::NeedsPerson,
        (false, false, None) => Exit::Paused,
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
        text.extend(waits(row).map(|waits| format!("  {waits}")));
        text.extend(row.waived.iter().map(|waived| format!("  waived: {waived}")));
        text.extend(row.hosts_back.iter().map(|host| format!("  {}", is_back(host))));
        text.extend(not_searched(row).map(|hosts| format!("  not looked at: {hosts}")));
        text.extend(row.not_visible.iter().map(|what| format!("  not visible: {what}")));
        for holder in &row.blocked_by {
            let lines = holder.lines("blocked by ");
            text.extend(lines.into_iter().map(|line| format!("  {line}")));
        }
        text.extend(row.first.as_ref().map(|first| format!("  first: {first} ({FIRST})")));
        text.extend(row.next.as_ref().map(|next| format!("  next: {next}")));
        text.extend(back(row).map(|back| format!("  back: {back}")));
    }
    context.ui.lines(&text.join("\n"));
}

/// The hosts that it does not look at.
fn not_searched(row: &StatusShown) -> Option<String> {
    (!row.hosts_not_searched.is_empty()).then(|| row.hosts_not_searched.join(", "))
}

fn at(row: &StatusShown) -> &'static str {
    row.outcome.map(Outcome::word).or(row.phase.map(Phase::word)).unwrap_or("-")
}

/// The driver by its process id, which is 0 if it runs in another container.
fn driver(pid: u32) -> String {
    match pid {
        0 => "a process that is not visible from here".to_owned(),
        pid => format!("process {pid}"),
    }
}

/// Whether the rotation continues, or why not; `None` if it ended well.
fn said(row: &StatusShown) -> Option<String> {
    match (row.outcome, &row.why, row.driver) {
        (Some(Outcome::Debt), _, _) if row.unlisted => {
            Some("the old key is dead, but the issuer gave no complete list of its keys".to_owned())
        }
        (Some(Outcome::Debt), _, _) => Some("the old key still has to be revoked".to_owned()),
        (Some(_), _, _) => None,
        (None, Some(why), Some(pid)) => Some(format!("{} asks: {why}", driver(pid))),
        (None, Some(why), None) => Some(format!("paused: {why}")),
        (None, None, Some(pid)) => Some(format!("driven by {}", driver(pid))),
        (None, None, None) => Some("no driver".to_owned()),
    }
}

/// What it waits for, since when and until when; a pause has said what.
fn waits(row: &StatusShown) -> Option<String> {
    let WaitingShown { what, since, until, person, .. } = row.waiting.as_ref()?;
    let what = if row.why.is_some() { "waiting".to_owned() } else { format!("waiting for {what},") };
    let until = match until {
        Some(until) => format!(", at most until {until}"),
        None if *person => ", until you act".to_owned(),
        None => String::new(),
    };
    Some(format!("{what} since {since}{until}"))
}

/// The waiver of a host ends by itself.
fn is_back(host: &str) -> String {
    format!("{host} is back: its waiver has ended")
}

/// The command that takes it back.
fn back(row: &StatusShown) -> Option<&str> {
    row.waiting.as_ref()?.back.as_deref()
}

/// The consequence of a cause.
pub(super) fn led_to(outcome: Option<Outcome>, phase: Option<Phase>) -> &'static str {
    match (outcome, phase) {
        (Some(Outcome::RolledBack), _) => "rolled back",
        (_, Some(Phase::RollingBack)) => "rolling back",
        (_, _) => "seen",
    }
}

/// The cause of the present state, with its kind.
fn led(row: &StatusShown) -> Option<(&'static str, &String)> {
    row.cause.as_ref().map(|why| (led_to(row.outcome, row.phase), why))
}

/// Whether it can still be rolled back; nothing once it has ended without that, or cannot be read.
fn no_return(row: &StatusShown) -> Option<String> {
    let back = row.waiting.as_ref().and_then(|waiting| waiting.back_steps.first());
    let back = back.and_then(|step| step.commands.first());
    match (row.phase, back) {
        _ if row.decided => Some("passed: no rollback".to_owned()),
        _ if row.ended => None,
        _ if row.emergency.is_some() => Some("no rollback: the old value is compromised".to_owned()),
        (Some(Phase::RollingBack), _) => Some("ahead: it rolls back".to_owned()),
        (Some(_), Some(back)) => Some(format!("ahead: {} rolls back", back.command)),
        (Some(_), None) if row.old_key.state == "unknown" => None,
        (Some(_), None) => Some("no rollback: the old key no longer works".to_owned()),
        (None, _) => None,
    }
}

/// One rotation with every detail.
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
    if let Some(no_return) = no_return(row) {
        line("no return", no_return);
    }
    for unit in &row.units {
        line("consumer", format!("{}: {}", unit.name, unit.stage));
    }
    for waived in &row.waived {
        line("waived", waived.clone());
    }
    for host in &row.hosts_back {
        line("host", is_back(host));
    }
    if let Some(hosts) = not_searched(row) {
        line("not looked at", hosts);
    }
    for what in &row.not_visible {
        line("not visible", what.clone());
    }
    if let Some(waits) = waits(row) {
        line("wait", waits);
    }
    if let Some(first) = &row.first {
        line("first", format!("{first} ({FIRST})"));
    }
    if let Some(next) = &row.next {
        line("next", next.clone());
    }
    if let Some(back) = back(row) {
        line("back", back.to_owned());
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

#[cfg(test)]
mod tests {
    use keyroll_app::operator::{CommandShown, OldKeyShown, StepShown, WaitKind};

    use super::*;

    /// An open rotation; `back`: the command that rolls it back.
    fn open(phase: Phase, back: Option<&str>) -> StatusShown {
        StatusShown {
            id: "0198".to_owned(),
            secret: "acme".to_owned(),
            began: String::new(),
            phase: Some(phase),
            ended: false,
            owes: false,
            unlisted: false,
            last_s: 0,
            decided: false,
            emergency: None,
            moved: 0,
            units: Vec::new(),
            old_key: OldKeyShown { state: "on", since: None },
            driver: None,
            outcome: None,
            why: None,
            cause: None,
            person: false,
            waiting: Some(WaitingShown {
                what: "you".to_owned(),
                kind: WaitKind::Paused,
                since: String::new(),
                until: None,
                person: true,
                forward: None,
                back: back.map(str::to_owned),
                forward_steps: Vec::new(),
                back_steps: back.map(rolls_back).into_iter().collect(),
            }),
            blocked_by: Vec::new(),
            waived: Vec::new(),
            hosts_back: Vec::new(),
            hosts_not_searched: Vec::new(),
            not_visible: Vec::new(),
            first: None,
            next: None,
        }
    }

    fn rolls_back(command: &str) -> StepShown {
        let command = CommandShown { kind: "abort", command: command.to_owned(), complete: true };
        StepShown { first: None, commands: vec![command] }
    }

    /// Red: `paused` and exit 0, while a process had the key off and waited for an answer.
    #[test]
    fn a_driver_that_asks_is_named_and_needs_a_person() {
        let why = Some("revoking the old key needs your consent".to_owned());
        let held = StatusShown { why, person: true, ..open(Phase::Decide, None) };
        let asks = StatusShown { driver: Some(4711), ..held.clone() };
        let words = "revoking the old key needs your consent";
        assert_eq!(said(&asks), Some(format!("process 4711 asks: {words}")));
        assert_eq!(said(&held), Some(format!("paused: {words}")));
        assert_eq!((exit(&asks), exit(&held)), (Exit::NeedsPerson, Exit::NeedsPerson));
        let driven = StatusShown { driver: Some(4711), ..open(Phase::Roll, None) };
        assert_eq!((said(&driven), exit(&driven)), (Some("driven by process 4711".to_owned()), Exit::Done));
        // Red: `process 0`, for a driver in another container.
        let elsewhere = StatusShown { driver: Some(0), ..driven };
        assert_eq!(said(&elsewhere), Some("driven by a process that is not visible from here".to_owned()));
    }

    #[test]
    fn a_rollback_is_offered_only_where_the_protocol_allows_one() {
        let said = |row: &StatusShown| card(row).join("\n");
        let back = open(Phase::Roll, Some("keyroll abort 0198"));
        assert!(said(&back).contains("ahead: keyroll abort 0198 rolls back"), "{}", said(&back));
        let forward = open(Phase::Roll, None);
        assert!(said(&forward).contains("no rollback: the old key no longer works"), "{}", said(&forward));
        assert!(!said(&forward).contains("abort"), "{}", said(&forward));
        let rolling = open(Phase::RollingBack, None);
        assert!(said(&rolling).contains("ahead: it rolls back"), "{}", said(&rolling));
        let unknown = OldKeyShown { state: "unknown", since: None };
        let doubted = StatusShown { old_key: unknown, ..open(Phase::Roll, None) };
        assert!(!said(&doubted).contains("rollback"), "{}", said(&doubted));
        let unread = StatusShown { phase: None, waiting: None, ..open(Phase::Roll, None) };
        assert!(!said(&unread).contains("rollback"), "{}", said(&unread));
    }
}
