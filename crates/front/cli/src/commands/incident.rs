use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use keyroll_app::exit::Exit;
use keyroll_app::incidents::{
    Alert, AssessRequest, AssessmentShown, Begun, ContainRequest, DOCUMENT_BYTES_MAX, IncidentShown,
    OPERATOR, Opened, Opening, VALUE_BYTES_MIN, assess, begin, close, contain, find, list, open, reopen,
    report, unreadable,
};
use keyroll_app::operator::{CommandShown, Event};
use keyroll_app::problem::Problem;
use keyroll_app::session::manual_mint::Given;
use keyroll_codes::Code;
use keyroll_rotation::Emergency;
use zeroize::Zeroizing;

use super::apply::told;
use crate::args::{
    IncidentAssessArgs, IncidentCommand, IncidentContainArgs, IncidentOpenArgs, IncidentReportArgs,
    ReportFormat,
};
use crate::context::Context;
use crate::ui::Table;

/// Works on incidents: leaked keys that somebody reported.
pub(super) fn run(command: &IncidentCommand, context: &mut Context) -> Result<Exit, Problem> {
    match command {
        IncidentCommand::Open(args) => opened(args, context),
        IncidentCommand::List(args) => {
            for problem in unreadable(&context.installation)? {
                let why = problem.causes.join(": ");
                context
                    .ui
                    .event(Event::NotVisible { what: format!("an incident ({})", problem.attempted), why });
            }
            let rows = list(args.all, &context.installation)?;
            let open = rows.iter().any(|row| !row.is_over());
            show(rows, context);
            Ok(if open { Exit::Findings } else { Exit::Done })
        }
        IncidentCommand::Assess(args) => assessed(args, context),
        IncidentCommand::Contain(args) => contained(args, context),
        IncidentCommand::Report(args) => reported(args, context),
        IncidentCommand::Close(args) => {
            // A mistyped one leaves all of them open.
            args.ids.iter().try_for_each(|id| find(id, &context.installation))?;
            for id in &args.ids {
                let row = close(id, &args.because, &context.installation)?;
                let back = format!("keyroll incident reopen {}", row.id);
                let what = format!("the incident {} is closed: {}", row.id, row.what);
                context.ui.event(Event::Undo { what, with: back });
                if let (Some(rotation), Some(next)) = (&row.rotation, &row.next) {
                    context.ui.note(format!("its rotation {rotation} is open all the same: {next}"));
                }
            }
            Ok(Exit::Done)
        }
        IncidentCommand::Reopen(args) => {
            let row = reopen(&args.id, &context.installation)?;
            show(vec![row], context);
            Ok(Exit::Done)
        }
    }
}

fn opened(args: &IncidentOpenArgs, context: &mut Context) -> Result<Exit, Problem> {
    if let Some(at) = args.alerted_at {
        told(at, context)?;
    }
    let mut alerts = match (args.from, Given::named(args.value_stdin, args.value_file.as_ref())) {
        (Some(source), _) => {
            let document = document(args.file.as_ref())?;
            source
                .read(&document)
                .map_err(|why| unread(args.file.as_ref()).because(why).exits(Exit::Usage))?
        }
        (None, Some(given)) => {
            let value = match given {
                Given::Stdin => context.ui.hidden("the leaked value")?,
                Given::File(path) => context.ui.value_of_file("the leaked value", &path)?,
            };
            if value.len() < VALUE_BYTES_MIN {
                return Err(Problem::new(Code::AlertUnreadable, "open an incident for the value")
                    .because(format!(
                        "it has {} bytes: shorter than {VALUE_BYTES_MIN} it is found everywhere",
                        value.len()
                    ))
                    .help("name the secret instead: keyroll incident open NAME"));
            }
            let place = args.place.clone();
            vec![Alert { value: Some(value), place, ..Alert::new("a leaked value") }]
        }
        (None, None) => Vec::new(),
    };
    // The same delivery again has the same alerts in the same order.
    for (alert, number) in alerts.iter_mut().zip(1..) {
        let named = args.delivery.as_ref().map(|delivery| format!("{delivery}/{number}"));
        alert.id = alert.id.take().or(named);
    }
    if args.from.is_some() && alerts.is_empty() {
        context.ui.note("it tells of no leaked key: nothing was opened");
        return Ok(Exit::Done);
    }
    let opening = Opening {
        source: args.from.map_or(OPERATOR, |source| source.name()),
        alerts,
        secret: args.secret.as_deref(),
        alerted_unix_ms: args.alerted_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        acts: args.act || args.reserve,
    };
    let Opened { incidents: rows, left_out } = open(opening, &context.installation, &mut context.ui)?;
    show(rows.clone(), context);
    let begun = if args.reserve { Begun::Nothing } else { acted(&rows, context) };
    match (left_out, begun) {
        (Some(problem), _) => Err(problem),
        (None, Begun::Nothing) => Ok(Exit::Done),
        (None, Begun::Ended(exit)) => Ok(exit),
    }
}

