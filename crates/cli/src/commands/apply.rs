use crate::args::ApplyArgs;
use crate::context::{Context, rotation_id, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Carries out a plan; this process drives the rotation until it ends or pauses.
pub(super) fn run(args: &ApplyArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.plan)?;
    let config = context.config()?;
    if let Some(name) = &args.confirm {
        secret(&config, name)?;
    }
    context.places()?;
    let _ = (args.until, args.emergency);
    Err(wiring::absent("apply the plan"))
}
