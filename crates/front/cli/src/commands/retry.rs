use keyroll_app::exit::Exit;
use keyroll_app::problem::Problem;
use keyroll_app::records::resolve_rotation::resolve_rotation;
use keyroll_app::session::options::ApplyOptions;
use keyroll_app::session::rotate::retry;

use crate::args::RetryArgs;
use crate::context::Context;

/// Retries the step at which a rotation is stuck. A driver is not interrupted.
pub(super) fn run(args: &RetryArgs, context: &mut Context) -> Result<Exit, Problem> {
    let id = resolve_rotation(args.id.as_deref(), &context.installation)?;
    let id = id.as_deref();
    let asked = ApplyOptions { accept: args.accept.clone(), ..ApplyOptions::default() };
    retry(id, &asked, &context.installation, &mut context.ui)
}
