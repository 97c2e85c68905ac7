use crate::args::IdArgs;
use crate::context::{Context, rotation_id};
use crate::driving::rotate;
use crate::exit::Exit;
use crate::problem::Problem;

/// Stops a rotation at the next safe point.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = args.id.as_deref();
    id.map_or(Ok(()), rotation_id)?;
    rotate::pause(id, context)
}
