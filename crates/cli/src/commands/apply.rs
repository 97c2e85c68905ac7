use jiff::tz::TimeZone;

use crate::args::ApplyArgs;
use crate::context::{Context, rotation_id};
use crate::driving::rotate::{Asked, apply};
use crate::driving::{prompted, split};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::saved::Saved;
use crate::ui::duration;

/// Carries out a plan; this process drives the rotation until it ends or pauses.
pub(super) fn run(args: &ApplyArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    if let Some(at) = args.alerted_at {
        told(at, context)?;
    }
    let asked = Asked {
        confirm: args.confirm.clone(),
        until: args.until.map(Into::into),
        emergency: args.emergency.map(Into::into),
        alerted_unix_ms: args.alerted_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        accept: args.accept.clone(),
        prompts: true,
        ..Asked::default()
    };
    let saved = Saved::meant(&context.places()?, &args.plan)?;
    if !saved.shares.is_empty() {
        return split::carry_out(&saved, &asked, context);
    }
    let exit = apply(&saved, &asked, context)?;
    let exit = prompted::go_on(Some(&saved.id), exit, &asked, context)?;
    split::go_on(&saved, exit, context)
}

/// When the clock of the emergency starts, in full: a time of day may be meant of another day.
fn told(at: jiff::Timestamp, context: &mut Context) -> Result<(), Problem> {
    let now = jiff::Timestamp::now();
    let shown =
        |at: jiff::Timestamp| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    let ago = u64::try_from(now.duration_since(at).as_secs()).ok();
    match ago.filter(|_| at <= now) {
        Some(ago) => {
            context.ui.note(format!("counting from the alert at {}, {} ago", shown(at), duration(ago)));
            Ok(())
        }
        None => Err(Problem::new("K0802", "count from the alert")
            .because(format!("{} lies in the future: it is {} here", shown(at), shown(now)))
            .help("--alerted-at 03:05, of today or yesterday, or 5m for five minutes ago")
            .exits(Exit::Usage)),
    }
}
