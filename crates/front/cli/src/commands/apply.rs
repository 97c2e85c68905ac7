use jiff::tz::TimeZone;
use keyroll_app::exit::Exit;
use keyroll_app::operator::duration;
use keyroll_app::problem::Problem;
use keyroll_app::records::rotation_ids::rotation_id;
use keyroll_app::records::saved_plan::Saved;
use keyroll_app::session::options::ApplyOptions;
use keyroll_app::session::rotate::apply;
use keyroll_app::session::{prompt_for_key, split};
use keyroll_app::wall_clock;
use keyroll_codes::Code;

use crate::args::ApplyArgs;
use crate::context::Context;

/// Applies a plan; this process drives the rotation until it ends or pauses.
pub(super) fn run(args: &ApplyArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    if let Some(at) = args.alerted_at {
        told(at, context)?;
    }
    let asked = ApplyOptions {
        confirm: args.confirm.clone(),
        until: args.until.map(Into::into),
        on_failure: args.on_failure.map(Into::into),
        emergency: args.emergency.map(Into::into),
        alerted_unix_ms: args.alerted_at.and_then(|at| u64::try_from(at.as_millisecond()).ok()),
        accept: args.accept.clone(),
        prompts: true,
        ..ApplyOptions::default()
    };
    let saved = Saved::meant(&context.installation.places()?, &args.plan)?;
    if !saved.shares.is_empty() {
        return split::carry_out(&saved, &asked, &context.installation, &mut context.ui);
    }
    let exit = apply(&saved, &asked, &context.installation, &mut context.ui)?;
    let exit = prompt_for_key::go_on(Some(&saved.id), exit, &asked, &context.installation, &mut context.ui)?;
    split::go_on(&saved, exit, &context.installation, &mut context.ui)
}

/// Shows the full time from which the emergency counts, because a typed time of day may mean another day.
pub(super) fn told(at: jiff::Timestamp, context: &mut Context) -> Result<(), Problem> {
    let now = wall_clock::now().timestamp();
    let shown =
        |at: jiff::Timestamp| at.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    let ago = u64::try_from(now.duration_since(at).as_secs()).ok();
    match ago.filter(|_| at <= now) {
        Some(ago) => {
            context.ui.note(format!("counting from the alert at {}, {} ago", shown(at), duration(ago)));
            Ok(())
        }
        None => Err(Problem::new(Code::UsageWrong, "count from the alert")
            .because(format!("{} is in the future: it is {} now", shown(at), shown(now)))
            .help("write --alerted-at 03:05 (today or yesterday), or 5m for five minutes ago")
            .exits(Exit::Usage)),
    }
}
