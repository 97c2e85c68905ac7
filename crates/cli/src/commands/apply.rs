use crate::args::ApplyArgs;
use crate::context::{Context, rotation_id};
use crate::driving::rotate::{Asked, apply};
use crate::driving::{prompted, split};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::records::saved::Saved;

/// Carries out a plan; this process drives the rotation until it ends or pauses.
pub(super) fn run(args: &ApplyArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    let now = jiff::Timestamp::now();
    if args.alerted_at.is_some_and(|at| at > now) {
        return Err(Problem::new("K0802", "count from the alert")
            .because("--alerted-at lies in the future")
            .help(format!("it is {now:.0} now"))
            .exits(Exit::Usage));
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
    let saved = Saved::load(&context.places()?, &args.plan)?;
    if !saved.shares.is_empty() {
        return split::carry_out(&saved, &asked, context);
    }
    let exit = apply(&saved, &asked, context)?;
    let exit = prompted::go_on(Some(&saved.id), exit, &asked, context)?;
    split::go_on(&saved, exit, context)
}
