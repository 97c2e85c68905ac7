use crate::args::ApplyArgs;
use crate::context::{Context, rotation_id};
use crate::driving::rotate::{Asked, apply};
use crate::exit::Exit;
use crate::problem::Problem;

/// Carries out a plan; this process drives the rotation until it ends or pauses.
pub(super) fn run(args: &ApplyArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    let asked = Asked {
        confirm: args.confirm.clone(),
        until: args.until.map(Into::into),
        emergency: args.emergency.map(Into::into),
        accept: args.accept.clone(),
    };
    apply(&args.plan, &asked, context)
}
