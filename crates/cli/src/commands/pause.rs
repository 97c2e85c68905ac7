use crate::args::IdArgs;
use crate::context::{Context, rotation_id};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring::rotate;

/// Stops a rotation at the next safe point.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.id)?;
    rotate::pause(&args.id, context)
}