/// Begins the emergencies that alerts may begin by themselves.
pub(super) fn acted(rows: &[IncidentShown], context: &mut Context) -> Begun {
    let Context { installation, ui, .. } = context;
    for row in rows.iter().filter(|row| row.acts) {
        ui.note(format!("{}: it is exactly the stored value, so the emergency begins", row.what));
    }
    let mut problems = Vec::new();
    let begun = begin(rows, installation, ui, |problem| {
        let exit = problem.exit();
        problems.push(problem);
        exit
    });
    problems.iter().for_each(|problem| ui.problem(problem));
    begun
}

fn unread(file: Option<&PathBuf>) -> Problem {
    let from = file.map(|path| format!(" from {}", path.display())).unwrap_or_default();
    Problem::new(Code::AlertUnreadable, format!("read the alerts{from}"))
        .help("each source has its own form: docs/guides/incidents.md")
}

/// A document of alerts; it may hold values.
fn document(file: Option<&PathBuf>) -> Result<Zeroizing<Vec<u8>>, Problem> {
    let failed = |error: io::Error| unread(file).because_of(&error);
    let mut bytes = Zeroizing::new(Vec::new());
    let mut from: Box<dyn Read> = match file {
        Some(path) if path.as_os_str() != "-" => Box::new(File::open(path).map_err(failed)?),
        Some(_) | None => Box::new(io::stdin().lock()),
    };
    from.by_ref().take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > DOCUMENT_BYTES_MAX) {
        return Err(unread(file).because(format!("it has more than {} MiB", DOCUMENT_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}

pub(super) fn show(rows: Vec<IncidentShown>, context: &mut Context) {
    if context.ui.look.json {
        return rows.into_iter().for_each(|row| context.ui.event(Event::Incident(row)));
    }
    if rows.is_empty() {
        return context.ui.note("no incident is open");
    }
    let mut table = Table::new(["INCIDENT", "OPENED", "STATE", "WHAT", "NEXT"]);
    for row in &rows {
        let state = if row.acts { "acts" } else { row.state };
        let next = row.next.clone().unwrap_or_else(|| "-".to_owned());
        table.row([row.id.clone(), row.opened.clone(), state.to_owned(), row.what.clone(), next]);
    }
    context.ui.table(&table);
    for row in rows {
        if let Some(why) = row.why {
            context.ui.note(format!("{}: {why}", row.id));
        }
    }
}

fn assessed(args: &IncidentAssessArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = AssessRequest {
        id: args.id.as_deref(),
        roots: &args.roots,
        limits: args.look.limits(),
        since: &args.since,
    };
    let found = assess(&request, &context.installation, &mut context.ui)?;
    if context.ui.look.json {
        context.ui.event(Event::Assessment(Box::new(found)));
        return Ok(Exit::Done);
    }
    let AssessmentShown { incident, alive, users, copies, exposed, first_exposed, stops, .. } = found;
    let first = first_exposed.unwrap_or_else(|| "not visible".to_owned());
    context.ui.lines(&format!("{}: {}, opened {}", incident.id, incident.what, incident.opened));
    context.ui.lines(&format!("the key         {alive}"));
    context.ui.lines(&format!("first exposure  {first}"));
    if let Some(why) = &incident.why {
        context.ui.lines(&format!("state           {}: {why}", incident.state));
    }
    for (title, all) in [
        ("used by", users),
        ("copies on this machine", copies),
        ("exposed in", exposed),
        ("stops if it is revoked now", stops),
        ("not visible", found.not_visible),
    ] {
        match all.is_empty() {
            true if title == "not visible" => {}
            true => context.ui.lines(&format!("{title}: none was seen")),
            false => {
                context.ui.lines(&format!("{title}:"));
                all.iter().for_each(|one| context.ui.lines(&format!("  {one}")));
            }
        }
    }
    let lines = found.ways.len();
    context.ui.lines(&format!("took {:.1} s; next:", found.took_s));
    for CommandShown { kind, command, .. } in found.ways {
        let what = match kind {
            "roll_first" => "moves everybody first, so nothing stops",
            "revoke_now" if lines > 1 => "everything above stops at once",
            _ => "",
        };
        let line = if what.is_empty() { format!("  {command}") } else { format!("  {command:<66}  {what}") };
        context.ui.data(&line);
    }
    Ok(Exit::Done)
}

fn contained(args: &IncidentContainArgs, context: &mut Context) -> Result<Exit, Problem> {
    let request = ContainRequest {
        id: args.id.as_deref(),
        mode: if args.revoke_now { Emergency::RevokeNow } else { Emergency::RollFirst },
        confirm: args.confirm.clone(),
        given: Given::named(args.value_stdin, args.value_file.as_ref()),
        revoked_by_hand: args.revoked_by_hand,
        by_alert: args.by_alert,
        without: args.without.meant(),
    };
    contain(request, &context.installation, &mut context.ui)
}

fn reported(args: &IncidentReportArgs, context: &mut Context) -> Result<Exit, Problem> {
    let report = report(args.id.as_deref(), &context.installation)?;
    if context.ui.look.json {
        context.ui.event(Event::Report(Box::new(report)));
        return Ok(Exit::Done);
    }
    let text = match args.format {
        ReportFormat::Markdown => report.markdown(),
        ReportFormat::Json => serde_json::to_string_pretty(&report).unwrap_or_default(),
    };
    context.ui.data(text.trim_end());
    Ok(Exit::Done)
}
