use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::records::resolve_rotation::resolve_rotation;
use keyroll_app::session::pause::pause;

use crate::args::IdArgs;
use crate::context::Context;

/// Stops a rotation at the next safe point.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = resolve_rotation(args.id.as_deref(), &context.installation)?;
    let id = id.as_deref();
    pause(id, &context.installation, &mut context.ui)
}
