use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::records::resolve_rotation::resolve_rotation;
use keyroll_app::session::append_offline::refuse_decided;
use keyroll_app::session::options::ApplyOptions;
use keyroll_app::session::rotate::resume;
use keyroll_rotation::Fact;

use crate::args::IdArgs;
use crate::context::Context;

/// `abort` and `undo`: rolls back to the old key; after the point of no return, refused with the plan command to run.
pub(super) fn run(args: &IdArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = resolve_rotation(args.id.as_deref(), &context.installation)?;
    let id = id.as_deref();
    refuse_decided(id, &context.installation)?;
    let exit = resume(
        id,
        &ApplyOptions { back: true, ..ApplyOptions::default() },
        |_| vec![Fact::AbortAsked],
        &context.installation,
        &mut context.ui,
    )?;
    // Before a key was made nothing had been changed, which is a failure of `apply` alone. Here it is what was asked for, and
    // 1 says that the rotation is open still.
    Ok(if exit == Exit::Failed { Exit::RolledBack } else { exit })
}
