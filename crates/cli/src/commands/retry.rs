use crate::args::IdArgs;
use crate::context::{Context, rotation_id};
use crate::exit::Exit;
use crate::problem::Problem;
use crate::wiring;

/// Tries the step again at which a rotation is stuck.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    rotation_id(&args.id)?;
    context.places()?;
    Err(wiring::absent("try the stuck step again"))
}
