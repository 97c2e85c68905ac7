use std::path::Path;
use std::time::Duration;

use keyroll_config::{Config, Decide, Secret};
use keyroll_journal::SqliteJournal;
use keyroll_port::{Clock as _, Journal as _, Label, RotationId, Store};
use tokio::runtime::Runtime;

use crate::args::DueArgs;
use crate::context::{Context, secret};
use crate::driving::rotate::{Asked, apply, take_up};
use crate::exit::Exit;
use crate::interrupt;
use crate::places::Places;
use crate::plans::make;
use crate::problem::Problem;
use crate::records::begun::{held_by, open_of};
use crate::records::recorded::state_of;
use crate::records::saved::Saved;
use crate::records::versions::kept;
use crate::ui::{DueShown, Event, Table, duration};
use crate::wiring::open;

/// What systemd is given, each with its path.
const SERVICE: &str = include_str!("due/keyroll-due.service");
const TIMER: &str = include_str!("due/keyroll-due.timer");

/// Shows which secrets are due by their `rotate_every`; with `--apply` rotates those that stand under a standing consent.
pub(super) fn run(args: &DueArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.config()?;
    if args.timer {
        let (config, places) = (context.config_path(), context.places()?);
        let text = timer(&config, &places)?;
        context.ui.file(text.as_bytes());
        return Ok(Exit::Done);
    }
    let places = context.places()?;
    let rows = look(&config, &places)?;
    if !args.apply {
        let due = rows.iter().any(|row| row.due());
        show(rows, context);
        return Ok(if due { Exit::Findings } else { Exit::Done });
    }
    if let Some((pid, work)) = held_by(&places) {
        return Err(Problem::new("K0854", "rotate what is due")
            .because(format!("{}: it is not disturbed", open::who(pid, work.as_ref())))
            .help("nothing was done; the next run of the timer looks again")
            .exits(Exit::Held));
    }
    interrupt::pause_from_now_on(context.ui.look);
    let mut worst = Exit::Done;
    for row in rows.into_iter().filter(|row| row.due() || row.open.is_some()) {
        if interrupt::is_asked() {
            context.ui.note(format!(
                "stopped before {}: nothing more was begun; the next run looks again",
                row.secret
            ));
            return Ok(Exit::Interrupted);
        }
        let secret = secret(&config, &row.secret)?;
        // One that fails holds none of the others up.
        let exit = carry_out(&row, secret, &config, context).unwrap_or_else(|problem| {
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

fn carry_out(
    row: &DueShown,
    secret: &Secret,
    config: &Config,
    context: &mut Context,
) -> Result<Exit, Problem> {
    let rotating = || Problem::new("K0854", format!("rotate {} without a person", row.secret));
    if !stands(secret) {
        return Err(rotating()
            .because("no standing consent to the end of its old key is configured")
            .help(format!(
                "keyroll plan {}; or, for the timer: `unattended = true`, and `decide = \"standing\"` under \
                 [secrets.{}.revoke]",
                row.secret, row.secret
            ))
            .exits(Exit::NeedsPerson));
    }
    let asked = Asked::default;
    let Some(id) = &row.open else {
        let id = make::plan(secret, config, context)?;
        return apply(&Saved::load(&context.places()?, &id)?, &asked(), context);
    };
    // Whoever paused it, or whatever it stands at, is a person's; one whose driver died is not.
    if let Some(why) = &row.stands_still {
        return Err(rotating()
            .because(format!("rotation {id} of it stands still: {why}"))
            .help(format!("keyroll status {id}"))
            .exits(Exit::NeedsPerson));
    }
    // What was seen of it may be of before another secret was rotated: whoever drives it now is not disturbed.
    take_up(id, &asked(), context)
}

/// Whether nobody has to be asked; the protocol lets it count only without waivers, and where two keys can be valid.
fn stands(secret: &Secret) -> bool {
    secret.unattended && secret.revoke.decide == Decide::Standing
}

fn look(config: &Config, places: &Places) -> Result<Vec<DueShown>, Problem> {
    let runtime = open::runtime()?;
    let journal = places.journal().exists().then(|| open::journal(places)).transpose()?;
    let store = places.state.join("secrets.db").exists().then(|| open::store(places)).transpose()?;
    let now = keyroll_host::SystemClock::new().unix_ms();
    let mut rows = Vec::new();
    for secret in config.secrets.values() {
        let Some(every) = secret.rotate_every else { continue };
        let name = secret.name.as_str();
        let made = store.as_deref().map(|store| made(&runtime, store, name)).transpose()?.flatten();
        let open = match &journal {
            Some(journal) => open_now(&runtime, journal, name)?,
            None => None,
        };
        let (open, stands_still) = open.unzip();
        rows.push(DueShown {
            secret: name.to_owned(),
            age_s: made.map(|made| now.saturating_sub(made) / 1_000),
            rotate_every_s: every.as_secs(),
            unattended: stands(secret),
            open: open.map(|id| id.0),
            stands_still: stands_still.flatten(),
        });
    }
    Ok(rows)
}

/// When the current version was made; none where it was never taken in.
fn made(runtime: &Runtime, store: &dyn Store, secret: &str) -> Result<Option<u64>, Problem> {
    let versions = runtime.block_on(kept(store, secret))?;
    Ok(versions.into_iter().find(|version| version.label == Label::Current).map(|version| version.unix_ms))
}

/// The open rotation of a secret, and why it stands still, if it does.
fn open_now(
    runtime: &Runtime,
    journal: &SqliteJournal,
    secret: &str,
) -> Result<Option<(RotationId, Option<String>)>, Problem> {
    let reading = |error| Problem::new("K0835", "read the rotations").because_of(&error);
    let Some(id) = runtime.block_on(open_of(journal, secret)).map_err(reading)? else { return Ok(None) };
    let recorded = runtime.block_on(journal.load(&id)).map_err(reading)?;
    let state = state_of(&recorded)?;
    let called = crate::records::called::Called::of(&recorded);
    let why = state.hold().map(|hold| {
        let (keyroll_rotation::Hold::Paused(reason) | keyroll_rotation::Hold::Stuck(reason)) = hold;
        crate::records::reasons::reason_text(&called, &state, reason)
    });
    Ok(Some((id, why)))
}

fn show(rows: Vec<DueShown>, context: &mut Context) {
    if context.ui.look.json {
        return rows.into_iter().for_each(|row| context.ui.event(Event::Due(row)));
    }
    if rows.is_empty() {
        return context.ui.note("no secret has a `rotate_every`");
    }
    let mut table = Table::new(["SECRET", "AGE", "ROTATE EVERY", "DUE", "BY ITSELF"]);
    for row in rows {
        let shown = |seconds: u64| duration_in_days(Duration::from_secs(seconds));
        let due = match (row.age_s, &row.open) {
            (_, Some(id)) => format!("rotation {id} is open"),
            (None, None) => "it was never taken in".to_owned(),
            (Some(age), None) if age >= row.rotate_every_s => {
                format!("for {}", shown(age - row.rotate_every_s))
            }
            (Some(age), None) => format!("in {}", shown(row.rotate_every_s - age)),
        };
        let age = row.age_s.map_or_else(|| "-".to_owned(), shown);
        let by_itself = if row.unattended { "yes" } else { "no: it asks for consent" };
        table.row([row.secret, age, shown(row.rotate_every_s), due, by_itself.to_owned()]);
    }
    context.ui.data(&table.lines().join("\n"));
}

/// Ages of keys are told in days.
fn duration_in_days(time: Duration) -> String {
    const DAY_S: u64 = 86_400;
    match time.as_secs() {
        short if short < 2 * DAY_S => duration(short),
        long => format!("{} d", long / DAY_S),
    }
}

/// A service and a timer of systemd that rotate what is due, once a day.
fn timer(config: &Path, places: &Places) -> Result<String, Problem> {
    let making = || Problem::new("K0854", "write the timer");
    let program = std::env::current_exe().map_err(|error| making().because_of(&error))?;
    // A link stays one: what it leads to changes with each deployment.
    let config = std::path::absolute(config).map_err(|error| making().because_of(&error))?;
    let paths = [program.as_path(), &config, &places.state, &places.keys];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@".contains(c);
    if let Some(path) = paths.iter().find(|path| !path.to_string_lossy().chars().all(plain)) {
        return Err(making()
            .because(format!("systemd would read {} in another way", path.display()))
            .help("use paths of letters, digits and /._-+@"));
    }
    let started = format!(
        "{} --config {} --state {} --keys {}",
        program.display(),
        config.display(),
        places.state.display(),
        places.keys.display(),
    );
    Ok([SERVICE, TIMER].join("\n").replace("@KEYROLL@", &started))
}
