use crate::args::IdArgs;
use crate::context::{Context, meant_rotation};
use crate::driving::rotate;
use crate::exit::Exit;
use crate::problem::Problem;

/// Stops a rotation at the next safe point.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = meant_rotation(args.id.as_deref(), context)?;
    let id = id.as_deref();
    rotate::pause(id, context)
}
