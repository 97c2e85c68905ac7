use keyroll_app::configured::secret;
use keyroll_app::exit::Exit;
use keyroll_app::plans::make;
use keyroll_app::problem::Problem;

use crate::args::PlanArgs;
use crate::context::Context;

/// Inspects everything and saves a rotation plan; changes nothing.
pub(super) fn run(args: &PlanArgs, context: &mut Context) -> Result<Exit, Problem> {
    let config = context.installation.config()?;
    let secret = secret(&config, &args.secret)?;
    make::plan(&args.without.meant(), (secret, &config), &context.installation, &mut context.ui)?;
    Ok(Exit::Done)
}
