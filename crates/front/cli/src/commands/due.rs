use std::time::Duration;

use keyroll_app::configured::secret;
use keyroll_app::exit::Exit;
use keyroll_app::installation::Installation;
use keyroll_app::interrupt;
use keyroll_app::operator::{DueShown, Event, duration};
use keyroll_app::problem::Problem;
use keyroll_app::records::open_rotation_guard::held_by;
use keyroll_app::reports::due::due;
use keyroll_app::session::rotate_due::rotate_due;
use keyroll_app::unit_file;
use keyroll_app::wiring::open;
use keyroll_codes::Code;

use crate::args::DueArgs;
use crate::context::Context;
use crate::signals;
use crate::ui::Table;

/// The units that systemd reads; `@KEYROLL@` is the command with its paths.
const SERVICE: &str = include_str!("../../../../../deploy/systemd/keyroll-due.service");
const TIMER: &str = include_str!("../../../../../deploy/systemd/keyroll-due.timer");

/// Shows which secrets are due; with `--apply` rotates those with a standing consent.
pub(super) fn run(args: &DueArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    if args.timer {
        let text = timer(&context.installation)?;
        context.ui.file(text.as_bytes());
        return Ok(Exit::Done);
    }
    let places = context.installation.places()?;
    let mut rows = due(&config, &places)?;
    if let Some(named) = &args.secret {
        let name = &secret(&config, named)?.name;
        rows.retain(|row| row.secret == name.as_str());
        if rows.is_empty() {
            return Err(Problem::new(Code::DueNotRotated, format!("see when {name} is due"))
                .because("it has no `rotate_every`")
                .help(format!("add to [secrets.{name}]: rotate_every = \"90d\"")));
        }
    }
    if !args.apply {
        let any = rows.iter().any(|row| row.due());
        show(rows, context);
        return Ok(if any { Exit::Findings } else { Exit::Done });
    }
    if let Some((pid, work)) = held_by(&places) {
        return Err(Problem::new(Code::DueNotRotated, "rotate what is due")
            .because(format!("{}: keyroll did not interrupt it", open::who(pid, work.as_ref())))
            .help("nothing was done; the next run of the timer tries again")
            .exits(Exit::Held));
    }
    signals::pause_from_now_on(context.ui.look);
    let mut worst = Exit::Done;
    for row in rows.into_iter().filter(|row| row.due() || row.open.is_some()) {
        // What is open goes on, also outside its window.
        if let (Some(shut), None, true) = (&row.shut, &row.open, row.unattended) {
            context.ui.note(format!("{} is due, and was not begun: {shut}", row.secret));
            continue;
        }
        if interrupt::is_asked() {
            context.ui.note(format!(
                "stopped before {}: nothing more was begun; the next run continues",
                row.secret
            ));
            return Ok(Exit::Interrupted);
        }
        let secret = secret(&config, &row.secret)?;
        // After a failed rotation, the other secrets are still rotated.
        let rotated = rotate_due(&row, secret, &config, &context.installation, &mut context.ui);
        let exit = rotated.unwrap_or_else(|problem| {
            context.ui.problem(&problem);
            problem.exit()
        });
        if worst == Exit::Done {
            worst = exit;
        }
        if exit == Exit::Interrupted {
            return Ok(exit);
        }
    }
    Ok(worst)
}

fn show(rows: Vec<DueShown>, context: &mut Context) {
    if context.ui.look.json {
        return rows.into_iter().for_each(|row| context.ui.event(Event::Due(row)));
    }
    if rows.is_empty() {
        return context.ui.note("no secret has a `rotate_every`");
    }
    let mut table = Table::new(["SECRET", "AGE", "ROTATE EVERY", "DUE", "BY ITSELF", "OWNER"]);
    let mut failed = Vec::new();
    for row in rows {
        let shown = |seconds: u64| duration_in_days(Duration::from_secs(seconds));
        let due = match (row.age_s, &row.open) {
            (_, Some(id)) if row.stands_still.is_some() => {
                format!("rotation {id} waits for a person: keyroll status {id}")
            }
            (_, Some(id)) => format!("rotation {id} is open"),
            (None, None) => "it has no value yet".to_owned(),
            (Some(age), None) if age >= row.rotate_every_s => {
                let overdue = if row.overdue { "overdue: " } else { "" };
                let shut = row.shut.as_ref().filter(|_| row.unattended);
                let shut = shut.map(|shut| format!("; {shut}")).unwrap_or_default();
                format!("{overdue}due for {}{shut}", shown(age - row.rotate_every_s))
            }
            (Some(age), None) => format!("in {}", shown(row.rotate_every_s - age)),
        };
        let age = row.age_s.map_or_else(|| "-".to_owned(), shown);
        let by_itself = if row.unattended { "yes" } else { "no: it asks for consent" };
        if let Some(failure) = row.failed {
            failed.push(format!(
                "{}: the server could not begin it at {}, and tries again at {}: {}",
                row.secret, failure.at, failure.again, failure.why
            ));
        }
        let owner = row.owner.unwrap_or_else(|| "-".to_owned());
        table.row([row.secret, age, shown(row.rotate_every_s), due, by_itself.to_owned(), owner]);
    }
    context.ui.data(&table.lines().join("\n"));
    failed.into_iter().for_each(|failure| context.ui.note(failure));
}

/// A duration in days, from two days on.
fn duration_in_days(time: Duration) -> String {
    const DAY_S: u64 = 86_400;
    match time.as_secs() {
        short if short < 2 * DAY_S => duration(short),
        long => format!("{} d", long / DAY_S),
    }
}

/// A systemd service and timer that rotate due secrets once a day.
fn timer(installation: &Installation) -> Result<String, Problem> {
    let making = || Problem::new(Code::DueNotRotated, "write the timer");
    let started = unit_file::command(installation, making)?;
    Ok([SERVICE, TIMER].join("\n").replace("@KEYROLL@", &started))
}
