use crate::args::ResumeArgs;
use crate::context::{Context, rotation_id, secret};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Continues a rotation that has no driver or is paused; this process drives it.
pub(super) fn run(args: &ResumeArgs, context: &mut Context) -> Result<Exit, Problem> {
    args.id.as_deref().map_or(Ok(()), rotation_id)?;
    let config = context.config()?;
    if let Some(name) = &args.confirm {
        secret(&config, name)?;
    }
    context.places()?;
    let _ = args.until;
    Err(wiring::absent("resume the rotation"))
}
